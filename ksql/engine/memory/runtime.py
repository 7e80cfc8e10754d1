"""Topics and queries in memory: a record runs through everything that reads its topic before the next one comes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ksql.engine.memory.stores import MemoryState
from ksql.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ksql.engine.operators.protocol import Headers, Record
    from ksql.engine.operators.topology import Node, Topology


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """A record of a topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int
    headers: Headers = ()


@dataclass(slots=True)
class RunningQuery:
    """A topology with its state.

    Args:
        topology: what runs.
        listener: gets the result's records; None: nobody asks.
    """

    topology: Topology
    listener: Callable[[Record], None] | None = None
    state: MemoryState = field(init=False)

    def __post_init__(self) -> None:
        self.state = MemoryState(self.topology.stores)


@dataclass(slots=True)
class MemoryRuntime:
    """Topics and the queries that read and write them.

    Args:
        log: the processing log.
    """

    log: Callable[[str], None] = lambda _message: None
    topics: dict[str, list[KafkaRecord]] = field(default_factory=dict[str, list[KafkaRecord]])
    queries: list[RunningQuery] = field(default_factory=list[RunningQuery])
    _pending: deque[KafkaRecord] = field(default_factory=deque[KafkaRecord])

    def start(self, topology: Topology, listener: Callable[[Record], None] | None = None) -> RunningQuery:
        """Starts a query; it sees what is produced from now on."""
        query = RunningQuery(topology, listener)
        self.queries.append(query)
        return query

    def produce(
        self, topic: str, key: bytes | None, value: bytes | None, timestamp: int, headers: Headers = ()
    ) -> None:
        """Appends a record to a topic and runs everything that follows from it.

        Raises:
            FatalRecordError: a query cannot go on.
        """
        self._append(topic, key, value, timestamp, headers)
        while self._pending:
            record = self._pending.popleft()
            for query in self.queries:
                self._feed(query, record)

    def replay(self, query: RunningQuery) -> None:
        """Feeds a query with all that its topics hold already, in the order in which it was produced."""
        topics = {source.topic for source in query.topology.sources}
        for record in [record for topic in topics for record in self.topics.get(topic, [])]:
            self._feed(query, record)

    def _append(self, topic: str, key: bytes | None, value: bytes | None, timestamp: int, headers: Headers) -> None:
        log = self.topics.setdefault(topic, [])
        record = KafkaRecord(topic, key, value, timestamp, len(log), headers)
        log.append(record)
        self._pending.append(record)

    def _feed(self, query: RunningQuery, record: KafkaRecord) -> None:
        for source in query.topology.sources:
            if source.topic != record.topic:
                continue
            try:
                read = source.reader.read(record.key, record.value, record.timestamp, 0, record.offset, record.headers)
            except RecordError as error:
                self.log(f"{record.topic}: {error}")
                continue
            if read is not None:
                self._run(query, source.node, read)

    def _run(self, query: RunningQuery, node: Node, record: Record) -> None:
        if node.sink is not None:
            self._sink(node, record)
            return
        records = (record,) if node.operator is None else node.operator.process(record, query.state)
        is_result = node is query.topology.result and query.listener is not None
        for out in records:
            if is_result and query.listener is not None:
                query.listener(out)
            for child in node.children:
                self._run(query, child, out)

    def _sink(self, node: Node, record: Record) -> None:
        assert node.sink is not None  # noqa: S101
        try:
            key, value, timestamp = node.sink.write(record)
        except RecordError as error:
            self.log(f"{node.sink.topic}: {error}")
            return
        self._append(node.sink.topic, key, value, timestamp, record.headers)
