"""Reads row messages as runs: in Python, or natively where that is there."""

from __future__ import annotations

import ctypes
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import Consumer, Message, TopicPartition

from services import contracts
from services.cheapest.layout import Quote, cheapest_of
from services.exactly_once import position
from services.messages import failed
from services.native import Native, NativeMessage, NativeRun

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_MOST_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Run:
    """Consecutive rows of one batch, read from one partition, in transform's layout.

    Attributes:
        partition: their partition.
        first: the first one's offset.
        after: the offset after the last one.
        rows: how many they are.
        batch_id: the batch.
        quote: the first cheapest of them.
        expected: the batch's row count, where the first row says so.
    """

    partition: int
    first: int
    after: int
    rows: int
    batch_id: str
    quote: Quote
    expected: int | None


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A message that has to be looked at alone.

    Attributes:
        partition: its partition.
        offset: its offset.
        key: its key.
        value: its value.
        expected: the batch's row count, where it says so.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    expected: int | None


class RowReader(Protocol):
    """Reads rows."""

    def read(self, consumer: Consumer, *, timeout: float) -> list[Run | Odd]:
        """Read some messages.

        Args:
            consumer: reads.
            timeout: how many seconds to wait for messages.
        """
        ...

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Get ready for partitions."""
        ...

    def close(self) -> None:
        """Let go of the consumer."""
        ...


class PythonRowReader:
    """Reads rows in Python.

    Args:
        prefix: the wire format's first bytes for the row schema.
    """

    def __init__(self, *, prefix: bytes) -> None:
        self._prefix = prefix

    def read(self, consumer: Consumer, *, timeout: float) -> list[Run | Odd]:
        """See `RowReader`."""
        return list(self.runs(consumer.consume(_MOST_ROWS, timeout)))

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing is kept of the consumer."""

    def runs(self, messages: list[Message]) -> Iterator[Run | Odd]:
        """Yield messages as runs.

        Args:
            messages: in the order of their offsets in each partition.
        """
        for key, group in itertools.groupby(messages, Message.key):
            rows = list(group)
            run = self._run(key, rows)
            if run is not None:
                yield run
            else:
                yield from (_odd(key, row) for row in rows if not failed(row))

    def _run(self, key: object, rows: list[Message]) -> Run | None:
        if not isinstance(key, bytes) or len(key) != 2 * 16 or rows[0].error() is not None:
            return None
        _, partition, first = position(rows[0])
        _, last_partition, last = position(rows[-1])
        values = [value for row in rows if (value := row.value()) is not None]
        if partition != last_partition or len(values) != len(rows):
            return None
        quote = cheapest_of(values, prefix=self._prefix)
        if quote is None:
            return None
        return Run(
            partition=partition,
            first=first,
            after=last + 1,
            rows=len(rows),
            batch_id=key.decode("latin-1"),
            quote=quote,
            expected=_expected(rows[0]),
        )


class NativeRowReader:
    """Reads rows natively: the partitions' queues are forwarded to one that is read without making Python objects.

    Rebalances and errors stay in the consumer's own queue, which is served between reads.

    Args:
        native: the native code.
        topic: the rows' topic.
        prefix: the wire format's first bytes for the row schema.
    """

    def __init__(self, native: Native, *, topic: str, prefix: bytes) -> None:
        self._native = native
        self._topic = topic.encode()
        self._prefix = prefix
        self._python = PythonRowReader(prefix=prefix)
        self._queue: int | None = None
        self._messages = (ctypes.POINTER(NativeMessage) * _MOST_ROWS)()
        self._runs = (NativeRun * _MOST_ROWS)()

    def read(self, consumer: Consumer, *, timeout: float) -> list[Run | Odd]:
        """See `RowReader`."""
        # What was fetched before its partition's queue was forwarded comes this way; it is older than what the queue
        # holds.
        message = consumer.poll(0 if self._queue is not None else timeout)
        if message is not None:
            return list(self._python.runs([message]))
        if self._queue is None:
            return []
        read = ctypes.c_int()
        count = self._native.rows.cflight_consume(
            self._native.api, self._queue, int(timeout * 1000), _MOST_ROWS, self._prefix,
            contracts.HEADER_BATCH_ROWS.encode(), self._messages, self._runs, read,
        )  # fmt: skip
        return [run for native in self._runs[:count] if (run := self._run(native)) is not None]

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Forward the partitions' queues."""
        client = self._native.handle(consumer)
        if client is None:
            return
        rdkafka = self._native.rdkafka
        if self._queue is None:
            self._queue = rdkafka.rd_kafka_queue_new(client)
        for partition in partitions:
            queue = rdkafka.rd_kafka_queue_get_partition(client, self._topic, partition.partition)
            rdkafka.rd_kafka_queue_forward(queue, self._queue)
            rdkafka.rd_kafka_queue_destroy(queue)

    def close(self) -> None:
        """Let go of the consumer."""
        if self._queue is not None:
            self._native.rdkafka.rd_kafka_queue_destroy(self._queue)
        self._queue = None

    def _run(self, run: NativeRun) -> Run | Odd | None:
        if run.odd:
            return self._odd(run)
        return Run(
            partition=run.partition,
            first=run.first,
            after=run.last + 1,
            rows=run.rows,
            batch_id=bytes(run.key).decode("latin-1"),
            quote=Quote(price=run.price, row_id=bytes(run.row_id).decode("latin-1")),
            expected=None if run.expected < 0 else run.expected,
        )

    def _odd(self, run: NativeRun) -> Odd | None:
        message = run.message.contents
        try:
            if run.error:
                text = self._native.rdkafka.rd_kafka_err2str(run.error).decode()
                log.warning("reading", extra={"partition": run.partition, "cause": text})
                return None
            return Odd(
                partition=run.partition,
                offset=run.first,
                key=_bytes_at(message.key, message.key_length),
                value=_bytes_at(message.payload, message.length),
                expected=None if run.expected < 0 else run.expected,
            )
        finally:
            self._native.rows.cflight_release(self._native.api, run.message)


def _bytes_at(address: int | None, length: int) -> bytes | None:
    return None if address is None else ctypes.string_at(address, length)


def _odd(key: object, message: Message) -> Odd:
    _, partition, offset = position(message)
    value = message.value()
    return Odd(
        partition=partition,
        offset=offset,
        key=key if isinstance(key, bytes) else None,
        value=value if isinstance(value, bytes) else None,
        expected=_expected(message),
    )


def _expected(message: Message) -> int | None:
    for name, value in message.headers() or []:
        if name == contracts.HEADER_BATCH_ROWS and isinstance(value, bytes) and value.isdigit() and len(value) <= 12:
            return int(value)
    return None
