"""A compiled query: sources, operators and the sink, connected; cut in sub-topologies where keys change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from ksql.engine.operators.protocol import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.operators.protocol import Headers, Operator, State, StoreSpec
    from ksql.engine.schema import Column

_LATEST: Final = 2**63 - 1


@dataclass(slots=True)
class Node:
    """An operator and what comes behind it.

    `repartition` is set where a record may have to go to another partition before the nodes behind see it: a runtime
    with several partitions sends the record through an internal topic there, one with a single partition ignores it.
    """

    name: str
    operator: Operator | None
    children: list[Node] = field(default_factory=list["Node"])
    repartition: Repartition | None = None
    sink: Sink | None = None


@dataclass(frozen=True, slots=True)
class Repartition:
    """An internal topic. Records on it carry key, value, old value, timestamp, window: any encoding will do.

    Args:
        name: unique in its topology; the internal topic is `<prefix><query id>-<name>-repartition`.
        key: the columns of the new key.
        format: how keys are written, from which follows the partition that they belong to.
    """

    name: str
    key: tuple[Column, ...]
    format: FormatInfo


class SourceReader(Protocol):
    """From a Kafka record to a record of the topology."""

    def read(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        partition: int,
        offset: int,
        headers: Headers,
    ) -> Record | None:
        """The record, or None when it is to be skipped. Raises RecordError when it cannot be read."""
        ...


@dataclass(slots=True)
class SourceTopic:
    """A topic that the topology reads, and the node that gets its records.

    `table` says that the topic is a table's changelog (it is read from the beginning).
    """

    topic: str
    source: str
    reader: SourceReader
    node: Node
    table: bool = False


class Sink(Protocol):
    """From a record of the topology to a Kafka record."""

    topic: str

    def write(self, record: Record) -> tuple[bytes | None, bytes | None, int]:
        """Key, value and timestamp in milliseconds. Raises RecordError when the record cannot be written."""
        ...


@dataclass(frozen=True, slots=True)
class Materialization:
    """Where a table's rows can be looked up.

    Args:
        store: name of the store. Its values are pairs of the value columns' values and a timestamp.
        windowed: whether it is a store by key and window.
        operators: stateless operators between the store and the table: filters and projections.
    """

    store: str
    windowed: bool
    operators: Sequence[Operator]

    def rows(self, state: State) -> Iterator[Record]:
        """All rows of the table, in the store's order."""
        if self.windowed:
            for key, window, entry in state.windows(self.store).scan():
                yield from self.finish(Record(key, entry[0], entry[1], window), state)
        else:
            for key, entry in state.table(self.store).scan():
                yield from self.finish(Record(key, entry[0], entry[1]), state)

    def row(self, key: Row, state: State) -> Iterator[Record]:
        """The rows of one key: one at most, or one for each window."""
        if self.windowed:
            for window, entry in state.windows(self.store).fetch(key, 0, _LATEST):
                yield from self.finish(Record(key, entry[0], entry[1], window), state)
        else:
            entry = state.table(self.store).get(key)
            if entry is not None:
                yield from self.finish(Record(key, entry[0], entry[1]), state)

    def finish(self, record: Record, state: State) -> Iterator[Record]:
        """A record of the store as a row of the table; nothing when a filter drops it."""
        records: list[Record] = [record]
        for operator in self.operators:
            records = [out for item in records for out in operator.process(item, state)]
        yield from (item for item in records if item.value is not None)


@dataclass(slots=True)
class Topology:
    """A query, ready to run.

    Args:
        sources: topics that are read.
        nodes: all nodes, upstream first.
        stores: all stores.
        result: the node whose records are the query's result (in front of the sink, if there is one).
        materialized: where the rows of the result table are, for pull queries; None for streams.
    """

    sources: Sequence[SourceTopic]
    nodes: Sequence[Node]
    stores: Sequence[StoreSpec]
    result: Node
    materialized: Materialization | None = None
