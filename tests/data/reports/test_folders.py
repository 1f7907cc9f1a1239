"""Folders of evaluations and comparisons."""

from pathlib import Path

from data.reports.evaluated_runs import dated_folder


def test_evaluations_that_start_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = [dated_folder(tmp_path, "evaluations") for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(folder.is_dir() and folder.parent == tmp_path / "evaluations" for folder in folders)
