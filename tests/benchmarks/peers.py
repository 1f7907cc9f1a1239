"""One fine-tuning job done by one tool, each step's loss and time written down: python
tests/benchmarks/peers.py TOOL JOB RESULT

JOB is a folder that `tests.benchmarks.speed` has made: ``base``, a causal LM; ``adapter``, where LoRA starts;
``rows.pt``, token ids in the order of the steps; ``job.json``. Of this project only what TOOL needs is
imported, so peers run in an environment of their own.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

IGNORED = -100
Log = list[tuple[float, float]]  # (seconds since the epoch at the end of a step, loss), one a step


def rows_of(folder: Path) -> list[tuple[list[int], int]]:
    """(ids, length of the prompt) of each row, in the order of the steps."""
    import torch

    rows = torch.load(folder / "rows.pt", weights_only=True)
    starts, ids = rows["starts"].tolist(), rows["ids"].tolist()
    trained = rows["trained"].tolist()
    bounds = list(pairwise(starts))
    return [(ids[begin:end], trained[begin:end].index(True)) for begin, end in bounds]


def load_base(folder: Path, job: dict[str, Any], dtype: str) -> Any:
    """The base with its adapter, by transformers and PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    kind = {"attn_implementation": job["attention"]} if job["attention"] else {}
    net = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=getattr(torch, dtype), **kind)
    return PeftModel.from_pretrained(net, str(folder / "adapter"), is_trainable=True)


def arguments(
    folder: Path, job: dict[str, Any], micro_batch: int, bf16: bool, checkpointing: bool
) -> dict[str, Any]:
    """What TRL and transformers' Trainer are told alike. The order of rows is that of the file, so that
    each step has the same ones.
    """
    return {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": job["batch_size"] // micro_batch,
        "max_steps": job["steps"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": bf16,
        "use_cpu": job["device"] == "cpu",
        "gradient_checkpointing": checkpointing,
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": job["device"] != "cpu",
        "seed": 0,
    }


def watcher(log: Log) -> Any:
    """A callback of transformers that writes down when each step ended and its loss."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.at = time.time()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                log.append((self.at, float(logs["loss"])))

    return Watcher()


def trl(
    folder: Path, job: dict[str, Any], micro_batch: int, dtype: str, bf16: bool, checkpointing: bool
) -> Log:
    """TRL's SFTTrainer on token ids; its loss is computed in chunks, over answers alone. Without padding
    it was slower on CPUs.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    log: Log = []
    rows = rows_of(folder)
    records = [{"input_ids": ids, "labels": [IGNORED] * prompt + ids[prompt:]} for ids, prompt in rows]
    config = SFTConfig(
        **arguments(folder, job, micro_batch, bf16, checkpointing),
        completion_only_loss=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    SFTTrainer(
        load_base(folder, job, dtype),
        config,
        train_dataset=Dataset.from_list(records),
        processing_class=tokenizer(folder),
        callbacks=[watcher(log)],
    ).train()
    return log


def tokenizer(folder: Path) -> Any:
    """The base's tokenizer; only its padding is used."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "base")


def hugging_face(folder: Path, job: dict[str, Any], micro_batch: int, dtype: str, bf16: bool) -> Log:
    """transformers' own Trainer with PEFT, padded batches."""
    import torch
    from transformers import Trainer, TrainingArguments

    log: Log = []
    rows = rows_of(folder)
    records = [{"input_ids": ids, "labels": [IGNORED] * prompt + ids[prompt:]} for ids, prompt in rows]

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in batch)
        return {
            "input_ids": torch.tensor(
                [row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in batch]
            ),
            "labels": torch.tensor(
                [row["labels"] + [IGNORED] * (width - len(row["labels"])) for row in batch]
            ),
            "attention_mask": torch.tensor(
                [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in batch]
            ),
        }

    settings = TrainingArguments(**arguments(folder, job, micro_batch, bf16, False))
    Trainer(load_base(folder, job, dtype), settings, collate, records, callbacks=[watcher(log)]).train()  # type: ignore[arg-type]
    return log


def strata(folder: Path, job: dict[str, Any], dtype: str, precision: str, micro_batch: int) -> Log:
    """This project: its batches, its module, its Trainer with all callbacks."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import torch
    from lightning import seed_everything
    from lightning.pytorch.loggers import Logger

    from architectures.models import lora
    from architectures.models.causal_lm import CausalLM
    from architectures.training.signals import Signals
    from architectures.training.trainer import RunContext, build_trainer
    from data.tokens.batches import EvaluationBatches, TrainingBatches
    from data.tokens.batching import Batching
    from data.tokens.rows import TokenRows

    log: Log = []

    class Watcher(Logger):
        name = version = ""
        recorded = 0

        def log_hyperparams(self, *_: Any, **__: Any) -> None:
            """Nothing is kept."""

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            if "train/loss" in metrics:
                log.append((time.time(), metrics["train/loss"]))

    seed_everything(0, verbose=False)
    torch.set_num_threads(job["threads"])
    rows = TokenRows.load(folder / "table.pt")
    batches = TrainingBatches(
        rows, Batching(job["batch_size"], -(-job["batch_size"] // micro_batch), 1, job["steps"]), 0
    )
    model = job["model"] | {"base": str(folder / "base"), "dtype": dtype, "attention": "auto"}
    optimization = {
        "learning_rate": job["learning_rate"],
        "weight_decay": 0.0,
        "beta2": 0.999,
        "warmup_ratio": 0.0,
    }
    optimization |= {"log_every": 1, "schedule": "constant", "monitor": "loss", "total_steps": job["steps"]}
    module = CausalLM(model, optimization, {})
    module.configure_model()
    lora.load_adapter_weights(module.net, folder / "adapter")
    settings = job["trainer"] | {"accelerator": job["device"], "validate_every": job["steps"]}
    context = RunContext(Watcher(), folder / "out", Signals(), 0)
    trainer = build_trainer(settings, batches, precision, context)
    few = TokenRows.load(folder / "few.pt")
    trainer.fit(module, batches, EvaluationBatches(few, job["batch_size"]))
    return log


TOOLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "trl-published": (trl, {"micro_batch": 1, "dtype": "float32", "bf16": False, "checkpointing": True}),
    "trl-fp32": (trl, {"micro_batch": 8, "dtype": "float32", "bf16": False, "checkpointing": False}),
    "trl-bf16-base": (trl, {"micro_batch": 8, "dtype": "bfloat16", "bf16": True, "checkpointing": False}),
    "hf-bf16": (hugging_face, {"micro_batch": 8, "dtype": "bfloat16", "bf16": True}),
    "strata-fp32": (strata, {"dtype": "float32", "precision": "32-true", "micro_batch": 8}),
    "strata-bf16": (strata, {"dtype": "bfloat16", "precision": "bf16-mixed", "micro_batch": 8}),
}


def main(tool: str, folder: Path, result: Path) -> None:
    """Do the job; write the log, and versions."""
    import torch

    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    function, settings = TOOLS[tool]
    log = function(folder, job, **settings)
    result.write_text(json.dumps({"log": log}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
