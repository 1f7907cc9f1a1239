"""Addresses: which tracking server is used, and how an address is written without its password."""

import os
import re
from pathlib import Path

RUN_ID = re.compile(r"[0-9a-f]{32}")  # of MLflow


def redact(text: object) -> str:
    """A message without the user and the password of an address in it."""
    return re.sub(r"://[^\s/@]+@", "://***@", str(text))


def tracking_uri(setting: str, outputs: Path) -> str:
    """The tracking server: as set, else MLFLOW_TRACKING_URI, else a SQLite file in the outputs folder.

    Raises ValueError for a folder whose name such an address cannot hold.
    """
    uri = setting or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return uri
    database = outputs.resolve() / "mlflow.db"
    if "?" in str(database):
        raise ValueError(
            f"outputs={outputs}: the address of a SQLite file cannot hold '?'; choose another folder, or set"
            " tracking.uri"
        )
    return f"sqlite:///{database}"
