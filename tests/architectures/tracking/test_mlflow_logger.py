"""The record against a real MLflow server that is refused, answers 500 or hangs in mid-run: nothing is
lost, nothing is doubled.
"""

import http.client
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from architectures.tracking import mlflow_logger, mlflow_server, sender
from architectures.tracking.mlflow_logger import RunLogger
from tests.architectures.training.test_distributed import port


class Proxy(http.server.BaseHTTPRequestHandler):
    """Stands between the client and the real server, and does to every request what the test wants."""

    protocol_version = "HTTP/1.1"
    server_port_behind = 0
    mode = "pass"
    seen: ClassVar[list[str]] = []

    def forward(self) -> None:
        self.seen.append(self.mode)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.mode == "refused":
            self.close_connection = True
            self.connection.close()
            return
        if self.mode == "hangs":
            time.sleep(5)
        status, kind, answer = 500, "text/plain", b"broken"
        if self.mode in ("pass", "takes it and answers 500", "hangs"):
            behind = http.client.HTTPConnection("127.0.0.1", self.server_port_behind)
            behind.request(self.command, self.path, body, dict(self.headers))
            got = behind.getresponse()
            taken = got.read()
            if self.mode != "takes it and answers 500":
                status, kind, answer = got.status, got.getheader("Content-Type", ""), taken
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            self.close_connection = True  # the client has given up

    do_GET = do_POST = do_PUT = do_PATCH = forward

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the proxy before a real MLflow server."""
    import mlflow  # noqa: F401 - now, not in the thread that is to meet the faults

    folder, Proxy.server_port_behind = tmp_path_factory.mktemp("server"), port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder / 'm.db'}",
        "--workers",
        "1",
    ]
    command += ["--port", str(Proxy.server_port_behind), "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as out:
        real = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            behind = http.client.HTTPConnection("127.0.0.1", Proxy.server_port_behind, timeout=2)
            behind.request("GET", "/health")
            if behind.getresponse().status == 200:
                break
        except OSError:
            time.sleep(0.3)
    else:
        pytest.fail((folder / "log").read_text()[-2000:])
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
    real.terminate()
    real.wait(20)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(sender, "SEND_EVERY", 0.1)
    monkeypatch.setattr(sender, "MAX_PAUSE", 0.5)
    monkeypatch.setattr(sender, "PATIENCE", 60.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    Proxy.mode = "pass"
    Proxy.seen.clear()


def logger_of(folder: Path, uri: str) -> RunLogger:
    folder.mkdir(exist_ok=True)
    return RunLogger(folder, uri, "faults", folder.name, "", {"tag": "x"}, system_metrics=False)


def check(folder: Path, uri: str, run_id: str | None) -> None:
    """The server has each figure of the local record once, and no other; and the run is over."""
    assert run_id is not None
    client = mlflow_server.mlflow_client(uri)
    local = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = {name for record in local for name in record} - {"step", "time"}
    for name in names:
        found = [(metric.step, metric.value) for metric in client.get_metric_history(run_id, name)]
        assert sorted(found) == [(record["step"], record[name]) for record in local if name in record], name
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a": "1", "b.c": "2"}
    assert [item.path for item in client.list_artifacts(run_id)] == ["file.txt"]


def meets(mode: str) -> None:
    """Wait until the logger has met the fault: on a busy machine a request before it may take seconds."""
    until = time.monotonic() + 60
    while mode not in Proxy.seen:
        assert time.monotonic() < until, Proxy.seen
        time.sleep(0.05)


def steps(logger: RunLogger, first: int, last: int) -> None:
    """Log some, slowly enough for several batches."""
    for step in range(first, last):
        logger.log_metrics({"train/loss": 1 / (step + 1)}, step)
        if step % 5 == 4:
            logger.log_metrics({"validation/loss": float(step)}, step)
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["from the start", "in mid-run", "at the end"])
@pytest.mark.parametrize("mode", ["refused", "answers 500", "takes it and answers 500", "hangs"])
def test_a_server_that_fails_for_a_while_gets_everything_once(
    server: str, tmp_path: Path, mode: str, when: str
) -> None:
    Proxy.mode = mode if when == "from the start" else "pass"
    (tmp_path / "file.txt").write_text("x")
    logger = logger_of(tmp_path / "run", server)
    logger.log_hyperparams({"a": 1, "b": {"c": 2}})
    steps(logger, 0, 10)
    Proxy.mode = mode if when != "at the end" else "pass"
    steps(logger, 10, 20)
    logger.log_artifact(tmp_path / "file.txt")
    local = (tmp_path / "run/metrics.jsonl").read_text()
    assert local.count("train/loss") == 20, "the local record waits for nobody"
    Proxy.seen.clear()
    Proxy.mode = mode
    steps(logger, 20, 22)
    meets(mode)
    Proxy.mode = "pass"
    logger.close("FINISHED")
    check(tmp_path / "run", server, logger.run_id)


@pytest.mark.slow
def test_a_run_that_the_server_never_saw_is_replayed_later(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.txt").write_text("x")
    monkeypatch.setattr(sender, "PATIENCE", 2.0)
    Proxy.mode = "refused"
    logger = logger_of(tmp_path / "run", server)
    logger.log_hyperparams({"a": 1, "b": {"c": 2}})
    steps(logger, 0, 5)
    logger.log_artifact(tmp_path / "file.txt")
    logger.close("FINISHED")
    assert logger.run_id is None
    assert not mlflow_logger.replay(tmp_path / "run")
    Proxy.mode = "pass"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # one try is all that a replay has
    done = subprocess.run(
        [sys.executable, "-m", "architectures.tracking", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stderr.split("(run ")[1].split(")")[0]
    check(tmp_path / "run", server, run_id)
    assert mlflow_logger.replay(tmp_path / "run")
    check(tmp_path / "run", server, run_id)


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_its_mlflow_run(server: str, tmp_path: Path) -> None:
    """Killed after step 14 of which a checkpoint holds 10: the record goes back to it, and the server gets
    no step twice.
    """
    (tmp_path / "file.txt").write_text("x")
    first = logger_of(tmp_path / "run", server)
    first.log_hyperparams({"a": 1, "b": {"c": 2}})
    steps(first, 0, 10)
    recorded = first.recorded
    steps(first, 10, 15)
    time.sleep(0.5)
    first.close("KILLED")
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "tra')  # it died while it wrote this
    second = logger_of(tmp_path / "run", server)
    second.begin(recorded)
    assert second.recorded == recorded == 12
    steps(second, 10, 30)
    second.log_artifact(tmp_path / "file.txt")
    second.close("FINISHED")
    assert second.run_id == first.run_id
    check(tmp_path / "run", server, second.run_id)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no record of a run"):
        mlflow_logger.replay(tmp_path)
