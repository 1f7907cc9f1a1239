"""What the folders of runs say of them: state, losses, report."""

import json
from pathlib import Path

from architectures.tracking.record import METRICS_FILE

STATE_FILE, REPORT_FILE = "state.json", "report.html"
LOSSES = {"train/loss": "training", "validation/loss": "validation"}


def run_folders(outputs: Path) -> list[Path]:
    """The runs' folders, the newest first."""
    states = (outputs / "runs").glob(f"*/{STATE_FILE}")
    return [path.parent for path in sorted(states, key=lambda path: path.parent.name, reverse=True)]


def state_row(folder: Path) -> list[str]:
    """Name, status, and the validation metric of a run that has ended."""
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        state = {}
    metric = state.get("metric")
    return [folder.name, str(state.get("status", "damaged")), f"{metric:.4f}" if metric is not None else ""]


def losses(folder: Path) -> list[tuple[int, float, str]]:
    """(step, loss, training or validation) of a run so far."""
    path, found = folder / METRICS_FILE, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # it is being written
            continue
        for key, name in LOSSES.items():
            if key in record:
                found.append((int(record["step"]), float(record[key]), name))
    return found
