"""What cheapest does with rows."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Message, TopicPartition

from services import contracts, metrics
from services.cheapest.layout import Quote, RowDecoder, cheapest_of, encode_cheapest
from services.cheapest.open_batches import OpenBatches, TooManyOpenBatchesError
from services.contracts import wire_prefix
from services.dead_letters import Source, refuse
from services.errors import Reason, RowError
from services.exactly_once import ClientsUnusableError, position
from services.messages import failed
from services.registry import RegistryAwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from services.cheapest.settings import CheapestSettings
    from services.exactly_once import Poisons, Transaction

log = logging.getLogger(__name__)

SERVICE = "cheapest"
_MOST_ROWS = 4096
_WAIT_SECONDS = 0.02
_CALL_SECONDS = 30.0
QUEUE_MESSAGES = 10_000


@dataclass(frozen=True, kw_only=True)
class Run:
    """Consecutive rows of one batch, read from one partition.

    Attributes:
        topic: their topic.
        partition: their partition.
        first: the first one's offset.
        after: the offset after the last one.
        rows: how many they are.
        batch_id: the batch.
        quote: the first cheapest of them.
        expected: the batch's row count, where the first row says so.
    """

    topic: str
    partition: int
    first: int
    after: int
    rows: int
    batch_id: str
    quote: Quote
    expected: int | None


class CheapestWork:
    """Finds the cheapest quote of each batch, for `services.exactly_once.Loop`.

    Args:
        settings: topics.
        decoder: decodes rows of other layouts.
        row_schema_id: the registry's id of the row schema.
        cheapest_schema_id: the registry's id of the answer's schema.
    """

    def __init__(
        self, settings: CheapestSettings, *, decoder: RowDecoder, row_schema_id: int, cheapest_schema_id: int
    ) -> None:
        self._settings = settings
        self._decoder = decoder
        self._row_prefix = wire_prefix(row_schema_id)
        self._cheapest_prefix = wire_prefix(cheapest_schema_id)
        self._open: dict[tuple[str, int], OpenBatches] = {}

    def run(self, consumer: Consumer, transaction: Transaction, *, timeout: float, poisons: Poisons) -> None:
        """See `services.exactly_once.Work`."""
        messages = consumer.consume(_MOST_ROWS, min(timeout, _WAIT_SECONDS) if transaction.spans else timeout)
        for run in self.runs(messages, transaction, poisons=poisons):
            self.add(run, transaction)
        if not messages:
            self.pause(transaction)

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take up what was known of the partitions' open batches when the last offset was committed."""
        for committed in consumer.committed(partitions, _CALL_SECONDS):
            self._open[committed.topic, committed.partition] = OpenBatches(
                committed.metadata or "", next_offset=committed.offset
            )

    def state(self, topic: str, partition: int) -> str:
        """Return what is known of a partition's open batches."""
        try:
            return self._open[topic, partition].state()
        except TooManyOpenBatchesError as error:
            raise ClientsUnusableError(str(error)) from error

    def dropped(self, partitions: list[TopicPartition]) -> None:
        """Forget the partitions' open batches."""
        for partition in partitions:
            self._open.pop((partition.topic, partition.partition), None)

    def add(self, run: Run, transaction: Transaction) -> None:
        """Add a run of rows, and write the answers that are final then.

        Args:
            run: the rows.
            transaction: writes.
        """
        transaction.take(run.topic, run.partition, first=run.first, after=run.after)
        open_batches = self._open[run.topic, run.partition]
        open_batches.next_offset = run.after
        answers = open_batches.add(run.batch_id, quote=run.quote, rows=run.rows, expected=run.expected)
        metrics.ROWS.inc(run.rows)
        self._answer(answers, transaction)

    def pause(self, transaction: Transaction) -> None:
        """Write the answers of batches whose end nobody tells.

        Args:
            transaction: writes.
        """
        for (topic, partition), open_batches in self._open.items():
            answers = open_batches.pause()
            if answers:
                # No rows, but what is known of the partition changes with the answers.
                transaction.take(topic, partition, first=open_batches.next_offset, after=open_batches.next_offset)
                self._answer(answers, transaction)

    def runs(self, messages: Iterable[Message], transaction: Transaction, *, poisons: Poisons) -> Iterator[Run]:
        """Yield consumed messages as runs of rows; what is no row is dead-lettered.

        Args:
            messages: in the order of their offsets in each partition.
            transaction: writes the dead letters.
            poisons: messages to dead-letter.
        """
        for key, group in itertools.groupby(messages, Message.key):
            rows = list(group)
            run = None if poisons else self._fast_run(key, rows)
            if run is not None:
                yield run
                continue
            for message in rows:
                if not failed(message):
                    yield from self._slow_run(key, message, transaction, poisons=poisons)

    def _fast_run(self, key: bytes | str | None, rows: list[Message]) -> Run | None:
        if not isinstance(key, bytes) or rows[0].error() is not None:
            return None
        topic, partition, first = position(rows[0])
        _, last_partition, last = position(rows[-1])
        values = [row.value() for row in rows]
        if partition != last_partition or None in values:
            return None
        quote = cheapest_of(values, prefix=self._row_prefix)
        if quote is None:
            return None
        return Run(
            topic=topic,
            partition=partition,
            first=first,
            after=last + 1,
            rows=len(rows),
            batch_id=key.decode(),
            quote=quote,
            expected=expected_rows(rows[0]),
        )

    def _slow_run(self, key: object, message: Message, transaction: Transaction, *, poisons: Poisons) -> Iterator[Run]:
        topic, partition, offset = position(message)
        try:
            poison = poisons.get((topic, partition, offset))
            if poison is not None:
                raise RowError(poison.reason, poison.what)
            batch_id = _batch_id(key)
            quote = self._decoder.decode(message.value())
        except RowError as error:
            self._refuse(message, transaction, error=error)
        except RegistryAwayError as error:
            raise ClientsUnusableError(str(error)) from error
        else:
            yield Run(
                topic=topic,
                partition=partition,
                first=offset,
                after=offset + 1,
                rows=1,
                batch_id=batch_id,
                quote=quote,
                expected=expected_rows(message),
            )

    def _answer(self, answers: list[tuple[str, Quote]], transaction: Transaction) -> None:
        for batch_id, quote in answers:
            value = encode_cheapest(prefix=self._cheapest_prefix, batch_id=batch_id, quote=quote)
            transaction.make_room(most=QUEUE_MESSAGES - 1)
            transaction.producer.produce(self._settings.cheapest_topic, value=value, key=batch_id)
            metrics.BATCHES.inc()
            metrics.BYTES_OUT.inc(len(value))

    def _refuse(self, message: Message, transaction: Transaction, *, error: RowError) -> None:
        topic, partition, offset = position(message)
        transaction.take(topic, partition, first=offset, after=offset + 1)
        self._open[topic, partition].next_offset = offset + 1
        transaction.make_room(most=QUEUE_MESSAGES - 1)
        refuse(
            transaction.producer,
            topic=self._settings.incoming_dlq_topic,
            key=message.key(),
            value=message.value(),
            kind="row",
            source=Source(service=SERVICE, topic=topic, partition=partition, offset=offset),
            reason=error.reason,
            what=error.what,
        )


def expected_rows(message: Message) -> int | None:
    """Return the row count that a batch's first row carries in its header, or None.

    Args:
        message: a row.
    """
    for name, value in message.headers() or []:
        if name == contracts.HEADER_BATCH_ROWS and isinstance(value, bytes) and value.isdigit():
            return int(value)
    return None


def _batch_id(key: object) -> str:
    if not isinstance(key, bytes):
        raise RowError(Reason.NO_KEY, "the row has no key")
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise RowError(Reason.NO_KEY, "the row's key is not UTF-8") from None
