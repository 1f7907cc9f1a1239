"""The results of a sweep's finished jobs: one table, one page, and the command of the best job."""

import json
from pathlib import Path

from data.reports import answer_evaluation, label_report, tables
from data.reports.evaluated_runs import read_run
from data.values import JsonObject

Results = tuple[Path, JsonObject]  # (folder of a job, its results)


def report_sweep(jobs: list[JsonObject], folder: Path) -> str:
    """Write the page of a sweep into its ``folder``; its table and what to type next. Empty if no job has
    results.

    Args:
        jobs: finished ones: folder and overrides.
    """
    done: list[Results] = []
    for job in jobs:
        path = Path(job["folder"])
        if (path / "results.json").is_file():
            done.append((path, json.loads((path / "results.json").read_text(encoding="utf-8"))))
    if not done:
        return ""
    classifiers = [path for path, results in done if "scores" in results]  # one that was pruned has none
    if classifiers:
        return label_report.write_comparison(classifiers, folder.name, folder)
    commands = {job["folder"]: job["overrides"] for job in jobs}
    return _report_answers(done, commands, folder)


def _report_answers(done: list[Results], commands: dict[str, str], folder: Path) -> str:
    """The table of models that answer questions, the best by validation first, and the command of the
    best.
    """
    evaluated = [read_run(path) for path, _ in done if (path / "scores.json").is_file()]
    if evaluated:
        answer_evaluation.write_report(evaluated, folder)
    monitor = done[0][1]["monitor"]
    sign = 1 if monitor == "loss" else -1
    done = sorted(done, key=lambda pair: sign * float(pair[1]["validation"]))
    path, best = done[0]
    text = tables.runs_table([results for _, results in done])
    text += f"\n\nbest by validation {monitor}: {best['name']}    python train.py {commands[str(path)]}"
    if evaluated:
        text += f"\nnext:  open {folder / 'report.html'}"
        text += f"\nnext:  python evaluate.py compare={folder} gate=true"
    return text
