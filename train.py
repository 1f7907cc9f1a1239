"""Entry point: prepare data, train, export, evaluate, print the table. `python train.py --help` shows how.

The only module that imports from all layers. `run` hands a run to the function of its stage.
"""

import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

import architectures
from architectures.values import Model
from config import command_line, runs, schema, sweeps
from config.schema import TrainConfig
from data.catalogue import images, inspection
from data.files import write_json
from data.reports import answer_evaluation, answer_files, evaluated_runs, next_steps, sweep
from data.reports.monitored_questions import monitored_questions
from data.scoring import summaries
from data.tokens.batching import Batching
from data.values import DataModule, JsonObject
from evaluate import evaluate, open_data

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """One run: its configuration, prepared data, folder, stop signals, the timer of its start, and the
    adapter that it goes on from.
    """

    config: TrainConfig
    data: DataModule
    folder: Path
    signals: "architectures.Signals"
    timer: "architectures.StartupTimer"
    parent: "architectures.Parent | None" = None

    @property
    def groups(self) -> tuple[JsonObject, JsonObject]:
        """The configuration groups `model` and `trainer`."""
        return asdict(self.config.model), asdict(self.config.trainer)

    def batching(self, micro_batch: int) -> Batching:
        """How rows become steps, for so many rows in a forward pass and the processes there are."""
        trainer = asdict(self.config.trainer)
        return Batching.of(trainer, micro_batch, architectures.process_count(trainer))

    def micro_batch(self) -> int:
        """Rows in a forward pass: as an earlier attempt found out, as set, or as many as surely fit."""
        lengths = [] if self.config.data.task == "labels" else self.data.rows["train"].lengths.tolist()
        size = architectures.choose_micro_batch(*self.groups, lengths)
        return int(runs.read_state(self.folder).get("micro_batch") or size)

    def module(self, steps: int) -> "architectures.FineTuned":
        """The LightningModule, for a number of optimiser steps; a classifier has a head for its labels."""
        config, origin = self.config, runs.origin(self.config) | self.data.origin
        head = self.data.head(config.trainer.class_weights) if config.data.task == "labels" else {}
        return architectures.run_module(*self.groups, head, origin, steps, config.seed, self.parent)


def run(config: TrainConfig, folder: Path, signals: "architectures.Signals") -> None:
    """One run, from the table to the verdict; or the rest of it, where an earlier attempt stopped."""
    timer = architectures.StartupTimer()
    if config.stage == "inspect":
        print(inspection.inspect(asdict(config.data), Path(config.outputs), architectures.download_data))
        return
    if architectures.is_first_process():
        runs.check_same(folder, config)
    if config.resume != "never" and runs.read_state(folder).get("status") == runs.Status.FINISHED:
        log.info("the run in %s is finished; resume=never starts it anew", folder)
        return
    if config.stage in ("plan", "fit", "all"):
        architectures.check_before_work(asdict(config))
    parent = architectures.find_parent(asdict(config.model), Path(config.outputs))
    this = Run(config, prepare(config), folder, signals, timer, parent)
    timer.mark("data")
    if config.stage != "prepare":  # which ends here
        STAGES[config.stage](this)
    if config.stage not in ("fit", "all") and sweeps.NAME_VARIABLE in os.environ:  # a sweep reads it
        runs.write_state(folder, experiment=config.experiment, status=runs.Status.FINISHED)


def prepare(config: TrainConfig) -> DataModule:
    """The data module of the task, its data prepared or found in the cache."""
    base = config.model.base if config.model.method == "fine-tune" else ""
    data = open_data({"data": asdict(config.data), "seed": config.seed}, base, Path(config.outputs))
    data.check_training_files()
    data.prepare_data()
    data.setup()
    if architectures.is_first_process():
        data.log_summary()
    return data


def show(this: Run) -> None:
    """Print the first training example as the model sees it."""
    print(this.data.show_example())


def fetch_images(this: Run) -> None:
    """Fetch the pictures of the products; print the outcomes."""
    folder = Path(this.config.outputs) / "images" / this.data.digest
    print(images.fetch_catalogue_images(this.data.folder, asdict(this.config.data), folder))


def plan(this: Run) -> None:
    """Print what training costs: weights, steps, memory by kind, and the time of a few steps."""
    batches = this.data.train_batches(this.batching(this.micro_batch()))
    print("\n" + architectures.describe_plan(*this.groups, batches, lambda: this.module(batches.steps)))


def train(this: Run) -> None:
    """Train or fit, evaluate, record, and print what to type next."""
    config, data, folder = this.config, this.data, this.folder
    if config.data.task != "pocket":
        answer_evaluation.check_evaluation(data, asdict(config.evaluation))
    first = architectures.is_first_process()
    if first:
        runs.start_run(folder, config)
    parent, settings = os.environ.get(sweeps.PARENT_VARIABLE, ""), asdict(config)
    logger = architectures.start_tracking(folder, ROOT, settings, parent, data.digest, data.training_rows)
    status, results = runs.Status.FAILED, JsonObject()
    try:
        results = fit_and_judge(this, logger)
        status = runs.Status.FINISHED
    except (KeyboardInterrupt, SystemExit, architectures.Interrupted):
        status = runs.Status.INTERRUPTED
        raise
    finally:
        logger.close(status.in_mlflow)
        if first:
            outcome = {"metric": results.get("validation"), "pruned": results.get("pruned")}
            runs.end_run(folder, status, run_id=logger.run_id, **outcome)
    if first:
        print(f"run folder: {folder}    MLflow run: {logger.run_id or 'not recorded'}")
    if first and sweeps.NAME_VARIABLE not in os.environ:
        print(next_steps.next_steps(asdict(config.data), config.experiment, folder))


STAGES = {"show": show, "images": fetch_images, "plan": plan, "fit": train, "all": train}


def fit_and_judge(this: Run, logger: "architectures.RunLogger") -> JsonObject:
    """Fit the model; in the first process evaluate it, and write results, report and artifacts."""
    config, data, folder = this.config, this.data, this.folder
    if config.data.task == "retail":
        architectures.log_prepared_data(logger, data.folder)
    this.timer.mark("record")
    model, results = fit(this, logger)
    if not architectures.is_first_process():
        return results
    results |= runs.description(config, data.digest, architectures.git_commit(ROOT))
    if config.stage == "all" and config.data.task != "pocket" and not results.get("pruned"):
        results |= judge(this, model, logger)
    write_json(folder / "results.json", results)
    if (folder / "scores.json").is_file():
        answer_evaluation.write_report([evaluated_runs.read_run(folder)], folder)
    architectures.log_results(logger, evaluated_runs.artifacts(folder), answer_files.JUDGED)
    return results


def fit(this: Run, logger: "architectures.RunLogger") -> tuple[Model, JsonObject]:
    """(the best model, results): fine-tuned, or a baseline that is fitted on the training texts."""
    config, data, folder = this.config, this.data, this.folder
    if config.model.method != "fine-tune":
        answers = Path(config.outputs) / "cache" / f"answers-{data.digest}.jsonl"
        options, origin = runs.baseline_settings(config, answers), runs.origin(config) | data.origin
        baseline = architectures.run_baseline(options, data.labels, data.multi_label, origin)
        return architectures.fit_baseline(baseline, folder / "model", logger, *data.training_texts())
    inputs = architectures.FitInputs(
        build_module=this.module,
        training_batches=lambda rows: data.train_batches(this.batching(rows)),
        evaluation_batches=data.evaluation_batches,
        describe_rows=data.describe_rows,
        save_tokenizer=data.save_tokenizer,
        remember_micro_batch=lambda rows: runs.interrupt(folder, micro_batch=rows),
        lengths=data.rows["train"].lengths,
        has_test=len(data.rows.get("test", [])) > 0,
        questions=monitored_questions(data, asdict(config)),
    )
    identity, resume = runs.identity(config) | {"the prepared data": data.digest}, config.resume != "never"
    settings = architectures.fit_settings(*this.groups, this.micro_batch(), resume, identity)
    context = architectures.RunContext(logger, folder, this.signals, config.seed)
    return architectures.fit(settings, inputs, context, this.timer)


def judge(this: Run, model: Model, logger: "architectures.RunLogger") -> JsonObject:
    """Predict, score, print the tables; what the results keep of the scores."""
    scores = evaluate(model, this.data, asdict(this.config.evaluation), this.folder, this.folder / "model")
    results, figures = summaries.results_of(scores)
    logger.log_metrics({f"evaluation/{name}": value for name, value in figures.items()})
    print(f"\n{scores['text']}\n")
    return results


@hydra.main(config_path="config", config_name="train", version_base="1.3")
def start(config: DictConfig) -> None:
    """What Hydra calls for each job."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    architectures.run_until_done(lambda signals: run(schema.typed(config), folder, signals))


def run_sweep(arguments: list[str], config: TrainConfig) -> int:
    """Run the jobs of a sweep; print them side by side, the best first; how many are not finished."""
    plan, tracking = sweeps.Sweep.of(arguments, config), config.tracking
    uri, parent = architectures.tracking_uri(tracking.uri, plan.outputs), ""
    if not plan.has_own_parent:
        parent = architectures.start_parent_run(uri, tracking.experiment, f"sweep {plan.name}", plan.command)
    os.environ |= {sweeps.NAME_VARIABLE: plan.name, sweeps.PARENT_VARIABLE: parent}
    start()
    left = sweeps.unfinished(jobs := plan.jobs())
    if text := sweep.report_sweep([job for job in jobs if job not in left], plan.folder):
        print(f"\n{text}")
        files = [*evaluated_runs.artifacts(plan.folder), plan.folder / sweeps.LEDGER]
        architectures.end_parent_run(uri, parent, files)
    if left:
        print(f"{len(left)} of {len(jobs)} jobs are not finished: the same command continues with them")
    return len(left)


def main() -> None:
    """Check the command line, then run it, as one run or as a sweep."""
    architectures.configure_process()
    os.chdir(ROOT)
    architectures.read_arguments(command_line.parse, ["evaluation.pattern"])
    sys.argv[1:] = arguments = command_line.with_experiment(sys.argv[1:])
    try:
        is_sweep, configs = command_line.check(arguments)
        if is_sweep:
            sys.exit(min(run_sweep(arguments, configs[0]), 1))
        new_folder = architectures.new_folder if architectures.is_alone() else None
        folder = command_line.run_folder(arguments, configs, new_folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    sys.argv += [f"hydra.run.dir={architectures.quoted(str(folder))}"] if folder else []
    start()


if __name__ == "__main__":
    main()
