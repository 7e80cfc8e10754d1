"""Pull queries over the state of a table's query: in which task to look, and in which order the rows come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ksql.engine.runtime.codec import key_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import Record
    from ksql.engine.operators.topology import Materialization
    from ksql.engine.plan.pull import PullQuery
    from ksql.engine.runtime.stores import TaskState


def rows(
    query: PullQuery,
    materialization: Materialization,
    states: Sequence[TaskState],
    *,
    task_of: Callable[[Row], int],
) -> list[Row]:
    """Return the rows of a pull query.

    Args:
        query: what is asked.
        materialization: where the table's rows are.
        states: the tasks of the table's query.
        task_of: from a key to the task that it belongs to.
    """
    found: list[Row] = []
    for record in _records(query, materialization, states, task_of):
        if query.limit is not None and len(found) >= query.limit:
            break
        if query.condition(record):
            found.append(query.project(record))
    return found


def _records(
    query: PullQuery,
    materialization: Materialization,
    states: Sequence[TaskState],
    task_of: Callable[[Row], int],
) -> Iterator[Record]:
    if query.keys is None:
        for state in states:
            yield from sorted(materialization.rows(state), key=_place)
        return
    for key in query.keys:
        # Only where the key belongs: a row that another partitioner put elsewhere is not found, as in ksqlDB.
        if None not in key:
            yield from sorted(materialization.row(key, states[task_of(key)]), key=_place)


def _place(record: Record) -> tuple[bytes, Any]:
    return key_bytes(record.key or ()), record.window or ()
