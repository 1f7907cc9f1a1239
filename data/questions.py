"""Products -> questions with answers in the published format, by templates, as Polars expressions.

Each row is tied to the product asked about, the kind of question, what a right answer must satisfy, and the product that the
answer names. Kinds: ``attribute`` (what is it made of), ``search`` (I am looking for ...), ``alternative`` (another product
of the same shelf) and ``outfit`` (a product that goes with it, for the same people).
"""

from collections.abc import Iterable

import polars as pl

from data.phrases import (
    ALTERNATIVES,
    ANONYMOUS_SEARCHES,
    FEATURES,
    FOUND,
    GARMENTS,
    GOES_WITH,
    INSTEAD,
    LABEL_PHRASES,
    NOUN_PHRASES,
    NOUNS,
    OUTFITS,
    PHRASES,
    SEARCHES,
    TOGETHER,
)

LEAST_QUESTIONS = 3
LONGEST_VALUE = 80
PAIR = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))

SHELVES = {"alternative": ["category", "shelf"], "outfit": ["category", "garment"]}  # within which a suggestion is looked for


def pick(options: Iterable[str], seed: int) -> pl.Expr:
    """One of the options for each row, by a hash of the row's own key."""
    listed = pl.lit(list(options), pl.List(pl.String))
    return listed.list.get(pl.col("draw").hash(seed) % listed.list.len())


def fill(template: pl.Expr, **values: pl.Expr) -> pl.Expr:
    """A template column with its {placeholders} replaced, row by row, by other columns; a missing value becomes ''."""
    for name, value in values.items():
        template = template.str.replace_all(f"{{{name}}}", value.fill_null(""), literal=True)
    return template


def garment() -> pl.Expr:
    """The kind of garment that a product's shelf, else its type, else its name tells; null if none does."""
    found = pl.lit(None, pl.String)
    for source in (pl.col("name"), pl.col("type"), pl.col("shelf")):
        kind = pl.lit(None, pl.String)
        for name, pattern in reversed(GARMENTS):
            kind = pl.when(source.str.to_lowercase().str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
        found = pl.coalesce(kind, found)
    return found


def products_for_questions(products: pl.DataFrame, max_details: int) -> pl.DataFrame:
    """Add what questions need: category, shelf, type, garment, plural, ``facts`` (sound attributes, one a key), ``block``.

    ``block`` is the published answer's tail: Product Name, Product Category and up to ``max_details`` Product Details.
    """
    short = pl.element().struct.field("value").str.len_chars() <= LONGEST_VALUE
    first = pl.element().struct.field("key").is_first_distinct()
    details = (
        pl.col("facts")
        .list.head(max_details)
        .list.eval(pl.format("- {}: {}", pl.element().struct.field("key"), pl.element().struct.field("value")))
    )
    type_fact = pl.col("facts").list.eval(pl.element().filter(pl.element().struct.field("key") == "Type")).list.first()
    shelf = pl.coalesce("level_4", "level_3", "level_2", "level_1")
    last_word = pl.col("name").str.to_lowercase().str.extract(r"(\S+)$")
    return (
        products.with_columns(facts=pl.col("attributes").list.eval(pl.element().filter(short & first)))
        .with_columns(category=pl.coalesce("level_2", "level_1"), shelf=shelf, type=type_fact.struct.field("value"))
        .with_columns(
            garment=garment(),
            plural=last_word.str.contains(r"s$") & ~last_word.str.contains(r"(ss|'s)$"),
            block=pl.format(
                " Product Name: {}\nProduct Category: {}\nProduct Details:\n{}",
                pl.col("name"),
                pl.col("category"),
                details.list.join("\n"),
            ),
        )
        .select("id", "name", "brand", "category", "shelf", "type", "garment", "plural", "facts", "block", "rating")
    )


def grammar(template: pl.Expr) -> pl.Expr:
    """Fill in the verbs that agree with the product's name."""
    one, many = {"is": "is", "Is": "Is", "do": "does"}, {"is": "are", "Is": "Are", "do": "do"}
    forms = {k: pl.when(pl.col("plural")).then(pl.lit(many[k])).otherwise(pl.lit(one[k])) for k in one}
    return fill(template, **forms)


def people(value: pl.Expr) -> pl.Expr:
    """'Women's' -> 'women', "Girl's, Boy's" -> 'girls, boys'."""
    return value.str.to_lowercase().str.replace_all(r"(girl|boy|kid)'s\b", "${1}s").str.replace_all(r"'s\b", "")


def attribute_questions(products: pl.DataFrame, per_product: int, seed: int) -> pl.DataFrame:
    """Questions about single attributes: ``per_product`` of each product's facts, those with a natural phrasing first.

    The shelf fills up where a product has too few facts, through other phrasings.
    """
    known = [*PHRASES, *NOUNS]
    facts = (
        products.explode("facts")
        .unnest("facts")
        .drop_nulls("key")
        .filter(pl.col("value").str.len_chars() <= 40)
        .with_columns(spare=(~pl.col("key").str.to_lowercase().is_in(known)).cast(pl.Int64))
    )
    spare = products.with_columns(key=pl.lit("Shelf"), value=pl.col("shelf"), spare=pl.lit([2, 3, 4], pl.List(pl.Int64))).explode("spare")
    order = pl.struct("id", "key").hash(seed)
    asked = (
        pl.concat([facts, spare.select(facts.columns)])
        .with_columns(order=order)
        .sort("id", "spare", "order")
        .with_columns(place=pl.int_range(pl.len()).over("id"))
        .filter(pl.col("place") < per_product)
        .with_columns(draw=pl.concat_str("id", "key"), low=pl.col("value").str.to_lowercase(), key_low=pl.col("key").str.to_lowercase())
    )
    question, answer = phrasing(seed)
    # A shop sentence shows the value in one of three ways; the score looks for the one that the template used.
    told = pl.when(answer.str.contains("{people}", literal=True)).then(people(pl.col("value")))
    told_value = told.when(answer.str.contains("{low}", literal=True)).then(pl.col("low")).otherwise(pl.col("value"))
    slots = {"key": pl.col("key_low"), "label": pl.col("key"), "value": pl.col("value"), "low": pl.col("low")}
    slots |= {"people": people(pl.col("value")), "name": pl.col("name")}
    return asked.select(
        product_id="id",
        kind=pl.lit("attribute"),
        question=fill(grammar(question), **slots),
        sentence=fill(grammar(answer), **slots),
        answer_id="id",
        wanted=pl.concat_list(pl.struct("key", "value")).cast(PAIR),
        told=told_value,
    )


def phrasing(seed: int) -> tuple[pl.Expr, pl.Expr]:
    """The question and the answer template for the attribute in ``key``: its own, a noun's, or the label's."""
    groups = {**PHRASES, "": LABEL_PHRASES} | dict.fromkeys(NOUNS, NOUN_PHRASES)
    key = pl.when(pl.col("key_low").is_in(list(groups))).then("key_low").otherwise(pl.lit(""))
    sizes = {name: len(pairs) for name, pairs in groups.items()}
    turn = pl.when(pl.col("spare") >= 2).then(pl.col("spare").cast(pl.UInt64)).otherwise(pl.col("draw").hash(seed))
    place = pl.concat_str(key, pl.lit("#"), (turn % key.replace_strict(sizes, return_dtype=pl.UInt64)).cast(pl.String))
    questions = {f"{name}#{i}": pair[0] for name, pairs in groups.items() for i, pair in enumerate(pairs)}
    answers = {f"{name}#{i}": pair[1] for name, pairs in groups.items() for i, pair in enumerate(pairs)}
    return place.replace_strict(questions), place.replace_strict(answers)


def search_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One search a product: type (else shelf), brand where known, and two features; any product that has them all is right."""
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
        .agg(features=pl.col("phrase").head(2).str.join(" and "), wanted=pl.struct("key", "value").head(2))
    )
    frame = products.join(features, on="id", maintain_order="left").with_columns(draw=pl.col("id"))
    template = pl.when(pl.col("brand").is_null()).then(pick(ANONYMOUS_SEARCHES, seed)).otherwise(pick(SEARCHES, seed))
    kind = pl.coalesce("type", "shelf")
    brand = pl.struct(key=pl.lit("Brand"), value=pl.col("brand"))
    place = pl.struct(key=pl.when(pl.col("type").is_null()).then(pl.lit("Shelf")).otherwise(pl.lit("Type")), value=kind)
    sentence = fill(pick(FOUND, seed + 1), other=pl.col("name"))
    return frame.select(
        product_id="id",
        kind=pl.lit("search"),
        question=fill(template, type=kind, brand=pl.col("brand"), features=pl.col("features")),
        sentence=sentence,
        answer_id="id",
        wanted=pl.concat_list("wanted", place, brand)
        .cast(PAIR)
        .list.eval(pl.element().filter(pl.element().struct.field("value").is_not_null())),
        told=pl.lit(None, pl.String),
    )


def foremost(products: pl.DataFrame, shelf: list[str], per_shelf: int) -> pl.DataFrame:
    """The products that a shelf puts forward: best rated, then best described, then in order of id. What is foremost among the foremost
    of parts is foremost of all.

    Columns: those of ``shelf``, id, name, block, stars, facts.
    """
    stars = pl.col("rating").cast(pl.Float64, strict=False).fill_null(0)
    ranked = products if "stars" in products.columns else products.with_columns(stars=stars, facts=pl.col("facts").list.len())
    best = ranked.drop_nulls(shelf).sort("stars", "facts", "id", descending=[True, True, False]).group_by(shelf, maintain_order=True)
    return best.head(per_shelf).select(*shelf, "id", "name", "block", "stars", "facts")


def suggestions_of(products: pl.DataFrame, per_shelf: int) -> dict[str, pl.DataFrame]:
    """What shelves and kinds of garment put forward, of a part's products that may be named; one more each than a question chooses from."""
    return {name: foremost(products, shelf, per_shelf + 1) for name, shelf in SHELVES.items()}


def listed(best: pl.DataFrame, shelf: list[str]) -> pl.DataFrame:
    """One row for each shelf: its ``others`` and ``other_names``."""
    return best.group_by(shelf, maintain_order=True).agg(others=pl.col("id"), other_names=pl.col("name"))


def alternative_questions(products: pl.DataFrame, best: pl.DataFrame, per_shelf: int, seed: int) -> pl.DataFrame:
    """One question a product for another product of its shelf."""
    shelf = SHELVES["alternative"]
    frame = products.join(listed(best, shelf), on=shelf, maintain_order="left")
    return suggest(frame, "alternative", per_shelf, (ALTERNATIVES, INSTEAD), seed)


def outfit_questions(products: pl.DataFrame, best: pl.DataFrame, per_shelf: int, seed: int) -> pl.DataFrame:
    """One question a product for something that goes with it, for the same people (the same category)."""
    others = listed(best, SHELVES["outfit"]).rename({"garment": "partner"})
    pairs = [(kind, partner, place) for kind, partners in GOES_WITH.items() for place, partner in enumerate(partners)]
    goes = pl.DataFrame(pairs, schema=["garment", "partner", "place"], orient="row")
    frame = (
        products.join(goes, on="garment", maintain_order="left")
        .join(others, on=["category", "partner"], maintain_order="left")
        .sort("place", maintain_order=True)
        .unique("id", keep="first", maintain_order=True)
    )
    return suggest(frame, "outfit", per_shelf, (OUTFITS, TOGETHER), seed)


def suggest(frame: pl.DataFrame, kind: str, per_shelf: int, phrases: tuple[list[str], list[str]], seed: int) -> pl.DataFrame:
    """Rows with a list of ``others`` -> questions answered by one of the first ``per_shelf`` that do not bear the product's own name."""
    asked, told = phrases
    rows = (
        frame.select("id", "name", "plural", "others", "other_names")
        .explode("others", "other_names")
        .filter(pl.col("other_names") != pl.col("name"))
        .filter(pl.int_range(pl.len()).over("id") < per_shelf)
        .with_columns(order=pl.struct("id", "others").hash(seed))
        .sort("order")
        .unique("id", keep="first", maintain_order=True)
        .with_columns(draw=pl.concat_str("id", pl.lit(kind)))
    )
    names = {"name": pl.col("name"), "other": pl.col("other_names")}
    return rows.select(
        product_id="id",
        kind=pl.lit(kind),
        question=fill(pick(asked, seed), **names),
        sentence=fill(pick(told, seed + 1), **names),
        answer_id="others",
        wanted=pl.lit([], PAIR),
        told=pl.lit(None, pl.String),
    )


def make_questions(
    products: pl.DataFrame,
    best: dict[str, pl.DataFrame],
    per_product: int,
    per_shelf: int,
    seed: int,
    written: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """All questions about ``products`` (of `products_for_questions`; they may be a part of the catalogue), in a fixed order.

    Args:
        best: the products that may be suggested, of the whole catalogue (`suggestions_of`).
        per_product: attribute questions a product. per_shelf: how many products a shelf puts forward. written: questions that stand
            in for those about attributes (`data.asked.checked`).

    Columns: product_id, kind, context, question, answer, answer_id, wanted (key and value pairs that a right product has),
    told (the value that the answer's sentence must hold, or null).
    """
    own = None if written is None else written.filter(pl.col("product_id").is_in(products["id"].implode()))
    frames = [
        attribute_questions(products, per_product, seed) if own is None else own,
        search_questions(products, seed),
        alternative_questions(products, best["alternative"], per_shelf, seed),
        outfit_questions(products, best["outfit"], per_shelf, seed),
    ]
    rows = pl.concat(frames)
    few = rows.group_by("product_id").len().filter(pl.col("len") < LEAST_QUESTIONS)["product_id"]
    lacking = products.filter(pl.col("id").is_in(few.implode()))
    more = attribute_questions(lacking if written is None else lacking.head(0), LEAST_QUESTIONS, seed)
    blocks = pl.concat([frame.select(answer_id="id", block="block") for frame in (products, *best.values())]).unique("answer_id")
    contexts = products.select(product_id="id", context=pl.format("Online shopping for {}", "category"))
    return (
        pl.concat([rows, more])
        .unique(["product_id", "question"], keep="first", maintain_order=True)
        .join(blocks, on="answer_id", maintain_order="left")
        .join(contexts, on="product_id", maintain_order="left")
        .with_columns(answer=pl.format("{}\n{}", "sentence", "block"))
        .select("product_id", "kind", "context", "question", "answer", "answer_id", "wanted", "told")
    )
