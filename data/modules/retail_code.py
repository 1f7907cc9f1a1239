"""What prepared questions depend on: source files and settings. Their digest is part of the names in the
cache.
"""

from data.catalogue import cleaning, normalisation, pairing
from data.files import source_files
from data.modules import agreement, preparation
from data.modules.reading_code import READING_CODE
from data.questions import (
    asked_keys,
    attribute_words,
    choice_wordings,
    choices,
    filling,
    filters,
    follow_ups,
    further_kinds,
    grounding,
    intents,
    key_wordings,
    matches,
    names,
    phrases,
    products,
    retrieval,
    shelves,
    shoppers,
    splits,
    suggestions,
    templates,
    wordings,
    words,
    written,
    written_checks,
)  # fmt: skip
from data.scoring import published, recall, statements, verdicts
from data.tokens import chat_templates, escaping, example, prompts, rows
from data.values import Settings

CATALOGUE_CODE = [*READING_CODE, *source_files(cleaning, normalisation)]
KIND_CODE = source_files(
    shoppers, further_kinds, choices, follow_ups, wordings, key_wordings, choice_wordings, attribute_words
)
TEMPLATE_CODE = [*source_files(pairing, phrases, products, filling, templates, suggestions), *KIND_CODE]
WRITTEN_CODE = source_files(written, written_checks)
VERDICT_CODE = source_files(verdicts, statements, published)  # what they find wrong is set aside
CODE = [
    *CATALOGUE_CODE,
    *TEMPLATE_CODE,
    *WRITTEN_CODE,
    *VERDICT_CODE,
    *source_files(splits, filters, preparation, agreement),
]
RENDERING_CODE = source_files(prompts, chat_templates, escaping, example, rows, agreement)
GROUNDING_CODE = source_files(
    grounding, retrieval, intents, names, words, matches, shelves, asked_keys, attribute_words, recall
)

# fields of data.questions, and of data, that do not change the questions
REQUEST_FIELDS = {"structured", "concurrency", "retries", "timeout", "per_minute"}
SOURCE_FIELDS = {"name", "path", "version", "against", "engine", "ray_address", "shard"}
OTHER_FIELDS = SOURCE_FIELDS | {"task", "texts", "vocabulary", "max_seq_length", "thinking"}
OTHER_FIELDS |= {"mixture", "preferences", "images", "grounding", "grounding_rows"}


def settings_of_questions(settings: Settings) -> Settings:
    """The fields of the configuration group `data` that change the questions."""
    content = {key: value for key, value in settings.items() if key not in OTHER_FIELDS}
    questions = content["questions"]
    content["questions"] = {key: value for key, value in questions.items() if key not in REQUEST_FIELDS}
    return content
