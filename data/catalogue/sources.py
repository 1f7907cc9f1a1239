"""The files that a path stands for: one file, a folder, or a data set on the Hugging Face Hub."""

from pathlib import Path

from data.catalogue.reading import TABLE_FORMATS

TABLE_ENDINGS = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson")


def find_files(path: str, endings: list[str]) -> list[Path]:
    """The files that ``path`` stands for: one, the tables of a folder (FOLDER or FOLDER/PATTERN*), or of a
    data set on the Hub.

    Args:
        endings: labels; a file of which one is the ending ('reviews.pos') holds one text a line, all of that
        label.
    """
    whole = fetch_dataset(path.removeprefix("hub:")) if path.startswith("hub:") else Path(path)
    if whole.is_file():
        return [whole]
    folder, pattern = (whole.parent, whole.name) if "*" in whole.name else (whole, "*")
    found = sorted(
        f for f in folder.glob(pattern) if f.name.lower().endswith(TABLE_ENDINGS) or f.suffix[1:] in endings
    )
    if not found:
        raise ValueError(
            f"no table at data.path={path}: give a {TABLE_FORMATS} file, a folder of them (or"
            f" FOLDER/PATTERN*), or hub:OWNER/NAME/FOLDER"
        )
    return found


def fetch_dataset(name: str) -> Path:
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
