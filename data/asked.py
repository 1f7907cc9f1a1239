"""Questions about products written by a language model: what it is asked, and how its answers are read, checked, repaired or set aside.

It gets a product's row alone, and answers in JSON. An answer that says otherwise than the row is not learnt from. Who asks is
another's matter: `Ask` takes requests and gives answers.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import polars as pl

from data.questions import PAIR, people
from data.scoring import norm, words

Ask = Callable[[list[list[dict[str, str]]], dict[str, Any]], list[str | None]]  # (requests, JSON schema) -> answers, None: none came
ITEM: dict[str, Any] = {"question": {"type": "string"}, "answer": {"type": "string"}, "attribute": {"type": ["string", "null"]}}
OBJECT = {"type": "object", "properties": ITEM, "required": list(ITEM), "additionalProperties": False}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"questions": {"type": "array", "items": OBJECT}}, "required": ["questions"]}
SCHEMA |= {"additionalProperties": False}
SYSTEM = """You write what customers ask a shop's assistant about one product, and what it answers. You are given the product's row.
Write {count} different questions with their answers, as people really ask. Name the product, by its full name, in each question and in
each answer. Answer in one sentence, from the row alone: no prices, no opinions, nothing that the row does not say. Where a question is
about one attribute of the row, give that attribute's name as it stands there, else null. Answer with JSON alone:
{{"questions": [{{"question": "...", "answer": "...", "attribute": "..."}}]}}"""
LONGEST = {"question": 400, "answer": 800, "description": 2000}  # characters
VOCABULARY = 200  # distinct values of an attribute from which on they are taken for free text
ITEMS = {"product_id": pl.String, "question": pl.String, "answer": pl.String, "attribute": pl.String}


def requests_of(products: pl.DataFrame, descriptions: pl.Series, count: int, system: str) -> list[list[dict[str, str]]]:
    """One request a product: name, category, attributes and description of its row.

    Args:
        products: of `data.questions.products_for_questions`. system: with {count} for the number of questions; '' for `SYSTEM`.
    """
    task = (system or SYSTEM).replace("{count}", str(count)).replace("{{", "{").replace("}}", "}")
    made = []
    for row, text in zip(products.select("name", "category", "shelf", "facts").iter_rows(named=True), descriptions, strict=True):
        told = {"name": row["name"], "category": f"{row['category']}, {row['shelf']}"}
        told |= {"attributes": {fact["key"]: fact["value"] for fact in row["facts"]}, "description": (text or "")[: LONGEST["description"]]}
        content = json.dumps({key: value for key, value in told.items() if value}, ensure_ascii=False)
        made.append([{"role": "system", "content": task}, {"role": "user", "content": content}])
    return made


def items_of(answer: str | None) -> tuple[list[dict[str, Any]], str]:
    """(what an answer holds, why it cannot be read or ''). A code fence around the JSON, and words before it, do not matter."""
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
    sound = [i for i in items if isinstance(i, dict) and isinstance(i.get("question"), str) and isinstance(i.get("answer"), str)]
    return sound, "" if sound else "no question with an answer"


def read(products: pl.DataFrame, answers: list[str | None]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers, one a product -> (product_id, question, answer, attribute; what could not be read: id, reason, raw)."""
    rows: list[tuple[str, str, str, str | None]] = []
    bad: list[tuple[str, str, str]] = []
    for product, answer in zip(products["id"], answers, strict=True):
        items, reason = items_of(answer)
        if reason:
            bad.append((product, reason, (answer or "")[:500]))
        for item in items:
            attribute = item.get("attribute")
            rows.append((product, item["question"].strip(), item["answer"].strip(), attribute if isinstance(attribute, str) else None))
    aside = pl.DataFrame(bad, schema={"id": pl.String, "reason": pl.String, "raw": pl.String}, orient="row")
    return pl.DataFrame(rows, schema=ITEMS, orient="row"), aside


def contradictions(items: pl.DataFrame, products: pl.DataFrame) -> pl.Series:
    """Items (their ``item``) whose answer holds another value of an attribute than the row, which stands nowhere in that row."""
    facts = products.select("id", "facts").explode("facts").unnest("facts").drop_nulls("key")
    facts = facts.select("id", key=norm(pl.col("key")), value=words(pl.col("value")))
    known = facts.filter(pl.col("value").n_unique().over("key") <= VOCABULARY).select("key", "value").unique()
    known = known.filter(pl.col("value").str.len_chars() > 4)  # of a letter or two, nobody knows what they mean elsewhere
    if not known.height:
        return pl.Series([], dtype=items["item"].dtype)
    said = pl.col("said").str.extract_many(known["value"].unique().implode(), overlapping=True)
    found = items.select("item", "product_id", "row", value=said).explode("value").drop_nulls("value")
    other = found.join(known, on="value").join(facts.select(product_id="id", key="key").unique(), on=["product_id", "key"], how="semi")
    return other.filter(~pl.col("row").str.contains(pl.col("value"), literal=True))["item"].unique()


def checked(items: pl.DataFrame, products: pl.DataFrame, descriptions: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """(sound items, with ``kind``, ``told`` and ``wanted``; those set aside: id, reason, raw; how many were repaired, by what).

    Checked: lengths, that nothing is asked twice, that the answer tells the attribute it is about, numbers, and values of attributes
    against the product's row. Repaired: a question or an answer that does not name the product, an attribute that the row has not.
    """
    pair = pl.element().struct
    text = pl.col("facts").list.eval(pl.concat_str(pair.field("key"), pl.lit(" "), pair.field("value"))).list.join(" ")
    row = pl.concat_str("name", "category", "shelf", text, descriptions.fill_null("").alias("description"), separator=" ")
    of = products.select(product_id="id", name="name", row=words(row))
    facts = products.select(product_id="id", facts="facts").explode("facts").unnest("facts").drop_nulls("key")
    facts = facts.with_columns(attribute=norm(pl.col("key"))).unique(["product_id", "attribute"], keep="first", maintain_order=True)
    frame = (
        items.with_columns(
            pl.col("answer").str.split("Product Name:").list.first().str.replace_all(r"\s+", " ").str.strip_chars(),
            pl.col("question").str.replace_all(r"\s+", " ").str.strip_chars(),
            attribute=norm(pl.col("attribute")).replace("", None),
        )
        .with_row_index("item")
        .join(of, on="product_id", maintain_order="left")
        .join(facts, on=["product_id", "attribute"], how="left", maintain_order="left")
        .with_columns(said=words(norm(pl.col("answer")).str.split(norm(pl.col("name"))).list.join(" . ")))
    )
    forms = [words(pl.col("value")), words(people(pl.col("value")))]
    tells = pl.any_horizontal(pl.col("said").str.contains(form, literal=True) for form in forms)
    numbers = pl.col("said").str.extract_all(r"\d+").list.set_difference(pl.col("row").str.extract_all(r"\d+")).list.len() > 0
    again = ~pl.struct("product_id", norm(pl.col("question"))).is_first_distinct()
    too_long = pl.any_horizontal(pl.col(name).str.len_chars() > LONGEST[name] for name in ("question", "answer"))
    reason = (
        pl.when((pl.col("question") == "") | (pl.col("answer") == ""))
        .then(pl.lit("an empty question or answer"))
        .when(too_long)
        .then(pl.lit("too long"))
        .when(again)
        .then(pl.lit("asked twice"))
        .when(pl.col("value").is_not_null() & ~tells)
        .then(pl.lit("the answer does not tell the attribute as the row has it"))
        .when(numbers)
        .then(pl.lit("a number that the row has not"))
        .when(pl.col("item").is_in(contradictions(frame, products).implode()))
        .then(pl.lit("another value of an attribute than the row's"))
    )
    frame = frame.with_columns(reason=reason)
    aside = frame.filter(pl.col("reason").is_not_null())
    raw = pl.format("{} -> {}", "question", "answer").str.slice(0, 500)
    frame = frame.filter(pl.col("reason").is_null())
    named = [norm(pl.col(column)).str.contains(norm(pl.col("name")), literal=True) for column in ("question", "answer")]
    lost = pl.col("attribute").is_not_null() & pl.col("value").is_null()
    repaired = frame.select((~named[0]).sum(), (~named[1]).sum(), lost.sum()).row(0)
    sound = frame.select(
        "product_id",
        kind=pl.when(pl.col("value").is_null()).then(pl.lit("open")).otherwise(pl.lit("attribute")),
        question=pl.when(named[0]).then("question").otherwise(pl.format("About the {}: {}", "name", "question")),
        sentence=pl.when(named[1]).then("answer").otherwise(pl.format("The {}: {}", "name", "answer")),
        answer_id="product_id",
        wanted=pl.when(pl.col("value").is_not_null())
        .then(pl.concat_list(pl.struct("key", "value")))
        .otherwise(pl.lit([], PAIR))
        .cast(PAIR),
        told=pl.when(pl.col("said").str.contains(forms[0], literal=True)).then("value").otherwise(people(pl.col("value"))),
    )
    names = ("question names the product now", "answer names the product now", "attribute that the row has not is left out")
    counts = {name: int(count or 0) for name, count in zip(names, repaired, strict=True)}
    return sound, aside.select(id="product_id", reason="reason", raw=raw), counts
