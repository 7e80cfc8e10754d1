"""Implicit conversion: which type the members of a list, array or map have in common, and literals as that type."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions import values
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_expression
from ksql.engine.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    SqlArray,
    SqlDecimal,
    SqlMap,
    SqlStruct,
    SqlType,
    as_decimal,
    is_numeric,
    wider_decimal,
)
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBERS = (ast.IntegerLiteral, ast.LongLiteral, ast.DoubleLiteral, ast.DecimalLiteral)


def wider(left: SqlType, right: SqlType) -> SqlType | None:  # noqa: PLR0911 - one for each kind of type
    """The narrowest type that both can be converted to without loss; None: there is none."""
    if right in (left, NULL):
        return left
    if left == NULL:
        return right
    if is_numeric(left) and is_numeric(right):
        if DOUBLE in (left, right):
            return DOUBLE
        if isinstance(left, SqlDecimal) or isinstance(right, SqlDecimal):
            return wider_decimal(as_decimal(left), as_decimal(right))
        return BIGINT if BIGINT in (left, right) else INTEGER
    if isinstance(left, SqlArray) and isinstance(right, SqlArray):
        element = wider(left.element, right.element)
        return SqlArray(element) if element else None
    if isinstance(left, SqlMap) and isinstance(right, SqlMap):
        key, value = wider(left.key, right.key), wider(left.value, right.value)
        return SqlMap(key, value) if key and value else None
    if isinstance(left, SqlStruct) and isinstance(right, SqlStruct):
        return _wider_struct(left, right)
    return None


def _wider_struct(left: SqlStruct, right: SqlStruct) -> SqlType | None:
    fields: list[tuple[str, SqlType]] = []
    for name, sql_type in left.fields:
        other = right.field(name)
        common = sql_type if other is None else wider(sql_type, other)
        if common is None:
            return None
        fields.append((name, common))
    fields += [(name, sql_type) for name, sql_type in right.fields if left.field(name) is None]
    return SqlStruct(tuple(fields))


def common_type(expressions: Sequence[ast.Expression], types: Sequence[SqlType]) -> SqlType:
    """The type that all expressions can be converted to.

    Raises:
        StatementError: there is none; the message names the first that does not fit.
    """
    common: SqlType = NULL
    for expression, sql_type in zip(expressions, types, strict=True):
        common = _join(common, expression, sql_type)
    return common


def _join(  # noqa: C901, PLR0911 - one for each kind of expression
    common: SqlType, expression: ast.Expression, sql_type: SqlType
) -> SqlType:
    if common == NULL or isinstance(expression, ast.NullLiteral):
        return sql_type if common == NULL else common
    if isinstance(expression, ast.StringLiteral) and common != STRING:
        return _join_text(common, expression, sql_type)
    if common == STRING and isinstance(expression, (*_NUMBERS, ast.BooleanLiteral)):
        return STRING
    if isinstance(expression, ast.CreateArray) and isinstance(common, SqlArray) and isinstance(sql_type, SqlArray):
        element: SqlType = common.element
        for item in expression.items:
            element = _inner(element, item, sql_type.element, common, expression, sql_type)
        return SqlArray(element)
    if isinstance(expression, ast.CreateMap) and isinstance(common, SqlMap) and isinstance(sql_type, SqlMap):
        key, value = common.key, common.value
        for key_item, value_item in expression.entries:
            key = _inner(key, key_item, sql_type.key, common, expression, sql_type)
            value = _inner(value, value_item, sql_type.value, common, expression, sql_type)
        return SqlMap(key, value)
    if isinstance(expression, ast.CreateStruct) and isinstance(common, SqlStruct) and isinstance(sql_type, SqlStruct):
        fields = dict(common.fields)
        for name, item in expression.fields:
            kind = sql_type.field(name) or NULL
            fields[name] = _inner(fields[name], item, kind, common, expression, sql_type) if name in fields else kind
        return SqlStruct(tuple(fields.items()))
    joined = wider(common, sql_type)
    if joined is None:
        raise mismatch(common, sql_type, expression)
    return joined


def _inner(
    common: SqlType,
    item: ast.Expression,
    item_type: SqlType,
    outer: SqlType,
    expression: ast.Expression,
    sql_type: SqlType,
) -> SqlType:
    """The common type of a member; a mismatch is reported for the whole constructor."""
    try:
        return _join(common, item, item_type)
    except StatementError as error:
        if error.message.startswith("invalid input"):
            raise
        raise mismatch(outer, sql_type, expression) from error


def mismatch(common: SqlType, sql_type: SqlType, expression: ast.Expression) -> StatementError:
    """The error of a member whose type does not fit the others'."""
    return StatementError(
        f"operator does not exist: {common} = {sql_type} ({format_expression(expression)})\n"
        "Hint: You might need to add explicit type casts."
    )


def _invalid(common: SqlType, text: str) -> StatementError:
    return StatementError(f'invalid input syntax for type {common}: "{text}".')


def _join_text(common: SqlType, expression: ast.StringLiteral, sql_type: SqlType) -> SqlType:
    text = expression.value
    if is_numeric(common):
        try:
            number = Decimal(text.strip())
        except InvalidOperation as error:
            raise _invalid(common, text) from error
        if common == DOUBLE:
            return DOUBLE
        exponent = int(number.as_tuple().exponent)
        if exponent < 0 or "e" in text.lower():
            digits = len(number.as_tuple().digits)
            return wider_decimal(as_decimal(common), SqlDecimal(max(digits, -exponent), max(-exponent, 0)))
        if isinstance(common, SqlDecimal):
            return wider_decimal(common, SqlDecimal(max(len(number.as_tuple().digits), 1), 0))
        return BIGINT if abs(number) > values.INT_MAX else common
    if common == BOOLEAN:
        if text.strip().lower() not in ("true", "false", "yes", "no", "t", "f", "y", "n"):
            raise _invalid(common, text)
        return BOOLEAN
    if common.base in ("DATE", "TIME", "TIMESTAMP"):
        return common
    if common.base in ("ARRAY", "MAP", "STRUCT"):
        raise mismatch(common, sql_type, expression)
    raise mismatch(common, sql_type, expression)


def literal_value(expression: ast.Expression, target: SqlType) -> tuple[bool, Any]:
    """A literal as a value of another type: whether it could be converted, and the value."""
    if isinstance(expression, ast.NullLiteral):
        return True, None
    if isinstance(expression, ast.StringLiteral) and target != STRING:
        return True, values.caster(STRING, target)(expression.value)
    if isinstance(expression, (*_NUMBERS, ast.BooleanLiteral)) and target == STRING:
        return True, format_expression(expression)
    return False, None
