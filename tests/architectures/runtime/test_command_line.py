"""Whatever a user types after `key=` reaches the program as it was typed."""

import re
import shlex
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from architectures.runtime.command_line import override, plain_arguments
from data.catalogue.inspection import hydra_quoted
from tests.conftest import ROOT

parse = OverridesParser.create().parse_override


def received(argument: str) -> object:
    """The value that the program gets for one argument."""
    override = parse(argument)
    return OmegaConf.create({"key": override.value()}).key


def without_line_breaks(text: str) -> bool:
    return not set(text) & set("\r\n\0")


@given(st.text().filter(without_line_breaks))
def test_every_sentence_is_a_text(text: str) -> None:
    if text.startswith(("'", '"')):
        return  # quoted by the user, as Hydra wants it
    (argument,) = plain_arguments([f"text={text}"], parse, ["text"])
    assert received(argument) == text


@pytest.mark.parametrize(
    "text", ["123", "true", "null", "a, b", "50% off", "a=b: (c)", "${HOME}", 'say "hi"', "é"]
)
def test_a_text_that_hydra_would_read_otherwise(text: str) -> None:
    (argument,) = plain_arguments([f"text={text}"], parse, ["text"])
    assert received(argument) == text


@pytest.mark.parametrize(
    "path",
    ["/data/a=b (1).csv", "Größe & mehr.csv", "名称.csv", "it's.csv", "50%.csv", "back\\slash (1).csv"],
)
def test_a_path_of_any_letters_is_a_value(path: str) -> None:
    (argument,) = plain_arguments([f"data.path={path}"], parse)
    assert received(argument) == path


@pytest.mark.parametrize(
    "argument",
    [
        "trainer.epochs=3",
        "model=a,b",
        "data.attributes=[a,b]",
        "+experiment=job-1",
        "-m",
        "x='quoted'",
        "~data.limit",
        "data.version=",
    ],
)
def test_what_hydra_reads_stays_as_it_is(argument: str) -> None:
    assert plain_arguments([argument], parse) == [argument]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("[Gehäusegröße]", ["Gehäusegröße"]),
        ("[color, Größe (cm),'a, b',3]", ["color", "Größe (cm)", "a, b", 3]),
        ("{name: Größe, category: [a, ä]}", {"name": "Größe", "category": ["a", "ä"]}),
    ],
)
def test_a_list_of_words_in_any_letters_needs_no_quotes(value: str, wanted: object) -> None:
    (argument,) = plain_arguments([f"data.attributes={value}"], parse)
    assert received(argument) == wanted


@pytest.mark.parametrize("value", ["[a,b", "{a: b", "'a", '"a'])
def test_what_has_no_end_is_one_error_with_the_form_to_type(value: str) -> None:
    with pytest.raises(
        ValueError, match="is missing or is one too many; if the value is a text, type "
    ) as error:
        plain_arguments([f"data.path={value}"], parse)
    (typed,) = shlex.split(str(error.value).split("type ")[1])
    assert received(typed) == value


@pytest.mark.parametrize("argument", ["foo", "=3", "größe=3", "a b=3"])
@pytest.mark.parametrize("entry", ["train.py", "evaluate.py", "app.py"])
def test_what_is_no_key_and_value_is_one_error(entry: str, argument: str) -> None:
    command = [sys.executable, entry, argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {argument}: an argument is KEY=VALUE")
    assert done.stderr.count("\n") == 1


@given(st.text(min_size=1).filter(without_line_breaks))
def test_a_column_of_any_name_can_be_typed(name: str) -> None:
    assert received(f"data.columns.name={hydra_quoted(name)}") == name
    assert received(f"data.attributes=[{hydra_quoted(name)}]") == [name]


@pytest.mark.parametrize("name", ["1_0", ".0", ".5e3", "null", "true", "Größe", "nan", "1e3", "a b"])
def test_a_column_called_as_a_value_is_quoted(name: str) -> None:
    assert hydra_quoted(name) == f'"{name}"'


@pytest.mark.parametrize("entry", ["evaluate.py", "app.py"])
def test_a_mistyped_key_is_one_error_with_the_nearest_one(entry: str) -> None:
    command = [sys.executable, "-X", "importtime", entry, "chkpt=x", "hydra.run.dir=."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not re.search(r"\| +(?:transformers|lightning|peft|gradio)$", done.stderr, re.MULTILINE)  # seconds
    assert "chkpt: no such key; did you mean ckpt?" in done.stderr
    assert "not in struct" not in done.stderr  # Hydra's own words


def test_one_text_for_a_list_is_its_only_entry() -> None:
    settings = {"metrics": ["chrf"], "questions": 3}
    assert override(settings, {"metrics": "number", "questions": None}) == {
        "metrics": ["number"],
        "questions": 3,
    }
    assert override(settings, {"metrics": ["json", "chrf"]})["metrics"] == ["json", "chrf"]


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("limits.genral=0.1", "limits.genral: no such limit; there are accuracy,"),
        ("genral=[a]", "genral: no such key; did you mean general?"),
    ],
)
def test_a_wrong_key_is_named_at_any_depth(argument: str, told: str) -> None:
    command = [sys.executable, "evaluate.py", "ckpt=x", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert told in done.stderr


@pytest.mark.parametrize("pattern", [r"[A-Z]+\d{2}", r"^\d+$", "(yes|no)[.!]?", "a=b, c", "{x}"])
def test_a_regular_expression_needs_no_quotes(pattern: str) -> None:
    (argument,) = plain_arguments([f"evaluation.pattern={pattern}"], parse, ["evaluation.pattern"])
    assert received(argument) == pattern


def test_an_unknown_key_is_marked_as_new_at_any_depth() -> None:
    known = OmegaConf.create({"a": 1, "b": {"c": {"d": 2}}})
    plain = plain_arguments(["b.c.d=3", "b.e=4", "hydra.x=5"], parse, known=known)
    assert plain == ["b.c.d=3", "+b.e=4", "hydra.x=5"]
