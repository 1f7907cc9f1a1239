"""Folders of runs: each run has its own, however many start at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from architectures.tracking.locations import tracking_uri
from tests.conftest import ROOT

CLAIM = """
import sys
from pathlib import Path
from architectures import new_folder
print(new_folder(Path(sys.argv[1]) / "runs", "race"))
"""

STORE = """
import sys
from architectures.tracking.mlflow_server import experiment_id, mlflow_client
print(experiment_id(mlflow_client(sys.argv[1]), "strata", sys.argv[1]))
"""


def at_once(code: str, argument: str, count: int) -> list[str]:
    """What ``count`` processes print that start together."""
    command = [sys.executable, "-c", code, argument]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    outputs = []
    for process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-2000:]
        outputs.append(out.splitlines()[-1])
    return outputs


def test_runs_that_start_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = at_once(CLAIM, str(tmp_path), 6)
    assert len(set(folders)) == 6
    assert all(Path(folder).is_dir() for folder in folders)


def test_an_outputs_folder_of_odd_letters_holds_the_store_or_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1 =x"
    uri = tracking_uri("", folder)
    assert at_once(STORE, uri, 1) and (folder / "mlflow.db").is_file()
    with pytest.raises(ValueError, match=r"cannot hold '\?'"):
        tracking_uri("", tmp_path / "what?")


def test_runs_that_start_together_make_one_sound_store(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    identifiers = at_once(STORE, uri, 3)
    assert len(set(identifiers)) == 1
