"""The source files that prepared questions depend on: their digest is part of the names in the cache."""

from data.catalogue import cells, cleaning, damaged, forms, normalisation, reading, text_files
from data.files import source_files
from data.modules import agreement, preparation
from data.questions import (
    choices,
    filling,
    filters,
    follow_ups,
    further_kinds,
    grounding,
    phrases,
    products,
    retrieval,
    shoppers,
    splits,
    suggestions,
    templates,
    wordings,
    written,
    written_checks,
)  # fmt: skip
from data.scoring import recall
from data.tokens import chat_templates, escaping, example, prompts, rows

CATALOGUE_CODE = source_files(reading, text_files, damaged, cleaning, cells, forms, normalisation)
TEMPLATE_CODE = source_files(
    phrases, products, filling, templates, suggestions, shoppers, further_kinds, choices, follow_ups, wordings
)
WRITTEN_CODE = source_files(written, written_checks)
CODE = [
    *CATALOGUE_CODE,
    *TEMPLATE_CODE,
    *WRITTEN_CODE,
    *source_files(splits, filters, preparation, agreement),
]
RENDERING_CODE = source_files(prompts, chat_templates, escaping, example, rows, agreement)
GROUNDING_CODE = source_files(grounding, retrieval, recall)
