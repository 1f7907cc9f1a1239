"""python evaluate.py ckpt=<checkpoint | exported folder | MLflow run id>: predictions, scores and tables of a trained model.

Of a model that answers questions, the untuned base is scored the same way and stands in the same tables; of a classifier, every
label and slice. `compare=[DATA, ...]` sets all finished runs on the same data side by side. Imports architectures and data, never
train.
"""

import json
import logging
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from data import label_report, label_scoring, report, scoring
from data.tokens import EvaluationBatches, digest_of

if TYPE_CHECKING:  # what they are made of takes seconds to import, and a mistake on the command line is to be told at once
    from data.labelled_text import LabelledText
    from data.retail import RetailData

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
KEYS = ("ckpt", "compare", "text", "path", "checks", "batch_size", "questions", "untuned", "outputs")
SPLITS = {"test": "known products", "unseen": "unseen products"}


def answer(module: Any, data: "RetailData", questions: pl.DataFrame, name: str, batch_size: int) -> list[str | None]:
    """The net's answers to the questions, as text; a prompt is the very one of training."""
    from tqdm import tqdm

    from architectures.generation import generate

    prompts, stop_ids = data.prompts(questions), data.renderer.stop_ids
    with tqdm(total=len(prompts), desc=f"{name} answers", unit="question", leave=False) as bar:
        ids = generate(module.net, prompts, stop_ids, data.max_new_tokens, batch_size, bar.update)
    return [data.renderer.decode(one) for one in ids]


def spread(questions: pl.DataFrame, count: int) -> pl.DataFrame:
    """``count`` of the questions, evenly over all of them; 0: all."""
    if not count or questions.height <= count:
        return questions
    return questions[[i * questions.height // count for i in range(count)]]


def untuned_answers(module: Any, data: "RetailData", questions: pl.DataFrame, size: int) -> list[str | None]:
    """What the untuned base answers; kept, since every run on the same data asks it the same."""
    from architectures import adapters

    base = module.model_settings["base"]
    weights: list[Any] = sorted(Path(base).glob("*.safetensors")) or [base, str(getattr(module.net.config, "_commit_hash", ""))]
    asked = questions.select("context", "question").rows()
    code = [ROOT / "architectures/generation.py", ROOT / "data/prompts.py", ROOT / "evaluate.py"]
    settings = [str(module.net.dtype), module.model_settings["quantization"], size, data.max_new_tokens]
    kept = data.cache / f"untuned-{digest_of(asked, settings, *weights, *code)}.parquet"
    if not kept.is_file():
        with adapters.untuned(module.net):
            answers = answer(module, data, questions, "untuned", size)
        pl.DataFrame({"answer": answers}, schema={"answer": pl.String}).write_parquet(kept.with_suffix(".partial"))
        kept.with_suffix(".partial").rename(kept)
    return pl.read_parquet(kept)["answer"].to_list()


def predict(module: Any, data: "RetailData", settings: dict[str, Any]) -> pl.DataFrame:
    """Judged answers of the tuned model, and of its untuned base, to the test questions and those about unseen products."""
    from architectures import adapters

    questions = pl.concat([spread(data.questions(split), settings["questions"]) for split in SPLITS])
    size = settings["batch_size"]
    frames = []
    if settings["untuned"] and adapters.has_adapter(module.net):
        frames.append(data.judge(questions, untuned_answers(module, data, questions, size)).with_columns(model=pl.lit("untuned")))
    frames.append(data.judge(questions, answer(module, data, questions, "tuned", size)).with_columns(model=pl.lit("tuned")))
    return pl.concat(frames)


def evaluate(module: Any, data: "RetailData", settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Predict, score, write predictions.parquet, scores.json and report.md into ``folder``; give back the scores.

    Args:
        settings: batch_size, questions (of each split; 0: all), untuned (whether the base is scored too).
    """
    judged = predict(module, data, settings)
    judged.write_parquet(folder / "predictions.parquet")
    models = judged["model"].unique(maintain_order=True).to_list()
    grounded: dict[str, dict[str, float]] = {}
    for model in models:
        rows = judged.filter(pl.col("model") == model)
        for split, name in SPLITS.items():
            grounded[f"{model}, {name}"] = scoring.summarise(rows.filter(pl.col("split") == split))
    tuned = judged.filter((pl.col("model") == "tuned") & (pl.col("split") == "test"))
    kinds = {f"tuned, {kind[0]}": scoring.summarise(rows) for kind, rows in sorted(tuned.group_by("kind"))}
    training = data.questions("train")["answer"]
    test = judged.filter(pl.col("split") == "test")
    legacy = {m: scoring.legacy(test.filter(pl.col("model") == m)["prediction"], training) for m in models}
    text = "\n\n".join([report.grounded_table(grounded | kinds), report.legacy_table(legacy)])
    scores = {"grounded": grounded, "kinds": kinds, "legacy": legacy}
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(text + "\n", encoding="utf-8")
    return scores | {"text": text}


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
    (folder / "report.md").write_text(text + "\n", encoding="utf-8")
    return scores | {"text": text}


def compare(names: list[str], outputs: Path) -> None:
    """Print all finished runs of classifiers on the named data sets, side by side."""
    runs = [path for pattern in ("runs/*/results.json", "sweeps/*/*/results.json") for path in outputs.glob(pattern)]
    runs.sort(key=lambda path: path.stat().st_mtime)
    wanted = [path.parent for path in runs if json.loads(path.read_text(encoding="utf-8")).get("data") in names]
    target = outputs / "comparisons" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    text = label_report.of_runs(wanted, target)
    (target / "comparison.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    log.info("written to %s, with a bar chart", target)


# --- the command line: -----------------------------------------------------------------------------------------------


def tracking_uri(given: str, outputs: Path) -> str:
    """The tracking server: as given, else MLFLOW_TRACKING_URI, else a SQLite file in the outputs folder."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{outputs.resolve() / 'mlflow.db'}"


def locate(ckpt: str, outputs: Path) -> Path:
    """What ``ckpt`` names, as a path; the exported model of an MLflow run is fetched. Raises ValueError if there is none."""
    if Path(ckpt).exists():
        return Path(ckpt)
    if not re.fullmatch(r"[0-9a-f]{32}", ckpt):
        raise ValueError(f"ckpt={ckpt}: there is no such file or folder, and it is not the id of an MLflow run (32 hex digits)")
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    uri = tracking_uri("", outputs)
    try:
        return Path(download_artifacts(run_id=ckpt, artifact_path="model", tracking_uri=uri))
    except (MlflowException, OSError) as error:
        raise ValueError(f"ckpt={ckpt}: MLflow at {uri} has no exported model for this run ({str(error).splitlines()[0]})") from None


def configure_logging() -> None:
    """Messages as plain lines; libraries speak up only when something is wrong."""
    import warnings

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("httpx", "openai", "mlflow", "alembic", "lightning", "lightning.pytorch", "torch", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning|torch|mlflow|peft")


def run(config: Any) -> None:
    """Load what ``ckpt`` names, make sure of its data, evaluate, print the tables."""
    outputs = Path(config.outputs)
    if config.compare:
        compare([config.compare] if isinstance(config.compare, str) else list(config.compare), outputs)
        return
    path = locate(config.ckpt, outputs)
    import torch

    from architectures import checkpoints

    model: Any = checkpoints.load(path)
    if isinstance(model, torch.nn.Module):
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    task = model.origin["data"]["task"]
    if task == "pocket":
        raise ValueError(f"ckpt={config.ckpt} was trained on {model.origin['data']['name']}, which has no questions to evaluate")
    for key in ("questions", "untuned") if task == "labels" else ("text", "path", "checks"):
        if config[key] is not None:
            raise ValueError(f"{key}: is for models of another task than this one ({task})")
    if task == "labels" and config.text is not None:
        print(labelled(model, config.text))
        return
    given = {key: config[key] for key in ("batch_size", "questions", "untuned", "checks")}
    settings = model.origin["evaluation"] | {key: value for key, value in given.items() if value is not None}
    folder = outputs / "evaluations" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if task == "labels":
        data = label_data(model, outputs)
        if config.path is None:
            prepare(data, model.origin)
        other = None if config.path is None else data.other_rows(config.path, data.labels)
        folder.mkdir(parents=True, exist_ok=True)
        print(evaluate_labels(model, data, settings, folder, other)["text"])
    else:
        from data.retail import RetailData

        retail = RetailData(model.origin["data"], model.model_settings["base"], outputs / "cache", model.origin["seed"])
        prepare(retail, model.origin)
        folder.mkdir(parents=True, exist_ok=True)
        print(evaluate(model, retail, settings, folder)["text"])
    log.info("written to %s", folder)


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
        problems = [f"{key}: no such key; there are {', '.join(KEYS)}" for key in map(str, config) if key not in KEYS]
        if config.ckpt is None and config.compare is None:
            problems.append("ckpt: give a checkpoint, an exported folder or an MLflow run id: python evaluate.py ckpt=...")
        try:
            if problems:
                raise ValueError("\n  ".join(problems))
            run(config)
        except ValueError as error:
            sys.exit(f"error: {error}")

    start()


if __name__ == "__main__":
    main()
