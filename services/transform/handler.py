"""What transform does with one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services import contracts, metrics
from services.dead_letters import Source, headers, refuse
from services.errors import BatchError, Reason
from services.exactly_once import position
from services.transform.enrich import bundle_bytes
from services.transform.gunzip import gunzip
from services.transform.ids import Identity, identify
from services.transform.rows import Reject, Rows, read_rows

if TYPE_CHECKING:
    from confluent_kafka import Message

    from services.exactly_once import Poison, Transaction
    from services.transform.settings import TransformSettings
    from services.transform.writer import RowWriter

SERVICE = "transform"


class TransformHandler:
    """Turns a batch of the event log into a bundle and row messages, or into dead letters.

    Args:
        settings: topics and limits.
        writer: writes the rows.
        queue_messages: how many messages may wait to be sent.
        queue_bytes: how many bytes of bundles may wait to be sent, unless one alone is longer.
    """

    def __init__(
        self, settings: TransformSettings, *, writer: RowWriter, queue_messages: int, queue_bytes: int
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._queue_messages = queue_messages
        self._queue_bytes = queue_bytes
        self._queued_bytes = 0

    def handle(self, message: Message, transaction: Transaction) -> None:
        """See `services.messages.Handler`."""
        try:
            rows = self._read(message.value() or b"")
        except BatchError as error:
            self._refuse(message, transaction, reason=error.reason, what=error.what)
            return
        source = _source(message)
        identity = identify(
            topic=source.topic, partition=source.partition, offset=source.offset, timestamp_ms=message.timestamp()[1]
        )
        for reject in rows.rejects:
            self._refuse_row(reject, transaction, source=source, identity=identity)
        if rows.count:
            self._write(rows, transaction, identity=identity)

    def refuse(self, message: Message, transaction: Transaction, *, poison: Poison) -> None:
        """See `services.messages.Handler`."""
        self._refuse(message, transaction, reason=poison.reason, what=poison.what)

    def _read(self, body: bytes) -> Rows:
        text = gunzip(body, limit=self._settings.max_text_bytes)
        most = self._settings.max_batch_lines
        count = self._writer.count_plain(text)
        rows = Rows(text=text, count=count) if 0 < count <= most else read_rows(text, max_lines=most)
        length = bundle_bytes(rows.text, rows.count)
        limit = self._settings.max_message_bytes - contracts.HEADROOM_BYTES
        if length > limit:
            raise BatchError(
                Reason.BUNDLE_TOO_LONG, f"the bundle of {rows.count} rows has {length} bytes; {limit} are allowed"
            )
        return rows

    def close(self) -> None:
        """See `services.messages.Handler`."""
        self._writer.close()

    def _write(self, rows: Rows, transaction: Transaction, *, identity: Identity) -> None:
        bundle = self._writer.write(rows, transaction, identity=identity)
        self._make_room_for(bundle, transaction)
        transaction.producer.produce(self._settings.payload_topic, value=bundle, key=identity.batch)
        metrics.ROWS.inc(rows.count)
        metrics.BYTES_OUT.inc(len(bundle))

    def _make_room_for(self, bundle: bytes, transaction: Transaction) -> None:
        transaction.make_room(most=self._queue_messages - 1)
        if not len(transaction.producer):
            self._queued_bytes = 0
        self._queued_bytes += len(bundle)
        if self._queued_bytes > self._queue_bytes:
            transaction.make_room(most=0)
            self._queued_bytes = len(bundle)

    def _refuse(self, message: Message, transaction: Transaction, *, reason: Reason, what: str) -> None:
        transaction.make_room(most=0)
        refuse(
            transaction.producer,
            topic=self._settings.event_log_dlq_topic,
            key=message.key(),
            value=message.value(),
            kind="batch",
            source=_source(message),
            reason=reason,
            what=what,
        )

    def _refuse_row(self, reject: Reject, transaction: Transaction, *, source: Source, identity: Identity) -> None:
        transaction.make_room(most=self._queue_messages - 1)
        transaction.producer.produce(
            self._settings.incoming_dlq_topic,
            value=reject.raw,
            key=identity.batch,
            headers=headers(source=source, reason=reject.reason, what=reject.what, line=reject.line),
        )
        metrics.REJECTED.labels(kind="row", reason=reject.reason.value).inc()


def _source(message: Message) -> Source:
    topic, partition, offset = position(message)
    return Source(service=SERVICE, topic=topic, partition=partition, offset=offset)
