"""Loggers beside the record of a run: each writes what it gets, and one that fails stops nothing."""

import csv
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import pytest

from architectures.tracking import other_loggers
from architectures.tracking.mlflow_logger import RunLogger
from architectures.tracking.other_loggers import OtherLoggers
from config.schema.run import LOGGERS
from tests.config.test_schema import wrong


def logged(folder: Path, *names: str) -> None:
    """A run with two steps and a figure of its evaluation."""
    uri = f"sqlite:///{folder.parent / 'mlflow.db'}"
    logger = RunLogger(folder, uri, "shop", "job-1 pocket", "", {}, False, names)
    logger.log_hyperparams({"model": {"lora_r": 16}})
    for step in (1, 2):
        logger.log_metrics({"train/loss": 1.0 / step}, step)
    logger.log_metrics({"evaluation/accuracy": 0.75})
    logger.close("FINISHED")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "2026-11-29_12-00-00_job-1"
    folder.mkdir()
    return folder


def test_csv_files_hold_parameters_and_metrics(folder: Path) -> None:
    logged(folder, "csv")
    rows = list(csv.DictReader((folder / "csv/metrics.csv").open()))
    assert [row["train/loss"] for row in rows if row["train/loss"]] == ["1.0", "0.5"]
    assert [row["evaluation/accuracy"] for row in rows if row["evaluation/accuracy"]] == ["0.75"]
    assert "model.lora_r: '16'" in (folder / "csv/hparams.yaml").read_text()


def test_a_resumed_run_replaces_no_csv_file(folder: Path) -> None:
    logged(folder, "csv")
    first = (folder / "csv/metrics.csv").read_text()
    logged(folder, "csv")
    assert (folder / "csv/metrics.csv").read_text() == first
    assert "train/loss" in (folder / "csv_2/metrics.csv").read_text()


def test_tensorboard_events_hold_the_metrics(folder: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra loggers is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(folder, "tensorboard")
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5)]
    assert events.Scalars("evaluation/accuracy")[0].value == 0.75


def test_wandb_keeps_an_offline_run_for_each_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra loggers is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    second = folder.with_name("2026-11-29_12-00-00_job-2")
    second.mkdir()
    for each in (folder, second):
        logged(each, "wandb")
        (record,) = (each / "wandb").rglob("run-*.wandb")
        assert record.name == f"run-{each.name}.wandb"
        assert record.stat().st_size > 500


def test_comet_keeps_an_offline_run_for_each_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("comet_ml", reason="the extra loggers is not installed")
    monkeypatch.setenv("COMET_START_ONLINE", "0")
    second = folder.with_name("2026-11-29_12-00-00_job-2")
    second.mkdir()
    keys = set()
    for each in (folder, second):
        logged(each, "comet")
        (record,) = (each / "comet").glob("*.zip")
        with zipfile.ZipFile(record) as archive:
            messages = archive.read("messages.json").decode()
            keys.add(json.loads(archive.read("experiment.json"))["offline_id"])
        assert '"train/loss"' in messages
        assert '"evaluation/accuracy"' in messages
        assert "lora_r" in messages
    assert len(keys) == 2


class Failing:
    """A service that is down from the second call on."""

    def __init__(self) -> None:
        self.calls = 0

    def log_metrics(self, *values: object) -> None:
        self.calls += 1
        if self.calls > 1:
            raise ConnectionError("the service is down\nand more")

    def finalize(self, status: str) -> None:
        raise AssertionError("nothing more is sent")


def test_one_that_fails_is_left_out_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing, real = Failing(), other_loggers._build

    def build(name: str, *values: Any) -> Any:
        return failing if name == "wandb" else real(name, *values)

    monkeypatch.setattr(other_loggers, "_build", build)
    with caplog.at_level(logging.WARNING):
        loggers = OtherLoggers(["wandb", "csv"], folder, "shop", "run")
        for step in range(4):
            loggers.forward("log_metrics", {"train/loss": 1.0}, step)
        loggers.close("success")
    assert failing.calls == 2
    assert len(list(csv.DictReader((folder / "csv/metrics.csv").open()))) == 4
    assert [record.getMessage() for record in caplog.records] == [
        "tracking.also: wandb: the service is down; the run continues without it"
    ]


def test_one_that_cannot_start_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*values: object) -> None:
        raise RuntimeError("no key")

    monkeypatch.setattr(other_loggers, "_build", refuse)
    with caplog.at_level(logging.WARNING):
        OtherLoggers(["wandb"], folder, "shop", "run").close("success")
    assert "tracking.also: wandb: no key; the run continues without it" in caplog.text


def test_one_that_is_not_installed_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGGERS, "wandb", "no_such_package")
    told = wrong("tracking.also=[wandb,csv]")
    assert "tracking.also: wandb is not installed: make install EXTRA=loggers" in told
