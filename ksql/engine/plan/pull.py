"""Pull queries: a table's rows as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions.compiler import Binding, CodegenError, Compiler
from ksql.engine.expressions.values import caster
from ksql.engine.functions.registry import FunctionKind
from ksql.engine.plan.names import AliasGenerator, at, sanitize, sources_of
from ksql.engine.plan.planner import PSEUDO_TYPES
from ksql.engine.plan.rewrite import transform, walk
from ksql.engine.plan.statements import resolve_type
from ksql.engine.schema import WINDOW_BOUNDS, Column, Namespace, Schema
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_expression
from ksql.engine.types import BOOLEAN, STRING, SqlStruct, SqlType, plain
from ksql.errors import KsqlError, RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ksql.engine.formats.protocol import Row
    from ksql.engine.metastore import Source
    from ksql.engine.operators.protocol import Record, State
    from ksql.engine.operators.topology import Materialization
    from ksql.engine.plan.statements import Context


@dataclass(frozen=True, slots=True)
class PullQuery:
    """A pull query, compiled.

    Args:
        source: the table.
        schema: of the answer, in the order of SELECT; key columns are those of the table.
        keys: the keys that it asks for, in order; None: all rows are looked at.
        condition: WHERE.
        project: from a row of the table to one of the answer.
        limit: how many rows at most.
    """

    source: Source
    schema: Schema
    keys: tuple[Row, ...] | None
    condition: Callable[[Record], bool]
    project: Callable[[Record], Row]
    limit: int | None

    def rows(self, materialization: Materialization, state: State) -> Iterator[Row]:
        """The answer's rows from one task's state."""
        if self.keys is None:
            records = materialization.rows(state)
        else:
            records = (record for key in self.keys for record in materialization.row(key, state))
        count = 0
        for record in records:
            if self.limit is not None and count >= self.limit:
                return
            if self.condition(record):
                count += 1
                yield self.project(record)


def pull_query(query: ast.Query, context: Context) -> PullQuery:
    """Compiles a pull query.

    Raises:
        StatementError: it cannot be answered.
    """
    _check_clauses(query)
    query = transform(query, lambda node: _resolved_cast(node, context))
    source = sources_of(query, context.metastore)[0].source
    if not source.is_table:
        raise StatementError("Pull queries on streams need a runtime that reads topics.")
    if not source.derived:
        raise StatementError(
            f"The `{source.name}` table isn't queryable. To derive a queryable table, you can do "  # noqa: S608 - a message
            f"'CREATE TABLE QUERYABLE_{source.name} AS SELECT * FROM {source.name}'. "
            "See https://cnfl.io/queries for more info."
        )
    query = sanitize(query, context.metastore)
    scope = table_scope(source)
    compiler = Compiler(scope, context.functions, context.settings)
    columns, expressions = _projection(query, source, compiler)
    _check_pseudo(query)
    where = None if query.where is None else _plain(query.where, scope, "WHERE")
    condition: Callable[[Record], bool] = lambda _record: True  # noqa: E731 - a default
    keys = None
    if where is not None:
        _check_where(where, compiler)
        condition = compiler.predicate(where)
        keys = _keys(where, source, compiler)
        _check_scan(where, source, keys, context.settings)
    elif not _flag(context.settings, "ksql.query.pull.table.scan.enabled", default=True):
        raise StatementError(
            "Missing WHERE clause. See https://cnfl.io/queries for more info.\nAdd a WHERE clause that limits the "
            "query to keys."
        )
    return PullQuery(source, Schema(tuple(columns)), keys, condition, compiler.row_function(expressions), query.limit)


def _resolved_cast(node: ast.Expression, context: Context) -> ast.Expression | None:
    if isinstance(node, ast.Cast):
        return ast.Cast(node.operand, resolve_type(node.type, context.metastore.types))
    return None


def table_scope(source: Source) -> dict[str, Binding]:
    """The columns of a table's rows."""
    scope = {"ROWTIME": Binding("r.timestamp", PSEUDO_TYPES["ROWTIME"])}
    if source.window is not None:
        scope["WINDOWSTART"] = Binding("r.window[0]", PSEUDO_TYPES["WINDOWSTART"])
        scope["WINDOWEND"] = Binding("r.window[1]", PSEUDO_TYPES["WINDOWEND"])
    schema = source.schema
    scope |= {column.name: Binding(f"k[{index}]", column.type) for index, column in enumerate(schema.key)}
    value = (*schema.value, *schema.headers)
    return scope | {column.name: Binding(f"v[{index}]", column.type) for index, column in enumerate(value)}


def _check_clauses(query: ast.Query) -> None:
    for present, name in (
        (bool(query.joins), "JOIN clauses."),
        (query.window is not None, "WINDOW clauses."),
        (query.group_by is not None, "GROUP BY clauses."),
        (query.partition_by is not None, "PARTITION BY clauses."),
        (query.having is not None, "HAVING clauses."),
    ):
        if present:
            raise StatementError(
                f"Pull queries don't support {name} See https://cnfl.io/queries for more info.\nAdd EMIT CHANGES if "
                "you intended to issue a push query."
            )


def _plain(expression: ast.Expression, scope: Mapping[str, Binding], clause: str) -> ast.Expression:
    """The expression without the source's alias."""

    def lower(node: ast.Expression) -> ast.Expression | None:
        if not isinstance(node, ast.ColumnRef):
            return None
        if node.name not in scope and node.name not in ("ROWPARTITION", "ROWOFFSET"):
            raise StatementError(f"{at(node.position)}{clause} column '{format_expression(node)}' cannot be resolved.")
        return ast.ColumnRef(node.name)

    return transform(expression, lower)


def _check_pseudo(query: ast.Query) -> None:
    for clause, expressions in (
        ("SELECT", [item.expression for item in query.select if isinstance(item, ast.SingleColumn)]),
        ("WHERE", [query.where] if query.where is not None else []),
    ):
        names = sorted(
            {
                node.name
                for expression in expressions
                for node in walk(expression)
                if isinstance(node, ast.ColumnRef) and node.name in ("ROWPARTITION", "ROWOFFSET")
            }
        )
        if names:
            listed = ", ".join(f"`{name}`" for name in names)
            raise StatementError(f"Pull queries don't support the following columns in {clause} clauses: {listed}\n")


def _projection(query: ast.Query, source: Source, compiler: Compiler) -> tuple[list[Column], list[ast.Expression]]:
    columns: list[Column] = []
    expressions: list[ast.Expression] = []
    keys = {column.name for column in source.schema.key}.union(WINDOW_BOUNDS if source.window else ())
    generator = AliasGenerator(column.name for column in source.schema.columns)

    def add(expression: ast.Expression, name: str, sql_type: SqlType) -> None:
        is_key = isinstance(expression, ast.ColumnRef) and expression.name in keys
        columns.append(Column(name, sql_type, Namespace.KEY if is_key else Namespace.VALUE))
        expressions.append(expression)

    _check_pseudo(query)
    for item in query.select:
        if isinstance(item, ast.AllColumns):
            bounds = WINDOW_BOUNDS if source.window else ()
            names = [*(c.name for c in source.schema.key), *bounds]
            names += [c.name for c in source.schema.columns if c.namespace is not Namespace.KEY]
            for name in names:
                add(ast.ColumnRef(name), name, compiler.scope[name].type)
        elif isinstance(item, ast.StructAll):
            base = _plain(item.base, compiler.scope, "SELECT")
            struct = compiler.type_of(base)
            if not isinstance(struct, SqlStruct):
                raise StatementError(f"Cannot apply '->*' to {format_expression(item.base)}: it is no STRUCT")
            for name, kind in struct.fields:
                add(ast.Dereference(base, name), generator.unique(name), kind)
        else:
            expression = _plain(item.expression, compiler.scope, "SELECT")
            for node in walk(expression):
                if isinstance(node, ast.FunctionCall) and compiler.functions.kind(node.name) in (
                    FunctionKind.AGGREGATE,
                    FunctionKind.TABLE,
                ):
                    kind = "aggregate" if compiler.functions.kind(node.name) is FunctionKind.AGGREGATE else "table"
                    raise StatementError(f"Pull queries don't support {kind} functions: {node.name}")
            add(expression, item.alias or "", compiler.type_of(expression))
    return columns, expressions


# --- WHERE ---


def _check_where(where: ast.Expression, compiler: Compiler) -> None:
    try:
        sql_type = compiler.type_of(where)
    except CodegenError as error:
        raise StatementError(f"Error in WHERE expression: Invalid Predicate: {error.message}") from error
    except KsqlError as error:
        raise StatementError(f"Error in WHERE expression: {error.message}") from error
    if sql_type != BOOLEAN:
        raise StatementError(
            f"Type error in WHERE expression: Should evaluate to boolean but is {format_expression(where)} ({sql_type})"
            " instead."
        )


def _flag(settings: Mapping[str, str], name: str, *, default: bool) -> bool:
    return str(settings.get(name, default)).lower() == "true"


def _conjuncts(where: ast.Expression) -> list[ast.Expression]:
    if isinstance(where, ast.Logical) and where.op == "AND":
        return [*_conjuncts(where.left), *_conjuncts(where.right)]
    return [where]


def _disjuncts(where: ast.Expression) -> list[list[ast.Expression]]:
    """Disjunctive normal form; NOT is left alone."""
    if isinstance(where, ast.Logical) and where.op == "OR":
        return [*_disjuncts(where.left), *_disjuncts(where.right)]
    if isinstance(where, ast.Logical):
        return [left + right for left in _disjuncts(where.left) for right in _disjuncts(where.right)]
    return [[where]]


def _constant(expression: ast.Expression) -> bool:
    return not any(isinstance(node, ast.ColumnRef) for node in walk(expression))


def _key_values(conjunct: ast.Expression, name: str) -> list[ast.Expression] | None:
    """The expressions that a key column must be equal to; None: the condition does not say."""
    if isinstance(conjunct, ast.Comparison) and conjunct.op is ast.ComparisonOp.EQUAL:
        for side, other in ((conjunct.left, conjunct.right), (conjunct.right, conjunct.left)):
            if side == ast.ColumnRef(name) and _constant(other):
                return [other]
    if (
        isinstance(conjunct, ast.InList)
        and conjunct.value == ast.ColumnRef(name)
        and all(map(_constant, conjunct.items))
    ):
        return list(conjunct.items)
    return None


def _keys(where: ast.Expression, source: Source, compiler: Compiler) -> tuple[Row, ...] | None:
    """The keys that satisfy the condition, if it names them."""
    found: list[Row] = []
    seen: set[Any] = set()
    for disjunct in _disjuncts(where):
        rows: list[Row] = [()]
        for column in source.schema.key:
            values = next(
                (values for conjunct in disjunct if (values := _key_values(conjunct, column.name)) is not None), None
            )
            if values is None:
                return None
            evaluated = [_evaluate(value, column.type, compiler) for value in values]
            rows = [(*row, value) for row in rows for value in evaluated]
        for row in rows:
            name = plain(list(row))
            if name not in seen:
                seen.add(name)
                found.append(row)
    return tuple(found)


def _evaluate(expression: ast.Expression, sql_type: SqlType, compiler: Compiler) -> Any:
    have = compiler.type_of(expression)
    try:
        value = compiler.evaluate(expression)
        return value if value is None or have == sql_type else caster(have, sql_type)(value)
    except (RecordError, ArithmeticError, TypeError, ValueError) as error:
        shown = format_expression(expression)
        raise StatementError(f"'{shown}' can not be converted to the type of the key column: {sql_type}") from error


_RANGES = (
    ast.ComparisonOp.LESS_THAN,
    ast.ComparisonOp.LESS_THAN_OR_EQUAL,
    ast.ComparisonOp.GREATER_THAN,
    ast.ComparisonOp.GREATER_THAN_OR_EQUAL,
)
_HELP = "See https://cnfl.io/queries for more info.\nAdd EMIT CHANGES if you intended to issue a push query."
_SCAN = (
    "Query requires table scan to be enabled. "
    "Table scans can be enabled by setting ksql.query.pull.table.scan.enabled=true"
)


def _check_scan(
    where: ast.Expression,
    source: Source,
    keys: tuple[Row, ...] | None,
    settings: Mapping[str, str],
) -> None:
    """Raises StatementError where the query needs a table scan and scans are off."""
    if _flag(settings, "ksql.query.pull.table.scan.enabled", default=True):
        return
    names = [column.name for column in source.schema.key]
    for disjunct in _disjuncts(where):
        _check_disjunct(disjunct, names, source, settings)
    if keys is None and len(_disjuncts(where)) > 1:
        raise StatementError(_SCAN)


def _check_disjunct(
    disjunct: list[ast.Expression],
    names: list[str],
    source: Source,
    settings: Mapping[str, str],
) -> None:
    text = format_expression(disjunct[0]) if len(disjunct) == 1 else " AND ".join(map(format_expression, disjunct))
    mentions = [
        (name, conjunct)
        for conjunct in disjunct
        for name in names
        if any(node == ast.ColumnRef(name) for node in walk(conjunct))
    ]
    bounds = {name for name, _ in mentions}
    for _, conjunct in mentions:
        if isinstance(conjunct, ast.InList) and not all(map(_constant, conjunct.items)):
            raise StatementError(f"A comparison must be between a key column and a resolvable expression. {_HELP}")
    if not mentions and any(isinstance(conjunct, ast.Like) for conjunct in disjunct):
        raise StatementError(f"Like condition must be between strings: {text}. {_SCAN}")
    if not mentions:
        raise StatementError(f"WHERE clause missing key column for disjunct: {text}. {_SCAN}")
    ranges = [c for _, c in mentions if isinstance(c, ast.Comparison) and c.op in _RANGES]
    if ranges and len(mentions) == 1 and len(names) == 1:
        string_key = source.schema.key[0].type == STRING
        enabled = _flag(settings, "ksql.query.pull.range.scan.enabled", default=True)
        if string_key and enabled and source.window is None:
            return
        raise StatementError(_SCAN)
    if len(names) > 1 and bounds != set(names):
        raise StatementError(
            f"Multi-column sources must specify every key in the WHERE clause. Specified: {sorted(bounds)} "
            f"Expected: {names}. {_SCAN}"
        )
    if len(mentions) > len(bounds):
        raise StatementError(
            "A comparison condition on the key column cannot be combined with other comparisons such as an IN "
            "predicate. "
            f"{_SCAN}"
        )
    if any(_key_values(conjunct, name) is None for name, conjunct in mentions):
        raise StatementError(_SCAN)
