"""Products -> questions with answers in the published format, by templates, as Polars expressions.

Each row is tied to the product asked about, the kind of question, what a right answer must satisfy, and the
product that the answer names. Kinds: ``attribute`` (what is it made of), ``search`` (I am looking for ...),
``alternative`` (another product of the same shelf) and ``outfit`` (a product that goes with it, for the same
people).
"""

import polars as pl

from data.catalogue.pairing import Pairing
from data.questions.filling import PAIRS, fill, grammar, people, pick, place_condition
from data.questions.follow_ups import TURNS
from data.questions.further_kinds import Shop
from data.questions.phrases import (
    ANONYMOUS_SEARCHES,
    CONTEXT,
    FEATURES,
    FOUND,
    LABEL_PHRASES,
    NOUN_PHRASES,
    NOUNS,
    PHRASES,
    SEARCHES,
)
from data.questions.products import with_facts_to_ask, with_shared_facts
from data.questions.shoppers import in_shoppers_words
from data.questions.suggestions import alternative_questions, outfit_questions

MIN_QUESTIONS = 3
NO_IDS = pl.Series([], dtype=pl.String)
# conditions: key and value pairs that a right product has; expected: the value that the answer's sentence
# must hold, or null; earlier: the turns before the question, or null; unseen_wording: whether it is for
# tests alone.
QUESTION_FIELDS = (
    "product_id kind context question answer answer_id conditions expected earlier unseen_wording".split()
)


def attribute_questions(products: pl.DataFrame, per_product: int, seed: int) -> pl.DataFrame:
    """Questions about single attributes: ``per_product`` of each product's facts, those with a natural
    phrasing first.

    The shelf fills up where a product has too few facts, through other phrasings.
    """
    asked = _attributes_to_ask(products, per_product, seed)
    question, answer = phrasing(seed)
    # A shop sentence shows the value in one of three ways; the score looks for the one of the template.
    expected = (
        pl.when(answer.str.contains("{people}", literal=True))
        .then(people(pl.col("value")))
        .when(answer.str.contains("{low}", literal=True))
        .then(pl.col("low"))
        .otherwise(pl.col("value"))
    )
    slots = {"key": pl.col("key_low"), "label": pl.col("key"), "value": pl.col("value"), "low": pl.col("low")}
    slots |= {"people": people(pl.col("value")), "name": pl.col("name")}
    return asked.select(
        product_id="id",
        kind=pl.lit("attribute"),
        question=fill(grammar(question), **slots),
        sentence=fill(grammar(answer), **slots),
        answer_id="id",
        conditions=pl.concat_list(pl.struct("key", "value")).cast(PAIRS),
        expected=expected,
    )


def _attributes_to_ask(products: pl.DataFrame, per_product: int, seed: int) -> pl.DataFrame:
    """``per_product`` facts of each product, those with a natural phrasing first."""
    known = [*PHRASES, *NOUNS]
    facts = (
        products.explode("facts")
        .unnest("facts")
        .drop_nulls("key")
        .filter(pl.col("value").str.len_chars() <= 40)
        .with_columns(spare=(~pl.col("key").str.to_lowercase().is_in(known)).cast(pl.Int64))
    )
    spare = products.with_columns(
        key=pl.lit("Shelf"), value=pl.col("shelf"), spare=pl.lit([2, 3, 4], pl.List(pl.Int64))
    ).explode("spare")
    order = pl.struct("id", "key").hash(seed)
    return (
        pl.concat([facts, spare.select(facts.columns)])
        .with_columns(order=order)
        .sort("id", "spare", "order")
        .with_columns(place=pl.int_range(pl.len()).over("id"))
        .filter(pl.col("place") < per_product)
        .with_columns(
            draw=pl.concat_str("id", "key"),
            low=pl.col("value").str.to_lowercase(),
            key_low=pl.col("key").str.to_lowercase(),
        )
    )


def phrasing(seed: int) -> tuple[pl.Expr, pl.Expr]:
    """The question and the answer template for the attribute in ``key``: its own, a noun's, or the
    label's.
    """
    groups = {**PHRASES, "": LABEL_PHRASES} | dict.fromkeys(NOUNS, NOUN_PHRASES)
    key = pl.when(pl.col("key_low").is_in(list(groups))).then("key_low").otherwise(pl.lit(""))
    sizes = {name: len(pairs) for name, pairs in groups.items()}
    turn = (
        pl.when(pl.col("spare") >= 2)
        .then(pl.col("spare").cast(pl.UInt64))
        .otherwise(pl.col("draw").hash(seed))
    )
    place = pl.concat_str(
        key, pl.lit("#"), (turn % key.replace_strict(sizes, return_dtype=pl.UInt64)).cast(pl.String)
    )
    questions = {f"{name}#{i}": pair[0] for name, pairs in groups.items() for i, pair in enumerate(pairs)}
    answers = {f"{name}#{i}": pair[1] for name, pairs in groups.items() for i, pair in enumerate(pairs)}
    return place.replace_strict(questions), place.replace_strict(answers)


def _search_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One search a product: type (else shelf), brand where known, and two features; any product that has
    them all is right.
    """
    rank = {key: i for i, key in enumerate(FEATURES)}
    features = (
        products.select("id", "facts")
        .explode("facts")
        .unnest("facts")
        .with_columns(key_low=pl.col("key").str.to_lowercase())
        .filter(pl.col("key_low").is_in(list(FEATURES)))
        .with_columns(phrase=fill(pl.col("key_low").replace_strict(FEATURES), value=pl.col("value")))
        .sort(pl.col("key_low").replace_strict(rank))
        .group_by("id", maintain_order=True)
        .agg(pl.col("phrase").head(2).str.join(" and "), conditions=pl.struct("key", "value").head(2))
    )
    frame = products.join(features, on="id", maintain_order="left").with_columns(draw=pl.col("id"))
    template = (
        pl.when(pl.col("brand").is_null())
        .then(pick(ANONYMOUS_SEARCHES, seed))
        .otherwise(pick(SEARCHES, seed))
    )
    kind = pl.coalesce("type", "shelf")
    brand = pl.struct(key=pl.lit("Brand"), value=pl.col("brand"))
    sentence = fill(pick(FOUND, seed + 1), other=pl.col("name"))
    return frame.select(
        product_id="id",
        kind=pl.lit("search"),
        question=fill(template, type=kind, brand=pl.col("brand"), features=pl.col("phrase")),
        sentence=sentence,
        answer_id="id",
        conditions=pl.concat_list("conditions", place_condition(), brand)
        .cast(PAIRS)
        .list.eval(pl.element().filter(pl.element().struct.field("value").is_not_null())),
        expected=pl.lit(None, pl.String),
    )


def _without_second_articles(rows: pl.DataFrame) -> pl.DataFrame:
    """'the The Vanca Jeans' -> 'The Vanca Jeans', in questions and answers."""
    text = pl.col("question", "sentence").str.replace_all(r"\bthe The ", "The ")
    return rows.with_columns(text.str.replace_all(r"(^|[.!?\n]\s*)The The ", "${1}The "))


def make_questions(
    products: pl.DataFrame,
    best: dict[str, pl.DataFrame],
    per_product: int,
    per_shelf: int,
    seed: int,
    pairing: Pairing,
    written: pl.DataFrame | None = None,
    shop: Shop | None = None,
    unseen: pl.Series = NO_IDS,
) -> pl.DataFrame:
    """All questions about ``products`` (of `products_for_questions`; maybe a part of them), in a fixed order.

    Args:
        best: the products that may be suggested, of the whole catalogue (`suggestions_of`).
        per_product: attribute questions a product. per_shelf: how many products a shelf puts forward.
        written: questions that replace those about attributes (of `check_questions`).
        shop: for questions in shoppers' words; None: in the published ones. pairing: what may be asked.
        unseen: ids of products that must not occur in training.

    Columns: `QUESTION_FIELDS`.
    """
    askable = with_facts_to_ask(with_shared_facts(products), pairing.attributes)
    described = askable if written is None else askable.clear()  # by the templates
    attributes = attribute_questions(described, per_product, seed)
    own = _written_about(products, attributes.clear() if written is None else written)
    frames = [
        attributes,
        _search_questions(products, seed),
        alternative_questions(products, best["alternative"], per_shelf, seed),
        outfit_questions(products, best["outfit"], per_shelf, pairing.worn, seed),
    ]
    lacking = _with_few_questions(described, pl.concat([own, *frames]))
    published = pl.concat([*frames, attribute_questions(lacking, MIN_QUESTIONS, seed)])
    worded = published.with_columns(earlier=pl.lit(None, TURNS), unseen_wording=False, anywhere=False)
    if shop is not None:
        worded = in_shoppers_words(published, askable, shop, unseen, pairing.worn, seed)
    asked = [own.with_columns(unseen_wording=False, anywhere=False), worded]
    return _with_answers(_without_second_articles(pl.concat(asked, how="diagonal")), products, best)


def _written_about(products: pl.DataFrame, written: pl.DataFrame) -> pl.DataFrame:
    """The written questions about these products."""
    return written.filter(pl.col("product_id").is_in(products["id"].implode()))


def _with_few_questions(products: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The products about which there are some questions, but fewer than `MIN_QUESTIONS`."""
    counts = rows.group_by("product_id").len()
    few = counts.filter(pl.col("len") < MIN_QUESTIONS)["product_id"]
    return products.filter(pl.col("id").is_in(few.implode()))


def _with_answers(asked: pl.DataFrame, products: pl.DataFrame, best: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Each question once, with its context and its answer: the sentence, and the block of the product that it
    names, if it names one.

    Args:
        best: as in `make_questions`.
    """
    frames = [frame.select(answer_id="id", block="block") for frame in (products, *best.values())]
    blocks = pl.concat(frames)
    contexts = products.select(product_id="id", context=pl.format("{}{}", pl.lit(CONTEXT), "category"))
    tail = pl.format("\n{}", "block").fill_null("")
    return (
        asked.unique(["product_id", "question"], keep="first", maintain_order=True)
        .join(blocks.unique("answer_id"), on="answer_id", how="left", maintain_order="left")
        .join(contexts, on="product_id", maintain_order="left")
        .with_columns(
            answer=pl.concat_str("sentence", tail),
            context=pl.when("anywhere").then(pl.lit("")).otherwise("context"),
        )
        .select(QUESTION_FIELDS)
    )
