"""State that survives: a write buffer over RocksDB, and the changelog that RocksDB can be rebuilt from.

What operators put lies in memory until the runtime has committed the Kafka transaction that holds the same changes as
changelog records; only then it goes to RocksDB, in one batch with the position in the changelog that it stands for. So
RocksDB never holds what was not committed, and after a crash it lacks at most what the changelog has from that
position on.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from ksql.engine.operators.protocol import StoreKind
from ksql.engine.runtime.codec import WINDOW, dumps, key_bytes, loads, window_bytes
from ksql.engine.types import plain

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from rocksdict import Rdict, WriteBatch

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import StoreSpec, Window

_MISSING: Final = object()
_FOREVER: Final = 1 << 62
_TIMES: Final = b"\xff\xfftimes"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a store: the key and the value (None: deleted) of its changelog record."""

    key: bytes
    value: bytes | None


class Disk:
    """The part of a RocksDB that belongs to one store of one task; None as database keeps everything in memory.

    Args:
        database: shared by all stores of a query.
        prefix: tells this store's entries from others'.
    """

    def __init__(self, database: Rdict | None, *, prefix: bytes) -> None:
        self._database = database
        self._prefix = prefix
        self._memory: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a key."""
        if self._database is None:
            return self._memory.get(key)
        return self._database.get(self._prefix + key)

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], batch: WriteBatch) -> None:
        """Add changes to a batch."""
        if self._database is None:
            for key, value in changes:
                if value is None:
                    self._memory.pop(key, None)
                else:
                    self._memory[key] = value
            return
        for key, value in changes:
            if value is None:
                batch.delete(self._prefix + key)
            else:
                batch.put(self._prefix + key, value)

    def items(self, start: bytes = b"", *, low: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return entries in the order of their bytes.

        Args:
            start: what their keys begin with.
            low: the first key that counts.
        """
        first = max(start, low)
        if self._database is None:
            entries = sorted(entry for entry in self._memory.items() if entry[0] >= first)
            yield from (entry for entry in entries if entry[0].startswith(start))
            return
        entries = cast("Iterator[tuple[bytes, bytes]]", self._database.items(from_key=self._prefix + first))
        for key, value in entries:
            if not key.startswith(self._prefix + start):
                return
            yield key[len(self._prefix) :], value


class TableStore:
    """A key-value store (`ksql.engine.operators.protocol.KeyValueStore`).

    Args:
        disk: where committed entries lie.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._cache: dict[Hashable, tuple[Row, Any]] = {}
        self._dirty: dict[Hashable, None] = {}

    def get(self, key: Row) -> Any | None:
        """Return the value of a key, or None."""
        name = _name(key)
        entry = self._cache.get(name)
        if entry is None:
            data = self._disk.get(key_bytes(key))
            entry = (key, None if data is None else loads(data)[1])
            self._cache[name] = entry
        return entry[1]

    def put(self, key: Row, value: Any) -> None:
        """Set a value; None deletes."""
        name = _name(key)
        self._cache[name] = (key, value)
        self._dirty[name] = None

    def delete(self, key: Row) -> None:
        """Forget a key."""
        self.put(key, None)

    def scan(self) -> Iterator[tuple[Row, Any]]:
        """Return all entries in the order of their keys' bytes."""
        found = {data: loads(value) for data, value in self._disk.items()}
        for name in self._dirty:
            key, value = self._cache[name]
            found[key_bytes(key)] = (key, value)
        for data in sorted(found):
            key, value = found[data]
            if value is not None:
                yield key, value

    def range(self, low: Row | None, high: Row | None) -> Iterator[tuple[Row, Any]]:
        """Return entries with low <= key <= high; None is no bound."""
        for key, value in self.scan():
            if (low is None or key >= low) and (high is None or key <= high):
                yield key, value

    @property
    def pending(self) -> int:
        """How many entries changed since the last commit."""
        return len(self._dirty)

    def changes(self) -> list[Change]:
        """Return what changed since the last commit."""
        found: list[Change] = []
        for name in self._dirty:
            key, value = self._cache[name]
            found.append(Change(key_bytes(key), None if value is None else dumps((key, value))))
        return found

    def committed(self, changes: Sequence[Change], batch: WriteBatch, *, keep: int) -> None:
        """Move the changes to the disk, and keep so many entries in memory."""
        self._disk.write(((change.key, change.value) for change in changes), batch)
        self._dirty.clear()
        for name in list(self._cache)[: max(len(self._cache) - keep, 0)]:
            del self._cache[name]

    def restore(self, change: Change, batch: WriteBatch) -> None:
        """Take over one changelog record."""
        self._disk.write(((change.key, change.value),), batch)

    def rollback(self) -> None:
        """Forget everything that was not committed."""
        self._cache.clear()
        self._dirty.clear()


class WindowedStore:
    """A store by key and window (`ksql.engine.operators.protocol.WindowStore`).

    Entries of a key are read together. A second order, by the windows' ends, finds what can be forgotten without
    looking at anything else: on the disk as entries without value, in memory as a sorted list.

    Args:
        disk: where committed entries lie.
        ends: where the order by ends lies.
    """

    def __init__(self, disk: Disk, *, ends: Disk) -> None:
        self._disk = disk
        self._ends = ends
        self._cache: dict[Hashable, tuple[Row, dict[Window, Any]]] = {}
        self._dirty: dict[tuple[Hashable, Window], None] = {}
        self._recent: list[tuple[int, int, bytes, Row]] = []
        self._disk_end: int | None = None

    def get(self, key: Row, window: Window) -> Any | None:
        """Return the value of a key's window, or None."""
        return self._windows(key).get(window)

    def put(self, key: Row, window: Window, value: Any) -> None:
        """Set a value; None deletes."""
        windows = self._windows(key)
        if value is None:
            windows.pop(window, None)
        else:
            if window not in windows:
                bisect.insort(self._recent, (window[1], window[0], key_bytes(key), key), key=_place)
            windows[window] = value
        self._dirty[_name(key), window] = None

    def delete(self, key: Row, window: Window) -> None:
        """Forget a key's window."""
        self.put(key, window, None)

    def fetch(self, key: Row, start_from: int, start_to: int) -> list[tuple[Window, Any]]:
        """Return the key's windows with start_from <= start <= start_to, by start and end."""
        return sorted(
            (item for item in self._windows(key).items() if start_from <= item[0][0] <= start_to),
            key=lambda item: item[0],
        )

    def scan(self) -> Iterator[tuple[Row, Window, Any]]:
        """Return all entries by window start, then key."""
        return iter(sorted(self.entries(), key=lambda entry: (entry[1][0], key_bytes(entry[0]), entry[1][1])))

    def entries(self) -> Iterator[tuple[Row, Window, Any]]:
        """Return all entries by the key's bytes, then window."""
        found: dict[bytes, tuple[Row, Window, Any]] = {}
        for data, value in self._disk.items():
            key, item = loads(value)
            found[data] = (key, WINDOW.unpack(data[-WINDOW.size :]), item)
        for name, window in self._dirty:
            key, windows = self._cache[name]
            found[key_bytes(key) + window_bytes(window)] = (key, window, windows.get(window))
        return (found[data] for data in sorted(found) if found[data][2] is not None)

    def ended(self, end_from: int, end_to: int) -> list[tuple[Row, Window, Any]]:
        """Return entries with end_from <= end of the window <= end_to: by end, then start, then key."""
        if end_to < self._first_end():
            return []
        found: dict[tuple[int, int, bytes], tuple[Row, Window, Any]] = {}
        for end, start, data, key in self._ending(end_from, end_to):
            value = self.get(key, (start, end))
            if value is not None:
                found[end, start, data] = (key, (start, end), value)
        return [found[place] for place in sorted(found)]

    def expire(self, before: int) -> None:
        """Forget all windows that end before a time."""
        if before <= self._first_end():
            return
        for end, start, _, key in list(self._ending(-_FOREVER, before - 1)):
            if self.get(key, (start, end)) is not None:
                self.delete(key, (start, end))
        del self._recent[: bisect.bisect_left(self._recent, before, key=_end)]
        self._disk_end = before

    def _ending(self, end_from: int, end_to: int) -> Iterator[tuple[int, int, bytes, Row]]:
        low = bisect.bisect_left(self._recent, end_from, key=_end)
        yield from self._recent[low : bisect.bisect_left(self._recent, end_to + 1, key=_end)]
        for data, value in self._ends.items(low=WINDOW.pack(max(end_from, 0), 0)):
            end, start = WINDOW.unpack(data[: WINDOW.size])
            if end > end_to:
                return
            (key,) = loads(value)
            yield end, start, data[WINDOW.size :], key

    def _first_end(self) -> int:
        disk_end = self._disk_end
        if disk_end is None:
            first = next(self._ends.items(), None)
            disk_end = _FOREVER if first is None else int(WINDOW.unpack(first[0][: WINDOW.size])[0])
            self._disk_end = disk_end
        return min(disk_end, self._recent[0][0]) if self._recent else disk_end

    def _windows(self, key: Row) -> dict[Window, Any]:
        name = _name(key)
        entry = self._cache.get(name)
        if entry is None:
            start = key_bytes(key)
            length = len(start) + WINDOW.size
            entry = self._cache[name] = (
                key,
                {
                    WINDOW.unpack(data[-WINDOW.size :]): loads(value)[1]
                    for data, value in self._disk.items(start)
                    if len(data) == length
                },
            )
        return entry[1]

    @property
    def pending(self) -> int:
        """How many entries changed since the last commit."""
        return len(self._dirty)

    def changes(self) -> list[Change]:
        """Return what changed since the last commit."""
        found: list[Change] = []
        for name, window in self._dirty:
            key, windows = self._cache[name]
            value = windows.get(window)
            found.append(Change(key_bytes(key) + window_bytes(window), None if value is None else dumps((key, value))))
        return found

    def committed(self, changes: Sequence[Change], batch: WriteBatch, *, keep: int) -> None:
        """Move the changes to the disk, and keep so many keys in memory."""
        for change in changes:
            self.restore(change, batch)
        for name, window in self._dirty:
            key, windows = self._cache[name]
            if window not in windows:
                place = WINDOW.pack(window[1], window[0]) + key_bytes(key)
                self._ends.write(((place, None),), batch)
        self._dirty.clear()
        self._recent.clear()
        self._disk_end = None
        for name in list(self._cache)[: max(len(self._cache) - keep, 0)]:
            del self._cache[name]

    def restore(self, change: Change, batch: WriteBatch) -> None:
        """Take over one changelog record."""
        self._disk.write(((change.key, change.value),), batch)
        start, end = WINDOW.unpack(change.key[-WINDOW.size :])
        place = WINDOW.pack(end, start) + change.key[: -WINDOW.size]
        value = None if change.value is None else dumps((loads(change.value)[0],))
        self._ends.write(((place, value),), batch)

    def rollback(self) -> None:
        """Forget everything that was not committed."""
        self._cache.clear()
        self._dirty.clear()
        self._recent.clear()
        self._disk_end = None


Store = TableStore | WindowedStore


@dataclass(kw_only=True)
class TaskState:
    """The state of one task: one partition of one topology (`ksql.engine.operators.protocol.State`).

    Attributes:
        partition: the task's number.
        stores: by name.
        times_disks: where the stream times lie, by store.
        times: stream times, kept by the operators.
    """

    partition: int
    stores: dict[str, Store]
    times_disks: dict[str, Disk]
    times: dict[str, int] = field(default_factory=dict[str, int])
    _saved: dict[str, int] = field(default_factory=dict[str, int])

    def table(self, name: str) -> TableStore:
        """Return a key-value store."""
        store = self.stores[name]
        if not isinstance(store, TableStore):
            raise TypeError(f"{name} is a window store")
        return store

    def windows(self, name: str) -> WindowedStore:
        """Return a window store."""
        store = self.stores[name]
        if not isinstance(store, WindowedStore):
            raise TypeError(f"{name} is a key-value store")
        return store

    @property
    def pending(self) -> int:
        """How many entries changed since the last commit."""
        return sum(store.pending for store in self.stores.values())

    def changes(self) -> dict[str, list[Change]]:
        """Return what changed since the last commit, by store; stream times go with the first store."""
        found = {name: store.changes() for name, store in self.stores.items()}
        if found and self.times != self._saved:
            found[next(iter(found))].append(Change(_TIMES, dumps(self.times)))
        return found

    def committed(self, changes: dict[str, list[Change]], batch: WriteBatch, *, keep: int) -> None:
        """Move the changes to the disk.

        Args:
            changes: what `changes` returned, all of it in a committed transaction.
            batch: of the query's database.
            keep: how many entries of each store stay in memory.
        """
        for name, entries in changes.items():
            state = [change for change in entries if change.key != _TIMES]
            self.stores[name].committed(state, batch, keep=keep)
            if len(state) != len(entries):
                self._save_times(name, entries[-1], batch)
        self._saved = dict(self.times)

    def restore(self, name: str, change: Change, batch: WriteBatch) -> None:
        """Take over one changelog record of a store."""
        if change.key == _TIMES:
            self.times = self._saved = {} if change.value is None else loads(change.value)
            self._save_times(name, change, batch)
        else:
            self.stores[name].restore(change, batch)

    def load(self) -> None:
        """Read the stream times of the last commit."""
        for name in self.stores:
            data = self.times_disks[name].get(_TIMES)
            if data is not None:
                self.times = loads(data)
        self._saved = dict(self.times)

    def rollback(self) -> None:
        """Forget everything that was not committed."""
        for store in self.stores.values():
            store.rollback()
        self.times = dict(self._saved)

    def _save_times(self, name: str, change: Change, batch: WriteBatch) -> None:
        self.times_disks[name].write(((_TIMES, change.value),), batch)


def make_state(specs: Sequence[StoreSpec], *, partition: int, database: Rdict | None) -> TaskState:
    """Make the state of a task.

    Args:
        specs: the stores of the topology.
        partition: the task's number.
        database: RocksDB of the query; None for state that ends with the query.
    """
    stores: dict[str, Store] = {}
    times: dict[str, Disk] = {}
    for spec in specs:
        prefix = f"{partition:05d}/{spec.name}/".encode()
        disk = Disk(database, prefix=prefix + b"s")
        times[spec.name] = Disk(database, prefix=prefix + b"t")
        if spec.kind is StoreKind.KEY_VALUE:
            stores[spec.name] = TableStore(disk)
        else:
            stores[spec.name] = WindowedStore(disk, ends=Disk(database, prefix=prefix + b"e"))
    return TaskState(partition=partition, stores=stores, times_disks=times)


def _end(entry: tuple[int, int, bytes, Row]) -> int:
    return entry[0]


def _place(entry: tuple[int, int, bytes, Row]) -> tuple[int, int, bytes]:
    # Keys themselves need not be comparable; their bytes are.
    return entry[:3]


def _name(key: Row) -> Hashable:
    try:
        hash(key)
    except TypeError:
        return tuple(plain(value) for value in key)
    return key
