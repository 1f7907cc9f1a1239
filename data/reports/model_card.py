"""The model card: what a model is, what it was made from, its intended use and its limits."""

from pathlib import Path

from data.reports import instruction_report, tables
from data.reports.evaluated_runs import EvaluatedRun, read_run
from data.values import JsonObject, Settings


def model_card(run: EvaluatedRun, decided: str) -> str:
    """A model card: what it is, what it was made from, what it is for, what it cannot do, and what the
    gate said.
    """
    cards = {"grounded": _catalogue_card, "texts": _instruction_card, "splits": _label_card}
    return next(card for key, card in cards.items() if key in run.scores)(run, decided)


def _what_it_is(settings: Settings) -> str:
    """An adapter or a fine-tune, and of which base."""
    kind = "A LoRA adapter for" if settings["model.adapter"] == "lora" else "A fine-tune of"
    return f"{kind} `{settings['model.base']}`"


def _parents(origin: Settings) -> str:
    """Digests of the models that a model goes on from, the newest first."""
    parents = origin.get("parents", [])
    return f" It goes on from the model {', which goes on from '.join(parents)}." if parents else ""


def _label_card(run: EvaluatedRun, decided: str) -> str:
    """The card of a classifier."""
    origin = run.scores["origin"]
    several = "any number of these labels" if run.scores["multi_label"] else "one of these labels"
    return f"""# {run.name} on {origin["data"]["name"]}

{_what_it_is(origin["settings"])} that gives a text {several}: {", ".join(run.scores["labels"])}. The base's
licence applies to it.

- Data: {origin["data"]["name"]}, digest {run.scores["data_digest"]}.
- Model digest: {run.scores["model_digest"]}. Seed {origin["seed"]}.{_parents(origin)}
- Intended use: texts like those it was trained on, cleaned in the same way.
- Limits: other texts were not evaluated. Its probabilities were calibrated on the validation rows.

{run.scores["text"]}

{decided}
"""


def _instruction_card(run: EvaluatedRun, decided: str) -> str:
    """The card of a model trained on instructions."""
    origin = run.scores["origin"]
    return f"""# {run.name} on {origin["data"]["name"]}

{_what_it_is(origin["settings"])} that was trained on instructions with their answers. The base's licence
applies to it.

- Data: {origin["data"]["name"]}, digest {run.scores["data_digest"]}.
- Model digest: {run.scores["model_digest"]}. Seed {origin["seed"]}.{_parents(origin)}
- Intended use: instructions like those it was trained on.
- Limits: its answers were compared with one reference each, by the metrics below. Whether an answer is true
  was not checked, and other instructions were not evaluated.

{instruction_report.answers_table(run.scores)}

{decided}
"""


def _catalogue_card(run: EvaluatedRun, decided: str) -> str:
    """The card of a model that answers questions about a catalogue."""
    origin = run.scores["origin"]
    data, known = origin["data"], run.scores["grounded"]["tuned, known products"]
    right, invented = (tables.figure_with_interval(known, name) for name in ("accuracy", "invented_rate"))
    return f"""# {run.name} on {data["name"]}

{_what_it_is(origin["settings"])} that answers questions about the products of one catalogue, and suggests
alternatives and outfits. The base's licence applies to it.

- Data: {data["name"]}, digest {run.scores["data_digest"]}, questions made by templates from the table's rows.
- Model digest: {run.scores["model_digest"]}. Seed {origin["seed"]}.{_parents(origin)}
- Intended use: answers about the products of this catalogue, checked against it before they are shown.
- Limits: it knows the catalogue as it was; prices and stock are not in it. Of {int(known["n"])} questions
  about known products {right} were answered correctly; in {invented} it named a product that does not exist.
  Other languages, and questions unlike those it was trained on, were not evaluated.

{tables.answers_table(run.scores["grounded"])}

{decided}
"""


def registry_fields(run: EvaluatedRun, model: Path, verdict: str) -> JsonObject:
    """What is registered with a model: its card as ``text``, its lineage as ``tags``, and the data it was
    evaluated on.
    """
    origin, scores = run.scores["origin"], run.scores
    tags = {
        "data": origin["data"]["name"],
        "data_digest": scores["data_digest"],
        "model_digest": scores["model_digest"],
        "base": str(origin["settings"]["model.base"]),
        "source": str(model),
        "commit": str(run.results.get("commit", "unknown")),
    }
    if origin.get("parents"):
        tags["parents"] = ", ".join(origin["parents"])
    rows = run.rows.height // run.rows["model"].n_unique()
    return {"text": model_card(run, verdict), "tags": tags, "source": origin["data"]["path"], "rows": rows}


def write_readme(folder: Path, name: str, path: Path, base: str) -> None:
    """Write the README of an exported model: its card if it was evaluated, and the licence of its base.

    Args:
        path: of the model, whose run's folder may hold an evaluation.
    """
    evaluation = path.parent if path.name == "model" else path
    text = f"# {name}\n\nNot evaluated here.\n"
    if (evaluation / "scores.json").is_file():
        text = model_card(read_run(evaluation), "")
    front_matter = "---\nlicense: other\nlibrary_name: transformers\n---\n\n"
    licence = f"Made by Strata from `{base}`, whose licence applies."
    (folder / "README.md").write_text(f"{front_matter}{text}\n{licence}\n", encoding="utf-8")
