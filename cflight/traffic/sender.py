"""Sends batches to ingest: concurrently, again where that helps, never more often than the server asks for."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from cflight.errors import CflightError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cflight.traffic.batch import Batch

_ANSWER_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# The server's own troubles, which pass; every other refusal would be the same again.
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class SendError(CflightError):
    """Nothing can be sent."""


@dataclass(frozen=True)
class Position:
    """Where an accepted batch lies in the event log.

    Attributes:
        topic: the event log's topic.
        partition: the partition.
        offset: the offset; None where Kafka had the batch already when ingest sent it again, and did not say where.
    """

    topic: str
    partition: int
    offset: int | None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A batch that was answered with 202: Kafka has it.

    Attributes:
        batch: what was sent.
        position: where it lies.
        sent_at: when the request that was accepted began, in seconds since the epoch.
        accepted_at: when its answer came.
        attempts: requests that it took.
    """

    batch: Batch
    position: Position
    sent_at: float
    accepted_at: float
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A batch that was not accepted.

    Attributes:
        batch: what was sent.
        status: the last answer's status; None if there was no answer.
        why: what the server, or the connection, said.
        attempts: requests that were made.
    """

    batch: Batch
    status: int | None
    why: str
    attempts: int


@dataclass(frozen=True)
class _Retry:
    why: str
    status: int | None
    after: float | None


class Sender:
    """Posts batches to one stack's ingest.

    A request without an answer is made again, so a batch may end up twice in the event log when ingest dies between
    Kafka's acknowledgement and its answer: what is exactly once begins at the event log.

    Args:
        url: where to post.
        token: bearer token, if ingest asks for one.
        concurrency: requests at once.
        give_up_seconds: how long one batch is tried.
        rate: batches a second at most; None for as fast as they are accepted.

    Raises:
        SendError: an argument makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        concurrency: int = 8,
        give_up_seconds: float = 60.0,
        rate: float | None = None,
    ) -> None:
        if concurrency < 1 or (rate is not None and rate <= 0):
            raise SendError("concurrency and rate must be positive")
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise SendError(f"is no URL: {error}", where=url) from None
        if self._url.scheme not in {"http", "https"} or not self._url.host:
            raise SendError("is no URL to post to", where=url, remedy="It begins with http:// or https://.")
        self._headers = {"content-type": "application/gzip"}
        if token:
            if not token.isascii() or not token.isprintable():
                raise SendError("has characters that no HTTP header can hold", where="the token")
            self._headers["authorization"] = f"Bearer {token}"
        self._concurrency = concurrency
        self._give_up_seconds = give_up_seconds
        self._rate = rate

    def send(
        self,
        batches: Iterable[Batch],
        *,
        on_result: Callable[[Accepted | Refused], None] | None = None,
        on_retry: Callable[[Batch, str], None] | None = None,
    ) -> list[Accepted | Refused]:
        """Send batches and wait for all answers.

        Args:
            batches: what to send; taken one by one as there is room.
            on_result: told every batch's end, in the order of the answers.
            on_retry: told every attempt that will be made again, and why.

        Returns:
            Every batch's end, in the order of the answers.
        """
        results: list[Accepted | Refused] = []

        def end(result: Accepted | Refused) -> None:
            results.append(result)
            if on_result:
                on_result(result)

        try:
            asyncio.run(self._send(batches, end=end, on_retry=on_retry or (lambda _batch, _why: None)))
        except BaseExceptionGroup as group:  # what `batches` raised, or a callback
            raise group.exceptions[0] from None
        return results

    async def _send(
        self,
        batches: Iterable[Batch],
        *,
        end: Callable[[Accepted | Refused], None],
        on_retry: Callable[[Batch, str], None],
    ) -> None:
        source = iter(batches)
        start = time.monotonic()
        taken = 0

        async def worker(client: httpx.AsyncClient) -> None:
            nonlocal taken
            for batch in source:
                number, taken = taken, taken + 1
                if self._rate:
                    await asyncio.sleep(max(start + number / self._rate - time.monotonic(), 0))
                end(await self._post(client, batch, on_retry=on_retry))

        limits = httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
        # No proxy from the environment: a local stack is on the loopback interface.
        transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=True)
        async with (
            httpx.AsyncClient(transport=transport, timeout=_ANSWER_SECONDS, headers=self._headers) as client,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(self._concurrency):
                workers.create_task(worker(client))

    async def _post(
        self, client: httpx.AsyncClient, batch: Batch, *, on_retry: Callable[[Batch, str], None]
    ) -> Accepted | Refused:
        deadline = time.monotonic() + self._give_up_seconds
        attempts = 0
        while True:
            attempts += 1
            outcome = await self._attempt(client, batch, attempts=attempts)
            if not isinstance(outcome, _Retry):
                return outcome
            pause = outcome.after
            if pause is None:
                most = min(_FIRST_PAUSE_SECONDS * 2 ** min(attempts, 10), _LONGEST_PAUSE_SECONDS)
                pause = random.uniform(most / 2, most)  # noqa: S311 - spreads clients, hides nothing
            if time.monotonic() + pause > deadline:
                why = f"given up after {self._give_up_seconds:.0f} s; last answer: {outcome.why}"
                return Refused(batch=batch, status=outcome.status, why=why, attempts=attempts)
            on_retry(batch, outcome.why)
            await asyncio.sleep(pause)

    async def _attempt(self, client: httpx.AsyncClient, batch: Batch, *, attempts: int) -> Accepted | Refused | _Retry:
        sent_at = time.time()
        try:
            answer = await client.post(self._url, content=batch.body)
        except httpx.TransportError as error:
            return _Retry(why=str(error) or type(error).__name__, status=None, after=None)
        if answer.status_code == HTTPStatus.ACCEPTED:
            try:
                place = answer.json()
                position = Position(place["topic"], place["partition"], place["offset"])
            except (ValueError, KeyError, TypeError):
                why = f"status 202, but no position: {answer.text[:200]!r}"
                return Refused(batch=batch, status=answer.status_code, why=why, attempts=attempts)
            return Accepted(batch=batch, position=position, sent_at=sent_at, accepted_at=time.time(), attempts=attempts)
        why = f"status {answer.status_code}: {_reason(answer)}"
        if answer.status_code in _PASSING:
            return _Retry(why=why, status=answer.status_code, after=_retry_after(answer.headers.get("retry-after")))
        return Refused(batch=batch, status=answer.status_code, why=why, attempts=attempts)


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200].strip() or answer.reason_phrase


def _retry_after(value: str | None) -> float | None:
    # RFC 9110, 10.2.3: seconds, or a date.
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(moment.timestamp() - time.time(), 0.0)
