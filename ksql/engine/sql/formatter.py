"""Writes the syntax tree as text, in the form in which ksqlDB stores and shows statements."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import singledispatch
from typing import Final

from ksql.engine.sql import ast
from ksql.engine.sql.parser import RESERVED
from ksql.engine.types import SqlArray, SqlMap, SqlStruct, SqlType

_PLAIN: Final = re.compile(r"[A-Z_][A-Z0-9_@]*\Z")


def format_identifier(name: str) -> str:
    """The name, in back-quotes where it needs them."""
    if _PLAIN.match(name) and name not in RESERVED:
        return name
    return "`" + name.replace("`", "``") + "`"


def format_type(sql_type: SqlType) -> str:
    """A type as in statements: field names are quoted only where they need it."""
    if isinstance(sql_type, SqlArray):
        return f"ARRAY<{format_type(sql_type.element)}>"
    if isinstance(sql_type, SqlMap):
        return f"MAP<{format_type(sql_type.key)}, {format_type(sql_type.value)}>"
    if isinstance(sql_type, SqlStruct):
        fields = ", ".join(f"{format_identifier(name)} {format_type(kind)}" for name, kind in sql_type.fields)
        return f"STRUCT<{fields}>"
    return str(sql_type)


def format_double(value: float) -> str:
    """A DOUBLE as Java writes it."""
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0.0" if str(value).startswith("-") else "0.0"
    if 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        if "e" in text:
            text = format(Decimal(text), "f")
        return text if "." in text else text + ".0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    mantissa = str(digits[0]) + "." + ("".join(map(str, digits[1:])) or "0")
    return f"{'-' if sign else ''}{mantissa}E{int(exponent) + len(digits) - 1}"


@singledispatch
def format_expression(expression: ast.Expression) -> str:
    """An expression with all its parentheses."""
    raise TypeError(expression)


def _binary(left: ast.Expression, op: str, right: ast.Expression) -> str:
    return f"({format_expression(left)} {op} {format_expression(right)})"


@format_expression.register
def _(expression: ast.ColumnRef) -> str:
    name = format_identifier(expression.name)
    return f"{format_identifier(expression.source)}.{name}" if expression.source else name


@format_expression.register
def _(_expression: ast.NullLiteral) -> str:
    return "null"


@format_expression.register
def _(expression: ast.BooleanLiteral) -> str:
    return "true" if expression.value else "false"


@format_expression.register
def _(expression: ast.IntegerLiteral) -> str:
    return str(expression.value)


@format_expression.register
def _(expression: ast.LongLiteral) -> str:
    return str(expression.value)


@format_expression.register
def _(expression: ast.DoubleLiteral) -> str:
    text = format_double(expression.value)
    return text if "E" in text else f"{text}E0"


@format_expression.register
def _(expression: ast.DecimalLiteral) -> str:
    return format(expression.value, "f")


@format_expression.register
def _(expression: ast.StringLiteral) -> str:
    return "'" + expression.value.replace("'", "''") + "'"


@format_expression.register
def _(expression: ast.IntervalUnitLiteral) -> str:
    return expression.unit


@format_expression.register
def _(expression: ast.ArithmeticBinary) -> str:
    return _binary(expression.left, expression.op, expression.right)


@format_expression.register
def _(expression: ast.ArithmeticUnary) -> str:
    operand = format_expression(expression.operand)
    return f"{expression.op} {operand}" if operand.startswith(expression.op) else f"{expression.op}{operand}"


@format_expression.register
def _(expression: ast.Comparison) -> str:
    return _binary(expression.left, expression.op.value, expression.right)


@format_expression.register
def _(expression: ast.Logical) -> str:
    return _binary(expression.left, expression.op, expression.right)


@format_expression.register
def _(expression: ast.Not) -> str:
    return f"(NOT {format_expression(expression.operand)})"


@format_expression.register
def _(expression: ast.IsNull) -> str:
    return f"({format_expression(expression.operand)} IS {'NOT ' if expression.negated else ''}NULL)"


@format_expression.register
def _(expression: ast.Like) -> str:
    escape = f" ESCAPE '{expression.escape}'" if expression.escape else ""
    return f"({format_expression(expression.value)} LIKE {format_expression(expression.pattern)}{escape})"


@format_expression.register
def _(expression: ast.Between) -> str:
    low, high = format_expression(expression.low), format_expression(expression.high)
    return f"({format_expression(expression.value)} BETWEEN {low} AND {high})"


@format_expression.register
def _(expression: ast.InList) -> str:
    items = ", ".join(map(format_expression, expression.items))
    return f"({format_expression(expression.value)} IN ({items}))"


def _case(operand: ast.Expression | None, whens: tuple[ast.WhenClause, ...], default: ast.Expression | None) -> str:
    parts = ["CASE"] if operand is None else ["CASE", format_expression(operand)]
    parts += [f"WHEN {format_expression(when.condition)} THEN {format_expression(when.result)}" for when in whens]
    if default is not None:
        parts.append(f"ELSE {format_expression(default)}")
    return "(" + " ".join([*parts, "END"]) + ")"


@format_expression.register
def _(expression: ast.SearchedCase) -> str:
    return _case(None, expression.whens, expression.default)


@format_expression.register
def _(expression: ast.SimpleCase) -> str:
    return _case(expression.operand, expression.whens, expression.default)


@format_expression.register
def _(expression: ast.Cast) -> str:
    return f"CAST({format_expression(expression.operand)} AS {format_type(expression.type)})"


@format_expression.register
def _(expression: ast.Subscript) -> str:
    return f"{format_expression(expression.base)}[{format_expression(expression.index)}]"


@format_expression.register
def _(expression: ast.Dereference) -> str:
    return f"{format_expression(expression.base)}->{format_identifier(expression.name)}"


@format_expression.register
def _(expression: ast.FunctionCall) -> str:
    args = "*" if expression.star else ", ".join(map(format_expression, expression.args))
    return f"{expression.name}({args})"


@format_expression.register
def _(expression: ast.Lambda) -> str:
    parameters = ", ".join(expression.parameters)
    if len(expression.parameters) > 1:
        parameters = f"({parameters})"
    return f"{parameters} => {format_expression(expression.body)}"


@format_expression.register
def _(expression: ast.LambdaVariable) -> str:
    return expression.name


@format_expression.register
def _(expression: ast.CreateArray) -> str:
    return "ARRAY[" + ", ".join(map(format_expression, expression.items)) + "]"


@format_expression.register
def _(expression: ast.CreateMap) -> str:
    entries = (f"{format_expression(key)}:={format_expression(value)}" for key, value in expression.entries)
    return "MAP(" + ", ".join(entries) + ")"


@format_expression.register
def _(expression: ast.CreateStruct) -> str:
    fields = (f"{format_identifier(name)}:={format_expression(value)}" for name, value in expression.fields)
    return "STRUCT(" + ", ".join(fields) + ")"


# --- queries ---


def _select_item(item: ast.SelectItem) -> str:
    if isinstance(item, ast.AllColumns):
        return f"{format_identifier(item.source)}.*" if item.source else "*"
    if isinstance(item, ast.StructAll):
        return f"{format_expression(item.base)}->*"
    text = format_expression(item.expression)
    return f"{text} {format_identifier(item.alias)}" if item.alias else text


def _table(ref: ast.TableRef) -> str:
    return f"{format_identifier(ref.name)} {format_identifier(ref.alias)}"


def format_duration(duration: ast.Duration) -> str:
    """`30 SECONDS`."""
    return f"{duration.amount} {duration.unit}"


def _within(within: ast.Within) -> str:
    if within.before == within.after:
        text = f"WITHIN {format_duration(within.before)}"
    else:
        text = f"WITHIN ({format_duration(within.before)}, {format_duration(within.after)})"
    return text + (f" GRACE PERIOD {format_duration(within.grace)}" if within.grace else "")


_JOIN_WORDS: Final = {
    ast.JoinType.INNER: "INNER JOIN",
    ast.JoinType.LEFT: "LEFT OUTER JOIN",
    ast.JoinType.RIGHT: "RIGHT OUTER JOIN",
    ast.JoinType.OUTER: "FULL OUTER JOIN",
}


def format_window(window: ast.WindowClause) -> str:
    """A WINDOW clause without the word WINDOW, e.g. `TUMBLING ( SIZE 1 MINUTES ) `."""
    if window.kind is ast.WindowKind.SESSION:
        parts = [f" {format_duration(window.size)} "]
    else:
        parts = [f" SIZE {format_duration(window.size)} "]
    if window.advance:
        parts.append(f" ADVANCE BY {format_duration(window.advance)} ")
    if window.retention:
        parts.append(f" RETENTION {format_duration(window.retention)} ")
    if window.grace:
        parts.append(f" GRACE PERIOD {format_duration(window.grace)} ")
    return f"{window.kind.value} (" + ",".join(parts) + ") "


def format_query(query: ast.Query) -> str:
    """A query over several lines."""
    items = [_select_item(item) for item in query.select]
    lines = ["SELECT " + items[0]] if len(items) == 1 else ["SELECT\n  " + ",\n  ".join(items)]
    lines.append(f"FROM {_table(query.source)}")
    for join in query.joins:
        within = f" {_within(join.within)}" if join.within else ""
        lines.append(f"{_JOIN_WORDS[join.type]} {_table(join.source)}{within} ON ({format_expression(join.criteria)})")
    if query.window:
        lines.append(f"WINDOW {format_window(query.window)}")
    if query.where is not None:
        lines.append(f"WHERE {format_expression(query.where)}")
    if query.group_by is not None:
        lines.append("GROUP BY " + _keys(query.group_by))
    if query.partition_by is not None:
        lines.append("PARTITION BY " + _keys(query.partition_by))
    if query.having is not None:
        lines.append(f"HAVING {format_expression(query.having)}")
    if query.emit is not None:
        lines.append(f"EMIT {query.emit.value}")
    if query.limit is not None:
        lines.append(f"LIMIT {query.limit}")
    return "\n".join(lines)


def _keys(keys: tuple[ast.Expression, ...]) -> str:
    return ", ".join(map(format_expression, keys))


# --- statements ---


def _properties(properties: tuple[tuple[str, ast.PropertyValue], ...]) -> str:
    if not properties:
        return ""
    entries = ", ".join(f"{name}={format_expression(value)}" for name, value in sorted(properties, key=lambda p: p[0]))
    return f" WITH ({entries})"


def _create(statement: ast.CreateSource | ast.CreateAsSelect) -> str:
    words = ["CREATE"]
    if statement.or_replace:
        words.append("OR REPLACE")
    if isinstance(statement, ast.CreateSource) and statement.read_only:
        words.append("SOURCE")
    words.append("TABLE" if statement.is_table else "STREAM")
    if statement.if_not_exists:
        words.append("IF NOT EXISTS")
    words.append(format_identifier(statement.name))
    return " ".join(words)


def format_element(element: ast.TableElement) -> str:
    """A column declaration."""
    text = f"{format_identifier(element.name)} {format_type(element.type)}"
    if element.constraint is ast.Constraint.HEADER:
        return f"{text} HEADER('{element.header}')"
    return f"{text} {element.constraint.value}" if element.constraint.value else text


@singledispatch
def format_statement(statement: ast.Statement) -> str:
    """A statement with its semicolon; kinds that ksqlDB never rewrites come as they were written."""
    return statement.text


@format_statement.register
def _(statement: ast.CreateSource) -> str:
    elements = f" ({', '.join(map(format_element, statement.elements))})" if statement.elements else ""
    return f"{_create(statement)}{elements}{_properties(statement.properties)};"


@format_statement.register
def _(statement: ast.CreateAsSelect) -> str:
    return f"{_create(statement)}{_properties(statement.properties)} AS {format_query(statement.query)};"


@format_statement.register
def _(statement: ast.InsertInto) -> str:
    target = format_identifier(statement.target)
    return f"INSERT INTO {target}{_properties(statement.properties)} {format_query(statement.query)};"


@format_statement.register
def _(statement: ast.QueryStatement) -> str:
    return format_query(statement.query) + ";"


@format_statement.register
def _(statement: ast.InsertValues) -> str:
    columns = ", ".join(f"`{name}`" for name in statement.columns)
    values = ", ".join("'[value]'" for _ in statement.values)
    return f"INSERT INTO `{statement.target}`{f' ({columns})' if columns else ''} VALUES ({values});"  # noqa: S608 - a message, no query


@format_statement.register
def _(statement: ast.DropSource) -> str:
    exists = "IF EXISTS " if statement.if_exists else ""
    topic = " DELETE TOPIC" if statement.delete_topic else ""
    return f"DROP {'TABLE' if statement.is_table else 'STREAM'} {exists}{format_identifier(statement.name)}{topic};"


@format_statement.register
def _(statement: ast.CreateType) -> str:
    exists = "IF NOT EXISTS " if statement.if_not_exists else ""
    return f"CREATE TYPE {exists}{format_identifier(statement.name)} AS {format_type(statement.type)};"
