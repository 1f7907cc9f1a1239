"""Hydra groups in YAML, and the typed schema that they refine: every field with its default, unit and check.

The names below are the layer's public API; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.schema import TrainConfig as TrainConfig
    from config.schema import defaults as defaults
    from config.schema import problems_of as problems_of
    from config.schema import typed as typed

_MODULES = {
    "TrainConfig": "config.schema",
    "defaults": "config.schema",
    "problems_of": "config.schema",
    "typed": "config.schema",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    """Import a name of the public API when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
