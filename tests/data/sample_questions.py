"""The sample catalogue's products and questions in shoppers' words, for tests."""

import polars as pl

from data.catalogue.cleaning import CatalogueFilter
from tests.catalogues import clean, questions_of
from tests.conftest import ROOT
from tests.data.catalogue.test_cleaning import DEPARTMENTS, FULL


def sample_questions(attribute_questions: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """(products, questions with splits, ids of unseen products)"""
    rule = CatalogueFilter("Clothing", DEPARTMENTS, 10, False)
    cleaned = clean(ROOT / "data/sample/catalogue.csv", FULL, [], rule)
    return questions_of(cleaned.products, wording="shoppers", attribute_questions=attribute_questions)
