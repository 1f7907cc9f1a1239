"""Calls to an MLflow server that every part of tracking shares: client, experiment, parent run."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from architectures.tracking.locations import redact
from architectures.values import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

log = logging.getLogger(__name__)

MAX_PARAMETER_LENGTH = 250  # characters; the resolved YAML holds what is longer
OPENS_ON_RUNS = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page shows runs, not traces
SQLITE = "sqlite:///"
RUN_TAG = "strata.run"  # tag by which a run is found whose id never arrived


def flatten_settings(tree: Settings, prefix: str = "") -> dict[str, str]:
    """Nested settings -> dotted names with short values."""
    pairs: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            pairs |= flatten_settings(value, f"{prefix}{key}.")
        elif len(str(value)) <= MAX_PARAMETER_LENGTH:
            pairs[f"{prefix}{key}"] = str(value)
    return pairs


def mlflow_client(uri: str) -> "MlflowClient":
    """A client that gives up on a request after seconds rather than minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.WARNING)
    if not uri.startswith(SQLITE):
        return MlflowClient(uri)
    with _store_lock(Path(uri.removeprefix(SQLITE))):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # makes the tables of a new store
    return client


@contextmanager
def _store_lock(database: Path) -> Iterator[None]:
    """Held while a SQLite store may be made: of several processes one makes it, and the others wait."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def experiment_id(client: "MlflowClient", name: str, uri: str) -> str:
    """Find or make an experiment; the artifacts of a local database lie beside it, not in the working
    directory.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment:
        if experiment.lifecycle_stage == "deleted":
            log.warning("the MLflow experiment %r was deleted; it is restored", name)
            client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)
    database = uri.removeprefix(SQLITE)
    is_local = database != uri
    artifacts = Path(database).resolve().with_name("mlartifacts").as_uri() if is_local else None
    return str(client.create_experiment(name, artifacts, OPENS_ON_RUNS))


def dataset_input(name: str, digest: str, source: str, rows: int) -> "DatasetInput":
    """Prepared data, by its digest, as MLflow takes it."""
    from mlflow.entities import Dataset, DatasetInput

    profile = json.dumps({"num_rows": rows})
    return DatasetInput(Dataset(name, digest, "local", json.dumps({"uri": source}), None, profile), [])


def start_parent_run(uri: str, experiment: str, name: str, command: str) -> str:
    """The run under which the jobs of a sweep are nested: the one of that name, else a new one. Its id; ''
    if the server fails.
    """
    try:
        client = mlflow_client(uri)
        place = experiment_id(client, experiment, uri)
        there = client.search_runs([place], f"tags.`{RUN_TAG}` = '{name}'")
        tags = {RUN_TAG: name, "command": command}
        run = there[0] if there else client.create_run(place, run_name=name, tags=tags)
        return str(run.info.run_id)
    except Exception as error:  # noqa: BLE001 - a server error must not stop training
        reason = redact(error).splitlines()[0]
        log.warning("MLflow at %s: %s; the jobs have no common parent run", redact(uri), reason)
        return ""


def end_parent_run(uri: str, run_id: str, artifacts: list[Path]) -> None:
    """Close a sweep's run, with its results; without a run, do nothing."""
    if not run_id:
        return
    try:
        client = mlflow_client(uri)
        for path in artifacts:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id, "FINISHED")
    except Exception as error:  # noqa: BLE001 - a server error must not stop training
        reason, folder = redact(error).splitlines()[0], artifacts[0].parent
        log.warning("MLflow at %s: %s; the sweep's results are in %s", redact(uri), reason, folder)
