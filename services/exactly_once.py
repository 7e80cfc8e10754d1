"""The consume-process-produce loop, exactly once.

One transaction holds what many messages led to and the offsets behind them; readers that read committed see all of it
or nothing. Fencing is that of KIP-447: the offsets go with the consumer group's metadata, so an instance that lost its
partitions cannot commit for them, and every instance has a transactional id of its own.

What can happen, and what follows:

- partitions are taken away: what was processed is committed first; if they are lost already, it is aborted;
- an error that a transaction does not survive: it is aborted, and the messages are read again;
- an error that the producer does not survive (fenced, or its transaction timed out): clients are made anew;
- all brokers are lost: clients are made anew, since librdkafka 2.16 keeps asking the coordinator's old connection;
- a call of librdkafka that has a time-out does not return for long after it: the process ends, to be started again;
- a message that the service cannot process: the transaction is aborted, the message is dead-lettered when it comes
again;
- a record that the broker refuses: messages are committed one by one until the one is found; that is dead-lettered.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from services import kafka, metrics
from services.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from services.health import Health
    from services.kafka import Config

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5
_BACKOFF_FIRST_SECONDS = 0.2
_BACKOFF_LAST_SECONDS = 10.0
_CALL_SECONDS = 30.0
_HUNG_SECONDS = 12.0  # twice what a call is allowed
_REPORT_SECONDS = 2.0
# Kafka's answers that concern one record and not the connection.
_REFUSALS = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD})


def instance_name(*, service: str, instance_id: str | None) -> str:
    """Return this instance's transactional id: the given one, or one that no other instance has.

    Args:
        service: the service's name.
        instance_id: the name that the settings give, if any.
    """
    return (
        f"{service}-{instance_id}"
        if instance_id
        else f"{service}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    )


def backoff(attempt: int) -> float:
    """Return how many seconds to wait after a failed attempt: growing, bounded, and different for each instance.

    Args:
        attempt: how many failed before, from 0.
    """
    longest = min(_BACKOFF_FIRST_SECONDS * 2 ** min(attempt, 20), _BACKOFF_LAST_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, protects nothing


@dataclass(kw_only=True)
class Span:
    """What a transaction took of a partition.

    Attributes:
        first: the offset of its first message.
        next: the offset after its last.
    """

    first: int
    next: int


@dataclass(frozen=True, kw_only=True)
class Poison:
    """Why a message cannot be processed.

    Attributes:
        reason: one of few.
        what: the same for a person.
    """

    reason: Reason
    what: str


Poisons = dict[tuple[str, int, int], Poison]
"""Messages that cannot be processed, by topic, partition and offset."""


class ClientsUnusableError(Exception):
    """The clients cannot go on; new ones may."""


class UnprocessableError(Exception):
    """A service failed at a message: a fault of its own, or a message that nobody foresaw.

    Args:
        message: the message.
        cause: what happened.
    """

    def __init__(self, message: Message, cause: Exception) -> None:
        self.position = position(message)
        super().__init__(f"{self.position}: {cause!r}")


def position(message: Message) -> tuple[str, int, int]:
    """Return a consumed message's topic, partition and offset."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise ClientsUnusableError("a message without a position")
    return topic, partition, offset


class Transaction:
    """What the open transaction has taken so far, and the means to write.

    Attributes:
        producer: writes the transaction's records.
        spans: what it took of each partition.
        began: when it took its first message, on the monotonic clock.
    """

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.spans: dict[tuple[str, int], Span] = {}
        self.began = 0.0

    def take(self, topic: str, partition: int, *, first: int, after: int) -> None:
        """Take messages into the transaction, before anything is written that follows from them.

        Args:
            topic: their topic.
            partition: their partition.
            first: the first one's offset.
            after: the offset after the last one.
        """
        if not self.spans:
            self.began = time.monotonic()
        span = self.spans.get((topic, partition))
        if span is None:
            self.spans[topic, partition] = Span(first=first, next=after)
        else:
            span.next = after

    def make_room(self, *, most: int) -> None:
        """Wait until few messages wait to be sent: the queue stays short, and refuses no record for want of room.

        Args:
            most: how many may wait.

        Raises:
            ClientsUnusableError: if they do not get sent.
        """
        if len(self.producer) <= most:
            return
        deadline = time.monotonic() + _CALL_SECONDS
        while len(self.producer) > most:
            if time.monotonic() > deadline:
                raise ClientsUnusableError("the producer's queue stays full")
            # flush() does not wait for linger, as poll() would.
            self.producer.flush(0.002)


class Work(Protocol):
    """What a service does with messages."""

    def run(self, consumer: Consumer, transaction: Transaction, *, timeout: float, poisons: Poisons) -> None:
        """Read some messages, take them into the transaction, and write what follows from them.

        Args:
            consumer: reads.
            transaction: writes, and is told what was read.
            timeout: how many seconds to wait for a message.
            poisons: messages to dead-letter instead.

        Raises:
            UnprocessableError: if a message cannot be processed.
        """
        ...

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Get ready for partitions, from where the last commit left off.

        Args:
            consumer: reads them.
            partitions: which.
        """
        ...

    def close(self) -> None:
        """Let go of the clients: they are about to end."""
        ...

    def state(self, topic: str, partition: int) -> str:
        """Return what must be known to go on in a partition, as text; it travels as the committed offset's metadata.

        Args:
            topic: the partition's topic.
            partition: the partition.

        Raises:
            ClientsUnusableError: if it is too long for that.
        """
        ...

    def dropped(self, partitions: list[TopicPartition]) -> None:
        """Forget partitions: they are gone, or will be read again from where the last commit left off.

        Args:
            partitions: which.
        """
        ...


@dataclass(kw_only=True)
class _State:
    """What outlives a pair of clients."""

    stop: threading.Event = field(default_factory=threading.Event)
    refusal: KafkaError | None = None
    poisons: Poisons = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]
    call_began: float | None = None
    one_by_one: int = 0


class Loop:
    """Runs a service's work until it is told to stop.

    Args:
        work: makes the service's work; called again when clients are made anew.
        topic: the topic to read.
        consumer: the consumer's configuration.
        producer: the producer's configuration.
        transaction_seconds: about how long a transaction collects.
        health: is told how it goes.
    """

    def __init__(
        self,
        *,
        work: Callable[[], Work],
        topic: str,
        consumer: Config,
        producer: Config,
        transaction_seconds: float,
        health: Health,
    ) -> None:
        self._make_work = work
        self._topic = topic
        self._consumer_config = consumer
        self._producer_config = producer
        self._transaction_seconds = transaction_seconds
        self._health = health
        self._state = _State()

    def stop(self) -> None:
        """Stop after the transaction in work."""
        self._state.stop.set()

    def run(self) -> None:
        """Run until `stop`."""
        threading.Thread(target=self._watch_calls, name="watchdog", daemon=True).start()
        attempt = 0
        while not self._state.stop.is_set():
            started = time.monotonic()
            try:
                self._run_clients()
            except (KafkaException, ClientsUnusableError) as error:
                attempt = 0 if time.monotonic() - started > 60 else attempt + 1
                self._health.missing("kafka", str(error))
                log.warning("starting over with new clients", extra={"cause": str(error)})
                self._state.stop.wait(backoff(attempt))

    def _watch_calls(self) -> None:
        while not self._state.stop.wait(1):
            began = self._state.call_began
            if began is not None and time.monotonic() - began > _HUNG_SECONDS:
                log.critical("a call of librdkafka hangs: ending, to be started again")
                os._exit(os.EX_SOFTWARE)

    def _run_clients(self) -> None:
        self._health.missing("kafka", "connecting")
        self._state.refusal = None
        watch = _BrokerWatch(self._health)
        callbacks = {"on_delivery": self._on_delivery, "error_cb": watch.on_error}
        producer = Producer(self._producer_config | callbacks)
        self._init_transactions(producer)
        if self._state.stop.is_set():
            return
        producer.poll(0)  # brings what was reported while there was no broker yet
        watch.lost = False
        self._health.present("brokers")
        consumer = Consumer(self._consumer_config | {"error_cb": watch.on_error})
        work = self._make_work()
        session = _Session(
            work=work,
            consumer=consumer,
            producer=producer,
            transaction_seconds=self._transaction_seconds,
            health=self._health,
            watch=watch,
            state=self._state,
        )
        try:
            session.run(self._topic)
        finally:
            session.discard()
            work.close()
            with contextlib.suppress(KafkaException, ClientsUnusableError):
                consumer.close()

    def _init_transactions(self, producer: Producer) -> None:
        attempt = 0
        while not self._state.stop.is_set():
            self._health.turn()
            try:
                producer.init_transactions(2)
            except KafkaException as error:
                kafka_error: KafkaError = error.args[0]
                if not kafka_error.retriable():
                    raise
                self._health.missing("kafka", kafka_error.str())
                self._state.stop.wait(backoff(attempt))
                attempt += 1
            else:
                return

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and error.code() in _REFUSALS:
            self._state.refusal = error


class _BrokerWatch:
    """Notices that no broker can be reached."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.lost = False

    def on_error(self, error: KafkaError) -> None:
        kafka.log_error(error)
        if error.name() == "_ALL_BROKERS_DOWN":
            self.lost = True
            self._health.missing("brokers", error.str())


class _Session:
    """The loop with one pair of clients."""

    def __init__(
        self,
        *,
        work: Work,
        consumer: Consumer,
        producer: Producer,
        transaction_seconds: float,
        health: Health,
        watch: _BrokerWatch,
        state: _State,
    ) -> None:
        self._work = work
        self._consumer = consumer
        self._producer = producer
        self._transaction_seconds = transaction_seconds
        self._health = health
        self._watch = watch
        self._state = state
        self._next_report = 0.0
        self._failure: Exception | None = None
        # The same object all along: a rebalance may end the transaction while the work is waiting for a message.
        self._transaction = Transaction(producer)

    def run(self, topic: str) -> None:
        self._producer.begin_transaction()
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        self._health.missing("kafka", "waiting for partitions to be assigned")
        while not self._state.stop.is_set():
            self._health.turn()
            self._turn()
            self._report()
        self._finish()

    def discard(self) -> None:
        """Give up what is open, if anything is; it never becomes visible."""
        self._transaction.spans = {}
        with contextlib.suppress(KafkaException):
            self._producer.purge()
            self._producer.abort_transaction(1)

    def _turn(self) -> None:
        transaction = self._transaction
        left = _IDLE_SECONDS
        if transaction.spans:
            left = transaction.began + self._transaction_seconds - time.monotonic()
            if left <= 0 or self._state.one_by_one:
                self._finish()
                return
        try:
            self._work.run(self._consumer, transaction, timeout=left, poisons=self._state.poisons)
            self._check_brokers()
            if self._failure is not None:
                raise ClientsUnusableError(str(self._failure)) from self._failure
        except UnprocessableError as error:
            log.exception("a message cannot be processed; it will be dead-lettered", extra={"position": error.position})
            self._state.poisons[error.position] = Poison(reason=Reason.INTERNAL_ERROR, what=repr(error.__cause__))
            self._start_over()
        except KafkaException as error:
            self._recover(error.args[0])

    def _finish(self) -> None:
        """Commit what was taken, or have it read again."""
        spans = self._transaction.spans
        if not spans:
            return
        try:
            self._send_offsets()
            self._retry(lambda: self._producer.commit_transaction(5))
        except KafkaException as error:
            self._recover(error.args[0])
            return
        metrics.TRANSACTIONS.labels(outcome="committed").inc()
        metrics.TRANSACTION_SECONDS.observe(time.monotonic() - self._transaction.began)
        for topic, partition, offset in list(self._state.poisons):
            span = spans.get((topic, partition))
            if span and offset < span.next:
                del self._state.poisons[topic, partition, offset]
        self._state.one_by_one = max(self._state.one_by_one - 1, 0)
        self._transaction.spans = {}
        self._producer.begin_transaction()

    def _send_offsets(self) -> None:
        offsets = [
            TopicPartition(topic, partition, span.next, self._work.state(topic, partition))
            for (topic, partition), span in self._transaction.spans.items()
        ]
        group = self._consumer.consumer_group_metadata()
        self._retry(lambda: self._producer.send_offsets_to_transaction(offsets, group, 5))

    def _retry(self, call: Callable[[], object]) -> None:
        """Repeat a call of the transaction API while librdkafka says that a repetition may succeed."""
        deadline = time.monotonic() + _CALL_SECONDS
        attempt = 0
        while True:
            self._check_brokers()
            self._state.call_began = time.monotonic()
            try:
                call()
            except KafkaException as error:
                kafka_error: KafkaError = error.args[0]
                if not kafka_error.retriable() or kafka_error.txn_requires_abort() or time.monotonic() > deadline:
                    raise
                self._health.turn()
                time.sleep(backoff(attempt))
                attempt += 1
            else:
                return
            finally:
                self._state.call_began = None

    def _check_brokers(self) -> None:
        """Give up these clients if all brokers were lost; see the module's description."""
        self._producer.poll(0)
        if self._watch.lost:
            raise ClientsUnusableError("no broker can be reached")

    def _recover(self, error: KafkaError) -> None:
        """Abort and read again, or give up on these clients."""
        if error.fatal():
            raise ClientsUnusableError(error.str())
        log.warning("aborting a transaction", extra={"cause": error.str()})
        self._producer.poll(0)  # brings the delivery reports that say why
        refusal, self._state.refusal = self._state.refusal, None
        if refusal is not None:
            self._find_refused(refusal)
        self._start_over()

    def _find_refused(self, refusal: KafkaError) -> None:
        """Go message by message until the refused one is alone in its transaction; then dead-letter it."""
        spans = self._transaction.spans
        if self._state.one_by_one and len(spans) == 1:
            ((topic, partition), span) = next(iter(spans.items()))
            self._state.poisons[topic, partition, span.first] = Poison(
                reason=Reason.REFUSED_BY_BROKER, what=refusal.str()
            )
        self._state.one_by_one = max(1, sum(span.next - span.first for span in spans.values()))

    def _abort(self) -> dict[tuple[str, int], Span]:
        """Abort, and return what had been taken."""
        spans, self._transaction.spans = self._transaction.spans, {}
        self._producer.purge()
        self._retry(lambda: self._producer.abort_transaction(5))
        metrics.TRANSACTIONS.labels(outcome="aborted").inc()
        self._producer.begin_transaction()
        return spans

    def _start_over(self) -> None:
        """Abort, and go back to what is committed."""
        spans = self._abort()
        partitions = self._consumer.assignment()
        if not partitions:
            return
        self._work.dropped(partitions)
        committed = self._consumer.committed(partitions, _CALL_SECONDS)
        for partition in committed:
            if partition.offset == OFFSET_INVALID:
                span = spans.get((partition.topic, partition.partition))
                partition.offset = span.first if span else OFFSET_BEGINNING
            self._consumer.seek(TopicPartition(partition.topic, partition.partition, partition.offset))
        self._work.assigned(self._consumer, partitions)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("assigned", extra={"partitions": [partition.partition for partition in partitions]})
        with self._keeping_failures():
            if partitions:  # asking for the offsets of none would wait for an answer that does not come
                self._work.assigned(consumer, partitions)
            self._health.present("kafka")

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("revoked", extra={"partitions": [partition.partition for partition in partitions]})
        with self._keeping_failures():
            self._finish()
        self._forget(partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.warning("lost", extra={"partitions": [partition.partition for partition in partitions]})
        with self._keeping_failures():
            self._abort()
        self._forget(partitions)

    @contextlib.contextmanager
    def _keeping_failures(self) -> Generator[None]:
        """Keep a failure for after the call that a rebalance interrupted: what a callback raises comes out garbled."""
        try:
            yield
        except (KafkaException, ClientsUnusableError) as error:
            self._failure = error

    def _forget(self, partitions: list[TopicPartition]) -> None:
        self._work.dropped(partitions)
        for partition in partitions:
            with contextlib.suppress(KeyError):
                metrics.LAG.remove(partition.topic, str(partition.partition))

    def _report(self) -> None:
        now = time.monotonic()
        if now < self._next_report:
            return
        self._next_report = now + _REPORT_SECONDS
        for partition in self._consumer.position(self._consumer.assignment()):
            watermarks = self._consumer.get_watermark_offsets(partition, cached=True)
            if watermarks and watermarks[1] >= 0:
                reached = partition.offset if partition.offset >= 0 else max(watermarks[0], 0)
                metrics.LAG.labels(topic=partition.topic, partition=str(partition.partition)).set(
                    max(watermarks[1] - reached, 0)
                )
