"""EXPLAIN: the plan and the topology of a query, as ksqlDB would show them.

The processors of the topology are those that Kafka Streams would run: their names and numbers follow from the order in
which ksqlDB's planner adds them. The embedded engine has fewer steps; it shows what a real server would do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ksql.engine.plan.rewrite import walk
from ksql.engine.plan.steps import (
    AggregateStep,
    FilterStep,
    FlatMapStep,
    GroupByStep,
    JoinStep,
    PartitionByStep,
    ProjectStep,
    SinkStep,
    SourceStep,
    Step,
)
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ksql.engine.runtime.planning import PlannedQuery

_PSEUDO = ("ROWTIME BIGINT", "ROWPARTITION INTEGER", "ROWOFFSET BIGINT")
_BOUNDS = ("WINDOWSTART BIGINT", "WINDOWEND BIGINT")
_NAMES: dict[type[Step], str] = {PartitionByStep: "PARTITION_BY", FlatMapStep: "FLAT_MAP", JoinStep: "JOIN"}


# --- the execution plan ---


def execution_plan(planned: PlannedQuery, *, query_id: str) -> str:
    """Return the steps of a query, the last one first, each with its schema and its logger."""
    lines: list[str] = []
    for depth, (name, columns, logger) in enumerate(_plan_lines(planned)):
        indent = "\t\t" * depth
        lines.append(f"{indent} > [ {name} ] | Schema: {', '.join(columns)} | Logger: {query_id}.{logger}\n")
    return "".join(lines)


def _plan_lines(planned: PlannedQuery) -> Iterator[tuple[str, list[str], str]]:
    step: Step | None = planned.step
    while step is not None:
        below = _input(step)
        if isinstance(step, SinkStep):
            yield "SINK", _columns(step), step.name
        elif isinstance(step, SourceStep):
            yield "SOURCE", _source_columns(step), f"{step.context}.Source"
        elif isinstance(step, AggregateStep) and isinstance(below, GroupByStep):
            yield from _aggregate_lines(step, below, planned)
            below = below.input
        elif isinstance(step, FilterStep):
            yield "FILTER", _carried(step), step.context
        elif isinstance(step, ProjectStep):
            yield "PROJECT", _columns(step, transient=not planned.sink), step.context
        else:
            name = _NAMES.get(type(step), "STEP")
            yield name, _columns(step), step.context
        step = below


def _input(step: Step) -> Step | None:
    below = getattr(step, "input", None) or getattr(step, "left", None)
    return below if isinstance(below, Step) else None


def _column(name: str, kind: str, *, key: bool = False) -> str:
    return f"{name} {kind} KEY" if key else f"{name} {kind}"


def _columns(step: Step, *, transient: bool = False) -> list[str]:
    del transient
    keys = [_column(column.name, _type(column.type), key=True) for column in step.schema.key]
    return keys + [_column(column.name, _type(column.type)) for column in step.schema.value]


def _type(kind: object) -> str:
    return format_type(kind)  # type: ignore[arg-type]


def _source_columns(step: SourceStep) -> list[str]:
    source = step.source.schema
    keys = [_column(column.name, _type(column.type), key=True) for column in source.key]
    values = [_column(column.name, _type(column.type)) for column in (*source.value, *source.headers)]
    bounds = _BOUNDS if step.window is not None else ()
    copies = [_column(column.name, _type(column.type)) for column in source.key]
    return [*keys, *values, *_PSEUDO, *bounds, *copies]


def _carried(step: Step) -> list[str]:
    below: Step | None = step
    while isinstance(below, FilterStep):
        below = below.input
    if isinstance(below, SourceStep):
        return _source_columns(below)
    return _columns(below or step)


@dataclass(frozen=True)
class _Prepared:
    """The columns that ksqlDB projects before it groups."""

    required: list[str]
    internal: list[str]


def _aggregate_lines(
    step: AggregateStep, grouped: GroupByStep, planned: PlannedQuery
) -> Iterator[tuple[str, list[str], str]]:
    prepared = _prepared(step, grouped, planned)
    types = planned.aggregate_types
    variables = [_column(f"KSQL_AGG_VARIABLE_{index}", kind) for index, kind in enumerate(types)]
    bounds = list(_BOUNDS) if step.window is not None else []
    keys = [_column(column.name, _type(column.type), key=True) for column in step.schema.key]
    yield "AGGREGATE", [*keys, *prepared.required, *variables, *bounds], "Aggregate.Aggregate"
    yield "GROUP_BY", [*keys, *prepared.required, *prepared.internal], "Aggregate.GroupBy"
    before = [_column(column.name, _type(column.type), key=True) for column in grouped.input.schema.key]
    yield "PROJECT", [*before, *prepared.required, *prepared.internal], "Aggregate.Prepare"


def _prepared(step: AggregateStep, grouped: GroupByStep, planned: PlannedQuery) -> _Prepared:
    types = {column.name: _type(column.type) for column in grouped.schema.columns}
    types |= {column.name: _type(column.type) for column in grouped.input.schema.columns}
    types |= {"ROWTIME": "BIGINT", "ROWPARTITION": "INTEGER", "ROWOFFSET": "BIGINT"}
    arguments: list[ast.Expression] = []
    for call in step.functions:
        if isinstance(call, ast.FunctionCall):
            arguments += [ast.ColumnRef("ROWTIME")] if call.star or not call.args else list(call.args)
    names = dict.fromkeys(
        node.name
        for expression in (*grouped.keys, *step.required, *arguments)
        for node in walk(expression)
        if isinstance(node, ast.ColumnRef) and node.name in types
    )
    required = [_column(name, types[name]) for name in names]
    others = dict.fromkeys(
        expression for expression in (*grouped.keys, *arguments) if not isinstance(expression, ast.ColumnRef)
    )
    internal = [
        _column(f"KSQL_INTERNAL_COL_{len(required) + index}", planned.type_of(expression))
        for index, expression in enumerate(others)
    ]
    return _Prepared(required, internal)


# --- the topology ---


@dataclass
class _Topology:
    """Names processors as Kafka Streams does: with a number that counts all of them."""

    number: int = 0
    text: list[str] = field(default_factory=lambda: ["Topologies:\n"])
    current: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    count: int = 0

    def next(self, kind: str) -> str:
        name = f"{kind}-{self.number:010d}"
        self.number += 1
        return name

    def named(self, name: str) -> str:
        self.number += 1
        return name

    def add(self, kind: str, name: str, detail: str) -> None:
        self.current.append((kind, name, detail))

    def end(self) -> None:
        lines = [f"   Sub-topology: {self.count}\n" if not self.count else f"  Sub-topology: {self.count}\n"]
        for index, (kind, name, detail) in enumerate(self.current):
            lines.append(f"    {kind}: {name} ({detail})\n")
            if kind != "Sink":
                after = self.current[index + 1][1] if index + 1 < len(self.current) else "none"
                lines.append(f"      --> {after}\n")
            if index:
                lines.append(f"      <-- {self.current[index - 1][1]}\n")
        self.text.append("".join(lines) + "\n")
        self.current.clear()
        self.count += 1


def topology_text(planned: PlannedQuery) -> str:
    """Return the processors that Kafka Streams would run for a query."""
    steps: list[Step] = []
    step: Step | None = planned.step
    while step is not None:
        steps.insert(0, step)
        step = _input(step)
    found = _Topology()
    for entry in steps:
        if isinstance(entry, SourceStep):
            _add_source(entry, found, planned)
        elif isinstance(entry, FilterStep):
            _add_filter(entry, found)
        elif isinstance(entry, AggregateStep):
            _add_aggregate(entry, found)
        elif isinstance(entry, PartitionByStep):
            found.add("Processor", found.named(f"{entry.context}-SelectKey"), "stores: []")
        elif isinstance(entry, JoinStep):
            found.add("Processor", found.named(entry.context), "stores: []")
        elif isinstance(entry, ProjectStep | FlatMapStep):
            found.add("Processor", found.named(entry.context.replace(".", "-")), "stores: []")
    _add_end(planned, found)
    found.end()
    return "".join(found.text)


def _add_source(step: SourceStep, found: _Topology, planned: PlannedQuery) -> None:
    topics = f"topics: [{step.source.topic}]"
    if not step.is_table:
        found.add("Source", found.next("KSTREAM-SOURCE"), topics)
        found.add("Processor", found.next("KSTREAM-TRANSFORMVALUES"), "stores: []")
        return
    # A table's store takes a number before its source does.
    found.number += 1
    found.add("Source", found.next("KSTREAM-SOURCE"), topics)
    found.add("Processor", found.next("KTABLE-SOURCE"), "stores: []")
    found.add("Processor", found.next("KTABLE-TRANSFORMVALUES"), f"stores: [{step.context}-Reduce]")
    found.add("Processor", found.next("KTABLE-TRANSFORMVALUES"), "stores: []")
    del planned


def _add_filter(step: FilterStep, found: _Topology) -> None:
    name = step.context.replace(".", "-")
    if not step.is_table:
        found.add("Processor", found.named(name), "stores: []")
        return
    for part in ("ApplyPredicate", "Filter", "PostProcess"):
        found.add("Processor", found.named(f"{name}-{part}"), "stores: []")


def _add_aggregate(step: AggregateStep, found: _Topology) -> None:
    grouped = step.input
    found.add("Processor", found.named("Aggregate-Prepare"), "stores: []")
    rekeys = isinstance(grouped, GroupByStep) and grouped.rekeys
    if rekeys:
        found.add("Processor", found.next("KSTREAM-FILTER"), "stores: []")
        found.add("Processor", found.named("Aggregate-GroupBy"), "stores: []")
    aggregate = found.next("KSTREAM-AGGREGATE" if not grouped.is_table else "KTABLE-AGGREGATE")
    if rekeys:
        topic = "Aggregate-GroupBy-repartition"
        found.add("Processor", found.named(f"{topic}-filter"), "stores: []")
        found.add("Sink", found.named(f"{topic}-sink"), f"topic: {topic}")
        found.end()
        found.add("Source", found.named(f"{topic}-source"), f"topics: [{topic}]")
    found.add("Processor", aggregate, "stores: [Aggregate-Aggregate-Materialize]")
    found.add("Processor", found.named("Aggregate-Aggregate-ToOutputSchema"), "stores: []")
    if step.window is not None:
        found.add("Processor", found.named("Aggregate-Aggregate-WindowSelect"), "stores: []")


def _add_end(planned: PlannedQuery, found: _Topology) -> None:
    if planned.step.is_table:
        found.add("Processor", found.next("KTABLE-TOSTREAM"), "stores: []")
    if planned.sink:
        found.add("Sink", found.next("KSTREAM-SINK"), f"topic: {planned.sink_topic}")
        return
    kind = "KSTREAM-FOREACH" if planned.step.is_table else "KSTREAM-PROCESSOR"
    found.add("Processor", found.next(kind), "stores: []")
