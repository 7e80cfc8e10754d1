"""Avro in Confluent's wire format, by a library that the services do not write with."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro


def decode(value: bytes | None, *, schema: str) -> Any:
    """Return what a message's value says.

    Args:
        value: five bytes of the wire format and an Avro value.
        schema: the value's schema as JSON.
    """
    stream = io.BytesIO((value or b"")[5:])
    decoded = fastavro.schemaless_reader(stream, _parsed(schema), None)  # pyright: ignore[reportUnknownMemberType]
    if stream.read(1):
        raise ValueError("bytes follow the value")
    return decoded


def encode(record: Any, *, schema: str) -> bytes:
    """Return a record as Avro, without the wire format's first bytes.

    Args:
        record: the record.
        schema: its schema as JSON.
    """
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, _parsed(schema), record)  # pyright: ignore[reportUnknownMemberType]
    return stream.getvalue()


_schemas: dict[str, Any] = {}


def _parsed(schema: str) -> Any:
    if schema not in _schemas:
        _schemas[schema] = fastavro.parse_schema(json.loads(schema))
    return _schemas[schema]
