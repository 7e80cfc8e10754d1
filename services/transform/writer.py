"""Writes the rows of a batch, and makes its bundle: in Python, or natively where that is there."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Protocol

from services import contracts
from services.contracts import wire_prefix
from services.exactly_once import ClientsUnusableError
from services.native import ROW_BYTES, Native, NativeMessage
from services.transform.enrich import Enricher, avro_tail, bundle_bytes, bundle_tail

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from services.exactly_once import Transaction
    from services.transform.ids import Identity
    from services.transform.rows import Rows


class RowWriter(Protocol):
    """Writes rows."""

    def count_plain(self, text: bytes) -> int:
        """Return how many rows a text has if all its lines are canonical rows, else a negative number.

        Args:
            text: the text of a batch.
        """
        ...

    def write(self, rows: Rows, transaction: Transaction, *, identity: Identity) -> bytes:
        """Produce a message for each row, and return the bundle.

        Args:
            rows: at least one good row.
            transaction: writes.
            identity: the batch's.
        """
        ...

    def close(self) -> None:
        """Let go of the producer."""
        ...


def batch_rows_header(count: int) -> list[tuple[str, str | bytes | None]]:
    """Return the header of a batch's first row: whoever reads row by row learns there when the batch is complete.

    Args:
        count: the batch's rows.
    """
    return [(contracts.HEADER_BATCH_ROWS, str(count).encode())]


class PythonRowWriter:
    """Writes rows in Python.

    Args:
        topic: the rows' topic.
        schema_id: the registry's id of their schema.
        queue_messages: how many messages may wait to be sent.
    """

    def __init__(self, *, topic: str, schema_id: int, queue_messages: int) -> None:
        self._topic = topic
        self._schema_id = schema_id
        self._queue_messages = queue_messages

    def count_plain(self, text: bytes) -> int:
        """Leave it to `services.transform.rows`."""
        del text
        return -1

    def write(self, rows: Rows, transaction: Transaction, *, identity: Identity) -> bytes:
        """See `RowWriter`."""
        key = identity.batch.encode()
        produce = transaction.producer.produce
        topic = self._topic
        lines: list[bytes] = []
        for bundle_lines, values in Enricher(
            rows.text, count=rows.count, identity=identity, schema_id=self._schema_id
        ).blocks():
            transaction.make_room(most=max(self._queue_messages - len(values), 0))
            rest = iter(values)
            if not lines:
                produce(topic, value=next(rest), key=key, headers=batch_rows_header(rows.count))
            for value in rest:
                produce(topic, value, key)
            lines.append(bundle_lines)
        return b"".join(lines)

    def close(self) -> None:
        """Nothing is kept of the producer."""


class NativeRowWriter:
    """Writes rows natively.

    Args:
        native: the native code.
        topic: the rows' topic.
        schema_id: the registry's id of their schema.
        queue_messages: how many messages may wait to be sent.
    """

    _BLOCK_ROWS = 2048

    def __init__(self, native: Native, *, topic: str, schema_id: int, queue_messages: int) -> None:
        self._native = native
        self._topic = topic
        self._queue_messages = queue_messages
        self._prefix = wire_prefix(schema_id)
        self._values = (ctypes.c_uint8 * (self._BLOCK_ROWS * ROW_BYTES))()
        self._messages = (NativeMessage * self._BLOCK_ROWS)()
        self._producer: Producer | None = None
        self._topic_handle: int | None = None

    def count_plain(self, text: bytes) -> int:
        """See `RowWriter`."""
        return self._native.rows.cflight_count_plain(text, len(text))

    def write(self, rows: Rows, transaction: Transaction, *, identity: Identity) -> bytes:
        """See `RowWriter`."""
        native = self._native.rows
        topic = self._handle(transaction.producer)
        key = identity.batch.encode()
        ids = identity.row_ids(rows.count).encode()
        row_tail, line_tail = avro_tail(identity), bundle_tail(identity)
        # A new bytes object may be filled by its maker: it saves a copy of the bundle.
        bundle = _new_bytes(bundle_bytes(rows.text, rows.count))
        text_at, ids_at, bundle_at = _address(rows.text), _address(ids), _address(bundle)
        left = len(rows.text)
        bundle_used, count = ctypes.c_size_t(), ctypes.c_int64()
        written = 0
        while left:
            used = native.cflight_enrich(
                text_at, left, self._BLOCK_ROWS, ids_at, self._prefix, row_tail, line_tail, len(line_tail),
                bundle_at, bundle_used, self._values, count,
            )  # fmt: skip
            self._produce(topic, count.value, transaction, key=key, first_of=0 if written else rows.count)
            written += count.value
            text_at, left = text_at + used, left - used
            ids_at, bundle_at = ids_at + 32 * count.value, bundle_at + bundle_used.value
        return bundle

    def close(self) -> None:
        """Let go of the producer."""
        if self._topic_handle is not None:
            self._native.rdkafka.rd_kafka_topic_destroy(self._topic_handle)
        self._topic_handle = self._producer = None

    def _produce(self, topic: int, count: int, transaction: Transaction, *, key: bytes, first_of: int) -> None:
        transaction.make_room(most=max(self._queue_messages - count, 0))
        at, left = ctypes.addressof(self._values), count
        if first_of:
            first = bytes(self._values[:ROW_BYTES])
            transaction.producer.produce(self._topic, value=first, key=key, headers=batch_rows_header(first_of))
            at, left = at + ROW_BYTES, left - 1
        if not left:
            return
        taken = self._native.rows.cflight_produce(self._native.api, topic, at, left, key, self._messages)
        if taken != left:
            # There is room for all: what is refused is refused for good. Those after it may be in, so nothing can be
            # put right.
            raise ClientsUnusableError(f"{left - taken} of {left} rows cannot be produced")

    def _handle(self, producer: Producer) -> int:
        if self._topic_handle is None or self._producer is not producer:
            self.close()
            client = self._native.handle(producer)
            self._topic_handle = self._native.rdkafka.rd_kafka_topic_new(client, self._topic.encode(), None)
            self._producer = producer
        if self._topic_handle is None:
            raise ClientsUnusableError("librdkafka gives no topic")
        return self._topic_handle


def _new_bytes(length: int) -> bytes:
    make = ctypes.pythonapi.PyBytes_FromStringAndSize
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t)
    return make(None, length)


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
