"""Folders of runs, evaluations and comparisons."""

from pathlib import Path

from architectures.runtime.folders import new_folder


def test_evaluations_that_start_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path / "evaluations") for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(folder.is_dir() and folder.parent == tmp_path / "evaluations" for folder in folders)


def test_a_label_ends_the_name(tmp_path: Path) -> None:
    first, second = (new_folder(tmp_path, "job-1") for _ in range(2))
    assert "_job-1" in first.name and first != second
