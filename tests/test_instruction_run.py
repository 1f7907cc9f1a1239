"""A model trained on instructions: judged beside its baselines, compared, gated, registered, exported."""

import contextlib
import io
import json
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import polars as pl
import pytest

import app
import train
from architectures.training.signals import Signals
from tests.conftest import ROOT, typed
from tests.json_server import JsonHandler
from tests.verdict_runs import LIMITS, run

COLOURS = ["red", "blue", "green", "grey", "black", "white", "brown", "pink", "gold", "teal"]
SHAPES = ["coat", "shirt", "skirt", "jacket", "dress", "kurta", "saree"]


def write_rows(path: Path, prefix: str) -> Path:
    rows = []
    for colour in COLOURS:
        for shape in SHAPES:
            asked = f"{prefix} {colour} {shape}"
            rows.append({"instruction": asked, "output": f"The {shape} is {colour}."})
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def instructed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(the folder of a small run, what it printed)"""
    outputs = tmp_path_factory.mktemp("instructions")
    rows, folder, printed = (
        write_rows(outputs / "rows.jsonl", "Tell the colour:"),
        outputs / "run",
        io.StringIO(),
    )
    folder.mkdir()
    small = ["data.test=0.2", "trainer.epochs=20", "trainer.learning_rate=5e-3", "evaluation.questions=8"]
    small += ["trainer.precision=32-true", "tracking.system_metrics=false"]
    small += ["evaluation.baselines=[tfidf,nearest-answer,untuned,untuned-shots]"]
    config = typed("+experiment=instructions", f"data.path={rows}", f"outputs={outputs}", *small)
    with contextlib.redirect_stdout(printed), contextlib.chdir(ROOT):
        train.run(config, folder, Signals())
    return folder, printed.getvalue()


def test_a_run_ends_with_a_table_beside_its_baselines(instructed: tuple[Path, str]) -> None:
    folder, printed = instructed
    scores = json.loads((folder / "scores.json").read_text())
    models = ["nearest-answer", "untuned", "untuned-shots", "tuned"]
    assert list(scores["texts"]) == [
        f"{model}, {split}" for model in models for split in ("validation", "test")
    ]
    for name, figures in scores["texts"].items():
        assert figures["n"] == 8, name
        assert 0 <= figures["chrf_low"] <= figures["chrf"] <= figures["chrf_high"] <= 1
        assert f"| {name}" in printed
    rows = pl.read_parquet(folder / "predictions.parquet")
    assert rows.height == 4 * 16
    nearest = rows.filter(pl.col("model") == "nearest-answer")
    assert (nearest["chrf"] > 0.3).all()  # another colour of the same garment, or the other way round
    means = dict(rows.group_by("model").agg(pl.col("chrf").mean()).rows())
    assert means["tuned"] > means["untuned"]
    report = (folder / "report.md").read_text()
    assert "Differences on the same rows" in report
    results = json.loads((folder / "results.json").read_text())
    assert results["test/chrf"] == scores["texts"]["tuned, test"]["chrf"]


def test_the_gate_decides_and_what_passes_is_registered(
    instructed: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outputs = instructed[0], instructed[0].parent
    with pytest.raises(SystemExit):
        run(compare=folder, outputs=outputs, gate=True, limits=LIMITS | {"score": 0.99, "margin": 1.0})
    printed = capsys.readouterr().out
    assert "The gate is closed: chrf, test rows." in printed
    run(compare=folder, outputs=outputs, register=True, limits=LIMITS | {"margin": 1.0})
    assert "registered as models:/shop/1" in capsys.readouterr().out
    mine = pl.read_parquet(folder / "predictions.parquet").filter(pl.col("model") == "tuned").head(3)
    mlflow.set_tracking_uri(f"sqlite:///{(outputs / 'mlflow.db').resolve()}")
    model = mlflow.pyfunc.load_model("models:/shop@champion")
    assert model.predict(mine.select("question").to_pandas()) == mine["prediction"].to_list()


def test_a_file_of_the_users_own(
    instructed: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_rows(tmp_path / "own.jsonl", "And the colour of the")
    folder, outputs = instructed[0], instructed[0].parent
    common: dict[str, Any] = {"ckpt": folder / "model", "outputs": outputs, "questions": 5}
    run(**common, path=own, metrics=["exact_match", "number"], baselines=["nearest-answer"])
    printed = capsys.readouterr().out
    assert "| tuned, other" in printed
    assert "tuned, test" not in printed
    with pytest.raises(ValueError, match="there is no such table"):
        run(**common, path=tmp_path / "missing.jsonl")
    with pytest.raises(ValueError, match="golden: is for models of another task"):
        run(**common, golden=tmp_path / "golden.csv")


def test_an_export_is_judged_like_the_run(
    instructed: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outputs = instructed[0], instructed[0].parent
    run(ckpt=folder / "model", outputs=outputs, export="adapter", to=tmp_path / "adapter")
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "trained on instructions" in card
    assert "| tuned, test" in card
    capsys.readouterr()
    run(ckpt=tmp_path / "adapter", outputs=outputs, baselines=[])
    line = next(line for line in instructed[1].splitlines() if line.startswith("| tuned, test"))
    assert "".join(line.split()) in "".join(capsys.readouterr().out.split())


def test_the_chat_page_says_that_it_needs_a_catalogue(instructed: tuple[Path, str]) -> None:
    with pytest.raises(ValueError, match="this is for models of the task retail"):
        app.load(str(instructed[0] / "model"), instructed[0].parent)


def test_speed_size_and_cost_stand_beside_the_variants(
    instructed: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outputs = instructed[0], instructed[0].parent
    given = {"variants": ["merged"], "baselines": [], "speed": True, "price": 3.6}
    run(ckpt=folder / "model", outputs=outputs, **given)
    newest = max((outputs / "evaluations").iterdir())
    speeds = json.loads((newest / "scores.json").read_text())["speed"]
    assert set(speeds) == {"tuned", "merged"}
    for speed in speeds.values():
        assert speed["tokens_per_second"] > 0
        assert speed["seconds_alone"] > 0
        assert speed["together"] == 16
    # The tuned model is in float32, the merged one in bfloat16 and without an adapter.
    assert 0 < speeds["merged"]["weights_mib"] < speeds["tuned"]["weights_mib"]
    printed = capsys.readouterr().out
    assert "cost of 1,000 answers at 3.6 an hour" in printed
    cost = 1000 * speeds["merged"]["seconds"] / 3600 * 3.6
    (row,) = [line for line in printed.splitlines() if line.startswith("| merged ") and f"{cost:.4f}" in line]
    assert f"{speeds['merged']['seconds_alone']:.2f}" in row
    assert "## Speed and size" in (newest / "report.md").read_text()


class JudgeServer(JsonHandler):
    """Chat completions of a judge that prefers the answer which names the question's garment."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        shown = json.loads(request["messages"][-1]["content"])
        right = {name: shown["question"].split()[-1] in shown[name] for name in ("A", "B")}
        choice = "neither" if right["A"] == right["B"] else ("A" if right["A"] else "B")
        self.complete(json.dumps({"better": choice}), 10, 5)


def test_a_model_judges_the_answers(
    instructed: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, outputs = instructed[0], instructed[0].parent
    labels = [
        {"question": "a red coat", "answer": "It is blue.", "reference": "The coat.", "better": better}
        for better in ["reference"] * 9 + ["answer"] * 3
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), JudgeServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    judge = {"judge_model": "judge", "judge_labels": tmp_path / "labels.jsonl"}
    try:
        run(ckpt=folder / "model", outputs=outputs, metrics=["judge", "chrf"], baselines=["untuned"], **judge)
    finally:
        server.shutdown()
        server.server_close()
    printed = capsys.readouterr().out
    assert "judge: the judge agrees with people on 75.0% [46.8, 91.1] of 12 pairs" in printed
    newest = max((outputs / "evaluations").iterdir())
    rows = pl.read_parquet(newest / "predictions.parquet")
    for question, answer, score in rows.select("question", "prediction", "judge").rows():
        assert score == (0.5 if question.split()[-1] in answer else 0.0)
    assert "| judge" in (newest / "report.md").read_text()
