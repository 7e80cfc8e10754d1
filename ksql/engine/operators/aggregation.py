"""GROUP BY: state for each group, and for each window of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksql.engine.operators.protocol import Record, StoreKind, StoreSpec
from ksql.engine.operators.stateless import NOTHING, with_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import State, Window, WindowStore

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Functions:
    """All aggregate functions of a query together. States are tuples with one entry a function.

    Args:
        initial: the states of an empty group.
        add: from states, a record and its sequence number to the next states.
        undo: the same, for a record that is withdrawn; None where that is not possible.
        merge: from the states of two sessions to those of their union.
        result: from states to the functions' values.
        sequenced: whether sequence numbers are looked at.
    """

    initial: tuple[Any, ...]
    add: Callable[[tuple[Any, ...], Record, int], tuple[Any, ...]]
    undo: Callable[[tuple[Any, ...], Record, int], tuple[Any, ...]] | None
    merge: Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]
    result: Callable[[tuple[Any, ...]], Row]
    sequenced: bool


class _Sequence:
    """Numbers the records of an operator; the last number is kept with the stream times."""

    def __init__(self, name: str, *, needed: bool) -> None:
        self._name = f"{name}#sequence"
        self._needed = needed

    def next(self, state: State) -> int:
        if not self._needed:
            return 0
        number = state.times.get(self._name, 0) + 1
        state.times[self._name] = number
        return number


class AggregateResult:
    """From the stored states of a group to the functions' values."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, functions: Functions) -> None:
        self.name = "AggregateResult"
        self._functions = functions

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        assert record.value is not None  # noqa: S101 - stores hold no nulls
        return (with_value(record, self._functions.result(record.value)),)


class StreamAggregate:
    """Aggregates a stream without windows: every record gives the group's new values."""

    def __init__(self, name: str, functions: Functions, *, old_values: bool) -> None:
        self.name = name
        self.stores = (StoreSpec(f"{name}-Materialize", StoreKind.KEY_VALUE),)
        self._store = self.stores[0].name
        self._functions = functions
        self._old_values = old_values
        self._sequence = _Sequence(name, needed=functions.sequenced)

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        key = record.key
        if key is None or record.value is None:
            return NOTHING
        functions = self._functions
        store = state.table(self._store)
        entry = store.get(key)
        timestamp = record.timestamp
        if entry is None:
            states = functions.add(functions.initial, record, self._sequence.next(state))
            old = None
        else:
            states = functions.add(entry[0], record, self._sequence.next(state))
            timestamp = max(timestamp, entry[1])
            old = functions.result(entry[0]) if self._old_values else None
        store.put(key, (states, timestamp))
        return (Record(key, functions.result(states), timestamp, None, old, headers=record.headers),)


class TableAggregate:
    """Aggregates a table: a change withdraws the old row and adds the new one."""

    def __init__(self, name: str, functions: Functions, *, old_values: bool) -> None:
        self.name = name
        self.stores = (StoreSpec(f"{name}-Materialize", StoreKind.KEY_VALUE),)
        self._store = self.stores[0].name
        self._functions = functions
        self._old_values = old_values
        self._sequence = _Sequence(name, needed=functions.sequenced)

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        key = record.key
        if key is None:
            return NOTHING
        functions = self._functions
        store = state.table(self._store)
        entry = store.get(key)
        timestamp = record.timestamp if entry is None else max(record.timestamp, entry[1])
        states = None if entry is None else entry[0]
        if record.old is not None and states is not None:
            assert functions.undo is not None  # noqa: S101 - the planner saw to it
            states = functions.undo(states, with_value(record, record.old), self._sequence.next(state))
        if record.value is not None:
            states = functions.add(functions.initial if states is None else states, record, self._sequence.next(state))
        if states is None:
            return NOTHING
        store.put(key, (states, timestamp))
        old = functions.result(entry[0]) if self._old_values and entry is not None else None
        return (Record(key, functions.result(states), timestamp, None, old, headers=record.headers),)


class WindowedAggregate:
    """Aggregates a stream by tumbling or hopping windows.

    A window takes records until stream time passes its end by the grace period. With `final` it gives its values once,
    then.

    Attributes:
        due: whether to look for closed windows now; a runtime with a clock does so once a second.
    """

    due: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(
        self,
        name: str,
        functions: Functions,
        *,
        size_ms: int,
        advance_ms: int,
        grace_ms: int | None,
        retention_ms: int | None,
        final: bool,
        old_values: bool,
    ) -> None:
        self.name = name
        self._grace = max(DAY_MS - size_ms, 0) if grace_ms is None else grace_ms
        self._retention = max(retention_ms or 0, size_ms + self._grace)
        self.stores = (StoreSpec(f"{name}-Materialize", StoreKind.WINDOW, self._retention),)
        self._store = self.stores[0].name
        self._functions = functions
        self._size = size_ms
        self._advance = advance_ms
        self._final = final
        self._old_values = old_values
        self._sequence = _Sequence(name, needed=functions.sequenced)
        self._emitted = f"{name}#emitted"

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        key = record.key
        if key is None or record.value is None:
            return NOTHING
        timestamp = record.timestamp
        stream_time = max(state.times.get(self.name, -1), timestamp)
        state.times[self.name] = stream_time
        close = stream_time - self._grace
        store = state.windows(self._store)
        out: list[Record] = []
        start = max(0, timestamp - self._size + self._advance) // self._advance * self._advance
        while start <= timestamp:
            end = start + self._size
            if end > close:
                self._update(store, record, (start, end), state, out)
            start += self._advance
        if self._final:
            out = self._closed(store, close, state)
        store.expire(stream_time - self._retention)
        return out

    def _update(self, store: WindowStore, record: Record, window: Window, state: State, out: list[Record]) -> None:
        key = record.key
        assert key is not None  # noqa: S101
        functions = self._functions
        entry = store.get(key, window)
        timestamp, old = record.timestamp, None
        if entry is None:
            states = functions.add(functions.initial, record, self._sequence.next(state))
        else:
            states = functions.add(entry[0], record, self._sequence.next(state))
            timestamp = max(timestamp, entry[1])
            old = functions.result(entry[0]) if self._old_values else None
        store.put(key, window, (states, timestamp))
        if not self._final:
            out.append(Record(key, functions.result(states), timestamp, window, old, headers=record.headers))

    def _closed(self, store: WindowStore, close: int, state: State) -> list[Record]:
        """The values of windows that closed since the last time.

        Bounds are those of Kafka Streams' windows that emit on close.
        """
        last = state.times.get(self._emitted, -1)
        if (last >= close and last != -1) or not self.due():
            return []
        state.times[self._emitted] = close
        lower = max(0, last - self._size) + 1
        upper = close - self._size
        if upper < lower:
            return []
        functions = self._functions
        return [
            Record(key, functions.result(entry[0]), entry[1], window)
            for key, window, entry in store.ended(lower + self._size, upper + self._size)
        ]


class SessionAggregate:
    """Aggregates a stream by sessions: records of a key with less than the gap between them.

    Attributes:
        due: whether to look for closed windows now; a runtime with a clock does so once a second.
    """

    due: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(
        self,
        name: str,
        functions: Functions,
        *,
        gap_ms: int,
        grace_ms: int | None,
        retention_ms: int | None,
        final: bool,
        old_values: bool,
    ) -> None:
        self.name = name
        self._gap = gap_ms
        self._grace = max(DAY_MS - gap_ms, 0) if grace_ms is None else grace_ms
        self._retention = max(retention_ms or 0, gap_ms + self._grace)
        self.stores = (StoreSpec(f"{name}-Materialize", StoreKind.WINDOW, self._retention),)
        self._store = self.stores[0].name
        self._functions = functions
        self._final = final
        self._old_values = old_values
        self._sequence = _Sequence(name, needed=functions.sequenced)
        self._emitted = f"{name}#emitted"

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        key = record.key
        if key is None or record.value is None:
            return NOTHING
        timestamp = record.timestamp
        stream_time = max(state.times.get(self.name, -1), timestamp)
        state.times[self.name] = stream_time
        close = stream_time - self._grace - self._gap
        store = state.windows(self._store)
        functions = self._functions
        merged: list[tuple[Window, Any]] = [
            (window, entry)
            for window, entry in store.fetch(key, 0, timestamp + self._gap)
            if window[1] >= timestamp - self._gap
        ]
        start = min([timestamp, *(window[0] for window, _ in merged)])
        end = max([timestamp, *(window[1] for window, _ in merged)])
        out: list[Record] = []
        if end >= close:
            states = functions.initial
            for _, entry in merged:
                states = functions.merge(states, entry[0])
            for window, entry in merged:
                if window != (start, end):
                    store.delete(key, window)
                    old = functions.result(entry[0]) if self._old_values else None
                    out.append(Record(key, None, window[1], window, old, headers=record.headers))
            states = functions.add(states, record, self._sequence.next(state))
            store.put(key, (start, end), (states, end))
            out.append(Record(key, functions.result(states), end, (start, end), headers=record.headers))
        if self._final:
            out = self._closed(store, close, state)
        store.expire(stream_time - self._retention)
        return out

    def _closed(self, store: WindowStore, close: int, state: State) -> list[Record]:
        last = state.times.get(self._emitted, -1)
        if (last >= close and last != -1) or not self.due():
            return []
        state.times[self._emitted] = close
        lower = 0 if last == -1 else max(0, last)
        functions = self._functions
        return [
            Record(key, functions.result(entry[0]), entry[1], window)
            for key, window, entry in store.ended(lower, close - 1)
        ]
