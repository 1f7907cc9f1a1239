"""Questions about products written by a language model: what it is asked, and how its answers are read,
checked, repaired or set aside.

It gets a product's row alone, and answers in JSON. An answer that says otherwise than the row is not learnt
from. Who asks is another's matter: `Ask` takes requests and gives answers.
"""

import json
import re
from collections.abc import Callable

import polars as pl

from data.values import JsonObject

ChatFunction = Callable[
    [list[list[dict[str, str]]], JsonObject], list[str | None]
]  # (requests, JSON schema) -> answers, None: none came

ITEM: JsonObject = {
    "question": {"type": "string"},
    "answer": {"type": "string"},
    "attribute": {"type": ["string", "null"]},
}

OBJECT = {"type": "object", "properties": ITEM, "required": list(ITEM), "additionalProperties": False}

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": OBJECT}},
    "required": ["questions"],
}

SCHEMA |= {"additionalProperties": False}

SYSTEM = """You write what customers ask a shop's assistant about one product, and what it answers. You are given the product's row.
Write {count} different questions with their answers, as people really ask. Name the product, by its full name, in each question and in
each answer. Answer in one sentence, from the row alone: no prices, no opinions, nothing that the row does not say. Where a question is
about one attribute of the row, give that attribute's name as it stands there, else null. Answer with JSON alone:
{{"questions": [{{"question": "...", "answer": "...", "attribute": "..."}}]}}"""  # noqa: E501

MAX_LENGTHS = {"question": 400, "answer": 800, "description": 2000}  # characters

ITEMS = {"product_id": pl.String, "question": pl.String, "answer": pl.String, "attribute": pl.String}


def build_requests(
    products: pl.DataFrame, descriptions: pl.Series, count: int, system: str
) -> list[list[dict[str, str]]]:
    """One request a product: name, category, attributes and description of its row.

    Args:
        products: of `data.questions.products.products_for_questions`. system: with {count} for the number of
        questions; '' for `SYSTEM`.
    """
    task = (system or SYSTEM).replace("{count}", str(count)).replace("{{", "{").replace("}}", "}")
    made = []
    for row, text in zip(
        products.select("name", "category", "shelf", "facts").iter_rows(named=True), descriptions, strict=True
    ):
        told = {"name": row["name"], "category": f"{row['category']}, {row['shelf']}"}
        told |= {
            "attributes": {fact["key"]: fact["value"] for fact in row["facts"]},
            "description": (text or "")[: MAX_LENGTHS["description"]],
        }
        content = json.dumps({key: value for key, value in told.items() if value}, ensure_ascii=False)
        made.append([{"role": "system", "content": task}, {"role": "user", "content": content}])
    return made


def parse_answer(answer: str | None) -> tuple[list[JsonObject], str]:
    """(what an answer holds, why it cannot be read or ''). A code fence around the JSON, and words before
    it, do not matter.
    """
    if answer is None:
        return [], "no answer came"
    found = re.search(r"[{\[].*[}\]]", answer, re.DOTALL)
    try:
        content = json.loads(found[0]) if found else None
    except ValueError:
        return [], "not JSON"
    items = content.get("questions") if isinstance(content, dict) else content
    if not isinstance(items, list):
        return [], "no list of questions"
    sound = [
        i
        for i in items
        if isinstance(i, dict) and isinstance(i.get("question"), str) and isinstance(i.get("answer"), str)
    ]
    return sound, "" if sound else "no question with an answer"


def read_answers(products: pl.DataFrame, answers: list[str | None]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers, one a product -> (product_id, question, answer, attribute; what could not be read: id,
    reason, raw).
    """
    rows: list[tuple[str, str, str, str | None]] = []
    bad: list[tuple[str, str, str]] = []
    for product, answer in zip(products["id"], answers, strict=True):
        items, reason = parse_answer(answer)
        if reason:
            bad.append((product, reason, (answer or "")[:500]))
        for item in items:
            attribute = item.get("attribute")
            rows.append(
                (
                    product,
                    item["question"].strip(),
                    item["answer"].strip(),
                    attribute if isinstance(attribute, str) else None,
                )
            )
    aside = pl.DataFrame(bad, schema={"id": pl.String, "reason": pl.String, "raw": pl.String}, orient="row")
    return pl.DataFrame(rows, schema=ITEMS, orient="row"), aside
