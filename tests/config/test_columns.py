"""Fields that name columns and folders, and the keys that other frameworks use."""

import subprocess
import sys
from pathlib import Path

import pytest

from config import schema
from tests.config.test_schema import composed
from tests.conftest import ROOT

TABLE = ["data=table", "data.path=x.csv", "data.columns.name=a"]


@pytest.mark.parametrize("category", ["b", "[b,c]", '["Größe",c]'])
def test_a_category_is_one_column_or_one_for_each_level(category: str) -> None:
    config = composed(*TABLE, f"data.columns.category={category}")
    assert schema.problems_of(config) == []
    assert schema.typed(config).data.columns["name"] == "a"


@pytest.mark.parametrize("setting", ["data.columns.brand=[b,c]", "data.columns.brand=10"])
def test_another_column_is_one_name(setting: str) -> None:
    (problem,) = schema.problems_of(composed(*TABLE, "data.columns.category=b", setting))
    assert "data.columns.brand=" in problem and "must be the name of a column; quote it" in problem


@pytest.mark.parametrize("more", [[], ["-m", "seed=1,2"]])
def test_a_folder_that_an_address_cannot_hold_is_one_error(more: list[str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "train.py",
        f"outputs={tmp_path}/what?",
        "trainer.max_steps=1",
        "data.limit=40",
    ]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot hold '?'" in done.stderr and "Traceback" not in done.stderr
    assert "rows in the table" not in done.stderr  # nothing was prepared


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trainer.grad_clip", "trainer.max_grad_norm"),
        ("trainer.grad_clp", "trainer.max_grad_norm"),
        ("trainer.gradient_clip_val", "trainer.max_grad_norm"),
        ("trainer.num_train_epochs", "trainer.epochs"),
        ("lr", "trainer.learning_rate"),
        ("data.columns.prise", "data.columns.price"),
        ("data.colums.name", "data.columns.name"),
    ],
)
def test_the_key_of_another_framework_is_answered_with_ours(typed: str, meant: str) -> None:
    assert schema.unknown_key(typed) == f"{typed}: no such key; did you mean {meant}?"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["data=instructions", "data.path=x", "data.grounding=rows"],
            "data.grounding: is for data.task=retail",
        ),
        (["model.lora_layers=[0-3,a-b]"], "model.lora_layers: 'a-b' is no block and no range of blocks"),
        (
            ["+experiment=tags", "data.path=x", "trainer.neftune_alpha=5"],
            "trainer.neftune_alpha: is for models that answer",
        ),
        (
            ["+experiment=tags", "data.path=x", "data.wording=shoppers"],
            "data.wording: is for data.task=retail",
        ),
        (
            ["+experiment=tags", "data.path=x", "data.pairing=clothing"],
            "data.pairing: is for data.task=retail",
        ),
        (
            ["+experiment=tags", "data.path=x", "data.thinking=true"],
            "data.thinking: is for data.task=retail and",
        ),
        (
            ["data=flipkart", "data.path=x.csv", "data.currency=Rs"],
            "data.currency: is for data.columns.price and data.columns.list_price",
        ),
    ],
)
def test_what_a_task_or_table_has_no_use_for_is_refused(settings: list[str], message: str) -> None:
    assert message in "\n".join(schema.problems_of(composed(*settings)))
