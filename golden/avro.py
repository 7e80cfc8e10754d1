"""Avro values as the golden files write them, and in the wire format of a schema registry.

The wire format is a zero byte, the schema's id as four bytes (big endian) and the Avro binary encoding. In the files
``{"$b64": …}``, ``{"$decimal": …}`` and ``{"$iso": …}`` stand for bytes, decimals, and dates or times.
"""

# fastavro is only partly annotated.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import base64
import datetime
import decimal
import functools
import io
import json
from typing import TYPE_CHECKING, Any, cast

import fastavro
import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER = 5


def encode(avro: Mapping[str, Any], *, url: str, subject: str) -> bytes:
    """Return a value in the registry's wire format.

    Args:
        avro: ``{"schema": …, "value": …}`` of a golden file.
        url: the registry's Confluent-compatible base URL.
        subject: under which the schema is registered, if it is not yet.
    """
    schema = avro["schema"]
    text = schema if isinstance(schema, str) else json.dumps(schema, separators=(",", ":"))
    answer = httpx.post(f"{url}/subjects/{subject}/versions", json={"schema": text, "schemaType": "AVRO"}, timeout=30)
    number = int(answer.raise_for_status().json()["id"])
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, _parsed(text), _native(avro["value"]))
    return b"\0" + number.to_bytes(4, "big") + buffer.getvalue()


def decode(data: bytes | None, *, url: str) -> object:
    """Return ``{"schema": …, "value": …}`` where the bytes are in the wire format, else the bytes as they are.

    Args:
        data: a record's key or value.
        url: the registry's Confluent-compatible base URL.
    """
    if data is None or len(data) < _HEADER or data[0] != 0:
        return data
    text = _schema_text(url, int.from_bytes(data[1:_HEADER], "big"))
    if text is None:
        return data
    value = fastavro.schemaless_reader(io.BytesIO(data[_HEADER:]), _parsed(text), None)
    return {"schema": json.loads(text), "value": written(value)}


def _schema_text(url: str, number: int) -> str | None:
    answer = httpx.get(f"{url}/schemas/ids/{number}", timeout=30)
    return answer.json()["schema"] if answer.is_success else None


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def _native(value: Any) -> Any:
    if isinstance(value, list):
        return [_native(entry) for entry in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    entries = cast("dict[str, Any]", value)
    if "$b64" in entries:
        return base64.b64decode(entries["$b64"])
    if "$decimal" in entries:
        return decimal.Decimal(entries["$decimal"])
    if "$iso" in entries:
        return _moment(str(entries["$iso"]))
    return {name: _native(entry) for name, entry in entries.items()}


def _moment(text: str) -> datetime.datetime | datetime.date | datetime.time:
    if "T" in text:
        return datetime.datetime.fromisoformat(text)
    return datetime.date.fromisoformat(text) if "-" in text else datetime.time.fromisoformat(text)


def written(value: Any) -> Any:
    """Return a decoded value as the golden files write it."""
    if isinstance(value, bytes):
        return {"$b64": base64.b64encode(value).decode()}
    if isinstance(value, decimal.Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime.date | datetime.time):
        return {"$iso": value.isoformat()}
    if isinstance(value, list):
        return [written(entry) for entry in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: written(entry) for name, entry in cast("dict[str, Any]", value).items()}
    return value
