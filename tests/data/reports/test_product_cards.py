"""Cards beside answers: what the catalogue has, what contradicts it, what is nearest."""

import base64
import re
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from data.catalogue.images import FetchSettings, fetch_images
from data.catalogue.pictures import SIDE, ProductPictures
from data.reports.product_cards import CatalogueCards, named_products
from tests.data.sample_questions import sample_questions
from tests.image_shop import picture, picture_server
from tests.test_app import EVIL


def products_of(*names: str) -> pl.DataFrame:
    facts = [[{"key": "Fabric", "value": "Cotton"}]] * len(names)
    table = pl.DataFrame({"id": list(map(str, range(len(names)))), "name": names, "facts": facts})
    unknown = {column: pl.lit(None, pl.String) for column in ("brand", "type", "product_kind", "rating")}
    place = {"category": pl.lit("Clothing"), "shelf": pl.lit("Shelf")}
    return table.with_columns(
        **unknown, **place, partners=pl.lit(None, pl.List(pl.String)), keywords=pl.lit([], pl.List(pl.String))
    )


def test_cards_know_the_catalogue() -> None:
    products = products_of("Kai Jeans", "Kai Jeans Blue", "Ola Top")
    found = named_products(
        "Instead of the OLA  top, you may like the Kai Jeans Blue.\n Product Name: Kai Jeans Blue\n", products
    )
    assert [(card.name, card.row is not None) for card in found] == [
        ("Kai Jeans Blue", True),
        ("Ola Top", True),
    ]
    assert found[0].facts == [("Fabric", "Cotton")]
    (unheard,) = named_products("Product Name: Unheard Of", products)
    assert (unheard.name, unheard.row) == ("Unheard Of", None)
    assert named_products("", products) == []
    assert named_products("nothing at all", products) == []


def test_cards_escape_what_they_show() -> None:
    products = products_of(f"Kai {EVIL}")
    for answer in (f"Product Name: Kai {EVIL}", f"Product Name: Other {EVIL}"):
        shown = CatalogueCards(products).beside(answer, "", "").html
        assert "<img" not in shown
        assert "&lt;img" in shown


def test_cards_show_price_and_picture(tmp_path: Path) -> None:
    products = products_of("Kai Jeans", "Ola Top")
    facts = [{"key": "Price", "value": "Rs. 499"}, {"key": "Fabric", "value": "Cotton"}]
    products = products.with_columns(pl.Series("facts", [facts, facts]))
    with picture_server() as shop:
        urls = [f"{shop}/down", f"{shop}/ok.png"]
        rows = pl.DataFrame({"id": ["0", "0"], "place": [0, 1], "url": urls})
        how = FetchSettings(2, str(tmp_path / "files"), 2, 2, 0, 5.0, 100_000, private=True)
        manifest = fetch_images(rows, how, tmp_path)
    (file,) = manifest.filter(pl.col("status") == "ok")["file"]
    (tmp_path / "files" / file).write_bytes(picture("PNG", (900, 600)))
    cards = CatalogueCards(products, tmp_path)
    shown = cards.beside("Product Name: Kai Jeans", "", "").html
    assert '<span class="price">Rs. 499</span>' in shown
    assert "<span>Price</span>" not in shown
    (encoded,) = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="Kai Jeans">', shown)
    with Image.open(BytesIO(base64.b64decode(encoded))) as small:
        assert small.size == (SIDE, SIDE * 2 // 3)
    assert "<img" not in cards.beside("Product Name: Ola Top", "", "").html  # it has no picture
    (tmp_path / "files" / file).write_bytes(b"damaged")
    assert "<img" not in cards.beside("Product Name: Kai Jeans", "", "").html


def test_shards_have_manifests_of_their_own_and_a_damaged_one_is_one_error(tmp_path: Path) -> None:
    for place, product in enumerate(["a", "b"], 1):
        shard = tmp_path / f"shard-{place}-of-2"
        shard.mkdir()
        row = {"id": product, "place": 0, "status": "ok", "file": "x.png", "target": "/files/"}
        pl.DataFrame([row]).write_parquet(shard / "manifest.parquet")
    assert ProductPictures(tmp_path).files == {"a": "/files/x.png", "b": "/files/x.png"}
    assert ProductPictures(tmp_path / "none").thumbnail("a") == ""
    (tmp_path / "manifest.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"manifest.parquet: cannot be read .*stage=images .* anew"):
        ProductPictures(tmp_path)


@pytest.mark.parametrize(
    ("answer", "notes"),
    [
        ("It is made of cotton.\n Product Name: Kai Jeans\nProduct Details:\n- fabric:  COTTON", []),
        (
            "Here.\n Product Name: Kai Jeans\nProduct Details:\n- Fabric: Silk\n- Neck: Round",
            [
                "Fabric: Silk in the answer, Cotton in the catalogue",
                "Neck: the catalogue does not say that it is Round",
            ],
        ),
        (
            "The fabric of the Kai Jeans is silk.\n Product Name: Kai Jeans\n",
            ["fabric: silk in the answer, Cotton in the catalogue"],
        ),
        ("The fabric of the Kai Jeans is cotton.\n Product Name: Kai Jeans\n", []),
        ("The fabric of the Kai Jeans is cotton, so no.\n Product Name: Kai Jeans\n", []),
        (
            "The fabric of the Kai Jeans is cotton; you ask about silk: no.\n Product Name: Kai Jeans\n",
            [],
        ),
        ("The fabric of the Kai Jeans is cotton. It suits you.\n Product Name: Kai Jeans\n", []),
        (
            "The fabric of the Kai Jeans is silk, so yes.\n Product Name: Kai Jeans\n",
            ["fabric: silk in the answer, Cotton in the catalogue"],
        ),
    ],
)
def test_what_contradicts_the_catalogue_is_marked(answer: str, notes: list[str]) -> None:
    products = products_of("Kai Jeans", "Ola Top")
    assert [card.contradictions for card in named_products(answer, products)] == [notes]
    shown = CatalogueCards(products).beside(answer, "", "").html
    assert shown.count('class="note"') == len(notes)


def test_no_training_answer_contradicts_the_catalogue() -> None:
    products, questions, _ = sample_questions(1)
    cards = [card for answer in questions["answer"].head(400) for card in named_products(answer, products)]
    assert cards
    assert [card for card in cards if card.contradictions or card.row is None] == []


def test_a_number_with_a_point_is_no_contradiction() -> None:
    fact = pl.struct(key=pl.lit("Length"), value=pl.lit("25.2 inch"))
    products = products_of("Kai Jeans").with_columns(facts=pl.concat_list(fact))
    for said, count in (("25.2 inch", 0), ("25.3 inch", 1)):
        answer = f"The length of the Kai Jeans is {said}.\n Product Name: Kai Jeans\n"
        assert len(named_products(answer, products)[0].contradictions) == count


def test_what_one_of_several_products_of_a_name_has_is_no_contradiction() -> None:
    products = products_of("Kai Jeans", "kai  jeans")
    other = pl.when(pl.col("id") == "1").then(pl.lit("Denim")).otherwise(pl.lit("Cotton"))
    fact = pl.struct(key=pl.lit("Fabric"), value=other)
    products = products.with_columns(facts=pl.concat_list(fact))
    answer = "Here.\n Product Name: Kai Jeans\nProduct Details:\n- Fabric: {}"
    assert named_products(answer.format("Denim"), products)[0].contradictions == []
    assert len(named_products(answer.format("Silk"), products)[0].contradictions) == 1


def test_a_declining_answer_has_the_nearest_products_beside_it() -> None:
    cards = CatalogueCards(products_of("Kai Jeans", "Ola Top", "Blue Kai Jeans"))
    declined = "Sorry, we have nothing that fits."
    shown = cards.beside(declined, "green jeans by nobody", "Online shopping for Clothing").html
    assert "Nearest in the catalogue" in shown
    assert shown.count('class="card"') == 2
    assert cards.beside(declined, "garden hoses", "").html == ""
    assert cards.beside("Here you are.", "green jeans", "").html == ""


def test_questions_to_go_on_with_are_about_what_the_answer_names_and_the_shop_has() -> None:
    table = products_of("Kai Jeans", "Ola Jeans", "Zed Top").with_columns(
        product_kind=pl.Series(["bottom", "bottom", "top"]),
        shelf=pl.Series(["Jeans", "Jeans", "Tops"]),
        partners=pl.Series([["top"], ["top"], None], dtype=pl.List(pl.String)),
    )
    cards = CatalogueCards(table)
    options = cards.beside("We have the Kai Jeans.\n Product Name: Kai Jeans", "", "").options
    assert options == [
        {"label": "Fabric", "value": "What is the fabric of the Kai Jeans?"},
        {"label": "Alternatives", "value": "What could I buy instead of the Kai Jeans?"},
        {"label": "What goes with it", "value": "What goes well with the Kai Jeans?"},
    ]
    stated = cards.beside("The fabric of the Zed Top is cotton.", "", "").options
    assert stated == []  # nothing else on its shelf, and nothing goes with it
    assert cards.beside("Product Name: Unheard Of", "", "").options == []


def test_faults_are_inventions_and_contradictions() -> None:
    cards = CatalogueCards(products_of("Kai Jeans"))
    answer = "Product Name: Kai Jeans\nProduct Details:\n- Fabric: Silk\n\nProduct Name: Unheard Of"
    assert cards.beside(answer, "", "").faults == [
        "Unheard Of: not in the catalogue",
        "Kai Jeans: Fabric: Silk in the answer, Cotton in the catalogue",
    ]
    assert cards.beside("Product Name: Kai Jeans", "", "").faults == []
