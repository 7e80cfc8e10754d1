"""A topology at work: tasks with their state, connected by function calls.

All tasks of a query run in one thread of one process. So a record whose key changed needs no internal topic to reach
the task that has the new key's state: it is handed over, and everything that follows from one record is part of the
same transaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ksql.engine.operators.aggregation import SessionAggregate, StreamAggregate, TableAggregate, WindowedAggregate
from ksql.engine.operators.joins import MaterializedTable
from ksql.engine.operators.protocol import Record
from ksql.engine.runtime.codec import key_bytes
from ksql.engine.runtime.partitioning import placement

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ksql.engine.formats.protocol import SchemaRegistry
    from ksql.engine.operators.topology import Node, Topology
    from ksql.engine.runtime.stores import TaskState

_MERGED: Final = (StreamAggregate, TableAggregate, WindowedAggregate, SessionAggregate, MaterializedTable)
"""The operators whose stores Kafka Streams puts a cache in front of."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a pipeline's records go.

    Attributes:
        sink: gets the records of nodes with a sink, and that node.
        result: gets the records of the topology's result node; None where nobody asks.
    """

    sink: Callable[[Record, Node], None] | None = None
    result: Callable[[Record], None] | None = None


class Pipeline:
    """The tasks of one topology.

    Args:
        topology: what to run.
        states: one for each task.
        output: where records go.
        caching: whether updates of one key are merged until `flush`.
        registry: for keys whose format has schemas.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        states: Sequence[TaskState],
        output: Output,
        caching: bool,
        registry: SchemaRegistry,
    ) -> None:
        self._registry = registry
        self._topology = topology
        self._states = states
        self._output = output
        self._caches: list[_Cache] = []
        self._caching = caching
        self._pushes: dict[tuple[int, int], Callable[[Record], None]] = {}
        self.sources = [[self._push(source.node, task) for source in topology.sources] for task in range(len(states))]

    @property
    def cached(self) -> int:
        """How many merged updates wait for `flush`."""
        return sum(len(cache.entries) for cache in self._caches)

    @property
    def caches(self) -> bool:
        """Whether any operator's updates are merged."""
        return bool(self._caches)

    def flush(self) -> None:
        """Pass on all merged updates, in the order of their last change."""
        # A node's successors are made before it: what one cache passes on may wait again in one that comes later here.
        for cache in reversed(self._caches):
            cache.flush()

    def clear(self) -> None:
        """Forget all merged updates."""
        for cache in self._caches:
            cache.entries.clear()

    def _push(self, node: Node, task: int) -> Callable[[Record], None]:
        known = self._pushes.get((id(node), task))
        if known is None:
            known = self._pushes[id(node), task] = self._make(node, task)
        return known

    def _make(self, node: Node, task: int) -> Callable[[Record], None]:
        forward = self._forward(node, task)
        operator = node.operator
        if operator is None:
            return forward
        if isinstance(operator, WindowedAggregate | SessionAggregate):
            operator.due = _OnceASecond()
        if self._caching and isinstance(operator, _MERGED):
            cache = _Cache(forward)
            self._caches.append(cache)
            forward = cache.add
        process, state = operator.process, self._states[task]

        def push(record: Record) -> None:
            for result in process(record, state):
                forward(result)

        return push

    def _forward(self, node: Node, task: int) -> Callable[[Record], None]:
        receivers: list[Callable[[Record], None]] = []
        if node is self._topology.result and self._output.result is not None:
            receivers.append(self._output.result)
        if node.sink is not None and self._output.sink is not None:
            sink = self._output.sink
            receivers.append(lambda record: sink(record, node))
        if node.repartition is not None and len(self._states) > 1:
            receivers.append(self._shuffle(node))
        else:
            receivers += [self._push(child, task) for child in node.children]
        if len(receivers) == 1:
            return receivers[0]

        def fan_out(record: Record) -> None:
            for receive in receivers:
                receive(record)

        return fan_out

    def _shuffle(self, node: Node) -> Callable[[Record], None]:
        tasks = [[self._push(child, task) for child in node.children] for task in range(len(self._states))]
        repartition = node.repartition
        if repartition is None:
            raise ValueError(f"the keys of {node.name} do not change")
        task_of = placement(repartition.key, repartition.format, len(tasks), self._registry)

        def hand_over(record: Record) -> None:
            for push in tasks[task_of(record.key)]:
                push(record)

        return hand_over


class _OnceASecond:
    """True at the first call, and then at most once a second."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._last < 1.0:
            return False
        self._last = now
        return True


class _Cache:
    """Updates of a table that wait: for each key (and window) the last one, with the old value of the first."""

    def __init__(self, forward: Callable[[Record], None]) -> None:
        self._forward = forward
        self.entries: dict[Hashable, Record] = {}

    def add(self, record: Record) -> None:
        key = record.key if record.window is None else (record.key, record.window)
        try:
            before = self.entries.pop(key, None)
        except TypeError:
            key = (key_bytes(record.key or ()), record.window)
            before = self.entries.pop(key, None)
        if before is not None:
            record = Record(
                record.key,
                record.value,
                record.timestamp,
                record.window,
                before.old,
                record.partition,
                record.offset,
                record.headers,
            )
        self.entries[key] = record

    def flush(self) -> None:
        entries, self.entries = self.entries, {}
        for record in entries.values():
            self._forward(record)
