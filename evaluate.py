"""python evaluate.py ckpt=<checkpoint | exported folder | MLflow run | models:/NAME@ALIAS>: predictions, scores, report, verdict.

A model that answers questions stands in one table with what it must beat: look-ups in the catalogue, and its untuned base. Of a
classifier, every label and slice is scored. `compare=` sets finished runs side by side on one page; `gate=true` decides, and
`register=true` registers what passed. Imports architectures and data, never train.
"""

import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from architectures.registry import RUN_ID, Card, champion_of, data_of, fetched_runs, locate, log_page, register
from data import comparison, gate, label_report, label_scoring, lookup, page, report, scoring, versions
from data.tokens import EvaluationBatches

if TYPE_CHECKING:  # what they are made of takes seconds to import, and a mistake on the command line is to be told at once
    from data.labelled_text import LabelledText
    from data.retail import RetailData

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
BACKENDS = ("auto", "transformers", "vllm", "endpoint")
EXPORTS = ("adapter", "merged", "gguf")
KEYS = (
    "ckpt export to hub variants compare text path checks batch_size questions backend vllm_python tensor_parallel"
    " served_model baselines gate limits incumbent register registered_name alias outputs"
).split()
OF_LABELS = ("text", "path", "checks")
OF_ANSWERS = (
    "export",
    "hub",
    "variants",
    "questions",
    "backend",
    "vllm_python",
    "tensor_parallel",
    "served_model",
    "baselines",
    "gate",
    "incumbent",
    "register",
)
VARIANT = re.compile(r"merged|nf4|int8|pruned-0\.\d+")
VARIANTS = "merged, nf4, int8, and pruned-SHARE such as pruned-0.3"
UNTUNED = ("untuned", "untuned-row", "untuned-shots")


def answer(backend: Any, data: "RetailData", questions: pl.DataFrame, name: str) -> list[str | None]:
    """A model's answers to the questions, as text; a prompt is the very one of training."""
    from tqdm import tqdm

    from architectures.generation import answers

    with tqdm(total=questions.height, desc=f"{name} answers", unit="question", leave=False) as bar:
        ids = answers(backend, data.prompts(questions), data.cache, bar.update)
    return [None if one is None else data.renderer.decode(one) for one in ids]


def spread(questions: pl.DataFrame, count: int) -> pl.DataFrame:
    """``count`` of the questions, evenly over all of them; 0: all."""
    if not count or questions.height <= count:
        return questions
    return questions[[i * questions.height // count for i in range(count)]]


def asked_of(data: "RetailData", settings: dict[str, Any]) -> pl.DataFrame:
    """The questions that a model is judged by: of the test split, and about unseen products."""
    return pl.concat([spread(data.questions(split), settings["questions"]) for split in scoring.SPLITS])


def baseline(name: str, backend: Any, data: "RetailData", questions: pl.DataFrame, shots: int) -> list[str | None]:
    """What a baseline answers; the untuned base may be given the row most like the question, or training questions with answers."""
    from architectures.retrieval import nearest

    products, training = data.products, data.questions("train")
    if name in lookup.LOOKUPS:
        return [*lookup.answers(name, questions, products, training, nearest)]
    if name == "untuned-row":
        questions = lookup.with_rows(questions, products, nearest)
    elif name == "untuned-shots":
        questions = lookup.with_shots(questions, training, shots, data.seed)
    return answer(backend, data, questions, name)


def predict(module: Any, data: "RetailData", settings: dict[str, Any], exported: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """(judged answers of the tuned model and the baselines to the same questions, how they were made)"""
    from architectures import adapters
    from architectures.backends import backend_of
    from architectures.generation import Decoding

    questions = asked_of(data, settings)
    names = [name for name in settings["baselines"] if name not in UNTUNED or adapters.has_adapter(module.net)]
    start, decoding = time.perf_counter(), Decoding(data.renderer.stop_ids, data.max_new_tokens)
    backend, why = backend_of(module, decoding, data.renderer.encoded, settings, exported, untuned=False)
    log.info("answered by %s: %s", backend.name, why)
    tuned = answer(backend, data, questions, "tuned")
    made = {"backend": backend.name, "why": why, "seconds": time.perf_counter() - start, "questions": questions.height}
    base = backend_of(module, decoding, data.renderer.encoded, settings, exported, untuned=True)[0] if set(names) & set(UNTUNED) else None
    given = {name: baseline(name, base, data, questions, settings["shots"]) for name in names} | {"tuned": tuned}
    given |= variants(module, data, settings, exported, questions)
    frames = [data.judge(questions, found).with_columns(model=pl.lit(name)) for name, found in given.items()]
    return pl.concat(frames), made


def variants(module: Any, data: "RetailData", settings: dict[str, Any], exported: Path, questions: pl.DataFrame) -> dict[str, Any]:
    """Answers of what the model becomes when it is merged, put into fewer bits, or pruned; by transformers."""
    if not settings.get("variants"):
        return {}
    from architectures import exporting
    from architectures.backends import model_digest
    from architectures.generation import Decoding, Transformers

    found, decoding = {}, Decoding(data.renderer.stop_ids, data.max_new_tokens)
    with tempfile.TemporaryDirectory() as merged:
        exporting.merge(module, exported, Path(merged))
        for name in settings["variants"]:
            known = [model_digest(exported), "merged", name]
            backend = Transformers(exporting.variant(Path(merged), name), known, False, decoding, settings["batch_size"])
            found[name] = answer(backend, data, questions, name)
    return found


def evaluate(module: Any, data: "RetailData", settings: dict[str, Any], folder: Path, exported: Path) -> dict[str, Any]:
    """Predict, score, write predictions.parquet and scores.json into ``folder``; give back the scores, and their tables as ``text``.

    Args:
        settings: fields of the evaluation configuration. exported: the model's folder, as `architectures.checkpoints.export` wrote it.
    """
    from architectures.backends import model_digest

    judged, made = predict(module, data, settings, exported)
    judged.write_parquet(folder / "predictions.parquet")
    training = data.questions("train")["answer"]
    scores = scoring.of_models(judged, training, data.seed)
    origin = module.origin
    scores |= {"made": made, "leakage": data.report["leakage"], "data_digest": data.digest, "trained_on": origin["digest"]}
    scores |= {"model_digest": model_digest(exported), "name": comparison.name_of(origin), "origin": origin, "machine": machine()}
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    text = "\n\n".join([report.answers_table(scores["grounded"]), report.verdicts_table(scores), report.legacy_table(scores["legacy"])])
    return scores | {"text": text}


def machine() -> dict[str, str]:
    """Hardware and versions, for the record."""
    import platform
    from importlib.metadata import version

    import torch

    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found = {"CPU": f"{cpu}, {os.cpu_count()} threads", "GPU": ", ".join(gpus) or "none", "Python": platform.python_version()}
    return found | {name: version(name) for name in ("torch", "transformers", "peft", "lightning", "polars")}


# --- classifiers: ----------------------------------------------------------------------------------------------------


def probabilities(model: Any, data: "LabelledText", texts: list[str], batch_size: int, name: str) -> tuple[Any, Any]:
    """(probabilities, decisions of 0 and 1) of a fine-tuned classifier or a baseline for texts. (rows, labels) each"""
    import torch
    from tqdm import tqdm

    from architectures.baselines import Baseline, decide

    with tqdm(total=len(texts), desc=name, unit="text", leave=False) as bar:
        if isinstance(model, Baseline):
            model.advance = bar.update
            likely = model.predict_proba(texts)
            return likely, model.choose(likely)
        rows, _ = data.encode(texts, torch.zeros(len(texts)), data.tokenizer)  # targets that nothing reads
        found = torch.zeros(len(texts), len(data.labels))
        for batch in EvaluationBatches(rows, batch_size):
            found[batch["rows"]] = model.predict_proba(batch)
            bar.update(len(batch["rows"]))
    return found, decide(found, data.multi_label)


def label_rows(model: Any, data: "LabelledText", rows: pl.DataFrame, batch_size: int, name: str) -> pl.DataFrame:
    """Add ``predicted`` (names) and ``probabilities`` (in the order of the labels) to rows."""
    likely, decided = probabilities(model, data, rows["text"].to_list(), batch_size, name)
    names = [[label for label, given in zip(data.labels, row, strict=True) if given] for row in decided.tolist()]
    predicted = pl.Series(names, dtype=pl.List(pl.String))
    return rows.with_columns(predicted=predicted, probabilities=pl.Series(likely.tolist(), dtype=pl.List(pl.Float64)))


def checks_of(data: "LabelledText", settings: dict[str, Any], rows: pl.DataFrame) -> list[dict[str, str]]:
    """The behavioural checks. Raises ValueError for wrong ones, and for slices that cannot be taken of such rows."""
    label_report.sliced(rows.clear(), settings["slices"])
    return label_scoring.read_checks(Path(settings["checks"]), data.labels) if settings["checks"] else []


def evaluate_labels(
    model: Any, data: "LabelledText", settings: dict[str, Any], folder: Path, other: pl.DataFrame | None = None
) -> dict[str, Any]:
    """Label the validation and test rows (or ``other`` ones), score, write tables, pictures and predictions into ``folder``.

    Args:
        settings: batch_size, slices, checks.
    """
    from architectures.baselines import Baseline

    name, size = model.origin["name"], settings["batch_size"]
    rows = pl.concat([data.rows_of("validation"), data.rows_of("test")]) if other is None else other
    checks = checks_of(data, settings, rows)
    rows = label_rows(model, data, rows, size, name).with_columns(model=pl.lit(name))
    rows.write_parquet(folder / "predictions.parquet")
    task = label_report.Task(name, data.labels, data.multi_label, label_report.headline_of(model.origin["monitor"]), data.seed)
    scores, tables = label_report.of_rows(task, rows, settings["slices"], folder)
    if checks:
        texts = list(dict.fromkeys(check[key] for check in checks for key in ("text", "changed") if key in check))
        typed = label_rows(model, data, pl.DataFrame({"text": data.texts(texts)}), size, name)
        named = typed["predicted"].list.join("; ").replace("", "none").to_list()
        judged = label_scoring.judge_checks(checks, dict(zip(texts, named, strict=True)))
        judged.write_parquet(folder / "checks.parquet")
        scores["checks"] = dict(judged.group_by("kind", maintain_order=True).agg(pl.col("passed").mean()).rows())
        tables.append(report.checks_table(judged))
    explained = model.explain() if isinstance(model, Baseline) else ""
    text = "\n\n".join([*([explained] if explained else []), *tables])
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    pictures = "\n\n".join(f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.png")))
    page.write(folder, f"{name} on {data.settings['name']}", [page.Section("Scores", text), page.Section("Pictures", pictures)])
    return scores | {"text": text}


# --- finished runs: --------------------------------------------------------------------------------------------------


def compare(names: list[str], outputs: Path) -> tuple[list[comparison.Run], Path]:
    """Print the runs side by side and write them to one page. (runs that answer questions, folder of the page)

    What MLflow was asked for gets the page, too.
    """
    runs_of = {True: fetched_runs, False: comparison.found}
    folders = list(dict.fromkeys(path for name in names for path in runs_of[bool(RUN_ID.fullmatch(name))](name, outputs)))
    kinds = {comparison.classifies(path) for path in folders}
    if len(kinds) > 1:
        raise ValueError("compare: these are runs of classifiers and of models that answer questions; compare each kind by itself")
    target = outputs / "comparisons" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    target.mkdir(parents=True, exist_ok=True)
    runs: list[comparison.Run] = []
    if kinds == {True}:
        text = label_report.of_runs(folders, target)
        page.write(target, ", ".join(names), [page.Section("Models", f"{text}\n\n![All models with 95% intervals](models.png)")])
    else:
        runs = [comparison.read(path) for path in folders]
        text = comparison.write(runs, target)
    print(text)
    log.info("written to %s", target / "report.html")
    for name in names:
        if RUN_ID.fullmatch(name):
            log_page(name, target, outputs)
    return runs, target


# --- the gate and the registry: --------------------------------------------------------------------------------------


def incumbent_of(config: Any, run: comparison.Run, folder: Path) -> comparison.Run | None:
    """What is in use now, asked the same questions as the run; None if there is nothing.

    It answers with its own prompts, about the data of the run.
    """
    from architectures.backends import exported_of, on_device

    outputs = Path(config.outputs)
    name = champion_of(config.registered_name, outputs) if config.incumbent == "auto" else config.incumbent
    if not name:
        log.info("there is no incumbent to compare with")
        return None
    from architectures import checkpoints

    path = locate(name, outputs)
    module: Any = on_device(checkpoints.load(path))
    data = retail_data(run.scores["origin"]["data"], module.model_settings["base"], outputs / "cache", run.scores["origin"]["seed"])
    data.prepare_data()
    settings = settings_of(config, run.scores["origin"]) | {"baselines": []}
    place = folder / "incumbent"
    place.mkdir(exist_ok=True)
    evaluate(module, data, settings, place, exported_of(module, path, place))
    found = comparison.read(place)
    return replace(found, name=f"{found.name} ({name})")


def export(config: Any, module: Any, path: Path) -> None:
    """Write the model as it is asked for, with tokenizer, chat template and card, and push it if that is asked for, too."""
    from architectures import exporting
    from architectures.adapters import base_path
    from architectures.backends import exported_of
    from data.prompts import Renderer

    name = path.parent.name if path.name == "model" else path.stem
    folder = Path(config.to or Path(config.outputs) / "exports" / f"{name}-{config.export}")
    if config.export == "gguf":
        exporting.converter()  # told before the work, not after it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"to={folder}: is not empty; give another folder")
    except OSError as error:
        raise ValueError(f"to={folder}: cannot be written to ({error})") from None
    renderer = Renderer(base_path(module.model_settings["base"]))
    with tempfile.TemporaryDirectory() as place:
        exported = exported_of(module, path, Path(place))
        work = Path(place) / "merged" if config.export == "gguf" else folder
        if config.export == "adapter":
            shutil.copytree(exported, folder, dirs_exist_ok=True)
        else:
            exporting.merge(module, exported, work)
        renderer.save(work)
        if config.export == "gguf":
            exporting.gguf(work, folder / f"{name}.gguf")
    judged = path.parent / "scores.json" if path.name == "model" else path / "scores.json"
    told = comparison.card(comparison.read(judged.parent), "") if judged.is_file() else f"# {name}\n\nNot evaluated here.\n"
    base, licence = module.origin["settings"]["model.base"], "---\nlicense: other\nlibrary_name: transformers\n---\n\n"
    (folder / "README.md").write_text(f"{licence}{told}\nMade by Strata from `{base}`, whose licence applies.\n", encoding="utf-8")
    print(f"exported to {folder}")
    if config.hub:
        print(f"pushed to {exporting.push(folder, config.hub)}")
    if config.export != "gguf":
        print(f"next:  python evaluate.py ckpt={folder}")


def judge(config: Any, runs: list[comparison.Run], model: Path, folder: Path) -> None:
    """Decide whether the best run's model may be deployed; write the page with the reasons; register it if so. Exits with 1 if not."""
    from architectures.backends import model_digest

    run, limits = comparison.chosen(runs), gate.Limits.of(dict(config.limits))
    incumbent = incumbent_of(config, run, folder)
    found = gate.decide(run, limits, incumbent, model_digest(model))
    text = gate.table(found)
    comparison.write(runs, folder, text, incumbent)
    print(f"\n{text}")
    log.info("written to %s", folder / "report.html")
    if not gate.passed(found):
        sys.exit(1)
    if config.register:
        version = register(card_of(run, model, text), model, folder, config.registered_name, config.alias, Path(config.outputs))
        print(f"registered as models:/{config.registered_name}/{version}, alias {config.alias}")
        print(f"next:  python evaluate.py ckpt=models:/{config.registered_name}@{config.alias}")


def card_of(run: comparison.Run, model: Path, decided: str) -> Card:
    """What the registry is told of a model."""
    origin, scores = run.scores["origin"], run.scores
    tags = {"data": origin["data"]["name"], "data_digest": scores["data_digest"], "model_digest": scores["model_digest"]}
    tags |= {"base": str(origin["settings"]["model.base"]), "source": str(model), "commit": str(run.results.get("commit", "unknown"))}
    rows = sum(row["rows"] for row in scores["leakage"])
    parts = [ROOT / part for part in ("evaluate.py", "architectures", "data")]
    return Card(comparison.card(run, decided), tags, origin["data"]["path"], rows, "evaluate", parts, ROOT / "requirements.txt")


class Answering:
    """What `mlflow.pyfunc.load_model` gives: a table with context (may be missing) and question -> answers."""

    def __init__(self, path: Path) -> None:
        from architectures import checkpoints
        from architectures.adapters import base_path
        from architectures.backends import on_device
        from data.prompts import Renderer

        self.module: Any = on_device(checkpoints.load(path))
        self.renderer = Renderer(base_path(self.module.model_settings["base"]))

    def predict(self, table: Any, params: dict[str, Any] | None = None) -> list[str]:
        """table: a pandas or Polars frame."""
        from architectures.generation import Decoding, Transformers

        questions = [str(question) for question in table["question"]]
        contexts = [str(context) for context in table["context"]] if "context" in table.columns else [""] * len(questions)
        prompts = [example.ids for example in self.renderer.render_all(contexts, questions, [None] * len(questions))]
        decoding = Decoding(self.renderer.stop_ids, self.module.origin["max_new_tokens"])
        found = dict(Transformers(self.module.net, [], False, decoding, 64).answer(prompts))
        return [self.renderer.decode(found[place] or []) for place in range(len(prompts))]


def _load_pyfunc(path: str) -> Answering:
    """MLflow's way in."""
    return Answering(Path(path))


# --- the command line: -----------------------------------------------------------------------------------------------


def configure_logging() -> None:
    """Messages as plain lines; libraries speak up only when something is wrong."""
    import warnings

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("httpx", "openai", "mlflow", "alembic", "lightning", "lightning.pytorch", "torch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of a cast at every layer
    warnings.filterwarnings("ignore", module="lightning|torch|mlflow|peft")


def settings_of(config: Any, origin: dict[str, Any]) -> dict[str, Any]:
    """How to evaluate: as the run did, but for what the command line says."""
    given = {key: value for key, value in config.items() if key in origin["evaluation"] and value is not None}
    lists = {key: list(value) for key, value in given.items() if key == "baselines"}
    return {**origin["evaluation"], **given, **lists, "variants": list(config.variants or [])}


def problems_of(config: Any) -> list[str]:
    """All that is wrong with the command line."""
    found = [f"{key}: no such key; there are {', '.join(KEYS)}" for key in map(str, config) if key not in KEYS]
    if config.ckpt is None and config.compare is None:
        found.append("ckpt: give a checkpoint, an exported folder, an MLflow run id or models:/NAME@ALIAS: python evaluate.py ckpt=...")
    if config.backend not in (None, *BACKENDS):
        found.append(f"backend={config.backend}: must be one of {', '.join(BACKENDS)}")
    if config.backend == "endpoint" and not config.served_model:
        found.append("served_model: what does the endpoint call the model? set served_model=...")
    found += [
        f"baselines: unknown {name!r}; there are {', '.join(comparison.DRAWN)}"
        for name in config.baselines or []
        if name not in comparison.DRAWN
    ]
    found += [f"variants: unknown {name!r}; there are {VARIANTS}" for name in config.variants or [] if not VARIANT.fullmatch(str(name))]
    if config.export not in (None, *EXPORTS):
        found.append(f"export={config.export}: must be one of {', '.join(EXPORTS)}")
    found += [f"{key}: needs ckpt, not compare" for key in ("export", "variants") if config[key] and config.compare]
    found += [f"{key}: is for export" for key in ("to", "hub") if config[key] and not config.export]
    try:
        gate.Limits.of(dict(config.limits or {}))
    except ValueError as error:
        found.append(str(error))
    return found


def run(config: Any) -> None:
    """Load what ``ckpt`` names, make sure of its data, evaluate, print the tables; or compare; then decide."""
    from architectures.backends import exported_of, on_device

    outputs = Path(config.outputs)
    decides = config.gate or config.register
    if config.compare:
        runs, folder = compare([config.compare] if isinstance(config.compare, str) else list(config.compare), outputs)
        if decides and not runs:
            raise ValueError("gate: is for models that answer questions, not for classifiers")
        if decides:
            judge(config, runs, comparison.chosen(runs).folder / "model", folder)
        return
    path = locate(config.ckpt, outputs)
    from architectures import checkpoints

    model: Any = on_device(checkpoints.load(path))
    task = model.origin["data"]["task"]
    if task not in ("retail", "labels"):
        raise ValueError(f"ckpt={config.ckpt} was trained on {model.origin['data']['name']}, which has no answers that can be judged")
    lacking = {"backend", "baselines"} - set(model.origin["evaluation"]) | {"version", "questions"} - set(model.origin["data"])
    if task == "retail" and lacking:
        raise ValueError(
            f"ckpt={config.ckpt} was made by an earlier version of this project (no {', '.join(sorted(lacking))}): train it again"
        )
    for key in OF_ANSWERS if task == "labels" else OF_LABELS:
        if config[key] not in (None, False, "auto"):
            raise ValueError(f"{key}: is for models of another task than this one ({task})")
    if task == "labels" and config.text is not None:
        print(labelled(model, config.text))
        return
    if config.export:
        export(config, model, path)
        return
    settings = settings_of(config, model.origin)
    folder = outputs / "evaluations" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if task == "labels":
        data = label_data(model, outputs)
        if config.path is None:
            prepare(data, model.origin)
        other = None if config.path is None else data.other_rows(config.path, data.labels)
        folder.mkdir(parents=True, exist_ok=True)
        print(evaluate_labels(model, data, settings, folder, other)["text"])
        log.info("written to %s", folder)
        return
    retail = retail_data(model.origin["data"], model.model_settings["base"], outputs / "cache", model.origin["seed"])
    prepare(retail, model.origin)
    folder.mkdir(parents=True, exist_ok=True)
    exported = exported_of(model, path, folder)
    print(evaluate(model, retail, settings, folder, exported)["text"])
    for name in ("results.json", "metrics.jsonl"):  # of the run that trained it, where that is at hand
        source = next((place / name for place in (path.parent, path.parent.parent) if (place / name).is_file()), None)
        if source:
            shutil.copy(source, folder / name)
    done = [comparison.read(folder)]
    if decides:
        judge(config, done, exported, folder)
        return
    comparison.write(done, folder)
    log.info("written to %s", folder / "report.html")


def asker(settings: dict[str, Any], cache: Path) -> Any:
    """Who answers the requests of `data.asked`: the endpoint, each answer kept in the cache."""

    def answered(requests: list[list[dict[str, str]]], schema: dict[str, Any]) -> list[str | None]:
        from tqdm import tqdm

        from architectures.asking import Asking, ask
        from architectures.kept import Kept

        q = settings
        how = Asking(q["served_model"], q["temperature"], q["max_tokens"], q["concurrency"], q["retries"], q["timeout"], q["per_minute"],
                     q["max_requests"], q["max_tokens_in_all"], schema if q["structured"] else None)  # fmt: skip
        kept = Kept(cache / "written-questions.jsonl")
        with tqdm(total=len(requests), desc="questions", unit="product") as bar:
            told = ask(requests, how, kept, bar.update)
        log.info("%d requests, %d tokens read, %d written; %d answers were there already; all are in %s",
                 told.asked, told.read, told.written, told.known, kept.path)  # fmt: skip
        if told.failures:
            failed = f"{len(told.failures)} of {told.asked} requests failed ({told.failures[0]})"
            raise ValueError(f"{failed}; run again: what was answered is kept, and only the rest is asked for")
        missing = sum(answer is None for answer in told.answers)
        if told.over_budget:
            log.warning("the budget is spent: %d products have no written questions", missing)
        return told.answers

    return answered


def retail_data(settings: dict[str, Any], base: str, cache: Path, seed: int) -> "RetailData":
    """The data module of a catalogue; nothing is read yet, but that a version of an MLflow run is fetched."""
    from data.retail import RetailData

    version = version_of(settings["version"], cache)
    return RetailData({**settings, "version": version}, base, cache, seed, asker(settings["questions"], cache))


def version_of(version: str, cache: Path) -> str:
    """The digest of a version of prepared data; that of an MLflow run is fetched into the cache. Raises ValueError if it has none."""
    if not RUN_ID.fullmatch(version):
        return version
    with tempfile.TemporaryDirectory() as place:
        return versions.adopted(data_of(version, cache.parent, Path(place)), cache)


def prepare(data: Any, origin: dict[str, Any]) -> None:
    """Make the data that the model was trained on again, or find it; warn if it is not the same."""
    data.prepare_data()
    if data.digest != origin["digest"]:
        log.warning("the data differs from what the model was trained on (digest %s, then %s)", data.digest, origin["digest"])


def label_data(model: Any, outputs: Path) -> "LabelledText":
    """The data module of a classifier, with its labels; nothing is read yet."""
    from architectures.adapters import base_path
    from architectures.baselines import Baseline
    from data.labelled_text import LabelledText

    base = "" if isinstance(model, Baseline) else base_path(model.model_settings["base"])
    data = LabelledText(model.origin["data"], base, outputs / "cache", model.origin["seed"])
    data.labels = model.labels if isinstance(model, Baseline) else model.head.labels
    return data


def labelled(model: Any, text: str) -> str:
    """One text -> its label (or labels), and how probable each one is."""
    data = label_data(model, Path())
    likely, decided = probabilities(model, data, data.texts([text]), 1, "text")
    names = [label for label, given in zip(data.labels, decided[0].tolist(), strict=True) if given]
    order = sorted(zip(likely[0].tolist(), data.labels, strict=True), reverse=True)
    return "\n".join([f"label: {'; '.join(names) or 'none'}", *(f"{100 * share:6.2f}%  {label}" for share, label in order)])


def main() -> None:
    """The command line; a user's mistake is one message and status 1."""
    import hydra
    from omegaconf import DictConfig

    configure_logging()

    @hydra.main(config_path="config", config_name="evaluate", version_base="1.3")
    def start(config: DictConfig) -> None:
        try:
            problems = problems_of(config)
            if problems:
                raise ValueError("\n  ".join(problems))
            run(config)
        except ValueError as error:
            sys.exit(f"error: {error}")

    start()


if __name__ == "__main__":
    main()
