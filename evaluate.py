"""python evaluate.py ckpt=<checkpoint | exported folder | MLflow run | models:/NAME@ALIAS>: a verdict.

`compare=` puts finished runs on one page, `gate=true` decides, and `register=true` registers what passes.
"""

import logging
import sys
from functools import partial
from pathlib import Path

import hydra
import polars as pl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

import architectures
from architectures.values import Model
from data.catalogue.versions import PRODUCTS
from data.modules.interface import prepare_as_trained, with_table
from data.modules.preference_pairs import write_pairs
from data.questions import grounded_prompts
from data.reports import answer_evaluation, evaluated_runs, gate, label_evaluation, model_card
from data.reports.answer_evaluation import JudgedModel, evaluate_golden
from data.reports.criteria import Limits, check_limits, gate_table, is_open
from data.reports.evaluated_runs import EvaluatedRun, best_run, evaluation_settings, read_run
from data.reports.label_evaluation import LabelModel
from data.scoring import instruction_scoring, lookups
from data.tokens.prompts import Renderer
from data.values import DataModule, JsonObject, Settings

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent


def open_data(origin: Settings, base: str, outputs: Path, labels: list[str] | None = None) -> DataModule:
    """The data module of a run with that origin; nothing is read yet."""
    from data.modules import opening

    settings, seed, cache = origin["data"], origin["seed"], outputs / "cache"
    base = architectures.resolve_base(base) if base else ""
    chat = architectures.chat_function(settings["questions"], cache)
    return opening.open_data(settings, base, cache, seed, chat, architectures.download_data, labels)


def data_of(model: Model, outputs: Path, origin: Settings | None = None) -> DataModule:
    """The data module of a model's run, or of another origin (see `open_data`)."""
    base, labels = architectures.tokenizer_base(model), architectures.labels_of(model)
    return open_data(origin or model.origin, base, outputs, labels)


def evaluate(
    model: Model,
    data: DataModule,
    settings: Settings,
    folder: Path,
    exported: Path,
    rows: pl.DataFrame | None = None,
) -> JsonObject:
    """Predict and score into predictions.parquet and scores.json; the scores, with tables as ``text``.

    Args:
        model: one that answers, or a classifier. settings: fields of the configuration group `evaluation`.
        exported: the model's folder. rows: for a classifier, in the place of those of its data.
    """
    facts = {"data_digest": data.digest, "trained_on": model.origin["digest"], "origin": model.origin}
    facts |= {"model_digest": architectures.model_digest(exported), "machine": architectures.machine_facts()}
    if data.settings["task"] == "labels":
        labeller = label_model(model, data, settings["batch_size"])
        return label_evaluation.evaluate_labels(labeller, data, settings, folder, facts, rows)
    judged = judged_model(model, data, settings, exported)
    return answer_evaluation.evaluate_answers(judged, data, settings, folder, facts)


def judged_model(model: Model, data: DataModule, settings: Settings, exported: Path) -> JudgedModel:
    """A model that answers, as the evaluation takes it."""
    compared = architectures.BaseComparison(model)
    answerer = architectures.Answerer(model, exported, settings, data)
    chat = architectures.judge_function(settings, data.settings["questions"], data.cache)
    return JudgedModel(answerer, compared, architectures.nearest, chat)


def label_model(model: "architectures.Classifier", data: DataModule, batch_size: int) -> LabelModel:
    """A classifier as the reports take it."""
    classify = partial(architectures.classify, model, partial(data.text_batches, batch_size=batch_size))
    return LabelModel.of(model.origin, classify, lambda: architectures.explanation_of(model))


def compare(config: DictConfig) -> None:
    """Print runs side by side and write them to one page; decide by the best one where that is asked for."""
    outputs = Path(config.outputs)
    names = [config.compare] if isinstance(config.compare, str) else list(config.compare)
    folders = evaluated_runs.find_all(names, outputs, architectures.download_runs)
    target = architectures.new_folder(outputs / "comparisons")
    text, runs = answer_evaluation.compare_folders(folders, names, target)
    print(text)
    for name in filter(evaluated_runs.is_run_id, names):
        architectures.log_report(name, target, outputs)
    if config.gate or config.register:
        gate.check_comparable(runs)
        decide(config, runs, best_run(runs).folder / "model", target)


def incumbent_run(config: DictConfig, run: EvaluatedRun, folder: Path) -> EvaluatedRun | None:
    """The model in use, evaluated with its own prompts on the questions of the run; None if there is none."""
    outputs, origin, name = Path(config.outputs), run.scores["origin"], config.incumbent
    name = architectures.champion_name(config.registered_name, outputs) if name == "auto" else name
    if not name:
        log.info("there is no incumbent to compare with")
        return None
    path = architectures.locate(name, outputs)
    model: Model = architectures.on_device(architectures.load_for_task(path, origin["data"]["task"], name))
    data = data_of(model, outputs, origin)
    data.prepare_data()
    (place := folder / "incumbent").mkdir(exist_ok=True)
    settings = architectures.override(evaluation_settings(origin), config) | {"baselines": [], "general": []}
    evaluate(model, data, settings, place, architectures.exported_folder(model, path, place))
    return read_run(place, label=name)


def decide(config: DictConfig, runs: list[EvaluatedRun], model: Path, folder: Path) -> None:
    """Decide whether the best run's model may be deployed; register it if so, else exit with status 1."""
    run, limits, outputs = best_run(runs), Limits.of(dict(config.limits)), Path(config.outputs)
    incumbent = incumbent_run(config, run, folder)
    baselines = evaluated_runs.baseline_classifiers(run, outputs)
    found = gate.judge_run(run, limits, incumbent, architectures.model_digest(model), baselines)
    verdict = gate_table(found)
    answer_evaluation.write_report(runs, folder, verdict, incumbent)
    print(f"\n{verdict}")
    if not is_open(found):
        sys.exit(1)
    if config.register:
        name, alias = config.registered_name, config.alias
        entry = architectures.RegistryEntry(**model_card.registry_fields(run, model, verdict), root=ROOT)
        version = architectures.register(entry, model, folder, name, alias, outputs)
        print(f"registered as models:/{name}/{version}, alias {alias}")
        print(f"next:  python evaluate.py ckpt=models:/{name}@{alias}")


def export(config: DictConfig, module: Model, path: Path) -> None:
    """Write the model with tokenizer, chat template and card, and push it to the Hub if that is set."""
    outputs = Path(config.outputs)
    if architectures.labels_of(module):
        text = architectures.ModelText(data_of(module, outputs).save_tokenizer)
    else:
        architectures.check_answering(config.ckpt, module)
        renderer = Renderer.of(architectures.resolve_base(module.model_settings["base"]), module.origin)
        text = architectures.ModelText(renderer.save, renderer.modelfile)
    folder, name = architectures.export_model(module, path, config.export, config.to, outputs, text)
    model_card.write_readme(folder, name, path, module.origin["settings"]["model.base"])
    print(f"exported to {folder}")
    if config.hub:
        print(f"pushed to {architectures.push_to_hub(folder, config.hub)}")
    if config.export in ("adapter", "merged"):
        print(f"next:  python evaluate.py ckpt={folder}")


def _load_pyfunc(path: str) -> "architectures.AnsweringModel | label_evaluation.TextLabeller":
    """What MLflow calls with the path of a registered model."""
    model: Model = architectures.on_device(architectures.load_model(Path(path)))
    if architectures.labels_of(model):
        data = data_of(model, Path("outputs"))
        labeller = label_model(model, data, model.origin["evaluation"]["batch_size"])
        return label_evaluation.TextLabeller(labeller, data)
    base = architectures.resolve_base(model.model_settings["base"])
    renderer = grounded_prompts.renderer_of(base, model.origin, lambda: Path(path) / PRODUCTS)
    return architectures.AnsweringModel(model, renderer)


def run_classifier(config: DictConfig, model: Model, path: Path) -> None:
    """Label one text, or evaluate a classifier, and decide."""
    data, outputs = data_of(model, Path(config.outputs)), Path(config.outputs)
    settings = architectures.override(evaluation_settings(model.origin), config)
    if config.text is not None:
        text = sys.stdin.read() if config.text == "-" else config.text
        print(label_evaluation.describe_text(label_model(model, data, settings["batch_size"]), data, text))
        return
    if config.path is None:
        prepare_as_trained(data, model.origin["digest"])
    rows = None if config.path is None else data.other_rows(config.path)
    folder = architectures.new_folder(outputs / "evaluations")
    exported = architectures.exported_folder(model, path, folder)
    conclude(config, evaluate(model, data, settings, folder, exported, rows), path, exported, folder)


def conclude(config: DictConfig, scores: JsonObject, path: Path, exported: Path, folder: Path) -> None:
    """Print the tables of an evaluation and write its page, with the gate's verdict if that is asked for."""
    print(scores["text"])
    evaluated_runs.copy_training_record(path, folder)
    runs = [read_run(folder)]
    if config.gate or config.register:
        decide(config, runs, exported, folder)
    else:
        answer_evaluation.write_report(runs, folder)


def run_answers(config: DictConfig, model: Model, path: Path) -> None:
    """Evaluate a model that answers questions, on its own table or another, and decide."""
    module = architectures.check_answering(config.ckpt, model)
    outputs, origin = Path(config.outputs), with_table(module.origin, config.path)
    data = data_of(module, outputs, origin)
    prepare_as_trained(data, origin["digest"])
    folder = architectures.new_folder(outputs / "evaluations")
    exported = architectures.exported_folder(module, path, folder)
    settings = architectures.override(evaluation_settings(origin), config)
    judged = partial(judged_model, module, data, settings, exported)
    if config.golden:
        print(evaluate_golden(judged(), data, settings, str(config.ckpt), Path(config.golden), folder))
    elif config.pairs is not None:
        print(write_pairs(data, judged().answerer.answers, config.pairs, config.ckpt, outputs))
    else:
        conclude(config, evaluate(module, data, settings, folder, exported), path, exported, folder)


def run(config: DictConfig) -> None:
    """Compare finished runs, or load what ``ckpt`` names and evaluate it."""
    if config.compare:
        compare(config)
        return
    path = architectures.locate(config.ckpt, Path(config.outputs))
    model = architectures.on_device(architectures.load_model(path))
    architectures.check_task(config.ckpt, model, config)
    evaluate_one = run_classifier if architectures.labels_of(model) else run_answers
    (export if config.export else evaluate_one)(config, model, path)


def problems_of(config: DictConfig) -> list[str]:
    """All that is wrong with the command line."""
    keys, limits = OmegaConf.load(ROOT / "config/evaluate.yaml"), dict(config.limits or {})
    choices = {"export": architectures.KINDS, "baselines": lookups.BASELINES}
    choices |= {"metrics": instruction_scoring.NAMES}
    problems = architectures.check_settings(config, keys, choices, {}) + check_limits(limits)
    problems += architectures.missing_checkpoint(config, "evaluate.py") + architectures.check_export(config)
    return problems + architectures.check_backend(config.backend, config.served_model)


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
    architectures.read_arguments(parse, ["text", "pattern"], known)
    start()
