"""Reads what the services wrote, and checks it against the load."""

from __future__ import annotations

import gzip
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from bench import avro
from bench.errors import BenchError
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.load import Batch

_READ_SECONDS = 60


@dataclass(kw_only=True)
class BatchRows:
    """The rows of a batch, as read from their topic.

    Attributes:
        ids: their ids, in order.
        cheapest: price and id of the first cheapest.
    """

    ids: list[bytes] = field(default_factory=list[bytes])
    cheapest: tuple[float, str] = (float("inf"), "")


def read(servers: str, topic: str) -> Iterator[Message]:
    """Yield all committed records of a topic, once the transactions that are open now have ended.

    A writer that was killed leaves its transaction open until it times out; what others committed after its records is
    hidden until then.

    Args:
        servers: the bootstrap servers.
        topic: the topic.

    Raises:
        BenchError: if a partition cannot be read, or a transaction stays open.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "bench-verify",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    left = _ends(servers, topic)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
    deadline = time.monotonic() + _READ_SECONDS
    try:
        while left:
            messages = consumer.consume(2000, 0.1)
            if not messages and time.monotonic() > deadline:
                raise BenchError(f"a transaction stays open before the offsets {left}", where=topic)
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() != KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
                    raise BenchError(error.str(), where=topic)
                elif (message.offset() or 0) >= left.get(message.partition() or 0, 0):
                    left.pop(message.partition() or 0, None)
    finally:
        consumer.close()


def _ends(servers: str, topic: str) -> dict[int, int]:
    """Return the offset after the last record of each partition, committed or not."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "bench-verify", "isolation.level": "read_uncommitted"}
    )
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)[1]
            for partition in partitions
        }
    finally:
        consumer.close()


def next_offsets(messages: Iterable[Message], into: dict[int, int]) -> Iterator[Message]:
    """Pass records on, and note the offset after each partition's last.

    Args:
        messages: the records.
        into: offsets by partition.
    """
    for message in messages:
        into[message.partition() or 0] = (message.offset() or 0) + 1
        yield message


def verify_rows(messages: Iterable[Message]) -> dict[str, BatchRows]:
    """Read row messages and check that every one is whole and no id comes twice.

    Args:
        messages: the records of the rows' topic.

    Returns:
        The rows by batch.

    Raises:
        BenchError: if something is wrong.
    """
    batches: dict[str, BatchRows] = {}
    for message in messages:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes) or value is None:
            raise BenchError("a row without key or value")
        batch = batches.get(key.decode())
        if batch is None:
            batch = batches[key.decode()] = BatchRows()
        record = avro.decode(value, schema=contracts.ROW_SCHEMA)
        if record["batchuuid"] != key.decode():
            raise BenchError(f"key {key!r} is not the batch's id {record['batchuuid']}")
        batch.ids.append(record["uuid"].encode())
        if record["gbpprice"] < batch.cheapest[0]:
            batch.cheapest = (record["gbpprice"], record["uuid"])
    total = sum(len(batch.ids) for batch in batches.values())
    if len({row_id for batch in batches.values() for row_id in batch.ids}) != total:
        raise BenchError("a row's id comes twice")
    return batches


def verify_bundles(messages: Iterable[Message], rows: dict[str, BatchRows], *, compressed: bool = False) -> int:
    """Check that there is one bundle a batch, with the batch's rows in order, and no other.

    Args:
        messages: the records of the bundles' topic.
        rows: the rows by batch.
        compressed: whether the bundles are gzip.

    Returns:
        The bytes of all bundles.

    Raises:
        BenchError: if something is wrong.
    """
    seen: set[str] = set()
    total = 0
    for message in messages:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes) or value is None or key.decode() in seen:
            raise BenchError(f"bundle {key!r} comes twice, or without key or value")
        batch_id = key.decode()
        seen.add(batch_id)
        text = gzip.decompress(value) if compressed else value
        total += len(text)
        lines = text.split(b"\n")
        if lines.pop() or [line.split(b",")[5] for line in lines] != rows[batch_id].ids:
            raise BenchError(f"the bundle of {batch_id} has not the batch's rows")
        if any(line.split(b",")[6] != key for line in lines):
            raise BenchError(f"the bundle of {batch_id} has another batch's id")
    if seen != set(rows):
        raise BenchError(f"{len(rows)} batches, but {len(seen)} bundles")
    return total


def verify_cheapest(messages: Iterable[Message], rows: dict[str, BatchRows]) -> None:
    """Check that there is one cheapest quote a batch, and that it is right.

    Args:
        messages: the records of the quotes' topic.
        rows: the rows by batch.

    Raises:
        BenchError: if something is wrong.
    """
    seen: set[str] = set()
    for message in messages:
        record = avro.decode(message.value(), schema=contracts.CHEAPEST_SCHEMA)
        batch_id: str = record["BATCHUUID"]
        if batch_id in seen or message.key() != batch_id.encode():
            raise BenchError(f"the quote of {batch_id} comes twice, or with another key")
        seen.add(batch_id)
        if (record["CHEAPEST_QUOTE"], record["UUID"]) != rows[batch_id].cheapest:
            raise BenchError(f"the quote of {batch_id} is {record}, not {rows[batch_id].cheapest}")
    if seen != set(rows):
        raise BenchError(f"{len(rows)} batches, but {len(seen)} quotes")


def verify_against_load(rows: dict[str, BatchRows], load: list[Batch]) -> None:
    """Check that the batches that came out are those of the load, by row count and lowest price.

    Args:
        rows: the rows by batch.
        load: the load.

    Raises:
        BenchError: if something is wrong.
    """
    expected = Counter((batch.rows, batch.cheapest) for batch in load if batch.rows)
    found: Counter[tuple[int, float | None]] = Counter((len(batch.ids), batch.cheapest[0]) for batch in rows.values())
    if expected != found:
        raise BenchError(f"other batches came out: missing {expected - found}, surplus {found - expected}")
