"""What the services agree on with everything else on the platform: topic names, schemas, headers.

The stack declares topics and schemas from these values, and tests read what came out by them.
"""

from __future__ import annotations

import json
from typing import Final

EVENT_LOG: Final = "flight.eventlog"
"""Raw gzip bodies, as received."""
EVENT_LOG_DLQ: Final = "flight.eventlog.dlq"
"""Whole batches that cannot be read, byte for byte."""
PAYLOAD: Final = "compress.payload"
"""One bundle a batch: every good line with its ids and timestamp; key = the batch's id."""
INCOMING: Final = "cflight.incoming"
"""One Avro message a row; key = the batch's id."""
INCOMING_DLQ: Final = "cflight.incoming.dlq"
"""Rows that cannot be read; key = the batch's id."""
COMPRESSED: Final = "batch.compressed"
"""Gzip of the bundle; key = the batch's id."""
CHEAPEST: Final = "CHEAPEST_FLIGHT"
"""The cheapest quote of each batch; key = the batch's id."""

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The longest message of the payload topics. 20,000 enriched rows are 2.3 MB."""
HEADROOM_BYTES: Final = 64 * 1024
"""What a record's key, headers and framing may take of that, so that any accepted batch can be dead-lettered."""

PARTITIONER: Final = "murmur2_random"
"""Places keys as Java clients, Kafka Streams and ksqlDB do."""

ROW_SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "Flight",
        "namespace": "cflight",
        "fields": [
            {"name": "depiata", "type": "string"},
            {"name": "arriata", "type": "string"},
            {"name": "searchdate", "type": "string"},
            {"name": "gbpprice", "type": "double"},
            {"name": "paxclass", "type": "string"},
            {"name": "uuid", "type": "string"},
            {"name": "batchuuid", "type": "string"},
            {"name": "timestamp", "type": "string"},
        ],
    },
    separators=(",", ":"),
)
"""Avro of a row on INCOMING."""

# What ksqlDB registers for the table of the same name, so that either engine can write the topic.
CHEAPEST_SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "KsqlDataSourceSchema",
        "namespace": "io.confluent.ksql.avro_schemas",
        "fields": [
            {"name": "BATCHUUID", "type": ["null", "string"], "default": None},
            {"name": "CHEAPEST_QUOTE", "type": ["null", "double"], "default": None},
            {"name": "UUID", "type": ["null", "string"], "default": None},
        ],
        "connect.name": "io.confluent.ksql.avro_schemas.KsqlDataSourceSchema",
    },
    separators=(",", ":"),
)
"""Avro of a record on CHEAPEST."""

HEADER_BATCH_ROWS: Final = "batch.rows"
"""On the first row of a batch: how many rows it has, in decimal digits."""

HEADER_REASON: Final = "error.reason"
"""On dead-lettered records: why, one of `services.errors.Reason`."""
HEADER_MESSAGE: Final = "error.message"
"""On dead-lettered records: why, for a person."""
HEADER_SERVICE: Final = "error.service"
"""On dead-lettered records: which service refused it."""
HEADER_TOPIC: Final = "source.topic"
"""On dead-lettered records: where it was read."""
HEADER_PARTITION: Final = "source.partition"
"""On dead-lettered records: where it was read."""
HEADER_OFFSET: Final = "source.offset"
"""On dead-lettered records: where it was read."""
HEADER_LINE: Final = "source.line"
"""On dead-lettered rows: the line of the batch, from 1."""


def wire_prefix(schema_id: int) -> bytes:
    """Return the five bytes that Confluent's wire format puts before an Avro value: a zero and the schema's id.

    Args:
        schema_id: the registry's id of the schema.
    """
    return b"\0" + schema_id.to_bytes(4, "big")
