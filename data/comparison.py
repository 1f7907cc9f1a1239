"""Runs that answered questions about a catalogue -> one page: which is best, whether that is real, and what it must beat.

The best job is chosen by its validation figure, before anything is known of the test questions; these only tell what it is worth.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data import charts, page, report, scoring, statistics
from data.page import Section, quoted

log = logging.getLogger(__name__)
LEAST = 10  # questions that a slice must hold
WORST = 12  # slices that are shown
EXAMPLES = 20  # answers shown of each wrong verdict
DRAWN = ("same-product", "exact", "tfidf", "nearest-answer", "untuned", "untuned-row", "untuned-shots")


@dataclass(frozen=True)
class Run:
    """What a run's folder holds: scores, training results ({} where only predictions are there), judged answers, metrics by step."""

    folder: Path
    name: str
    scores: dict[str, Any]
    results: dict[str, Any]
    rows: pl.DataFrame
    metrics: list[dict[str, float]]

    @property
    def tuned(self) -> pl.DataFrame:
        """The tuned model's judged answers."""
        return self.rows.filter(pl.col("model") == "tuned")


def name_of(origin: dict[str, Any]) -> str:
    """What a run is called in tables: its experiment, and the rank of its adapter."""
    settings = origin["settings"]
    rank = f" r={settings['model.lora_r']}" if settings["model.adapter"] == "lora" else ""
    return f"{origin['experiment']}{rank}"


def content_of(path: Path) -> Any:
    """A JSON file. Raises ValueError that names it, if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run the evaluation, or the sweep, again") from None


def classifies(folder: Path) -> bool:
    """Whether the evaluated run in a folder is a classifier's."""
    return "splits" in content_of(folder / "scores.json")


def read(folder: Path) -> Run:
    """Raises ValueError if the folder holds no scored answers."""
    try:
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        rows = pl.read_parquet(folder / "predictions.parquet")
        name = str(scores["name"])
        results = json.loads((folder / "results.json").read_text(encoding="utf-8")) if (folder / "results.json").is_file() else {}
        path = folder / "metrics.jsonl"
        metrics = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{folder} holds no scored answers of a model ({error!r:.200}): evaluate it first") from None
    return Run(folder, name, scores, results, rows, metrics)


def found(name: str, outputs: Path) -> list[Path]:
    """Folders of the evaluated runs that a name stands for: a run's or a sweep's folder, or its name, or that of a data set.

    Raises ValueError if there are none.
    """
    place = next((path for path in (Path(name), outputs / "sweeps" / name, outputs / "runs" / name) if path.is_dir()), None)
    if place and (place / "ledger.json").is_file():
        folders = [Path(row["folder"]) for row in content_of(place / "ledger.json")]
    elif place:
        folders = [place]
    else:
        every = [path for pattern in ("runs/*/results.json", "sweeps/*/*/results.json") for path in outputs.glob(pattern)]
        every.sort(key=lambda path: path.stat().st_mtime)
        folders = [path.parent for path in every if content_of(path).get("data") == name]
    folders = [path for path in folders if (path / "scores.json").is_file()]
    if not folders:
        raise ValueError(
            f"compare={name}: no evaluated run there; give the folder of a run or a sweep, an MLflow run, or a data set's name"
        )
    return folders


def chosen(runs: list[Run]) -> Run:
    """The best by validation; the first where not all were validated alike."""
    monitors = {run.results.get("monitor") for run in runs}
    if len(monitors) > 1 or None in monitors:
        return runs[0]
    sign = 1 if monitors == {"loss"} else -1
    return min(runs, key=lambda run: sign * float(run.results["validation"]))


def distinct(runs: list[Run]) -> list[Run]:
    """The runs under names of their own: those that share one get a number."""
    names = [run.name for run in runs]
    seen: dict[str, int] = {}
    made = []
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        name = f"{run.name} #{seen[run.name]}" if names.count(run.name) > 1 else run.name
        made.append(Run(run.folder, name, run.scores, run.results, run.rows, run.metrics))
    return made


def write(runs: list[Run], folder: Path, decided: str = "", incumbent: Run | None = None) -> str:
    """Write report.md, report.html and their pictures into ``folder``; give back the table of the runs.

    Args:
        decided: what the gate said, in Markdown. incumbent: what is in use now, to compare with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = distinct(runs)
    best = chosen(runs)
    same = [run for run in runs if run.scores["data_digest"] == best.scores["data_digest"]]
    others = [run for run in same if run is not best] + ([incumbent] if incumbent else [])
    table = jobs_table(runs)
    sections = [
        Section("Verdict", "\n".join(f"- {line}" for line in in_words(best, others, runs)) + (f"\n\n{decided}" if decided else "")),
        Section("Jobs", f"{table}\n\n{JOBS_NOTE}"),
        Section("As published", f"{report.legacy_table({run.name: run.scores['legacy']['tuned'] for run in runs})}\n\n{LEGACY_NOTE}"),
        Section("Accuracy", f"{bars(runs, best, folder)}"),
        *([Section("Learning curves", curves)] if (curves := learning_curves(runs, folder)) else []),
        Section("Baselines", f"{report.answers_table(best.scores['grounded'])}\n\n{BASELINES_NOTE}"),
        Section("Differences on the same questions", differences_table(best, others)),
        *([Section("Parameters that differ", parameters_table(runs))] if len(runs) > 1 else []),
        Section("Cost", cost_table(runs)),
        Section("Where it is weak", weak(best)),
        *error_sections(best),
        Section("Leakage", leakage_table(best)),
        Section("What was run", provenance(runs)),
    ]
    page.write(folder, f"{best.scores['origin']['data']['name']}: {', '.join(run.name for run in runs)}", sections)
    return table


JOBS_NOTE = """Accuracy: the product is right, and all that the answer says of it. In brackets 95% intervals: the wider of Wilson's and a
bootstrap over products. An arrow stands where a job differs from the first one by more than chance (p < 5%, paired, Holm)."""
LEGACY_NOTE = """Counted as published: an answer is true if the name it gives occurs in any training answer, whatever was asked; so always
naming one product is right every time. Kept for comparison with the published table."""
BASELINES_NOTE = """same-product: one answer to everything. exact: the row of the product whose name is in the question. tfidf: the row most
like the question. nearest-answer: the answer to the training question most like it. untuned: the base as it is; with the row that
tfidf finds, or training examples, in its prompt."""


def card(run: Run, decided: str) -> str:
    """A model card: what it is, what it was made from, what it is for, what it cannot do, and what the gate said."""
    origin, settings = run.scores["origin"], run.scores["origin"]["settings"]
    data, known = origin["data"], run.scores["grounded"]["tuned, known products"]
    kind = "A LoRA adapter for" if settings["model.adapter"] == "lora" else "A fine-tune of"
    right, invented = (report.with_interval(known, name) for name in ("accuracy", "invented_rate"))
    return f"""# {run.name} on {data["name"]}

{kind} `{settings["model.base"]}` that answers questions about the products of one catalogue, and suggests
alternatives and outfits. The base's licence applies to it.

- Data: {data["name"]}, digest {run.scores["data_digest"]}, questions made by templates from the table's rows.
- Model digest: {run.scores["model_digest"]}. Seed {origin["seed"]}.
- Intended use: answers about the products of this catalogue, checked against it before they are shown.
- Limits: it knows the catalogue as it was; prices and stock are not in it. Of {int(known["n"])} questions about known products
  {right} were answered rightly; in {invented} it named a product that does not exist. Other languages, and questions unlike those
  it was trained on, were not tried.

{report.answers_table(run.scores["grounded"])}

{decided}
"""


def in_words(best: Run, others: list[Run], runs: list[Run]) -> list[str]:
    """The page in a few sentences."""
    known = best.scores["grounded"]["tuned, known products"]
    how = f"best of {len(runs)} by validation {best.results['monitor']}" if len(runs) > 1 and best.results else "judged here"
    unseen = best.scores["grounded"]["tuned, unseen products"]
    lines = [
        f"**{best.name}** ({how}): accuracy {report.with_interval(known, 'accuracy')} of {int(known['n'])} questions about known products, "
        f"{report.with_interval(unseen, 'accuracy')} of {int(unseen['n'])} about products it never met; "
        f"{int(known['invented'] + unseen['invented'])} products invented."
    ]
    rivals = [(name, best.rows.filter(pl.col("model") == name)) for name in DRAWN if name in best.rows["model"]]
    if rivals:
        name, rows = max(rivals, key=lambda pair: pair[1].select(scoring.RIGHT.mean()).item() or 0)
        lines.append(f"Best baseline, **{name}**: {told(statistics.paired(best.tuned, rows, scoring.RIGHT))}")
        for kind in beaten(best.tuned, rows):
            lines.append(f"Questions of the kind *{kind}* are answered better by {name}.")
    compared = [(run, statistics.paired(best.tuned, run.tuned, scoring.RIGHT)) for run in others]
    for (run, d), p in zip(compared, statistics.holm([d.p for _, d in compared]), strict=True):
        lines.append(f"Against {run.name}: {told(d, p)}")
    return lines


def beaten(tuned: pl.DataFrame, rival: pl.DataFrame) -> list[str]:
    """Kinds of question at which the rival is better by more than chance (Holm over the kinds)."""
    kinds = sorted(set(tuned["kind"]))
    of_kind = [pl.col("kind") == kind for kind in kinds]
    found = [statistics.paired(tuned.filter(same), rival.filter(same), scoring.RIGHT) for same in of_kind]
    adjusted = statistics.holm([d.p for d in found])
    return [kind for kind, d, p in zip(kinds, found, adjusted, strict=True) if d.value < 0 and p < 0.05]


def told(d: statistics.Difference, p: float | None = None) -> str:
    """A difference in words."""
    p = d.p if p is None else p
    sure = "more than chance" if p < 0.05 else f"could be chance; about {d.needed[1]:,} questions would tell 2 points apart"
    return f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}] on {d.n} questions, p = {p:.2g}: {sure}."


def jobs_table(runs: list[Run]) -> str:
    """One row a job: figures with intervals, and an arrow where it differs from the first job by more than chance."""
    first = runs[0]
    comparable = [run for run in runs[1:] if run.scores["data_digest"] == first.scores["data_digest"]]
    found = [statistics.paired(run.tuned, first.tuned, scoring.RIGHT) for run in comparable]
    sure = dict(zip((run.name for run in comparable), zip(found, statistics.holm([d.p for d in found]), strict=True), strict=True))
    header = [
        "job",
        "validation",
        "accuracy, known products",
        "",
        "accuracy, unseen products",
        "right product",
        "precision",
        "answered",
        "invented",
    ]
    rows: list[list[Any]] = []
    for run in runs:
        known, unseen = (run.scores["grounded"][f"tuned, {part}"] for part in scoring.SPLITS.values())
        d, p = sure.get(run.name, (None, 1.0))
        arrow = "" if d is None or p >= 0.05 else "▲" if d.value > 0 else "▼"
        validation = f"{run.results['monitor']} {run.results['validation']:.4f}" if run.results else "-"
        rows.append(
            [run.name, validation, report.with_interval(known, "accuracy"), arrow, report.with_interval(unseen, "accuracy")]
            + [float(known[key]) for key in ("right_product", "precision", "answered", "invented_rate")]
        )
    return report.table(header, rows)


def bars(runs: list[Run], best: Run, folder: Path) -> str:
    """Accuracy of every job, and of what the best must beat, with intervals."""
    panels = []
    for part in scoring.SPLITS.values():
        scores = [(run.name, run.scores["grounded"][f"tuned, {part}"]) for run in runs]
        rivals = [(name, best.scores["grounded"].get(f"{name}, {part}")) for name in DRAWN]
        shown = [(n, s["accuracy"], s["accuracy_low"], s["accuracy_high"]) for n, s in scores + rivals if s and s["n"]]
        if shown:
            panels.append((f"accuracy, {part}", shown))
    charts.bars_chart(panels, {run.name for run in runs}, folder / "accuracy.png")
    return "![Accuracy of jobs and baselines, with 95% intervals](accuracy.png)"


def learning_curves(runs: list[Run], folder: Path) -> str:
    """Training and validation loss of all jobs, by step; '' where nothing was recorded."""
    curves = {}
    for run in runs:
        train, validation = ([(m["step"], m[key]) for m in run.metrics if key in m] for key in ("train/loss", "validation/loss"))
        if train or validation:
            curves[run.name] = (train, validation)
    if not curves:
        return ""
    charts.curves_chart(curves, folder / "curves.png")
    return "![Loss of every job in training and validation](curves.png)"


def differences_table(best: Run, others: list[Run]) -> str:
    """The best against the other jobs, the incumbent, and each baseline."""
    rivals = [(run.name, run.tuned) for run in others]
    rivals += [(name, best.rows.filter(pl.col("model") == name)) for name in DRAWN if name in best.rows["model"]]
    if not rivals:
        return "There is nothing to compare with."
    found = [(name, statistics.paired(best.tuned, rows, scoring.RIGHT)) for name, rows in rivals]
    adjusted = statistics.holm([d.p for _, d in found])
    header = [
        f"{best.name} against",
        "n",
        "difference, points",
        "right alone",
        "wrong alone",
        "p",
        "p (Holm)",
        "n for 2 points",
        "for 1 point",
    ]
    rows: list[list[Any]] = []
    for (name, d), p in zip(found, adjusted, strict=True):
        difference = f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
        rows.append([name, d.n, difference, d.only_a, d.only_b, f"{d.p:.2g}", f"{p:.2g}", d.needed[1], d.needed[0]])
    note = "Accuracy on the same questions. p: permutation by product. The last columns: questions that would tell so small a difference."
    return f"{report.table(header, rows)}\n\n{note}"


def parameters_table(runs: list[Run]) -> str:
    """Settings in which the runs differ, side by side."""
    settings = [run.scores["origin"]["settings"] for run in runs]
    keys = sorted(key for key in {key for one in settings for key in one} if len({str(one.get(key)) for one in settings}) > 1)
    rows: list[list[Any]] = [[key, *(quoted(one.get(key, "-"), 80) for one in settings)] for key in keys]
    return report.table(["parameter", *(run.name for run in runs)], rows) if rows else "The runs have the same settings."


def cost_table(runs: list[Run]) -> str:
    """Steps, tokens, time and memory of training, and the time of prediction."""
    rows: list[list[Any]] = []
    for run in runs:
        r, made = run.results, run.scores["made"]
        trained = (
            [f"{r['steps']:,}", f"{r['tokens']:,}", f"{r['seconds']:.0f} s", f"{r['peak_gib']:.2f} GiB"] if "tokens" in r else ["-"] * 4
        )
        speed = f"{made['questions'] / made['seconds']:.1f}" if made["seconds"] else "-"
        rows.append([run.name, *trained, f"{made['questions']:,} in {made['seconds']:.0f} s", speed, f"{made['backend']}: {made['why']}"])
    header = ["job", "steps", "tokens", "training", "peak memory", "questions answered", "a second", "back end"]
    return report.table(header, rows) + "\n\nAnswers that were kept from before cost no time."


def weak(best: Run) -> str:
    """The worst slices and every attribute of the best run."""
    slices = scoring.slices(best.tuned, LEAST).head(WORST)
    rows: list[list[Any]] = [[quoted(row["slice"]), row["n"], report.share(row["right"], row["n"])] for row in slices.iter_rows(named=True)]
    text = report.table(["slice", "n", "accuracy"], rows) if rows else f"No slice holds {LEAST} questions."
    told_of: list[list[Any]] = [
        [quoted(row["attribute"]), row["asked"], report.share(row["told"], row["asked"]), *(row[what] for what in scoring.DETAILS)]
        for row in scoring.attributes(best.tuned).iter_rows(named=True)
    ]
    header = ["attribute", "asked", "told right", "detail right", "wrong", "invented", "missing"]
    suggested: list[list[Any]] = []
    for kind in ("alternative", "outfit", "search"):
        some = best.tuned.filter(pl.col("kind") == kind)
        if some.height:
            counts = [int(some[name].sum()) for name in ("exists", "fits")]
            suggested.append([kind, some.height, *(report.share(count, some.height) for count in counts)])
    parts = [f"Worst slices of {best.name}:\n\n{text}"]
    parts += [f"Suggestions:\n\n{report.table(['kind', 'n', 'exists', 'fits'], suggested)}"] if suggested else []
    parts += [f"Attributes, in the sentence and among the details:\n\n{report.table(header, told_of)}"] if told_of else []
    return "\n\n".join(parts)


def error_sections(best: Run) -> list[Section]:
    """Answers of each wrong verdict, to be read."""
    found = []
    for verdict, rows in scoring.examples(best.tuned, EXAMPLES).items():
        cells: list[list[Any]] = [
            [row["kind"], quoted(row["question"]), quoted(row["answer"], 240), quoted(row["prediction"] or "(no answer)", 240)]
            for row in rows.iter_rows(named=True)
        ]
        whole = best.tuned.filter(pl.col("verdict") == verdict).height
        title = f"Errors: {verdict.replace('_', ' ')} ({rows.height} of {whole})"
        found.append(Section(title, report.table(["kind", "question", "wanted, for example", "answered"], cells), folded=True))
    return found


def leakage_table(best: Run) -> str:
    """What of each split stands in training, too."""
    rows = [[row["split"], row["rows"], row["same_question"], row["same_answer"], row["same_product"]] for row in best.scores["leakage"]]
    note = "Known products have other questions in training, and several questions may have one answer; no question may stand in both."
    return report.table(["split", "rows", "question in training", "answer in training", "product in training"], rows) + f"\n\n{note}"


def provenance(runs: list[Run]) -> str:
    """Hardware, versions, commits, digests."""
    header = ["", *(run.name for run in runs)]
    kinds = dict.fromkeys(key for run in runs for key in run.scores["machine"])
    rows: list[list[Any]] = [[kind, *(str(run.scores["machine"].get(kind, "-")) for run in runs)] for kind in kinds]
    for name in ("data_digest", "trained_on", "model_digest"):
        rows.append([name.replace("_", " "), *(str(run.scores[name]) for run in runs)])
    rows.append(["base", *(str(run.scores["origin"]["settings"]["model.base"]) for run in runs)])
    rows.append(["commit", *(str(run.results.get("commit", "-"))[:19] for run in runs)])
    rows.append(["trained on", *(str(run.results.get("finished", "-")) for run in runs)])
    rows.append(["folder", *(str(run.folder) for run in runs)])
    return report.table(header, rows)
