"""Ids and timestamp of a batch: a function of its source record, so that a replay gives the same.

The batch's id is BLAKE2b of the record's topic, partition, offset and Kafka timestamp; the ids of its rows are
consecutive cuts of one SHAKE-128 output of the batch's id. A hash call a row would cost more than the rest of the row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ID_BYTES = 16
ID_DIGITS = 2 * ID_BYTES
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The identity of a batch.

    Attributes:
        batch: the batch's id, 32 lower-case hexadecimal digits.
        timestamp: the source record's Kafka timestamp in UTC, `2020-08-01T09:00:00`.
    """

    batch: str
    timestamp: str

    def row_ids(self, count: int) -> str:
        """Return the ids of the batch's first rows, 32 hexadecimal digits each, joined.

        Args:
            count: the number of rows. The ids of fewer rows are a prefix of those of more.
        """
        return hashlib.shake_128(self.batch.encode()).hexdigest(ID_BYTES * count)


def identify(*, topic: str, partition: int, offset: int, timestamp_ms: int) -> Identity:
    """Return the identity of the batch that a source record holds.

    Args:
        topic: the record's topic.
        partition: the record's partition.
        offset: the record's offset.
        timestamp_ms: the record's Kafka timestamp in milliseconds since 1970; out of range (a record may have none, -1)
            counts as the nearest that an ISO date can show.
    """
    source = f"{topic}\0{partition}\0{offset}\0{timestamp_ms}"
    moment = _EPOCH + timedelta(milliseconds=min(max(timestamp_ms, 0), _LAST_MS))
    return Identity(
        batch=hashlib.blake2b(source.encode(), digest_size=ID_BYTES).hexdigest(),
        timestamp=moment.strftime("%Y-%m-%dT%H:%M:%S"),
    )
