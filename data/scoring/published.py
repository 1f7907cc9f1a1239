"""The published counting: an answer is true if the product it names occurs in any training answer."""

import polars as pl

NAME = r"Product Name:[ \t]*([^\n]*)"

TEXTS_AT_ONCE = 4096  # training answers that are searched at a time


def named_product(answer: pl.Expr) -> pl.Expr:
    """What stands after 'Product Name:', or null."""
    return answer.str.extract(NAME).str.strip_chars().replace("", None)


def published_scores(predictions: pl.Series, training_answers: pl.Series) -> dict[str, float]:
    """The published counting: true if the name given is a substring of ANY training answer; so any product
    will do.

    accuracy = TP / total, precision = TP / (TP + FP).
    """
    names = pl.DataFrame({"prediction": predictions}).select(named_product(pl.col("prediction")))[
        "prediction"
    ]
    known = _names_in_texts(names.drop_nulls().unique(), training_answers.unique())
    true = int(names.is_in(known.implode()).sum())
    missing = int(names.is_null().sum())
    false = len(names) - true - missing

    def share(count: int, of: int) -> float:
        return count / of if of else float("nan")

    return {
        "training_size": len(training_answers),
        "test_size": len(predictions),
        "true_positives": true,
        "false_positives": false,
        "no_product_details": missing,
        "accuracy": share(true, len(predictions)),
        "precision": share(true, true + false),
    }


def _names_in_texts(names: pl.Series, texts: pl.Series) -> pl.Series:
    """Those of the names that are a substring of one of the texts.

    Most are the name that a text itself gives. The others are searched for all at once (Aho and Corasick
    1975, doi.org/10.1145/360825.360855), in one piece of the texts after the other, and no more once they are
    found.
    """
    told = pl.DataFrame({"text": texts}).select(named_product(pl.col("text")))["text"].drop_nulls().unique()
    at_once = names.is_in(told.implode())
    found, left = [names.filter(at_once)], names.filter(~at_once)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        if not len(left):
            break
        piece = texts.slice(start, TEXTS_AT_ONCE)
        here = piece.str.extract_many(left.implode(), overlapping=True).explode().drop_nulls().unique()
        found.append(here)
        left = left.filter(~left.is_in(here.implode()))
    return pl.concat(found)
