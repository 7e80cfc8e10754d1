"""The ends of a topology: from Kafka's bytes to records, and back."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions import temporal
from ksql.engine.metastore import WindowInfo, WindowType
from ksql.engine.operators.protocol import Record
from ksql.engine.types import STRING
from ksql.errors import FatalRecordError, RecordError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ksql.engine.formats.protocol import Row
    from ksql.engine.metastore import TimestampColumn
    from ksql.engine.operators.protocol import Headers, Window
    from ksql.engine.schema import Column, Schema

_LONG = struct.Struct(">q")
_LONGS = struct.Struct(">qq")


def split_window(key: bytes, window: WindowInfo) -> tuple[bytes, Window]:
    """A windowed key's bytes and its window.

    Raises:
        RecordError: the key is too short.
    """
    try:
        if window.type is WindowType.SESSION:
            end, start = _LONGS.unpack_from(key, len(key) - 16)
            return key[:-16], (start, end)
        (start,) = _LONG.unpack_from(key, len(key) - 8)
    except struct.error as error:
        raise RecordError("The key has no window") from error
    return key[:-8], (start, start + (window.size_ms or 0))


def append_window(key: bytes, window: Window, info: WindowInfo) -> bytes:
    """The bytes of a windowed key."""
    if info.type is WindowType.SESSION:
        return key + _LONGS.pack(window[1], window[0])
    return key + _LONG.pack(window[0])


def timestamp_function(column: TimestampColumn, schema: Schema, *, fatal: bool) -> Callable[[Row | None, Row], int]:
    """A function from key and value to the record's time.

    Args:
        column: which column, and its pattern.
        schema: of the key and the value.
        fatal: whether a bad time ends the query; otherwise the record is skipped.
    """
    found = schema.find(column.name)
    assert found is not None  # noqa: S101 - checked when the source was made
    keys = [item.name for item in schema.key]
    in_key = column.name in keys
    index = keys.index(column.name) if in_key else [item.name for item in schema.value].index(column.name)
    pattern = column.pattern if found.type == STRING else None

    def extract(key: Row | None, value: Row) -> int:
        row = key if in_key else value
        try:
            raw: Any = None if row is None else row[index]
            if raw is None:
                raise RecordError(f"The timestamp column {column.name} is null")
            time = raw if pattern is None else temporal.parse_pattern(raw, pattern).millis(temporal.UTC)
            if time < 0:
                raise RecordError(f"Negative timestamp: {time}")
        except RecordError as error:
            if fatal:
                raise FatalRecordError(
                    f"Fatal user code error in TimestampExtractor callback for record: {error}"
                ) from error
            raise
        return time

    return extract


class Reader:
    """Reads the records of a stream's or table's topic.

    Args:
        key: deserializer of keys; None for sources without key columns.
        value: deserializer of values.
        headers: header columns, which come behind the value's columns.
        window: of windowed keys.
        timestamp: takes the record's time from key and value; None: Kafka's.
    """

    def __init__(
        self,
        *,
        key: Callable[[bytes], Row | None] | None,
        value: Callable[[bytes], Row | None],
        headers: tuple[Column, ...],
        window: WindowInfo | None,
        timestamp: Callable[[Row | None, Row], int] | None,
    ) -> None:
        self._key = key
        self._value = value
        self._headers = headers
        self._window = window
        self._timestamp = timestamp

    def read(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        partition: int,
        offset: int,
        headers: Headers,
    ) -> Record | None:
        """See SourceReader."""
        window = None
        key_row = None
        if key is not None and self._key is not None:
            if self._window is not None:
                key, window = split_window(key, self._window)
            key_row = self._key(key)
        value_row = None if value is None else self._value(value)
        if value_row is not None:
            if self._timestamp is not None:
                timestamp = self._timestamp(key_row, value_row)
            if self._headers:
                value_row = (*value_row, *(_header(column, headers) for column in self._headers))
        return Record(key_row, value_row, timestamp, window, None, partition, offset, headers)


def _header(column: Column, headers: Headers) -> Any:
    if column.header is None:
        return [{"KEY": name, "VALUE": value} for name, value in headers]
    return next((value for name, value in reversed(headers) if name == column.header), None)


class TopicSink:
    """Writes records to a topic.

    Args:
        topic: its name.
        key: serializer of keys; None writes no keys.
        value: serializer of values.
        window: of windowed keys.
        timestamp: takes the record's time from key and value; None: the record's own.
    """

    def __init__(
        self,
        *,
        topic: str,
        key: Callable[[Row], bytes | None] | None,
        value: Callable[[Row], bytes | None],
        window: WindowInfo | None,
        timestamp: Callable[[Row | None, Row], int] | None,
    ) -> None:
        self.topic = topic
        self._key = key
        self._value = value
        self._window = window
        self._timestamp = timestamp

    def write(self, record: Record) -> tuple[bytes | None, bytes | None, int]:
        """See Sink."""
        timestamp = record.timestamp
        if self._timestamp is not None and record.value is not None:
            timestamp = self._timestamp(record.key, record.value)
        key = None
        if record.key is not None and self._key is not None:
            key = self._key(record.key)
            if self._window is not None and record.window is not None:
                key = append_window(key or b"", record.window, self._window)
        value = None if record.value is None else self._value(record.value)
        return key, value, timestamp
