"""From a logical plan to a topology: expressions are compiled here, once."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions.compiler import Binding, Compiler
from ksql.engine.formats import format_for
from ksql.engine.formats.protobuf import default_of
from ksql.engine.formats.protocol import SerdeContext
from ksql.engine.functions.aggregates import resolve_aggregate
from ksql.engine.functions.tables import resolve_table_function
from ksql.engine.metastore import FormatInfo
from ksql.engine.operators.aggregation import (
    AggregateResult,
    Functions,
    SessionAggregate,
    StreamAggregate,
    TableAggregate,
    WindowedAggregate,
)
from ksql.engine.operators.io import Reader, TopicSink, timestamp_function
from ksql.engine.operators.joins import (
    Absorb,
    ForeignKeyJoinLeft,
    ForeignKeyJoinRight,
    Joiner,
    MaterializedTable,
    MaterializedWindows,
    StreamJoinSide,
    StreamTableJoin,
    TableJoinSide,
)
from ksql.engine.operators.stateless import (
    FlatMap,
    PartitionBy,
    Project,
    StreamFilter,
    StreamGroupBy,
    TableFilter,
    TableGroupBy,
)
from ksql.engine.operators.topology import Materialization, Node, Repartition, SourceTopic, Topology
from ksql.engine.plan.planner import PSEUDO_TYPES
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
from ksql.engine.schema import PSEUDO_COLUMNS, Namespace
from ksql.engine.sql import ast
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ksql.engine.formats.protocol import Row, SchemaRegistry
    from ksql.engine.functions.registry import Registry
    from ksql.engine.metastore import Source
    from ksql.engine.operators.protocol import Operator, Record
    from ksql.engine.schema import Column
    from ksql.engine.types import SqlType

_PSEUDO_SOURCES = {"ROWTIME": "r.timestamp", "ROWPARTITION": "r.partition", "ROWOFFSET": "r.offset"}


@dataclass(slots=True)
class _Layout:
    """Where the columns of a step's records lie: key columns in `k`, the others in `v`."""

    keys: list[tuple[str, SqlType]]
    slots: list[tuple[str, SqlType]]
    pseudo: bool = True
    window: bool = False

    def scope(self) -> dict[str, Binding]:
        scope: dict[str, Binding] = {}
        if self.pseudo:
            scope |= {name: Binding(_PSEUDO_SOURCES[name], PSEUDO_TYPES[name]) for name in PSEUDO_COLUMNS}
        if self.window:
            scope["WINDOWSTART"] = Binding("r.window[0]", PSEUDO_TYPES["WINDOWSTART"])
            scope["WINDOWEND"] = Binding("r.window[1]", PSEUDO_TYPES["WINDOWEND"])
        scope |= {name: Binding(f"k[{index}]", kind) for index, (name, kind) in enumerate(self.keys)}
        scope |= {name: Binding(f"v[{index}]", kind) for index, (name, kind) in enumerate(self.slots)}
        return scope


def _pairs(columns: Sequence[Column]) -> list[tuple[str, SqlType]]:
    return [(column.name, column.type) for column in columns]


@dataclass(slots=True)
class _Branch:
    """What has been built so far: the last node, and where its records' columns lie."""

    node: Node
    layout: _Layout
    materialized: tuple[str, bool, list[Operator]] | None = None

    def after(self, operator: Operator) -> list[Operator]:
        """The stateless operators behind the store, with one more."""
        assert self.materialized is not None  # noqa: S101
        return [*self.materialized[2], operator]


def _stored_as(sink: SinkStep) -> list[Operator]:
    """KsqlDB keeps tables in the sink's format, and Protocol Buffers do not tell null from a scalar's default."""
    info = sink.value_format
    if not info.name.startswith("PROTOBUF") or info.get("nullableRepresentation") is not None:
        return []
    defaults = tuple(default_of(column.type) for column in sink.schema.value)

    def fill(record: Record) -> Row:
        assert record.value is not None  # noqa: S101 - stores hold no nulls
        return tuple(default if value is None else value for value, default in zip(record.value, defaults, strict=True))

    return [Project("Stored", fill, old_values=False)]


def _ignore(_context: str, _error: Exception) -> None:
    """A processing log that nobody reads."""


@dataclass(slots=True)
class Builder:
    """Builds topologies.

    Args:
        functions: all functions.
        registry: the schema registry.
        settings: the engine's properties.
        log: the processing log; gets the step's context and the error.
    """

    functions: Registry
    registry: SchemaRegistry
    settings: Mapping[str, str]
    log: Callable[[str, Exception], None] = _ignore
    _sources: list[SourceTopic] = field(default_factory=list[SourceTopic])
    _read: list[Source] = field(default_factory=list["Source"])
    _nodes: list[Node] = field(default_factory=list[Node])

    def build(self, step: Step) -> Topology:
        """The topology of a plan. A builder builds one.

        Args:
            step: the last step.
        """
        sink = step if isinstance(step, SinkStep) else None
        branch = self._build(sink.input if sink else step, old=False)
        result = branch.node
        if sink is not None:
            node = Node(sink.context, None, sink=self._sink(sink))
            result.children.append(node)
            self._nodes.append(node)
        stores = {spec.name: spec for node in self._nodes if node.operator is not None for spec in node.operator.stores}
        materialized = None
        if branch.materialized is not None:
            name, windowed, operators = branch.materialized
            if sink is not None:
                operators = [*operators, *_stored_as(sink)]
            materialized = Materialization(name, windowed, tuple(operators))
        return Topology(tuple(self._sources), tuple(self._nodes), tuple(stores.values()), result, materialized)

    # --- helpers ---

    def _compiler(self, layout: _Layout) -> Compiler:
        return Compiler(layout.scope(), self.functions, self.settings)

    def _failed(self, step: Step) -> Callable[[Exception], None]:
        return lambda error: self.log(step.context, error)

    def _node(self, name: str, operator: Operator, *parents: Node) -> Node:
        node = Node(name, operator)
        for parent in parents:
            parent.children.append(node)
        self._nodes.append(node)
        return node

    def _build(self, step: Step, *, old: bool, joined: bool = False) -> _Branch:  # noqa: PLR0911 - one branch for each kind
        if isinstance(step, SourceStep):
            return self._source(step, materialize=step.is_table and not joined)
        if isinstance(step, FilterStep):
            return self._filter(step, joined=joined)
        if isinstance(step, ProjectStep):
            return self._project(step, old=old, joined=joined)
        if isinstance(step, PartitionByStep):
            return self._partition_by(step, joined=joined)
        if isinstance(step, FlatMapStep):
            return self._flat_map(step)
        if isinstance(step, AggregateStep):
            return self._aggregate(step, old=old)
        if isinstance(step, JoinStep):
            return self._join(step, old=old)
        raise TypeError(step)

    # --- ends ---

    def _context(self, topic: str, *, is_key: bool) -> SerdeContext:
        return SerdeContext(topic, is_key, self.registry)

    def reader(self, source: Source) -> Reader:
        """Reads the records of a source's topic."""
        schema = source.schema
        key = None
        if schema.key:
            key = format_for(source.key_format).deserializer(
                schema.key, source.key_format, self._context(source.topic, is_key=True)
            )
        value = format_for(source.value_format).deserializer(
            schema.value, source.value_format, self._context(source.topic, is_key=False)
        )
        timestamp = None
        if source.timestamp is not None:
            timestamp = timestamp_function(source.timestamp, schema, fatal=self._fatal_timestamps())
        return Reader(key=key, value=value, headers=schema.headers, window=source.window, timestamp=timestamp)

    def _fatal_timestamps(self) -> bool:
        return str(self.settings.get("ksql.timestamp.throw.on.invalid", "")).lower() == "true"

    def _source(self, step: SourceStep, *, materialize: bool) -> _Branch:
        source = step.source
        schema = source.schema
        layout = _Layout(_pairs(schema.key), _pairs((*schema.value, *schema.headers)), window=source.window is not None)
        if not materialize:
            node = Node(f"{step.context}.Source", None)
            self._nodes.append(node)
            materialized = None
        else:
            store = f"{step.context}-Reduce"
            windowed = source.window is not None
            operator = (MaterializedWindows if windowed else MaterializedTable)(f"{step.context}.Source", store)
            node = self._node(operator.name, operator)
            materialized = (store, windowed, list[Any]())
        self._read.append(source)
        self._sources.append(SourceTopic(source.topic, source.name, self.reader(source), node, source.is_table))
        return _Branch(node, layout, materialized)

    def _sink(self, step: SinkStep) -> TopicSink:
        return self.topic_sink(
            step.schema.key,
            step.schema.value,
            topic=step.topic,
            key_format=step.key_format,
            value_format=step.value_format,
            step=step,
        )

    def topic_sink(
        self,
        key: Sequence[Column],
        value: Sequence[Column],
        *,
        topic: str,
        key_format: FormatInfo,
        value_format: FormatInfo,
        step: SinkStep,
    ) -> TopicSink:
        """Writes records with these columns."""
        key_serializer = None
        if key:
            key_serializer = format_for(key_format).serializer(key, key_format, self._context(topic, is_key=True))
        value_serializer = format_for(value_format).serializer(value, value_format, self._context(topic, is_key=False))
        timestamp = None
        if step.timestamp is not None:
            timestamp = timestamp_function(step.timestamp, step.schema, fatal=self._fatal_timestamps())
        return TopicSink(
            topic=topic, key=key_serializer, value=value_serializer, window=step.window, timestamp=timestamp
        )

    def _repartition(self, step: Step) -> Repartition:
        """Where keys change: they are written as the first source writes its keys, if that can be."""
        for source in self._read:
            if source.schema.key and not format_for(source.key_format).needs_registry:
                with contextlib.suppress(StatementError):
                    format_for(source.key_format).validate(step.schema.key, source.key_format, is_key=True)
                    return Repartition(step.context, step.schema.key, source.key_format)
        fallback = "KAFKA" if len(step.schema.key) == 1 else "JSON"
        return Repartition(step.context, step.schema.key, FormatInfo(fallback))

    # --- stateless steps ---

    def _filter(self, step: FilterStep, *, joined: bool) -> _Branch:
        branch = self._build(step.input, old=step.is_table, joined=joined)
        condition = self._compiler(branch.layout).predicate(step.condition, self._failed(step))
        operator: Operator = (
            TableFilter(step.context, condition) if step.is_table else StreamFilter(step.context, condition)
        )
        node = self._node(step.context, operator, branch.node)
        materialized = None
        if branch.materialized is not None:
            lookup = TableFilter(step.context, condition)
            materialized = (*branch.materialized[:2], branch.after(lookup))
        return _Branch(node, branch.layout, materialized)

    def _project(self, step: ProjectStep, *, old: bool, joined: bool) -> _Branch:
        prepend = isinstance(step.input, SourceStep)
        branch = self._build(step.input, old=old, joined=joined)
        values = self._compiler(branch.layout).row_function(
            step.expressions, [column.type for column in step.schema.value], self._failed(step)
        )
        operator = Project(step.context, values, old_values=old and step.is_table)
        node = self._node(step.context, operator, branch.node)
        layout = _Layout(
            _pairs(step.schema.key),
            _pairs(step.schema.value),
            pseudo=not joined if prepend else branch.layout.pseudo,
            window=step.window is not None,
        )
        materialized = None
        if branch.materialized is not None:
            materialized = (*branch.materialized[:2], branch.after(Project(step.context, values, old_values=False)))
        return _Branch(node, layout, materialized)

    def _partition_by(self, step: PartitionByStep, *, joined: bool) -> _Branch:
        branch = self._build(step.input, old=False, joined=joined)
        compiler = self._compiler(branch.layout)
        key = None
        if step.keys:
            key = compiler.row_function(step.keys, [column.type for column in step.schema.key], self._failed(step))
        names = [column.name for column in step.schema.columns if column.namespace is Namespace.VALUE]
        value = compiler.row_function([ast.ColumnRef(name) for name in names], None, self._failed(step))
        node = self._node(step.context, PartitionBy(step.context, key, value), branch.node)
        if step.keys:
            node.repartition = self._repartition(step)
        types = {column.name: column.type for column in step.schema.columns}
        slots = [(name, types[name]) for name in names]
        return _Branch(
            node,
            _Layout(_pairs(step.schema.key), slots, pseudo=branch.layout.pseudo, window=branch.layout.window),
        )

    def _flat_map(self, step: FlatMapStep) -> _Branch:
        branch = self._build(step.input, old=False)
        compiler = self._compiler(branch.layout)
        calls: list[tuple[Callable[..., list[Any] | None], Callable[[Record], Row]]] = []
        slots = list(branch.layout.slots)
        names = [column.name for column in step.schema.columns][-len(step.functions) :]
        for name, call in zip(names, step.functions, strict=True):
            assert isinstance(call, ast.FunctionCall)  # noqa: S101
            resolved = resolve_table_function(call, compiler)
            arguments = compiler.row_function(resolved.arguments, None, self._failed(step))
            calls.append((resolved.function, arguments))
            slots.append((name, resolved.returns))
        node = self._node(step.context, FlatMap(step.context, calls), branch.node)
        layout = _Layout(branch.layout.keys, slots, pseudo=branch.layout.pseudo, window=branch.layout.window)
        return _Branch(node, layout)

    # --- aggregation ---

    def _aggregate(self, step: AggregateStep, *, old: bool) -> _Branch:
        grouped = step.input
        assert isinstance(grouped, GroupByStep)  # noqa: S101
        branch = self._build(grouped.input, old=grouped.is_table)
        layout = branch.layout
        compiler = self._compiler(layout)
        key = compiler.row_function(grouped.keys, [column.type for column in grouped.schema.key], self._failed(grouped))
        moved = layout
        group: Operator
        if grouped.is_table:
            group = TableGroupBy(grouped.context, key)
            moved = _Layout([], [*layout.slots, *layout.keys], pseudo=layout.pseudo)
        elif grouped.rekeys:
            group = StreamGroupBy(grouped.context, key)
            moved = _Layout([], [*layout.slots, *layout.keys], pseudo=layout.pseudo)
        else:
            group = StreamGroupBy(grouped.context, None)
        group_node = self._node(grouped.context, group, branch.node)
        if grouped.rekeys:
            group_node.repartition = self._repartition(grouped)
        functions = self._functions(step, moved)
        operator = self._aggregate_operator(step, functions, old=old)
        node = self._node(step.context, operator, group_node)
        names = [column.name for column in step.schema.columns if column.namespace is Namespace.VALUE]
        types = {column.name: column.type for column in step.schema.columns}
        slots = [(name, types[name]) for name in names]
        out = _Layout(_pairs(step.schema.key), slots, pseudo=True, window=step.window is not None)
        store = operator.stores[0].name
        return _Branch(node, out, (store, step.window is not None, [AggregateResult(functions)]))

    def _aggregate_operator(self, step: AggregateStep, functions: Functions, *, old: bool) -> Operator:
        clause = step.clause
        name = step.context.replace(".", "-")
        if clause is None:
            aggregate = TableAggregate if step.input.is_table else StreamAggregate
            return aggregate(name, functions, old_values=old)
        grace = None if clause.grace is None else clause.grace.milliseconds
        retention = None if clause.retention is None else clause.retention.milliseconds
        final = step.emit is ast.Emit.FINAL
        if clause.kind is ast.WindowKind.SESSION:
            return SessionAggregate(
                name,
                functions,
                gap_ms=clause.size.milliseconds,
                grace_ms=grace,
                retention_ms=retention,
                final=final,
                old_values=old,
            )
        return WindowedAggregate(
            name,
            functions,
            size_ms=clause.size.milliseconds,
            advance_ms=(clause.advance or clause.size).milliseconds,
            grace_ms=grace,
            retention_ms=retention,
            final=final,
            old_values=old,
        )

    def _functions(self, step: AggregateStep, layout: _Layout) -> Functions:
        """All aggregate functions of the step, in generated functions without loops."""
        compiler = self._compiler(layout)
        arguments: list[ast.Expression] = []
        types: list[SqlType | None] = []
        spans: list[tuple[int, int]] = []
        aggregates = []
        for call in step.functions:
            assert isinstance(call, ast.FunctionCall)  # noqa: S101
            resolved = resolve_aggregate(call, compiler, is_table=step.input.is_table)
            spans.append((len(arguments), len(arguments) + len(resolved.arguments)))
            arguments += resolved.arguments
            types += resolved.types
            aggregates.append(resolved.aggregate)
        row = compiler.row_function(arguments, types, self._failed(step)) if arguments else (lambda _record: ())
        namespace: dict[str, Any] = {"row": row}
        adds: list[str] = []
        undos: list[str] = []
        merges: list[str] = []
        results: list[str] = []
        for index, (aggregate, (start, end)) in enumerate(zip(aggregates, spans, strict=True)):
            namespace |= {
                f"add{index}": aggregate.add,
                f"undo{index}": aggregate.undo,
                f"merge{index}": aggregate.merge,
                f"result{index}": aggregate.result,
            }
            args = "".join(f", a[{position}]" for position in range(start, end))
            args += ", n" if aggregate.sequenced else ""
            adds.append(f"add{index}(s[{index}]{args})")
            undos.append(f"undo{index}(s[{index}]{args})")
            merges.append(f"merge{index}(s[{index}], t[{index}])")
            results.append(f"result{index}(s[{index}])")
        source = "\n".join(
            [
                "def add(s, r, n):",
                "    a = row(r)",
                f"    return ({', '.join(adds)},)",
                "def undo(s, r, n):",
                "    a = row(r)",
                f"    return ({', '.join(undos)},)",
                "def merge(s, t):",
                f"    return ({', '.join(merges)},)",
                "def result(s):",
                f"    return ({', '.join(results)},)",
            ]
        )
        exec(compile(source, "<aggregates>", "exec"), namespace)  # noqa: S102 - our own source only
        return Functions(
            tuple(aggregate.initial for aggregate in aggregates),
            namespace["add"],
            namespace["undo"] if all(aggregate.undo for aggregate in aggregates) else None,
            namespace["merge"],
            namespace["result"],
            any(aggregate.sequenced for aggregate in aggregates),
        )

    # --- joins ---

    def _join(self, step: JoinStep, *, old: bool) -> _Branch:
        left = self._build(step.left, old=False, joined=True)
        right = self._build(step.right, old=False, joined=True)
        joiner = Joiner(len(left.layout.slots), len(right.layout.slots))
        layout = _Layout(
            _pairs(step.schema.key),
            [*left.layout.slots, *right.layout.slots],
            pseudo=False,
            window=step.window is not None,
        )
        if step.foreign_key is not None:
            node = self._foreign_key_join(step, left, right, joiner, old=old)
        elif step.is_table:
            node = self._table_join(step, left, right, joiner)
        elif step.right.is_table:
            node = self._stream_table_join(step, left, right, joiner)
        else:
            node = self._stream_join(step, left, right, joiner)
        if not step.is_table:
            return _Branch(node, layout)
        store = f"{step.context}-Materialize"
        kept = self._node(f"{step.context}.Materialize", MaterializedTable(f"{step.context}.Materialize", store), node)
        return _Branch(kept, layout, (store, False, []))

    def _kept(self, branch: _Branch, store: str) -> Node:
        """The branch's table, kept in a store, with old values."""
        if branch.materialized is not None and not branch.materialized[2]:
            return branch.node
        return self._node(store, MaterializedTable(store, store), branch.node)

    def _store_of(self, branch: _Branch, store: str) -> str:
        if branch.materialized is not None and not branch.materialized[2]:
            return branch.materialized[0]
        return store

    def _meet(self, step: JoinStep, *parents: Node) -> Node:
        """A node without an operator, where both sides of a join come together."""
        node = Node(step.context, None)
        for parent in parents:
            parent.children.append(node)
        self._nodes.append(node)
        return node

    def _table_join(self, step: JoinStep, left: _Branch, right: _Branch, joiner: Joiner) -> Node:
        left_store = self._store_of(left, f"{step.context}-left")
        right_store = self._store_of(right, f"{step.context}-right")
        left_node = self._kept(left, f"{step.context}-left")
        right_node = self._kept(right, f"{step.context}-right")
        left_side = TableJoinSide(
            f"{step.context}.Left", joiner, step.type, is_left=True, other_store=right_store, old_values=False
        )
        right_side = TableJoinSide(
            f"{step.context}.Right", joiner, step.type, is_left=False, other_store=left_store, old_values=False
        )
        return self._meet(
            step,
            self._node(left_side.name, left_side, left_node),
            self._node(right_side.name, right_side, right_node),
        )

    def _foreign_key_join(self, step: JoinStep, left: _Branch, right: _Branch, joiner: Joiner, *, old: bool) -> Node:
        assert step.foreign_key is not None  # noqa: S101
        left_store = self._store_of(left, f"{step.context}-left")
        right_store = self._store_of(right, f"{step.context}-right")
        left_node = self._kept(left, f"{step.context}-left")
        right_node = self._kept(right, f"{step.context}-right")
        index = f"{step.context}-subscriptions"
        key = self._compiler(left.layout).row_function([step.foreign_key], None, self._failed(step))
        left_side = ForeignKeyJoinLeft(
            f"{step.context}.Left",
            joiner,
            step.type,
            foreign_key=lambda record: key(record)[0],
            right_store=right_store,
            index_store=index,
            old_values=old,
        )
        right_side = ForeignKeyJoinRight(
            f"{step.context}.Right", joiner, step.type, left_store=left_store, index_store=index, old_values=old
        )
        return self._meet(
            step,
            self._node(left_side.name, left_side, left_node),
            self._node(right_side.name, right_side, right_node),
        )

    def _stream_table_join(self, step: JoinStep, left: _Branch, right: _Branch, joiner: Joiner) -> Node:
        store = self._store_of(right, f"{step.context}-table")
        table = self._kept(right, f"{step.context}-table")
        self._node(f"{step.context}.Table", Absorb(), table)
        stream = StreamTableJoin(step.context, store, joiner, step.type)
        return self._node(stream.name, stream, left.node)

    def _stream_join(self, step: JoinStep, left: _Branch, right: _Branch, joiner: Joiner) -> Node:
        within = step.within
        assert within is not None  # noqa: S101 - the planner saw to it
        grace = None if within.grace is None else within.grace.milliseconds
        sides: list[Node] = []
        for is_left, branch in ((True, left), (False, right)):
            side = StreamJoinSide(
                f"{step.context}.{'Left' if is_left else 'Right'}",
                step.context,
                joiner,
                step.type,
                is_left=is_left,
                before_ms=within.before.milliseconds,
                after_ms=within.after.milliseconds,
                grace_ms=grace,
            )
            sides.append(self._node(side.name, side, branch.node))
        return self._meet(step, *sides)
