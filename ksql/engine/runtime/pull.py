"""Pull queries over the state of a table's query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions.compiler import Binding, Compiler
from ksql.engine.plan.names import AliasGenerator, at
from ksql.engine.plan.rewrite import transform, walk
from ksql.engine.runtime.codec import key_bytes
from ksql.engine.runtime.partitioning import partition_of
from ksql.engine.schema import ROWTIME, WINDOW_BOUNDS, Column, Namespace
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_expression
from ksql.engine.types import BIGINT
from ksql.errors import KsqlError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.functions.registry import Registry
    from ksql.engine.metastore import Source
    from ksql.engine.operators.protocol import Record
    from ksql.engine.operators.topology import Materialization
    from ksql.engine.runtime.stores import TaskState


@dataclass(frozen=True, kw_only=True)
class PullQuery:
    """A pull query, ready to be asked.

    Attributes:
        columns: of its rows.
        keys: the keys that it asks for; None for all rows.
        condition: which rows count; None for all.
        select: from a record to a row.
        limit: how many rows at most.
    """

    columns: tuple[Column, ...]
    keys: tuple[Row, ...] | None
    condition: Callable[[Record], bool] | None
    select: Callable[[Record], Row]
    limit: int | None

    def rows(
        self, materialization: Materialization, states: Sequence[TaskState], *, serialize: Callable[[Row], bytes | None]
    ) -> list[Row]:
        """Return the rows.

        Args:
            materialization: where the table's rows are.
            states: the tasks of the table's query.
            serialize: from a key to the bytes that its partition follows from.
        """
        found: list[Row] = []
        for record in self._records(materialization, states, serialize):
            if self.condition is None or self.condition(record):
                found.append(self.select(record))
                if self.limit is not None and len(found) >= self.limit:
                    break
        return found

    def _records(
        self, materialization: Materialization, states: Sequence[TaskState], serialize: Callable[[Row], bytes | None]
    ) -> Iterator[Record]:
        if self.keys is None:
            for state in states:
                yield from sorted(materialization.rows(state), key=_place)
            return
        for key in self.keys:
            # Only where the key belongs: a row that another partitioner put elsewhere is not found, as in ksqlDB.
            data = serialize(key)
            if data is not None:
                yield from sorted(materialization.row(key, states[partition_of(data, len(states))]), key=_place)


def plan(query: ast.Query, *, source: Source, functions: Registry) -> PullQuery:
    """Plan a pull query.

    Args:
        query: over one table, as parsed.
        source: the table.
        functions: all functions.

    Raises:
        KsqlError: it cannot be asked.
    """
    _check_clauses(query)
    bindings = _scope(source)
    compiler = Compiler(bindings, functions)
    condition = None
    keys = None
    if query.where is not None:
        where = _plain(query.where, query, source, clause="WHERE")
        try:
            condition = compiler.predicate(where)
        except KsqlError as error:
            text = format_expression(where)
            raise StatementError(f"Error in WHERE expression: {error.message}\nStatement: {text}") from error
        keys = _keys(where, source, compiler)
    columns, expressions = _projection(query, source, compiler)
    return PullQuery(
        columns=columns,
        keys=keys,
        condition=condition,
        select=compiler.row_function(expressions),
        limit=query.limit,
    )


def _check_clauses(query: ast.Query) -> None:
    for present, name in (
        (bool(query.joins), "JOIN"),
        (query.window is not None, "WINDOW"),
        (query.group_by is not None, "GROUP BY"),
        (query.partition_by is not None, "PARTITION BY"),
        (query.having is not None, "HAVING"),
    ):
        if present:
            clause = f"{name} clauses" if name not in {"JOIN"} else "JOIN clauses"
            raise StatementError(
                f"Pull queries don't support {clause}. See https://cnfl.io/queries for more info.\n"
                "Add EMIT CHANGES if you intended to issue a push query."
            )


def _scope(source: Source) -> dict[str, Binding]:
    found = {ROWTIME: Binding("r.timestamp", BIGINT)}
    if source.window is not None:
        found |= {name: Binding(f"r.window[{index}]", BIGINT) for index, name in enumerate(WINDOW_BOUNDS)}
    for index, column in enumerate(source.schema.key):
        found[column.name] = Binding(f"k[{index}]", column.type)
    for index, column in enumerate(source.schema.value):
        found[column.name] = Binding(f"v[{index}]", column.type)
    return found


def _plain(expression: ast.Expression, query: ast.Query, source: Source, *, clause: str) -> ast.Expression:
    known = _scope(source)

    def plain(node: ast.Expression) -> ast.Expression | None:
        if not isinstance(node, ast.ColumnRef):
            return None
        if node.name not in known or node.source not in {None, query.source.alias, source.name}:
            name = node.name if node.source is None else f"{node.source}.{node.name}"
            raise StatementError(f"{at(node.position)}{clause} column '{name}' cannot be resolved.")
        return ast.ColumnRef(node.name, position=node.position)

    return transform(expression, plain)


def _projection(
    query: ast.Query, source: Source, compiler: Compiler
) -> tuple[tuple[Column, ...], tuple[ast.Expression, ...]]:
    generator = AliasGenerator(column.name for column in source.schema.columns)
    keys = {column.name for column in source.schema.key} | set(WINDOW_BOUNDS if source.window is not None else ())
    everything = [
        *(column.name for column in source.schema.key),
        *(WINDOW_BOUNDS if source.window is not None else ()),
        *(column.name for column in source.schema.value),
    ]
    columns: list[Column] = []
    expressions: list[ast.Expression] = []

    def add(name: str, expression: ast.Expression) -> None:
        is_key = isinstance(expression, ast.ColumnRef) and expression.name in keys
        namespace = Namespace.KEY if is_key else Namespace.VALUE
        columns.append(Column(name, compiler.type_of(expression), namespace))
        expressions.append(expression)

    for item in query.select:
        if isinstance(item, ast.AllColumns):
            for name in everything:
                add(name, ast.ColumnRef(name))
        elif isinstance(item, ast.StructAll):
            raise StatementError("Pull queries don't support struct stars.")
        else:
            expression = _plain(item.expression, query, source, clause="SELECT")
            if any(isinstance(node, ast.FunctionCall) and node.star for node in walk(expression)):
                raise StatementError("Pull queries don't support aggregate functions.")
            add(item.alias or _name(expression, generator), expression)
    return tuple(columns), tuple(expressions)


def _name(expression: ast.Expression, generator: AliasGenerator) -> str:
    if isinstance(expression, ast.ColumnRef):
        return expression.name
    return generator.unique(expression.name) if isinstance(expression, ast.Dereference) else generator.generated()


def _keys(where: ast.Expression, source: Source, compiler: Compiler) -> tuple[Row, ...] | None:
    """Return the keys that a condition allows; None where it says nothing about them."""
    names = [column.name for column in source.schema.key]
    if len(names) == 1:
        values = _values(where, names[0], source, compiler)
        return None if values is None else tuple(dict.fromkeys((value,) for value in values if value is not None))
    parts = [_values(where, name, source, compiler) for name in names]
    if any(part is None or len(part) != 1 for part in parts):
        return None
    key = tuple(part[0] for part in parts if part is not None)
    return () if None in key else (key,)


def _values(node: ast.Expression, name: str, source: Source, compiler: Compiler) -> list[Any] | None:
    if isinstance(node, ast.Logical):
        left, right = (_values(side, name, source, compiler) for side in (node.left, node.right))
        if node.op == "AND":
            return left if right is None else right if left is None else [value for value in left if value in right]
        return None if left is None or right is None else [*left, *right]
    candidates: Iterable[ast.Expression] | None = None
    if isinstance(node, ast.Comparison) and node.op is ast.ComparisonOp.EQUAL:
        if _is_column(node.left, name):
            candidates = (node.right,)
        elif _is_column(node.right, name):
            candidates = (node.left,)
    elif isinstance(node, ast.InList) and _is_column(node.value, name):
        candidates = node.items
    if candidates is None or any(isinstance(ref, ast.ColumnRef) for item in candidates for ref in walk(item)):
        return None
    column = next(column for column in source.schema.key if column.name == name)
    return [compiler.value_function(item, column.type)(_NoRecord) for item in candidates]


class _NoRecord:
    """Stands for a record where constants are evaluated."""

    key = value = window = None
    timestamp = 0


def _is_column(node: ast.Expression, name: str) -> bool:
    return isinstance(node, ast.ColumnRef) and node.name == name


def _place(record: Record) -> tuple[bytes, Any]:
    return key_bytes(record.key or ()), record.window or ()
