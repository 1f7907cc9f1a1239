"""`data.questions`, `data.images` and `data.quality`: who writes questions, which pictures are fetched,
which rows are kept.
"""

from dataclasses import dataclass

from config.schema.fields import setting

FILTERS = ["length", "script", "repetition", "exact", "near", "overlap", "words"]
EUROPEAN = ["Latin", "Greek", "Cyrillic"]
SCRIPTS = [*EUROPEAN, "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Telugu", "Thai"]
SCRIPTS += ["Han", "Hiragana", "Hangul"]


@dataclass
class QuestionsConfig:
    """Who writes the questions about single products. The endpoint's address and key come from
    OPENAI_BASE_URL and OPENAI_API_KEY.
    """

    source: str = setting(
        "templates",
        (
            "templates; endpoint: a language model behind an OpenAI-compatible server writes them from"
            " each product's row"
        ),
        choices=["templates", "endpoint"],
    )
    served_model: str = setting("", "source endpoint: the name under which the server serves the model")
    per_product: int = setting(
        4, "source endpoint: questions requested for each product", at_least=1, at_most=100
    )
    system_prompt: str = setting(
        "",
        "file with the system prompt, in which {count} stands for the number of questions; empty:"
        " the prompt of"
        " data/questions/written.py",
    )
    temperature: float = setting(0.7, "sampling temperature", at_least=0, at_most=2)
    max_tokens: int = setting(1024, "tokens of an answer", at_least=16, at_most=1_000_000)
    structured: bool = setting(
        True, "request answers that follow a JSON schema; a server without schemas is called without one"
    )
    concurrency: int = setting(8, "requests at once", at_least=1, at_most=1000)
    retries: int = setting(6, "retries of a request, with exponential back-off", at_least=0, at_most=100)
    timeout: float = setting(60.0, "seconds that one attempt may take", at_least=0.1, at_most=86_400)
    per_minute: int = setting(0, "requests a minute at most; 0: no limit", at_least=0)
    max_requests: int = setting(
        0, "budget of requests; products beyond it get no written questions; 0: no limit", at_least=0
    )
    max_tokens_in_all: int = setting(0, "budget of input and output tokens; 0: no limit", at_least=0)


@dataclass
class ImagesConfig:
    """stage=images: pictures of products, from the addresses in the catalogue."""

    per_product: int = setting(7, "addresses fetched for each product", at_least=1, at_most=1000)
    target: str = setting(
        "", "folder, or s3://, gs://, abfs:// (with its fsspec package installed); empty: outputs/images"
    )
    concurrency: int = setting(32, "requests at once", at_least=1, at_most=1000)
    per_host: int = setting(16, "requests at once to one server", at_least=1, at_most=1000)
    retries: int = setting(
        3, "retries after a failure that may pass, with exponential back-off", at_least=0, at_most=100
    )
    timeout: float = setting(20.0, "seconds without an answer", at_least=0.1, at_most=3600)
    largest: int = setting(10_000_000, "bytes of a file at most", at_least=1)
    private: bool = setting(False, "allow addresses of private networks and of this machine")


@dataclass
class QualityConfig:
    """Filters of training rows. Validation and test rows always stay."""

    filters: list[str] = setting([], "filters to apply, in this order; empty: none", items=FILTERS)
    shortest: int = setting(
        20, "filter length: characters of question and answer together, at least", at_least=0
    )
    longest: int = setting(
        20_000, "filter length: characters of question and answer together, at most", at_least=1
    )
    script: str = setting("Latin", "filter script: the script's Unicode name", choices=SCRIPTS)
    script_share: float = setting(
        0.8, "filter script: least share of the letters in that script", at_least=0, at_most=1
    )
    repeated: float = setting(
        0.3, "filter repetition: largest share of runs of four words that occur more than once in a row",
        at_least=0, at_most=1,
    )  # fmt: skip
    alike: float = setting(
        0.8, "filter near: Jaccard similarity of runs of three words from which two rows count as duplicates",
        at_least=0.05, at_most=1,
    )  # fmt: skip
    overlap: int = setting(
        13, "filter overlap: length in words of a run that a training row must not share with a test row",
        at_least=1, at_most=1000,
    )  # fmt: skip
    words: str = setting("", "filter words: file of forbidden words or phrases, one a line")
