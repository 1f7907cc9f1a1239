"""Private APIs of Hydra: the jobs that its basic sweeper makes of a command line."""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


def split_jobs(lines: list[str]) -> list[list[str]]:
    """The overrides of each job of a sweep. lines: overrides, of which some give several values."""
    jobs: list[list[str]] = BasicSweeper.split_arguments(
        OverridesParser.create().parse_overrides(lines), None
    )[0]
    return jobs
