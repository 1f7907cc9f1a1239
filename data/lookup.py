"""What a fine-tune must beat: answers straight from the catalogue or the training answers, and what an untuned model is given to read.

Which text is most like another is told by a function from outside: ``nearest(documents, queries) -> places``.
"""

from collections.abc import Callable

import polars as pl

Nearest = Callable[[list[str], list[str]], list[int]]
LOOKUPS = ("same-product", "exact", "tfidf", "nearest-answer")


def row_answers(products: pl.DataFrame) -> pl.DataFrame:
    """id -> answer: all that the catalogue says of the product, then the block in the published format."""
    fact = pl.format("{}: {}", pl.element().struct.field("key"), pl.element().struct.field("value"))
    told = pl.concat_list(pl.format("Shelf: {}", "shelf"), pl.col("facts").list.eval(fact)).list.drop_nulls().list.join("; ")
    return products.select("id", answer=pl.format("{}\n{}", told, "block"))


def texts_of(products: pl.DataFrame) -> list[str]:
    """What is searched of each product: its name, brand, category, shelf, and facts."""
    fact = pl.concat_str(pl.element().struct.field("key"), pl.lit(" "), pl.element().struct.field("value"))
    parts = [pl.col(c).fill_null("") for c in ("name", "brand", "category", "shelf", "type")] + [
        pl.col("facts").list.eval(fact).list.join(" ")
    ]
    return products.select(text=pl.concat_str(parts, separator=" "))["text"].to_list()


def asked_texts(questions: pl.DataFrame) -> list[str]:
    """Context and question, as they are searched for."""
    return questions.select(pl.concat_str("context", pl.lit(" "), "question")).to_series().to_list()


def rows_for(questions: pl.DataFrame, products: pl.DataFrame, nearest: Nearest) -> pl.Series:
    """The id of the product whose row is most like each question."""
    return products["id"].gather(nearest(texts_of(products), asked_texts(questions)))


def named_in(questions: pl.DataFrame, products: pl.DataFrame) -> pl.Series:
    """The id of the product with the longest name that occurs in each question, or null; of several, the first of the category asked in."""
    names = products.select("id", "category", name=pl.col("name").str.to_lowercase())
    place = questions.select(
        pl.int_range(pl.len()).alias("row"),
        category=pl.col("context").str.strip_prefix("Online shopping for "),
        name=pl.col("question").str.to_lowercase().str.extract_many(names["name"].unique().implode(), overlapping=True),
    )
    longest = place.explode("name").sort(pl.col("name").str.len_chars(), descending=True).unique("row", keep="first", maintain_order=True)
    found = longest.join(names, on="name", suffix="_there").with_columns(here=pl.col("category") == pl.col("category_there"))
    first = found.sort("row", "here", descending=[False, True]).unique("row", keep="first", maintain_order=True)
    return place.select("row").join(first.select("row", "id"), on="row", how="left", maintain_order="left")["id"]


def answers(method: str, questions: pl.DataFrame, products: pl.DataFrame, training: pl.DataFrame, nearest: Nearest) -> list[str]:
    """One answer for each question; '' where the method finds none.

    same-product: the answer that names the product most often named in training, to every question. exact: the row of the product whose
    name is in the question. tfidf: the row most like the question. nearest-answer: the answer to the training question most like it.
    """
    if method == "same-product":
        most = training.group_by("answer_id").agg(pl.len(), pl.col("answer").first()).sort("len", "answer_id", descending=[True, False])
        return [str(most["answer"][0])] * questions.height
    if method == "nearest-answer":
        return training["answer"].gather(nearest(asked_texts(training), asked_texts(questions))).to_list()
    ids = named_in(questions, products) if method == "exact" else rows_for(questions, products, nearest)
    found = pl.DataFrame({"id": ids}).join(row_answers(products), on="id", how="left", maintain_order="left")
    return found["answer"].fill_null("").to_list()


def with_rows(questions: pl.DataFrame, products: pl.DataFrame, nearest: Nearest) -> pl.DataFrame:
    """The questions with the row most like each before them, for a model to answer from."""
    rows = pl.DataFrame({"id": rows_for(questions, products, nearest)}).join(row_answers(products), on="id", maintain_order="left")
    return questions.with_columns(question=pl.concat_str(pl.lit("From the catalogue:\n") + rows["answer"], pl.lit("\n\n"), "question"))


def with_shots(questions: pl.DataFrame, training: pl.DataFrame, shots: int, seed: int) -> pl.DataFrame:
    """The questions with ``shots`` training questions and their answers before them, the kinds of question in turn."""
    drawn = training.with_columns(order=pl.struct("product_id", "question").hash(seed)).sort("order")
    drawn = drawn.with_columns(turn=pl.int_range(pl.len()).over("kind")).sort("turn", "kind").head(shots)
    shown = "\n\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in drawn.select("question", "answer").rows())
    return questions.with_columns(question=pl.format("{}\n\nQuestion: {}\nAnswer:", pl.lit(shown), "question"))
