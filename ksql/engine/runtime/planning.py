"""From statements to sources and topologies, for the server."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ksql.engine.expressions.compiler import Compiler
from ksql.engine.formats import format_for
from ksql.engine.formats.protocol import SerdeContext
from ksql.engine.functions.catalogue import all_functions
from ksql.engine.metastore import FormatInfo
from ksql.engine.operators.build import Builder
from ksql.engine.plan.planner import scope_of
from ksql.engine.plan.pull import pull_query
from ksql.engine.plan.statements import (
    Context,
    create_as_select,
    create_source,
    insert_into,
    push_query,
    resolve_types,
)
from ksql.engine.plan.steps import AggregateStep, FilterStep, GroupByStep, ProjectStep, SinkStep, SourceStep, Step
from ksql.engine.runtime.partitioning import placement
from ksql.engine.schema import Schema
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_type
from ksql.errors import KsqlError, RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ksql.engine.formats.protocol import Row
    from ksql.engine.metastore import MetaStore, Source, WindowInfo
    from ksql.engine.operators.topology import Topology
    from ksql.engine.plan.pull import PullQuery
    from ksql.engine.runtime.registry import Registry
    from ksql.engine.schema import Column
    from ksql.engine.types import SqlType

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlannedQuery:
    """A query that can be run and explained.

    Attributes:
        query_id: its id.
        step: the last step of its plan.
        topology: what runs.
        sources: the streams and tables that it reads.
        sink: the stream or table that it writes; empty for a query by itself.
        sink_topic: the topic that it writes.
        sink_source: the stream or table that it makes; None where it makes none.
        columns: of its result.
    """

    query_id: str
    step: Step
    topology: Topology
    sources: tuple[str, ...]
    sink: str = ""
    sink_topic: str = ""
    sink_source: Source | None = None
    columns: tuple[Column, ...] = ()
    _planning: Planning = field(repr=False)

    @property
    def registry(self) -> Registry:
        """The schema registry."""
        return self._planning.registry

    def placement(self, tasks: int) -> Callable[[Row | None], int]:
        """Return a function from a key of the result to the task that has its state.

        Args:
            tasks: how many there are.
        """
        moved = [node.repartition for node in self.topology.nodes if node.repartition is not None]
        if moved:
            return placement(moved[-1].key, moved[-1].format, tasks, self.registry)
        step = self.step
        while not isinstance(step, SourceStep):
            step = getattr(step, "input", None) or getattr(step, "left")  # noqa: B009 - every other step has one
        source = step.source
        return placement(source.schema.key, source.key_format, tasks, self.registry, topic=source.topic)

    @property
    def window(self) -> WindowInfo | None:
        """The windows of its key."""
        return self.step.window

    @property
    def row_columns(self) -> tuple[Column, ...]:
        """The columns of its rows, for a query by itself."""
        return self.step.schema.value

    @property
    def aggregate(self) -> AggregateStep | None:
        """The step that aggregates, if there is one."""
        step: Step | None = self.step
        while step is not None:
            if isinstance(step, AggregateStep):
                return step
            step = step.input if isinstance(step, SinkStep | ProjectStep | FilterStep) else None
        return None

    @property
    def aggregate_types(self) -> list[str]:
        """The types of the aggregates' states, as text."""
        step = self.aggregate
        return [] if step is None else [format_type(column.type) for column in step.schema.value]

    def type_of(self, expression: ast.Expression) -> str:
        """Return the type of an expression below the aggregation, as text."""
        step = self.aggregate
        if step is None or not isinstance(step.input, GroupByStep):
            raise StatementError("the query does not aggregate")
        return format_type(self._planning.compiler(step.input.input).type_of(expression))


class Planning:
    """Understands statements.

    Args:
        registry: the schema registry.
    """

    def __init__(self, *, registry: Registry) -> None:
        self.functions = all_functions()
        self.registry = registry
        self._serializers: dict[Source, tuple[Callable[[Row], bytes | None], Callable[[Row], bytes | None]]] = {}

    def context(self, metastore: MetaStore) -> Context:
        """Return what statements are understood against."""
        return Context(metastore, self.functions, self.registry, {})

    def compiler(self, step: Step) -> Compiler:
        """Return a compiler of expressions over a step's records."""
        return Compiler(scope_of(step), self.functions)

    # --- sources ---

    def check_elements(self, statement: ast.CreateSource, metastore: MetaStore) -> None:
        """Check what ksqlDB checks before it completes a statement: names, types, constraints, properties.

        Raises:
            KsqlError: one of them is wrong.
        """
        try:
            create_source(statement, self.context(metastore))
        except KsqlError as error:
            if error.message.startswith(("Failed to prepare statement", "Line: ")):
                raise

    def declare(self, statement: ast.CreateSource, metastore: MetaStore) -> Source:
        """Return the stream or table of a statement.

        Raises:
            KsqlError: it cannot be made.
        """
        if not statement.elements:
            raise StatementError("No columns supplied.")
        return create_source(statement, self.context(metastore))

    def check_formats(self, statement: ast.CreateSource) -> None:
        """Check that there are the formats that a statement names.

        Raises:
            StatementError: there is no such format.
        """
        names = {name.upper(): str(getattr(value, "value", "")).upper() for name, value in statement.properties}
        for property_name in ("KEY_FORMAT", "VALUE_FORMAT", "FORMAT"):
            if property_name in names:
                format_for(FormatInfo(names[property_name]))

    def inferred(self, statement: ast.CreateSource, metastore: MetaStore) -> ast.CreateSource:
        """Return the statement with the columns that the registry has, where it names none.

        Raises:
            KsqlError: the registry has none.
        """
        constraints = {ast.Constraint.NONE}
        if any(element.constraint in constraints for element in statement.elements):
            return resolve_types(statement, metastore.types)
        names = {name: getattr(value, "value", "") for name, value in statement.properties}
        info = str(names.get("VALUE_FORMAT") or names.get("FORMAT")).upper()
        if not format_for(FormatInfo(info)).needs_registry:
            return resolve_types(statement, metastore.types)
        source = create_source(statement, self.context(metastore))
        key = ast.Constraint.PRIMARY_KEY if statement.is_table else ast.Constraint.KEY
        known = {element.name: element for element in statement.elements}
        elements = [
            known.get(column.name)
            or ast.TableElement(
                column.name, column.type, key if column in source.schema.key else ast.Constraint.NONE, column.header
            )
            for column in source.schema.columns
        ]
        return replace(statement, elements=tuple(elements))

    def alter(self, statement: ast.AlterSource, metastore: MetaStore) -> Source:
        """Return a stream or table with more columns.

        Raises:
            KsqlError: there is no such source, or the columns cannot be added.
        """
        source = metastore.get(statement.name)
        if source is None:
            raise StatementError(f"Source {statement.name} does not exist.")
        if source.is_table != statement.is_table:
            kind = "TABLE" if statement.is_table else "STREAM"
            raise StatementError(f"Incompatible data source type is {source.kind}, but statement was ALTER {kind}")
        if source.derived:
            raise StatementError("ALTER command is not supported for CREATE ... AS statements.")
        resolved: ast.AlterSource = resolve_types(statement, metastore.types)
        taken = {column.name for column in source.schema.columns}
        for element in resolved.columns:
            if element.name in taken:
                raise StatementError(
                    f"Cannot add column `{element.name}` to schema. A column with the same name already exists."
                )
        added = Schema.of(value=((element.name, element.type) for element in resolved.columns)).columns
        return replace(source, schema=Schema((*source.schema.columns, *added)))

    def type(self, statement: ast.CreateType, metastore: MetaStore) -> SqlType:
        """Return the type of a CREATE TYPE statement."""
        resolved: ast.CreateType = resolve_types(statement, metastore.types)
        return resolved.type

    # --- queries ---

    def query(
        self,
        statement: ast.CreateAsSelect | ast.InsertInto,
        metastore: MetaStore,
        *,
        query_id: str,
    ) -> PlannedQuery:
        """Return the query of a statement.

        Raises:
            KsqlError: it cannot run.
        """
        context = self.context(metastore)
        if isinstance(statement, ast.InsertInto):
            plan = insert_into(statement, context)
            source = None
        else:
            created = create_as_select(statement, context)
            plan, source = created.plan, created.source
        sink = plan.step
        if not isinstance(sink, SinkStep):
            raise StatementError("the query has no sink")
        columns = sink.schema.columns if source is None else source.schema.columns
        return PlannedQuery(
            query_id=query_id,
            step=sink,
            topology=self._topology(sink, query_id),
            sources=plan.sources,
            sink=plan.sink or "",
            sink_topic=sink.topic,
            sink_source=source,
            columns=columns,
            _planning=self,
        )

    def push(self, query: ast.Query, metastore: MetaStore, *, query_id: str) -> PlannedQuery:
        """Return a query by itself.

        Raises:
            KsqlError: it cannot run.
        """
        plan = push_query(query, self.context(metastore))
        return PlannedQuery(
            query_id=query_id,
            step=plan.step,
            topology=self._topology(plan.step, query_id),
            sources=plan.sources,
            columns=plan.step.schema.columns,
            _planning=self,
        )

    def pull(self, query: ast.Query, metastore: MetaStore) -> PullQuery:
        """Return a pull query over a table.

        Raises:
            KsqlError: it cannot be answered.
        """
        return pull_query(query, self.context(metastore))

    def _topology(self, step: Step, query_id: str) -> Topology:
        def log(context: str, error: Exception) -> None:
            _log.warning("%s.%s: %s", query_id, context, error)

        return Builder(self.functions, self.registry, {}, log).build(step)

    # --- formats ---

    def register(self, source: Source, *, derived: bool) -> None:
        """Register the schemas of a stream's or table's topic, where its formats have some.

        Args:
            source: the stream or table.
            derived: whether a query writes the topic. Then its schema must fit those before it; a topic that others
                write keeps the schema that they have registered.
        """
        for is_key, info, columns in (
            (True, source.key_format, source.schema.key),
            (False, source.value_format, source.schema.value),
        ):
            if columns and format_for(info).needs_registry:
                subject = f"{source.topic}-{'key' if is_key else 'value'}"
                if not derived and self.registry.latest(subject) is not None:
                    continue
                context = SerdeContext(source.topic, is_key, self.registry)
                # A format registers its schema with the first row; what becomes of this one does not matter.
                with contextlib.suppress(RecordError):
                    format_for(info).serializer(columns, info, context)((None,) * len(columns))

    def serializers(self, source: Source) -> tuple[Callable[[Row], bytes | None], Callable[[Row], bytes | None]]:
        """Return functions from a key and from a value to bytes."""
        known = self._serializers.get(source)
        if known is None:
            schema = source.schema
            key, value = (SerdeContext(source.topic, is_key, self.registry) for is_key in (True, False))
            known = self._serializers[source] = (
                format_for(source.key_format).serializer(schema.key, source.key_format, key),
                format_for(source.value_format).serializer(schema.value, source.value_format, value),
            )
        return known
