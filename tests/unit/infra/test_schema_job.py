"""The job that registers schemas, against a registry that answers as told."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from infra.jobs.schemas import main

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

SCHEMA = {"subject": "t-value", "definition": {"type": "string"}, "compatibility": "FULL"}


class _Registry(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    asked: ClassVar[list[tuple[str, str, Any]]] = []

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((self.command, self.path, body))
        status, content = self.answers.get(f"{self.command} {self.path}", (404, {"message": "no such thing"}))
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


@contextmanager
def registry(answers: dict[str, tuple[int, Any]]) -> Generator[tuple[str, list[tuple[str, str, Any]]]]:
    asked: list[tuple[str, str, Any]] = []
    handler = type("Handler", (_Registry,), {"answers": {"GET /subjects": (200, []), **answers}, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def file(folder: Path, content: object) -> str:
    path = folder / "schemas.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_schema_is_registered_with_its_compatibility(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {
        "POST /subjects/t-value/versions": (200, {"id": 7}),
        "PUT /config/t-value": (200, {"compatibility": "FULL"}),
        "POST /subjects/t-value": (200, {"id": 7, "version": 2}),
    }
    with registry(answers) as (url, asked):
        main([file(tmp_path, [SCHEMA]), "--registry", url])
    assert ("PUT", "/config/t-value", {"compatibility": "FULL"}) in asked
    assert ("POST", "/subjects/t-value/versions", {"schema": '{"type": "string"}'}) in asked
    assert "t-value: version 2, id 7, FULL" in capsys.readouterr().out


def test_a_schema_that_does_not_fit_is_not_registered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"POST /compatibility/subjects/t-value/versions/latest": (200, {"is_compatible": False})}
    with registry(answers) as (url, asked), pytest.raises(SystemExit) as end:
        main([file(tmp_path, [SCHEMA]), "--registry", url])
    assert end.value.code == 1
    assert "not FULL compatible" in capsys.readouterr().err
    assert not any(path.endswith("/versions") for _, path, _ in asked)


def test_a_refusal_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"POST /subjects/t-value/versions": (422, {"message": "bad"})}
    with registry(answers) as (url, _), pytest.raises(SystemExit):
        main([file(tmp_path, [SCHEMA]), "--registry", url])
    assert "422" in capsys.readouterr().err


def test_a_registry_that_is_away_is_waited_for_within_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([file(tmp_path, [SCHEMA]), "--registry", "http://127.0.0.1:9", "--wait", "0"])
    assert "last answer" in capsys.readouterr().err


@pytest.mark.parametrize("content", [{}, [{"subject": "a"}], [{**SCHEMA, "more": 1}], "text"])
def test_a_file_that_is_no_list_of_schemas_is_refused(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([file(tmp_path, content), "--registry", "http://127.0.0.1:9", "--wait", "0"])
    assert end.value.code == 1
    assert "schemas.json: is no list of schemas" in capsys.readouterr().err


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.json"), "--registry", "http://127.0.0.1:9"])
    assert "cannot be read" in capsys.readouterr().err
