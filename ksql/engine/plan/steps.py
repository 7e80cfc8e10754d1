"""The logical plan. Steps are named as EXPLAIN names them; a step knows its input and the schema of what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksql.engine.metastore import FormatInfo, Source, TimestampColumn, WindowInfo
    from ksql.engine.schema import Schema
    from ksql.engine.sql.ast import Emit, Expression, JoinType, WindowClause, Within


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Base of all steps.

    Args:
        context: the step's name in loggers, e.g. `Aggregate.GroupBy`.
        schema: of the records that it returns.
        is_table: whether these are a table's changes.
        window: of the key.
    """

    context: str
    schema: Schema
    is_table: bool
    window: WindowInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStep(Step):
    """Reads a stream or table."""

    source: Source
    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterStep(Step):
    """WHERE or HAVING."""

    input: Step
    condition: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectStep(Step):
    """SELECT: an expression for each column of the schema's value; keys pass through."""

    input: Step
    expressions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionByStep(Step):
    """PARTITION BY, or the rekeying in front of a join: an expression for each key column (none: no key)."""

    input: Step
    keys: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupByStep(Step):
    """GROUP BY: an expression for each key column. `rekeys` is False when the key stays what it is."""

    input: Step
    keys: tuple[Expression, ...]
    rekeys: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateStep(Step):
    """Aggregation of the group.

    Args:
        required: the columns of the input that pass through with their latest value.
        functions: calls of aggregate functions; their results are the columns behind the required ones.
        clause: the WINDOW clause.
        emit: FINAL waits for a window's end.
    """

    input: Step
    required: tuple[Expression, ...]
    functions: tuple[Expression, ...]
    clause: WindowClause | None = None
    emit: Emit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatMapStep(Step):
    """Table functions: calls whose results are the columns behind the input's."""

    input: Step
    functions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStep(Step):
    """A join of two steps on their keys, or (foreign_key) of a table on an expression over the left side."""

    left: Step
    right: Step
    type: JoinType
    within: Within | None = None
    foreign_key: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStep(Step):
    """Writes the result to a topic."""

    input: Step
    name: str
    topic: str
    key_format: FormatInfo
    value_format: FormatInfo
    timestamp: TimestampColumn | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """A planned query.

    Args:
        step: the last step: a SinkStep for persistent queries.
        sources: names of the sources that it reads, in the order of FROM.
        sink: name of the stream or table that it writes; None for a push query.
        limit: rows after which a push query ends.
        keys: for a push query, what each column of the answer is in the key: the index of a key column, or the name of
            a window bound; None for all others, which are null when a row is deleted.
    """

    step: Step
    sources: tuple[str, ...] = field(default=())
    sink: str | None = None
    limit: int | None = None
    keys: tuple[int | str | None, ...] = ()
