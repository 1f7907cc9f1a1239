"""python evaluate.py ckpt=<checkpoint | exported folder | MLflow run | models:/NAME@ALIAS>: a verdict.

A model that answers is compared in one table with what it must beat: look-ups in the catalogue or the
training answers, and its untuned base. A classifier is scored by label and slice. `compare=` compares
finished runs on one page; `gate=true` decides, and `register=true` registers what passes.
"""

import functools
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
import polars as pl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

import architectures
from data.catalogue.versions import PRODUCTS
from data.files import write_json
from data.modules.interface import prepare_as_trained, with_table
from data.questions import golden, grounding
from data.reports import answer_evaluation, evaluated_runs, gate, golden_page, label_evaluation, model_card
from data.reports.criteria import Limits, check_limits, gate_table, is_open
from data.reports.evaluated_runs import EvaluatedRun, best_run, dated_folder, evaluation_settings, read_run
from data.reports.label_evaluation import LabelModel
from data.scoring import lookups, text_metrics
from data.tokens.prompts import Renderer

# Lightning, which these import, takes seconds, and a mistake on the command line is reported at once.
if TYPE_CHECKING:
    from data.modules.opening import InstructionData, LabelledText, RetailData

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
Settings = dict[str, Any]  # plain values by name, as the configuration gives them


def open_data(origin: Settings, base: str, outputs: Path, labels: list[str] | None = None) -> Any:
    """The data module of a run with that origin (a `data.modules.opening.AnyData`); nothing is read yet."""
    from data.modules import opening

    settings, seed, cache = origin["data"], origin["seed"], outputs / "cache"
    base = architectures.resolve_base(base) if base else ""
    chat = architectures.chat_function(settings["questions"], cache)
    return opening.open_data(settings, base, cache, seed, chat, architectures.download_data, labels)


def answer(
    module: "architectures.FineTuned",
    data: "RetailData | InstructionData",
    settings: Settings,
    exported: Path,
    questions: pl.DataFrame,
) -> tuple[dict[str, list[str | None]], Settings]:
    """(model or baseline -> its answers to the questions, how the tuned model's were made)"""
    answerer, nearest = architectures.Answerer(module, exported, settings, data), architectures.nearest
    tuned, made = answerer.tuned(questions)
    ask_base = answerer.base if answerer.has_base else None
    answers = answer_evaluation.baseline_answers(data, settings, questions, nearest, ask_base)
    return answers | {"tuned": tuned} | answerer.variants(questions), made


def evaluate(
    module: "architectures.FineTuned", data: Any, settings: Settings, folder: Path, exported: Path
) -> Settings:
    """Predict and score into predictions.parquet and scores.json; the scores, with tables as ``text``.

    Args:
        settings: fields of the configuration group `evaluation`. exported: the model's folder.
    """
    losses = functools.partial(architectures.tuned_and_base_losses, module)
    general = answer_evaluation.compare_general(data, settings, losses)  # first: it reads files
    questions = data.evaluation_questions(settings["questions"])
    answers, made = answer(module, data, settings, exported, questions)
    judged, scores = answer_evaluation.judge_answers(data, settings, questions, answers)
    judged.write_parquet(folder / "predictions.parquet")
    scores |= {"made": made, "data_digest": data.digest, "machine": architectures.machine_facts()}
    scores |= {"name": evaluated_runs.run_name(module.origin), "origin": module.origin, "general": general}
    scores |= {"trained_on": module.origin["digest"], "model_digest": architectures.model_digest(exported)}
    write_json(folder / "scores.json", scores)
    return scores | {"text": answer_evaluation.evaluation_text(scores)}


def label_model(model: "architectures.Classifier", data: "LabelledText", batch_size: int) -> LabelModel:
    """A classifier as the reports take it."""

    def classify(texts: list[str]) -> label_evaluation.Classified:
        batches = data.text_batches(texts, batch_size) if data.base else ()
        return architectures.classify(model, texts, batches)

    return LabelModel.of(model.origin, classify, lambda: architectures.explanation_of(model))


def compare(config: DictConfig, outputs: Path) -> tuple[list[EvaluatedRun], Path]:
    """Print runs side by side and write them to one page. (runs that answer questions, folder of the page)"""
    names = [config.compare] if isinstance(config.compare, str) else list(config.compare)
    folders = evaluated_runs.find_all(names, outputs, architectures.download_runs)
    target = dated_folder(outputs, "comparisons")
    text, runs = answer_evaluation.compare_folders(folders, names, target)
    print(text)
    for name in filter(evaluated_runs.is_run_id, names):
        architectures.log_report(name, target, outputs)
    return runs, target


def incumbent_run(config: DictConfig, run: EvaluatedRun, folder: Path) -> EvaluatedRun | None:
    """The model in use, evaluated with its own prompts on the questions of the run; None if there is none."""
    outputs, origin, name = Path(config.outputs), run.scores["origin"], config.incumbent
    if name == "auto":
        name = architectures.champion_name(config.registered_name, outputs)
    if not name:
        log.info("there is no incumbent to compare with")
        return None
    path = architectures.locate(name, outputs)
    module = architectures.load_answering_model(path)
    data = open_data(origin, module.model_settings["base"], outputs)
    data.prepare_data()
    (place := folder / "incumbent").mkdir(exist_ok=True)
    settings = architectures.override(evaluation_settings(origin), config) | {"baselines": [], "general": []}
    evaluate(module, data, settings, place, architectures.exported_folder(module, path, place))
    return read_run(place, label=name)


def decide(config: DictConfig, runs: list[EvaluatedRun], model: Path, folder: Path) -> None:
    """Decide whether the best run's model may be deployed; register it if so, else exit with status 1."""
    run, limits = best_run(runs), Limits.of(dict(config.limits))
    incumbent = incumbent_run(config, run, folder)
    found = gate.judge_run(run, limits, incumbent, architectures.model_digest(model))
    verdict = gate_table(found)
    answer_evaluation.write_report(runs, folder, verdict, incumbent)
    print(f"\n{verdict}")
    if not is_open(found):
        sys.exit(1)
    if config.register:
        name, alias = config.registered_name, config.alias
        entry = architectures.RegistryEntry(**model_card.registry_fields(run, model, verdict), root=ROOT)
        version = architectures.register(entry, model, folder, name, alias, Path(config.outputs))
        print(f"registered as models:/{name}/{version}, alias {alias}")
        print(f"next:  python evaluate.py ckpt=models:/{name}@{alias}")


def export(config: DictConfig, module: "architectures.FineTuned", path: Path) -> None:
    """Write the model with tokenizer, chat template and card, and push it to the Hub if that is set."""
    renderer = Renderer.of(architectures.resolve_base(module.model_settings["base"]), module.origin)
    outputs = Path(config.outputs)
    folder, name = architectures.export_model(module, path, config.export, config.to, outputs, renderer)
    model_card.write_readme(folder, name, path, module.origin["settings"]["model.base"])
    print(f"exported to {folder}")
    if config.hub:
        print(f"pushed to {architectures.push_to_hub(folder, config.hub)}")
    if not config.export.startswith("gguf"):
        print(f"next:  python evaluate.py ckpt={folder}")


def _load_pyfunc(path: str) -> "architectures.AnsweringModel":
    """What MLflow calls with the path of a registered model."""
    module = architectures.load_answering_model(Path(path))
    base = architectures.resolve_base(module.model_settings["base"])
    renderer = grounding.renderer_of(base, module.origin, lambda: Path(path) / PRODUCTS)
    return architectures.AnsweringModel(module, renderer)


def run_classifier(config: DictConfig, model: "architectures.Classifier") -> None:
    """Label one text, or evaluate a classifier."""
    outputs, origin, labels = Path(config.outputs), model.origin, architectures.labels_of(model)
    data = open_data(origin, architectures.encoder_of(model), outputs, labels)
    settings = architectures.override(origin["evaluation"], config)
    labeller = label_model(model, data, settings["batch_size"])
    if config.text is not None:
        text = sys.stdin.read() if config.text == "-" else config.text
        print(label_evaluation.describe_text(labeller, data, text))
        return
    if config.path is None:
        prepare_as_trained(data, origin["digest"])
    other = None if config.path is None else data.other_rows(config.path)
    folder = dated_folder(outputs, "evaluations")
    print(label_evaluation.evaluate_labels(labeller, data, settings, folder, other)["text"])
    log.info("written to %s", folder)


def run_answers(config: DictConfig, module: "architectures.FineTuned", path: Path) -> None:
    """Evaluate a model that answers questions, on its own table or another, and decide."""
    outputs, origin = Path(config.outputs), with_table(module.origin, config.path)
    data = open_data(origin, module.model_settings["base"], outputs)
    prepare_as_trained(data, origin["digest"])
    folder = dated_folder(outputs, "evaluations")
    exported = architectures.exported_folder(module, path, folder)
    settings = architectures.override(evaluation_settings(origin), config)
    if config.golden:
        questions = golden.read_golden(Path(config.golden), data.products)
        answers, _ = answer(module, data, settings, exported, questions)
        print(golden_page.report_golden(questions, data.products, answers, str(config.ckpt), folder))
        return
    print(evaluate(module, data, settings, folder, exported)["text"])
    evaluated_runs.copy_training_record(path, folder)
    runs = [read_run(folder)]
    if config.gate or config.register:
        decide(config, runs, exported, folder)
    else:
        answer_evaluation.write_report(runs, folder)


def run(config: DictConfig) -> None:
    """Compare finished runs, or load what ``ckpt`` names and evaluate it."""
    outputs = Path(config.outputs)
    if config.compare:
        runs, folder = compare(config, outputs)
        if config.gate or config.register:
            gate.check_comparable(runs)
            decide(config, runs, best_run(runs).folder / "model", folder)
        return
    path = architectures.locate(config.ckpt, outputs)
    model = architectures.on_device(architectures.load_model(path))
    architectures.check_task(config.ckpt, model, config)
    if isinstance(model, architectures.SequenceClassifier | architectures.Baseline):
        run_classifier(config, model)
        return
    act = export if config.export else run_answers
    act(config, architectures.check_answering(config.ckpt, model), path)


def problems_of(config: DictConfig) -> list[str]:
    """All that is wrong with the command line."""
    keys = list(map(str, OmegaConf.load(ROOT / "config/evaluate.yaml")))
    choices = {"baselines": lookups.BASELINES, "metrics": text_metrics.METRICS}
    problems = architectures.check_settings(config, keys, {"export": architectures.KINDS}, {})
    if config.ckpt is None and config.compare is None:
        problems.append(architectures.missing_checkpoint("evaluate.py"))
    problems += architectures.check_backend(config.backend, config.served_model)
    problems += architectures.check_export(config) + architectures.check_choices(config, choices)
    return problems + check_limits(dict(config.limits or {}))


@hydra.main(config_path="config", config_name="evaluate", version_base="1.3")
def start(config: DictConfig) -> None:
    """What Hydra calls; a user's mistake is one message and status 1."""
    try:
        architectures.report_problems(problems_of(config))
        run(config)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    architectures.configure_process()
    parse, known = OverridesParser.create().parse_override, OmegaConf.load(ROOT / "config/evaluate.yaml")
    sys.argv[1:] = architectures.plain_arguments(sys.argv[1:], parse, ["text"], known)
    start()
