"""python evaluate.py ckpt=<checkpoint | exported folder | MLflow run id>: predictions, scores and tables of a trained model.

The untuned base is scored the same way and stands in the same tables. Imports architectures and data, never train.
"""

import json
import logging
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from data import report, scoring
from data.retail import RetailData
from data.tokens import digest_of

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
SPLITS = {"test": "known products", "unseen": "unseen products"}


def answer(module: Any, data: RetailData, questions: pl.DataFrame, name: str, batch_size: int) -> list[str | None]:
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


def untuned_answers(module: Any, data: RetailData, questions: pl.DataFrame, size: int) -> list[str | None]:
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


def predict(module: Any, data: RetailData, settings: dict[str, Any]) -> pl.DataFrame:
    """Judged answers of the tuned model, and of its untuned base, to the test questions and those about unseen products."""
    from architectures import adapters

    questions = pl.concat([spread(data.questions(split), settings["questions"]) for split in SPLITS])
    size = settings["batch_size"]
    frames = []
    if settings["untuned"] and adapters.has_adapter(module.net):
        frames.append(data.judge(questions, untuned_answers(module, data, questions, size)).with_columns(model=pl.lit("untuned")))
    frames.append(data.judge(questions, answer(module, data, questions, "tuned", size)).with_columns(model=pl.lit("tuned")))
    return pl.concat(frames)


def evaluate(module: Any, data: RetailData, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
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

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("httpx", "mlflow", "alembic", "lightning", "lightning.pytorch", "torch", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning|torch|mlflow|peft")


def run(config: Any) -> None:
    """Load what ``ckpt`` names, make sure of its data, evaluate, print the tables."""
    outputs = Path(config.outputs)
    path = locate(config.ckpt, outputs)
    import torch

    from architectures import checkpoints

    module = checkpoints.load(path).to("cuda" if torch.cuda.is_available() else "cpu")
    origin = module.origin
    if origin["data"]["task"] != "retail":
        raise ValueError(f"ckpt={config.ckpt} was trained on {origin['data']['name']}, which has no questions to evaluate")
    given = {"batch_size": config.batch_size, "questions": config.questions, "untuned": config.untuned}
    settings = origin["evaluation"] | {key: value for key, value in given.items() if value is not None}
    data = RetailData(origin["data"], module.model_settings["base"], 1, 1, outputs / "cache", origin["seed"])
    data.prepare_data()
    if data.digest != origin["digest"]:
        log.warning("the data differs from what the model was trained on (digest %s, then %s)", data.digest, origin["digest"])
    folder = outputs / "evaluations" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder.mkdir(parents=True, exist_ok=True)
    print(evaluate(module, data, settings, folder)["text"])
    log.info("written to %s", folder)


def main() -> None:
    """The command line; a user's mistake is one message and status 1."""
    import hydra
    from omegaconf import DictConfig

    configure_logging()

    @hydra.main(config_path="config", config_name="evaluate", version_base="1.3")
    def start(config: DictConfig) -> None:
        problems = [
            f"{key}: no such key" for key in map(str, config) if key not in ("ckpt", "batch_size", "questions", "untuned", "outputs")
        ]
        if config.ckpt is None:
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
