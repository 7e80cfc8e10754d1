"""Records, state and operators: the contract between the plan and the runtimes.

An operator is a function of a record and of the state. It never touches Kafka, a clock or a thread; a runtime feeds
it, passes what it returns to the operators behind it, and keeps the stores that it declares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ksql.engine.formats.protocol import Row

Headers = tuple[tuple[str, bytes | None], ...]
Window = tuple[int, int]
"""Start (inclusive) and end (exclusive; of sessions inclusive) in milliseconds."""


class Record:
    """One event between operators.

    Args:
        key: the key columns' values, or None for a null key.
        value: the value columns' values, or None: a null value, in a table a deletion.
        timestamp: milliseconds.
        window: of a windowed key.
        old: in tables, the value that this one replaces (where the operator before keeps it).
        partition: of the source record.
        offset: of the source record.
        headers: of the source record.
    """

    __slots__ = ("headers", "key", "offset", "old", "partition", "timestamp", "value", "window")

    def __init__(
        self,
        key: Row | None,
        value: Row | None,
        timestamp: int,
        window: Window | None = None,
        old: Row | None = None,
        partition: int = 0,
        offset: int = 0,
        headers: Headers = (),
    ) -> None:
        self.key = key
        self.value = value
        self.timestamp = timestamp
        self.window = window
        self.old = old
        self.partition = partition
        self.offset = offset
        self.headers = headers

    def __repr__(self) -> str:
        return f"Record({self.key}, {self.value}, {self.timestamp}, window={self.window}, old={self.old})"


class StoreKind(StrEnum):
    """The kinds of stores."""

    KEY_VALUE = "KEY_VALUE"
    WINDOW = "WINDOW"


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """A store that an operator needs.

    Args:
        name: unique in its topology, and the same at every start.
        kind: key-value, or by key and window (sessions and join buffers as well).
        retention_ms: after which windows may be forgotten; None for ever.
    """

    name: str
    kind: StoreKind
    retention_ms: int | None = None


class KeyValueStore(Protocol):
    """State by key. Keys are tuples of SQL values; values are made of tuples, lists, dicts and SQL values only.

    An operator owns what it puts: a value that it got is never changed in place, always replaced by another put.
    """

    def get(self, key: Row) -> Any | None:
        """The value of a key, or None."""
        ...

    def put(self, key: Row, value: Any) -> None:
        """Sets a value; None deletes."""
        ...

    def delete(self, key: Row) -> None:
        """Forgets a key, if it is there."""
        ...

    def scan(self) -> Iterator[tuple[Row, Any]]:
        """All entries, ordered by key where keys can be ordered."""
        ...

    def range(self, low: Row | None, high: Row | None) -> Iterator[tuple[Row, Any]]:
        """Entries with low <= key <= high; None is no bound."""
        ...


class WindowStore(Protocol):
    """State by key and window."""

    def get(self, key: Row, window: Window) -> Any | None:
        """The value of a key's window, or None."""
        ...

    def put(self, key: Row, window: Window, value: Any) -> None:
        """Sets a value; None deletes."""
        ...

    def delete(self, key: Row, window: Window) -> None:
        """Forgets a key's window, if it is there."""
        ...

    def fetch(self, key: Row, start_from: int, start_to: int) -> list[tuple[Window, Any]]:
        """The key's windows with start_from <= start <= start_to, by start and end."""
        ...

    def scan(self) -> Iterator[tuple[Row, Window, Any]]:
        """All entries: by window start, then key."""
        ...

    def ended(self, end_from: int, end_to: int) -> list[tuple[Row, Window, Any]]:
        """Entries with end_from <= end of the window <= end_to: by end, then start, then key."""
        ...

    def expire(self, before: int) -> None:
        """Forgets all windows that end before a time."""
        ...


class State(Protocol):
    """The state of one task: one partition of one topology."""

    times: dict[str, int]
    """Stream times by the operator's name. Operators keep them; a runtime stores them with each commit."""

    def table(self, name: str) -> KeyValueStore:
        """A key-value store that the topology declares."""
        ...

    def windows(self, name: str) -> WindowStore:
        """A window store that the topology declares."""
        ...


class Operator(Protocol):
    """A step of a topology, between others."""

    @property
    def name(self) -> str:
        """The name of the step."""
        ...

    @property
    def stores(self) -> Sequence[StoreSpec]:
        """The state that it keeps."""
        ...

    def process(self, record: Record, state: State, /) -> Iterable[Record]:
        """What becomes of a record.

        Raises:
            FatalRecordError: the query cannot go on.
        """
        ...
