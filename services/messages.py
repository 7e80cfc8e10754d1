"""Work that goes message by message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import KafkaError, KafkaException

from services import metrics
from services.errors import CflightError
from services.exactly_once import UnprocessableError, position

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

    from services.exactly_once import Poison, Poisons, Transaction

log = logging.getLogger(__name__)


class Handler(Protocol):
    """What a service does with one message."""

    def handle(self, message: Message, transaction: Transaction) -> None:
        """Write what follows from a message.

        Args:
            message: the message.
            transaction: writes.
        """
        ...

    def refuse(self, message: Message, transaction: Transaction, *, poison: Poison) -> None:
        """Dead-letter a message that cannot be processed.

        Args:
            message: the message.
            transaction: writes.
            poison: why.
        """
        ...

    def close(self) -> None:
        """Let go of the clients."""
        ...


class MessageWork:
    """Work of a handler, for `services.exactly_once.Loop`.

    Args:
        handler: the handler.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def run(self, consumer: Consumer, transaction: Transaction, *, timeout: float, poisons: Poisons) -> None:
        """See `services.exactly_once.Work`."""
        message = consumer.poll(timeout)
        if message is not None and not failed(message):
            self._handle(message, transaction, poisons=poisons)

    def _handle(self, message: Message, transaction: Transaction, *, poisons: Poisons) -> None:
        topic, partition, offset = position(message)
        transaction.take(topic, partition, first=offset, after=offset + 1)
        metrics.BYTES_IN.inc(len(message.value() or b""))
        poison = poisons.get((topic, partition, offset)) if poisons else None
        try:
            if poison is None:
                self._handler.handle(message, transaction)
            else:
                self._handler.refuse(message, transaction, poison=poison)
        except (ValueError, TypeError, ArithmeticError, LookupError, CflightError) as error:
            if poison is not None:
                raise
            raise UnprocessableError(message, error) from error
        metrics.BATCHES.inc()

    def close(self) -> None:
        """See `services.exactly_once.Work`."""
        self._handler.close()

    def assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing is kept of a partition."""

    def state(self, topic: str, partition: int) -> str:
        """Nothing is kept of a partition."""
        del topic, partition
        return ""

    def dropped(self, partitions: list[TopicPartition]) -> None:
        """Nothing is kept of a partition."""


def failed(message: Message) -> bool:
    """Return whether a polled message is in truth an error that passes.

    Args:
        message: the message.

    Raises:
        KafkaException: if the error does not pass.
    """
    error: KafkaError | None = message.error()
    if error is None:
        return False
    if error.fatal():
        raise KafkaException(error)
    log.warning("reading", extra={"topic": message.topic(), "cause": error.str()})
    return True
