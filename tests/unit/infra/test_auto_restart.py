"""Failed connectors are started again, after waits that grow."""

from __future__ import annotations

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

import pytest

from infra.local.auto_restart import AutoRestart, auto_restart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Worker(ThreadingHTTPServer):
    """A Connect worker's REST API, as far as it is asked here."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.tasks: dict[str, str] = {}
        self.restarts: list[str] = []
        self.restart_status = 202

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        worker = cast("Worker", self.server)
        assert self.path == "/connectors?expand=status"
        self._answer(
            200,
            {
                name: {"status": {"connector": {"state": "RUNNING"}, "tasks": [{"state": state, "trace": "why\n at"}]}}
                for name, state in worker.tasks.items()
            },
        )

    def do_POST(self) -> None:
        worker = cast("Worker", self.server)
        worker.restarts.append(self.path)
        self._answer(worker.restart_status, None)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        del format, args

    def _answer(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_runs_is_left_alone(worker: Worker) -> None:
    worker.tasks = {"a": "RUNNING", "b": "PAUSED"}
    watch = AutoRestart(worker.url)
    assert [watch.look(now) for now in (0.0, 100.0)] == [[], []]
    assert worker.restarts == []


def test_waits_grow_to_a_minute(worker: Worker) -> None:
    worker.tasks = {"my sink": "FAILED", "other": "RUNNING"}
    watch = AutoRestart(worker.url)
    times = [now for now in range(250) if watch.look(float(now))]
    assert times == [10, 30, 70, 130, 190]
    assert worker.restarts[0] == "/connectors/my%20sink/restart?includeTasks=true&onlyFailed=true"


def test_a_connector_that_ran_well_starts_with_short_waits_again(worker: Worker) -> None:
    worker.tasks = {"a": "FAILED"}
    watch = AutoRestart(worker.url)
    assert [now for now in range(40) if watch.look(float(now))] == [10, 30]
    worker.tasks = {"a": "RUNNING"}
    assert watch.look(400.0) == []
    worker.tasks = {"a": "FAILED"}
    assert [now for now in range(500, 530) if watch.look(float(now))] == [510]


def test_a_refused_restart_is_asked_for_again(worker: Worker) -> None:
    worker.tasks = {"a": "FAILED"}
    worker.restart_status = 409  # a rebalance is in process
    watch = AutoRestart(worker.url)
    watch.look(0.0)
    with pytest.raises(OSError, match="409"):
        watch.look(10.0)
    worker.restart_status = 202
    assert watch.look(11.0) == ["a"]


def test_a_worker_that_dies_in_its_answer_ends_no_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "parts" / "connect"
    part.mkdir(parents=True)
    (part / "spec.json").write_text(json.dumps({"url": "http://127.0.0.1:9"}))
    looks: list[BaseException] = [http.client.IncompleteRead(b""), ConnectionRefusedError(), ValueError(), SystemExit()]

    def look(_watch: AutoRestart, _now: float) -> list[str]:
        raise looks.pop(0)

    monkeypatch.setattr(AutoRestart, "look", look)
    monkeypatch.setattr("infra.local.auto_restart._LOOK_SECONDS", 0.0)
    with pytest.raises(SystemExit):  # which is what ends this test's endless watch
        auto_restart(tmp_path)
    assert looks == []
