"""The bytes of row messages and of cheapest-quote messages.

Every row that transform writes has the same layout, so price and id are cut from fixed places. Rows that somebody else
wrote, with another schema or layout, are decoded by their schema.
"""

from __future__ import annotations

import io
import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from services.contracts import ROW_SCHEMA, wire_prefix
from services.errors import Reason, RowError

if TYPE_CHECKING:
    from services.registry import Registry

ROW_BYTES = 120
PRICE_AT = 24
ID_AT = slice(35, 67)
# Avro's length bytes of the fields between which price and id lie: where they are right, all fields are where they
# should be.
LENGTHS = ((5, 3 << 1), (9, 3 << 1), (13, 10 << 1), (32, 1 << 1), (34, 32 << 1), (67, 32 << 1), (100, 19 << 1))
_DOUBLE = struct.Struct("<d")
_MANY = 256
_MANY_PRICES = struct.Struct("<" + f"{PRICE_AT}xd{ROW_BYTES - PRICE_AT - 8}x" * _MANY)


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A price and the row that asks it.

    Attributes:
        price: GBP.
        row_id: the row's id.
    """

    price: float
    row_id: str


def cheapest_of(values: list[bytes], *, prefix: bytes) -> Quote | None:
    """Return the first cheapest quote of rows in transform's layout, or None if a value has another.

    Args:
        values: rows in the wire format, at least one.
        prefix: the wire format's first bytes for the row schema.
    """
    joined = b"".join(values)
    if len(joined) != ROW_BYTES * len(values) or joined[0::ROW_BYTES].strip(b"\0"):
        return None
    for at, byte in (*LENGTHS, *enumerate(prefix)):
        if joined[at::ROW_BYTES].count(byte) != len(values):
            return None
    prices: list[float] = []
    whole = len(values) // _MANY * _MANY * ROW_BYTES
    for chunk in _MANY_PRICES.iter_unpack(memoryview(joined)[:whole]):
        prices.extend(chunk)
    prices.extend(_DOUBLE.unpack_from(joined, at + PRICE_AT)[0] for at in range(whole, len(joined), ROW_BYTES))
    price = min(prices)
    # Not ours: transform writes neither NaN, which a sum shows, nor infinity, nor prices that are not positive.
    if price <= 0 or not math.isfinite(sum(prices)):
        return None
    return Quote(price=price, row_id=values[prices.index(price)][ID_AT].decode())


def encode_cheapest(*, prefix: bytes, batch_id: str, quote: Quote) -> bytes:
    """Return a cheapest-quote message in the wire format.

    Args:
        prefix: the wire format's first bytes for the schema.
        batch_id: the batch's id.
        quote: its cheapest quote.
    """
    # Each field is a union of null and a type; 02 chooses the type.
    return b"".join(
        (
            prefix,
            b"\x02",
            _avro_string(batch_id),
            b"\x02",
            _DOUBLE.pack(quote.price),
            b"\x02",
            _avro_string(quote.row_id),
        )
    )


def _avro_string(text: str) -> bytes:
    encoded = text.encode()
    rest = len(encoded) << 1
    length = bytearray()
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes(length) + encoded


class RowDecoder:
    """Decodes rows of any schema that has a price and an id.

    Args:
        registry: knows the schemas.
        schema_id: the id of the row schema that is known already.
    """

    def __init__(self, registry: Registry, *, schema_id: int) -> None:
        self._registry = registry
        self._schemas: dict[int, Any] = {}
        self._known = {schema_id: ROW_SCHEMA}

    def decode(self, value: bytes | None) -> Quote:
        """Return a row's quote.

        Args:
            value: the row in the wire format.

        Raises:
            RowError: if it is not a row.
            RegistryAwayError: if its schema cannot be asked for now.
        """
        if value is None or len(value) < len(wire_prefix(0)) or value[0]:
            raise RowError(Reason.NOT_AVRO, "the value is not in the wire format")
        schema = self._schema(int.from_bytes(value[1:5], "big"))
        # fastavro takes 10 MiB, which a service that meets no foreign rows does without.
        from fastavro import schemaless_reader  # noqa: PLC0415  # pyright: ignore[reportUnknownVariableType]

        try:
            record: Any = schemaless_reader(io.BytesIO(value[5:]), schema, None)  # pyright: ignore
        except Exception as error:
            # fastavro raises whatever the damaged bytes lead it to.
            raise RowError(Reason.NOT_AVRO, f"the value does not fit its schema: {error!r}") from error
        fields: dict[str, object] = {}
        if isinstance(record, dict):
            fields = {name.lower(): field for name, field in cast("dict[str, object]", record).items()}
        price, row_id = fields.get("gbpprice"), fields.get("uuid")
        if not isinstance(price, int | float) or not isinstance(row_id, str) or math.isnan(price):
            raise RowError(Reason.PRICE, "the row has no GBPPRICE that is a number, or no UUID")
        return Quote(price=float(price), row_id=row_id)

    def _schema(self, schema_id: int) -> Any:
        schema = self._schemas.get(schema_id)
        if schema is None:
            text = self._known.get(schema_id) or self._registry.schema(schema_id)
            if text is None:
                raise RowError(Reason.UNKNOWN_SCHEMA, f"the registry has no Avro schema {schema_id}")
            from fastavro import parse_schema  # noqa: PLC0415 - see decode

            schema = self._schemas[schema_id] = parse_schema(json.loads(text))
        return schema
