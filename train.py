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
from data import report
from evaluate import configure_logging, evaluate, tracking_uri

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent
PARENT, SWEEP = "STRATA_PARENT_RUN", "STRATA_SWEEP"  # environment variables: what the jobs of a sweep share


def run(config: TrainConfig, folder: Path) -> None:
    """One run, from the table to the verdict."""
    data = prepare(config)
    if config.stage == "show":
        show(data)
    if config.stage in ("prepare", "show"):
        return
    module = build_model(config, data)
    logger = start_tracking(config, data, folder)
    status = "FAILED"
    try:
        results = fit(config, data, module, logger, folder)
        if config.stage == "all" and config.data.task == "retail":
            scores = evaluate(module, data, asdict(config.evaluation), folder)
            results |= headline(scores)
            logger.log_metrics({f"evaluation/{name}": value for name, value in results.items() if isinstance(value, float)})
            for name in ("predictions.parquet", "scores.json", "report.md"):
                logger.log_artifact(folder / name)
            print(f"\n{scores['text']}\n")
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        status = "KILLED"
        raise
    finally:
        logger.close(status)
    say_next(config, folder, logger)


def prepare(config: TrainConfig) -> Any:
    """The data module, its data prepared or found in the cache."""
    from data.pocket import PocketData
    from data.retail import RetailData

    kinds: dict[str, Any] = {"retail": RetailData, "pocket": PocketData}
    t = config.trainer
    micro = t.micro_batch_size or t.batch_size
    cache = Path(config.outputs) / "cache"
    data = kinds[config.data.task](asdict(config.data), config.model.base, t.batch_size, micro, cache, config.seed)
    start = time.perf_counter()
    data.prepare_data()
    data.setup()
    data.say()
    log.info("data %s ready in %.1f s", data.digest, time.perf_counter() - start)
    return data


def show(data: Any) -> None:
    """Print one training example as the model sees it; what is not trained is dimmed."""
    print(data.renderer.show(data.example()))


def total_steps(config: TrainConfig, batches: Any) -> int:
    """Optimiser steps of the whole run, from the data."""
    steps = batches.steps * config.trainer.epochs
    return min(steps, config.trainer.max_steps or steps)


def build_model(config: TrainConfig, data: Any) -> Any:
    """The LightningModule, seeded, built."""
    import torch
    from lightning import seed_everything

    from architectures.causal_lm import CausalLM

    seed_everything(config.seed, verbose=False)
    torch.set_num_threads(config.trainer.threads or os.cpu_count() or 1)
    t = config.trainer
    model = {key: value for key, value in asdict(config.model).items() if key != "name"}
    optimization = {k: getattr(t, k) for k in ("learning_rate", "weight_decay", "beta2", "warmup_ratio", "log_every")}
    optimization["total_steps"] = total_steps(config, data.train_dataloader())
    origin = {"data": asdict(config.data), "evaluation": asdict(config.evaluation), "seed": config.seed, "digest": data.digest}
    module = CausalLM(model, optimization, {**origin, "name": config.model.name, "experiment": config.experiment})
    module.configure_model()
    trained, whole = module.trained, module.parameters_in_all
    log.info("%s: %s of %s parameters are trained (%.2f%%)", config.model.name, f"{trained:,}", f"{whole:,}", 100 * trained / whole)
    return module


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
    logger.log_dataset(config.data.name, data.digest, config.data.path, data.token_report["train"]["rows"])
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
    """Lightning's Trainer with early stopping and the best and last checkpoint by validation loss."""
    from lightning import Trainer
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

    t = config.trainer
    accumulate = -(-t.batch_size // (t.micro_batch_size or t.batch_size))
    best = ModelCheckpoint(folder / "checkpoints", "best", "validation/loss", save_last=True, enable_version_counter=False)
    bar = TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else 20)
    callbacks: list[Any] = [best, bar]
    if t.patience:
        callbacks.append(EarlyStopping("validation/loss", patience=t.patience))
    return Trainer(
        accelerator=t.accelerator,
        devices=1,
        precision=precision_of(config, module),  # type: ignore[arg-type]
        max_epochs=t.epochs,
        max_steps=t.max_steps or -1,
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
    log.info("training on %s in %s, %d steps", trainer.strategy.root_device, trainer.precision, total_steps(config, batches))
    start = time.perf_counter()
    trainer.fit(module, batches, data.val_dataloader())
    seconds = time.perf_counter() - start
    keeper = trainer.checkpoint_callback
    if keeper.best_model_score is None or not math.isfinite(keeper.best_model_score):
        raise ValueError("the validation loss was never finite, so there is no model to keep: lower trainer.learning_rate")
    results: dict[str, Any] = {
        "name": f"{config.experiment} r={config.model.lora_r}",
        "experiment": config.experiment,
        "lora_r": config.model.lora_r,
        "learning_rate": config.trainer.learning_rate,
        "steps": trainer.global_step,
        "seconds": seconds,
        "validation_loss": float(keeper.best_model_score),
        "digest": data.digest,
    }
    results |= test(config, data, module, trainer, "last")
    best = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
    if best["global_step"] < trainer.global_step:
        checkpoints.restore(module, best)
        results |= test(config, data, module, trainer, "best")
    else:
        results |= {name.replace("last", "best"): value for name, value in results.items()}
    module.to("cuda" if trainer.strategy.root_device.type == "cuda" else "cpu")
    checkpoints.export(module, folder / "model")
    data.renderer.tokenizer.save_pretrained(folder / "model")
    logger.log_artifact(folder / "model", "model")
    log.info("trained in %.0f s; validation loss %.4f; exported to %s", seconds, results["validation_loss"], folder / "model")
    return results


def test(config: TrainConfig, data: Any, module: Any, trainer: Any, name: str) -> dict[str, float]:
    """Loss and token accuracy on the test questions, where there are any."""
    if config.data.task != "retail" or not len(data.rows["test"]):
        return {}
    metrics = trainer.test(module, data.test_dataloader(), verbose=False)[0]
    return {f"test_loss_{name}": metrics["test/loss"], f"test_accuracy_{name}": metrics["test/accuracy"]}


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
    if config.data.task == "retail":
        print(
            f"next:  python evaluate.py ckpt={folder / 'model'}    # the same table again\n"
            "       python train.py -m +experiment=base,job-0,job-1,job-2    # the published grid\n"
            "       python train.py data=flipkart data.path=YOUR.csv    # your own rows\n"
            "       make ui    # all runs, in the browser"
        )


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
    text = report.runs_table([results for _, results in done])
    (folder / "comparison.md").write_text(text + "\n", encoding="utf-8")
    path, best = min(done, key=lambda pair: float(pair[1]["validation_loss"]))
    print(f"\n{text}\n\nbest by validation loss: {best['name']}\nnext:  python evaluate.py ckpt={path / 'model'}")
    if client and os.environ.get(PARENT):
        client.log_artifact(os.environ[PARENT], str(folder / "comparison.md"))
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
