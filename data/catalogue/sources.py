"""The files that a path stands for: one file, a folder, or a data set on the Hugging Face Hub."""

import re
from pathlib import Path

from data.catalogue.reading import TABLE_ENDINGS, TABLE_FORMATS

SPLITS = ("train", "validation", "test")
SPLIT_NAME = (
    r"(?i)(?:^|[^a-z])(?:(train)|(validation|val|dev)|(test|holdout))(?:[^a-z]|$)"  # in the name of a file
)
NO_TABLES = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json")  # of the Hub


def split_of_name(name: str) -> str | None:
    """The split that a file's name says, train, validation or test; None if it says none."""
    match = re.search(SPLIT_NAME, name)
    return SPLITS[(match.lastindex or 1) - 1] if match else None


def _is_table(file: Path, endings: list[str]) -> bool:
    """Whether a file of a folder is a table, or one of texts of one label."""
    name = file.name.lower()
    is_listed = name.endswith(TABLE_ENDINGS) or file.suffix[1:] in endings
    return is_listed and name not in NO_TABLES and not name.startswith((".", "~$"))


def find_files(path: str, endings: list[str]) -> list[Path]:
    """The files that ``path`` stands for: one, the tables of a folder (FOLDER or FOLDER/PATTERN*), of its
    subfolders where it has none itself, or of a data set on the Hub.

    Args:
        endings: labels; a file of which one is the ending ('reviews.pos') holds one text a line, all of that
        label.
    """
    whole = _fetch_dataset(path.removeprefix("hub:")) if path.startswith("hub:") else Path(path)
    if whole.is_file():
        return [whole]
    folder, pattern = (whole.parent, whole.name) if "*" in whole.name else (whole, "*")
    found = sorted(file for file in folder.glob(pattern) if _is_table(file, endings))
    if not found:  # such as data/ of the Hub's layout
        found = sorted(file for file in folder.rglob(pattern) if _is_table(file, endings))
    if not found:
        raise ValueError(
            f"no table at data.path={path}: give a {TABLE_FORMATS} file, a folder of them (or"
            f" FOLDER/PATTERN*), or hub:OWNER/NAME/FOLDER"
        )
    return found


def _fetch_dataset(name: str) -> Path:
    """A data set of the Hugging Face Hub, OWNER/NAME[/FOLDER or /PATTERN*] -> its path in the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    owner, _, rest = name.partition("/")
    repository, _, folder = rest.partition("/")
    try:
        root = snapshot_download(
            f"{owner}/{repository}",
            repo_type="dataset",
            allow_patterns=[folder, f"{folder}/*"] if folder else None,
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"data.path=hub:{name} is not in the local cache and cannot be fetched ({reason}):"
            f" unset HF_HUB_OFFLINE,"
            " or set data.path to a local copy"
        ) from None
    return Path(root) / folder
