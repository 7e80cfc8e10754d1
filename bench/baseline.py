"""The simple transform that the real one is compared with: what one writes first, plainly, exactly once.

`csv` reads, `uuid` makes ids, `fastavro` encodes, and every row is produced by a call of its own; one transaction holds
what arrives within a tenth of a second.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import fastavro
from confluent_kafka import Consumer, Message, Producer

from services.contracts import EVENT_LOG, ROW_SCHEMA

GROUP = "baseline"
PAYLOAD = "baseline.payload"
INCOMING = "baseline.incoming"
_TRANSACTION_SECONDS = 0.1


def transform(message: Message, producer: Producer, schema: Any) -> None:
    """Turn one batch into a bundle and row messages.

    Args:
        message: a gzip batch.
        producer: writes.
        schema: the rows' parsed Avro schema.
    """
    batch_id = uuid.uuid4().hex
    timestamp = datetime.fromtimestamp(message.timestamp()[1] / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    bundle = io.StringIO()
    writer = csv.writer(bundle, lineterminator="\n")
    text = gzip.decompress(message.value() or b"").decode()
    for origin, destination, day, price, cabin in csv.reader(io.StringIO(text)):
        row_id = uuid.uuid4().hex
        value = io.BytesIO()
        value.write(b"\0\0\0\0\1")
        row = {
            "depiata": origin,
            "arriata": destination,
            "searchdate": day,
            "gbpprice": float(price),
            "paxclass": cabin,
            "uuid": row_id,
            "batchuuid": batch_id,
            "timestamp": timestamp,
        }
        fastavro.schemaless_writer(value, schema, row)  # pyright: ignore[reportUnknownMemberType]
        _produce(producer, INCOMING, key=batch_id, value=value.getvalue())
        writer.writerow((origin, destination, day, price, cabin, row_id, batch_id, timestamp))
    _produce(producer, PAYLOAD, key=batch_id, value=bundle.getvalue().encode())


def _produce(producer: Producer, topic: str, *, key: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, key=key, value=value)
        except BufferError:
            producer.poll(0.01)
        else:
            return


def main() -> None:
    """Run until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": GROUP,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": f"baseline-{os.getpid()}",
            "compression.type": "lz4",
            "linger.ms": 20,
            "message.max.bytes": 16 * 1024 * 1024,
        }
    )
    schema = fastavro.parse_schema(json.loads(ROW_SCHEMA))
    producer.init_transactions()
    consumer.subscribe([EVENT_LOG])
    while not stopping:
        message = consumer.poll(0.2)
        if message is None:
            continue
        producer.begin_transaction()
        end = time.monotonic() + _TRANSACTION_SECONDS
        while message is not None:
            transform(message, producer, schema)
            message = consumer.poll(0) if time.monotonic() < end else None
        offsets = [partition for partition in consumer.position(consumer.assignment()) if partition.offset >= 0]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()
    consumer.close()


if __name__ == "__main__":
    main()
