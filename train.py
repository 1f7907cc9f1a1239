"""The control room: prepare the data, train, test, export, evaluate, print the table. `python train.py --help` shows the way.

The only module that may import from all the layers. Read it top down; each stage is one short function.
"""

import json
import logging
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from config import command_line, schema
from config.schema import TrainConfig
from data import label_report, report
from evaluate import checks_of, configure_logging, evaluate, evaluate_labels, tracking_uri

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
PARENT, SWEEP = "STRATA_PARENT_RUN", "STRATA_SWEEP"  # environment variables: what the jobs of a sweep share
RESULTS = (".parquet", ".png", ".md")  # files of an evaluation that MLflow gets
PROBE_ROWS = 64  # texts a forward pass of the probe
NOT_OF_THE_NET = ("name", "method", "pooling", "probe", "head_dropout")  # fields of model that `adapters.build` does not take


def run(config: TrainConfig, folder: Path) -> None:
    """One run, from the table to the verdict."""
    data = prepare(config)
    if config.stage == "show":
        print(data.shown())
    if config.stage in ("prepare", "show"):
        return
    if config.data.task == "labels":
        checks_of(data, asdict(config.evaluation), data.rows_of("train"))  # wrong ones are told before the work, not after it
    fine_tuned = config.model.method == "fine-tune"
    module = build_model(config, data) if fine_tuned else build_baseline(config, data)
    logger = start_tracking(config, data, folder)
    status = "FAILED"
    try:
        results = describe(config, data) | (fit if fine_tuned else fit_baseline)(config, data, module, logger, folder)
        if config.stage == "all" and config.data.task != "pocket":
            scores = (evaluate if config.data.task == "retail" else evaluate_labels)(module, data, asdict(config.evaluation), folder)
            results |= headline(scores) if config.data.task == "retail" else {"scores": scores["splits"]}
            logger.log_metrics({f"evaluation/{name}": value for name, value in flat_figures(results).items()})
            for path in sorted(path for path in folder.iterdir() if path.suffix in RESULTS or path.name == "scores.json"):
                logger.log_artifact(path)
            print(f"\n{scores['text']}\n")
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        status = "KILLED"
        raise
    finally:
        logger.close(status)
    say_next(config, folder, logger)


def origin_of(config: TrainConfig, data: Any) -> dict[str, Any]:
    """What a model was made of, kept with it for whoever evaluates it."""
    settings = {"data": asdict(config.data), "evaluation": asdict(config.evaluation), "seed": config.seed, "digest": data.digest}
    return {**settings, "name": config.model.name, "experiment": config.experiment, "monitor": config.trainer.monitor}


def describe(config: TrainConfig, data: Any) -> dict[str, Any]:
    """What names a run in tables of several."""
    return {
        "name": f"{config.experiment} r={config.model.lora_r}",
        "experiment": config.experiment,
        "model": config.model.name,
        "data": config.data.name,
        "fold": [config.data.fold, config.data.folds],
        "monitor": config.trainer.monitor,
        "lora_r": config.model.lora_r,
        "learning_rate": config.trainer.learning_rate,
        "digest": data.digest,
    }


def flat_figures(results: dict[str, Any]) -> dict[str, float]:
    """The figures among the results, by name; those of a split after its name."""
    splits = {f"{split}/{name}": value for split, scores in results.get("scores", {}).items() for name, value in scores.items()}
    return {name: value for name, value in {**results, **splits}.items() if isinstance(value, float)}


def prepare(config: TrainConfig) -> Any:
    """The data module, its data prepared or found in the cache."""
    from architectures.adapters import base_path
    from data.labelled_text import LabelledText
    from data.pocket import PocketData
    from data.retail import RetailData

    kinds: dict[str, Any] = {"retail": RetailData, "labels": LabelledText, "pocket": PocketData}
    t = config.trainer
    micro = t.micro_batch_size or t.batch_size
    base = base_path(config.model.base) if config.model.method == "fine-tune" else ""
    start = time.perf_counter()
    data = kinds[config.data.task](asdict(config.data), base, t.batch_size, micro, Path(config.outputs) / "cache", config.seed)
    data.prepare_data()
    data.setup()
    data.say()
    log.info("data %s ready in %.1f s", data.digest, time.perf_counter() - start)
    return data


def total_steps(config: TrainConfig, batches: Any) -> int:
    """Optimiser steps of the whole run, from the data."""
    steps = batches.steps * config.trainer.epochs
    return min(steps, config.trainer.max_steps or steps)


def build_model(config: TrainConfig, data: Any) -> Any:
    """The LightningModule, seeded, built."""
    import torch
    from lightning import seed_everything

    from architectures.causal_lm import CausalLM
    from architectures.sequence_classifier import SequenceClassifier

    seed_everything(config.seed, verbose=False)
    torch.set_num_threads(config.trainer.threads or os.cpu_count() or 1)
    model = {key: value for key, value in asdict(config.model).items() if key not in NOT_OF_THE_NET}
    names = [
        "learning_rate",
        "weight_decay",
        "beta2",
        "warmup_ratio",
        "log_every",
        "schedule",
        "plateau_factor",
        "plateau_patience",
        "monitor",
    ]
    optimization = {name: getattr(config.trainer, name) for name in names}
    optimization["total_steps"] = total_steps(config, data.train_dataloader())
    if config.data.task == "labels":
        model["head"] = {"labels": data.labels, "multi_label": data.multi_label, "pad_id": data.rows["train"].pad_id}
        model["head"] |= {"dropout": config.model.head_dropout, "pooling": config.model.pooling}
        model["class_weights"] = data.class_weights() if config.trainer.class_weights else []
    module = (SequenceClassifier if config.data.task == "labels" else CausalLM)(model, optimization, origin_of(config, data))
    module.configure_model()
    trained, whole = module.trained, module.parameters_in_all
    log.info("%s: %s of %s parameters are trained (%.2f%%)", config.model.name, f"{trained:,}", f"{whole:,}", 100 * trained / whole)
    return module


def build_baseline(config: TrainConfig, data: Any) -> Any:
    """A classifier that is not fine-tuned."""
    from architectures.baselines import kinds

    m, t = config.model, config.trainer
    settings = {"method": m.method, "base": m.base, "monitor": t.monitor, "seed": config.seed, "max_seq_length": config.data.max_seq_length}
    settings |= {"dtype": m.dtype, "quantization": m.quantization, "attention": m.attention, "batch_size": config.evaluation.batch_size}
    settings |= {**asdict(config.prompting), "answers": str(Path(config.outputs) / "cache" / f"answers-{data.digest}.jsonl")}
    return kinds()[m.method](settings, data.labels, data.multi_label, origin_of(config, data))


def fit_baseline(config: TrainConfig, data: Any, model: Any, logger: Any, folder: Path) -> dict[str, Any]:
    """Fit on the training texts; leave it in ``folder/model``; show what it learnt."""
    rows = data.rows_of("train")
    log.info("%s: fitting on %d texts", config.model.name, rows.height)
    start = time.perf_counter()
    model.fit(rows["text"].to_list(), data.targets(rows["labels"].to_list()))
    seconds = time.perf_counter() - start
    model.save(folder / "model")
    logger.log_artifact(folder / "model", "model")
    log.info("fitted in %.1f s; saved to %s", seconds, folder / "model")
    return {"seconds": seconds}


def start_tracking(config: TrainConfig, data: Any, folder: Path) -> Any:
    """The run's record: settings, code, data; locally and in MLflow."""
    from architectures.tracking import RunLogger

    commit = git_commit()
    uri = tracking_uri(config.tracking.uri, Path(config.outputs))
    tags = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": commit}
    name = f"{config.experiment} {config.model.name} {config.data.name}"
    logger = RunLogger(folder, uri, config.tracking.experiment, name, os.environ.get(PARENT, ""), tags, config.tracking.system_metrics)
    OmegaConf.save(OmegaConf.structured(config), folder / "config.yaml")
    logger.log_hyperparams({**asdict(config), "git_commit": commit, "data_digest": data.digest})
    logger.log_artifact(folder / "config.yaml")
    logger.log_dataset(config.data.name, data.digest, config.data.path, data.training_rows)
    return logger


def precision_of(config: TrainConfig, module: Any) -> str:
    """bf16-mixed where the hardware gains by it: for every base that is in bfloat16, and for one wide enough."""
    from architectures.adapters import quick_bfloat16

    if config.trainer.precision != "auto":
        return config.trainer.precision
    base = module.net.get_input_embeddings().weight
    wide = base.shape[1] >= 256 and quick_bfloat16()
    return "bf16-mixed" if wide or str(base.dtype) == "torch.bfloat16" else "32-true"


def validation_interval(config: TrainConfig, batches: Any, accumulate: int) -> int:
    """Micro-batches between validations, evened out so that the last validation falls on the end of the run."""
    epochs, rest = divmod(total_steps(config, batches), batches.steps)
    whole = epochs * len(batches) + rest * accumulate
    wanted = config.trainer.validate_every * accumulate or len(batches)
    return whole // -(-whole // wanted)


def build_trainer(config: TrainConfig, batches: Any, module: Any, logger: Any, folder: Path) -> Any:
    """Lightning's Trainer with early stopping and the best and last checkpoint by the monitored metric."""
    from lightning import Trainer
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

    t = config.trainer
    accumulate = -(-t.batch_size // (t.micro_batch_size or t.batch_size))
    watched: dict[str, Any] = {"monitor": f"validation/{t.monitor}", "mode": "min" if t.monitor == "loss" else "max"}
    best = ModelCheckpoint(folder / "checkpoints", "best", save_last=True, enable_version_counter=False, **watched)
    bar = TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else 20)
    callbacks: list[Any] = [best, bar]
    if t.patience:
        callbacks.append(EarlyStopping(patience=t.patience, min_delta=t.min_delta, **watched))
    return Trainer(
        accelerator=t.accelerator,
        devices=1,
        precision=precision_of(config, module),  # type: ignore[arg-type]
        max_epochs=t.epochs,
        max_steps=t.max_steps or -1,
        max_time={"seconds": int(3600 * t.max_hours)} if t.max_hours else None,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=t.max_grad_norm or None,
        val_check_interval=validation_interval(config, batches, accumulate),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=logger,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_model_summary=False,
    )


def fit(config: TrainConfig, data: Any, module: Any, logger: Any, folder: Path) -> dict[str, Any]:
    """Train; test the last and the best checkpoint; leave the best in the module and exported in ``folder/model``."""
    import torch

    from architectures import checkpoints

    batches = data.train_dataloader()
    trainer = build_trainer(config, batches, module, logger, folder)
    device = trainer.strategy.root_device
    log.info("training on %s in %s, %d steps", device, trainer.precision, total_steps(config, batches))
    start = time.perf_counter()
    if config.data.task == "labels" and config.model.probe:
        with trainer.precision_plugin.forward_context():
            module.to(device).probe(data.in_order(data.rows["train"], PROBE_ROWS))
    trainer.fit(module, batches, data.val_dataloader())
    seconds = time.perf_counter() - start
    keeper = trainer.checkpoint_callback
    if keeper.best_model_score is None or not math.isfinite(keeper.best_model_score):
        raise ValueError("the validation loss was never finite, so there is no model to keep: lower trainer.learning_rate")
    results: dict[str, Any] = {"steps": trainer.global_step, "seconds": seconds, "validation": float(keeper.best_model_score)}
    results |= test(config, data, module, trainer, "last")
    best = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
    if best["global_step"] < trainer.global_step:
        checkpoints.restore(module, best)
        results |= test(config, data, module, trainer, "best")
    else:
        results |= {name.replace("last", "best"): value for name, value in results.items()}
    module.to("cuda" if device.type == "cuda" else "cpu").eval()
    checkpoints.export(module, folder / "model")
    data.tokenizer.save_pretrained(folder / "model")
    logger.log_artifact(folder / "model", "model")
    figure = (config.trainer.monitor, results["validation"])
    log.info("trained in %.0f s; best validation %s %.4f; exported to %s", seconds, *figure, folder / "model")
    return results


def test(config: TrainConfig, data: Any, module: Any, trainer: Any, name: str) -> dict[str, float]:
    """Loss, accuracy and the monitored metric on the test rows, where there are any."""
    if config.data.task == "pocket" or not len(data.rows["test"]):
        return {}
    metrics = trainer.test(module, data.test_dataloader(), verbose=False)[0]
    return {f"test_{key}_{name}": metrics[f"test/{key}"] for key in dict.fromkeys(("loss", "accuracy", config.trainer.monitor))}


def headline(scores: dict[str, Any]) -> dict[str, float]:
    """The few figures that runs are compared by."""
    known, unseen = (scores["grounded"].get(f"tuned, {kind} products", {}) for kind in ("known", "unseen"))
    nothing = float("nan")
    return {
        "right_product": known.get("right_product_rate", nothing),
        "right_facts": known.get("right_facts_rate", nothing),
        "unseen_right_product": unseen.get("right_product_rate", nothing),
        "legacy_accuracy": scores["legacy"]["tuned"]["accuracy"],
        "legacy_precision": scores["legacy"]["tuned"]["precision"],
    }


def say_next(config: TrainConfig, folder: Path, logger: Any) -> None:
    """What to type next."""
    print(f"run folder: {folder}    MLflow run: {logger.run_id or 'not recorded'}")
    ways = {
        "retail": f"""python evaluate.py ckpt={folder / "model"}    # the same table again
       python train.py -m +experiment=base,job-0,job-1,job-2    # the published grid
       python train.py data=flipkart data.path=YOUR.csv    # your own rows
       make ui    # all runs, in the browser""",
        "labels": f"""python evaluate.py ckpt={folder / "model"} text="..."    # label a text
       python train.py -m +experiment={config.experiment} model=majority,keywords,tfidf,embedding,minilm data.path={config.data.path}
       python evaluate.py compare=[{config.data.name}]    # all models on this data side by side""",
    }
    if config.data.task in ways:
        print(f"next:  {ways[config.data.task]}")


def git_commit() -> str:
    """Commit of the code, with '+changes' if the tree differs from it; 'unknown' outside a git checkout."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return "unknown"

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


# --- the command line: -----------------------------------------------------------------------------------------------


def start_sweep(arguments: list[str]) -> tuple[Path, Any]:
    """Name the sweep's folder and open the MLflow run under which its jobs stand."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    os.environ[SWEEP] = stamp
    given = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
    outputs = Path(given.get("outputs", "outputs"))
    uri = tracking_uri(given.get("tracking.uri", ""), outputs)
    outputs.mkdir(parents=True, exist_ok=True)
    try:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        from architectures.tracking import experiment_id

        client = MlflowClient(uri)
        name = given.get("tracking.experiment", "strata")
        experiment = experiment_id(client, name, uri)
        tags = {"command": f"python train.py {' '.join(arguments)}"}
        os.environ[PARENT] = client.create_run(experiment, run_name=f"sweep {stamp}", tags=tags).info.run_id
    except Exception as error:  # noqa: BLE001 - whatever the server does wrong must not stop training
        log.warning("MLflow at %s: %s; the jobs stand without a common parent", uri, error)
        client = None
    return outputs / "sweeps" / stamp, client


def end_sweep(folder: Path, client: Any) -> None:
    """Print the jobs side by side, name the best one, and close the parent run."""
    done = [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*/results.json"))]
    if not done:
        return
    if "scores" in done[0][1]:
        text, last = label_report.of_runs([path for path, _ in done], folder), ""
    else:
        text = report.runs_table([results for _, results in done])
        path, best = min(done, key=lambda pair: float(pair[1]["validation"]))
        last = f"\n\nbest by validation {best['monitor']}: {best['name']}\nnext:  python evaluate.py ckpt={path / 'model'}"
    (folder / "comparison.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}{last}")
    if client and os.environ.get(PARENT):
        for path in [*folder.glob("comparison.md"), *folder.glob("models.png")]:
            client.log_artifact(os.environ[PARENT], str(path))
        client.set_terminated(os.environ[PARENT], "FINISHED")


@hydra.main(config_path="config", config_name="train", version_base="1.3")
def start(config: DictConfig) -> None:
    """What Hydra calls for each job; a user's mistake is one message and status 1."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(schema.typed(config), folder)
    except ValueError as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        sys.exit(f"error: {error}")


def main() -> None:
    """Check the command line, then run it, as one run or as a sweep."""
    configure_logging()
    os.chdir(ROOT)
    sys.argv[1:] = arguments = command_line.with_experiment(sys.argv[1:])
    try:
        sweep = command_line.check(arguments)
    except ValueError as error:
        sys.exit(f"error: {error}")
    if sweep:
        folder, client = start_sweep(arguments)
    start()
    if sweep:
        end_sweep(folder, client)


if __name__ == "__main__":
    main()
