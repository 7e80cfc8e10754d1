from __future__ import annotations

import gzip
import http.server
import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cflight.cli.app import app
from cflight.traffic.files import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS: dict[str, Any] = dict(get_command(app).commands)  # type: ignore[attr-defined]  # pyright: ignore
EXPECTED = [
    *("cancel", "demo", "destroy", "doctor", "logs", "outputs"),
    *("preview", "refresh", "send", "status", "up", "watch"),
]


@pytest.fixture
def ingest() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes batches of up to 100 bytes, and what it has taken."""
    taken: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            long = len(body) > 100
            if not long:
                taken.append(body)
            answer = {"error": "too long"} if long else {"topic": "t", "partition": 0, "offset": len(taken) - 1}
            self.send_response(413 if long else 202)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/batches", taken
    server.shutdown()
    server.server_close()


def run(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == status, done.output
    return done.output


def test_these_are_all_commands() -> None:
    assert sorted(COMMANDS) == EXPECTED


@pytest.mark.parametrize("name", EXPECTED)
def test_every_command_teaches_and_speaks_json(name: str) -> None:
    text = re.sub(r"\s+", " ", run(name, "--help"))
    assert f"cflight {name}" in text.partition("Examples")[2]
    assert "--json" in text


def test_a_file_is_sent_in_batches(tmp_path: Path, ingest: tuple[str, list[bytes]]) -> None:
    url, taken = ingest
    file = tmp_path / "a.csv"
    file.write_text("LHR,IST,2020-08-01,169.99,Y\n" * 5)
    told = json.loads(run("send", str(file), "--rows", "2", "--concurrency", "1", "--url", url, "--json"))
    assert told["accepted"] == 3
    assert [gzip.decompress(body).count(b"\n") for body in taken] == [2, 2, 1]
    assert [(batch["name"], batch["offset"]) for batch in told["batches"]] == [
        ("a.csv#1", 0), ("a.csv#2", 1), ("a.csv#3", 2),
    ]  # fmt: skip


def test_a_refused_batch_is_told_and_fails(tmp_path: Path, ingest: tuple[str, list[bytes]]) -> None:
    url, _ = ingest
    file = tmp_path / "a.csv.gz"
    file.write_bytes(bytes(200))
    told = json.loads(run("send", str(file), "--url", url, "--json", status=1))
    assert (told["accepted"], told["refused"]) == (0, {"status 413: too long": 1})
    assert "a.csv.gz: status 413: too long" in run("send", str(file), "--url", url, status=1)


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["send", str(tmp_path / "none.csv"), "--url", "http://127.0.0.1:1"])
    assert isinstance(done.exception, FileError)
    assert "none.csv" in str(done.exception)


@pytest.mark.parametrize("wrong", [["--rate", "0"], ["--rows", "20001"], ["--bad-share", "2"], ["--concurrency", "0"]])
def test_senseless_options_are_the_users_mistake(wrong: list[str]) -> None:
    assert wrong[0] in run("send", *wrong, status=2)


def test_doctor_speaks_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("CFLIGHT_CACHE", str(tmp_path / "cache"))
    findings = json.loads(run("doctor", "--json", status=1))
    missing = {one["subject"]: one for one in findings if one["state"] == "problem"}
    assert "S3 store" in missing
    assert "scripts/bootstrap" in missing["S3 store"]["remedy"]
    assert all(one["remedy"] for one in findings if one["state"] != "ok")


def test_doctor_finds_and_mends_what_a_dead_stack_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    folder = tmp_path / "home" / "stacks" / "dead"
    (folder / "parts" / "kafka").mkdir(parents=True)
    lease = tmp_path / "run" / "cflight-ports" / "20001"
    lease.parent.mkdir(parents=True)
    lease.write_text(str(tmp_path / "gone"))

    def left() -> set[str]:
        output = CliRunner().invoke(app, ["doctor", "--json"]).output
        return {one["what"] for one in json.loads(output) if str(tmp_path) in one["what"] and one["state"] == "warning"}

    assert any("20001" in what for what in left())
    assert any("stacks/dead" in what for what in left())
    CliRunner().invoke(app, ["doctor", "--mend"])
    assert not folder.exists()
    assert not lease.exists()
    assert not any("20001" in what or "stacks/dead" in what for what in left())
