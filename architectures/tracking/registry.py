"""Find models, runs and prepared data by name (a path, an MLflow run, a registered model), and register
models.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from architectures.models.run_file import find_exported, model_digest
from architectures.tracking.locations import RUN_ID, redact, tracking_uri
from architectures.tracking.mlflow_server import dataset_input, experiment_id, mlflow_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

NO_CHAMPION = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model; no such alias
LOADER = "evaluate"  # the module with _load_pyfunc, through which MLflow loads a registered model
CODE, REQUIREMENTS = ("evaluate.py", "architectures", "data"), "requirements.txt"
EVALUATION_FILES = (
    "scores.json",
    "predictions.parquet",
    "results.json",
    "metrics.jsonl",
    "config.yaml",
    "model",
)


@contextmanager
def _server_errors(message: str) -> Iterator[None]:
    """Turn errors of MLflow into a ValueError: ``message`` and the reason, without passwords."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(redact(f"{message} ({reason})")) from None


def locate(ckpt: str, outputs: Path, key: str = "ckpt") -> Path:
    """What ``ckpt`` names, as a path; the model of an MLflow run or of the registry is downloaded. Raises
    ValueError if there is none.

    Args:
        key: the setting that names it, for messages.
    """
    if Path(ckpt).exists():
        return Path(ckpt)
    is_registered = ckpt.startswith("models:/")
    if not is_registered and not RUN_ID.fullmatch(ckpt):
        raise ValueError(
            f"{key}={ckpt}: there is no such file or folder, and it is neither the id of an MLflow"
            f" run (32 hex digits) nor"
            " models:/NAME@ALIAS"
        )
    import mlflow
    from mlflow.artifacts import download_artifacts

    uri = tracking_uri("", outputs)
    with _server_errors(f"{key}={ckpt}: MLflow at {uri} has no exported model for it"):
        if is_registered:
            # Names of models are looked up there, whatever address the download gets.
            mlflow.set_tracking_uri(uri)
            return find_exported(Path(download_artifacts(ckpt, tracking_uri=uri)))
        return Path(download_artifacts(run_id=ckpt, artifact_path="model", tracking_uri=uri))


def download_data(run_id: str, outputs: Path, folder: Path) -> Path:
    """Download the prepared data that an MLflow run used into ``folder``. Raises ValueError if the run has
    none.
    """
    from mlflow.artifacts import download_artifacts

    uri = tracking_uri("", outputs)
    with _server_errors(f"data.version={run_id}: MLflow at {uri} has no prepared data of this run"):
        return Path(
            download_artifacts(run_id=run_id, artifact_path="data", dst_path=str(folder), tracking_uri=uri)
        )


def log_report(run_id: str, folder: Path, outputs: Path) -> None:
    """Attach a comparison's report to an MLflow run."""
    mlflow_client(tracking_uri("", outputs)).log_artifacts(run_id, str(folder), "comparison")


def download_runs(run_id: str, outputs: Path) -> list[Path]:
    """The evaluations of an MLflow run, or of all runs nested under it, as folders. Raises ValueError if
    there is none.
    """
    uri = tracking_uri("", outputs)
    folders = []
    with _server_errors(f"compare={run_id}: MLflow at {uri}"):
        client = mlflow_client(uri)
        run = client.get_run(run_id)
        nested = client.search_runs(
            [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["start_time ASC"]
        )
        for one in nested or [run]:
            folder = outputs / "cache" / f"mlflow-{one.info.run_id}"
            if _download_evaluation(client, one.info.run_id, folder, uri):
                folders.append(folder)
    if not folders:
        raise ValueError(redact(f"compare={run_id}: MLflow at {uri} has no evaluated run there"))
    return folders


def _download_evaluation(client: "MlflowClient", run_id: str, folder: Path, uri: str) -> bool:
    """Download the files of a run's evaluation; whether it has one."""
    from mlflow.artifacts import download_artifacts

    there = {item.path for item in client.list_artifacts(run_id)}
    if "scores.json" not in there:
        return False
    for name in sorted(there & set(EVALUATION_FILES)):
        download_artifacts(run_id=run_id, artifact_path=name, dst_path=str(folder), tracking_uri=uri)
    return True


def champion_name(name: str, outputs: Path) -> str:
    """The registered model in use, as `ckpt` takes it; '' if there is none. Raises ValueError if the
    server does not answer.
    """
    from mlflow.exceptions import MlflowException

    uri = tracking_uri("", outputs)
    try:
        mlflow_client(uri).get_model_version_by_alias(name, "champion")
    except MlflowException as error:
        if error.error_code in NO_CHAMPION:
            return ""
        reason = redact(error).splitlines()[0][:200]
        raise ValueError(
            f"MLflow at {redact(uri)} does not say which {name} is the champion ({reason});"
            f" incumbent=null compares with"
            " none"
        ) from None
    return f"models:/{name}@champion"


@dataclass(frozen=True)
class RegistryEntry:
    """What is registered with a model.

    text: the model card. tags: of the version, with the digests of model and data. source, rows: of the data
    it was evaluated on. root: of the code that answers with it.
    """

    text: str
    tags: dict[str, str]
    source: str
    rows: int
    root: Path


def register(entry: RegistryEntry, model: Path, report: Path, name: str, alias: str, outputs: Path) -> str:
    """Log the model with its report, lineage and card to MLflow and register it; the version.

    It is logged as files with the code that reads them, never pickled. What the registry returns must have
    the digest that was evaluated; otherwise the version is deleted again. Raises ValueError.
    """
    from mlflow.artifacts import download_artifacts

    uri = tracking_uri("", outputs)
    expected = entry.tags["model_digest"]
    with _server_errors(f"MLflow at {uri} could not register {name}"):
        client = mlflow_client(uri)
        version = _log_model(client, entry, model, report, name, uri)
        for key, value in entry.tags.items():
            client.set_model_version_tag(name, version, key, value)
        client.update_model_version(name, version, entry.text)
        stored = Path(download_artifacts(f"models:/{name}/{version}", tracking_uri=uri))
        digest = model_digest(find_exported(stored))
        if digest != expected:
            client.delete_model_version(name, version)
            raise ValueError(
                f"the registry returned another model (digest {digest}) than was evaluated ({expected})"
            )
        client.set_registered_model_alias(name, alias, version)
    return version


def _log_model(
    client: "MlflowClient", entry: RegistryEntry, model: Path, report: Path, name: str, uri: str
) -> str:
    """Log the model in a run of its own and register it; the version."""
    import mlflow

    tags = entry.tags
    mlflow.set_tracking_uri(uri)
    experiment = experiment_id(client, "strata", uri)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "model"
        shutil.copytree(model, copy)
        (copy / "README.md").write_text(entry.text, encoding="utf-8")
        with mlflow.start_run(experiment_id=experiment, run_name=f"registered {name}", tags=tags) as run:
            mlflow.log_artifacts(str(report), "evaluation")
            dataset = dataset_input(tags["data"], tags["data_digest"], entry.source, entry.rows)
            client.log_inputs(run.info.run_id, datasets=[dataset])
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module=LOADER,
                data_path=str(copy),
                code_paths=[str(entry.root / part) for part in CODE],
                pip_requirements=str(entry.root / REQUIREMENTS),
                registered_model_name=name,
            )
    return str(logged.registered_model_version)
