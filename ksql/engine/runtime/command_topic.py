"""Statements made durable: a topic of one partition, written in transactions.

A transaction takes two offsets, the record's and its commit marker's: so the number of a command grows by two, and a
query is named after the odd number before it, as in ksqlDB. The transactional id lets one server at a time write: one
that starts with the same service id fences the one before.
"""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from ksql.engine.runtime.topics import TopicExistsError
from ksql.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ksql.engine.runtime.topics import Topics

_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A statement that changes what the server does.

    Attributes:
        id: what it changes and how, e.g. ``stream/`A`/create``.
        statement: its text, with everything filled in that does not stand in what the user wrote.
        properties: the settings it is carried out with.
        query_id: of the query that it starts; None where it starts none.
        number: its place in the topic; -1 before it is written.
    """

    id: str
    statement: str
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    query_id: str | None = None
    number: int = -1


class CommandTopic:
    """The topic.

    Args:
        name: of the topic; it is created if need be.
        settings: of a Kafka client.
        topics: for its creation.
        replicas: of the topic.
    """

    def __init__(self, name: str, *, settings: Mapping[str, Any], topics: Topics, replicas: int) -> None:
        self.name = name
        self._settings = settings
        with contextlib.suppress(TopicExistsError):
            keep = {"cleanup.policy": "delete", "retention.ms": "-1"}
            topics.create(name, partitions=1, replicas=replicas, settings=keep)
        self._producer = Producer({**settings, "transactional.id": name, "linger.ms": 0})
        self._lock = threading.Lock()
        self._last = -2
        self.failure: str | None = None

    @property
    def last(self) -> int:
        """The number of the last command; -2 before the first."""
        return self._last

    def open(self) -> Iterator[Command]:
        """Take over the topic and return all commands in it, in their order."""
        self._producer.init_transactions(_SECONDS)
        settings: dict[str, Any] = {
            **self._settings,
            "group.id": self.name,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(self.name, 0, 0)])
            while True:
                message = consumer.poll(_SECONDS)
                if message is None:
                    raise ServerError(f"no answer within {_SECONDS:.0f} s", where=f"topic {self.name}")
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    raise ServerError(str(error), where=f"topic {self.name}")
                self._last = int(message.offset() or 0)
                body: dict[str, Any] = json.loads(message.value() or b"{}")
                yield Command(**body, number=self._last)
        finally:
            consumer.close()

    def append(self, command: Command) -> Command:
        """Write a command.

        Returns:
            The command with its number.

        Raises:
            ServerError: it could not be written; another server may have taken over.
        """
        with self._lock:
            body = {name: value for name, value in asdict(command).items() if name != "number"}
            placed: list[int] = []
            try:
                self._producer.begin_transaction()
                self._producer.produce(
                    self.name,
                    key=json.dumps(command.id),
                    value=json.dumps(body),
                    partition=0,
                    on_delivery=lambda error, message: placed.append(message.offset() or 0) if error is None else None,
                )
                self._producer.commit_transaction(_SECONDS)
            except KafkaException as error:
                cause = error.args[0]
                if cause.fatal():
                    self.failure = cause.str()
                elif cause.txn_requires_abort():
                    self._producer.abort_transaction(_SECONDS)
                raise ServerError(cause.str(), where=f"topic {self.name}") from error
            self._last = placed[0]
            return replace(command, number=self._last)
