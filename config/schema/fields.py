"""A configuration field: its default, its meaning and unit, its valid values and range, all in one place."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

Values = dict[str, Any]  # values by key or dotted key; each field has a type of its own

RULE = "rule"  # the key of a field's metadata


@dataclass(frozen=True)
class Rule:
    """What is known of one field beside its type and default.

    Args:
        doc: meaning and unit. choices: valid values; empty: any. items: valid entries of a list, or keys of a
            dictionary. item: what an entry is called in messages. at_least, at_most, below: range of a
            number.
        hint: added to the message when the value is out of range.
    """

    doc: str
    choices: Sequence[str] = ()
    items: Sequence[str] = ()
    item: str = ""
    at_least: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf
    hint: str = ""

    @property
    def range_text(self) -> str:
        """The range in words; empty if there is none."""
        if self.at_least == -math.inf:
            return ""
        if self.below < math.inf:
            return f"at least {self.at_least:g} and below {self.below:g}"
        if self.at_most < math.inf:
            return f"at least {self.at_least:g} and at most {self.at_most:g}"
        return f"at least {self.at_least:g}"

    def allows(self, value: float) -> bool:
        """Whether a number is in range; one that is not a number never is."""
        return self.at_least <= value <= self.at_most and (self.below == math.inf or value < self.below)


def setting(default: Any, doc: str, **rule: Any) -> Any:  # a dataclass field stands for a value of any type
    """A field of a configuration dataclass; the keyword arguments are those of `Rule`."""
    metadata = {RULE: Rule(doc, **rule)}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def walk(cls: type, prefix: str = "") -> Iterator[tuple[str, type | None, Rule | None]]:
    """Every dotted key below a configuration dataclass: (key, dataclass of a group or None, rule of a
    field or None).
    """
    types = get_type_hints(cls)
    for one in fields(cls):
        key = f"{prefix}{one.name}"
        if is_dataclass(types[one.name]):
            yield key, types[one.name], None
            yield from walk(types[one.name], f"{key}.")
        else:
            yield key, None, one.metadata[RULE]
