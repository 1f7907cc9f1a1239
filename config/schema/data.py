"""`data`: which table is learnt, and how it becomes prompts."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from config.schema.fields import Values, setting
from config.schema.questions import ImagesConfig, QualityConfig, QuestionsConfig

COLUMNS = ["id", "name", "category", "description", "specifications", "image", "brand", "rating", "group"]
COLUMNS += ["price", "list_price"]
NO_RATING = "no rating available"  # of Flipkart's crawl
MISSING_WORDS = "nan none null nil n/a n.a. na #n/a <na> nat undefined - -- --- \u2013 \u2014".split() + [
    NO_RATING
]
CLEANING = ["lowercase", "links", "symbols", "stop_words"]
MIN_SEQUENCE = 64


@dataclass
class DataConfig:
    """Which table is learnt, and how it becomes prompts."""

    name: str = setting("sample", "label in tables and runs")
    task: str = setting(
        "retail",
        "retail: questions about a catalogue; labels: text classification; instructions:"
        " conversations; pocket:"
        " texts for the embedded base model",
        choices=["retail", "labels", "instructions", "pocket"],
    )
    path: str = setting(
        MISSING,
        ".csv, .tsv, .xlsx, .parquet, .json or .jsonl, also compressed (.gz, .zip, .zst); for labels and"
        " instructions also a folder of them, or hub:OWNER/NAME/FOLDER",
    )
    version: str = setting(
        "",
        "task retail: digest of prepared data, or the id of an MLflow run that used it; replaces data.path",
    )
    against: str = setting("", "stage inspect: another version, to list what changed from it to data.version")
    engine: str = setting(
        "local",
        (
            "task retail: local prepares the table's partitions one after the other; ray: at once on a"
            " Ray cluster"
        ),
        choices=["local", "ray"],
    )
    ray_address: str = setting(
        "",
        "address of the Ray cluster, as ray.init takes it; the cluster must see the outputs folder;"
        " empty: start"
        " one on this machine",
    )
    shard: str = setting(
        "",
        (
            "stages prepare and images: 3/8 starts with the third of eight shares, others being"
            " prepared elsewhere"
        ),
    )
    columns: Values = setting(
        dict.fromkeys(COLUMNS, ""),
        "role -> the table's column for it; empty: the table has none. category may be a list of columns, one"
        " for each level, the highest first",
        items=COLUMNS,
    )
    attributes: list[str] = setting(
        [], "columns that hold one attribute each, in addition to or instead of specifications"
    )
    encoding: str = setting("", "encoding of a text table, such as cp1252; empty: found from its bytes")
    separator: str = setting(
        "", "what separates the fields of a CSV table, such as ';'; empty: found from its rows"
    )
    missing: list[str] = setting(
        MISSING_WORDS,
        "cells that count as missing, in any case of letters; empty ones always do. task labels: such a label"
        " is a class, with a warning",
    )
    category_separator: str = setting(
        "", "task retail: what separates the levels of a category, such as '/'; empty: '>>' or '>'"
    )
    currency: str = setting(
        "",
        "put before the numbers of data.columns.price and list_price, as 'Rs. '; empty: as in the table",
    )
    pairing: str = setting(
        "none",
        "task retail: what goes with what, which attributes may be asked about, and the words with which"
        " shoppers ask for what a product is: none; clothing; or a YAML"
        " file (data/catalogue/pairings/clothing.yaml has the keys)",
    )
    root: str = setting("", "first-level category to keep; empty: all")
    departments: list[str] = setting([], "second-level categories to keep; empty: all")
    min_rows: int = setting(10, "rows that a third- and a fourth-level category must have", at_least=0)
    drop_missing_levels: bool = setting(
        False, "drop rows without a third or fourth level; false: a missing level counts as a value"
    )
    questions: QuestionsConfig = field(default_factory=QuestionsConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    attribute_questions: int = setting(
        3, "questions about single attributes for each product", at_least=0, at_most=100
    )
    max_details: int = setting(8, "lines in an answer's Product Details", at_least=1, at_most=1000)
    suggestions: int = setting(
        3, "products that a shelf offers as alternatives or outfits", at_least=1, at_most=1000
    )
    unseen: float = setting(
        0.05, "share of the products that never occur in training", at_least=0, at_most=0.5
    )
    validation: float = setting(
        0.1, "share of the rows for validation (questions about the other products; texts)",
        at_least=0, at_most=0.5,
    )  # fmt: skip
    test: float = setting(0.1, "share of the rows for the test", at_least=0, at_most=0.5)
    held_out_rows: int = setting(
        2000,
        "task instructions: conversations of validation, and of the test, at most, those with one first"
        " question counted once; the others are trained on; 0: as many as their shares say. A file that is"
        " named as a split stays whole",
        at_least=0,
    )
    limit: int = setting(
        0, "for debugging: products, or texts of each split (balanced by label); 0: all", at_least=0
    )
    mixture: dict[str, float] = setting(
        {},
        "paths of further instruction data -> how often their rows are seen in an epoch; task retail: beside"
        " the questions, against forgetting",
    )
    preferences: str = setting(
        "",
        "trainer.objective=dpo: file of pairs of answers (prompt, chosen, rejected) to train on, as"
        " `evaluate.py pairs=` writes it",
    )
    max_seq_length: int = setting(
        512, "tokens of a row, prompt and answer together; longer rows are cut off and counted",
        at_least=MIN_SEQUENCE, at_most=1_000_000,
        hint="a prompt alone takes about 50 tokens, and an answer must fit after it",
    )  # fmt: skip
    wording: str = setting(
        "published",
        "task retail: shoppers: at least twelve wordings of each kind of question, of which a third is for a"
        " test split of its own, with typing errors; and questions for yes or no, two products, a budget, a"
        " second turn, and what a right answer declines; published: two or three wordings, four kinds",
        choices=["published", "shoppers"],
    )
    grounding: str = setting(
        "none",
        "task retail: rows: the rows of the catalogue that a question finds stand in its prompt, so that the"
        " model answers from them; none: the published prompt, so that it answers from its weights",
        choices=["none", "rows"],
    )
    grounding_rows: int = setting(3, "rows in a prompt, with grounding", at_least=1, at_most=20)
    thinking: bool = setting(
        False,
        "whether the model reasons before it answers, where its chat template lets one choose; the reasoning"
        " is trained if the answers of the data hold it, and left out of what is judged",
    )
    text_columns: list[str] = setting(["text"], "task labels: columns that are read, joined by a space")
    label_column: str = setting("label", "task labels: label names, or places in label_names")
    label_names: list[str] = setting(
        [], "task labels: names in order, of two the positive one last; empty: as in the table"
    )
    label_kind: str = setting(
        "single",
        "task labels. single: one label a text; multiple: a list, or text with ';', '|' or ',' between them;"
        " any: two labels, no (the column is empty) and yes",
        choices=["single", "multiple", "any"],
    )
    min_label_rows: int = setting(
        1, "task labels: rows that a label must have; one with fewer is left out", at_least=1
    )
    clean: list[str] = setting(
        [], "task labels: lowercase the text, remove links, symbols, stop_words", items=CLEANING, item="step"
    )
    split_by: str = setting(
        "",
        "task labels: SQL expression over the columns, file and line that gives train, validation"
        " or test where"
        " the file's name gives no split",
    )
    folds: int = setting(
        0, "task labels: folds of a cross-validation; the test split is fold data.fold; 0: none",
        at_least=0, at_most=100,
    )  # fmt: skip
    fold: int = setting(0, "task labels: number of the fold, from 0", at_least=0, at_most=100)
    truncate: str = setting(
        "end", "task labels: where a text that is too long is cut", choices=["end", "middle"]
    )
    texts: int = setting(48_000, "task pocket: texts to draw", at_least=100)
    vocabulary: int = setting(4096, "task pocket: tokens of the tokenizer", at_least=300, at_most=1_000_000)
