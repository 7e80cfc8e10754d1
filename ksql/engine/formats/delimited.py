"""DELIMITED: one line of separated values."""

from __future__ import annotations

import base64
import binascii
import csv
import io
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions.values import (
    INT_MAX,
    INT_MIN,
    LONG_MAX,
    LONG_MIN,
    fit_decimal,
    format_decimal,
    parse_decimal,
    parse_double,
)
from ksql.engine.sql.formatter import format_double
from ksql.engine.types import SqlDecimal, SqlType
from ksql.errors import RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import RegisteredSchema, Row, SerdeContext
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise RecordError(f"Not a number: {text}") from error
        if not low <= value <= high:
            raise RecordError(f"Number out of range: {text}")
        return value

    return read


def _read_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RecordError(f"Not base64: {text}") from error


def _read_text(text: str) -> str:
    return text


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "BOOLEAN": lambda text: text.lower() == "true",
    "INTEGER": _integer(INT_MIN, INT_MAX),
    "BIGINT": _integer(LONG_MIN, LONG_MAX),
    "DOUBLE": parse_double,
    "STRING": _read_text,
    "BYTES": _read_bytes,
    "DATE": _integer(INT_MIN, INT_MAX),
    "TIME": _integer(INT_MIN, INT_MAX),
    "TIMESTAMP": _integer(LONG_MIN, LONG_MAX),
}
_WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "BOOLEAN": lambda value: "true" if value else "false",
    "DOUBLE": format_double,
    "DECIMAL": format_decimal,
    "STRING": _read_text,
    "BYTES": lambda value: base64.b64encode(value).decode(),
}


class DelimitedFormat:
    """Values with a delimiter between them, quoted where they hold it; nothing stands for null."""

    name = "DELIMITED"
    needs_registry = False
    can_wrap = False
    can_unwrap = True
    settings: frozenset[str] = frozenset({"delimiter"})

    def validate(self, columns: Sequence[Column], _info: FormatInfo, *, is_key: bool) -> None:  # noqa: ARG002
        """See Format."""
        for column in columns:
            if column.type.base not in (*_READERS, "DECIMAL"):
                raise StatementError(
                    f"The 'DELIMITED' format does not support type '{column.type.base}', column: `{column.name}`"
                )

    def serializer(
        self, columns: Sequence[Column], info: FormatInfo, _context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        writers = [_WRITERS.get(column.type.base, str) for column in columns]
        delimiter = info.get("delimiter") or ","
        special = (delimiter, '"', "\n", "\r")

        def quoted(text: str, *, first: bool) -> bool:
            # When commons-csv quotes: odd characters at the ends, and what would be read otherwise.
            if not text:
                return first
            head = text[0]
            if head <= "#" or text[-1] <= " " or (first and not (head.isascii() and head.isalnum())):
                return True
            return any(char in text for char in special)

        def serialize(row: Row) -> bytes | None:
            parts: list[str] = []
            for write, value in zip(writers, row, strict=True):
                text = "" if value is None else write(value)
                if value is not None and quoted(text, first=not parts):
                    text = '"' + text.replace('"', '""') + '"'
                parts.append(text)
            return delimiter.join(parts).encode()

        return serialize

    def deserializer(
        self, columns: Sequence[Column], info: FormatInfo, _context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        readers = [_reader(column.type) for column in columns]
        delimiter = info.get("delimiter") or ","

        def deserialize(data: bytes) -> Row | None:
            text = data.decode(errors="replace")
            if '"' in text:
                try:
                    fields = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [""])
                except csv.Error as error:
                    raise RecordError(f"Not delimited: {error}") from error
            else:
                fields = text.split(delimiter)
            if len(fields) != len(readers):
                raise RecordError(f"Unexpected field count, csvFields:{len(fields)} schemaFields:{len(readers)}")
            return tuple(None if field == "" else read(field) for read, field in zip(readers, fields, strict=True))

        return deserialize

    def schema(self, _columns: Sequence[Column], _info: FormatInfo) -> tuple[str, str] | None:
        """See Format."""
        return None

    def infer(
        self,
        _schema: RegisteredSchema,
        _info: FormatInfo,
        *,
        is_key: bool,  # noqa: ARG002
    ) -> list[tuple[str, SqlType]]:
        """See Format."""
        return []


def _reader(sql_type: SqlType) -> Callable[[str], Any]:
    if isinstance(sql_type, SqlDecimal):
        precision, scale = sql_type.precision, sql_type.scale
        return lambda text: fit_decimal(parse_decimal(text), precision, scale)
    return _READERS[sql_type.base]
