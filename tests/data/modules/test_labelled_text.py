"""Labelled texts: read from every kind of source, labels by name, split with every label in its share,
wrong data refused.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from config.schema.data import DataConfig
from data.catalogue.sources import SPLIT_NAME
from data.modules.label_forms import parse_labels
from data.modules.labelled_rows import text_expression, with_splits
from data.modules.labelled_text import LabelledText
from data.tokens.batching import Batching
from tests.conftest import POCKET, real

WORDS = {"red": "apple cherry brick", "green": "leaf grass frog", "blue": "sky sea ink"}


def settings(path: Path | str, **changes: Any) -> dict[str, Any]:
    return asdict(DataConfig(task="labels", path=str(path), **{"max_seq_length": 64} | changes))


def module(path: Path | str, cache: Path, base: str = "", seed: int = 1, **changes: Any) -> LabelledText:
    made = LabelledText(settings(path, **changes), base, cache, seed)
    made.prepare_data()
    made.setup()
    return made


def colours(count: int = 90) -> pl.DataFrame:
    labels = [list(WORDS)[i % 3] if i % 9 else "red" for i in range(count)]
    return pl.DataFrame(
        {"text": [f"{WORDS[x].split()[i % 3]} number {i}" for i, x in enumerate(labels)], "label": labels}
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    colours().write_csv(tmp_path / "colours.csv")
    return tmp_path / "colours.csv"


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_every_kind_of_table_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"colours.{kind}"
    {"csv": colours().write_csv, "parquet": colours().write_parquet, "jsonl": colours().write_ndjson}[kind](
        path
    )
    data = module(path, tmp_path / "cache")
    rows = pl.concat([data.rows_of(split) for split in ("train", "validation", "test")])
    assert sorted(rows.select("text", pl.col("labels").list.first()).rows()) == sorted(colours().rows())
    assert data.labels == ["blue", "green", "red"]


def test_shares_are_exact_and_every_label_has_its_own(table: Path, tmp_path: Path) -> None:
    data = module(table, tmp_path / "cache", validation=0.2, test=0.3)
    counts = {split: counted["rows"] for split, counted in data.report["splits"].items()}
    assert counts == {"train": 45, "validation": 18, "test": 27}
    whole = colours()["label"].value_counts()
    for label, count in whole.rows():
        assert abs(data.report["splits"]["test"]["labels"][label] - 0.3 * count) <= 1


def test_split_depends_on_the_seed_alone(table: Path, tmp_path: Path) -> None:
    first, again, other = (
        module(table, tmp_path / f"cache{i}", seed=seed) for i, seed in enumerate((1, 1, 2))
    )
    assert first.rows_of("test").equals(again.rows_of("test"))
    assert set(first.rows_of("test")["text"]) != set(other.rows_of("test")["text"])
    assert first.digest == again.digest != other.digest


def test_folds_predict_every_row_once(table: Path, tmp_path: Path) -> None:
    parts = [module(table, tmp_path / "cache", folds=4, fold=i) for i in range(4)]
    tested = [text for part in parts for text in part.rows_of("test")["text"]]
    assert sorted(tested) == sorted(colours()["text"])
    for part in parts:
        everything = [
            text for split in ("train", "validation", "test") for text in part.rows_of(split)["text"]
        ]
        assert sorted(everything) == sorted(colours()["text"])


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"),
        ("lex_glue-train.parquet", "train"),
        ("train-00000-of-00001.parquet", "train"),
        ("dev.csv", "validation"),
        ("validation.jsonl", "validation"),
        ("my_val.csv", "validation"),
        ("test.csv.gz", "test"),
        ("holdout.csv", "test"),
        ("dataset.csv", None),
        ("contested.csv", None),
        ("training_plan.csv", None),
    ],
)
def test_a_file_name_tells_its_split(name: str, split: str | None) -> None:
    groups = pl.select(pl.lit(name).str.extract_groups(SPLIT_NAME)).item()
    found = dict(zip(("train", "validation", "test"), (groups or {}).values(), strict=False))
    assert next((key for key, value in found.items() if value), None) == split


def test_files_that_tell_their_split_are_kept_apart(tmp_path: Path) -> None:
    colours(60).write_csv(tmp_path / "train.csv")
    colours(30).with_columns(text=pl.col("text") + " held out").write_csv(tmp_path / "holdout.csv")
    data = module(tmp_path, tmp_path / "cache", validation=0.1)
    assert data.rows_of("test").height == 30
    assert data.rows_of("test")["text"].str.ends_with("held out").all()
    assert data.rows_of("train").height == 54


def test_without_a_test_file_a_given_split_is_not_cut_up(tmp_path: Path) -> None:
    colours(60).write_csv(tmp_path / "train.csv")
    colours(30).write_csv(tmp_path / "validation.csv")
    data = module(tmp_path, tmp_path / "cache")
    assert [data.rows_of(split).height for split in ("train", "validation", "test")] == [60, 30, 0]


def test_lines_of_text_files_are_labelled_by_the_ending_and_split_by_an_expression(tmp_path: Path) -> None:
    for ending in ("neg", "pos"):
        (tmp_path / f"reviews.{ending}").write_text(
            "\n".join(f"{ending} {i} \u0085 x" for i in range(20)) + "\n", encoding="utf-8"
        )
    split_by = "CASE WHEN line < 12 THEN 'train' WHEN line < 16 THEN 'validation' ELSE 'test' END"
    data = module(tmp_path, tmp_path / "cache", label_names=["neg", "pos"], split_by=split_by)
    assert [data.rows_of(split).height for split in ("train", "validation", "test")] == [24, 8, 8]
    assert data.rows_of("test")["text"].str.starts_with("neg 1").sum() == 4
    assert data.labels == ["neg", "pos"]


def test_lines_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    (tmp_path / "reviews.neg").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"reviews\.neg is not in UTF-8"):
        module(tmp_path, tmp_path / "cache", label_names=["neg", "pos"])


@pytest.mark.parametrize(
    ("values", "kind", "names", "found"),
    [
        (["a", " b "], "single", [], [["a"], ["b"]]),
        ([0, 1], "single", ["no", "yes"], [["no"], ["yes"]]),
        (["1", "no"], "single", ["no", "yes"], [["yes"], ["no"]]),
        ([[0, 2], []], "multiple", ["x", "y", "z"], [["x", "z"], []]),
        (["x; z", None], "multiple", [], [["x", "z"], []]),
        ([[3], []], "any", ["fair", "unfair"], [["unfair"], ["fair"]]),
        (["a", None, ""], "single", [], [["a"], [], []]),
    ],
)
def test_labels_are_read_by_name_or_place(
    values: list[Any], kind: str, names: list[str], found: list[list[str]]
) -> None:
    assert parse_labels("label", kind, names, pl.DataFrame({"label": values})).to_list() == found


def test_cleaning() -> None:
    frame = pl.DataFrame(
        {"title": ["See  This"], "body": ["at https://a.b/c?d=1, or\nwww.x.org: it's 50% OFF!"]}
    )
    one = lambda steps: frame.select(text_expression(["title", "body"], steps)).item()  # noqa: E731
    assert one([]) == "See This at https://a.b/c?d=1, or www.x.org: it's 50% OFF!"
    assert one(["lowercase", "links", "symbols", "stop_words"]) == "see s 50"
    assert one(["links"]) == "See This at or it's 50% OFF!"


def test_typed_text_is_cleaned_like_the_table(table: Path, tmp_path: Path) -> None:
    data = module(table, tmp_path / "cache", clean=["lowercase", "symbols"])
    assert data.texts(["Red, APPLE!"]) == ["red apple"]


def test_balanced_sample(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [f"t {i}" for i in range(200)], "label": ["rare"] * 20 + ["often"] * 180})
    frame.write_csv(tmp_path / "t.csv")
    data = module(tmp_path / "t.csv", tmp_path / "cache", limit=10)
    assert data.report["splits"]["train"]["labels"] == {"often": 5, "rare": 5}
    assert data.report["splits"]["test"]["rows"] == 10


def test_what_cannot_be_used_is_set_aside_and_counted(tmp_path: Path) -> None:
    pl.concat(
        [colours(), pl.DataFrame({"text": ["", None, "no label here"], "label": ["red", "red", None]})]
    ).write_csv(tmp_path / "t.csv")
    data = module(tmp_path / "t.csv", tmp_path / "cache")
    assert data.report["set_aside"] == [["no label", 1], ["no text", 2]]
    assert sum(split["rows"] for split in data.report["splits"].values()) == 90


def test_leaks_are_counted(tmp_path: Path) -> None:
    colours(60).write_csv(tmp_path / "train.csv")
    colours(90).tail(40).write_csv(tmp_path / "validation.csv")
    assert module(tmp_path, tmp_path / "cache").report["also_in_train"] == {"validation": 10}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "nowhere.csv"}, "no table at data.path=nowhere.csv"),
        ({"text_columns": ["title"]}, "no column 'title'.*set data.text_columns"),
        ({"label_column": "tag"}, "no column 'tag'"),
        ({"label_names": ["red", "green"]}, "holds 'blue', which data.label_names lacks"),
        ({"label_names": ["red", "green", "blue", "pink"]}, "no training row has the label 'pink'"),
        ({"validation": 0.0}, "no row is left for validation"),
        ({"split_by": "CASE WHEN nothing < 3 THEN 'train' END"}, "data.split_by"),
        ({"split_by": "CASE WHEN line < 30 THEN 'learn' ELSE 'test' END"}, "data.split_by gives learn"),
        ({"text_columns": ["label"], "label_column": "text", "limit": 0}, "no row is left for validation"),
    ],
)
def test_unusable_data_is_refused(table: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = changes.pop("path", table)
    with pytest.raises(ValueError, match=message):
        module(path, tmp_path / "cache", **changes)
    assert not list(tmp_path.glob("cache/texts-*[0-9a-f]"))


def test_a_single_label_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a", "b", "c"], "label": ["x"] * 3}).write_csv(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="at least two labels"):
        module(tmp_path / "t.csv", tmp_path / "cache", validation=0.4, test=0.0)


def test_a_hub_data_set_comes_from_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a download leaves in the cache is read offline; what is not there is named with what to do."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub/datasets--someone--colours"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("abc")
    (repository / "snapshots/abc/plain").mkdir(parents=True)
    colours().write_parquet(repository / "snapshots/abc/plain/train-00000-of-00001.parquet")
    colours(9).write_parquet(repository / "snapshots/abc/plain/unsupervised-00000-of-00001.parquet")
    data = module("hub:someone/colours/plain/t*", tmp_path / "cache")
    assert sum(split["rows"] for split in data.report["splits"].values()) == 90
    with pytest.raises(ValueError, match=r"not in the local cache.*unset HF_HUB_OFFLINE"):
        module("hub:someone/else", tmp_path / "cache")


@pytest.mark.parametrize(("truncate", "expected"), [("end", "head"), ("middle", "both")])
def test_long_texts_are_cut_and_counted(tmp_path: Path, truncate: str, expected: str) -> None:
    frame = colours().with_columns(text="begin " + pl.col("text") + " word" * 100 + " end")
    frame.write_csv(tmp_path / "t.csv")
    data = module(tmp_path / "t.csv", tmp_path / "cache", base=str(POCKET), truncate=truncate)
    assert data.token_report["train"]["cut_off"] == data.token_report["train"]["rows"]
    assert int(data.rows["train"].lengths.max()) == 64
    text = data.tokenizer.decode(data.rows["train"].batch([0])["input_ids"][0])
    assert "begin" in text
    assert text.rstrip().endswith("end") == (expected == "both")


def test_batches_pad_with_the_pad_id_and_tell_their_rows(table: Path, tmp_path: Path) -> None:
    data = module(table, tmp_path / "cache", base=str(POCKET))
    rows = data.rows["train"]
    seen: list[int] = []
    for batch in data.train_batches(Batching(8)):
        assert torch.equal(batch["targets"], rows.targets[batch["rows"]])
        assert (batch["input_ids"][batch["attention_mask"] == 0] == rows.pad_id).all()
        assert int(batch["attention_mask"].sum()) == int(rows.lengths[batch["rows"]].sum())
        assert int(batch["step_size"]) == len(batch["rows"])
        seen += batch["rows"].tolist()
    assert sorted(seen) == list(range(len(rows)))


def test_class_weights_make_labels_count_alike(table: Path, tmp_path: Path) -> None:
    data = module(table, tmp_path / "cache")
    counts = list(data.report["splits"]["train"]["labels"].values())
    assert [round(w * n, 6) for w, n in zip(data.class_weights(), counts, strict=True)] == [
        round(data.training_rows / 3, 6)
    ] * 3


def test_published_splits_of_the_real_data(tmp_path: Path) -> None:
    names = ["Limitation", "Termination", "Change", "Removal", "Using", "Law", "Jurisdiction", "Arbitration"]
    folder = real("unfair_tos")
    eight = module(folder, tmp_path, label_column="labels", label_names=names, label_kind="multiple")
    assert list(eight.report["splits"]["train"]["labels"].values()) == [191, 139, 122, 73, 76, 39, 34, 28]
    binary = module(folder, tmp_path, label_column="labels", label_names=["fair", "unfair"], label_kind="any")
    assert binary.report["splits"]["train"]["labels"] == {"fair": 4902, "unfair": 630}
    assert binary.report["splits"]["validation"]["labels"] == {"fair": 2045, "unfair": 230}


def test_a_split_by_files_wins_over_the_expression() -> None:
    frame = pl.DataFrame(
        {"text": ["a", "b"], "labels": [["x"], ["y"]], "file": ["train.csv", "all.csv"], "line": [0, 0]}
    )
    made = with_splits(frame, settings("x", split_by="CASE WHEN line < 9 THEN 'validation' END"), 0)
    assert made.sort("file")["split"].to_list() == ["validation", "train"]
