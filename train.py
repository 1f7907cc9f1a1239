"""The control room: prepare the data, train, test, export, evaluate, print the table. `python train.py --help` shows the way.

The only module that may import from all the layers. Read it top down; each stage is one short function.
"""

import gc
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import hydra
import polars as pl
import psutil
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from architectures.registry import tracking_uri
from architectures.signals import RESUME_ME, Interrupted, Signals
from config import command_line, runs, schema
from config.schema import TrainConfig
from data import comparison, images, inspection, label_report, page, report, versions
from data.parts import shard_of
from data.tokens import digest_of
from evaluate import checks_of, configure_logging, evaluate, evaluate_labels, retail_data, version_of

log = logging.getLogger("strata")
clock = [("", psutil.Process().create_time()), ("imports", time.time())]  # (what was done until then, seconds since the epoch)
ROOT = Path(__file__).resolve().parent
PARENT, SWEEP = "STRATA_PARENT_RUN", "STRATA_SWEEP"  # environment variables: what the jobs of a sweep share
RESULTS = (".parquet", ".png", ".md", ".html")  # files of an evaluation that MLflow gets
RECORDS = ("scores.json", "results.json", "metrics.jsonl")  # so that it can be compared from there
LARGEST_DATA = 2**30  # bytes of prepared data that the tracking server gets with a run
PROBE_ROWS = 64  # texts a forward pass of the probe
PLANNED_STEPS = 4  # that stage=plan times, the first of which warms up
NO_GRADIENT = 4  # times as many rows a forward pass where no gradient is taken
# fields of trainer that the module takes
OPTIMIZATION = "learning_rate weight_decay beta2 warmup_ratio log_every schedule plateau_factor plateau_patience monitor".split()
NOT_OF_THE_NET = ("name", "method", "pooling", "probe", "head_dropout")  # fields of model that `adapters.build` does not take


def run(config: TrainConfig, folder: Path, signals: Any) -> None:
    """One run, from the table to the verdict; or the rest of it, where an earlier attempt got only so far."""
    if config.stage == "inspect":
        inspect(config)
        return
    if first_process():
        runs.check_same(folder, config)
    if config.resume != "never" and runs.read_state(folder).get("status") == "finished":
        log.info("the run in %s is finished; resume=never starts it anew", folder)
        return
    if config.model.method == "fine-tune" and config.stage in ("plan", "fit", "all"):
        world(config)
    data = prepare(config)
    if config.stage == "show":
        print(data.shown())
    if config.stage == "plan":
        plan(config, data)
    if config.stage == "images":
        fetch_images(config, data)
    if config.stage in ("prepare", "show", "plan", "images"):
        if SWEEP in os.environ:  # whose ledger asks how far each job got
            runs.write_state(folder, experiment=config.experiment, status="finished")
        return
    if config.data.task == "labels":
        checks_of(data, asdict(config.evaluation), data.rows_of("train"))  # wrong ones are told before the work, not after it
    if first_process():
        settings = runs.identity(config)
        runs.write_state(folder, config=runs.digest(settings), settings=settings, experiment=config.experiment, status="running")
    logger = start_tracking(config, data, folder)
    clock.append(("record", time.time()))
    status, results = "FAILED", dict[str, Any]()
    try:
        module, results = (fit if config.model.method == "fine-tune" else fit_baseline)(config, data, logger, folder, signals)
        if not first_process():
            return
        results = describe(config, data) | results
        if config.stage == "all" and config.data.task in ("retail", "labels") and not results.get("pruned"):
            results |= judge(config, data, module, logger, folder)
        finish(config, results, logger, folder)
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit, Interrupted):
        status = "KILLED"
        raise
    finally:
        logger.close(status)
        if first_process():
            ended = {"FINISHED": "finished", "KILLED": "interrupted", "FAILED": "failed"}[status]
            if status == "FAILED" and runs.read_state(folder)["status"] == "interrupted":
                ended = "interrupted"  # by another process, of whose end this one died
            runs.write_state(folder, status=ended, run_id=logger.run_id, metric=results.get("validation"), pruned=results.get("pruned"))
    say_next(config, folder, logger)


def inspect(config: TrainConfig) -> None:
    """Print what is in a table; or in a version of prepared data, or what changed between two."""
    if not config.data.version:
        print(inspection.inspected(Path(config.data.path)))
        return
    cache = Path(config.outputs) / "cache"
    folders = [versions.found(version_of(one, cache), cache) for one in (config.data.against, config.data.version) if one]
    print(versions.described(folders[0]) if len(folders) == 1 else versions.difference(*folders))


def fetch_images(config: TrainConfig, data: Any) -> None:
    """Fetch the pictures of the products; print what came of it."""
    folder = Path(config.outputs) / "images" / data.digest
    settings = asdict(config.data.images)
    how = images.Fetching(**{**settings, "target": settings["target"] or str(folder / "files")})
    (place, of), products = shard_of(config.data.shard), pl.read_parquet(data.folder / "catalogue.parquet", columns=["id", "images"])
    if of > 1:
        folder, products = folder / f"shard-{place}-of-{of}", products.gather_every(of, place - 1)
    manifest = images.collect(images.rows_of(products, how.per_product), how, folder)
    print(report.table(["outcome", "addresses"], [list(row) for row in images.told(manifest).rows()]))
    print(f"pictures: {how.target}    manifest: {folder / 'manifest.parquet'}")


def judge(config: TrainConfig, data: Any, module: Any, logger: Any, folder: Path) -> dict[str, Any]:
    """Predict, score, print the tables."""
    if config.data.task == "retail":
        scores = evaluate(module, data, asdict(config.evaluation), folder, folder / "model")
        results: dict[str, Any] = headline(scores)
    else:
        scores = evaluate_labels(module, data, asdict(config.evaluation), folder)
        results = {"scores": scores["splits"]}
    logger.log_metrics({f"evaluation/{name}": value for name, value in flat_figures(results).items()})
    print(f"\n{scores['text']}\n")
    return results


def finish(config: TrainConfig, results: dict[str, Any], logger: Any, folder: Path) -> None:
    """Write results and, of a model that answered questions, its page; give the tracking server all files of the evaluation."""
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if config.data.task == "retail" and (folder / "scores.json").is_file():
        comparison.write([comparison.read(folder)], folder)
    for path in sorted(path for path in folder.iterdir() if path.suffix in RESULTS or path.name in RECORDS):
        logger.log_artifact(path)


def first_process() -> bool:
    """Whether this process is the one that writes and prints, of those that a launcher has numbered."""
    return next((int(os.environ[name]) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if name in os.environ), 0) == 0


def origin_of(config: TrainConfig, data: Any) -> dict[str, Any]:
    """What a model was made of, kept with it for whoever evaluates it or goes on training it."""
    settings = {"data": asdict(config.data), "evaluation": asdict(config.evaluation), "seed": config.seed, "digest": data.digest}
    settings |= {"name": config.model.name, "experiment": config.experiment, "monitor": config.trainer.monitor}
    if config.data.task == "retail":
        settings["max_new_tokens"] = data.max_new_tokens
    return settings | {"settings": runs.identity(config)}


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
        "commit": git_commit(),
        "finished": datetime.now().isoformat(" ", "minutes"),
    }


def flat_figures(results: dict[str, Any]) -> dict[str, float]:
    """The figures among the results, by name; those of a split after its name."""
    splits = {f"{split}/{name}": value for split, scores in results.get("scores", {}).items() for name, value in scores.items()}
    return {name: value for name, value in {**results, **splits}.items() if isinstance(value, float)}


def prepare(config: TrainConfig) -> Any:
    """The data module, its data prepared or found in the cache."""
    from architectures.adapters import base_path
    from data.instructions import InstructionData
    from data.labelled_text import LabelledText
    from data.pocket import PocketData

    kinds: dict[str, Any] = {"retail": retail_data, "labels": LabelledText, "instructions": InstructionData, "pocket": PocketData}
    base = base_path(config.model.base) if config.model.method == "fine-tune" else ""
    start = time.perf_counter()
    data = kinds[config.data.task](asdict(config.data), base, Path(config.outputs) / "cache", config.seed)
    data.prepare_data()
    data.setup()
    if first_process():
        data.say()
    log.info("data %s ready in %.1f s", data.digest, time.perf_counter() - start)
    clock.append(("data", time.time()))
    return data


def train_batches(config: TrainConfig, data: Any) -> Any:
    """The training batches, for the micro-batches and the processes there are."""
    from data.tokens import Batching

    t = config.trainer
    together = micro_batch(config, data) * world(config)
    return data.train_batches(Batching(t.batch_size, -(-t.batch_size // together), t.epochs, t.max_steps))


def micro_batch(config: TrainConfig, data: Any) -> int:
    """Rows a forward pass in each process: as many as are wanted, else as many as memory is sure to hold."""
    from architectures import planning

    t, most = config.trainer, -(-config.trainer.batch_size // world(config))
    if t.micro_batch != "auto":
        return min(int(t.micro_batch), most)
    if config.data.task == "labels":  # whose models are small; should they not fit all the same, halving finds out
        return most
    device, free = memory_of(config)
    lengths = data.rows["train"].lengths.tolist()
    return planning.rows_that_fit(shapes(config), lengths, most, config.model.gradient_checkpointing, device, free, shards(config))


def shapes(config: TrainConfig) -> Any:
    """Sizes of the causal LM that is to be trained."""
    from architectures import planning
    from architectures.training import precision_of

    model = {key: value for key, value in asdict(config.model).items() if key not in NOT_OF_THE_NET}
    return planning.shapes_of(model, precision_of(config.trainer.precision, config.model.base, config.model.dtype, config.model.adapter))


def shards(config: TrainConfig) -> int:
    """Processes that share the weights."""
    return (config.trainer.shards or world(config)) if config.trainer.strategy == "fsdp" else 1


def memory_of(config: TrainConfig) -> tuple[str, float]:
    """(kind of device, free bytes for each process)."""
    import torch

    if config.trainer.accelerator != "cpu" and torch.cuda.is_available():
        return "cuda", float(torch.cuda.mem_get_info()[0])
    return "cpu", psutil.virtual_memory().available * config.trainer.nodes / world(config)


def plan(config: TrainConfig, data: Any) -> None:
    """Print what training takes: weights, steps, memory by kind, and the time of a few steps."""
    from architectures import planning
    from architectures.training import precision_of

    if config.model.method != "fine-tune" or config.data.task == "labels":
        raise ValueError("stage=plan is for the fine-tuning of causal LMs; classifiers and baselines take minutes")
    t, rows = config.trainer, data.rows["train"]
    batches, sizes, (device, free) = train_batches(config, data), shapes(config), memory_of(config)
    micro = -(-t.batch_size // (batches.accumulate * world(config)))
    longest = sorted(rows.lengths.tolist(), reverse=True)[:micro]
    kinds = planning.bytes_by_kind(sizes, longest, config.model.gradient_checkpointing, device, shards(config))
    lines = [
        ("model", f"{config.model.base}: {sizes.parameters:,} weights, {sizes.trained:,} trained"),
        (
            "data",
            f"{len(rows):,} rows, {int(rows.lengths.sum()):,} tokens, {int(rows.sizes.sum()):,} of them answers; longest {max(longest)}",
        ),
        ("steps", f"{batches.steps:,} of {t.batch_size} rows, {micro} a forward pass, in {world(config)} process(es)"),
        ("memory", f"{sum(kinds.values()) / 2**30:.2f} GiB at most, in each process; {free / 2**30:.2f} GiB are free ({device})"),
        *[("", f"{taken / 2**30:.2f} GiB {kind}") for kind, taken in kinds.items()],
    ]
    if sum(kinds.values()) > free:
        lines.append(("", "more than is free: take model.quantization=nf4, gradient checkpointing, shorter rows, or trainer=fsdp"))
    elif shards(config) == 1:
        module = build_model(config, data, batches)
        precision = precision_of(t.precision, config.model.base, config.model.dtype, config.model.adapter)
        timed = planning.seconds_of_steps(module.to(device), batches, precision, PLANNED_STEPS)
        timed = timed[1:] or timed
        seconds, tokens = sum(s for s, _ in timed) / len(timed), sum(n for _, n in timed) / len(timed)
        lines.append(("step", f"{seconds:.2f} s here, {tokens / seconds:,.0f} tokens a second in each process"))
        lines.append(("time", f"{batches.steps * seconds / 60:.1f} minutes of training, without start, validation and evaluation"))
    print("\n" + "\n".join(f"{name:8}{text}" for name, text in lines))


def world(config: TrainConfig) -> int:
    """Processes on all machines. Raises ValueError if this one has not the GPUs that are asked for."""
    from architectures.training import processes

    return processes(config.trainer.devices, config.trainer.accelerator) * config.trainer.nodes


def build_model(config: TrainConfig, data: Any, batches: Any) -> Any:
    """The LightningModule, seeded; the net in it is built too, unless it will be sharded."""
    import torch
    from lightning import seed_everything

    from architectures.causal_lm import CausalLM
    from architectures.sequence_classifier import SequenceClassifier

    seed_everything(config.seed, verbose=False)
    torch.set_num_threads(config.trainer.threads or max(1, (os.cpu_count() or 1) * config.trainer.nodes // world(config)))
    model = {key: value for key, value in asdict(config.model).items() if key not in NOT_OF_THE_NET}
    optimization = {name: getattr(config.trainer, name) for name in OPTIMIZATION}
    optimization["total_steps"] = batches.steps
    if config.data.task == "labels":
        model["head"] = {"labels": data.labels, "multi_label": data.multi_label, "pad_id": data.rows["train"].pad_id}
        model["head"] |= {"dropout": config.model.head_dropout, "pooling": config.model.pooling}
        model["class_weights"] = data.class_weights() if config.trainer.class_weights else []
    module = (SequenceClassifier if config.data.task == "labels" else CausalLM)(model, optimization, origin_of(config, data))
    if config.trainer.strategy != "fsdp":
        module.configure_model()
    return module


def build_baseline(config: TrainConfig, data: Any) -> Any:
    """A classifier that is not fine-tuned."""
    from architectures.baselines import kinds

    m, t = config.model, config.trainer
    settings = {"method": m.method, "base": m.base, "monitor": t.monitor, "seed": config.seed, "max_seq_length": config.data.max_seq_length}
    settings |= {"dtype": m.dtype, "quantization": m.quantization, "attention": m.attention, "batch_size": config.evaluation.batch_size}
    settings |= {**asdict(config.prompting), "answers": str(Path(config.outputs) / "cache" / f"answers-{data.digest}.jsonl")}
    return kinds()[m.method](settings, data.labels, data.multi_label, origin_of(config, data))


def fit_baseline(config: TrainConfig, data: Any, logger: Any, folder: Path, signals: Any) -> tuple[Any, dict[str, Any]]:
    """Fit on the training texts; leave it in ``folder/model``."""
    model = build_baseline(config, data)
    rows = data.rows_of("train")
    log.info("%s: fitting on %d texts", config.model.name, rows.height)
    start = time.perf_counter()
    model.fit(rows["text"].to_list(), data.targets(rows["labels"].to_list()))
    seconds = time.perf_counter() - start
    model.save(folder / "model")
    logger.log_artifact(folder / "model", "model")
    log.info("fitted in %.1f s; saved to %s", seconds, folder / "model")
    return model, {"seconds": seconds}


def start_tracking(config: TrainConfig, data: Any, folder: Path) -> Any:
    """The run's record: settings, code, data; locally and in MLflow."""
    from architectures.tracking import RunLogger

    commit = git_commit()
    uri = tracking_uri(config.tracking.uri, Path(config.outputs))
    tags = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": commit}
    name = f"{config.experiment} {config.model.name} {config.data.name}"
    logger = RunLogger(folder, uri, config.tracking.experiment, name, os.environ.get(PARENT, ""), tags, config.tracking.system_metrics)
    if first_process():
        OmegaConf.save(OmegaConf.structured(config), folder / "config.yaml")
    logger.log_hyperparams({**asdict(config), "git_commit": commit, "data_digest": data.digest})
    logger.log_artifact(folder / "config.yaml")
    logger.log_dataset(config.data.name, data.digest, config.data.path, data.training_rows)
    if config.data.task == "retail":
        size = sum(path.stat().st_size for path in data.folder.iterdir())
        if size <= LARGEST_DATA:
            logger.log_artifact(data.folder, "data")
        else:
            log.info("the prepared data (%.1f GiB) is not sent to the tracking server; it stays in %s", size / 2**30, data.folder)
    return logger


def fit(config: TrainConfig, data: Any, logger: Any, folder: Path, signals: Any) -> tuple[Any, dict[str, Any]]:
    """Train, whatever comes: out of memory with half the micro-batch, after gradients that are not finite from a checkpoint on."""
    import torch

    from architectures.recovery import NotFinite, out_of_memory

    micro = runs.read_state(folder).get("micro_batch")
    config = with_micro_batch(config, micro) if micro else config
    went_back = False
    while True:
        try:
            return fit_once(config, data, logger, folder, signals)
        except NotFinite as error:
            rows = data.described(error.rows)
            if went_back:
                raise ValueError(
                    f"training stopped: the gradients of more than {config.trainer.skip_steps} steps in a row are not finite, again after "
                    f"going back to the last checkpoint. Look at the rows of these steps, or lower trainer.learning_rate: {rows}"
                ) from None
            log.warning("the gradients of these rows are not finite; going back to the last checkpoint, once: %s", rows)
            went_back = True
        except Exception as error:
            if not out_of_memory(error):
                raise
            config = with_less_memory(config, data, folder)
        config = replace(config, resume="auto")
        gc.collect()  # what failed has let go of its module only now
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def with_micro_batch(config: TrainConfig, rows: int) -> TrainConfig:
    """The configuration with other micro-batches; the steps stay what they are."""
    return replace(config, trainer=replace(config.trainer, micro_batch=str(rows)))


def with_less_memory(config: TrainConfig, data: Any, folder: Path) -> TrainConfig:
    """Halve the micro-batch, and remember that; several processes cannot go on by themselves, but can be started again."""
    micro = micro_batch(config, data)
    if micro == 1:
        raise ValueError("out of memory with one row a forward pass: lower data.max_seq_length, or set model.gradient_checkpointing=true")
    half = -(-micro // 2)
    runs.write_state(folder, micro_batch=half, status="interrupted")
    log.warning("out of memory with %d rows a forward pass: going on with %d, the steps stay the same", micro, half)
    if world(config) > 1:
        raise Interrupted("out of memory", together=False)
    return with_micro_batch(config, half)


def fit_once(config: TrainConfig, data: Any, logger: Any, folder: Path, signals: Any) -> tuple[Any, dict[str, Any]]:
    """Train from the newest checkpoint, if any; test the last and the best; export the best to ``folder/model``."""
    import torch

    from architectures import checkpoint_io, checkpoints
    from architectures.training import build_trainer, precision_of
    from data.tokens import EvaluationBatches

    batches = train_batches(config, data)
    module = build_model(config, data, batches)
    precision = precision_of(config.trainer.precision, config.model.base, config.model.dtype, config.model.adapter)
    trainer: Any = build_trainer(asdict(config.trainer), batches, precision, config.seed, logger, folder, signals)
    device = trainer.strategy.root_device
    resumed, recorded = (None, 0) if config.resume == "never" else resumable(config, data, folder)
    if resumed is None and config.model.probe:
        with trainer.precision_plugin.forward_context():
            module.to(device).probe(EvaluationBatches(data.rows["train"], PROBE_ROWS))
    if first_process():
        logger.rewind(recorded)
        log.info("training on %s in %s, %d steps%s", device, trainer.precision, batches.steps, f", on from {resumed}" if resumed else "")
        clock.append(("model", time.time()))
        parts = ", ".join(f"{name} {then - before:.1f}" for (_, before), (name, then) in pairwise(clock))
        log.info("started in %.1f s: %s", clock[-1][1] - clock[0][1], parts)
    size = NO_GRADIENT * micro_batch(config, data)
    start = time.perf_counter()
    trainer.fit(module, batches, EvaluationBatches(data.rows["validation"], size), ckpt_path=resumed, weights_only=True)
    seconds = time.perf_counter() - start
    keeper = trainer.checkpoint_callback
    if keeper.best_model_score is None or not math.isfinite(keeper.best_model_score):
        raise ValueError("the validation loss was never finite, so there is no model to keep: lower trainer.learning_rate")
    results: dict[str, Any] = {"steps": trainer.global_step, "seconds": seconds, "validation": float(keeper.best_model_score)}
    tokens = float(data.rows["train"].lengths.float().mean()) * config.trainer.batch_size * trainer.global_step
    results |= {"tokens": round(tokens), "peak_gib": peak_gib()}
    results["pruned"] = any(getattr(callback, "pruned", False) for callback in trainer.callbacks)
    results |= test(config, data, module, trainer, "last", size)
    best = checkpoint_io.read(Path(keeper.best_model_path))
    if best["global_step"] < trainer.global_step:
        trainer.strategy.load_model_state_dict(best, strict=False)
        results |= test(config, data, module, trainer, "best", size)
    else:
        results |= {name.replace("last", "best"): value for name, value in results.items()}
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if not trainer.is_global_zero:
        return module, results
    if config.trainer.strategy == "fsdp":
        module = checkpoints.load(Path(keeper.best_model_path))  # whole, in this process
    module.to("cuda" if device.type == "cuda" else "cpu").eval()
    checkpoints.export(module, folder / "model")
    data.tokenizer.save_pretrained(folder / "model")
    logger.log_artifact(folder / "model", "model")
    figure = (config.trainer.monitor, results["validation"])
    log.info("trained in %.0f s; best validation %s %.4f; exported to %s", seconds, *figure, folder / "model")
    return module, results


def resumable(config: TrainConfig, data: Any, folder: Path) -> tuple[Path | None, int]:
    """(the newest sound checkpoint of the run, lines that the record had then). Raises ValueError if it is of other settings or data."""
    from architectures import checkpoint_io

    path = checkpoint_io.newest_sound(folder / "checkpoints")
    if path is None:
        return None, 0
    content = checkpoint_io.read(path)
    origin = content["hyper_parameters"]["origin"]
    here = runs.identity(config) | {"the prepared data": data.digest}
    other = runs.differences(origin["settings"] | {"the prepared data": origin["digest"]}, here)
    if other:
        raise ValueError(f"the checkpoint {path} is of another configuration; nothing was changed:\n  " + "\n  ".join(other))
    return path, content["recorded"]


def test(config: TrainConfig, data: Any, module: Any, trainer: Any, name: str, size: int) -> dict[str, float]:
    """Loss, accuracy and the monitored metric on the test rows, where there are any, ``size`` a forward pass."""
    if config.data.task == "pocket" or not len(data.rows["test"]):
        return {}
    from data.tokens import EvaluationBatches

    metrics = trainer.test(module, EvaluationBatches(data.rows["test"], size), verbose=False)[0]
    return {f"test_{key}_{name}": metrics[f"test/{key}"] for key in dict.fromkeys(("loss", "accuracy", config.trainer.monitor))}


def headline(scores: dict[str, Any]) -> dict[str, float]:
    """The few figures that runs are compared by."""
    known, unseen = (scores["grounded"][f"tuned, {kind} products"] for kind in ("known", "unseen"))
    return {
        "accuracy": known["accuracy"],
        "right_product": known["right_product"],
        "unseen_accuracy": unseen["accuracy"],
        "invented": known["invented_rate"],
        "legacy_accuracy": scores["legacy"]["tuned"]["accuracy"],
        "legacy_precision": scores["legacy"]["tuned"]["precision"],
    }


def peak_gib() -> float:
    """Most memory that this process held: of the GPU where there is one, else of the machine."""
    import resource

    import torch

    most = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**30


def say_next(config: TrainConfig, folder: Path, logger: Any) -> None:
    """What to type next."""
    print(f"run folder: {folder}    MLflow run: {logger.run_id or 'not recorded'}")
    ways = {
        "retail": f"""open {folder / "report.html"}    # the whole report
       python evaluate.py ckpt={folder / "model"} gate=true    # may it be deployed?
       make chat CKPT={folder / "model"}    # talk to it in the browser
       python train.py -m +experiment=base,job-0,job-1,job-2    # the published grid
       python train.py data=flipkart data.path=YOUR.csv    # your own rows
       make ui    # all runs, in the browser""",
        "labels": f"""python evaluate.py ckpt={folder / "model"} text="..."    # label a text
       python train.py -m +experiment={config.experiment} model=majority,keywords,tfidf,embedding,minilm data.path={config.data.path}
       python evaluate.py compare=[{config.data.name}]    # all models on this data side by side""",
    }
    if config.data.task in ways and SWEEP not in os.environ:
        print(f"next:  {ways[config.data.task]}")


def git_commit() -> str:
    """Commit of the code, with '+changes' if the tree differs from it; 'unknown' outside a git checkout."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return "unknown"

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


# --- the command line: -----------------------------------------------------------------------------------------------


def start_sweep(arguments: list[str]) -> tuple[Path, str]:
    """(folder, MLflow run under which its jobs stand) of a sweep. The same command has the same ones, unless resume=never."""
    from architectures.tracking import start_parent

    given = {key.lstrip("+"): value for key, _, value in (argument.partition("=") for argument in arguments)}
    free = ("hydra/launcher", "hydra.launcher", "hydra.sweeper.n_trials", "-")  # how many, and where, is another matter
    what = sorted(argument for argument in arguments if not argument.startswith(free))
    anew = datetime.now().strftime("_%Y-%m-%d_%H-%M-%S") if given.get("resume") == "never" else ""
    os.environ[SWEEP] = name = f"{re.sub(r'[^a-z0-9-]+', '_', given.get('experiment', 'none'))}-{digest_of(what)[:8]}{anew}"
    outputs = Path(given.get("outputs", "outputs"))
    outputs.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(given.get("tracking.uri", ""), outputs)
    if given.get("hydra/launcher") != "azureml" and given.get("hydra.launcher.dry_run") != "true":  # a workspace has parents of its own
        experiment = given.get("tracking.experiment", TrainConfig().tracking.experiment)
        os.environ[PARENT] = start_parent(uri, experiment, f"sweep {name}", f"python train.py {' '.join(arguments)}")
    return outputs / "sweeps" / name, uri


def end_sweep(folder: Path, uri: str) -> int:
    """Print the jobs side by side, the best first, and what to type next; how many of them are not finished."""
    from architectures.tracking import end_parent

    ledger = json.loads((folder / "ledger.json").read_text(encoding="utf-8")) if (folder / "ledger.json").is_file() else []
    left = [row for row in ledger if row["status"] != "finished"]
    for row in left:
        log.warning("job %d is not finished (%s): %s", row["number"], row["status"] or "not begun", row["folder"])
    ended = [Path(row["folder"]) for row in ledger if row not in left]
    done = [(path, json.loads((path / "results.json").read_text())) for path in ended if (path / "results.json").is_file()]
    if done:
        scored = [path for path, results in done if "scores" in results]  # classifiers; one that was pruned has none
        if scored:
            text, last = label_report.of_runs(scored, folder), ""
            page.write(folder, folder.name, [page.Section("Models", f"{text}\n\n![All models with 95% intervals](models.png)")])
        else:
            evaluated = [comparison.read(path) for path, _ in done if (path / "scores.json").is_file()]
            if evaluated:
                comparison.write(evaluated, folder)
            monitor, sign = done[0][1]["monitor"], 1 if done[0][1]["monitor"] == "loss" else -1
            done.sort(key=lambda pair: sign * float(pair[1]["validation"]))
            text = report.runs_table([results for _, results in done])
            path, best = done[0]
            command = next(row["overrides"] for row in ledger if row["folder"] == str(path))
            last = f"\n\nbest by validation {monitor}: {best['name']}    python train.py {command}"
            last += f"\nnext:  open {folder / 'report.html'}" if evaluated else ""
            last += f"\nnext:  python evaluate.py compare={folder} gate=true" if evaluated else ""
        print(f"\n{text}{last}")
        if os.environ.get(PARENT):
            end_parent(uri, os.environ[PARENT], [path for path in folder.iterdir() if path.suffix in RESULTS or path.name == "ledger.json"])
    if left:
        print(f"{len(left)} of {len(ledger)} jobs are not finished: the same command goes on with them")
    return len(left)


@hydra.main(config_path="config", config_name="train", version_base="1.3")
def start(config: DictConfig) -> None:
    """What Hydra calls for each job; a user's mistake is one message and status 1, being told to stop is status 75."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    signals = Signals()
    signals.listen()
    try:
        run(schema.typed(config), folder, signals)
    except Interrupted as reason:
        log.warning("stopped (%s); the same command with resume=auto goes on from there", reason)
        if not reason.together:
            end_others()
        # the first process watches the others, and takes a status of theirs for a failure; which it is, if they stop alone
        sys.exit(RESUME_ME if first_process() or not reason.together else 0)
    except Exception as error:
        end_others()
        if os.environ.get("HYDRA_FULL_ERROR") or not isinstance(error, ValueError):
            raise
        sys.exit(f"error: {error}")


def end_others() -> None:
    """End the processes that this one has started: they would wait for it."""
    for child in psutil.Process().children():
        child.kill()


def main() -> None:
    """Check the command line, then run it, as one run or as a sweep."""
    configure_logging()
    os.chdir(ROOT)
    sys.argv[1:] = arguments = command_line.with_experiment(sys.argv[1:])
    try:
        sweep, configs = command_line.check(arguments)
        clock.append(("settings", time.time()))
        if not sweep and configs and not any(argument.startswith("hydra.run.dir=") for argument in arguments):
            folder = runs.folder_of(configs[0])
            sys.argv += [f"hydra.run.dir='{folder}'"] if folder else []
    except ValueError as error:
        sys.exit(f"error: {error}")
    if not sweep:
        start()
        return
    folder, uri = start_sweep(arguments)
    start()
    sys.exit(min(end_sweep(folder, uri), 1))


if __name__ == "__main__":
    main()
