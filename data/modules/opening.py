"""The data module of a task, by its settings."""

from pathlib import Path

from data.catalogue.versions import Download
from data.modules.instructions import InstructionData
from data.modules.labelled_text import LabelledText
from data.modules.pocket import PocketData
from data.modules.retail import RetailData
from data.questions.written import ChatFunction
from data.values import Settings

AnyData = RetailData | LabelledText | InstructionData | PocketData


# Fields of `data` that the runs of earlier versions lack.
LATER_FIELDS: Settings = {
    "encoding": "",
    "separator": "",
    "missing": [],
    "category_separator": "",
    "min_label_rows": 1,
    "thinking": False,
    "currency": "",
    "wording": "published",
    "pairing": "clothing",
    "grounding": "none",
    "grounding_rows": 3,
    "preferences": "",
}


def open_data(
    settings: Settings,
    base: str,
    cache: Path,
    seed: int,
    chat: ChatFunction,
    download: Download,
    labels: list[str] | None = None,
) -> AnyData:
    """The data module of ``settings['task']``; nothing is read yet.

    Args:
        settings: fields of the configuration group `data`. base: the model's folder or Hub name, for its
        tokenizer.
        chat, download: as `RetailData` takes them. labels: as `LabelledText` takes them.
    """
    settings = LATER_FIELDS | settings
    if settings["task"] == "retail":
        return RetailData(settings, base, cache, seed, chat, download)
    if settings["task"] == "labels":
        return LabelledText(settings, base, cache, seed, labels)
    if settings["task"] == "instructions":
        return InstructionData(settings, base, cache, seed)
    return PocketData(settings, base, cache, seed)
