"""ingest over real HTTP, with an event log that does as it is told: every status, slow clients, bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from services.health import Health
from services.ingest.application import Application, Budget
from services.ingest.event_log import KafkaAwayError, Position, RefusedError
from services.ingest.protocol import bounded_protocol
from services.ingest.settings import IngestSettings
from services.settings import load

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

BODY = gzip.compress(b"LHR,IST,2020-08-01,169.99,Y\n")
MIB = 1024 * 1024


class FakeEventLog:
    """Acknowledges each body, unless told otherwise."""

    def __init__(self) -> None:
        self.away = False
        self.bodies: list[bytes] = []
        self.failure: Exception | None = None
        self.gate: threading.Event | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def append(self, body: bytes) -> asyncio.Future[Position]:
        future: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self.bodies.append(body)
        position = Position(topic="flight.eventlog", partition=1, offset=len(self.bodies) - 1)

        async def settle() -> None:
            if self.gate is not None:
                await asyncio.to_thread(self.gate.wait)
            if self.failure is not None:
                future.set_exception(self.failure)
            else:
                future.set_result(position)

        self._tasks.append(asyncio.get_running_loop().create_task(settle()))
        return future


class Running:
    """A running server."""

    def __init__(self, port: int, event_log: FakeEventLog) -> None:
        self.port = port
        self.event_log = event_log

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def send(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes and return the first answer's status, headers and body."""
        with self.connect() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            return read_answer(connection)

    def post(self, body: bytes, *headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.send(request(body, *headers))


def request(body: bytes, *headers: str, length: int | None = None) -> bytes:
    head = ["POST /batches HTTP/1.1", "host: x", f"content-length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    file = connection.makefile("rb")
    status = file.readline()
    if not status:
        return 0, {}, b""
    headers: dict[str, str] = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    return int(status.split()[1]), headers, file.read(int(headers["content-length"]))


@contextlib.contextmanager
def running(*, budget: int = 64 * MIB, connections: int = 100, **variables: str) -> Generator[Running]:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "x:1", "IDLE_TIMEOUT_SECONDS": "0.5", "MAX_MESSAGE_BYTES": "1Mi", **variables}
    settings = load(IngestSettings, environ=environ)
    event_log = FakeEventLog()
    application = Application(settings, health=Health(), budget=Budget(budget))
    application.event_log = event_log  # type: ignore[assignment]
    listener = socket.create_server(("127.0.0.1", 0))
    protocol = bounded_protocol(most_connections=connections, head_seconds=settings.idle_timeout_seconds)
    config = uvicorn.Config(application, http=protocol, ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Running(listener.getsockname()[1], event_log)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as one:
        yield one


def test_a_body_is_acknowledged_with_its_position(server: Running) -> None:
    status, _, answer = server.post(BODY)
    assert status == 202
    assert json.loads(answer) == {"topic": "flight.eventlog", "partition": 1, "offset": 0}
    assert server.event_log.bodies == [BODY]


def test_a_chunked_body_is_taken(server: Running) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (BODY[:1], BODY[1:7], BODY[7:]))
    head = b"POST /batches HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert server.send(head + chunks + b"0\r\n\r\n")[0] == 202
    assert server.event_log.bodies == [BODY]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /batches HTTP/1.1\r\nhost: x\r\n\r\n", 411),
        (request(b""), 400),
        (b"POST /batches HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /batches HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
        (request(b"LHR,IST,2020-08-01,169.99,Y\n"), 415),
        (request(b"\x1f"), 415),
        (request(b"\x1f\x8c"), 415),
        (request(b"x" * 2_000_000), 413),
        (request(b"", length=10**15), 413),
        (
            b"POST /batches HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"180000\r\n\x1f\x8b"
            + b"x" * 1_572_862,
            413,
        ),
        (b"GET /batches HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"PUT /batches HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n\x1f\x8b", 405),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n\x1f\x8b", 404),
        (b"POST /batches HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"POST /" + b"y" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    ],
)
def test_bad_requests_are_refused(server: Running, sent: bytes, status: int) -> None:
    assert server.send(sent)[0] == status
    assert server.event_log.bodies == []
    assert server.post(BODY)[0] == 202


def test_a_long_body_is_not_read_whole(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(request(b"\x1f\x8b", length=10**12))
        assert read_answer(connection)[0] == 413
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 500 * MIB:
                sent += connection.send(b"x" * 65536)
    assert sent < 100 * MIB


def test_the_client_is_not_asked_to_go_on_with_what_is_refused(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(request(b"", "expect: 100-continue", length=10**9))
        assert read_answer(connection)[0] == 413
    with server.connect() as connection:
        connection.sendall(request(b"", "expect: 100-continue", length=len(BODY)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert read_answer(connection)[0] == 202


def test_the_token_is_asked_for() -> None:
    with running(INGEST_TOKEN="s3cret") as server:
        for headers in (
            (),
            ("authorization: Bearer wrong",),
            ("authorization: s3cret",),
            ("authorization: Basic s3cret",),
        ):
            status, answer, _ = server.post(BODY, *headers)
            assert (status, answer["www-authenticate"]) == (401, "Bearer")
        assert server.event_log.bodies == []
        assert server.post(BODY, "authorization: Bearer s3cret")[0] == 202


@pytest.mark.parametrize(("failure", "status"), [(KafkaAwayError("timed out"), 503), (RefusedError("too large"), 413)])
def test_what_kafka_does_not_take_is_not_acknowledged(server: Running, failure: Exception, status: int) -> None:
    server.event_log.failure = failure
    got, headers, _ = server.post(BODY)
    assert got == status
    assert ("retry-after" in headers) is (status == 503)


def test_kafka_being_away_is_told_at_once(server: Running) -> None:
    server.event_log.away = True
    status, headers, _ = server.post(BODY)
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert server.event_log.bodies == []


def test_memory_for_bodies_is_bounded_and_given_back() -> None:
    body = BODY + b"x" * 900_000
    with running(budget=2 * MIB) as server:
        server.event_log.gate = threading.Event()
        waiting = [server.connect() for _ in range(2)]
        for connection in waiting:
            connection.sendall(request(body))
        while len(server.event_log.bodies) < 2:
            time.sleep(0.005)
        status, headers, _ = server.post(body)
        assert (status, int(headers["retry-after"]) > 0) == (429, True)
        server.event_log.gate.set()
        assert [read_answer(connection)[0] for connection in waiting] == [202, 202]
        assert server.post(body)[0] == 202
        for connection in waiting:
            connection.close()


def test_a_client_that_hangs_up_gives_its_memory_back() -> None:
    body = BODY + b"x" * 900_000
    with running(budget=1 * MIB) as server:
        for _ in range(5):
            with server.connect() as connection:
                connection.sendall(request(body)[:-10])
        deadline = time.monotonic() + 10
        while (status := server.post(body)[0]) == 429 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert status == 202
        assert len(server.event_log.bodies) == 1


def test_a_silent_client_is_cut_off(server: Running) -> None:
    with server.connect() as silent, server.connect() as half:
        half.sendall(b"POST /batches HTTP/1.1\r\nhost:")
        assert silent.recv(10) == b""
        assert half.recv(10) == b""
    with server.connect() as paused:
        paused.sendall(request(BODY)[:-5])
        assert read_answer(paused)[0] == 408


def test_a_trickling_client_is_cut_off() -> None:
    with running(LEAST_BYTES_PER_SECOND="100000") as server, server.connect() as connection:
        connection.sendall(request(BODY, length=900_000))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                connection.sendall(b"x")
                time.sleep(0.02)
        assert server.event_log.bodies == []
        assert connection.recv(12) in {b"HTTP/1.1 408", b""}


def test_connections_are_bounded() -> None:
    with running(connections=3, IDLE_TIMEOUT_SECONDS="30") as server:
        held = [server.connect() for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert read_answer(connection)[0] == 200
        status, headers, _ = server.post(BODY)
        assert (status, "retry-after" in headers) == (503, True)
        held.pop().close()
        deadline = time.monotonic() + 10
        while (status := server.post(BODY)[0]) == 503 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert status == 202
        for connection in held:
            connection.close()


def test_health_and_metrics_are_answered(server: Running) -> None:
    def get(path: str) -> tuple[int, dict[str, str], bytes]:
        return server.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())

    server.post(BODY)
    assert get("/healthz")[0] == 200
    assert json.loads(get("/readyz")[2])["ready"] is True
    status, headers, body = get("/metrics")
    assert (status, headers["content-type"].startswith("text/plain")) == (200, True)
    assert b'cflight_requests_total{status="202"}' in body


def test_requests_in_work_finish_before_the_server_stops() -> None:
    answers: list[Any] = []
    with running() as server:
        server.event_log.gate = threading.Event()
        connection = server.connect()
        connection.sendall(request(BODY))
        while not server.event_log.bodies:
            time.sleep(0.005)
        opener = threading.Timer(0.3, server.event_log.gate.set)
        opener.start()
    answers.append(read_answer(connection)[0])
    connection.close()
    assert answers == [202]
