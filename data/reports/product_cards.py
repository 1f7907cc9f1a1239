"""Products that an answer names, as the catalogue has them: what the chat page shows beside the answer.

What the answer says of a product against the catalogue is marked; beside a declining answer stand the
products that are most like the question.
"""

import html
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from data.catalogue.normalisation import normalise, normalised
from data.catalogue.pictures import ProductPictures
from data.questions.names import Product
from data.questions.phrases import CONTEXT, PRICE
from data.questions.products import read_question_products
from data.questions.retrieval import Retriever
from data.reports.chat_examples import questions_to_go_on
from data.scoring.published import NAME
from data.scoring.verdicts import DECLINES, DETAIL

Facts = list[tuple[str, str]]  # keys and values

MAX_NAME_WORDS = 30
MAX_WORDS = 2000  # of an answer that are searched for names
FACTS_SHOWN = 8  # of a product
PUNCTUATION = ".,;:!?\"'()"  # around a name in running text
# what an answer says of an attribute
SENTENCE = (
    r"(?im)\bthe {0} of (?:the )?(.+?) is (.+?)"
    r"(?:, so (?:yes|no)|; you ask about .+?: (?:yes|no))?(?:\.(?= the {0} of )|\.?[ \t]*$)"
)
NEAREST = 3  # products beside an answer that declines
CSS = """
.card {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .6em .9em; margin: .4em 0; font-size: .9em}
.card.invented {border-color: #c0392b; border-style: dashed} .card .note {color: #c0392b}
.card::after {content: ""; display: block; clear: both}
.card img {float: right; max-height: 9em; max-width: 40%; margin-left: .8em; border-radius: 6px} .card .price {float: right}
.card .fact {display: flex} .card .fact span {width: 9em; opacity: .7}
"""  # noqa: E501


@dataclass(frozen=True)
class _ProductCard:
    """A product that an answer names, and its row of the catalogue; None: the catalogue does not have it.

    contradictions: what the answer says of it against the catalogue, in words.
    """

    name: str
    row: Product | None
    contradictions: list[str] = field(default_factory=list)

    @property
    def all_facts(self) -> Facts:
        """What the row says."""
        rows = self.row["facts"] if self.row else []
        return [(fact["key"], fact["value"]) for fact in rows]

    @property
    def facts(self) -> Facts:
        """What is shown of the row beside the price."""
        return [(key, value) for key, value in self.all_facts if key.lower() != PRICE][:FACTS_SHOWN]

    @property
    def price(self) -> str:
        """The price; empty if the row has none."""
        return next((value for key, value in self.all_facts if key.lower() == PRICE), "")


def read_products(path: Path) -> pl.DataFrame:
    """What cards need of products.parquet of prepared data. Raises ValueError if the file is another one."""
    try:
        return read_question_products(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"catalogue={path}: cannot be read ({reason}); give products.parquet of prepared data"
        ) from None


def _claimed_names(answer: str) -> list[str]:
    """What an answer gives after 'Product Name:'."""
    lines = pl.Series([answer]).str.extract_all(NAME).explode()
    return lines.str.extract(NAME).str.strip_chars().drop_nulls().to_list()


def _candidate_names(answer: str) -> list[str]:
    """All runs of words that may be the name of a product."""
    words = answer.split()[:MAX_WORDS]
    runs = []
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + MAX_NAME_WORDS, len(words)) + 1):
            runs.append(" ".join(words[begin:end]).strip(PUNCTUATION))
    return runs


def keyed(names: list[str]) -> pl.DataFrame:
    """Names with their normalised ``key``, each once, in order; empty ones are left out."""
    frame = pl.DataFrame({"text": names}, schema={"text": pl.String}).with_row_index("place")
    frame = frame.with_columns(key=normalise(pl.col("text"))).filter(pl.col("key") != "")
    return frame.unique("key", keep="first", maintain_order=True)


def contradictions(answer: str, rows: list[Product]) -> list[str]:
    """What an answer says against the rows of the product that it names, in words.

    It says something in its lines '- key: value' and in sentences such as "The fabric of the ... is cotton.".

    Args:
        rows: those of its name; what one of them says is right.
    """
    values: dict[str, list[str]] = {}
    for row in rows:
        for fact in row["facts"]:
            values.setdefault(normalised(fact["key"]), []).append(fact["value"])
    found = []
    for key, value in re.findall(DETAIL, answer):
        own = values.get(normalised(key))
        if own is None:
            found.append(f"{key}: the catalogue does not say that it is {value}")
        elif normalised(value) not in map(normalised, own):
            found.append(f"{key}: {value} in the answer, {own[0]} in the catalogue")
    for key, own in values.items():
        for said in _stated_values(key, answer, rows[0]["name"]):
            if not any(normalised(value) in normalised(said) for value in own):
                found.append(f"{key}: {said} in the answer, {own[0]} in the catalogue")
    return list(dict.fromkeys(found))


def _stated_values(key: str, answer: str, name: str) -> list[str]:
    """What the sentences of an answer say of an attribute of the product that it names; of a comparison, what
    it says of this one of the two products.
    """
    said = re.findall(SENTENCE.format(re.escape(key)), answer)
    if len(said) == 1:
        return [value for _, value in said]
    return [value for product, value in said if normalised(product) == normalised(name)]


def named_products(answer: str, products: pl.DataFrame) -> list[_ProductCard]:
    """The products that an answer names: after 'Product Name:', whether they exist or not; elsewhere, those
    that exist.

    Args:
        products: name, category and facts. Of several products of one name, the first is shown.
    """
    claimed = _claimed_names(answer)
    candidates = keyed([*claimed, *_candidate_names(answer)])
    catalogue = products.lazy().with_columns(key=normalise(pl.col("name")))
    matches = catalogue.join(candidates.lazy(), on="key").collect().sort("place").to_dicts()
    of_name: dict[str, list[Product]] = {}
    for row in matches:
        of_name.setdefault(row["key"], []).append(row)
    described = {normalised(name) for name in claimed[:1]}  # whose details the answer gives
    cards = []
    for key, rows in of_name.items():
        if any(f" {key} " in f" {other} " and key != other for other in of_name):
            continue  # a name within a longer one that was named as well is not another product
        against = contradictions(answer, rows) if key in described else []
        cards.append(_ProductCard(rows[0]["name"], rows[0], against))
    for row in keyed(claimed).to_dicts():
        if row["key"] not in of_name:
            cards.append(_ProductCard(row["text"], None))
    return cards


def _faults(cards: list[_ProductCard]) -> list[str]:
    """What an answer says against the catalogue."""
    found = [f"{card.name}: not in the catalogue" for card in cards if card.row is None]
    for card in cards:
        found += [f"{card.name}: {said}" for said in card.contradictions]
    return found


def _card_html(card: _ProductCard, picture: str) -> str:
    """A card; all text in it is escaped. picture: its address; empty if there is none."""
    name = html.escape(card.name)
    if card.row is None:
        return f'<div class="card invented"><b>{name}</b><div class="note">not in the catalogue</div></div>'
    image = f'<img src="{html.escape(picture)}" alt="{name}">' if picture else ""
    price = f'<span class="price">{html.escape(card.price)}</span>' if card.price else ""
    facts = [f"<span>{html.escape(key)}</span>{html.escape(value)}" for key, value in card.facts]
    rows = "".join(f'<div class="fact">{fact}</div>' for fact in facts)
    notes = "".join(f'<div class="note">{html.escape(note)}</div>' for note in card.contradictions)
    head = f"{image}{price}<b>{name}</b><br>{html.escape(card.row['category'])}"
    return f'<div class="card">{head}{notes}{rows}</div>'


@dataclass(frozen=True)
class BesideAnswer:
    """What the chat page shows beside an answer.

    html: cards of the products. options: questions to go on with, each with label and value. faults: what the
    answer says against the catalogue, and the products that it invents.
    """

    html: str
    options: list[dict[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class CatalogueCards:
    """The cards beside answers.

    Args:
        products: of `read_products`. images: the folder that `stage=images` wrote, if there is one.

    Raises ValueError if the pictures' manifest cannot be read.
    """

    def __init__(self, products: pl.DataFrame, images: Path | None = None) -> None:
        self.products = products
        self.pictures = ProductPictures(images) if images else None

    @cached_property
    def retriever(self) -> Retriever:
        """Finds products by a question, and what goes with them; indexed at the first answer."""
        return Retriever(self.products)

    def beside(self, answer: str, question: str, context: str) -> BesideAnswer:
        """The products that an answer names; where it names none and declines, those nearest to the
        question.
        """
        cards = named_products(answer, self.products)
        if cards:
            return BesideAnswer(self._shown(cards), self._options(cards, answer), _faults(cards))
        if not re.search(DECLINES, answer):
            return BesideAnswer("")
        category = context.removeprefix(CONTEXT)
        nearest = self.retriever.search(question.lower(), category, NEAREST)
        shown = self._shown([_ProductCard(row["name"], row) for row in nearest])
        return BesideAnswer(f"<div>Nearest in the catalogue</div>{shown}" if nearest else "")

    def _shown(self, cards: list[_ProductCard]) -> str:
        """Cards with pictures."""
        return "".join(_card_html(card, self._picture(card)) for card in cards)

    def _picture(self, card: _ProductCard) -> str:
        """The address of a product's picture; empty if there is none."""
        if self.pictures is None or card.row is None:
            return ""
        return self.pictures.thumbnail(card.row["id"])

    def _options(self, cards: list[_ProductCard], answer: str) -> list[dict[str, str]]:
        """Questions about the first product of the catalogue that an answer names."""
        known = [card.row for card in cards if card.row is not None]
        return questions_to_go_on(known[0], answer, self.retriever) if known else []
