"""The embedded base model: the texts it is trained on, its recipe, its size."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

import train
from architectures.training.signals import Signals
from data.questions import wordings
from tests.conftest import POCKET, ROOT, typed


def test_pocket_texts_keep_clear_of_the_sample_and_of_the_answer_format() -> None:
    from data.modules.pocket_text import pocket_texts

    names = (
        pl.read_csv(ROOT / "data/sample/catalogue.csv", infer_schema=False)["product_name"]
        .drop_nulls()
        .unique()
        .to_list()
    )
    drawn = list(pocket_texts(43, 20_000))
    turns = [text.conversation() for text in drawn]
    texts = ["\n".join(turn["content"] for turn in conversation) for conversation in turns]
    assert not pl.Series(texts).str.contains_any(names).any()
    assert not any("Product Name" in text or "Product Details" in text for text in texts)
    replies = [turn["content"] for conversation in turns for turn in conversation[1::2]]
    assert not any("\n- " in reply for reply in replies)
    assert len(replies) > 2 * len(drawn)  # several questions about the same rows


def test_no_question_about_rows_is_worded_as_a_shopper_words_it() -> None:
    """The wordings that tests are asked in are new to the base as well."""
    from data.modules.pocket_rows import rows_of_a_catalogue
    from data.modules.pocket_text import pocket_texts

    lists = [value for name, value in vars(wordings).items() if name.isupper() and isinstance(value, list)]
    patterns = []
    for wording in (text for listed in lists for text in listed):
        words = [re.escape(part) for part in re.split(r"\{\w+\}", wording.rstrip("?."))]
        if sum(map(len, words)) > 12:  # not "{key} of {name}"
            patterns.append(".+".join(words))
    told = re.compile("|".join(patterns), re.IGNORECASE)
    for text in pocket_texts(44, 500, [rows_of_a_catalogue]):
        for turn in text.conversation()[::2]:
            question = turn["content"].splitlines()[-1].rstrip("?.")
            assert not told.fullmatch(question), question


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
