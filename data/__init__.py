"""Tables and text in, token batches out; scores predictions against tables. Knows no model.

The names below are the layer's public API; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.catalogue.reading import read_table as read_table
    from data.modules.opening import open_data as open_data
    from data.scoring.summaries import summarise as summarise
    from data.scoring.verdicts import judge as judge
    from data.tokens.batches import EvaluationBatches as EvaluationBatches
    from data.tokens.batches import TrainingBatches as TrainingBatches
    from data.tokens.batching import Batching as Batching
    from data.tokens.prompts import Renderer as Renderer
    from data.tokens.rows import TokenRows as TokenRows

_MODULES = {
    "read_table": "data.catalogue.reading",
    "open_data": "data.modules.opening",
    "summarise": "data.scoring.summaries",
    "judge": "data.scoring.verdicts",
    "Batching": "data.tokens.batching",
    "EvaluationBatches": "data.tokens.batches",
    "TrainingBatches": "data.tokens.batches",
    "Renderer": "data.tokens.prompts",
    "TokenRows": "data.tokens.rows",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    """Import a name of the public API when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
