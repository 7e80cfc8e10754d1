"""Where a key lies: murmur2, as Kafka's Java clients, Kafka Streams and ksqlDB place keys."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ksql.engine.formats import format_for
from ksql.engine.formats.protocol import SerdeContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import Row, SchemaRegistry
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash, with the seed that Kafka uses, as an unsigned number.

    The algorithm is Austin Appleby's, in the public domain.

    Args:
        data: a serialised key.
    """
    length = len(data)
    value = _SEED ^ length
    whole = length & ~3
    for offset in range(0, whole, 4):
        block = int.from_bytes(data[offset : offset + 4], "little") * _MULTIPLIER & _MASK
        block = (block ^ block >> 24) * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER & _MASK) ^ block
    if whole < length:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key.

    Args:
        key: serialised.
        partitions: how many the topic has.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def placement(
    columns: Sequence[Column], info: FormatInfo, partitions: int, registry: SchemaRegistry, *, topic: str = "internal"
) -> Callable[[Row | None], int]:
    """Return a function from a key to its partition; null keys lie in the first.

    Args:
        columns: of the key.
        info: how keys are written.
        partitions: how many there are.
        registry: for formats with schemas.
        topic: that the keys are written to.
    """
    serialize = format_for(info).serializer(columns, info, SerdeContext(topic, is_key=True, registry=registry))

    @functools.lru_cache(maxsize=8192)
    def known(key: Row) -> int:
        return place(key)

    def place(key: Row) -> int:
        data = None if None in key else serialize(key)
        return 0 if data is None else partition_of(data, partitions)

    def find(key: Row | None) -> int:
        if key is None or partitions == 1:
            return 0
        try:
            return known(key)
        except TypeError:
            # Arrays and structs have no hash.
            return place(key)

    return find
