"""Writes bodies to the event log and tells when Kafka has acknowledged them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from services import contracts, kafka

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.health import Health
    from services.ingest.settings import IngestSettings

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_PROBE_SECONDS = 2.0


class KafkaAwayError(Exception):
    """Kafka did not acknowledge a body; whether it holds it is not known."""


class RefusedError(Exception):
    """Kafka refused a body, and will again."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a body is in the event log.

    Attributes:
        topic: the topic.
        partition: the partition.
        offset: the offset; None if the broker had the body already when it was sent again, and only said so.
    """

    topic: str
    partition: int
    offset: int | None


def producer_config(settings: IngestSettings) -> kafka.Config:
    """Return the producer's configuration: idempotent, acknowledged by all replicas in sync, no second compression.

    Args:
        settings: the service's settings.
    """
    return kafka.client_config(settings, client_id="ingest") | {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "none",
        "linger.ms": 1,
        "batch.size": 1_000_000,
        "message.max.bytes": settings.max_message_bytes,
        "message.timeout.ms": settings.delivery_timeout_ms,
        # Bodies are bounded by the budget of the application; the queue must not be tighter.
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 2_097_151,
        "partitioner": contracts.PARTITIONER,
    }


class EventLog:
    """The event log, for one event loop.

    Args:
        settings: topic and timeouts.
        health: is told whether Kafka is there.
        on_fatal: called when the producer cannot go on.
    """

    def __init__(self, settings: IngestSettings, *, health: Health, on_fatal: Callable[[], None]) -> None:
        self._topic = settings.event_log_topic
        self._health = health
        self._on_fatal = on_fatal
        self._away = True
        self._stop = threading.Event()
        self._done: deque[tuple[asyncio.Future[Position], KafkaError | None, Position]] = deque()
        self._wake_pending = False
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(producer_config(settings) | {"error_cb": self._on_error})
        self._thread = threading.Thread(target=self._serve, name="event-log", daemon=True)
        self._thread.start()

    @property
    def away(self) -> bool:
        """Whether no broker can be reached."""
        return self._away

    def append(self, body: bytes) -> asyncio.Future[Position]:
        """Write a body.

        Args:
            body: the body.

        Returns:
            A future of its position; it fails with `KafkaAwayError` or `RefusedError`.

        Raises:
            KafkaAwayError: if the queue is full.
            RefusedError: if the body is too long.
        """
        future: asyncio.Future[Position] = self._loop.create_future()

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            position = Position(topic=self._topic, partition=message.partition() or 0, offset=message.offset())
            self._done.append((future, error, position))
            # One wake-up of the event loop serves all that arrives until it runs.
            if not self._wake_pending:
                self._wake_pending = True
                self._loop.call_soon_threadsafe(self._resolve)

        try:
            self._producer.produce(self._topic, value=body, on_delivery=on_delivery)
        except BufferError as error:
            raise KafkaAwayError("the queue to Kafka is full") from error
        except KafkaException as error:
            raise _classified(error.args[0]) from error
        return future

    async def close(self) -> None:
        """Wait for what is under way, then stop."""
        await asyncio.to_thread(self._producer.flush, 5)
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _resolve(self) -> None:
        self._wake_pending = False
        while self._done:
            future, error, position = self._done.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(position)
            else:
                future.set_exception(_classified(error))

    def _serve(self) -> None:
        self._health.missing("kafka", "connecting")
        while not self._stop.is_set():
            self._health.turn()
            if self._away:
                self._probe()
            self._producer.poll(_POLL_SECONDS)

    def _probe(self) -> None:
        try:
            topics = self._producer.list_topics(self._topic, _PROBE_SECONDS).topics
        except KafkaException as error:
            self._health.missing("kafka", str(error.args[0].str()))
            return
        error = topics[self._topic].error
        if error is not None:
            self._health.missing("kafka", f"{self._topic}: {error.str()}")
            return
        self._away = False
        self._health.present("kafka")

    def _on_error(self, error: KafkaError) -> None:
        kafka.log_error(error)
        if error.fatal():
            self._on_fatal()
        if error.name() == "_ALL_BROKERS_DOWN":
            self._away = True
            self._health.missing("kafka", error.str())


def _classified(error: KafkaError) -> Exception:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return RefusedError(error.str())
    return KafkaAwayError(error.str())
