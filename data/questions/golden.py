"""A user's own questions with what a right answer names and states: read and checked, or proposed from a
catalogue.

Columns of the file:

    question          in a shopper's words
    category          where it is asked; empty: all of the catalogue
    product           ids or names, ';' between several that are right; empty: nothing fits, a right answer
    declines attribute, value  what the answer must state; both empty: naming a right product is enough
    kind              a label for slices; 'unsaid': the row does not say, and a right answer says so
"""

import sys
from pathlib import Path

import polars as pl

from data.catalogue.normalisation import normalise, normalised
from data.catalogue.reading import read_table
from data.questions.phrases import CONTEXT, UNSAID
from data.values import JsonObject

COLUMNS = ["question", "category", "product", "attribute", "value", "kind"]
DEFAULT_KIND = "question"
FIRST_LINE = 2  # of the file that is no header
SHOWN_PROBLEMS = 20
LONGEST = 4000  # characters of a question
EXAMPLES = 20  # of a proposal

Row = dict[str, str]


def read_golden(path: Path, products: pl.DataFrame) -> pl.DataFrame:
    """Questions of a file: line, question, context, right (names of right products), attribute, value, kind.

    Args:
        products: what `data.questions.products.products_for_questions` gives.

    Raises ValueError that lists each bad row with its line and what to type instead.
    """
    if not path.is_file():
        raise ValueError(f"golden={path}: there is no such file; make golden writes one to start from")
    table, unread = read_table(path)
    missing = [name for name in ("question", "product") if name not in table.columns]
    if missing:
        raise ValueError(
            f"golden={path}: has no column {', '.join(missing)}; the columns are {', '.join(COLUMNS)}"
        )
    absent = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in table.columns]
    cells = table.with_columns(absent).select(pl.col(COLUMNS).cast(pl.String).fill_null(""))
    names = _names_by_key(products)
    categories = set(products["category"].drop_nulls())
    problems = [f"line {line}: {reason}" for line, reason in unread.select("row", "reason").rows()]
    rows, next_line = [], FIRST_LINE
    for cells_of_row in cells.to_dicts():
        line = next_line
        next_line += 1 + sum(text.count("\n") for text in cells_of_row.values())
        row = {name: " ".join(text.split()) for name, text in cells_of_row.items()}
        problems += [f"line {line}: {problem}" for problem in problems_of(row, names, categories)]
        rows.append(_question_of(line, row, names))
    if not rows:
        problems.append("it has no rows")
    if problems:
        listed = "\n  ".join(problems[:SHOWN_PROBLEMS])
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise ValueError(f"golden={path}: {len(problems)} problems\n  {listed}{more}")
    return pl.DataFrame(rows)


def _names_by_key(products: pl.DataFrame) -> dict[str, str]:
    """Id or normalised name -> normalised name."""
    keyed = products.select("id", key=normalise(pl.col("name")))
    return {key: key for key in keyed["key"]} | dict(keyed.rows())


def problems_of(row: Row, names: dict[str, str], categories: set[str]) -> list[str]:
    """What is wrong with one row."""
    from rapidfuzz import process

    problems = [] if row["question"] else ["the question is empty"]
    if len(row["question"]) > LONGEST:
        problems.append(f"the question has {len(row['question']):,} characters; at most {LONGEST:,} are read")
    for product in products_of(row):
        if _key_of(product, names) is None:
            near = process.extractOne(product.lower(), names.keys())
            problems.append(
                f"no product is called {product!r}; did you mean {near[0]!r}?" if near else "no product"
            )
    if row["category"] and row["category"] not in categories:
        problems.append(
            f"no category is called {row['category']!r}; there are {', '.join(sorted(categories)[:10])}"
        )
    if row["kind"] == UNSAID and not row["attribute"]:
        problems.append("kind unsaid needs the attribute that the row does not say")
    if row["value"] and not row["attribute"]:
        problems.append("value needs an attribute; Price for a price")
    if row["attribute"] and not row["value"] and row["kind"] != UNSAID:
        problems.append("attribute needs a value, or the kind unsaid")
    if row["attribute"] and not row["product"]:
        problems.append("attribute needs a product")
    return problems


def products_of(row: Row) -> list[str]:
    """The ids or names in the cell of products."""
    return [name.strip() for name in row["product"].split(";") if name.strip()]


def _key_of(product: str, names: dict[str, str]) -> str | None:
    """The normalised name of a product that is given by id or name; None if there is none."""
    return names.get(product) or names.get(normalised(product))


def _question_of(line: int, row: Row, names: dict[str, str]) -> JsonObject:
    """A row as `read_golden` gives it."""
    right = [_key_of(product, names) for product in products_of(row)]
    category = row["category"]
    return {
        "line": line,
        "question": row["question"],
        "context": category and f"{CONTEXT}{category}",
        "right": list(filter(None, right)),
        "attribute": row["attribute"],
        "value": row["value"],
        "kind": row["kind"] or DEFAULT_KIND,
    }


def proposal(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Twenty rows to start a file from: attributes, searches, what is not said, and what the shop does not
    have.

    The questions are to be replaced by those of shoppers.
    """
    told = products.filter(pl.col("facts").list.len() > 0)
    drawn = told.sample(min(EXAMPLES - 2, told.height), shuffle=True, seed=seed)
    rows: list[Row] = []
    for place, product in enumerate(drawn.to_dicts()):
        fact = product["facts"][place % len(product["facts"])]
        row = dict.fromkeys(COLUMNS, "") | {"category": product["category"] or "", "product": product["id"]}
        if place % 3 == 2:
            row |= {"question": f"got anything like {product['name'].lower()}", "kind": "search"}
        else:
            question = f"what is the {fact['key'].lower()} of {product['name'].lower()}"
            row |= {
                "question": question,
                "attribute": fact["key"],
                "value": fact["value"],
                "kind": "attribute",
            }
        rows.append(row)
    first = drawn.row(0, named=True)
    unsaid = {"question": f"is {first['name'].lower()} waterproof", "product": first["id"], "kind": UNSAID}
    absent = {"question": "do you sell garden hoses", "kind": "absent"}
    rows += [
        dict.fromkeys(COLUMNS, "") | unsaid | {"attribute": "Waterproof"},
        dict.fromkeys(COLUMNS, "") | absent,
    ]
    return pl.DataFrame(rows, schema=COLUMNS)


def main() -> None:
    """Write a proposal: python -m data.questions.golden PRODUCTS.parquet QUESTIONS.csv"""
    products, target = map(Path, sys.argv[1:])
    if target.exists():
        sys.exit(f"error: {target} is there already; give another name")
    proposal(pl.read_parquet(products), 0).write_csv(target)
    print(f"written to {target}: replace the questions by those of your shoppers, then")
    print(f"python evaluate.py ckpt=outputs/runs/RUN/model golden={target}")


if __name__ == "__main__":
    main()
