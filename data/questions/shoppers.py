"""Questions in a shopper's words: other wordings of the published kinds and of those in
`data.questions.further_kinds`.

A share of the questions is in lower case, without its question mark, with two letters swapped, or names a
product by a part of its name.
"""

import polars as pl

from data.questions import wordings
from data.questions.attribute_words import ANYTHING
from data.questions.choice_wordings import ALTERNATIVE, CHEAPEST, CHOICE, NAMED, OUTFIT, TOGETHER
from data.questions.choices import (
    BETWEEN,
    budget_questions,
    cheapest_questions,
    comparison_questions,
    open_questions,
    wish_questions,
)
from data.questions.filling import fill, for_training, pick
from data.questions.follow_ups import follow_up_questions
from data.questions.further_kinds import (
    Shop,
    absent_questions,
    greeting_questions,
    unsaid_questions,
    yes_no_questions,
)
from data.questions.key_wordings import KEY_WORDINGS, VALUE_ALONE
from data.questions.phrases import ABSENT, BUDGET, COMPARISON, FOLLOW_UP, GREETING, OPEN, YES_NO

SHOPPERS = "shoppers"  # the value of data.wording with which questions are in shoppers' words
UNSEEN_WORDING = 12  # of so many questions about known products one is in a wording of the test alone
WORDS_OF_NAME = range(4, 21)  # of names that are also written in part
LEAST_WORDS = (2, 3)  # that are left of a name
LOWER, BARE, MISPLACED, SHORT, POLITE = 20, 30, 8, 25, 12  # per cent of the questions
ANYWHERE = 25  # per cent of the questions that are asked in no category of the shop
WITHOUT_KEY = 50  # per cent of the questions for an attribute, where there are wordings without its name
ROLES = ["brand", "type", "shelf"]  # keys that a search names otherwise


def drawn(name: str, seed: int, of: int) -> pl.Expr:
    """A number from 0 to ``of`` - 1 by the row's own key; ``name`` tells draws apart."""
    return pl.concat_str(pl.col("draw"), pl.lit(name)).hash(seed) % of


def worded(options: list[str], seed: int) -> pl.Expr:
    """One of the wordings: of the last third where ``unseen_wording`` is True, else of the others."""
    trained = for_training(options)
    alone = options[len(trained) :]
    return pl.when("unseen_wording").then(pick(alone, seed)).otherwise(pick(trained, seed))


def _ready_to_word(rows: pl.DataFrame, products: pl.DataFrame, unseen: pl.Series, seed: int) -> pl.DataFrame:
    """Questions with what their wordings need: draw, unseen_wording, the product's name as a shopper writes
    it, and the attribute asked for.
    """
    names = short_names(products)
    first = pl.col("conditions").list.first().struct
    frame = rows.join(names, on="product_id", maintain_order="left").with_columns(
        draw=pl.concat_str("product_id", "kind", pl.col("question").fill_null("")),
        key=first.field("key").str.to_lowercase().fill_null(""),
    )
    has_wordings = ~pl.col("product_id").is_in(unseen.implode()) & ~pl.col("key").is_in(wordings.NO_NOUNS)
    own_name = pl.when(drawn("short", seed, 100) < SHORT).then(pl.coalesce("short", "name")).otherwise("name")
    return frame.with_columns(
        unseen_wording=has_wordings & (drawn("wording", seed, UNSEEN_WORDING) == 0),
        said_name=own_name,
        noun=pl.col("key").replace(wordings.NOUNS),
    )


def short_names(products: pl.DataFrame) -> pl.DataFrame:
    """product_id, name, and ``short``: the name without some of its inner words ("Zarvo Kurti"), where no
    other of the products could be meant; else null.

    Another could be meant where its name, or its name without consecutive words, reads the same: "Zarvo
    Women's Kurti" is said of the "Zarvo Self Design Women's Kurti", too.
    """
    words = products.select(product_id="id", words=pl.col("name").str.split(" "))
    length = pl.col("words").list.len().cast(pl.Int64)  # unsigned, a difference would never be negative
    words = words.with_columns(count=length).filter(length < WORDS_OF_NAME.stop)
    one, two = _without_inner_words(words, pl.lit(1)), _without_inner_words(words, pl.lit(2))
    most = [_without_inner_words(words, pl.col("count") - left) for left in LEAST_WORDS]
    whole = products.select(product_id="id", short="name")
    owners = pl.concat([one, two, *most, whole]).unique().group_by("short").len()
    own = owners.filter(pl.col("len") == 1).select("short")
    fitting = words.filter(pl.col("count") >= WORDS_OF_NAME.start).select("product_id")
    said = pl.concat([one, *most]).unique().join(own, on="short", how="semi")
    said = said.join(fitting, on="product_id", how="semi")
    chosen = said.sort("product_id", pl.col("short").hash(0)).unique("product_id", keep="first")
    names = products.select(product_id="id", name="name")
    return names.join(chosen, on="product_id", how="left", maintain_order="left")


def _without_inner_words(names: pl.DataFrame, count: pl.Expr) -> pl.DataFrame:
    """product_id, short: each name without ``count`` consecutive words, which are neither its first nor its
    last one.

    Args:
        names: product_id, words, count (of the words).
    """
    last = pl.col("count") - count
    places = names.filter(count > 0).with_columns(place=pl.int_ranges(1, last))
    places = places.explode("place").drop_nulls("place")
    head, tail = pl.col("words").list.head("place"), pl.col("words").list.slice(pl.col("place") + count)
    return places.select("product_id", short=pl.concat_list(head, tail).list.join(" "))


def _attribute_wording(seed: int) -> pl.Expr:
    """A wording for the attribute ``key``: with its name or, in a share of the questions, without."""
    found = worded(wordings.ATTRIBUTE, seed)
    has_no_name = pl.col("key") == ANYTHING
    for key, options in KEY_WORDINGS.items():
        is_meant = (pl.col("key") == key) & (has_no_name | (drawn("without_key", seed, 100) < WITHOUT_KEY))
        found = pl.when(is_meant).then(worded(options, seed)).otherwise(found)
    return found


def _yes_no_wording(seed: int) -> pl.Expr:
    """A wording for a question with yes or no: with the attribute's name or, in a share of the questions
    whose value tells the attribute, without.
    """
    is_alone = pl.col("tells_key") & (drawn("without_key", seed, 100) < WITHOUT_KEY)
    return (
        pl.when(is_alone.fill_null(False))
        .then(worded(VALUE_ALONE, seed))
        .otherwise(worded(wordings.YES_NO, seed))
    )


def _reworded(frame: pl.DataFrame, worn: bool, seed: int) -> pl.DataFrame:
    """The published kinds of question in shoppers' wordings.

    Args:
        frame: of `_ready_to_word`. worn: whether a question may ask what to wear.
    """
    outfit = OUTFIT if worn else TOGETHER
    others = pl.element().filter(~pl.element().struct.field("key").str.to_lowercase().is_in(ROLES))
    values = (
        pl.col("conditions").list.eval(others).list.eval(pl.element().struct.field("value")).list.join(", ")
    )
    of_role = {}
    for role in ROLES:
        chosen = pl.element().filter(pl.element().struct.field("key").str.to_lowercase() == role)
        of_role[role] = pl.col("conditions").list.eval(chosen).list.first().struct.field("value")
    features = (
        pl.when(of_role["brand"].is_null())
        .then(values)
        .otherwise(pl.format("{}, by {}", values, of_role["brand"]))
    )
    kind = pl.col("kind")
    template = (
        pl.when(kind == "search").then(worded(wordings.SEARCH, seed))
        .when(kind == "alternative").then(worded(ALTERNATIVE, seed))
        .when(kind == "outfit").then(worded(outfit, seed))
        .when(pl.col("key").is_in(wordings.NO_NOUNS)).then("question")
        .when(pl.col("key") == "ideal for").then(worded(wordings.AUDIENCE, seed))
        .when(pl.col("key") == "shelf").then(worded(wordings.SHELF, seed))
        .otherwise(_attribute_wording(seed))
    )  # fmt: skip
    slots = {"name": pl.col("said_name"), "key": pl.col("noun"), "features": features}
    slots["type"] = pl.coalesce(of_role["type"], of_role["shelf"])
    return frame.with_columns(question=fill(template, **slots))


def _own_kinds(products: pl.DataFrame, shop: Shop, unseen: pl.Series, seed: int) -> pl.DataFrame:
    """The questions of the kinds that the published templates lack."""
    kinds = [
        yes_no_questions(products, seed),
        unsaid_questions(products, seed),
        absent_questions(products, shop, seed),
        comparison_questions(products, unseen, seed),
        budget_questions(products, seed),
        cheapest_questions(products, seed),
        wish_questions(products, seed),
        open_questions(products, seed),
        follow_up_questions(products, seed),
        greeting_questions(products, seed),
    ]
    rows = pl.concat(kinds, how="diagonal")
    frame = _ready_to_word(rows, products, unseen, seed)
    template = (
        pl.when(pl.col("kind") == YES_NO).then(_yes_no_wording(seed))
        .when(pl.col("kind").is_in([ABSENT, "search"])).then(worded(wordings.WISH, seed))
        .when(pl.col("has_no_key").fill_null(False)).then(worded(CHOICE, seed))
        .when(pl.col("kind") == COMPARISON).then(worded(wordings.COMPARISON, seed))
        .when(pl.col("kind") == GREETING).then(worded(wordings.GREETING, seed))
        .when(pl.col("kind") == FOLLOW_UP).then(worded(wordings.FOLLOW_UP, seed))
        .when(pl.col("kind") == OPEN).then(worded(NAMED, seed))
        .when(pl.col("question").str.ends_with(BETWEEN)).then(worded(CHEAPEST, seed))
        .when(pl.col("kind") == BUDGET).then(worded(wordings.BUDGET, seed))
        .otherwise(_attribute_wording(seed))
    )  # fmt: skip
    asked = pl.col("question").str.split(BETWEEN)
    slots = {"name": pl.col("said_name"), "key": pl.col("noun"), "limit": asked.list.last()}
    slots |= dict.fromkeys(["value", "thing", "other"], asked.list.first())
    return frame.with_columns(question=fill(template, **slots))


def misspelt(text: pl.Expr, seed: int) -> pl.Expr:
    """A text with two neighbouring letters swapped, somewhere after its first three."""
    inner = text.str.len_chars().cast(pl.Int64) - 5
    place = 3 + pl.col("draw").hash(seed) % pl.max_horizontal(inner, 1).cast(pl.UInt64)
    head, first = text.str.slice(0, place), text.str.slice(place, 1)
    second, tail = text.str.slice(place + 1, 1), text.str.slice(place + 2)
    are_letters = first.str.contains(r"\p{L}") & second.str.contains(r"\p{L}")
    return pl.when(are_letters).then(pl.concat_str(head, second, first, tail)).otherwise(text)


def with_noise(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A share of the questions as people type them, and some with a polite word before or after it."""
    question = pl.col("question")
    is_plain = (pl.col("kind") == GREETING) | (drawn("polite", seed, 100) >= 2 * POLITE)
    before = pl.concat_str(pick(wordings.BEFORE, seed), question)
    after = pl.concat_str(question, pick(wordings.AFTER, seed))
    polite = pl.when(drawn("polite", seed, 100) < POLITE).then(before).otherwise(after)
    question = pl.when(is_plain).then(question).otherwise(polite)
    typed = pl.when(drawn("lower", seed, 100) < LOWER).then(question.str.to_lowercase()).otherwise(question)
    typed = pl.when(drawn("bare", seed, 100) < BARE).then(typed.str.strip_chars_end("?.")).otherwise(typed)
    typed = pl.when(drawn("typo", seed, 100) < MISPLACED).then(misspelt(typed, seed)).otherwise(typed)
    return frame.with_columns(question=typed)


def in_shoppers_words(
    rows: pl.DataFrame, products: pl.DataFrame, shop: Shop, unseen: pl.Series, worn: bool, seed: int
) -> pl.DataFrame:
    """Questions of the published kinds (of `data.questions.templates`) in shoppers' words, and those of the
    further kinds; with the columns unseen_wording, which says what is in a wording for the test alone, and
    anywhere, which says what is asked in no category.

    Args:
        products: that the questions are about, which may be a part of the catalogue. unseen: ids of those
        that must not occur in training. worn: whether a question may ask what to wear.
    """
    published = _reworded(_ready_to_word(rows, products, unseen, seed), worn, seed)
    both = pl.concat([published, _own_kinds(products, shop, unseen, seed)], how="diagonal")
    anywhere = drawn("anywhere", seed, 100) < ANYWHERE
    return with_noise(both, seed).select(*rows.columns, "earlier", "unseen_wording", anywhere=anywhere)
