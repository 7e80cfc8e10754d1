"""Gives canonical rows their ids: the bundle's lines and the rows' Avro values.

A canonical row has fields of fixed length but for its price, and Avro's double has eight bytes whatever the price:
every Avro value has the same length and layout. Pieces are cut and joined; nothing is encoded field by field.
"""

from __future__ import annotations

from array import array
from sys import byteorder
from typing import TYPE_CHECKING

from services.contracts import wire_prefix
from services.transform.ids import ID_DIGITS, Identity
from services.transform.rows import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

BUNDLE_EXTRA_BYTES = len(",") + ID_DIGITS + len(",") + ID_DIGITS + len(",2020-08-01T09:00:00")
"""What a row is longer by in the bundle than in canonical spelling."""

_BLOCK_ROWS = 4096


def avro_string_length(length: int) -> bytes:
    """Return Avro's length prefix of a string: a zig-zag varint, one byte for lengths below 64."""
    if length >= 64:
        raise ValueError(f"{length} does not fit one byte")
    return bytes([length << 1])


_CODE = avro_string_length(3)
_DATE = avro_string_length(10)
_CLASS = avro_string_length(1)
_ID = avro_string_length(ID_DIGITS)
_TIMESTAMP = avro_string_length(19)


def bundle_bytes(text: bytes, count: int) -> int:
    """Return the length of the bundle of canonical rows in bytes.

    Args:
        text: canonical rows, each ended by LF.
        count: how many.
    """
    return len(text) + count * BUNDLE_EXTRA_BYTES


def avro_tail(identity: Identity) -> bytes:
    """Return what follows the row's id in its Avro: the same for all rows of a batch."""
    return b"".join((_ID, identity.batch.encode(), _TIMESTAMP, identity.timestamp.encode()))


def bundle_tail(identity: Identity) -> bytes:
    """Return what follows the row's id in its line of the bundle: the same for all rows of a batch."""
    return f",{identity.batch},{identity.timestamp}\n".encode()


class Enricher:
    """Enriches the rows of one batch, block by block.

    Args:
        text: canonical rows, each ended by LF.
        count: how many.
        identity: the batch's.
        schema_id: the registry's id of the row schema.
    """

    def __init__(self, text: bytes, *, count: int, identity: Identity, schema_id: int) -> None:
        self._text = text
        self._ids = identity.row_ids(count).encode()
        self._tail = bundle_tail(identity)
        self._avro_head = wire_prefix(schema_id) + _CODE
        self._avro_tail = avro_tail(identity)

    def blocks(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield the bundle's next lines and the Avro values of the same rows, in order."""
        position = 0
        at = 0
        while at < len(self._text):
            # Lines differ only in the length of their price: a guess at the block's end is good enough.
            end = self._text.find(b"\n", at + _BLOCK_ROWS * 26) + 1 or len(self._text)
            lines = self._text[at : end - 1].split(b"\n")
            ids = self._cut_ids(position, len(lines))
            yield self._bundle_lines(lines, ids), self._avro_values(lines, ids)
            position += len(lines)
            at = end

    def _cut_ids(self, first: int, count: int) -> list[bytes]:
        ids = self._ids
        return [ids[at : at + ID_DIGITS] for at in range(first * ID_DIGITS, (first + count) * ID_DIGITS, ID_DIGITS)]

    def _bundle_lines(self, lines: list[bytes], ids: list[bytes]) -> bytes:
        enriched = list(map(b",".join, zip(lines, ids, strict=True)))
        enriched.append(b"")
        return self._tail.join(enriched)

    def _avro_values(self, lines: list[bytes], ids: list[bytes]) -> list[bytes]:
        prices = array("d", map(float, [line[HEAD + 1 : -2] for line in lines]))
        if byteorder == "big":
            prices.byteswap()
        doubles = prices.tobytes()
        join = b"".join
        head, tail = self._avro_head, self._avro_tail
        return [
            join(
                (
                    head,
                    line[0:3],
                    _CODE,
                    line[4:7],
                    _DATE,
                    line[8:18],
                    doubles[at : at + 8],
                    _CLASS,
                    line[-1:],
                    _ID,
                    row_id,
                    tail,
                )
            )
            for line, at, row_id in zip(lines, range(0, len(doubles), 8), ids, strict=True)
        ]
