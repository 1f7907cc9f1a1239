"""The command line, checked whole before anything is loaded: every job of a sweep, every mistake at once."""

from collections.abc import Callable
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from config import runs, schema
from config.compatibility import split_jobs

HERE = Path(__file__).resolve().parent
ONLY_ASKS = "-h --help --hydra-help --version -i --info -c --cfg -sc --shell-completion".split()

ConfigStore.instance().store("schema", schema.defaults())
Plugins.instance()  # first, for Optuna's plugin stores a configuration of that name too
ConfigStore.instance().store("optuna", OmegaConf.load(HERE / "optuna.yaml"), "hydra/sweeper", "_global_")
OmegaConf.register_new_resolver("twice", lambda value: 2 * value, replace=True)


def _tasks(chosen: dict[str, str]) -> set[str]:
    """The tasks that a command line asks for, of a sweep several; "" for one that the line does not tell.
    chosen: key -> value.
    """
    if "data.task" in chosen:
        return set(chosen["data.task"].split(","))
    tasks = set()
    for table in chosen.get("data", "sample").split(","):
        path = HERE / "data" / f"{table}.yaml"
        content = OmegaConf.load(path) if path.is_file() else OmegaConf.create({"task": ""})
        tasks.add(str(OmegaConf.select(content, "task", default="retail")))
    return tasks


def with_experiment(arguments: list[str]) -> list[str]:
    """The arguments, with an experiment where they name none: for a catalogue `quickstart`, which is tuned to
    the embedded model, or `assistant` where they name a model. Other tasks have no default.
    """
    pairs = (argument.partition("=") for argument in arguments)
    chosen = {key.lstrip("+~"): value for key, _, value in pairs}
    if "experiment" in chosen or _tasks(chosen) != {"retail"}:
        return arguments
    own_model = "model" in chosen or "model.base" in chosen
    return [*arguments, f"+experiment={'assistant' if own_model else 'quickstart'}"]


def parse(argument: str) -> Override:
    """An argument as Hydra reads it. Raises HydraException if it cannot."""
    return OverridesParser.create().parse_override(argument)


def _ends_of(line: str) -> str:
    """An override as it is; of one that gives an interval to search, its two ends."""
    value = parse(line).value()
    return f"{line.split('=', 1)[0]}={value.start},{value.end}" if isinstance(value, IntervalSweep) else line


def _direction_problems(composed: DictConfig) -> list[str]:
    """What is wrong with the direction of a search."""
    monitor, direction = composed.trainer.monitor, composed.hydra.sweeper.get("direction")
    right = "minimize" if monitor == "loss" else "maximize"
    if direction in (None, right):
        return []
    return [f"hydra.sweeper.direction={direction}: of {monitor}, {right}"]


def check(arguments: list[str]) -> tuple[bool, list[schema.TrainConfig]]:
    """(whether it is a sweep, its jobs): every job of a command line, checked before anything is loaded.

    What Hydra itself answers (--help and the like) is left to it. Raises ValueError with all that is wrong.
    """
    if any(argument in ONLY_ASKS for argument in arguments):
        return False, []
    lines = [argument for argument in arguments if not argument.startswith("-")]
    problems: list[str] = []
    try:
        overrides = OverridesParser.create().parse_overrides(lines)
        unknown = _unknown_overrides(overrides)
        problems += [schema.unknown_key(override.key_or_group) for override in unknown]
        known = [override for override in overrides if override not in unknown]
        with initialize_config_dir(str(HERE), version_base="1.3"):
            is_sweep, jobs, found = _compose_jobs(known, "-m" in arguments or "--multirun" in arguments)
        problems += found
        for config in jobs:
            problems += [problem for problem in schema.problems_of(config) if problem not in problems]
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        problems.append(str(error))
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"the configuration is not valid; nothing was started:\n  {listed}")
    return is_sweep, [schema.typed(config) for config in jobs]


def _unknown_overrides(overrides: list[Override]) -> list[Override]:
    """The overrides whose key neither the schema nor Hydra has."""
    groups = {str(path.relative_to(HERE)) for path in HERE.rglob("*") if path.is_dir()} | {"hydra"}
    unknown = []
    for override in overrides:
        key = override.key_or_group
        if key not in groups and not schema.is_known(key) and not key.startswith("hydra"):
            unknown.append(override)
    return unknown


def _compose_jobs(overrides: list[Override], multirun: bool) -> tuple[bool, list[DictConfig], list[str]]:
    """(whether it is a sweep, the configurations of its jobs, what is wrong with its direction)

    Args:
        multirun: whether the command line asks for a sweep; a configuration may do so, too.
    """
    single = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    composed = compose("train", single, return_hydra_config=True)
    lines = [str(override.input_line) for override in overrides]
    if not multirun and str(composed.hydra.mode) != "RunMode.MULTIRUN":
        if single != lines:
            composed = compose("train", [_ends_of(line) for line in lines])
        with open_dict(composed):
            composed.pop("hydra", None)
        return False, [composed], []
    searched = [f"{key}={value}" for key, value in (composed.hydra.sweeper.params or {}).items()]
    jobs = split_jobs([_ends_of(line) for line in searched + lines])
    return True, [compose("train", job) for job in jobs], _direction_problems(composed)


def run_folder(
    arguments: list[str],
    configs: list[schema.TrainConfig],
    new_folder: Callable[[Path, str], Path] | None,
) -> Path | None:
    """The folder of the run: of a resumed one its own, else a new one that no other run has; None where the
    command line sets one.

    Args:
        new_folder: makes a folder in a parent folder, named by the time and a label; None for one of several
        processes of a run, which share a folder.

    Raises ValueError if the folder to resume holds no such run.
    """
    is_set = any(argument.startswith("hydra.run.dir=") for argument in arguments)
    if is_set or not configs:
        return None
    found = runs.folder_of(configs[0])
    if found or not new_folder:
        return found
    return new_folder(Path(configs[0].outputs) / "runs", configs[0].experiment)
