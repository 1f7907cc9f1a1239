"""The tracking store itself: what an experiment opens on, and that a deleted one does not lose a run."""

import logging
from pathlib import Path

import pytest

from architectures.tracking.mlflow_server import experiment_id, mlflow_client


def test_an_experiment_opens_on_its_runs(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow_client(uri)
    experiment = client.get_experiment(experiment_id(client, "strata", uri))
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_deleted_experiment_is_restored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow_client(uri)
    number = experiment_id(client, "strata", uri)
    client.delete_experiment(number)
    with caplog.at_level(logging.WARNING):
        assert experiment_id(client, "strata", uri) == number
    assert "the MLflow experiment 'strata' was deleted; it is restored" in caplog.text
    assert client.create_run(number).info.status == "RUNNING"
