"""Filters of training rows: each takes what it is for and nothing else, and never a validation or test
row.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.questions import filters
from data.questions.filters import FilterSettings
from tests.conftest import typed

SETTINGS: dict[str, Any] = {
    "filters": [],
    "shortest": 5,
    "longest": 400,
    "script": "Latin",
    "script_share": 0.8,
    "repeated": 0.3,
}
SETTINGS |= {"alike": 0.6, "overlap": 6, "words": ""}
LONG = (
    "The quick brown fox jumps over the lazy dog while a slow green turtle looks on from the other side"
    " of a wide river"
)


def rows(*texts: str, split: str = "train") -> pl.DataFrame:
    frame = pl.DataFrame({"text": list(texts)}).with_row_index("row")
    return frame.with_columns(split=pl.lit(split), category=pl.lit("c"))


def taken(name: str, frame: pl.DataFrame, **changes: Any) -> list[str]:
    stay, gone, (report,) = filters.run_filters(
        frame, FilterSettings(**{**SETTINGS, "filters": [name], **changes})
    )
    assert report["removed"] == gone.height == frame.height - stay.height
    assert report["examples"] == [text[:200] for text in gone["text"].head(5)]
    return gone["text"].to_list()


def test_length() -> None:
    assert taken("length", rows("hi", "a fine text", "x" * 401)) == ["hi", "x" * 401]


def test_script() -> None:
    assert taken(
        "script", rows("plain words", "просто слова", "слово in one of many plain words here", "123 456", "")
    ) == ["просто слова"]
    assert taken("script", rows("plain words", "просто слова"), script="Cyrillic") == ["plain words"]


def test_repetition() -> None:
    again = " ".join(["buy this now please"] * 6)
    assert taken("repetition", rows(LONG, again, "too short")) == [again]


def test_exact() -> None:
    assert taken("exact", rows("One, two.", "one two", "one two three")) == ["one two"]


def test_near() -> None:
    twin = LONG.replace("wide", "broad")
    assert taken("near", rows(LONG, twin, "Something else altogether that has quite other words in it")) == [
        twin
    ]
    assert taken("near", rows(LONG, twin), alike=0.95) == []


def test_overlap() -> None:
    held_out = rows("a slow green turtle looks on", split="test").with_columns(row=pl.lit(9, pl.UInt32))
    assert taken("overlap", pl.concat([rows(LONG, "a slow green turtle looks away"), held_out])) == [LONG]


def test_words(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# a list\nlazy dog\nASS\n\n")
    assert taken(
        "words", rows(LONG, "An ass!", "a class of lazy dogs"), words=str(tmp_path / "list.txt")
    ) == [LONG, "An ass!"]


@pytest.mark.parametrize("content", [None, "", "# nothing\n"])
def test_a_list_without_words_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_text(content)
    with pytest.raises(ValueError, match=r"data\.quality\.words=.*list\.txt"):
        filters.content_settings({**SETTINGS, "filters": ["words"], "words": str(tmp_path / "list.txt")})


@pytest.mark.parametrize("name", [name for name in filters.FILTERS if name != "words"])
def test_a_test_row_always_stays_and_its_training_twin_goes(name: str) -> None:
    odd = " ".join(["слово раз два три"] * 30)
    test = rows("x", odd, LONG, LONG, split="test").with_columns(row=pl.col("row") + 10)
    stay, gone, _ = filters.run_filters(
        pl.concat([rows(LONG), test]), FilterSettings(**{**SETTINGS, "filters": [name]})
    )
    assert stay.filter(pl.col("split") == "test").height == 4
    assert gone["text"].to_list() == ([LONG] if name in ("exact", "near", "overlap") else [])


def test_filters_follow_one_another() -> None:
    frame = rows("hi", "hi", "a fine text", "a fine text")
    _, gone, report = filters.run_filters(
        frame, FilterSettings(**{**SETTINGS, "filters": ["length", "exact"]})
    )
    assert [(one["filter"], one["before"], one["removed"]) for one in report] == [
        ("length", 4, 2),
        ("exact", 2, 1),
    ]
    assert gone["filter"].to_list() == ["length", "length", "exact"]


def test_a_filter_that_takes_all_is_told(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["hi", "ho"], "split": ["train", "train"]})
    with pytest.raises(ValueError, match="removed all training rows: length 2"):
        filters.apply_filters(
            frame, pl.col("text"), pl.lit("c"), {**SETTINGS, "filters": ["length"]}, tmp_path
        )


def test_filters_on_a_catalogue_and_on_instructions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import train

    caplog.set_level("INFO")
    plain = train.prepare(typed("data.limit=60", f"outputs={tmp_path}"))
    both = (
        plain.questions("train")
        .select(pl.col("question").str.len_chars() + pl.col("answer").str.len_chars() + 1)
        .to_series()
    )
    longest = f"data.quality.longest={int(both.median() or 0)}"
    some = train.prepare(
        typed(
            "data.limit=60",
            f"outputs={tmp_path}",
            "data.quality.filters=[length,overlap]",
            "data.quality.overlap=40",
            longest,
        )
    )
    assert some.digest != plain.digest
    first, second = some.report["quality"]
    assert first["filter"] == "length"
    assert first["removed"] == int((both > int(both.median() or 0)).sum()) > 0
    assert first["before"] == plain.questions("train").height
    assert (
        some.questions("train").height
        == plain.questions("train").height - first["removed"] - second["removed"]
    )
    assert some.questions("test").equals(plain.questions("test"))
    assert {"quality.png", "quality_removed.parquet"} <= {path.name for path in some.folder.iterdir()}
    assert (
        f"{first['removed']:7d}  of {first['before']} training rows removed by filter length" in caplog.text
    )

    pairs = pl.DataFrame(
        {"prompt": [f"What is {i}?" for i in range(40)], "response": ["A number.", "yes"] * 20}
    )
    pairs.write_ndjson(tmp_path / "pairs.jsonl")
    given = ["data=instructions", f"data.path={tmp_path / 'pairs.jsonl'}", f"outputs={tmp_path}"]
    data = train.prepare(typed(*given, "data.quality.filters=[length]", "data.quality.shortest=18"))
    assert not data.rows_of("train")["messages"].list.last().struct.field("content").is_in(["yes"]).any()
    assert data.rows_of("validation")["messages"].list.last().struct.field("content").is_in(["yes"]).any()
