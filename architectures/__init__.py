"""What PyTorch needs to know except the data: tensors in, tensors or text out. Knows no catalogue.

The names below are the layer's public API; each is imported when it is first used, so importing the layer
costs nothing.
"""

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING

# An OpenMP thread that waits for the others spins; by default that lasts so long that another busy process
# slows training threefold. The runtime reads this when torch is loaded. See docs/performance.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from architectures.baselines.base import Baseline as Baseline
    from architectures.baselines.similarity import nearest as nearest
    from architectures.inference.answerer import Answerer as Answerer
    from architectures.inference.answering_model import AnsweringModel as AnsweringModel
    from architectures.inference.assistant import Assistant as Assistant
    from architectures.inference.backend import Decoding as Decoding
    from architectures.inference.backend import Sampling as Sampling
    from architectures.inference.base_comparison import BaseComparison as BaseComparison
    from architectures.inference.chat_backends import ChatModel as ChatModel
    from architectures.inference.chat_backends import ChatSettings as ChatSettings
    from architectures.inference.chat_backends import build_assistants as build_assistants
    from architectures.inference.chat_functions import chat_function as chat_function
    from architectures.inference.chat_functions import judge_function as judge_function
    from architectures.inference.conversation import MAX_EARLIER as MAX_EARLIER
    from architectures.inference.conversation import ChatQuestion as ChatQuestion
    from architectures.inference.conversation import FeedbackFile as FeedbackFile
    from architectures.inference.conversation import reply as reply
    from architectures.inference.deployment import write_deployment as write_deployment
    from architectures.inference.endpoint_backend import EndpointBackend as EndpointBackend
    from architectures.inference.endpoint_backend import EndpointSettings as EndpointSettings
    from architectures.inference.export import ModelText as ModelText
    from architectures.inference.export import export_model as export_model
    from architectures.inference.export import push_to_hub as push_to_hub
    from architectures.inference.options import KINDS as KINDS
    from architectures.inference.options import check_backend as check_backend
    from architectures.inference.options import check_export as check_export
    from architectures.inference.selection import on_device as on_device
    from architectures.inference.space import write_space as write_space
    from architectures.inference.transformers_backend import TransformersBackend as TransformersBackend
    from architectures.inference.transformers_backend import generate_answers as generate_answers
    from architectures.inference.vllm_server import VllmServer as VllmServer
    from architectures.models.bases import resolve_base as resolve_base
    from architectures.models.building import build_net as build_net
    from architectures.models.causal_lm import CausalLM as CausalLM
    from architectures.models.exported import export as export
    from architectures.models.exported import exported_folder as exported_folder
    from architectures.models.fine_tuned import FineTuned as FineTuned
    from architectures.models.lora import has_adapter as has_adapter
    from architectures.models.run_file import model_digest as model_digest
    from architectures.models.sequence_classifier import SequenceClassifier as SequenceClassifier
    from architectures.runtime.command_line import check_page as check_page
    from architectures.runtime.command_line import check_settings as check_settings
    from architectures.runtime.command_line import missing_checkpoint as missing_checkpoint
    from architectures.runtime.command_line import override as override
    from architectures.runtime.command_line import quoted as quoted
    from architectures.runtime.command_line import read_arguments as read_arguments
    from architectures.runtime.command_line import report_problems as report_problems
    from architectures.runtime.folders import new_folder as new_folder
    from architectures.runtime.machine import git_commit as git_commit
    from architectures.runtime.machine import machine_facts as machine_facts
    from architectures.runtime.process import configure_process as configure_process
    from architectures.runtime.startup import StartupTimer as StartupTimer
    from architectures.tracking.locations import tracking_uri as tracking_uri
    from architectures.tracking.mlflow_logger import RunLogger as RunLogger
    from architectures.tracking.mlflow_server import end_parent_run as end_parent_run
    from architectures.tracking.mlflow_server import start_parent_run as start_parent_run
    from architectures.tracking.registry import RegistryEntry as RegistryEntry
    from architectures.tracking.registry import champion_name as champion_name
    from architectures.tracking.registry import download_data as download_data
    from architectures.tracking.registry import download_runs as download_runs
    from architectures.tracking.registry import locate as locate
    from architectures.tracking.registry import log_report as log_report
    from architectures.tracking.registry import register as register
    from architectures.tracking.runs_page import RunsSite as RunsSite
    from architectures.tracking.runs_page import runs_page as runs_page
    from architectures.training.baseline_fit import fit_baseline as fit_baseline
    from architectures.training.checkpoints import check_answering as check_answering
    from architectures.training.checkpoints import check_task as check_task
    from architectures.training.checkpoints import load_answering_model as load_answering_model
    from architectures.training.checkpoints import load_for_task as load_for_task
    from architectures.training.checkpoints import load_model as load_model
    from architectures.training.classification import Classifier as Classifier
    from architectures.training.classification import classify as classify
    from architectures.training.classification import explanation_of as explanation_of
    from architectures.training.classification import labels_of as labels_of
    from architectures.training.classification import tokenizer_base as tokenizer_base
    from architectures.training.fit import FitInputs as FitInputs
    from architectures.training.fit import fit as fit
    from architectures.training.parent import Parent as Parent
    from architectures.training.parent import find_parent as find_parent
    from architectures.training.processes import is_alone as is_alone
    from architectures.training.processes import is_first_process as is_first_process
    from architectures.training.processes import run_until_done as run_until_done
    from architectures.training.settings import check_before_work as check_before_work
    from architectures.training.settings import choose_micro_batch as choose_micro_batch
    from architectures.training.settings import describe_plan as describe_plan
    from architectures.training.settings import fit_settings as fit_settings
    from architectures.training.settings import log_prepared_data as log_prepared_data
    from architectures.training.settings import log_results as log_results
    from architectures.training.settings import process_count as process_count
    from architectures.training.settings import run_baseline as run_baseline
    from architectures.training.settings import run_module as run_module
    from architectures.training.settings import start_tracking as start_tracking
    from architectures.training.signals import Interrupted as Interrupted
    from architectures.training.signals import Signals as Signals
    from architectures.training.trainer import RunContext as RunContext
    from architectures.training.trainer import TrainingBatches as TrainingBatches

_MODULES = {
    "Baseline": "architectures.baselines.base",
    "nearest": "architectures.baselines.similarity",
    "Answerer": "architectures.inference.answerer",
    "Assistant": "architectures.inference.assistant",
    "Decoding": "architectures.inference.backend",
    "Sampling": "architectures.inference.backend",
    "ChatModel": "architectures.inference.chat_backends",
    "ChatSettings": "architectures.inference.chat_backends",
    "build_assistants": "architectures.inference.chat_backends",
    "chat_function": "architectures.inference.chat_functions",
    "judge_function": "architectures.inference.chat_functions",
    "MAX_EARLIER": "architectures.inference.conversation",
    "ChatQuestion": "architectures.inference.conversation",
    "FeedbackFile": "architectures.inference.conversation",
    "reply": "architectures.inference.conversation",
    "EndpointBackend": "architectures.inference.endpoint_backend",
    "EndpointSettings": "architectures.inference.endpoint_backend",
    "KINDS": "architectures.inference.options",
    "ModelText": "architectures.inference.export",
    "check_page": "architectures.runtime.command_line",
    "check_export": "architectures.inference.options",
    "export_model": "architectures.inference.export",
    "push_to_hub": "architectures.inference.export",
    "BaseComparison": "architectures.inference.base_comparison",
    "check_backend": "architectures.inference.options",
    "on_device": "architectures.inference.selection",
    "RunsSite": "architectures.tracking.runs_page",
    "runs_page": "architectures.tracking.runs_page",
    "write_deployment": "architectures.inference.deployment",
    "write_space": "architectures.inference.space",
    "TransformersBackend": "architectures.inference.transformers_backend",
    "AnsweringModel": "architectures.inference.answering_model",
    "generate_answers": "architectures.inference.transformers_backend",
    "VllmServer": "architectures.inference.vllm_server",
    "build_net": "architectures.models.building",
    "CausalLM": "architectures.models.causal_lm",
    "export": "architectures.models.exported",
    "exported_folder": "architectures.models.exported",
    "FineTuned": "architectures.models.fine_tuned",
    "resolve_base": "architectures.models.bases",
    "has_adapter": "architectures.models.lora",
    "model_digest": "architectures.models.run_file",
    "SequenceClassifier": "architectures.models.sequence_classifier",
    "check_settings": "architectures.runtime.command_line",
    "missing_checkpoint": "architectures.runtime.command_line",
    "override": "architectures.runtime.command_line",
    "read_arguments": "architectures.runtime.command_line",
    "quoted": "architectures.runtime.command_line",
    "report_problems": "architectures.runtime.command_line",
    "configure_process": "architectures.runtime.process",
    "new_folder": "architectures.runtime.folders",
    "git_commit": "architectures.runtime.machine",
    "machine_facts": "architectures.runtime.machine",
    "StartupTimer": "architectures.runtime.startup",
    "tracking_uri": "architectures.tracking.locations",
    "RunLogger": "architectures.tracking.mlflow_logger",
    "end_parent_run": "architectures.tracking.mlflow_server",
    "start_parent_run": "architectures.tracking.mlflow_server",
    "RegistryEntry": "architectures.tracking.registry",
    "champion_name": "architectures.tracking.registry",
    "download_data": "architectures.tracking.registry",
    "download_runs": "architectures.tracking.registry",
    "locate": "architectures.tracking.registry",
    "log_report": "architectures.tracking.registry",
    "register": "architectures.tracking.registry",
    "fit_baseline": "architectures.training.baseline_fit",
    "check_answering": "architectures.training.checkpoints",
    "check_task": "architectures.training.checkpoints",
    "load_answering_model": "architectures.training.checkpoints",
    "load_for_task": "architectures.training.checkpoints",
    "load_model": "architectures.training.checkpoints",
    "Classifier": "architectures.training.classification",
    "classify": "architectures.training.classification",
    "tokenizer_base": "architectures.training.classification",
    "explanation_of": "architectures.training.classification",
    "labels_of": "architectures.training.classification",
    "FitInputs": "architectures.training.fit",
    "fit": "architectures.training.fit",
    "is_alone": "architectures.training.processes",
    "is_first_process": "architectures.training.processes",
    "run_until_done": "architectures.training.processes",
    "check_before_work": "architectures.training.settings",
    "choose_micro_batch": "architectures.training.settings",
    "describe_plan": "architectures.training.settings",
    "fit_settings": "architectures.training.settings",
    "log_prepared_data": "architectures.training.settings",
    "log_results": "architectures.training.settings",
    "process_count": "architectures.training.settings",
    "run_baseline": "architectures.training.settings",
    "run_module": "architectures.training.settings",
    "Parent": "architectures.training.parent",
    "find_parent": "architectures.training.parent",
    "start_tracking": "architectures.training.settings",
    "Interrupted": "architectures.training.signals",
    "Signals": "architectures.training.signals",
    "RunContext": "architectures.training.trainer",
    "TrainingBatches": "architectures.training.trainer",
}
__all__ = list(_MODULES)

# bitsandbytes warns of an optional CPU kernel on every import.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def __getattr__(name: str) -> object:
    """Import a name of the public API when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
