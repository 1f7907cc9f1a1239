"""Checks of an entry script's command line: unknown keys, invalid values, numbers out of range."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def check_settings(
    settings: Mapping[str, Any],
    keys: Iterable[str],
    choices: Mapping[str, Sequence[str]],
    ranges: Mapping[str, tuple[float, float]],
) -> list[str]:
    """All that is wrong, one line each.

    Args:
        keys: that there are. choices: key -> valid values, of a text or of each entry of a list; null is
        always valid.
        ranges: key -> lowest and highest number.
    """
    known = list(keys)
    problems = [unknown(str(key), known) for key in settings if str(key) not in known]
    for key, valid in choices.items():
        value = settings[key]
        if isinstance(value, str) and value not in valid:
            problems.append(f"{key}={value}: must be one of {', '.join(valid)}")
        elif value is not None and not isinstance(value, str):
            invalid = [item for item in value if item not in valid]
            problems += [f"{key}: unknown {item!r}; valid are {', '.join(valid)}" for item in invalid]
    for key, (lowest, highest) in ranges.items():
        value = settings[key]
        if not isinstance(value, int | float) or not lowest <= value <= highest:
            problems.append(f"{key}={value}: must be a number from {lowest} to {highest}")
    return problems


def missing_checkpoint(entry: str) -> str:
    """The problem of a command line that names no model. entry: the script, for example `evaluate.py`."""
    known = "a checkpoint, an exported folder, an MLflow run id or models:/NAME@ALIAS"
    return f"ckpt: give {known}: python {entry} ckpt=..."


def unknown(key: str, known: Sequence[str]) -> str:
    """The message for an unknown key, with the nearest one, or all that there are."""
    near = difflib.get_close_matches(key, known, 1)
    return f"{key}: no such key; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")


def override(settings: Mapping[str, Any], command_line: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the values that the command line sets; null sets nothing."""
    given = {str(key): value for key, value in command_line.items() if key in settings and value is not None}
    lists = {key: list(value) for key, value in given.items() if isinstance(settings[key], list)}
    return {**settings, **given, **lists}


def report_problems(problems: Sequence[str]) -> None:
    """Raise ValueError with all problems, if there are any."""
    if problems:
        raise ValueError("\n  ".join(problems))
