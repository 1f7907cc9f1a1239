"""Names for what has no static type: models whose classes are chosen at run time, batches of a data layer,
and plain values.
"""

from collections.abc import Mapping
from typing import Any

Model = Any  # a FineTuned or a Baseline: what it offers depends on its task
Net = Any  # a model of transformers, possibly wrapped by PEFT: its class and attributes depend on the base
Configuration = Any  # a configuration of transformers: its fields depend on the base
Tokenizer = Any  # a tokenizer of transformers: its class depends on the base
Layer = Any  # a layer of transformers or PEFT: its attributes depend on its kind
Context = Any  # what an autograd function keeps between its passes, as attributes of its own
Batch = dict[str, Any]  # tensors and plain values by name; which ones depends on the task
Identity = list[Any]  # plain values that JSON can write, which determine what a model answers
Settings = dict[str, Any]  # plain values by name, as the configuration gives them
State = dict[str, Any]  # tensors and plain values by name: of an optimiser, a loop, a checkpoint
Json = Any  # any value that JSON can hold
JsonObject = dict[str, Any]  # plain values by name, nested, as a JSON file holds them
CommandLine = Mapping[str, Any]  # values by key, as a DictConfig of Hydra gives them
Event = Any  # of Gradio: a component, or what one hands to a function; their events have no static type
