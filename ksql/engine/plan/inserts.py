"""INSERT INTO ... VALUES: from a statement to a row of its target."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions.compiler import Compiler
from ksql.engine.expressions.values import caster, implicitly_castable
from ksql.engine.plan.statements import resolve_types
from ksql.engine.schema import ROWTIME, SYSTEM_COLUMNS, Namespace
from ksql.engine.types import (
    BIGINT,
    BYTES,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    SqlArray,
    SqlDecimal,
    SqlMap,
    SqlStruct,
    SqlType,
)
from ksql.errors import KsqlError, RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ksql.engine.metastore import MetaStore, Source
    from ksql.engine.plan.statements import Context
    from ksql.engine.sql import ast

_TEMPORAL = frozenset({"DATE", "TIME", "TIMESTAMP", "BYTES"})


@dataclass(frozen=True, slots=True)
class InsertedRow:
    """A row of INSERT INTO ... VALUES; `timestamp` is None where ROWTIME was not given, `key` where there is none."""

    target: Source
    key: tuple[Any, ...] | None
    value: tuple[Any, ...]
    timestamp: int | None


def insert_target(name: str, metastore: MetaStore) -> Source:
    """Return the stream or table that rows are inserted in.

    Args:
        name: its name.
        metastore: what there is.

    Raises:
        StatementError: there is none of that name, or it cannot be written.
    """
    target = metastore.get(name)
    if target is None:
        close = next((source.name for source in metastore if source.name.upper() == name.upper()), None)
        hint = (
            f'\nDid you mean "{close}"? Hint: wrap the source name in double quotes to make it case-sensitive.'
            if close
            else ""
        )
        raise StatementError(f"Cannot insert values into an unknown stream/table: `{name}`{hint}")
    if target.read_only:
        raise StatementError(f"Cannot insert values into read-only {target.kind.value.lower()}: {target.name}")
    if target.window is not None:
        raise StatementError("Cannot insert values into windowed stream/table!")
    return target


def insert_values(statement: ast.InsertValues, target: Source, context: Context) -> InsertedRow:
    """Return the row of an INSERT INTO ... VALUES.

    Args:
        statement: the statement.
        target: where its row goes.
        context: its types and the functions that its values may call.

    Raises:
        StatementError: the row cannot be inserted.
    """
    statement = resolve_types(statement, context.metastore.types)
    names = _columns(statement, target)
    row = {
        name: _evaluated(expression, name=name, target=target, context=context)
        for name, expression in zip(names, statement.values, strict=True)
    }
    missing = missing_key(row, target)
    if target.is_table and missing:
        listed = ", ".join(missing)
        raise _failed(target, f"Value for primary key column(s) {listed} is required for tables")
    return row_of(row, target)


def row_of(values: Mapping[str, Any], target: Source) -> InsertedRow:
    """Return values by column as a row; ROWTIME may be among them."""
    schema = target.schema
    has_key = len(missing_key(values, target)) < len(schema.key)
    return InsertedRow(
        target,
        tuple(values.get(column.name) for column in schema.key) if has_key else None,
        tuple(values.get(column.name) for column in schema.value),
        values.get(ROWTIME),
    )


def missing_key(row: Mapping[str, Any], target: Source) -> list[str]:
    """Return the key columns that a row has no value for."""
    return [column.name for column in target.schema.key if row.get(column.name) is None]


def insertable(given: SqlType, wanted: SqlType) -> bool:  # noqa: PLR0911 - one a kind of type
    """Return whether a value of one type may be inserted into a column of another."""
    if given in {NULL, wanted} or implicitly_castable(given, wanted):
        return True
    if given == STRING and (wanted.base in _TEMPORAL or isinstance(wanted, SqlDecimal)):
        return True
    if isinstance(given, SqlDecimal) and (wanted == DOUBLE or isinstance(wanted, SqlDecimal)):
        return True
    if given in {INTEGER, BIGINT, DOUBLE} and isinstance(wanted, SqlDecimal):
        return True
    if isinstance(given, SqlArray) and isinstance(wanted, SqlArray):
        return insertable(given.element, wanted.element)
    if isinstance(given, SqlMap) and isinstance(wanted, SqlMap):
        return insertable(given.key, wanted.key) and insertable(given.value, wanted.value)
    if isinstance(given, SqlStruct) and isinstance(wanted, SqlStruct):
        fields = dict(wanted.fields)
        return all(name in fields and insertable(field, fields[name]) for name, field in given.fields)
    return False


def inserted(value: Any, given: SqlType, wanted: SqlType) -> Any:
    """Return a value as its column's type; texts for BYTES are base64.

    Raises:
        KsqlError, ValueError, ArithmeticError, TypeError: it has no such value.
    """
    if given == STRING and wanted == BYTES:
        return base64.b64decode(value, validate=True)
    return caster(given, wanted)(value)


def _columns(statement: ast.InsertValues, target: Source) -> tuple[str, ...]:
    headers = {column.name for column in target.schema.headers}
    named = [name for name in statement.columns if name in headers]
    if named:
        raise StatementError(f"Cannot insert into HEADER columns: {', '.join(named)}")
    given = len(statement.values)
    if statement.columns and len(statement.columns) != given:
        counts = f"{len(statement.columns)}, {given}"
        raise StatementError(f"Failed to prepare statement: Expected number columns and values to match: {counts}")
    names = tuple(statement.columns) or tuple(
        column.name for column in target.schema.columns if column.namespace is not Namespace.HEADERS
    )
    for name in names:
        if name != ROWTIME and name in SYSTEM_COLUMNS:
            raise StatementError(f"Inserting into column `{name}` is not allowed.")
        if name != ROWTIME and target.schema.find(name) is None:
            raise _failed(target, f"Column name `{name}` does not exist.")
    if len(names) != given:
        columns = ", ".join(f"`{name}`" for name in names)
        raise _failed(target, f"Expected a value for each column. Expected Columns: [{columns}]. Got {given} values.")
    return names


def _evaluated(expression: ast.Expression, *, name: str, target: Source, context: Context) -> Any:
    column = target.schema.find(name)
    sql_type = BIGINT if column is None else column.type
    compiler = Compiler({}, context.functions, context.settings)
    try:
        code = compiler.translate(expression)
        value = compiler.evaluate(expression)
    except (KsqlError, RecordError) as error:
        why = error.message if isinstance(error, KsqlError) else error
        raise _failed(target, f"Invalid insert value: {why}.") from error
    if value is None or code.type == NULL:
        return None
    if not insertable(code.type, sql_type):
        raise _failed(target, f"Expected type {sql_type} for field `{name}` but got {code.type}({value})")
    try:
        return inserted(value, code.type, sql_type)
    except (KsqlError, RecordError, ArithmeticError, TypeError, ValueError) as error:
        raise _failed(target, f"Invalid insert value: {error}.") from error


def _failed(target: Source, message: str) -> StatementError:
    return StatementError(f"Failed to insert values into '{target.name}'. {message}")
