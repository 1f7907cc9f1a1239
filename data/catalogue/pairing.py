"""What goes with what in a shop, which attributes may be asked about, and what shoppers call things: a YAML
file beside the column map.

``data.pairing`` names the file; `data/catalogue/pairings/clothing.yaml` is the one that the project brings.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data.values import JsonObject

SHIPPED = Path(__file__).parent / "pairings"
NONE = "none"  # the value of data.pairing for a shop in which nothing goes with anything
FIELDS = ("kinds", "goes_with", "worn", "attributes", "words")


@dataclass(frozen=True)
class Pairing:
    """What goes with what, and what shoppers call it.

    kinds: kind of product -> regular expression for the words that name it; of several that fit a word, the
    first counts. goes_with: kind -> the kinds that go with it, the best first. worn: whether a question may
    ask what to wear with a product. attributes: those that may be asked about, in lower case; () for all.
    words: regular expression for what a row says, in lower case -> words with which shoppers ask for it.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    goes_with: dict[str, list[str]] = field(default_factory=dict)
    worn: bool = False
    attributes: tuple[str, ...] = ()
    words: dict[str, list[str]] = field(default_factory=dict)


def shipped_pairings() -> list[str]:
    """The values of data.pairing for which the project brings a file."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _pairing_file(name: str) -> Path | None:
    """The file that ``data.pairing`` names; None for `NONE`. Raises ValueError if there is no such file."""
    if name == NONE:
        return None
    shipped = SHIPPED / f"{name}.yaml"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        known = ", ".join([NONE, *shipped_pairings()])
        raise ValueError(
            f"data.pairing={name}: there is no such file; give {known}, or the path of a YAML file"
        )
    return path


def read_pairing(name: str) -> Pairing:
    """The pairing that ``data.pairing`` names. Raises ValueError with what is wrong in the file."""
    import yaml

    path = _pairing_file(name)
    if path is None:
        return Pairing()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"data.pairing={name}: cannot be read as YAML: {error}") from None
    problem = _problem_of(content)
    if problem:
        raise ValueError(f"data.pairing={name}: {problem}")
    attributes = tuple(str(key).lower() for key in content.get("attributes") or [])
    goes_with, worn = content.get("goes_with") or {}, bool(content.get("worn", False))
    return Pairing(content.get("kinds") or {}, goes_with, worn, attributes, content.get("words") or {})


def _problem_of(content: object) -> str:  # what YAML gives
    """What is wrong with the content of a pairing file; empty if nothing is."""
    if not isinstance(content, dict):
        return f"expected the keys {', '.join(FIELDS)}"
    unknown = [str(key) for key in content if key not in FIELDS]
    if unknown:
        return f"{unknown[0]}: no such key; there are {', '.join(FIELDS)}"
    kinds, goes_with, words = (content.get(key) or {} for key in ("kinds", "goes_with", "words"))
    for name, value in (("kinds", kinds), ("goes_with", goes_with), ("words", words)):
        if not isinstance(value, dict):
            return f"{name}: expected a mapping"
    if not isinstance(content.get("attributes") or [], list):
        return "attributes: expected a list"
    if not isinstance(content.get("worn", False), bool):
        return f"worn: expected true or false, not {content['worn']!r}"
    return (
        _problem_of_kinds(kinds) or _problem_of_partners(goes_with, list(kinds)) or _problem_of_words(words)
    )


def _problem_of_kinds(kinds: JsonObject) -> str:
    """What is wrong with the kinds and the patterns that name them; empty if nothing is."""
    for kind, pattern in kinds.items():
        if not (isinstance(kind, str) and isinstance(pattern, str) and pattern):
            return f"kinds.{kind}: expected a name, and a regular expression for the words that mean it"
        if reason := _pattern_problem(pattern):
            return f"kinds.{kind}: {pattern!r} is no regular expression ({reason})"
    return ""


def _problem_of_partners(goes_with: JsonObject, kinds: list[str]) -> str:
    """What is wrong with what goes with what; empty if nothing is."""
    for kind, partners in goes_with.items():
        if not isinstance(partners, list):
            return f"goes_with.{kind}: expected a list of kinds"
        for other in [kind, *partners]:
            if other not in kinds:
                return f"goes_with.{kind}: {other!r} is none of the kinds ({', '.join(kinds)})"
    return ""


def _problem_of_words(words: JsonObject) -> str:
    """What is wrong with the words of shoppers; empty if nothing is."""
    for pattern, listed in words.items():
        if not (isinstance(pattern, str) and pattern):
            return f"words.{pattern}: expected a regular expression for what a row says"
        if reason := _pattern_problem(pattern):
            return f"words: {pattern!r} is no regular expression ({reason})"
        if not isinstance(listed, list):
            return f"words.{pattern}: expected a list of words"
        for word in listed:
            if not (isinstance(word, str) and re.fullmatch(r"\w+", word)):
                return f"words.{pattern}: {word!r} is not one word"
    return ""


def _pattern_problem(pattern: str) -> str:
    """Why polars cannot use a regular expression; empty if it can."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        reason = str(error).partition("\n\n")[0]  # then comes polars' own expression
        return reason.splitlines()[-1].removeprefix("regex error: ").removeprefix("error: ")
    return ""
