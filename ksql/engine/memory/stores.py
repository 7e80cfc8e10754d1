"""Stores and a schema registry in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ksql.engine.formats.protocol import RegisteredSchema
from ksql.engine.operators.protocol import StoreKind
from ksql.engine.types import plain
from ksql.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import StoreSpec, Window


def _name(key: Row) -> Hashable:
    try:
        hash(key)
    except TypeError:
        return tuple(plain(item) for item in key)
    return key


def _order(key: tuple[object, ...]) -> Any:
    """Something to sort keys by, whatever they are made of."""
    return tuple(
        (item is None, str(type(item)), item if isinstance(item, (int, float, str, bytes)) else str(item))
        for item in key
    )


class MemoryTable:
    """A KeyValueStore in a dictionary."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Row, Any]] = {}

    def get(self, key: Row) -> Any | None:
        """See KeyValueStore."""
        try:
            entry = self._entries.get(key)
        except TypeError:
            entry = self._entries.get(_name(key))
        return None if entry is None else entry[1]

    def put(self, key: Row, value: Any) -> None:
        """See KeyValueStore."""
        if value is None:
            self.delete(key)
            return
        try:
            self._entries[key] = (key, value)
        except TypeError:
            self._entries[_name(key)] = (key, value)

    def delete(self, key: Row) -> None:
        """See KeyValueStore."""
        self._entries.pop(_name(key), None)

    def scan(self) -> Iterator[tuple[Row, Any]]:
        """See KeyValueStore."""
        yield from sorted(self._entries.values(), key=lambda entry: _order(entry[0]))

    def range(self, low: Row | None, high: Row | None) -> Iterator[tuple[Row, Any]]:
        """See KeyValueStore."""
        for key, value in self.scan():
            if (low is None or _order(key) >= _order(low)) and (high is None or _order(key) <= _order(high)):
                yield key, value


class MemoryWindows:
    """A WindowStore in dictionaries."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Row, dict[Window, Any]]] = {}
        self._earliest_end: int | None = None

    def get(self, key: Row, window: Window) -> Any | None:
        """See WindowStore."""
        entry = self._entries.get(_name(key))
        return None if entry is None else entry[1].get(window)

    def put(self, key: Row, window: Window, value: Any) -> None:
        """See WindowStore."""
        if value is None:
            self.delete(key, window)
            return
        self._entries.setdefault(_name(key), (key, {}))[1][window] = value
        if self._earliest_end is None or window[1] < self._earliest_end:
            self._earliest_end = window[1]

    def delete(self, key: Row, window: Window) -> None:
        """See WindowStore."""
        name = _name(key)
        entry = self._entries.get(name)
        if entry is not None:
            entry[1].pop(window, None)
            if not entry[1]:
                del self._entries[name]

    def fetch(self, key: Row, start_from: int, start_to: int) -> list[tuple[Window, Any]]:
        """See WindowStore."""
        entry = self._entries.get(_name(key))
        if entry is None:
            return []
        found = [(window, value) for window, value in entry[1].items() if start_from <= window[0] <= start_to]
        found.sort(key=lambda item: item[0])
        return found

    def _all(self) -> Iterator[tuple[Row, Window, Any]]:
        for key, windows in self._entries.values():
            for window, value in windows.items():
                yield key, window, value

    def scan(self) -> Iterator[tuple[Row, Window, Any]]:
        """See WindowStore."""
        yield from sorted(self._all(), key=lambda item: (_order(item[0]), item[1]))

    def ended(self, end_from: int, end_to: int) -> list[tuple[Row, Window, Any]]:
        """See WindowStore."""
        found = [item for item in self._all() if end_from <= item[1][1] <= end_to]
        found.sort(key=lambda item: (item[1][1], item[1][0], _order(item[0])))
        return found

    def expire(self, before: int) -> None:
        """See WindowStore."""
        if self._earliest_end is None or self._earliest_end >= before:
            return
        for key, window, _ in [item for item in self._all() if item[1][1] < before]:
            self.delete(key, window)
        self._earliest_end = min((window[1] for _, window, _ in self._all()), default=None)


class MemoryState:
    """The state of a topology with one partition."""

    def __init__(self, specs: Iterable[StoreSpec]) -> None:
        self.times: dict[str, int] = {}
        self._tables: dict[str, MemoryTable] = {}
        self._windows: dict[str, MemoryWindows] = {}
        for spec in specs:
            if spec.kind is StoreKind.KEY_VALUE:
                self._tables[spec.name] = MemoryTable()
            else:
                self._windows[spec.name] = MemoryWindows()

    def table(self, name: str) -> MemoryTable:
        """See State."""
        return self._tables[name]

    def windows(self, name: str) -> MemoryWindows:
        """See State."""
        return self._windows[name]


class MemoryRegistry:
    """A schema registry."""

    def __init__(self) -> None:
        self._schemas: dict[int, RegisteredSchema] = {}
        self._subjects: dict[str, list[int]] = {}

    def latest(self, subject: str) -> RegisteredSchema | None:
        """See SchemaRegistry."""
        ids = self._subjects.get(subject)
        return self._schemas[ids[-1]] if ids else None

    def by_id(self, schema_id: int) -> RegisteredSchema:
        """See SchemaRegistry."""
        schema = self._schemas.get(schema_id)
        if schema is None:
            raise RecordError(f"Schema {schema_id} not found")
        return schema

    def register(self, subject: str, *, type: str, text: str, schema_id: int | None = None) -> int:  # noqa: A002
        """See SchemaRegistry.

        Args:
            subject: where.
            type: AVRO, JSON or PROTOBUF.
            text: the schema.
            schema_id: an id to use; None takes a known or new one.
        """
        if schema_id is None:
            known = next((s.id for s in self._schemas.values() if s.text == text and s.type == type), None)
            schema_id = max(self._schemas, default=0) + 1 if known is None else known
        self._schemas.setdefault(schema_id, RegisteredSchema(schema_id, type, text))
        ids = self._subjects.setdefault(subject, [])
        if schema_id not in ids:
            ids.append(schema_id)
        return schema_id
