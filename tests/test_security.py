"""What must not happen: secrets in what is written, code run from data, writing elsewhere than asked, a
small file that fills memory.
"""

import ast
import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from architectures.tracking import mlflow_logger, sender
from architectures.tracking.registry import locate
from architectures.training import checkpoint_io
from data.catalogue.cleaning import CatalogueFilter
from data.catalogue.reading import read_table
from tests.catalogues import clean
from tests.conftest import ROOT, SMALL

LAYERS = ("architectures", "config", "data", "hydra_plugins")
SOURCES = [*ROOT.glob("*.py"), *(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))]
SECRET = "sk-planted-1b7d2f"


def calls(source: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def test_nothing_from_outside_is_unpickled() -> None:
    """torch.load with weights_only, no pickle, joblib or numpy.load, and nothing trusts remote code."""
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        for call in calls(source):
            name = ast.unparse(call.func)
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if name == "torch.load":
                assert given.get("weights_only") == "True", f"{path}:{call.lineno}"
            assert not name.startswith(("pickle.", "joblib.", "dill.", "cloudpickle.")), (
                f"{path}:{call.lineno}"
            )
            assert name not in ("eval", "exec", "os.system", "np.load"), f"{path}:{call.lineno}"
            assert given.get("trust_remote_code", "False") == "False", f"{path}:{call.lineno}"
            assert given.get("shell", "False") == "False", f"{path}:{call.lineno}"


def test_a_checkpoint_that_holds_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil\.ckpt"):
        checkpoint_io.read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_secret_is_nowhere_in_what_a_run_leaves(tmp_path: Path) -> None:
    """Keys stand in the environment alone: not in the log, the configuration, MLflow's database,
    checkpoints or the report.
    """
    environment = {
        "OPENAI_API_KEY": SECRET,
        "HF_TOKEN": SECRET,
        "MLFLOW_TRACKING_PASSWORD": SECRET,
        "AZURE_CLIENT_SECRET": SECRET,
    }
    command = [sys.executable, "train.py", "+experiment=quickstart", f"outputs={tmp_path}", *SMALL]
    inherited = dict(os.environ)
    inherited.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it in this process
    done = subprocess.run(
        command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert SECRET not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"mlflow.db", "run.json", "report.html"} <= {path.name for path in files}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_tracking_servers_password_is_not_told(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    """Neither in an error, nor in the log or the record of a run that the server did not take."""
    address = f"http://user:{SECRET}@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ValueError, match=r"MLflow at http://\*\*\*@127.0.0.1:9") as error:
        locate("0" * 32, tmp_path)
    assert SECRET not in str(error.value)
    monkeypatch.setattr(sender, "PATIENCE", 3.0)
    logger = mlflow_logger.RunLogger(tmp_path, address, "x", "run", "", {}, system_metrics=False)
    logger.log_metrics({"a": 1.0}, 1)
    logger.close("FINISHED")
    assert "***@" in caplog.text
    assert SECRET not in caplog.text
    assert [
        path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ] == []
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ValueError, match="set MLFLOW_TRACKING_URI to that address"):
        mlflow_logger.replay(tmp_path)
    assert "MLFLOW_TRACKING_URI instead" in " ".join(problems(f"tracking.uri={address}"))


def problems(*overrides: str) -> list[str]:
    from hydra import compose, initialize_config_dir

    from config import command_line, schema

    assert command_line.HERE == ROOT / "config"

    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return schema.problems_of(compose("train", list(overrides)))


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "models/../../x"])
def test_names_in_a_table_are_no_paths(tmp_path: Path, name: str) -> None:
    """Ids and names of products never become names of files."""
    path = tmp_path / "in" / "t.csv"
    path.parent.mkdir()
    pl.DataFrame({"i": [name, "2"], "n": [name, "Mug"], "c": ["A >> B", "A >> B"]}).write_csv(path)
    before = set(tmp_path.rglob("*"))
    assert (
        clean(
            path, {"id": "i", "name": "n", "category": "c"}, [], CatalogueFilter("", (), 0, False)
        ).products.height
        == 2
    )
    assert set(tmp_path.rglob("*")) == before


def test_a_bomb_of_an_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes that would become gigabytes."""
    from data.catalogue import text_files

    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"0,0\n" * 20_000_000))
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(text_files, "MAX_UNPACKED", 10_000_000)
    with pytest.raises(ValueError, match=r"bomb.csv.gz: unpacks to more than .* unpack it first"):
        read_table(path)


def test_a_cell_of_any_length_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("n,c,d\nCup,A," + "x" * 5_000_000 + "\nMug,A,red\n")
    columns = {"name": "n", "category": "c", "description": "d"}
    products = clean(path, columns, [], CatalogueFilter("", (), 0, False)).products
    assert products["description"].str.len_chars().to_list() == [5_000_000, 3]
