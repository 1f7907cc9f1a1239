"""Folders for the results of runs, evaluations and comparisons."""

from datetime import datetime
from pathlib import Path


def new_folder(parent: Path, label: str = "") -> Path:
    """Make a folder in ``parent`` that is named by the time and the label; of several processes that start in
    one second, each gets its own.
    """
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{label}" if label else "")
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = folder.with_name(f"{name}_{number}")
