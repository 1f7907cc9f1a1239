"""Private APIs of Hydra and Azure ML: the jobs of a sweep, and the job behind a node of a pipeline."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


def split_jobs(lines: list[str]) -> list[list[str]]:
    """The overrides of each job of a sweep. lines: overrides, of which some give several values."""
    jobs: list[list[str]] = BasicSweeper.split_arguments(
        OverridesParser.create().parse_overrides(lines), None
    )[0]
    return jobs


def job_of_node(node: Any) -> Any:  # nodes and jobs of azure.ai.ml, which has no types
    """The stand-alone job that a node of a pipeline describes."""
    return node._to_job()
