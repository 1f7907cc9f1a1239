"""A grounded run: prompts with rows in training and evaluation, the catalogue beside the model, facts that
change.
"""

import re
from pathlib import Path

import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import evaluate
import train
from architectures.training.signals import Signals
from config.schema import TrainConfig
from tests.conftest import ROOT, SMALL, typed


def report_of(folder: Path) -> str:
    """The report with single spaces."""
    return " ".join((folder / "report.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def grounded_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainConfig]:
    """The folder of a short grounded run with prices, and its configuration."""
    outputs = tmp_path_factory.mktemp("grounded")
    (folder := outputs / "run").mkdir()
    grounded = ["data.grounding=rows", "data.grounding_rows=2", "data.max_seq_length=768"]
    priced = ["data.columns.price=discounted_price", 'data.currency="Rs. "']
    config = typed("+experiment=quickstart", *grounded, *priced, *SMALL, f"outputs={outputs}")
    train.run(config, folder, Signals())
    return folder, config


def test_a_grounded_run_carries_its_catalogue(grounded_run: tuple[Path, TrainConfig], tmp_path: Path) -> None:
    folder, config = grounded_run
    catalogue = pl.read_parquet(folder / "model/products.parquet")
    assert "tuned" in report_of(folder)
    assert re.search(r"rows in the prompt \| 2; one of them answers \d+ of", report_of(folder))
    model = evaluate._load_pyfunc(str(folder / "model"))
    product = catalogue.row(0, named=True)
    question, context = f"What is the {product['name']}?", f"Online shopping for {product['category']}"
    prompt = model.renderer.prompts([context], [question])[0]
    assert f"- {product['name']} | {product['shelf']} |" in train.prepare(config).renderer.tokenizer.decode(
        prompt
    )
    answers = model.predict(pl.DataFrame({"question": [question], "context": [context]}))
    assert len(answers) == 1
    dearer = (pl.col("discounted_price").cast(pl.Float64, strict=False) * 1.1).round().cast(pl.Int64)
    table = pl.read_csv(ROOT / "data/sample/catalogue.csv", infer_schema=False)
    changed = table.with_columns(discounted_price=dearer.cast(pl.String))
    changed.write_csv(tmp_path / "changed.csv")
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        again = compose("evaluate", [f"ckpt={folder / 'model'}", f"path={tmp_path / 'changed.csv'}",
                                     f"outputs={tmp_path}", "baselines=[rules]", "questions=40"])  # fmt: skip
    with pytest.raises(ValueError, match=r"^path=.*none\.csv: there is no such table$"):
        evaluate.run(OmegaConf.merge(again, {"path": str(tmp_path / "none.csv")}))
    evaluate.run(again)
    (judged,) = (tmp_path / "evaluations").glob("*/predictions.parquet")
    rows = pl.read_parquet(judged).filter(pl.col("model") == "rules")
    prices = {f"Rs. {price}" for price in changed["discounted_price"]}
    told = rows.filter(pl.col("value").str.starts_with("Rs.").fill_null(False))["value"]
    assert told.len() and set(told) <= prices


def test_the_example_shows_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder := tmp_path / "run").mkdir()
    settings = ["stage=show", "data.wording=published", "data.limit=60", f"outputs={tmp_path}"]
    train.run(typed("+experiment=quickstart", *settings), folder, Signals())
    shown = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).replace("|", "")
    assert re.search(r"(?m)^- .+ Pattern: ", shown), "a row of the catalogue"


def test_a_space_of_a_grounded_model_answers(grounded_run: tuple[Path, TrainConfig], tmp_path: Path) -> None:
    """The catalogue in a Space holds all that rows in prompts are made of, not only what cards show."""
    pytest.importorskip("gradio")
    import app

    folder, trained = grounded_run
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = compose(
            "app", [f"ckpt={folder / 'model'}", f"space={tmp_path / 'space'}", f"outputs={tmp_path}"]
        )
        there = compose(
            "app", [f"ckpt={tmp_path / 'space/model'}", f"outputs={tmp_path}", "backend=transformers"]
        )
    app.run(config)
    (assistant,), _ = app.assistants(there)
    catalogue = pl.read_parquet(tmp_path / "space/model/products.parquet")
    name = catalogue["name"][0]
    prompt = assistant.prompt("", [], f"What is the {name}?")
    assert f"- {name} |" in train.prepare(trained).renderer.tokenizer.decode(prompt)
