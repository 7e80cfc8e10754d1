"""From a query to its logical plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ksql.engine.expressions.compiler import Binding, CodegenError, Compiler
from ksql.engine.functions.aggregates import resolve_aggregate
from ksql.engine.functions.registry import FunctionKind, Registry
from ksql.engine.functions.tables import resolve_table_function
from ksql.engine.metastore import Source, WindowInfo, WindowType
from ksql.engine.plan.names import Aliased, AliasGenerator, at, sanitize, sources_of
from ksql.engine.plan.rewrite import transform, walk
from ksql.engine.plan.steps import (
    AggregateStep,
    FilterStep,
    FlatMapStep,
    GroupByStep,
    JoinStep,
    PartitionByStep,
    ProjectStep,
    SourceStep,
    Step,
)
from ksql.engine.schema import (
    PSEUDO_COLUMNS,
    ROWOFFSET,
    ROWPARTITION,
    ROWTIME,
    SYSTEM_COLUMNS,
    WINDOW_BOUNDS,
    Column,
    Namespace,
    Schema,
)
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_expression, format_identifier
from ksql.engine.types import BIGINT, BOOLEAN, INTEGER, NULL, SqlStruct, SqlType, contains_map
from ksql.errors import KsqlError, StatementError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ksql.engine.metastore import MetaStore

PSEUDO_TYPES: Final[dict[str, SqlType]] = {
    ROWTIME: BIGINT,
    ROWPARTITION: INTEGER,
    ROWOFFSET: BIGINT,
    "WINDOWSTART": BIGINT,
    "WINDOWEND": BIGINT,
}
_WINDOW_TYPES: Final = {
    ast.WindowKind.TUMBLING: WindowType.TUMBLING,
    ast.WindowKind.HOPPING: WindowType.HOPPING,
    ast.WindowKind.SESSION: WindowType.SESSION,
}
_KEY_HELP: Final = "Key missing from projection (ie, SELECT). See https://cnfl.io/2LV7ouS."


def scope_of(step: Step) -> dict[str, Binding]:
    """The columns that expressions over a step's records see; sources of bindings are filled when it is compiled."""
    names: dict[str, SqlType] = {}
    if not isinstance(step, (JoinStep, AggregateStep)):
        names |= {name: PSEUDO_TYPES[name] for name in PSEUDO_COLUMNS}
    if step.window is not None:
        names |= {name: PSEUDO_TYPES[name] for name in WINDOW_BOUNDS}
    names |= {column.name: column.type for column in step.schema.columns}
    return {name: Binding(name, sql_type) for name, sql_type in names.items()}


@dataclass(slots=True)
class KeyColumn:
    """A key column of a step, and all expressions that are equal to it."""

    name: str
    equivalents: list[ast.Expression]


@dataclass(slots=True)
class Node:
    """A step with what is known about its key."""

    step: Step
    keys: list[KeyColumn]
    aliases: list[str] = field(default_factory=list[str])
    synthetic: bool = False
    """Whether the key is a column that no source has: of an outer join, or of a join on expressions."""
    key_kind: str = "key column"
    joined_by_foreign_key: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan without its sink.

    Args:
        step: gives the result's records.
        sources: what the query reads, in the order of FROM.
        query: the query with qualified and named columns.
    """

    step: ProjectStep
    sources: tuple[Aliased, ...]
    query: ast.Query


@dataclass(slots=True)
class Planner:
    """Plans queries.

    Args:
        metastore: the streams and tables that exist.
        functions: the functions that exist.
        settings: the engine's properties.
    """

    metastore: MetaStore
    functions: Registry
    settings: Mapping[str, str]

    def plan(self, query: ast.Query, *, sink: str | None = None) -> Planned:
        """Plans a query.

        Args:
            query: as parsed.
            sink: name of the stream or table that it is to fill; None for a query by itself.

        Raises:
            KsqlError: it is no valid query.
        """
        query = sanitize(query, self.metastore)
        sources = tuple(sources_of(query, self.metastore))
        return _QueryPlanner(self, query, sources, sink).plan()


class _QueryPlanner:
    def __init__(self, planner: Planner, query: ast.Query, sources: tuple[Aliased, ...], sink: str | None) -> None:
        self._functions = planner.functions
        self._settings = planner.settings
        self._query = query
        self._sources = sources
        self._by_alias = {aliased.alias: aliased for aliased in sources}
        self._sink = sink
        self._joined = len(sources) > 1
        self._generator = AliasGenerator(
            [
                *(column.name for aliased in sources for column in aliased.source.schema.columns),
                *(item.alias for item in query.select if isinstance(item, ast.SingleColumn) and item.alias),
            ]
        )
        self._synthetic_names: list[str] = []
        self._table_calls: dict[ast.Expression, ast.Expression] = {}

    # --- helpers ---

    def _compiler(self, step: Step) -> Compiler:
        return Compiler(scope_of(step), self._functions, self._settings)

    def _type(self, expression: ast.Expression, step: Step) -> SqlType:
        return self._compiler(step).type_of(expression)

    def _is_aggregate(self, node: ast.Expression) -> bool:
        return isinstance(node, ast.FunctionCall) and self._functions.kind(node.name) is FunctionKind.AGGREGATE

    def _is_table_function(self, node: ast.Expression) -> bool:
        return isinstance(node, ast.FunctionCall) and self._functions.kind(node.name) is FunctionKind.TABLE

    def _lower(self, expression: ast.Expression, clause: str) -> ast.Expression:
        """The expression with columns named as in the steps.

        Raises:
            StatementError: a column does not exist.
        """

        def lower(node: ast.Expression) -> ast.Expression | None:
            if not isinstance(node, ast.ColumnRef):
                return None
            self._check_column(node, clause)
            if node.source is None or not self._joined:
                return ast.ColumnRef(node.name, position=node.position)
            return ast.ColumnRef(f"{node.source}_{node.name}", position=node.position)

        return transform(expression, lower)

    def _check_column(self, node: ast.ColumnRef, clause: str) -> None:
        if node.source is not None:
            aliased = self._by_alias.get(node.source)
            if aliased is not None and aliased.has(node.name):
                return
            name = f"{node.source}.{node.name}"
        else:
            if node.name in self._synthetic_names:
                return
            if node.name in WINDOW_BOUNDS:
                if self._query.window is not None and clause == "SELECT":
                    return
                if self._query.window is not None and clause in ("GROUP BY", "HAVING"):
                    raise StatementError(_bounds_message(node.name))
                if clause == "WHERE":
                    raise StatementError(f"Error in WHERE expression: Unknown column {node.name}.")
            name = node.name
        raise StatementError(f"{at(node.position)}{clause} column '{name}' cannot be resolved.")

    # --- the plan ---

    def plan(self) -> Planned:
        query = self._query
        self._check_clauses()
        node = self._from()
        if query.where is not None:
            node = self._where(node, query.where)
        if query.partition_by is not None:
            node = self._partition_by(node, query.partition_by)
        aggregates = self._aggregate_calls()
        if query.group_by is not None or aggregates:
            projected = self._aggregate(node, aggregates)
        else:
            if query.having is not None:
                raise StatementError("HAVING requires a GROUP BY clause.")
            node = self._flat_map(node)
            projected = self._project(node)
        return Planned(projected, self._sources, query)

    def _check_clauses(self) -> None:  # noqa: C901 - one branch for each kind
        query = self._query
        for item in query.select:
            if isinstance(item, ast.SingleColumn):
                self._check_item(item)
        if query.window is not None and query.group_by is None:
            raise StatementError("WINDOW clause requires a GROUP BY clause.")
        if query.partition_by is not None and query.group_by is not None:
            raise StatementError("Only one of PARTITION BY or GROUP BY is supported")
        if query.emit is ast.Emit.FINAL and query.window is None:
            raise StatementError("EMIT FINAL is only supported for windowed aggregations.")
        for clause, expressions in (
            ("GROUP BY", query.group_by or ()),
            ("PARTITION BY", query.partition_by or ()),
            ("WHERE", (query.where,) if query.where is not None else ()),
        ):
            for expression in expressions:
                for node in walk(expression):
                    if self._is_aggregate(node) and isinstance(node, ast.FunctionCall):
                        raise StatementError(
                            f"{clause} does not support aggregate functions: {node.name} is an aggregate function."
                        )
                    if self._is_table_function(node) and isinstance(node, ast.FunctionCall):
                        raise StatementError(
                            f"{clause} does not support table functions: {node.name} is a table function."
                        )

    def _check_item(self, item: ast.SingleColumn) -> None:
        """Raises for names that a sink cannot have, and for functions that do not exist."""
        if self._sink is not None and item.alias in SYSTEM_COLUMNS:
            raise StatementError(f"Reserved column name in select: `{item.alias}`. Please remove or alias the column.")
        for node in walk(item.expression):
            if isinstance(node, ast.FunctionCall):
                self._functions.get(node.name)

    # --- FROM ---

    def _source_node(self, aliased: Aliased, context: str) -> Node:
        source = aliased.source
        step = SourceStep(
            context=context,
            schema=source.schema,
            is_table=source.is_table,
            window=source.window,
            source=source,
            alias=aliased.alias,
        )
        if not self._joined:
            keys = [KeyColumn(column.name, [ast.ColumnRef(column.name)]) for column in source.schema.key]
            return Node(step, keys, [aliased.alias])
        prefix = aliased.alias + "_"
        columns = [Column(prefix + column.name, column.type, Namespace.KEY) for column in source.schema.key]
        names = [
            *(column.name for column in source.schema.columns if column.namespace is not Namespace.KEY),
            *PSEUDO_COLUMNS,
            *(WINDOW_BOUNDS if source.window else ()),
            *(column.name for column in source.schema.key),
        ]
        types = {column.name: column.type for column in source.schema.columns} | PSEUDO_TYPES
        value = [Column(prefix + name, types[name]) for name in names]
        project = ProjectStep(
            context=f"{context}.PrependAlias{aliased.alias}",
            schema=Schema((*columns, *value)),
            is_table=source.is_table,
            window=source.window,
            input=step,
            expressions=tuple(ast.ColumnRef(name) for name in names),
        )
        keys = [KeyColumn(prefix + column.name, [ast.ColumnRef(prefix + column.name)]) for column in source.schema.key]
        return Node(project, keys, [aliased.alias])

    def _from(self) -> Node:
        if not self._joined:
            return self._source_node(self._sources[0], "KsqlTopic")
        self._choose_synthetic_name()
        node = self._source_node(self._sources[0], "Left" if len(self._sources) == 2 else "L_Left")
        for index, join in enumerate(self._query.joins, 1):
            right = self._source_node(self._sources[index], f"Right{index}")
            node = self._join(node, right, join, index)
        return node

    def _choose_synthetic_name(self) -> None:
        taken = {column.name for aliased in self._sources for column in aliased.source.schema.columns}
        count, name = 0, "ROWKEY"
        while name in taken:
            count += 1
            name = f"ROWKEY_{count}"
        self._synthetic = name

    def _join(self, left: Node, right: Node, join: ast.JoinedSource, index: int) -> Node:
        right_source = self._sources[index]
        self._check_join_sources(left, right, join, right_source)
        left_expression, right_expression = self._criteria(left, join, right_source)
        lowered_left = self._lower(left_expression, "JOIN ON")
        lowered_right = self._lower(right_expression, "JOIN ON")
        left_type, right_type = self._type(lowered_left, left.step), self._type(lowered_right, right.step)
        if left_type != right_type:
            raise StatementError(
                "Invalid join condition: types don't match. Got "
                f"{format_expression(left_expression)}{{{left_type}}} = "
                f"{format_expression(right_expression)}{{{right_type}}}."
            )
        context = "Join" if len(self._query.joins) == index else f"L_Join{index}"
        if left.step.is_table and right.step.is_table:
            self._check_table_key(
                right,
                lowered_right,
                join,
                "table-table joins require to join on the primary key of the right input table",
            )
            if not _is_key(left, lowered_left):
                return self._foreign_key_join(left, right, lowered_left, join, context)
        elif right.step.is_table:
            self._check_table_key(
                right, lowered_right, join, "stream-table joins require to join on the table's primary key"
            )
        left = self._rekey(left, lowered_left, "Left")
        right = self._rekey(right, lowered_right, "Right")
        self._check_windows(left, right, join)
        return self._joined_node(left, right, lowered_left, lowered_right, join, context)

    def _check_join_sources(self, left: Node, right: Node, join: ast.JoinedSource, source: Aliased) -> None:
        left_name = self._by_alias[left.aliases[0]].source.name if len(left.aliases) == 1 else left.aliases[-1]
        right_name = source.source.name
        if left.step.is_table and not right.step.is_table:
            raise StatementError(
                "Invalid join order: table-stream joins are not supported; only stream-table joins. "
                f"Got {left_name} {join.type.value} {right_name}."
            )
        if not left.step.is_table and right.step.is_table and join.type is ast.JoinType.OUTER:
            raise StatementError(
                "Invalid join type: full-outer join not supported for stream-table join. "
                f"Got {left_name} {join.type.value} {right_name}."
            )
        if not left.step.is_table and right.step.is_table and join.type is ast.JoinType.RIGHT:
            raise StatementError(
                "Invalid join type: right-outer join not supported for stream-table join. "
                f"Got {left_name} {join.type.value} {right_name}."
            )
        kafka = [
            aliased.source.name
            for aliased in (*(self._by_alias[alias] for alias in left.aliases), source)
            if aliased.source.value_format.name == "KAFKA" and aliased.source.schema.value
        ]
        if kafka:
            raise StatementError(
                f"Source(s) {', '.join(kafka)} are using the 'KAFKA' value format. This format does not yet "
                "support JOIN.\n"
                "See https://github.com/confluentinc/ksql/issues/4158."
            )

    def _criteria(
        self, left: Node, join: ast.JoinedSource, right_source: Aliased
    ) -> tuple[ast.Expression, ast.Expression]:
        """The two sides of the join's condition, the left input's first."""
        criteria = join.criteria
        if isinstance(criteria, ast.Logical):
            raise StatementError(
                "Invalid join condition: joins on multiple conditions are not yet supported. "
                f"Got {format_expression(criteria)}."
            )
        if not isinstance(criteria, ast.Comparison) or criteria.op is not ast.ComparisonOp.EQUAL:
            raise StatementError(
                f"Invalid join condition: only equality comparisons are supported. Got {format_expression(criteria)}."
            )
        sides: list[tuple[ast.Expression, str]] = []
        for side in (criteria.left, criteria.right):
            for ref in walk(side):
                if isinstance(ref, ast.ColumnRef):
                    self._check_column(ref, "JOIN ON")
            aliases = {ref.source for ref in walk(side) if isinstance(ref, ast.ColumnRef) and ref.source}
            if len(aliases) != 1:
                raise StatementError(
                    f"Invalid comparison expression '{format_expression(side)}' in join "
                    f"'{format_expression(criteria)}'. Each side of the join comparision must contain references from "
                    "exactly one source."
                )
            sides.append((side, aliases.pop()))
        (first, first_alias), (second, second_alias) = sides
        if second_alias == right_source.alias and first_alias in left.aliases:
            return first, second
        if first_alias == right_source.alias and second_alias in left.aliases:
            return second, first
        raise StatementError(
            f"A join criteria is expected to reference the source (`{right_source.alias}`) in the FROM clause, instead "
            f"the right source references `{second_alias}` and the left source references `{first_alias}`"
        )

    def _check_table_key(self, right: Node, expression: ast.Expression, join: ast.JoinedSource, rule: str) -> None:
        if not _is_key(right, expression):
            criteria = join.criteria
            assert isinstance(criteria, ast.Comparison)  # noqa: S101 - _criteria saw to it
            raise StatementError(
                f"Invalid join condition: {rule}. Got {format_expression(criteria.left)} = "
                f"{format_expression(criteria.right)}."
            )

    def _check_windows(self, left: Node, right: Node, join: ast.JoinedSource) -> None:
        left_window, right_window = left.step.window, right.step.window
        session = WindowType.SESSION
        if left.step.is_table == right.step.is_table and (left_window is None) != (right_window is None):
            raise StatementError(_window_mismatch(left_window, right_window))
        if left_window and right_window and (left_window.type is session) != (right_window.type is session):
            raise StatementError(_window_mismatch(left_window, right_window))
        stream_stream = not left.step.is_table and not right.step.is_table
        name = join.source.name
        if stream_stream and join.within is None:
            raise StatementError(
                f"{', '.join(left.aliases)} and {name} are both streams: stream-stream joins must have a WITHIN clause "
                "specified. None was provided. To learn about how to specify a WITHIN clause with a stream-stream "
                "join, "
                "please visit: https://docs.confluent.io/current/ksql/docs/syntax-reference.html"
                "#create-stream-as-select"
            )
        if not stream_stream and join.within is not None:
            raise StatementError(
                "A window definition was provided for a Stream-Table join. These joins are not windowed. "
                "Please drop the window definition (i.e. the WITHIN clause) and try to execute your join again."
            )
        if not stream_stream and right_window is not None:
            raise Unsupported("A join with a windowed table")

    def _rekey(self, node: Node, expression: ast.Expression, side: str) -> Node:
        if len(node.keys) == 1 and _is_key(node, expression):
            return node
        step = node.step
        _check_not_windowed(step)
        sql_type = self._type(expression, step)
        name = expression.name if isinstance(expression, ast.ColumnRef) else self._synthetic
        _check_key_type(name, sql_type)
        value = tuple(column for column in step.schema.columns if column.namespace is Namespace.VALUE)
        kept = {column.name for column in value}
        old_keys = tuple(
            replace(column, namespace=Namespace.VALUE) for column in step.schema.key if column.name not in kept
        )
        schema = Schema((Column(name, sql_type, Namespace.KEY), *value, *old_keys))
        rekeyed = PartitionByStep(
            context=f"{side}SourceKeyed",
            schema=schema,
            is_table=False,
            window=step.window,
            input=step,
            keys=(expression,),
        )
        return Node(rekeyed, [KeyColumn(name, [expression])], node.aliases)

    def _joined_node(
        self,
        left: Node,
        right: Node,
        left_expression: ast.Expression,
        right_expression: ast.Expression,
        join: ast.JoinedSource,
        context: str,
    ) -> Node:
        key_type = self._type(left_expression, left.step)
        equivalents: list[ast.Expression] = []
        if join.type is not ast.JoinType.OUTER:
            for node, expression in ((left, left_expression), (right, right_expression)):
                known = node.keys[0].equivalents if node.keys and not node.synthetic else []
                for candidate in (*known, expression):
                    if isinstance(candidate, ast.ColumnRef) and candidate not in equivalents:
                        equivalents.append(candidate)
            equivalents = [item for item in equivalents if isinstance(item, ast.ColumnRef)]
        synthetic = not equivalents
        if synthetic:
            name = self._synthetic
            if name not in self._synthetic_names:
                self._synthetic_names.append(name)
            equivalents = [ast.ColumnRef(name)]
        first = equivalents[0]
        assert isinstance(first, ast.ColumnRef)  # noqa: S101
        _check_key_type(first.name, key_type)
        value = [
            replace(column, namespace=Namespace.VALUE)
            for node in (left, right)
            for column in node.step.schema.columns
            if column.namespace is Namespace.VALUE
        ]
        schema = Schema((Column(first.name, key_type, Namespace.KEY), *value))
        step = JoinStep(
            context=context,
            schema=schema,
            is_table=left.step.is_table and right.step.is_table,
            window=left.step.window,
            left=left.step,
            right=right.step,
            type=join.type,
            within=join.within,
        )
        key = KeyColumn(first.name, equivalents)
        return Node(step, [key], [*left.aliases, *right.aliases], synthetic, "join expression")

    def _foreign_key_join(
        self, left: Node, right: Node, expression: ast.Expression, join: ast.JoinedSource, context: str
    ) -> Node:
        criteria = format_expression(join.criteria).strip("()")
        if len(left.aliases) > 1:
            raise StatementError(
                "Invalid join condition: foreign-key table-table joins are not supported as part of n-way joins. "
                f"Got {criteria}."
            )
        if join.type in (ast.JoinType.OUTER, ast.JoinType.RIGHT):
            kind = "full-outer" if join.type is ast.JoinType.OUTER else "right-outer"
            raise StatementError(
                f"Invalid join type: {kind} join not supported for foreign-key table-table join. "
                f"Got {self._by_alias[left.aliases[0]].source.name} {join.type.value} {join.source.name}."
            )
        if left.step.window or right.step.window:
            raise StatementError("Foreign-key table-table joins are not supported on windowed tables.")
        value = [
            replace(column, namespace=Namespace.VALUE)
            for node in (left, right)
            for column in node.step.schema.columns
            if column.namespace is Namespace.VALUE
        ]
        step = JoinStep(
            context=context,
            schema=Schema((*left.step.schema.key, *value)),
            is_table=True,
            left=left.step,
            right=right.step,
            type=join.type,
            foreign_key=expression,
        )
        return Node(
            step, left.keys, [*left.aliases, *right.aliases], key_kind="foreign key", joined_by_foreign_key=True
        )

    # --- WHERE, PARTITION BY, table functions ---

    def _condition(self, step: Step, condition: ast.Expression, clause: str) -> None:
        try:
            sql_type = self._type(condition, step)
        except CodegenError as error:
            raise StatementError(f"Error in {clause} expression: Invalid Predicate: {error.message}") from error
        except KsqlError as error:
            raise StatementError(f"Error in {clause} expression: {error.message}") from error
        if sql_type != BOOLEAN:
            raise StatementError(
                f"Type error in {clause} expression: Should evaluate to boolean but is "
                f"{format_expression(condition)} ({sql_type}) instead."
            )

    def _where(self, node: Node, where: ast.Expression) -> Node:
        condition = self._lower(where, "WHERE")
        self._condition(node.step, condition, "WHERE")
        step = FilterStep(
            context="WhereFilter",
            schema=node.step.schema,
            is_table=node.step.is_table,
            window=node.step.window,
            input=node.step,
            condition=condition,
        )
        return replace(node, step=step)

    def _partition_by(self, node: Node, partition_by: tuple[ast.Expression, ...]) -> Node:
        step = node.step
        if step.is_table:
            raise StatementError(
                "Invalid result type. PARTITION BY is only supported on STREAMs: the source is a TABLE."
            )
        if len(partition_by) == 1 and isinstance(partition_by[0], ast.NullLiteral):
            keys: list[ast.Expression] = []
        else:
            keys = [self._lower(expression, "PARTITION BY") for expression in partition_by]
        if (
            len(keys) == len(node.keys)
            and all(expression in key.equivalents for expression, key in zip(keys, node.keys, strict=True))
            and not node.synthetic
        ):
            return node
        _check_not_windowed(step)
        key_columns: list[Column] = []
        for expression, original in zip(keys, partition_by, strict=False):
            sql_type = self._type(expression, step)
            if sql_type == NULL:
                raise StatementError("Cannot PARTITION BY multiple columns including NULL")
            name = self._key_name(expression, original)
            _check_key_type(name, sql_type)
            key_columns.append(Column(name, sql_type, Namespace.KEY))
        taken = {column.name for column in key_columns}
        value = [
            replace(column, namespace=Namespace.VALUE, header=None)
            for column in step.schema.columns
            if column.namespace is not Namespace.KEY and column.name not in taken
        ]
        names = taken | {column.name for column in value}
        value += [replace(column, namespace=Namespace.VALUE) for column in step.schema.key if column.name not in names]
        rekeyed = PartitionByStep(
            context="PartitionBy",
            schema=Schema((*key_columns, *value)),
            is_table=False,
            input=step,
            keys=tuple(keys),
        )
        key_nodes = [
            KeyColumn(column.name, [ast.ColumnRef(column.name), expression])
            for column, expression in zip(key_columns, keys, strict=True)
        ]
        self._synthetic_names.extend(column.name for column in key_columns)
        return Node(rekeyed, key_nodes, node.aliases, key_kind="partitioning expression")

    def _key_name(self, expression: ast.Expression, original: ast.Expression) -> str:
        if isinstance(expression, ast.ColumnRef):
            return expression.name
        for item in self._query.select:
            if isinstance(item, ast.SingleColumn) and item.expression == original and item.alias:
                return item.alias
        if isinstance(expression, ast.Dereference):
            return self._generator.unique(expression.name)
        return self._generator.generated()

    def _flat_map(self, node: Node) -> Node:
        calls: list[ast.FunctionCall] = []
        for item in self._query.select:
            if isinstance(item, ast.SingleColumn):
                calls += [
                    call
                    for call in walk(item.expression)
                    if isinstance(call, ast.FunctionCall) and self._is_table_function(call)
                ]
        if not calls:
            return node
        if node.step.is_table:
            raise StatementError("Table source is not supported with table functions")
        lowered: list[ast.Expression] = []
        columns: list[Column] = []
        compiler = self._compiler(node.step)
        for index, call in enumerate(calls):
            if any(self._is_table_function(inner) for arg in call.args for inner in walk(arg)):
                raise StatementError(f"Table functions can't be nested: {format_expression(call)}")
            expression = self._lower(call, "SELECT")
            name = f"KSQL_SYNTH_{index}"
            lowered.append(expression)
            columns.append(Column(name, table_function_type(expression, compiler)))
            self._table_calls[call] = ast.ColumnRef(name)
        self._synthetic_names.extend(column.name for column in columns)
        step = FlatMapStep(
            context="FlatMap",
            schema=Schema((*node.step.schema.columns, *columns)),
            is_table=False,
            window=node.step.window,
            input=node.step,
            functions=tuple(lowered),
        )
        return replace(node, step=step)

    # --- SELECT ---

    def _expanded(self, node: Node) -> list[tuple[ast.Expression, str, ast.Expression]]:
        """The projection's columns: expression over the step, name, and the expression as the query has it."""
        out: list[tuple[ast.Expression, str, ast.Expression]] = []
        table_calls = self._table_calls
        for item in self._query.select:
            if isinstance(item, ast.AllColumns):
                out += [(column, column.name, column) for column in self._star(node, item)]
            elif isinstance(item, ast.StructAll):
                base = self._lower(item.base, "SELECT")
                sql_type = self._type(base, node.step)
                if not isinstance(sql_type, SqlStruct):
                    raise StatementError(f"Cannot apply '->*' to {format_expression(item.base)}: it is no STRUCT")
                for name, _ in sql_type.fields:
                    alias = self._generator.unique(name)
                    out.append((ast.Dereference(base, name), alias, ast.Dereference(item.base, name)))
            else:
                original = transform(item.expression, table_calls.get)
                out.append((self._lower(original, "SELECT"), item.alias or "", item.expression))
        return out

    def _star(self, node: Node, item: ast.AllColumns) -> Iterable[ast.ColumnRef]:
        schema = node.step.schema
        synth = {f"KSQL_SYNTH_{index}" for index in range(len(self._table_calls))}
        if not self._joined:
            yield from (ast.ColumnRef(column.name) for column in schema.key)
            if self._sink is None and node.step.window is not None:
                yield from (ast.ColumnRef(name) for name in WINDOW_BOUNDS)
            names = [c.name for c in schema.columns if c.namespace is not Namespace.KEY]
            yield from (ast.ColumnRef(name) for name in names if name not in synth and name not in SYSTEM_COLUMNS)
            return
        wanted = [item.source] if item.source else [aliased.alias for aliased in self._sources]
        if not item.source and (node.synthetic or isinstance(node.step, PartitionByStep)):
            yield from (ast.ColumnRef(column.name) for column in schema.key if column.name in self._synthetic_names)
        seen: set[str] = set()
        for alias in wanted:
            source = self._by_alias[alias].source
            bounds = WINDOW_BOUNDS if source.window else ()
            others = (c.name for c in source.schema.columns if c.namespace is not Namespace.KEY)
            for column_name in (*(c.name for c in source.schema.key), *bounds, *others):
                name = f"{alias}_{column_name}"
                if name not in seen and not (
                    not item.source and isinstance(node.step, PartitionByStep) and name in {c.name for c in schema.key}
                ):
                    seen.add(name)
                    yield ast.ColumnRef(name)

    def _project(self, node: Node) -> ProjectStep:
        return self._finish(node, self._expanded(node), lambda expression: expression)

    def _finish(
        self,
        node: Node,
        items: Sequence[tuple[ast.Expression, str, ast.Expression]],
        rewrite: Callable[[ast.Expression], ast.Expression],
    ) -> ProjectStep:
        """The projection: key columns by their names in SELECT, then everything else."""
        step = node.step
        persistent = self._sink is not None
        key_items, value_items = self._split_keys(node, items)
        columns: list[Column] = []
        compiler = self._compiler(step)
        expressions = [rewrite(expression) for expression, _, _ in value_items]
        types = [self._select_type(expression, compiler) for expression in expressions]
        for key, column in zip(node.keys, step.schema.key, strict=True):
            alias = key_items.get(key.name)
            if alias is None and persistent:
                raise self._missing_key(node)
            columns.append(replace(column, name=alias or key.name))
        columns += [Column(name, sql_type) for (_, name, _), sql_type in zip(value_items, types, strict=True)]
        if persistent:
            self._check_projection(node, columns)
        context = "Aggregate.Project" if self._query.group_by is not None else "Project"
        return ProjectStep(
            context=context,
            schema=Schema(tuple(columns)),
            is_table=step.is_table,
            window=step.window,
            input=step,
            expressions=tuple(expressions),
        )

    def _select_type(self, expression: ast.Expression, compiler: Compiler) -> SqlType:
        try:
            sql_type = compiler.type_of(expression)
        except CodegenError as error:
            raise StatementError(f"Invalid Select: {error.message}") from error
        if sql_type == NULL and self._sink is not None:
            raise StatementError(
                "Can't infer a type of null. Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR)."
            )
        return sql_type

    def _split_keys(
        self, node: Node, items: Sequence[tuple[ast.Expression, str, ast.Expression]]
    ) -> tuple[dict[str, str], list[tuple[ast.Expression, str, ast.Expression]]]:
        """Which projected columns are keys; the others."""
        if self._sink is None:
            return {}, list(items)
        chosen: dict[str, ast.Expression] = {}
        for key in node.keys:
            for equivalent in key.equivalents:
                if any(expression == equivalent for expression, _, _ in items):
                    chosen[key.name] = equivalent
                    break
        key_items: dict[str, str] = {}
        value_items: list[tuple[ast.Expression, str, ast.Expression]] = []
        for item in items:
            expression, alias, _ = item
            key = next((name for name, equivalent in chosen.items() if expression == equivalent), None)
            if key is None:
                value_items.append(item)
            elif key in key_items:
                raise self._repeated_key(key, key_items[key], alias)
            else:
                key_items[key] = alias
        return key_items, value_items

    def _repeated_key(self, key: str, first: str, second: str) -> StatementError:
        name = f"(`{key}`) " if self._query.group_by is None else ""
        if self._query.group_by is None:
            what = f"The projection contains a key column {name}more than once, aliased as: {first} and {second}."
        else:
            what = f"The projection contains a key column more than once: `{first}` and `{second}`."
        return StatementError(
            f"{what}\nEach key column must only be in the projection once. If you intended to copy the key into the "
            "value, then consider using the AS_VALUE function to indicate which key reference should be copied."
        )

    def _missing_key(self, node: Node) -> StatementError:
        sink = self._sink
        if node.joined_by_foreign_key:
            alias = node.aliases[0]
            projected = {expression for expression, _, _ in self._expanded(node)}
            missing = [
                key.name[len(alias) + 1 :] for key in node.keys if not any(e in projected for e in key.equivalents)
            ]
            plural = "s" if len(missing) > 1 else ""
            names = ", ".join(f"`{name}`" for name in missing)
            return StatementError(
                f"Primary key column{plural} missing in projection. For foreign-key table-table joins, the projection "
                f"must include all primary key columns from the left input table (`{alias}`). "
                f"Missing column{plural}: {names}."
            )
        kind = node.key_kind
        if kind == "join expression":
            names = [self._qualified(expression) for expression in node.keys[0].equivalents]
            listed, example = _join_words(names, "or"), names[0]
        else:
            names = [self._key_text(key, kind) for key in node.keys]
            listed, example = _join_words(names, "and"), ", ".join(names)
        plural = "s" if len(names) > 1 else ""
        message = (
            f"{_KEY_HELP}\nThe query used to build `{sink}` must include the {kind}{plural} {listed} in its projection "
            f"(eg, SELECT {example}...)."
        )
        if node.synthetic:
            message += (
                f"\n{names[0]} was added as a synthetic key column because the join criteria did not match any source "
                "column. This expression must be included in the projection and may be aliased. "
            )
        return StatementError(message)

    def _key_text(self, key: KeyColumn, kind: str) -> str:
        expression = key.equivalents[-1]
        if kind == "partitioning expression":
            alias = self._sources[0].alias
            return format_expression(
                transform(
                    expression,
                    lambda node: (
                        replace(node, source=alias) if isinstance(node, ast.ColumnRef) and not self._joined else None
                    ),
                )
            )
        return format_expression(expression)

    def _qualified(self, expression: ast.Expression) -> str:
        """A column of a join as the query writes it."""
        assert isinstance(expression, ast.ColumnRef)  # noqa: S101
        for aliased in self._sources:
            prefix = aliased.alias + "_"
            if expression.name.startswith(prefix) and aliased.has(expression.name[len(prefix) :]):
                return f"{format_identifier(aliased.alias)}.{format_identifier(expression.name[len(prefix) :])}"
        return format_identifier(expression.name)

    def _check_projection(
        self,
        node: Node,
        columns: Sequence[Column],
    ) -> None:
        for column in columns:
            if column.name in SYSTEM_COLUMNS and (column.namespace is Namespace.VALUE or column.name in WINDOW_BOUNDS):
                raise StatementError(
                    f"Reserved column name in select: `{column.name}`. Please remove or alias the column."
                )
        names = [column.name for column in columns if column.namespace is Namespace.VALUE]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        keys = {column.name for column in columns if column.namespace is Namespace.KEY}
        if duplicates or keys & set(names):
            listed = ", ".join(f"`{name}`" for name in (duplicates or sorted(keys & set(names))))
            raise StatementError(f"The projection contains duplicate column names: {listed}")
        if not names and not isinstance(node.step, AggregateStep):
            raise StatementError("The projection contains no value columns.")

    # --- GROUP BY ---

    def _aggregate_calls(self) -> list[ast.FunctionCall]:
        calls: list[ast.FunctionCall] = []
        expressions = [item.expression for item in self._query.select if isinstance(item, ast.SingleColumn)]
        if self._query.having is not None:
            expressions.append(self._query.having)
        for expression in expressions:
            for node in walk(expression):
                if isinstance(node, ast.FunctionCall) and self._is_aggregate(node) and node not in calls:
                    if any(self._is_aggregate(inner) for arg in node.args for inner in walk(arg)):
                        raise StatementError(f"Aggregate functions can not be nested: {format_expression(node)}")
                    calls.append(node)
        return calls

    def _aggregate(self, node: Node, calls: list[ast.FunctionCall]) -> ProjectStep:
        query = self._query
        if any(
            self._is_table_function(call)
            for item in query.select
            if isinstance(item, ast.SingleColumn)
            for call in walk(item.expression)
        ):
            raise StatementError("Table functions cannot be used with aggregations.")
        self._check_bounds(calls)
        if query.group_by is None:
            self._check_ungrouped(calls)
        if not calls:
            raise StatementError("GROUP BY requires aggregate functions in either the SELECT or HAVING clause.")
        kafka = [a.source.name for a in self._sources if a.source.value_format.name == "KAFKA"]
        if kafka and query.group_by is not None:
            raise StatementError(
                f"Source(s) {', '.join(kafka)} are using the 'KAFKA' value format. This format does not yet support "
                "GROUP BY.\nSee https://github.com/confluentinc/ksql/issues/4158."
            )
        grouped = self._group_by(node, calls)
        aggregated, variables = self._aggregate_step(grouped, calls)
        return self._project_aggregate(aggregated, variables)

    def _check_bounds(self, calls: Sequence[ast.FunctionCall]) -> None:
        if self._query.window is None:
            return
        for ref in walk(self._query.having) if self._query.having is not None else ():
            if isinstance(ref, ast.ColumnRef) and ref.source is None and ref.name in WINDOW_BOUNDS:
                raise StatementError(_bounds_message(ref.name))
        for call in calls:
            for arg in call.args:
                for ref in walk(arg):
                    if isinstance(ref, ast.ColumnRef) and ref.source is None and ref.name in WINDOW_BOUNDS:
                        raise StatementError(_bounds_message(ref.name))

    def _check_ungrouped(self, calls: Sequence[ast.FunctionCall]) -> None:
        others = [
            format_expression(self._lower(item.expression, "SELECT"))
            for item in self._query.select
            if isinstance(item, ast.SingleColumn)
            and not any(self._is_aggregate(inner) for inner in walk(item.expression))
            and any(isinstance(inner, ast.ColumnRef) for inner in walk(item.expression))
        ]
        if others:
            raise _not_grouped(others)
        first = self._lower(calls[0], "SELECT")
        assert isinstance(first, ast.FunctionCall)  # noqa: S101
        shown = format_expression(
            replace(first, args=(ast.ColumnRef("ROWTIME"),), star=False) if first.star or not first.args else first
        )
        statement = "CREATE TABLE AS SELECT statement" if self._sink is not None else "SELECT statement"
        raise StatementError(f"{statement} does not support aggregate function [{shown}] without a GROUP BY clause.")

    def _group_by(self, node: Node, calls: Sequence[ast.FunctionCall]) -> Node:
        group_by = self._query.group_by or ()
        step = node.step
        keys = [self._lower(expression, "GROUP BY") for expression in group_by]
        for call in calls:
            self._lower(call, "SELECT")
        compiler = self._compiler(step)
        columns: list[Column] = []
        seen: list[ast.Expression] = []
        for expression, original in zip(keys, group_by, strict=True):
            if expression in seen:
                raise StatementError(f"Duplicate expression in GROUP BY: {format_expression(original)}")
            seen.append(expression)
            try:
                sql_type = compiler.type_of(expression)
            except CodegenError as error:
                raise StatementError(f"Invalid Group By: {error.message}") from error
            name = self._group_name(expression, original)
            _check_key_type(name, sql_type)
            columns.append(Column(name, sql_type, Namespace.KEY))
        rekeys = not (
            len(keys) == len(node.keys)
            and not step.window
            and all(expression in key.equivalents for expression, key in zip(keys, node.keys, strict=True))
        )
        value = [
            replace(column, namespace=Namespace.VALUE, header=None)
            for column in step.schema.columns
            if column.namespace is not Namespace.KEY
        ]
        names = {column.name for column in value}
        value += [replace(column, namespace=Namespace.VALUE) for column in step.schema.key if column.name not in names]
        grouped = GroupByStep(
            context="Aggregate.GroupBy",
            schema=Schema((*columns, *value)),
            is_table=step.is_table,
            input=step,
            keys=tuple(keys),
            rekeys=rekeys,
        )
        key_nodes = [
            KeyColumn(column.name, [ast.ColumnRef(column.name), expression])
            for column, expression in zip(columns, keys, strict=True)
        ]
        return Node(grouped, key_nodes, node.aliases, key_kind="grouping expression")

    def _group_name(self, expression: ast.Expression, original: ast.Expression) -> str:
        for item in self._query.select:
            if isinstance(item, ast.SingleColumn) and item.expression == original and item.alias:
                return item.alias
        if isinstance(expression, ast.ColumnRef):
            return expression.name
        if isinstance(expression, ast.Dereference):
            return self._generator.unique(expression.name)
        return self._generator.generated()

    def _aggregate_step(
        self, grouped: Node, calls: list[ast.FunctionCall]
    ) -> tuple[Node, dict[ast.Expression, ast.Expression]]:
        query = self._query
        step = grouped.step
        assert isinstance(step, GroupByStep)  # noqa: S101
        compiler = self._compiler(step.input)
        variables: dict[ast.Expression, ast.Expression] = {}
        lowered: list[ast.Expression] = []
        columns: list[Column] = list(step.schema.key)
        for index, call in enumerate(calls):
            expression = self._lower(call, "SELECT")
            name = f"KSQL_AGG_VARIABLE_{index}"
            columns.append(Column(name, aggregate_type(expression, compiler, is_table=step.is_table)))
            variables[expression] = ast.ColumnRef(name)
            lowered.append(expression)
        window = None
        if query.window is not None:
            size = None if query.window.kind is ast.WindowKind.SESSION else query.window.size.milliseconds
            window = WindowInfo(_WINDOW_TYPES[query.window.kind], size)
            if step.is_table:
                raise StatementError("WINDOW clause is only supported on STREAM sources: the source is a TABLE.")
            advance = query.window.advance
            if advance is not None and size is not None and not 0 < advance.milliseconds <= size:
                raise StatementError(
                    f"a window that advances by {advance.milliseconds} ms and is {size} ms long leaves records out: "
                    "ADVANCE BY must be more than zero and no more than SIZE"
                )
        refs: list[ast.Expression] = []
        for item in query.select:
            if isinstance(item, ast.SingleColumn):
                refs += [
                    ast.ColumnRef(ref.name)
                    for ref in walk(self._lower(item.expression, "SELECT"))
                    if isinstance(ref, ast.ColumnRef) and ref.name not in WINDOW_BOUNDS
                ]
        aggregate = AggregateStep(
            context="Aggregate.Aggregate",
            schema=Schema(tuple(columns)),
            is_table=True,
            window=window,
            input=step,
            required=tuple(dict.fromkeys(refs)),
            functions=tuple(lowered),
            clause=query.window,
            emit=query.emit,
        )
        return replace(grouped, step=aggregate), variables

    def _project_aggregate(self, node: Node, variables: dict[ast.Expression, ast.Expression]) -> ProjectStep:
        step = node.step
        assert isinstance(step, AggregateStep)  # noqa: S101
        grouped = step.input
        assert isinstance(grouped, GroupByStep)  # noqa: S101
        by_key = {expression: ast.ColumnRef(key.name) for key, expression in zip(node.keys, grouped.keys, strict=True)}

        def rewrite(expression: ast.Expression) -> ast.Expression:
            return transform(expression, lambda item: variables.get(item) or by_key.get(item))

        source = Node(grouped.input, [], node.aliases)
        items = self._expanded(source)
        items = [(by_key.get(expression, expression), alias, original) for expression, alias, original in items]
        allowed = {key.name for key in node.keys} | {
            ref.name for ref in variables.values() if isinstance(ref, ast.ColumnRef)
        }
        allowed |= set(WINDOW_BOUNDS) if step.window else set()
        bad = [
            format_expression(expression)
            for expression, _, _ in items
            if any(isinstance(ref, ast.ColumnRef) and ref.name not in allowed for ref in walk(rewrite(expression)))
            or (
                not any(expression == ref for ref in by_key.values())
                and any(
                    isinstance(ref, ast.ColumnRef) and ref in by_key.values() and ref not in by_key
                    for ref in walk(expression)
                )
            )
        ]
        if bad:
            raise _not_grouped(bad)
        if self._query.having is not None:
            node = self._having(node, rewrite, allowed)
        return self._finish(node, items, rewrite)

    def _having(self, node: Node, rewrite: Callable[[ast.Expression], ast.Expression], allowed: set[str]) -> Node:
        having = self._query.having
        assert having is not None  # noqa: S101
        lowered = self._lower(having, "HAVING")
        condition = rewrite(lowered)
        bad = [ref.name for ref in walk(condition) if isinstance(ref, ast.ColumnRef) and ref.name not in allowed]
        if bad:
            names = ", ".join(dict.fromkeys(bad))
            raise StatementError(f"Non-aggregate HAVING expression not part of GROUP BY: {names}")
        self._having_condition(node.step, condition)
        step = FilterStep(
            context="Aggregate.HavingFilter",
            schema=node.step.schema,
            is_table=True,
            window=node.step.window,
            input=node.step,
            condition=condition,
        )
        return replace(node, step=step)

    def _having_condition(self, step: Step, condition: ast.Expression) -> None:
        assert isinstance(step, AggregateStep)  # noqa: S101
        try:
            self._condition(step, condition, "HAVING")
        except StatementError as error:
            message = error.message
            for index, call in enumerate(step.functions):
                message = message.replace(f"KSQL_AGG_VARIABLE_{index}", format_expression(call))
            raise StatementError(message) from error


def _bounds_message(name: str) -> str:
    return (
        f"Window bounds column {name} can only be used in the SELECT clause of windowed aggregations and can not be "
        "passed to aggregate functions.\nSee https://github.com/confluentinc/ksql/issues/4397"
    )


def _not_grouped(expressions: Sequence[str]) -> StatementError:
    names = ", ".join(dict.fromkeys(expressions))
    remedy = "Either add the column(s) to the GROUP BY or remove them from the SELECT."
    return StatementError(f"Non-aggregate SELECT expression(s) not part of GROUP BY: {names}\n{remedy}")


def _join_words(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _is_key(node: Node, expression: ast.Expression) -> bool:
    return len(node.keys) == 1 and not node.synthetic and expression in node.keys[0].equivalents


def _check_key_type(name: str, sql_type: SqlType) -> None:
    if contains_map(sql_type):
        raise StatementError(
            "Map keys, including types that contain maps, are not supported as they may lead to unexpected behavior "
            f"due to inconsistent serialization. Key column name: `{name}`. Column type: {sql_type}. "
            "See https://github.com/confluentinc/ksql/issues/6621 for more."
        )


def _check_not_windowed(step: Step) -> None:
    if step.window is not None:
        raise StatementError(
            "Implicit repartitioning of windowed sources is not supported. "
            "See https://github.com/confluentinc/ksql/issues/4385."
        )


def _window_mismatch(left: WindowInfo | None, right: WindowInfo | None) -> str:
    def text(window: WindowInfo | None) -> str:
        return window.type.value if window else "not windowed"

    return (
        f"Incompatible windowed sources.\nLeft source: {text(left)}\nRight source: {text(right)}\n"
        "Session windowed sources can only be joined to other session windowed sources, and may still not result in "
        "expected behaviour as session bounds must be an exact match for the join to work\nHopping and tumbling "
        "windowed sources can only be joined to other hopping and tumbling windowed sources"
    )


def aggregate_type(call: ast.Expression, compiler: Compiler, *, is_table: bool) -> SqlType:
    """The result type of a call of an aggregate function."""
    assert isinstance(call, ast.FunctionCall)  # noqa: S101
    return resolve_aggregate(call, compiler, is_table=is_table).returns


def table_function_type(call: ast.Expression, compiler: Compiler) -> SqlType:
    """The type of the column that a table function makes."""
    assert isinstance(call, ast.FunctionCall)  # noqa: S101
    return resolve_table_function(call, compiler).returns


__all__ = ["Planned", "Planner", "Source", "scope_of"]
