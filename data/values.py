"""Names for plain values that have no static type: a configuration group, what a JSON file holds, a batch."""

from typing import Any

Settings = dict[str, Any]  # fields of a configuration group by name; each field has a type of its own
JsonObject = dict[str, Any]  # counts, figures and texts by name, nested, as a JSON file holds them
Json = Any  # any value that JSON can hold
Batch = dict[str, Any]  # tensors and plain values by name; which ones depends on the task
DataModule = Any  # a data.modules.opening.AnyData: what it offers depends on the task
