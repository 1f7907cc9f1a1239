"""The typed schema: every field of a run with its default, unit, valid values and range; and the checks of
a configuration.
"""

from functools import cache

from omegaconf import DictConfig, OmegaConf

from config.schema.checks import KEYS, RULES, is_known, problems_of, unknown_key
from config.schema.fields import Values
from config.schema.model import PROJECTIONS
from config.schema.run import TrainConfig

__all__ = [
    "KEYS",
    "PROJECTIONS",
    "RULES",
    "TrainConfig",
    "defaults",
    "is_known",
    "plain",
    "problems_of",
    "typed",
    "unknown_key",
]


def plain(config: DictConfig) -> Values:
    """A configuration as plain dictionaries and lists."""
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def defaults() -> Values:
    """The schema's defaults as a plain tree, on which YAML groups and the command line build."""
    return plain(_structured())


@cache
def _structured() -> DictConfig:
    """The schema's defaults, typed."""
    return OmegaConf.structured(TrainConfig)


def typed(config: DictConfig) -> TrainConfig:
    """A checked configuration as dataclasses."""
    merged = OmegaConf.merge(_structured(), plain(config))
    instance = OmegaConf.to_object(merged)
    assert isinstance(instance, TrainConfig)
    return instance
