"""Where a key lies: murmur2, as Kafka's Java clients, Kafka Streams and ksqlDB place keys."""

from __future__ import annotations

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
