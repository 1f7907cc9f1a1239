"""Every mistake in a composed configuration, found at once: unknown keys, wrong types, invalid values, bad
combinations.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from config.schema.combinations import check_combinations
from config.schema.data import COLUMNS
from config.schema.fields import Rule, Values, walk
from config.schema.run import TrainConfig

OPEN_GROUPS = ("evaluation.slices", "data.mixture")  # dictionaries whose keys are the user's own
ALIASES = {  # names that other frameworks use
    "rank": "model.lora_r",
    "alpha": "model.lora_alpha",
    "dropout": "model.lora_dropout",
    "lr": "trainer.learning_rate",
    "max_length": "data.max_seq_length",
    "num_epochs": "trainer.epochs",
    "num_train_epochs": "trainer.epochs",
    "max_epochs": "trainer.epochs",
    "clip": "trainer.max_grad_norm",
    "grad_clip": "trainer.max_grad_norm",
    "gradient_clip_val": "trainer.max_grad_norm",
    "per_device_train_batch_size": "trainer.batch_size",
}
RULES = {key: rule for key, _, rule in walk(TrainConfig) if rule is not None}
KEYS = tuple(key for key, _, _ in walk(TrainConfig))
SETTABLE = (*KEYS, *(f"data.columns.{name}" for name in COLUMNS))


def is_known(key: str) -> bool:
    """Whether the command line may set a dotted key."""
    parent = key.rpartition(".")[0]
    return key in SETTABLE or parent in OPEN_GROUPS


def unknown_key(key: str) -> str:
    """The message for a key that the schema does not have, with the nearest one that it has."""
    leaf = key.rsplit(".", 1)[-1]
    alias = difflib.get_close_matches(leaf, ALIASES, 1, 0.7)
    if alias:
        return f"{key}: no such key; did you mean {ALIASES[alias[0]]}?"
    leaves = {known.rsplit(".", 1)[-1]: known for known in reversed(KEYS)}
    near_key = difflib.get_close_matches(key, SETTABLE, 1, 0.6)
    near_leaf = difflib.get_close_matches(leaf, leaves, 1, 0.6)
    suggestions = near_key + [leaves[name] for name in near_leaf]
    return f"{key}: no such key" + (f"; did you mean {suggestions[0]}?" if suggestions else "")


def problems_of(config: DictConfig) -> list[str]:
    """All that is wrong with a composed configuration, one line each; empty if nothing is."""
    values: Values = {}
    problems = list(_check_types(config, TrainConfig, "", values))
    for key, value in values.items():
        problems += _check_value(key, value, RULES[key])
    return problems + list(check_combinations(values))


def _check_types(node: Any, cls: type, prefix: str, values: Values) -> Iterator[str]:
    """Compare one level with its dataclass: keys and types. Values of the right type are collected in
    ``values``.
    """
    if not isinstance(node, DictConfig):
        yield f"{prefix.rstrip('.')}: must be a group of settings, not {node!r}"
        return
    types, holder = _types_of(cls)
    for name in map(str, node):
        key = f"{prefix}{name}"
        if name not in types:
            yield unknown_key(key)
        elif is_dataclass(types[name]):
            yield from _check_types(node[name], types[name], f"{key}.", values)
        else:
            try:
                holder[name] = node[name]
                value = holder[name]
                is_container = OmegaConf.is_config(value)
                values[key] = OmegaConf.to_container(value, resolve=True) if is_container else value
            except MissingMandatoryValue:
                yield f"{key}: no value is given; set {key}=... on the command line"
            except OmegaConfBaseException as error:
                yield f"{key}: {str(error).splitlines()[0]}"


@cache
def _types_of(cls: type) -> tuple[dict[str, type], DictConfig]:
    """The types of a dataclass's fields, and a configuration that takes values of these types alone."""
    return get_type_hints(cls), OmegaConf.structured(cls)


def _check_value(key: str, value: Any, rule: Rule) -> Iterator[str]:
    """Compare one value with its field's rule: choices, entries of a list, range."""
    if isinstance(value, list | dict):
        yield from _check_items(key, value, rule)
    elif rule.choices and value not in rule.choices:
        hint = nearest(str(value), rule.choices)
        yield f"{key}={value}: must be one of {', '.join(rule.choices)}{hint}"
    elif rule.range_text and value is not None and not rule.allows(value):
        hint = f" ({rule.hint})" if rule.hint else ""
        yield f"{key}={value}: must be {rule.range_text}{hint}"


def _check_items(key: str, value: Iterable[str], rule: Rule) -> Iterator[str]:
    """Compare the entries of a list, or the keys of a dictionary, with the valid ones."""
    for item in value:
        if rule.items and item not in rule.items:
            what = f"{rule.item} {item!r}" if rule.item else repr(item)
            hint = nearest(item, rule.items) or f"; valid are {', '.join(rule.items)}"
            yield f"{key}: unknown {what}{hint}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """'; did you mean X?' for the nearest choice; empty if none is near."""
    near = difflib.get_close_matches(word, list(choices), 1)
    return f"; did you mean {near[0]}?" if near else ""
