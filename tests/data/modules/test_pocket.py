"""The embedded base model: the texts it is trained on, its recipe, its size."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import train
from architectures.training.signals import Signals
from data.modules import pocket_wordings
from data.questions import wordings
from data.questions.filling import for_training
from tests.conftest import POCKET, ROOT, typed


@pytest.mark.parametrize("count", [5_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_pocket_texts_keep_clear_of_the_sample_and_of_the_answer_format(count: int) -> None:
    from data.modules.pocket_text import pocket_texts

    names = (
        pl.read_csv(ROOT / "data/sample/catalogue.csv", infer_schema=False)["product_name"]
        .drop_nulls()
        .unique()
        .to_list()
    )
    drawn = list(pocket_texts(43, count))
    turns = [text.conversation() for text in drawn]
    texts = ["\n".join(turn["content"] for turn in conversation) for conversation in turns]
    assert not pl.Series(texts).str.contains_any(names).any()
    assert not any("Product Name" in text or "Product Details" in text for text in texts)
    replies = [turn["content"] for conversation in turns for turn in conversation[1::2]]
    assert not any("\n- " in reply for reply in replies)
    assert len(replies) > 2 * len(drawn)  # several questions about the same rows


def _cores() -> Iterator[str]:
    """The questions of the base's texts, without the polite words before and after them."""
    for name, value in vars(pocket_wordings).items():
        if not name.isupper() or isinstance(value, float):
            continue
        for listed in value.values() if isinstance(value, dict) else [value]:
            yield from listed


def test_no_text_is_worded_as_only_tests_are() -> None:
    """The wordings of the test split of unseen wordings are new to the base as well."""
    lists = [value for value in vars(wordings).values() if isinstance(value, list)]
    split = [listed for listed in lists if any("{" in wording for wording in listed)]
    patterns = []
    for wording in (
        text for listed in [*split, wordings.GREETING] for text in listed[len(for_training(listed)) :]
    ):
        words = [re.escape(part) for part in re.split(r"\{\w+\}", wording.rstrip("?."))]
        patterns.append(".+".join(words))
    told = re.compile("|".join(patterns), re.IGNORECASE)
    assert told.fullmatch("whom is the SHIRT designed for")
    for core in _cores():
        asked = core.format_map(defaultdict(lambda: "SHIRT")).rstrip("?.")
        assert not told.fullmatch(asked), core


@pytest.mark.slow
def test_the_pocket_recipe_runs_and_its_export_is_a_base(tmp_path: Path) -> None:
    overrides = [
        "data.texts=200",
        "trainer.max_steps=3",
        "trainer.validate_every=2",
        "tracking.system_metrics=false",
    ]
    train.run(typed("+experiment=pocket", f"outputs={tmp_path}", *overrides), tmp_path, Signals())
    made = tmp_path / "model"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in made.iterdir()}
    for name in ("config.json", "tokenizer.json"):
        ignored = {"transformers_version"}
        ours, theirs = (json.loads((folder / name).read_text()) for folder in (made, POCKET))
        assert {k: v for k, v in ours.items() if k not in ignored} == {
            k: v for k, v in theirs.items() if k not in ignored
        }
    shutil.rmtree(tmp_path / "cache")


def test_the_embedded_model_is_small() -> None:
    assert (POCKET / "model.safetensors").stat().st_size < 16_000_000
