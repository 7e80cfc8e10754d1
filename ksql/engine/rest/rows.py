"""Rows of queries as JSON, in the three ways that a client may ask for."""

from __future__ import annotations

import base64
import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ksql.engine.rest.exchange import JSON, KSQL_JSON
from ksql.engine.sql.formatter import format_double
from ksql.engine.types import SqlArray, SqlMap, SqlStruct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.schema import Column
    from ksql.engine.types import SqlType

_EPOCH = datetime.date(1970, 1, 1)


class RowFormat(Protocol):
    """How a stream of rows is written."""

    def header(self, query_id: str) -> str:
        """What comes before the first row."""
        ...

    def row(self, row: Row) -> str:
        """One row, with what separates it from what is before it."""
        ...

    def failure(self, message: str) -> str:
        """What says that the query failed after it had begun."""
        ...

    def end(self, message: str | None) -> str:
        """What comes after the last row; the message says why a push query ended."""
        ...


def row_format(content_type: str, columns: Sequence[Column], *, push: bool) -> RowFormat:
    """Return the way to write rows.

    Args:
        content_type: JSON for arrays, KSQL_JSON for objects, any other for lines.
        columns: of the rows.
        push: whether the query is a push query; those do not tell which columns are the key.
    """
    writer = _RowWriter(tuple(value_writer(column.type) for column in columns))
    if content_type == KSQL_JSON:
        names = [str(column) if not push else f"`{column.name}` {column.type}" for column in columns]
        return _Objects(writer=writer, schema=", ".join(names))
    head = {
        "columnNames": [column.name for column in columns],
        "columnTypes": [str(column.type) for column in columns],
    }
    return _Arrays(writer=writer, head=head) if content_type == JSON else _Lines(writer=writer, head=head)


@dataclass(frozen=True)
class _RowWriter:
    columns: tuple[Callable[[Any], str], ...]

    def __call__(self, row: Row) -> str:
        pairs = zip(self.columns, row, strict=True)
        return "[" + ",".join("null" if value is None else write(value) for write, value in pairs) + "]"


@dataclass(frozen=True, kw_only=True)
class _Objects:
    writer: _RowWriter
    schema: str

    def header(self, query_id: str) -> str:
        return "[" + _json({"header": {"queryId": query_id, "schema": self.schema}})

    def row(self, row: Row) -> str:
        return f',\n{{"row":{{"columns":{self.writer(row)}}}}}'

    def failure(self, message: str) -> str:
        body = {"errorMessage": {"@type": "generic_error", "error_code": 50000, "message": message}}
        return f",\n{_json(body)}]"

    def end(self, message: str | None) -> str:
        return "]" if message is None else f",\n{_json({'finalMessage': message})}]"


@dataclass(frozen=True, kw_only=True)
class _Arrays:
    writer: _RowWriter
    head: dict[str, list[str]]

    def header(self, query_id: str) -> str:
        return "[" + _json({"queryId": query_id, **self.head})

    def row(self, row: Row) -> str:
        return f",{self.writer(row)}"

    def failure(self, message: str) -> str:
        return f",{_json({'@type': 'generic_error', 'error_code': 50000, 'message': message})}]"

    def end(self, message: str | None) -> str:  # noqa: ARG002 - this format has no place for it
        return "]"


@dataclass(frozen=True, kw_only=True)
class _Lines:
    writer: _RowWriter
    head: dict[str, list[str]]

    def header(self, query_id: str) -> str:
        return _json({"queryId": query_id, **self.head}) + "\n"

    def row(self, row: Row) -> str:
        return f"{self.writer(row)}\n"

    def failure(self, message: str) -> str:
        return _json({"@type": "generic_error", "error_code": 50000, "message": message}) + "\n"

    def end(self, message: str | None) -> str:  # noqa: ARG002 - this format has no place for it
        return ""


def value_writer(sql_type: SqlType) -> Callable[[Any], str]:
    """Return a function from a value that is not null to JSON text.

    Args:
        sql_type: of the value. Dates, times and timestamps become texts, bytes become base64.
    """
    if isinstance(sql_type, SqlArray):
        return _array_writer(value_writer(sql_type.element))
    if isinstance(sql_type, SqlMap):
        return _map_writer(value_writer(sql_type.value))
    if isinstance(sql_type, SqlStruct):
        return _struct_writer({name: value_writer(field) for name, field in sql_type.fields})
    return _PRIMITIVES.get(sql_type.base, _json)


def _array_writer(element: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "[" + ",".join("null" if item is None else element(item) for item in value) + "]"


def _map_writer(element: Callable[[Any], str]) -> Callable[[Any], str]:
    def write(value: dict[Any, Any]) -> str:
        items = (f"{_json(str(key))}:{'null' if item is None else element(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"

    return write


def _struct_writer(fields: dict[str, Callable[[Any], str]]) -> Callable[[Any], str]:
    def write(value: dict[str, Any]) -> str:
        items = (
            f"{_json(name)}:{'null' if value.get(name) is None else field(value[name])}"
            for name, field in fields.items()
        )
        return "{" + ",".join(items) + "}"

    return write


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _double(value: float) -> str:
    text = format_double(value)
    return text if text[-1].isdigit() else f'"{text}"'


def _date(days: int) -> str:
    return f'"{_EPOCH + datetime.timedelta(days=days)}"'


def _time(milliseconds: int) -> str:
    moment = datetime.datetime.min + datetime.timedelta(milliseconds=milliseconds)
    text = moment.strftime("%H:%M:%S" if moment.second or moment.microsecond else "%H:%M")
    return f'"{text}.{moment.microsecond // 1000:03d}"' if moment.microsecond else f'"{text}"'


def _timestamp(milliseconds: int) -> str:
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
    return f'"{moment.isoformat(timespec="milliseconds")}"'


def _bytes(value: bytes) -> str:
    return f'"{base64.b64encode(value).decode()}"'


_PRIMITIVES: dict[str, Callable[[Any], str]] = {
    "BOOLEAN": lambda value: "true" if value else "false",
    "INTEGER": str,
    "BIGINT": str,
    "DECIMAL": lambda value: format(value, "f"),
    "DOUBLE": _double,
    "DATE": _date,
    "TIME": _time,
    "TIMESTAMP": _timestamp,
    "BYTES": _bytes,
}
