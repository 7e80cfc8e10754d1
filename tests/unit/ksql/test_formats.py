"""Rows through serialisers and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ksql.engine.formats import format_for
from ksql.engine.formats.protocol import SerdeContext
from ksql.engine.memory.stores import MemoryRegistry
from ksql.engine.metastore import FormatInfo
from ksql.engine.schema import Column
from ksql.engine.sql.parser import parse_type
from ksql.errors import KsqlError, RecordError

EVERYTHING = [
    ("I", "INT", -2147483648),
    ("L", "BIGINT", 9223372036854775807),
    ("D", "DOUBLE", 1e300),
    ("B", "BOOLEAN", True),
    ("S", "STRING", "é→\U0001f600\u0000"),
    ("C", "DECIMAL(6,2)", Decimal("-1234.50")),
    ("BY", "BYTES", b"\x00\xff"),
    ("DT", "DATE", -1),
    ("TM", "TIME", 86399999),
    ("TS", "TIMESTAMP", -62135596800000),
    ("A", "ARRAY<INT>", [1, 2, 3]),
    ("M", "MAP<STRING, BIGINT>", {"a": 1, "b": 2}),
    ("R", "STRUCT<X INT, Y STRUCT<Z STRING>>", {"X": 1, "Y": {"Z": "z"}}),
]


def columns(fields: list[tuple[str, str, Any]]) -> list[Column]:
    """Value columns of names and types."""
    return [Column(name, parse_type(text)) for name, text, _ in fields]


def round_trip(name: str, fields: list[tuple[str, str, Any]], values: tuple[Any, ...]) -> Any:
    """The row after it was written and read."""
    info = FormatInfo(name)
    context = SerdeContext("t", is_key=False, registry=MemoryRegistry())
    form = format_for(info)
    data = form.serializer(columns(fields), info, context)(values)
    assert data is not None
    return form.deserializer(columns(fields), info, context)(data)


@pytest.mark.parametrize("name", ["JSON", "JSON_SR", "AVRO", "PROTOBUF", "PROTOBUF_NOSR"])
def test_every_type_comes_back(name: str) -> None:
    values = tuple(value for _, _, value in EVERYTHING)
    assert round_trip(name, EVERYTHING, values) == values


@pytest.mark.parametrize("name", ["JSON", "JSON_SR", "AVRO"])
def test_nulls_come_back(name: str) -> None:
    values = (None,) * len(EVERYTHING)
    assert round_trip(name, EVERYTHING, values) == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ARRAY<INT>", [1, None]),
        ("ARRAY<DECIMAL(5, 2)>", [None]),
        ("ARRAY<STRUCT<X INT>>", [None]),
    ],
)
def test_a_null_that_protobuf_cannot_hold_is_a_record_error(text: str, value: Any) -> None:
    with pytest.raises(RecordError, match="cannot hold null"):
        round_trip("PROTOBUF", [("V", text, value)], (value,))


def test_delimited_quotes_what_it_must() -> None:
    fields = [("A", "STRING", None), ("B", "INT", None), ("C", "STRING", None)]
    values = ('a,"b"\nc', 7, " x ")
    assert round_trip("DELIMITED", fields, values) == values


@pytest.mark.parametrize(("text", "value"), [("INT", -1), ("BIGINT", 1 << 40), ("DOUBLE", 0.5), ("STRING", "x")])
def test_kafka_holds_one_value(text: str, value: Any) -> None:
    assert round_trip("KAFKA", [("V", text, value)], (value,)) == (value,)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("JSON", b"{"),
        ("JSON", b'{"I": "not a number"}'),
        ("JSON", b"[1]"),
        ("AVRO", b"\x01\x00\x00\x00\x01\x02"),
        ("AVRO", b"\x00\x00\x00\x27\x0f\x02"),
        ("AVRO", b""),
        ("PROTOBUF", b"\x00\x00\x00\x00\x01\x00\xff"),
        ("DELIMITED", b"1,2,3"),
        ("DELIMITED", b"x"),
    ],
)
def test_rubbish_is_a_record_error(name: str, data: bytes) -> None:
    info = FormatInfo(name)
    registry = MemoryRegistry()
    form = format_for(info)
    fields = [("I", "INT", None)]
    schema = form.schema(columns(fields), info)
    if schema is not None:
        registry.register("t-value", type=schema[0], text=schema[1])
    read = form.deserializer(columns(fields), info, SerdeContext("t", is_key=False, registry=registry))
    with pytest.raises(RecordError):
        read(data)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("DELIMITED", "ARRAY<INT>", "does not support type 'ARRAY'"),
        ("KAFKA", "BOOLEAN", "does not support type 'BOOLEAN'"),
        ("JSON", "MAP<INT, INT>", "JSON only supports MAP types with STRING keys"),
    ],
)
def test_types_that_a_format_cannot_hold(name: str, text: str, message: str) -> None:
    info = FormatInfo(name)
    with pytest.raises(KsqlError) as caught:
        format_for(info).validate(columns([("V", text, None)]), info, is_key=False)
    assert message in caught.value.message
