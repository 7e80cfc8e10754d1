"""The ASGI application: `POST /batches`, and the health pages.

| status | when |
|---|---|
| 202 | Kafka has acknowledged the body; the answer says where: topic, partition, offset (null where Kafka cannot say) |
| 400 | the body is empty, or the request is no HTTP |
| 401 | a token is configured and the request has another or none |
| 404, 405 | another path or method |
| 408 | the client is too slow |
| 411 | neither a length nor chunks |
| 413 | the body is longer than allowed; it is not read whole |
| 415 | the body is not gzip |
| 429 | the memory for bodies is used up; Retry-After says when to try again |
| 503 | Kafka is away or did not acknowledge in time; Retry-After says when to try again |
"""

from __future__ import annotations

import asyncio
import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from services import contracts, metrics
from services.ingest.event_log import KafkaAwayError, Position, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.health import Health
    from services.ingest.event_log import EventLog
    from services.ingest.settings import IngestSettings

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

_GZIP_MAGIC = b"\x1f\x8b"
_RETRY_AFTER_SECONDS = 2
# After a refusal the rest of the body is thrown away for a moment, so that the client gets to read the answer before
# the connection breaks under what it still sends.
_DRAIN_SECONDS = 1.0
_DRAIN_BYTES = 1024 * 1024
_HEALTH_PAGES = frozenset({"/healthz", "/readyz", "/metrics"})


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is answered with an error.

    Args:
        status: the answer's status.
        why: what the answer says.
        headers: the answer's further headers.
    """

    def __init__(self, status: HTTPStatus, why: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers or {}


class _GoneError(Exception):
    """The client hung up."""


class Budget:
    """The memory for bodies that are being received or not yet acknowledged.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def take(self, count: int) -> None:
        """Take some.

        Args:
            count: bytes.

        Raises:
            Refusal: if there is not so much left.
        """
        if self._used + count > self._limit:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too much at once", headers=_retry_after())
        self._used += count
        metrics.IN_FLIGHT_BYTES.set(self._used)

    def give(self, count: int) -> None:
        """Give some back.

        Args:
            count: bytes.
        """
        self._used -= count
        metrics.IN_FLIGHT_BYTES.set(self._used)


class Application:
    """The ASGI application.

    Args:
        settings: limits and token.
        health: answers the health pages.
        event_log: takes the bodies; None until the event loop runs.
        budget: bounds the memory of bodies.
    """

    def __init__(self, settings: IngestSettings, *, health: Health, budget: Budget) -> None:
        self._settings = settings
        self._health = health
        self._budget = budget
        self._longest = settings.max_message_bytes - contracts.HEADROOM_BYTES
        token = settings.ingest_token
        self._authorization = f"Bearer {token.get_secret_value()}".encode() if token else None
        self.event_log: EventLog | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path in _HEALTH_PAGES:
            status, content_type, body = self._health.answer(path)
            await _answer(send, status, body, headers={"content-type": content_type})
            return
        try:
            position = await self._post(scope, receive)
        except _GoneError:
            return
        except Refusal as refusal:
            status = refusal.status
            await _refuse(receive, send, refusal)
        else:
            status = HTTPStatus.ACCEPTED
            content = {"topic": position.topic, "partition": position.partition, "offset": position.offset}
            await _answer(send, status, json.dumps(content).encode() + b"\n", headers={})
        metrics.REQUESTS.labels(status=str(status.value)).inc()

    async def _post(self, scope: dict[str, Any], receive: Receive) -> Position:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = self._check_head(scope, headers)
        event_log = self.event_log
        if event_log is None or event_log.away:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Kafka is away", headers=_retry_after())
        reserved = length or 0
        self._budget.take(reserved)
        chunks: list[bytes] = []
        try:
            received = 0
            async for chunk in self._chunks(receive):
                if not received:
                    _check_magic(chunk)
                received += len(chunk)
                if received > self._longest:
                    raise self._too_long()
                if received > reserved:
                    self._budget.take(received - reserved)
                    reserved = received
                chunks.append(chunk)
                del chunk
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            _check_whole(body)
            metrics.BYTES_IN.inc(len(body))
            acknowledged = event_log.append(body)
            del body  # librdkafka has a copy of its own
            return await acknowledged
        except KafkaAwayError as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"Kafka: {error}", headers=_retry_after()) from error
        except RefusedError as error:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Kafka: {error}") from error
        finally:
            self._budget.give(reserved)

    def _check_head(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> int | None:
        """Return the body's length, or None if it comes in chunks."""
        if scope["path"] != "/batches":
            raise Refusal(HTTPStatus.NOT_FOUND, "batches are taken at /batches")
        if scope["method"] != "POST":
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "batches are taken by POST", headers={"allow": "POST"})
        if self._authorization is not None and not hmac.compare_digest(
            headers.get(b"authorization", b""), self._authorization
        ):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED, "the token is missing or wrong", headers={"www-authenticate": "Bearer"}
            )
        declared = headers.get(b"content-length")
        if declared is None:
            if b"transfer-encoding" not in headers:
                raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request has neither Content-Length nor chunks")
            return None
        length = int(declared)
        if length > self._longest:
            raise self._too_long()
        return length

    def _too_long(self) -> Refusal:
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {self._longest} bytes")

    async def _chunks(self, receive: Receive) -> AsyncIterator[bytes]:
        """Yield the body's chunks, as fast as asked of clients."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        received = 0
        more = True
        while more:
            slowest = started + self._settings.idle_timeout_seconds + received / self._settings.least_bytes_per_second
            deadline = min(slowest, loop.time() + self._settings.idle_timeout_seconds)
            try:
                async with asyncio.timeout_at(deadline):
                    event = await receive()
            except TimeoutError:
                raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly") from None
            if event["type"] == "http.disconnect":
                raise _GoneError
            chunk: bytes = event["body"]
            more = event["more_body"]
            received += len(chunk)
            if chunk:
                yield chunk


def _check_magic(chunk: bytes) -> None:
    if not chunk.startswith(_GZIP_MAGIC[: len(chunk)]):
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is not gzip")


def _check_whole(body: bytes) -> None:
    if not body:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body is empty")
    if not body.startswith(_GZIP_MAGIC):
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is not gzip")


def _retry_after() -> dict[str, str]:
    return {"retry-after": str(_RETRY_AFTER_SECONDS)}


async def _answer(send: Send, status: HTTPStatus, body: bytes, *, headers: dict[str, str], more: bool = False) -> None:
    fields = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status.value, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _refuse(receive: Receive, send: Send, refusal: Refusal) -> None:
    """Answer, then read on for a moment: closing at once could destroy the answer on its way."""
    body = json.dumps({"error": refusal.why}).encode() + b"\n"
    await _answer(send, refusal.status, body, headers={**refusal.headers, "connection": "close"}, more=True)
    if refusal.status != HTTPStatus.REQUEST_TIMEOUT:
        await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                event = await receive()
                if event["type"] == "http.disconnect" or not event["more_body"]:
                    return
                left -= len(event["body"])
    except TimeoutError:
        return
