"""Where models are found by name: a path, an MLflow run, or a registered model."""

import os
import re
from pathlib import Path

RUN_ID = re.compile(r"[0-9a-f]{32}")  # of MLflow


def safe(text: object) -> str:
    """A message without the user and the password that an address in it holds."""
    return re.sub(r"://[^\s/@]+@", "://***@", str(text))


def tracking_uri(given: str, outputs: Path) -> str:
    """The tracking server: as given, else MLFLOW_TRACKING_URI, else a SQLite file in the outputs folder."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{outputs.resolve() / 'mlflow.db'}"


def exported_in(folder: Path) -> Path:
    """The exported model somewhere in a folder. Raises ValueError if there is none."""
    found = next(folder.rglob("run.json"), None)
    if found is None:
        raise ValueError(f"{folder} holds no exported model (there is no run.json)")
    return found.parent


def locate(ckpt: str, outputs: Path) -> Path:
    """What ``ckpt`` names, as a path; an MLflow run's or a registered model is fetched. Raises ValueError if there is none."""
    if Path(ckpt).exists():
        return Path(ckpt)
    registered = ckpt.startswith("models:/")
    if not registered and not RUN_ID.fullmatch(ckpt):
        raise ValueError(
            f"ckpt={ckpt}: there is no such file or folder, and it is not the id of an MLflow run (32 hex digits) or models:/NAME@ALIAS"
        )
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    uri = tracking_uri("", outputs)
    try:
        if registered:
            import mlflow

            mlflow.set_tracking_uri(uri)  # names of models are looked up there, whatever address the download is given
            return exported_in(Path(download_artifacts(ckpt, tracking_uri=uri)))
        return Path(download_artifacts(run_id=ckpt, artifact_path="model", tracking_uri=uri))
    except (MlflowException, OSError) as error:
        raise ValueError(safe(f"ckpt={ckpt}: MLflow at {uri} has no exported model for it ({str(error).splitlines()[0]})")) from None
