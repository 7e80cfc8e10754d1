from __future__ import annotations

import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import Options, Rdict, WriteBatch

from ksql.engine.operators.protocol import StoreKind, StoreSpec
from ksql.engine.runtime.codec import dumps, key_bytes, loads
from ksql.engine.runtime.partitioning import murmur2, partition_of
from ksql.engine.runtime.stores import Change, TaskState, make_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECS = (StoreSpec("table", StoreKind.KEY_VALUE), StoreSpec("windows", StoreKind.WINDOW, 1000))

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(values)
def test_state_comes_back_as_it_went(value: Any) -> None:
    assert loads(dumps(value)) == value


def test_state_makes_nothing_but_sql_values() -> None:
    with pytest.raises(pickle.UnpicklingError, match="may not hold"):
        loads(pickle.dumps(pytest.raises))
    assert loads(dumps(Decimal("1.50"))) == Decimal("1.50")


@given(st.text(), st.text())
def test_texts_sort_as_their_bytes(one: str, other: str) -> None:
    assert (key_bytes((one,)) < key_bytes((other,))) == (one.encode() < other.encode())
    assert (key_bytes((one, "x")) == key_bytes((other, "x"))) == (one == other)


def test_equal_structs_are_one_key() -> None:
    assert key_bytes(({"A": 1, "B": 2},)) == key_bytes(({"B": 2, "A": 1},))
    assert key_bytes((None,)) != key_bytes(("",))


@pytest.mark.parametrize(("key", "partitions", "partition"), [
    (b"/a", 2, 0), (b"/b", 2, 1), (b"/c", 2, 0), (b"b1", 4, 3), (b"b2", 4, 2), (b"b3", 4, 1), (b"b4", 4, 0),
])  # fmt: skip
def test_keys_lie_where_kafkas_java_clients_put_them(key: bytes, partitions: int, partition: int) -> None:
    assert partition_of(key, partitions) == partition


@pytest.mark.parametrize(
    ("text", "signed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_murmur2_gives_the_published_values(text: str, signed: int) -> None:
    assert murmur2(text.encode()) == signed & 0xFFFFFFFF


class Host:
    """A state with its database, as a query keeps them."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.database = self._open()
        self.state = make_state(SPECS, partition=3, database=self.database)
        self.log: list[tuple[str, Change]] = []

    def _open(self) -> Rdict | None:
        return None if self.folder is None else Rdict(str(self.folder), Options(raw_mode=True))

    def commit(self, *, keep: int = 0) -> None:
        changes = self.state.changes()
        self.log += [(name, change) for name, entries in changes.items() for change in entries]
        batch = WriteBatch(raw_mode=True)
        self.state.committed(changes, batch, keep=keep)
        if self.database is not None:
            self.database.write(batch)

    def reopened(self) -> TaskState:
        assert self.database is not None
        self.database.close()
        self.database = self._open()
        self.state = make_state(SPECS, partition=3, database=self.database)
        self.state.load()
        return self.state


@pytest.fixture(params=["disk", "memory"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "db" if request.param == "disk" else None)
    yield made
    if made.database is not None:
        made.database.close()


def test_a_table_is_read_through_its_buffer(host: Host) -> None:
    table = host.state.table("table")
    table.put(("b",), (1, [2]))
    table.put(("a",), (0,))
    host.commit()
    table.put(("c",), (3,))
    table.put(("a",), (9,))
    table.delete(("b",))
    assert list(table.scan()) == [(("a",), (9,)), (("c",), (3,))]
    assert list(table.range(("b",), None)) == [(("c",), (3,))]
    assert table.get(("b",)) is None
    host.commit()
    assert table.get(("a",)) == (9,)
    assert [key for key, _ in table.scan()] == [("a",), ("c",)]


def test_what_was_not_committed_is_forgotten(host: Host) -> None:
    table, windows = host.state.table("table"), host.state.windows("windows")
    table.put(("a",), 1)
    windows.put(("a",), (0, 10), 1)
    host.state.times["time"] = 5
    host.commit()
    table.put(("a",), 2)
    windows.put(("a",), (0, 10), 2)
    windows.put(("b",), (5, 15), 2)
    host.state.times["time"] = 6
    host.state.rollback()
    assert (table.get(("a",)), windows.get(("a",), (0, 10)), windows.get(("b",), (5, 15))) == (1, 1, None)
    assert host.state.times == {"time": 5}
    assert host.state.pending == 0


def test_windows_are_found_by_key_and_by_end(host: Host) -> None:
    windows = host.state.windows("windows")
    for start in (30, 0, 20, 10):
        windows.put(("k",), (start, start + 10), start)
        if start == 0:
            host.commit()
    windows.put(("other",), (0, 10), "x")
    assert windows.fetch(("k",), 5, 20) == [((10, 20), 10), ((20, 30), 20)]
    assert [window for _, window, _ in windows.ended(10, 20)] == [(0, 10), (0, 10), (10, 20)]
    assert windows.ended(100, 200) == []
    windows.expire(20)
    assert [(key, window) for key, window, _ in windows.scan()] == [
        (("k",), (10, 20)), (("k",), (20, 30)), (("k",), (30, 40)),
    ]  # fmt: skip
    host.commit()
    windows.expire(30)
    assert [window for _, window, _ in windows.entries()] == [(20, 30), (30, 40)]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.sampled_from(["put", "delete", "commit", "expire"]))
    )
)
def test_windows_agree_with_a_dictionary(actions: list[tuple[str, int, str]]) -> None:
    host, model = Host(None), dict[tuple[str, int], int]()
    windows = host.state.windows("windows")
    for number, (key, start, action) in enumerate(actions):
        window = (start, start + 5)
        if action == "put":
            windows.put((key,), window, number)
            model[key, start] = number
        elif action == "delete":
            windows.delete((key,), window)
            model.pop((key, start), None)
        elif action == "commit":
            host.commit(keep=number % 3)
        else:
            windows.expire(start)
            model = {place: value for place, value in model.items() if place[1] + 5 >= start}
        for name in "abc":
            expected = sorted((begin, value) for (k, begin), value in model.items() if k == name)
            assert [(w[0], value) for w, value in windows.fetch((name,), 0, 100)] == expected
        ended = sorted((begin + 5, begin, k) for k, begin in model if 7 <= begin + 5 <= 15)
        assert [(w[1], w[0], k[0]) for k, w, _ in windows.ended(7, 15)] == ended


def test_a_restart_finds_what_was_committed(tmp_path: Path) -> None:
    host = Host(tmp_path / "db")
    host.state.table("table").put(("a",), {"x": Decimal(1)})
    host.state.windows("windows").put(("a",), (0, 10), 7)
    host.state.times["time"] = 42
    host.commit()
    host.state.table("table").put(("a",), "never committed")
    state = host.reopened()
    assert state.table("table").get(("a",)) == {"x": Decimal(1)}
    assert state.windows("windows").ended(0, 20) == [(("a",), (0, 10), 7)]
    assert state.times == {"time": 42}


def test_the_changelog_rebuilds_the_state(tmp_path: Path) -> None:
    host = Host(tmp_path / "db")
    for number in range(20):
        host.state.table("table").put((f"k{number % 7}",), number)
        host.state.windows("windows").put((f"k{number % 3}",), (number, number + 10), number)
        host.state.times["time"] = number
        if number == 10:
            host.state.table("table").delete(("k1",))
            host.state.windows("windows").expire(15)
        if number % 4 == 0:
            host.commit(keep=number % 5)
    host.commit()
    other = Host(tmp_path / "other")
    batch = WriteBatch(raw_mode=True)
    for name, change in host.log:
        other.state.restore(name, change, batch)
    assert other.database is not None
    other.database.write(batch)
    assert list(other.state.table("table").scan()) == list(host.state.table("table").scan())
    assert list(other.state.windows("windows").entries()) == list(host.state.windows("windows").entries())
    assert other.state.times == host.state.times
    assert other.state.windows("windows").ended(0, 100) == host.state.windows("windows").ended(0, 100)
