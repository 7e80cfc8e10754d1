"""Reads topics as decoded records: what is committed, from the beginning on."""

from __future__ import annotations

import io
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import fastavro
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec  # the library documents it as part of `admin`

from cflight.errors import CflightError
from services.registry import Registry
from services.settings import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cflight.endpoints import Endpoints

_CALL_SECONDS = 20.0
_WIRE_HEAD = 5


class ReadError(CflightError):
    """A topic cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record of a topic.

    Attributes:
        topic: the topic.
        partition: the partition.
        offset: the offset.
        timestamp: Kafka's, in seconds since the epoch; -1 if it has none.
        arrived: when it was read here, in seconds since the epoch.
        key: text; None if there is none.
        value: the decoded Avro value where it is one in Confluent's wire format, else bytes; None for a tombstone.
        headers: by name, as text.
    """

    topic: str
    partition: int
    offset: int
    timestamp: float
    arrived: float
    key: str | None
    value: Any
    headers: dict[str, str]


class Topics:
    """Reads the topics of a stack; each call goes on where the last one ended, so polling is cheap.

    Args:
        endpoints: the stack's.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._admin = AdminClient(endpoints.kafka_config(client_id="cflight-observe"))
        self._logs: dict[str, TopicLog] = {}
        self._records: dict[str, list[Record]] = {}
        self._decoder = Decoder(endpoints)

    def records(self, topic: str) -> list[Record]:
        """Return all committed records of a topic, by partition and offset.

        Args:
            topic: the topic.

        Raises:
            ReadError: there is no such topic, or it cannot be read.
        """
        log = self._logs.get(topic)
        if log is None:
            log = self._logs[topic] = self.log(topic)
        self._records.setdefault(topic, []).extend(log.catch_up())
        return sorted(self._records[topic], key=lambda record: (record.partition, record.offset))

    def log(self, topic: str, *, from_now: bool = False) -> TopicLog:
        """Return a reader of one topic of its own, which keeps nothing of what it has read.

        Args:
            topic: the topic.
            from_now: whether what is there already is left out.

        Raises:
            ReadError: there is no such topic, or the brokers do not answer.
        """
        return TopicLog(topic, endpoints=self._endpoints, admin=self._admin, decoder=self._decoder, from_now=from_now)

    def close(self) -> None:
        """Leave the brokers."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        self._records.clear()


class TopicLog:
    """One topic, read from its beginning or from now on.

    Args:
        topic: the topic.
        endpoints: the stack's.
        admin: asks for the topic's partitions and ends.
        decoder: decodes values.
        from_now: whether what is there already is left out.

    Raises:
        ReadError: there is no such topic, or the brokers do not answer.
    """

    def __init__(
        self, topic: str, *, endpoints: Endpoints, admin: AdminClient, decoder: Decoder, from_now: bool
    ) -> None:
        self.topic = topic
        self._admin = admin
        self._decoder = decoder
        self._pending: deque[Message] = deque()
        self._partitions = partitions_of(topic, admin=admin)
        ends = ends_of(topic, self._partitions, admin=admin) if from_now else {}
        self._reached = {partition: ends.get(partition, 0) for partition in self._partitions}
        self._consumer = Consumer(
            endpoints.kafka_config(client_id="cflight-observe")
            | {
                "group.id": "cflight-observe",  # the library asks for one; nothing is committed
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, start) for partition, start in self._reached.items()])

    def catch_up(self) -> Iterator[Record]:
        """Yield what is committed now and was not yielded yet.

        Raises:
            ReadError: the brokers do not answer.
        """
        ends = ends_of(self.topic, self._partitions, admin=self._admin)
        deadline = time.monotonic() + _CALL_SECONDS
        while any(self._reached[partition] < end for partition, end in ends.items()):
            for record in self.poll(timeout=0.2):
                deadline = time.monotonic() + _CALL_SECONDS
                yield record
            if time.monotonic() > deadline:
                raise ReadError(f"nothing more came for {_CALL_SECONDS:.0f} s before the end", where=self.topic)

    def poll(self, *, timeout: float) -> Iterator[Record]:
        """Yield what has come since the last call, waiting a moment for something.

        Args:
            timeout: seconds.

        Raises:
            ReadError: the topic cannot be read.
        """
        self._pending.extend(self._consumer.consume(1000, 0 if self._pending else timeout))
        # A message is taken off only when it is decoded: the registry may be away for a moment.
        while self._pending:
            message = self._pending[0]
            error = message.error()
            partition, offset = message.partition() or 0, message.offset() or 0
            if error is None:
                record = self._decoder.record(message)
                self._pending.popleft()
                self._reached[partition] = offset + 1
                yield record
                continue
            self._pending.popleft()
            if error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
                # The end may be behind control records, which are not handed out.
                self._reached[partition] = max(offset, self._reached[partition])
            elif error.fatal():
                raise ReadError(error.str(), where=self.topic)

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()


class Decoder:
    """Decodes keys, headers and Avro values.

    Args:
        endpoints: the stack's, for its registry.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._registry = Registry(RegistrySettings(schema_registry_url=endpoints.schema_registry_url))
        self._schemas: dict[int, Any] = {}

    def record(self, message: Message) -> Record:
        """Return a message as a record.

        Args:
            message: without an error.
        """
        _, milliseconds = message.timestamp()
        key: Any = message.key()
        return Record(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp=milliseconds / 1000 if milliseconds >= 0 else -1.0,
            arrived=time.time(),
            key=_text(key),
            value=self._value(message.value()),
            headers={name: _text(value) or "" for name, value in message.headers() or []},
        )

    def _value(self, value: bytes | None) -> Any:
        if value is None or len(value) <= _WIRE_HEAD or value[0]:
            return value
        schema_id = int.from_bytes(value[1:_WIRE_HEAD], "big")
        if schema_id not in self._schemas:
            text = self._registry.schema(schema_id)
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(text)) if text else None
        schema = self._schemas[schema_id]
        decode: Any = fastavro.schemaless_reader  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return value if schema is None else decode(io.BytesIO(value[_WIRE_HEAD:]), schema, None)


def partitions_of(topic: str, *, admin: AdminClient) -> list[int]:
    """Return the numbers of a topic's partitions.

    Args:
        topic: the topic.
        admin: asks.

    Raises:
        ReadError: there is no such topic, or the brokers do not answer.
    """
    try:
        found = admin.list_topics(timeout=_CALL_SECONDS).topics
    except KafkaException as error:
        raise ReadError(f"Kafka does not answer: {error.args[0].str()}", where=topic) from None
    if topic not in found:
        known = ", ".join(sorted(name for name in found if not name.startswith("_")))
        raise ReadError("there is no such topic", where=topic, remedy=f"There are: {known}.")
    return sorted(found[topic].partitions)


def ends_of(topic: str, partitions: list[int], *, admin: AdminClient) -> dict[int, int]:
    """Return the offsets after the last committed records, by partition.

    Args:
        topic: the topic.
        partitions: their numbers.
        admin: asks.

    Raises:
        ReadError: the brokers do not answer.
    """
    try:
        try:
            return _latest(topic, partitions, admin=admin)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.FENCED_LEADER_EPOCH:
                raise
            # The broker was restarted: the library keeps asking with the old leader epoch until it is told.
            admin.list_topics(topic, timeout=_CALL_SECONDS)
            return _latest(topic, partitions, admin=admin)
    except (KafkaException, TimeoutError) as error:
        raise ReadError(f"Kafka does not answer: {error}", where=topic) from None


def _latest(topic: str, partitions: list[int], *, admin: AdminClient) -> dict[int, int]:
    latest: Any = OffsetSpec.latest()
    asked = {TopicPartition(topic, partition): latest for partition in partitions}
    ask = cast("Any", admin).list_offsets
    answers: dict[TopicPartition, Any] = ask(
        asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_CALL_SECONDS
    )
    return {place.partition: future.result(_CALL_SECONDS).offset for place, future in answers.items()}


def _text(value: Any) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
