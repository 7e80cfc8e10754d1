"""What cheapest does with rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services import metrics
from services.cheapest.layout import Quote, RowDecoder, encode_cheapest
from services.cheapest.open_batches import OpenBatches, TooManyOpenBatchesError
from services.cheapest.reader import Odd, Run
from services.contracts import wire_prefix
from services.dead_letters import Source, refuse
from services.errors import Reason, RowError
from services.exactly_once import ClientsUnusableError
from services.registry import RegistryAwayError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

    from services.cheapest.reader import RowReader
    from services.cheapest.settings import CheapestSettings
    from services.exactly_once import Poisons, Transaction

SERVICE = "cheapest"
QUEUE_MESSAGES = 10_000
_WAIT_SECONDS = 0.02
_CALL_SECONDS = 30.0


class CheapestWork:
    """Finds the cheapest quote of each batch, for `services.exactly_once.Loop`.

    Args:
        settings: topics.
        reader: reads rows.
        decoder: decodes rows of other layouts.
        cheapest_schema_id: the registry's id of the answer's schema.
    """

    def __init__(
        self, settings: CheapestSettings, *, reader: RowReader, decoder: RowDecoder, cheapest_schema_id: int
    ) -> None:
        self._settings = settings
        self._topic = settings.incoming_topic
        self._reader = reader
        self._decoder = decoder
        self._cheapest_prefix = wire_prefix(cheapest_schema_id)
        self._open: dict[int, OpenBatches] = {}

    def run(self, consumer: Consumer, transaction: Transaction, *, timeout: float, poisons: Poisons) -> None:
        """See `services.exactly_once.Work`."""
        wait = min(timeout, _WAIT_SECONDS) if transaction.spans else timeout
        runs = self._reader.read(consumer, timeout=wait)
        for run in runs:
            if isinstance(run, Run):
                self._add(run, transaction)
            else:
                self._add_odd(run, transaction, poisons=poisons)
        if not runs:
            self._pause(transaction)

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take up what was known of the partitions' open batches when the last offset was committed."""
        for committed in consumer.committed(partitions, _CALL_SECONDS):
            self._open[committed.partition] = OpenBatches(committed.metadata or "", next_offset=committed.offset)
        self._reader.assigned(consumer, partitions)

    def dropped(self, partitions: list[TopicPartition]) -> None:
        """Forget the partitions' open batches."""
        for partition in partitions:
            self._open.pop(partition.partition, None)

    def state(self, topic: str, partition: int) -> str:
        """Return what is known of a partition's open batches."""
        del topic
        try:
            return self._open[partition].state()
        except TooManyOpenBatchesError as error:
            raise ClientsUnusableError(str(error)) from error

    def close(self) -> None:
        """Let go of the clients."""
        self._reader.close()

    def _add(self, run: Run, transaction: Transaction) -> None:
        transaction.take(self._topic, run.partition, first=run.first, after=run.after)
        open_batches = self._open[run.partition]
        open_batches.next_offset = run.after
        answers = open_batches.add(run.batch_id, quote=run.quote, rows=run.rows, expected=run.expected)
        metrics.ROWS.inc(run.rows)
        self._answer(answers, transaction)

    def _add_odd(self, odd: Odd, transaction: Transaction, *, poisons: Poisons) -> None:
        poison = poisons.get((self._topic, odd.partition, odd.offset))
        try:
            if poison is not None:
                raise RowError(poison.reason, poison.what)
            batch_id = _batch_id(odd.key)
            quote = self._decoder.decode(odd.value)
        except RowError as error:
            self._refuse(odd, transaction, error=error)
        except RegistryAwayError as error:
            raise ClientsUnusableError(str(error)) from error
        else:
            run = Run(
                partition=odd.partition,
                first=odd.offset,
                after=odd.offset + 1,
                rows=1,
                batch_id=batch_id,
                quote=quote,
                expected=odd.expected,
            )
            self._add(run, transaction)

    def _pause(self, transaction: Transaction) -> None:
        """Answer for batches whose end nobody tells."""
        for partition, open_batches in self._open.items():
            answers = open_batches.pause()
            if answers:
                # No rows, but what is known of the partition changes with the answers.
                transaction.take(self._topic, partition, first=open_batches.next_offset, after=open_batches.next_offset)
                self._answer(answers, transaction)

    def _answer(self, answers: list[tuple[str, Quote]], transaction: Transaction) -> None:
        for batch_id, quote in answers:
            value = encode_cheapest(prefix=self._cheapest_prefix, batch_id=batch_id, quote=quote)
            transaction.make_room(most=QUEUE_MESSAGES - 1)
            transaction.producer.produce(self._settings.cheapest_topic, value=value, key=batch_id)
            metrics.BATCHES.inc()
            metrics.BYTES_OUT.inc(len(value))

    def _refuse(self, odd: Odd, transaction: Transaction, *, error: RowError) -> None:
        transaction.take(self._topic, odd.partition, first=odd.offset, after=odd.offset + 1)
        self._open[odd.partition].next_offset = odd.offset + 1
        transaction.make_room(most=QUEUE_MESSAGES - 1)
        refuse(
            transaction.producer,
            topic=self._settings.incoming_dlq_topic,
            key=odd.key,
            value=odd.value,
            kind="row",
            source=Source(service=SERVICE, topic=self._topic, partition=odd.partition, offset=odd.offset),
            reason=error.reason,
            what=error.what,
        )


def _batch_id(key: bytes | None) -> str:
    if key is None:
        raise RowError(Reason.NO_KEY, "the row has no key")
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise RowError(Reason.NO_KEY, "the row's key is not UTF-8") from None
