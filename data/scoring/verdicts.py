"""Answers -> verdicts, by looking them up in the catalogue; and the published counting, kept beside it as
``legacy_*``.

Each answer gets one of eight verdicts, so the classes sum to n:

    right_facts    the product named was asked for, and all that is said of it agrees with the catalogue;
                   a greeting is answered by one
    right_decline  nothing in the catalogue fits, or the row does not say, and the answer says so
    wrong_fact     the product is right; a detail is wrong or invented, or the value asked for is missing
    wrong_product  a product of the catalogue, but not one that was asked for
    invented       a product that the catalogue does not have
    wrong_decline  declines, or says that the row does not say, although there is an answer
    no_details     no product is named
    failed         there is no answer: the request failed
"""

import polars as pl

from data.catalogue.cells import first_number
from data.catalogue.normalisation import normalise
from data.questions.phrases import (
    ABSENT,
    BUDGET,
    COMPARISON,
    FOLLOW_UP,
    GREETING,
    OPEN,
    PRICE_LIMIT,
    UNSAID,
    YES_NO,
)
from data.questions.products import price_text
from data.scoring.published import named_product
from data.scoring.statements import other_product, says_what_was_asked

VERDICTS = (
    "right_facts",
    "right_decline",
    "wrong_fact",
    "wrong_product",
    "invented",
    "wrong_decline",
    "no_details",
    "failed",
)
RIGHT_VERDICTS = ("right_facts", "right_decline")

PRODUCT_SPLITS = {"test": "known products", "unseen": "unseen products"}  # of every evaluation
WORDINGS = "unseen wordings"  # of evaluations in shoppers' words
SPLITS = PRODUCT_SPLITS | {"wordings": WORDINGS}

DECLINES = (
    r"(?i)\b(?:sorry|unfortunately|nothing (?:that )?(?:fits|matches)|no such|not available|have nothing"
    r"|no products?|(?:do not|don't|doesn't|does not|cannot|can't) (?:have|sell|stock|carry|find))\b"
)
SAYS_UNSAID = (
    r"(?i)(?:does not|doesn't|do not|don't) (?:say|state|list|mention|know)"
    r"|not (?:stated|listed|mentioned|specified|known|given)|no information"
)

GREETS = r"(?i)\b(?:hello|hi|hey|welcome|help|glad|pleasure|good (?:morning|afternoon|evening)|bye)\b"

DETAILS = ("right", "wrong", "invented", "missing")

DETAIL = r"(?m)^[ \t]*-[ \t]*([^:\n]+?)[ \t]*:[ \t]*([^\n]*?)[ \t]*$"


def judge(questions: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """Add what the answer names and tells, and its verdict.

    named: the product, or null. exists: whether the catalogue has it; fits: whether it was asked for.
    states_expected: whether the sentence says what was asked for (null where it was no value).
    details_right, details_wrong, details_invented: attributes in the answer that agree with the row of the
    product named, that do not, that the row has not; details_missing: those that a full answer would show,
    but this one does not. verdict: one of `VERDICTS`.

    Args:
        questions: product_id, kind, conditions, expected, and ``prediction`` (null where the request failed).
        products: what `data.questions.products.products_for_questions` gives.
    """
    answered = questions.rename({"expected": "value"}).with_row_index("row")
    rest = pl.col("details").list.set_difference("true_facts")
    sentence = pl.col("prediction").str.split("Product Name:").list.first()
    compared = _matched_products(answered, products).with_columns(
        exists=pl.col("exists").fill_null(False),
        fits=pl.col("fits").fill_null(False),
        states_expected=says_what_was_asked(sentence),
        details_right=_pair_keys(pl.col("right")),
        details_wrong=_pair_keys(rest).list.set_intersection(_pair_keys(pl.col("true_facts"))),
        details_invented=_pair_keys(rest).list.set_difference(_pair_keys(pl.col("true_facts"))),
        details_missing=_pair_keys(pl.col("shown")).list.set_difference(_pair_keys(pl.col("details"))),
    )
    is_sound = (rest.list.len() == 0) & pl.col("states_expected").fill_null(True)
    details = [f"details_{what}" for what in DETAILS]
    verdict = _verdict_of(is_sound, sentence)
    verdicts = compared.select("row", "named", "exists", "fits", "states_expected", *details, verdict=verdict)
    return answered.join(verdicts, on="row", maintain_order="left").drop("row")


def _matched_products(answered: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """Each answer with the product that it names: of products with one name the one that fits best.

    Args:
        answered: the questions with their answers, numbered by ``row``.
    """
    asked = products.select(
        product_id="id",
        asked_name=normalise(pl.col("name")),
        asked_shelf="shelf",
        asked_partners="partners",
        asked_category="category",
    )
    details = _detail_pairs(pl.col("prediction")).list.unique(maintain_order=True)
    rows = answered.with_columns(named=named_product(pl.col("prediction")), details=details)
    rows = rows.join(asked, on="product_id", how="left", maintain_order="left")
    rows = rows.with_columns(key=normalise(pl.col("named")))
    return (
        rows.join(_catalogue_lookup(products), on="key", how="left")
        .with_columns(fits=_is_right())
        .with_columns(right=pl.col("details").list.set_intersection("true_facts"))
        .sort("row", "fits", pl.col("right").list.len(), descending=[False, True, True], nulls_last=True)
        .unique("row", keep="first", maintain_order=True)
    )


def _verdict_of(is_sound: pl.Expr, sentence: pl.Expr) -> pl.Expr:
    """One of `VERDICTS`.

    Args:
        is_sound: whether all that an answer says of its product is right. sentence: what stands before the
        product's name and details.
    """
    names_none, kind = pl.col("named").is_null(), pl.col("kind")
    declines, says_unsaid = sentence.str.contains(DECLINES), sentence.str.contains(SAYS_UNSAID)
    is_right_decline = (kind == ABSENT) & names_none & declines
    is_right_decline |= (kind == UNSAID) & says_unsaid & (names_none | (pl.col("fits") & is_sound))
    is_wrong_decline = names_none & (declines | says_unsaid)
    is_wrong_decline |= ~pl.col("states_expected").fill_null(True) & pl.col("fits") & says_unsaid
    return (
        pl.when(pl.col("prediction").is_null())
        .then(pl.lit("failed"))
        .when(is_right_decline)
        .then(pl.lit("right_decline"))
        .when((kind == GREETING) & names_none & ~declines & sentence.str.contains(GREETS))
        .then(pl.lit("right_facts"))
        .when(is_wrong_decline & (kind != ABSENT))
        .then(pl.lit("wrong_decline"))
        .when(pl.col("named").is_null())
        .then(pl.lit("no_details"))
        .when(~pl.col("exists"))
        .then(pl.lit("invented"))
        .when(~pl.col("fits"))
        .then(pl.lit("wrong_product"))
        .when(is_sound & (kind != UNSAID))
        .then(pl.lit("right_facts"))
        .otherwise(pl.lit("wrong_fact"))
    )


def _detail_pairs(answer: pl.Expr) -> pl.Expr:
    """The lines '- key: value' of an answer, as 'key\\u0001value'."""
    return answer.str.extract_all(DETAIL).list.eval(normalise(pl.element().str.replace(DETAIL, "$1\u0001$2")))


def _pair_keys(pairs: pl.Expr) -> pl.Expr:
    """The keys of 'key\\u0001value', each once."""
    return pairs.list.eval(pl.element().str.split("\u0001").list.first()).list.unique(maintain_order=True)


def _catalogue_lookup(products: pl.DataFrame) -> pl.DataFrame:
    """The catalogue by name: one row for each name and what can be said of it, as 'key\\u0001value'."""
    pair = pl.element().struct
    facts = pl.col("facts").list.eval(
        normalise(pl.concat_str(pair.field("key"), pl.lit("\u0001"), pair.field("value")))
    )
    own = [
        normalise(pl.concat_str(pl.lit(f"{k}\u0001"), pl.col(c)))
        for k, c in (("Shelf", "shelf"), ("Brand", "brand"))
    ]
    rows = products.select(
        key=normalise(pl.col("name")),
        price=first_number(price_text()),
        exists=pl.lit(True),
        candidate_shelf="shelf",
        candidate_category="category",
        candidate_kind="product_kind",
        true_facts=facts,
        shown=_detail_pairs(pl.col("block")),
        searchable=pl.concat_list(facts, *own).list.drop_nulls(),
    )
    return rows.unique([name for name in rows.columns if name != "shown"], keep="first", maintain_order=True)


def _is_right() -> pl.Expr:
    """Whether the candidate is a product that the question asked for."""
    pair = pl.element().struct
    features = pl.col("conditions").list.eval(pl.element().filter(pair.field("key") != PRICE_LIMIT))
    conditions = features.list.eval(
        normalise(pl.concat_str(pair.field("key"), pl.lit("\u0001"), pair.field("value")))
    )
    limit = pl.col("conditions").list.last().struct.field("value").cast(pl.Float64, strict=False)
    has_all = conditions.list.set_difference("searchable").list.len() == 0
    other = pl.col("key") != pl.col("asked_name")
    goes = pl.col("asked_partners").list.contains(pl.col("candidate_kind")) & (
        pl.col("candidate_category") == pl.col("asked_category")
    )
    same_shelf = (pl.col("candidate_shelf") == pl.col("asked_shelf")) & (
        pl.col("candidate_category") == pl.col("asked_category")
    )
    return (
        pl.when(pl.col("kind").is_in(["attribute", OPEN, FOLLOW_UP, YES_NO, UNSAID]))
        .then(~other)
        .when(pl.col("kind").is_in([ABSENT, GREETING]))
        .then(False)
        .when(pl.col("kind") == COMPARISON)
        .then(~other | (pl.col("key") == normalise(other_product("key"))))
        .when(pl.col("kind") == "search")
        .then(has_all)
        .when(pl.col("kind") == BUDGET)
        .then(has_all & (pl.col("price") <= limit).fill_null(False))
        .when(pl.col("kind") == "alternative")
        .then(other & same_shelf)
        .otherwise(other & goes)
    )
