"""The command line, checked whole before anything is loaded: every job of a sweep, every mistake at once."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from config import runs, schema

HERE = Path(__file__).resolve().parent
ONLY_ASKS = (
    "-h",
    "--help",
    "--hydra-help",
    "--version",
    "-i",
    "--info",
    "-c",
    "--cfg",
    "-sc",
    "--shell-completion",
)

ConfigStore.instance().store("schema", schema.defaults())
Plugins.instance()  # first, for Optuna's plugin stores a configuration of that name too
ConfigStore.instance().store("optuna", OmegaConf.load(HERE / "optuna.yaml"), "hydra/sweeper", "_global_")
OmegaConf.register_new_resolver("twice", lambda value: 2 * value, replace=True)


def with_experiment(arguments: list[str]) -> list[str]:
    """Without an experiment and without another model, the quickstart, which is tuned for the embedded
    model.
    """
    keys = [argument.split("=", 1)[0].lstrip("+~") for argument in arguments]
    return arguments if "experiment" in keys or "model" in keys else [*arguments, "+experiment=quickstart"]


def ends_of(line: str) -> str:
    """An override as it is; of one that gives an interval to search, its two ends."""
    value = OverridesParser.create().parse_override(line).value()
    return f"{line.split('=', 1)[0]}={value.start},{value.end}" if isinstance(value, IntervalSweep) else line


def direction_of(composed: DictConfig) -> list[str]:
    """What is wrong with the direction of a search."""
    monitor, direction = composed.trainer.monitor, composed.hydra.sweeper.get("direction")
    right = "minimize" if monitor == "loss" else "maximize"
    return (
        [f"hydra.sweeper.direction={direction}: of {monitor}, {right}"]
        if direction not in (None, right)
        else []
    )


def check(arguments: list[str]) -> tuple[bool, list[schema.TrainConfig]]:
    """Check every job of a command line before anything is loaded; say whether it is a sweep, and what the
    jobs are.

    What Hydra itself answers (--help and the like) is left to it. Raises ValueError with all that is wrong.
    """
    if any(argument in ONLY_ASKS for argument in arguments):
        return False, []
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    problems: list[str] = []
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        groups = {str(path.relative_to(HERE)) for path in HERE.rglob("*") if path.is_dir()} | {"hydra"}
        strange = [
            o
            for o in parsed
            if not (
                o.key_or_group in groups
                or schema.is_known(o.key_or_group)
                or o.key_or_group.startswith("hydra")
            )
        ]
        problems += [schema.unknown_key(o.key_or_group) for o in strange]
        sound = [o for o in parsed if o not in strange]
        with initialize_config_dir(str(HERE), version_base="1.3"):
            plain = [str(o.input_line) for o in sound if not o.is_sweep_override()]
            composed = compose("train", plain, return_hydra_config=True)
            sweep = (
                "-m" in arguments
                or "--multirun" in arguments
                or str(composed.hydra.mode) == "RunMode.MULTIRUN"
            )
            params = composed.hydra.sweeper.params or {} if sweep else {}
            lines = [f"{key}={value}" for key, value in params.items()] + [str(o.input_line) for o in sound]
            lines = [ends_of(line) for line in lines]
            jobs = (
                BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(lines), None)[0]
                if sweep
                else [lines]
            )
            composed_jobs = [compose("train", job) for job in jobs]
            problems += direction_of(composed) if sweep else []
            for config in composed_jobs:
                problems += [p for p in schema.problems_of(config) if p not in problems]
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        problems.append(str(error))
    if problems:
        raise ValueError("the configuration is not sound; nothing was started:\n  " + "\n  ".join(problems))
    return sweep, [schema.typed(config) for config in composed_jobs]


def run_folder(arguments: list[str], configs: list[schema.TrainConfig]) -> list[str]:
    """The override that puts a resumed run into its folder; none where a new folder is made, or one is set.

    Raises ValueError if the folder holds no such run.
    """
    is_set = any(argument.startswith("hydra.run.dir=") for argument in arguments)
    folder = runs.folder_of(configs[0]) if configs and not is_set else None
    return [f"hydra.run.dir='{folder}'"] if folder else []
