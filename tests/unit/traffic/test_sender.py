from __future__ import annotations

import email.utils
import http.server
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from cflight.traffic.batch import Batch, batch_of
from cflight.traffic.files import FileError
from cflight.traffic.sender import Accepted, Position, Refused, Sender, SendError

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = tuple[int, dict[str, str], bytes]

ACCEPTED: Answer = (202, {}, b'{"topic": "flight.eventlog", "partition": 1, "offset": 42}')
BATCH = batch_of(b"LHR,IST,2020-08-01,169.99,Y\n", name="one")


class Server:
    """Answers as it is told, and notes the requests."""

    def __init__(self) -> None:
        self.answers: deque[Answer | None] = deque()
        self.bodies: list[bytes] = []
        self.authorizations: list[str | None] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.begin()
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = outer.end(body, self.headers["authorization"])
                if answer is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/batches"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def begin(self) -> None:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)

    def end(self, body: bytes, authorization: str | None) -> Answer | None:
        time.sleep(0.01)  # so that requests overlap
        with self._lock:
            self._now -= 1
            self.bodies.append(body)
            self.authorizations.append(authorization)
            return self.answers.popleft() if self.answers else ACCEPTED

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_an_accepted_batch_has_its_position(server: Server) -> None:
    [result] = Sender(server.url, token="secret").send([BATCH])
    assert isinstance(result, Accepted)
    assert result.position == Position("flight.eventlog", 1, 42)
    assert result.attempts == 1
    assert result.sent_at <= result.accepted_at
    assert server.bodies == [BATCH.body]
    assert server.authorizations == ["Bearer secret"]


def test_no_more_requests_at_once_than_asked_for(server: Server) -> None:
    results = Sender(server.url, concurrency=3).send([BATCH] * 30)
    assert len(results) == len(server.bodies) == 30
    assert server.most_at_once <= 3


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_what_passes_is_tried_again(server: Server, status: int) -> None:
    server.answers += [(status, {"retry-after": "0"}, b'{"error": "busy"}')] * 2
    told: list[str] = []
    [result] = Sender(server.url).send([BATCH], on_retry=lambda _batch, why: told.append(why))
    assert isinstance(result, Accepted)
    assert result.attempts == 3
    assert told == [f"status {status}: busy"] * 2


def test_a_broken_connection_is_tried_again(server: Server) -> None:
    server.answers += [None, None]
    [result] = Sender(server.url).send([BATCH])
    assert isinstance(result, Accepted)
    assert result.attempts == 3


@pytest.mark.parametrize(
    "header",
    ["2", email.utils.format_datetime(email.utils.localtime().astimezone(None))],
    ids=["seconds", "a date that has passed"],
)
def test_retry_after_is_honoured(server: Server, header: str) -> None:
    server.answers.append((429, {"retry-after": header}, b"{}"))
    start = time.monotonic()
    [result] = Sender(server.url).send([BATCH])
    assert isinstance(result, Accepted)
    if header == "2":
        assert time.monotonic() - start >= 2


def test_it_gives_up_rather_than_wait_longer_than_allowed(server: Server) -> None:
    server.answers.append((429, {"retry-after": "3600"}, b'{"error": "too much at once"}'))
    [result] = Sender(server.url, give_up_seconds=5).send([BATCH])
    assert isinstance(result, Refused)
    assert (result.status, result.attempts) == (429, 1)
    assert "too much at once" in result.why


@pytest.mark.parametrize("status", [400, 401, 404, 411, 413, 415, 500])
def test_what_does_not_pass_is_not_tried_again(server: Server, status: int) -> None:
    server.answers.append((status, {}, b"<html>no JSON</html>"))
    [result] = Sender(server.url).send([BATCH])
    assert isinstance(result, Refused)
    assert (result.status, result.attempts) == (status, 1)
    assert "no JSON" in result.why


def test_nobody_answers() -> None:
    [result] = Sender("http://127.0.0.1:1/batches", give_up_seconds=0.5).send([BATCH])
    assert isinstance(result, Refused)
    assert result.status is None
    assert result.attempts > 1


def test_batches_are_taken_as_there_is_room(server: Server) -> None:
    taken: list[int] = []

    def source() -> Iterator[Batch]:
        for number in range(20):
            taken.append(number - len(server.bodies))
            yield BATCH

    Sender(server.url, concurrency=2).send(source())
    assert max(taken) <= 3  # never far ahead of what was sent


def test_the_rate_is_kept(server: Server) -> None:
    start = time.monotonic()
    Sender(server.url, rate=20, concurrency=8).send([BATCH] * 11)
    assert time.monotonic() - start >= 10 / 20  # a lower bound: slow machines only add to it


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"rate": 0.0}])
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SendError):
        Sender("http://127.0.0.1:1", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/batches", "http://", "http://[::1"])
def test_a_url_that_is_none_is_the_users_mistake(url: str) -> None:
    with pytest.raises(SendError, match="URL"):
        Sender(url)


def test_what_the_batches_raise_comes_out_as_it_is(server: Server) -> None:
    def broken() -> Iterator[Batch]:
        yield BATCH
        raise FileError("cannot be read", where="a.csv")

    with pytest.raises(FileError, match="cannot be read"):
        Sender(server.url).send(broken())


def test_a_token_that_no_header_can_hold_is_the_users_mistake(server: Server) -> None:
    with pytest.raises(SendError, match="the token"):
        Sender(server.url, token="ü")
