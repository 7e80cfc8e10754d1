"""Joins of streams and tables. Each side of a join is an operator of its own; the two share their stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ksql.engine.operators.protocol import Record, StoreKind, StoreSpec
from ksql.engine.operators.stateless import NOTHING
from ksql.engine.sql.ast import JoinType
from ksql.engine.types import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import KeyValueStore, State, Window

DAY_MS = 86_400_000
_LEFT_KEEPS = (JoinType.LEFT, JoinType.OUTER)
_RIGHT_KEEPS = (JoinType.RIGHT, JoinType.OUTER)


class Joiner:
    """Puts the values of both sides side by side; a side that is missing is all null.

    Args:
        left: number of the left side's columns.
        right: number of the right side's columns.
    """

    def __init__(self, left: int, right: int) -> None:
        self._no_left: Row = (None,) * left
        self._no_right: Row = (None,) * right

    def join(self, left: Row | None, right: Row | None) -> Row:
        """The joined value."""
        return (self._no_left if left is None else left) + (self._no_right if right is None else right)


class MaterializedTable:
    """Keeps the rows of a table, and adds the old value to each change."""

    def __init__(self, name: str, store: str) -> None:
        self.name = name
        self.stores = (StoreSpec(store, StoreKind.KEY_VALUE),)
        self._store = store

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        if record.key is None:
            return NOTHING
        key = record.key if record.window is None else (*record.key, *record.window)
        store = state.table(self._store)
        entry = store.get(key)
        if record.value is None:
            store.delete(key)
        else:
            store.put(key, (record.value, record.timestamp))
        record.old = None if entry is None else entry[0]
        return (record,)


class MaterializedWindows:
    """Keeps the rows of a windowed table."""

    def __init__(self, name: str, store: str) -> None:
        self.name = name
        self.stores = (StoreSpec(store, StoreKind.WINDOW),)
        self._store = store

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        if record.key is None or record.window is None:
            return NOTHING
        store = state.windows(self._store)
        entry = store.get(record.key, record.window)
        if record.value is None:
            store.delete(record.key, record.window)
        else:
            store.put(record.key, record.window, (record.value, record.timestamp))
        record.old = None if entry is None else entry[0]
        return (record,)


class StreamTableJoin:
    """The stream's side of a join with a table; the table's side only keeps the table."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, table_store: str, joiner: Joiner, join_type: JoinType) -> None:
        self.name = name
        self._store = table_store
        self._joiner = joiner
        self._keep = join_type is JoinType.LEFT

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        if record.value is None or (record.key is None and not self._keep):
            return NOTHING
        entry = None if record.key is None else state.table(self._store).get(record.key)
        if entry is None and not self._keep:
            return NOTHING
        value = self._joiner.join(record.value, None if entry is None else entry[0])
        return (Record(record.key, value, record.timestamp, record.window, headers=record.headers),)


class Absorb:
    """Ends a branch whose work is done once the table is kept."""

    name = "Absorb"
    stores: Sequence[StoreSpec] = ()

    def process(self, _record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        return NOTHING


class StreamJoinSide:
    """One side of a join of two streams.

    Args:
        name: of the operator; both sides share `prefix`.
        prefix: of the stores' names.
        joiner: puts values together.
        join_type: of the join.
        is_left: which side this is.
        before_ms: how much earlier a right record may be than the left one.
        after_ms: how much later.
        grace_ms: how long a window takes late records; None: without GRACE PERIOD, where unmatched records of outer
            joins are given at once instead of when their window closes.
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        joiner: Joiner,
        join_type: JoinType,
        *,
        is_left: bool,
        before_ms: int,
        after_ms: int,
        grace_ms: int | None,
    ) -> None:
        self.name = name
        self._time = f"{prefix}#time"
        self._joiner = joiner
        self._is_left = is_left
        self._keep = join_type in (_LEFT_KEEPS if is_left else _RIGHT_KEEPS)
        self._other_keeps = join_type in (_RIGHT_KEEPS if is_left else _LEFT_KEEPS)
        self._earlier, self._later = (before_ms, after_ms) if is_left else (after_ms, before_ms)
        self._after = after_ms
        self._before = before_ms
        self._eager = grace_ms is None
        self._grace = DAY_MS if grace_ms is None else grace_ms
        self._retention = before_ms + after_ms + self._grace
        self._mine = f"{prefix}-{'left' if is_left else 'right'}"
        self._theirs = f"{prefix}-{'right' if is_left else 'left'}"
        self._pending = f"{prefix}-unmatched"
        self.stores = (StoreSpec(self._mine, StoreKind.WINDOW, self._retention),)
        if not self._eager and join_type is not JoinType.INNER:
            self.stores += (StoreSpec(self._pending, StoreKind.WINDOW),)
        self._has_pending = len(self.stores) > 1

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        if record.value is None:
            return NOTHING
        if record.key is None:
            return (self._joined(record, record.value, None, record.timestamp),) if self._keep else NOTHING
        timestamp = record.timestamp
        stream_time = max(state.times.get(self._time, -1), timestamp)
        state.times[self._time] = stream_time
        out: list[Record] = self._expired(stream_time, state) if self._has_pending else []
        key = record.key if record.window is None else (*record.key, *record.window)
        mine = state.windows(self._mine)
        mine_time = max(state.times.get(self._mine, -1), timestamp)
        state.times[self._mine] = mine_time
        if timestamp > mine_time - self._retention:
            entry = mine.get(key, (timestamp, timestamp))
            mine.put(key, (timestamp, timestamp), (*(entry or ()), record.value))
        matched = False
        low, high = max(0, timestamp - self._earlier), max(0, timestamp + self._later)
        for window, values in state.windows(self._theirs).fetch(key, low, high):
            if window[0] <= state.times.get(self._theirs, -1) - self._retention:
                continue
            for value in values:
                matched = True
                out.append(self._joined(record, record.value, value, max(timestamp, window[0])))
            if self._has_pending and self._other_keeps:
                self._settle(key, window[0], state)
        if not matched and self._keep:
            # ksqlDB gives unmatched records at once unless a grace period was asked for.
            if self._eager or timestamp + self._span < stream_time:
                out.append(self._joined(record, record.value, None, timestamp))
            else:
                self._remember(key, record, state)
        mine.expire(mine_time - self._retention)
        return out

    @property
    def _span(self) -> int:
        """How long after a record's time its window closes."""
        return self._later + self._grace

    def _joined(self, record: Record, mine: Row, other: Row | None, timestamp: int) -> Record:
        value = self._joiner.join(mine, other) if self._is_left else self._joiner.join(other, mine)
        return Record(record.key, value, timestamp, record.window, headers=record.headers)

    # --- unmatched records that wait for their window to close ---

    def _remember(self, key: Row, record: Record, state: State) -> None:
        store = state.windows(self._pending)
        window = self._pending_window(record.timestamp, is_left=self._is_left)
        slot = (*key, self._is_left, record.timestamp)
        entry = store.get(slot, window) or ()
        store.put(slot, window, (*entry, (record.key, record.value, record.window)))

    def _pending_window(self, timestamp: int, *, is_left: bool) -> Window:
        return timestamp, timestamp + (self._after if is_left else self._before) + self._grace

    def _settle(self, key: Row, timestamp: int, state: State) -> None:
        """The other side's records of this time have a match now."""
        window = self._pending_window(timestamp, is_left=not self._is_left)
        state.windows(self._pending).delete((*key, not self._is_left, timestamp), window)

    def _expired(self, stream_time: int, state: State) -> list[Record]:
        store = state.windows(self._pending)
        out: list[Record] = []
        ended = store.ended(0, stream_time - 1)
        for slot, window, entries in sorted(ended, key=lambda entry: entry[1][0]):
            is_left = slot[-2]
            for key, value, key_window in entries:
                joined = self._joiner.join(value, None) if is_left else self._joiner.join(None, value)
                out.append(Record(key, joined, window[0], key_window))
            store.delete(slot, window)
        return out


class TableJoinSide:
    """One side of a join of two tables on their primary keys."""

    def __init__(
        self,
        name: str,
        joiner: Joiner,
        join_type: JoinType,
        *,
        is_left: bool,
        other_store: str,
        old_values: bool,
    ) -> None:
        self.name = name
        self.stores: Sequence[StoreSpec] = ()
        self._joiner = joiner
        self._is_left = is_left
        self._other = other_store
        self._keep = join_type in (_LEFT_KEEPS if is_left else _RIGHT_KEEPS)
        self._other_keeps = join_type in (_RIGHT_KEEPS if is_left else _LEFT_KEEPS)
        self._old_values = old_values

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        if record.key is None:
            return NOTHING
        entry = state.table(self._other).get(record.key)
        if entry is None and (not self._keep or (record.value is None and record.old is None)):
            return NOTHING
        other = None if entry is None else entry[0]
        timestamp = record.timestamp if entry is None else max(record.timestamp, entry[1])
        new = self._combine(record.value, other)
        old = self._combine(record.old, other) if self._old_values else None
        return (Record(record.key, new, timestamp, record.window, old, headers=record.headers),)

    def _combine(self, mine: Row | None, other: Row | None) -> Row | None:
        if mine is None and (other is None or not self._other_keeps):
            return None
        return self._joiner.join(mine, other) if self._is_left else self._joiner.join(other, mine)


class ForeignKeyJoinLeft:
    """The left side of a join of a table on another table's primary key."""

    def __init__(
        self,
        name: str,
        joiner: Joiner,
        join_type: JoinType,
        *,
        foreign_key: Callable[[Record], Any],
        right_store: str,
        index_store: str,
        old_values: bool,
    ) -> None:
        self.name = name
        self.stores = (StoreSpec(index_store, StoreKind.KEY_VALUE),)
        self._joiner = joiner
        self._keep = join_type is JoinType.LEFT
        self._foreign_key = foreign_key
        self._right = right_store
        self._index = index_store
        self._old_values = old_values

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        key = record.key
        if key is None:
            return NOTHING
        new_key = None if record.value is None else self._foreign_key(record)
        old_key = None
        if record.old is not None:
            old_key = self._foreign_key(Record(key, record.old, record.timestamp, record.window))
        index = state.table(self._index)
        if old_key is not None and plain(old_key) != plain(new_key):
            _unlink(index, (old_key,), key)
        if new_key is not None:
            _link(index, (new_key,), key)
        right = state.table(self._right)
        new_entry = None if new_key is None else right.get((new_key,))
        old_entry = None if old_key is None else right.get((old_key,))
        if record.value is None:
            return self._deleted(record, old_key, old_entry)
        if new_key is None and not self._keep:
            # ksqlDB withdraws what the old foreign key had given, and gives nothing for a null one.
            return (self._result(record, None, old_entry),) if old_key is not None else NOTHING
        if new_entry is None and not self._keep:
            return (
                (self._result(record, None, old_entry),) if record.old is not None and old_key is not None else NOTHING
            )
        return (self._result(record, record.value, old_entry, new_entry),)

    def _deleted(self, record: Record, old_key: Any, old_entry: Any) -> Sequence[Record]:
        if record.old is None or (old_key is None and not self._keep):
            return NOTHING
        return (self._result(record, None, old_entry),)

    def _result(self, record: Record, value: Row | None, old_entry: Any, new_entry: Any = None) -> Record:
        joined = None if value is None else self._joiner.join(value, None if new_entry is None else new_entry[0])
        timestamp = record.timestamp if new_entry is None else max(record.timestamp, new_entry[1])
        old = None
        if self._old_values and record.old is not None and (old_entry is not None or self._keep):
            old = self._joiner.join(record.old, None if old_entry is None else old_entry[0])
        return Record(record.key, joined, timestamp, None, old, headers=record.headers)


def _link(index: KeyValueStore, foreign_key: Row, key: Row) -> None:
    keys = index.get(foreign_key) or ()
    if key not in keys:
        index.put(foreign_key, (*keys, key))


def _unlink(index: KeyValueStore, foreign_key: Row, key: Row) -> None:
    keys = tuple(item for item in index.get(foreign_key) or () if item != key)
    index.put(foreign_key, keys or None)


class ForeignKeyJoinRight:
    """The right side: a change goes to all left rows that refer to it."""

    stores: Sequence[StoreSpec] = ()

    def __init__(
        self,
        name: str,
        joiner: Joiner,
        join_type: JoinType,
        *,
        left_store: str,
        index_store: str,
        old_values: bool,
    ) -> None:
        self.name = name
        self._joiner = joiner
        self._keep = join_type is JoinType.LEFT
        self._left = left_store
        self._index = index_store
        self._old_values = old_values

    def process(self, record: Record, state: State) -> Sequence[Record]:
        """See Operator."""
        if record.key is None or (record.value is None and record.old is None):
            return NOTHING
        left = state.table(self._left)
        out: list[Record] = []
        for key in state.table(self._index).get(record.key) or ():
            entry = left.get(key)
            if entry is None:
                continue
            timestamp = max(entry[1], record.timestamp)
            new = None if record.value is None and not self._keep else self._joiner.join(entry[0], record.value)
            old = None
            if self._old_values and (record.old is not None or self._keep):
                old = self._joiner.join(entry[0], record.old)
            out.append(Record(key, new, timestamp, None, old, headers=record.headers))
        return out
