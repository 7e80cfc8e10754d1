"""A compiled query: sources, operators and the sink, connected; cut in sub-topologies where keys change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ksql.engine.operators.protocol import Headers, Operator, Record, StoreSpec


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
    """

    name: str


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


@dataclass(slots=True)
class Topology:
    """A query, ready to run.

    Args:
        sources: topics that are read.
        nodes: all nodes, upstream first.
        stores: all stores.
        result: the node whose records are the query's result (in front of the sink, if there is one).
        materialized: the name of the store that holds the result table, for pull queries; None for streams.
    """

    sources: Sequence[SourceTopic]
    nodes: Sequence[Node]
    stores: Sequence[StoreSpec]
    result: Node
    materialized: str | None = None
