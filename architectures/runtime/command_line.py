"""The command line of an entry script: values that Hydra cannot parse, unknown keys, invalid values."""

import difflib
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from architectures.values import CommandLine, Settings

KEY_AND_VALUE = re.compile(r"([+~]{0,2}[\w./@-]+)=(.*)", re.DOTALL | re.ASCII)
NO_VALUE = re.compile(r"~[\w./@-]+", re.ASCII)  # a setting that is deleted
STRUCTURES = ("[", "{", "'", '"')  # with which lists, mappings and quoted texts begin
ITEM = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([^][{},"']+)""", re.DOTALL)


def quoted(text: str) -> str:
    """A text as Hydra's command line takes it, whatever it holds."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text.replace("${", "\\${"))
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{trailing * chr(92)}"'


def read_arguments(parse: Callable[[str], object], texts: Sequence[str] = (), known: object = None) -> None:
    """Replace the arguments of this process by those that Hydra can parse, as `plain_arguments` gives them.
    One that cannot be read ends the process with one message.
    """
    try:
        sys.argv[1:] = plain_arguments(sys.argv[1:], parse, texts, known)
    except ValueError as error:
        sys.exit(f"error: {error}")


def plain_arguments(
    arguments: Sequence[str],
    parse: Callable[[str], object],
    texts: Sequence[str] = (),
    known: object = None,
) -> list[str]:
    """Arguments whose values Hydra can parse: others, such as a path with '=' or spaces, are quoted.

    Args:
        parse: Hydra's parser of one argument, which raises an exception where it cannot. texts: keys whose
        values are texts, which are quoted in any case. known: the settings that there are, a mapping;
        another key, at any depth, is marked as new, so that the checks name it rather than Hydra. None: all
        are left to Hydra.

    Raises ValueError for an argument that is neither an option nor KEY=VALUE, and for a list, a mapping or a
    quoted text that has no end.
    """
    keys = None if known is None else _dotted_keys(known)
    plain = []
    for argument in arguments:
        match = KEY_AND_VALUE.fullmatch(argument)
        if match:
            key, value = match.groups()
            argument = f"{key}={_plain_value(key, value, parse, key.lstrip('+') in texts)}"
            path = re.split(r"[/@]", key)[0]
            is_unknown = keys is not None and path not in keys and path.split(".")[0] != "hydra"
            if is_unknown and not key.startswith(("+", "~")):
                argument = f"+{argument}"
        elif argument and not argument.startswith("-") and not NO_VALUE.fullmatch(argument):
            known_keys = "docs/configuration.md lists the keys"
            raise ValueError(f"{argument}: an argument is KEY=VALUE, such as seed=1; {known_keys}")
        plain.append(argument)
    return plain


def _plain_value(key: str, value: str, parse: Callable[[str], object], is_text: bool) -> str:
    """A value that Hydra can parse. Raises ValueError if there is none."""
    if is_text and not value.startswith(("'", '"')):
        return quoted(value)
    if not value or _parses(parse, f"key={value}"):
        return value
    if not value.startswith(STRUCTURES):
        return quoted(value)
    items = _quoted_items(value, parse)
    if _parses(parse, f"key={items}"):
        return items
    as_text = shlex.quote(f"{key}={quoted(value)}")
    raise ValueError(
        f"{key}={value}: a bracket, a comma or a quotation mark is missing or is one too many; if the value "
        f"is a text, type {as_text}"
    )


def _quoted_items(structure: str, parse: Callable[[str], object]) -> str:
    """A list or mapping with quotes around the values that need them, such as words in other letters than
    English ones.
    """
    has_keys = "{" in structure

    def quote_item(match: re.Match[str]) -> str:
        in_quotes, item = match.groups()
        if in_quotes:
            return str(in_quotes)
        head, colon, value = item.partition(":") if has_keys and ":" in item else ("", "", item)
        needs_none = not value.strip() or _parses(parse, f"key=[{value}]")
        return str(item) if needs_none else f"{head}{colon}{quoted(value.strip())}"

    return ITEM.sub(quote_item, structure)


def _dotted_keys(settings: object, prefix: str = "") -> list[str]:
    """All keys, those of a group behind its name and a dot."""
    keys = []
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            keys += [f"{prefix}{name}", *_dotted_keys(value, f"{prefix}{name}.")]
    return keys


def _parses(parse: Callable[[str], object], argument: str) -> bool:
    """Whether a parser takes an argument."""
    try:
        parse(argument)
    except Exception:  # noqa: BLE001 Hydra's own exceptions, which this layer does not know
        return False
    return True


def check_settings(
    settings: CommandLine,
    keys: Iterable[str],
    choices: Mapping[str, Collection[str]],
    ranges: Mapping[str, tuple[float, float]],
) -> list[str]:
    """All that is wrong, one line each.

    Args:
        keys: that there are, or key -> default. choices: key -> valid values, of a text or of each entry of a
        list; null is always valid.
        ranges: key -> lowest and highest number; null is valid where it is the default.
    """
    known = list(keys)
    problems = [unknown(str(key), known) for key in settings if str(key) not in known]
    problems += _check_choices(settings, choices)
    for key, (lowest, highest) in ranges.items():
        value = settings[key]
        if value is None and isinstance(keys, Mapping) and keys[key] is None:
            continue
        if not isinstance(value, int | float) or not lowest <= value <= highest:
            problems.append(f"{key}={value}: must be a number from {lowest} to {highest}")
    return problems


def _check_choices(settings: CommandLine, choices: Mapping[str, Collection[str]]) -> list[str]:
    """Values that are not valid, one line each. choices: as for `check_settings`."""
    problems: list[str] = []
    for key, valid in choices.items():
        value = settings[key]
        if isinstance(value, str) and value not in valid:
            problems.append(f"{key}={value}: must be one of {', '.join(valid)}")
        elif value is not None and not isinstance(value, str):
            invalid = [item for item in value if item not in valid]
            problems += [f"{key}: unknown {item!r}; valid are {', '.join(valid)}" for item in invalid]
    return problems


def missing_checkpoint(settings: CommandLine, entry: str) -> list[str]:
    """The problem of a command line that names neither a model nor runs to compare. entry: the script, for
    example `evaluate.py`.
    """
    known = "a checkpoint, an exported folder, an MLflow run id or models:/NAME@ALIAS"
    is_named = settings["ckpt"] is not None or settings.get("compare") is not None
    return [] if is_named else [f"ckpt: give {known}: python {entry} ckpt=..."]


def check_page(settings: CommandLine) -> list[str]:
    """What is wrong with the settings of app.py that depend on one another or on files, one line each."""
    if settings["page"] not in ("chat", "runs"):
        return [f"page={settings['page']}: must be chat or runs"]
    if settings["page"] == "runs":
        open_to_others = settings["host"] not in ("127.0.0.1", "localhost") or settings["share"]
        return ["page=runs: starts programs, so it listens on 127.0.0.1 alone"] if open_to_others else []
    problems = missing_checkpoint(settings, "app.py") + _check_deploy(settings)
    if settings["backend"] == "vllm" and settings["against"] not in (None, "untuned"):
        problems.append("against: one vLLM server holds one model and its base; set backend=transformers")
    if settings["images"] and not Path(settings["images"]).is_dir():
        problems.append(
            f"images={settings['images']}: no such folder; python train.py stage=images ... writes it"
        )
    return problems


def _check_deploy(settings: CommandLine) -> list[str]:
    """What is wrong with the folder that app.py is to write, and with the name of its services."""
    problems = []
    if settings["space"] and settings["deploy"]:
        problems.append("space and deploy: write one folder at a time")
    name, folder = settings["served_model"] or "strata", settings["deploy"]
    if not folder:
        return problems
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", str(name)):
        allowed = "lower-case letters, digits and hyphens, a letter first"
        problems.append(f"served_model={name}: names the services too: {allowed}")
    place = Path(folder)
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        problems.append(f"deploy={folder}: is not empty; give another folder")
    return problems


def unknown(key: str, known: Sequence[str]) -> str:
    """The message for an unknown key, with the nearest one, or all that there are."""
    near = difflib.get_close_matches(key, known, 1)
    return f"{key}: no such key; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")


def override(settings: Settings, command_line: CommandLine) -> Settings:
    """Settings with the values that the command line sets; null sets nothing. One text for a list is its only
    entry.
    """
    given = {str(key): value for key, value in command_line.items() if key in settings and value is not None}
    lists: Settings = {}
    for key, value in given.items():
        if isinstance(settings[key], list):
            lists[key] = [value] if isinstance(value, str) else list(value)
    return {**settings, **given, **lists}


def report_problems(problems: Sequence[str]) -> None:
    """Raise ValueError with all problems, if there are any."""
    if problems:
        raise ValueError("\n  ".join(problems))
