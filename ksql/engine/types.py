"""SQL types, and the Python values that stand for them.

| SQL type          | Python value                                   |
|-------------------|------------------------------------------------|
| BOOLEAN           | bool                                           |
| INTEGER, BIGINT   | int (32 and 64 bits; arithmetic wraps)         |
| DOUBLE            | float                                          |
| DECIMAL(p, s)     | decimal.Decimal with exactly s decimal places  |
| STRING            | str                                            |
| BYTES             | bytes                                          |
| DATE              | int, days since 1970-01-01                     |
| TIME              | int, milliseconds of the day                   |
| TIMESTAMP         | int, milliseconds since 1970-01-01T00:00Z      |
| ARRAY<T>          | list                                           |
| MAP<K, V>         | dict                                           |
| STRUCT<...>       | dict, a key for every field                    |

SQL's NULL is None everywhere.
"""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class SqlType:
    """A SQL type; the primitive ones are the constants of this module."""

    base: str

    def __str__(self) -> str:
        return self.base


@dataclass(frozen=True, slots=True)
class SqlDecimal(SqlType):
    """DECIMAL(precision, scale): at most `precision` digits, `scale` of them after the point."""

    precision: int
    scale: int

    def __init__(self, precision: int, scale: int) -> None:
        object.__setattr__(self, "base", "DECIMAL")
        object.__setattr__(self, "precision", precision)
        object.__setattr__(self, "scale", scale)

    def __str__(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


@dataclass(frozen=True, slots=True)
class SqlArray(SqlType):
    """ARRAY<element>."""

    element: SqlType

    def __init__(self, element: SqlType) -> None:
        object.__setattr__(self, "base", "ARRAY")
        object.__setattr__(self, "element", element)

    def __str__(self) -> str:
        return f"ARRAY<{self.element}>"


@dataclass(frozen=True, slots=True)
class SqlMap(SqlType):
    """MAP<key, value>."""

    key: SqlType
    value: SqlType

    def __init__(self, key: SqlType, value: SqlType) -> None:
        object.__setattr__(self, "base", "MAP")
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "value", value)

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True, slots=True)
class SqlStruct(SqlType):
    """STRUCT<name type, ...>."""

    fields: tuple[tuple[str, SqlType], ...]

    def __init__(self, fields: tuple[tuple[str, SqlType], ...]) -> None:
        object.__setattr__(self, "base", "STRUCT")
        object.__setattr__(self, "fields", fields)

    def __str__(self) -> str:
        return "STRUCT<" + ", ".join(f"`{name}` {sql_type}" for name, sql_type in self.fields) + ">"

    def field(self, name: str) -> SqlType | None:
        """The type of a field, or None."""
        return next((sql_type for field, sql_type in self.fields if field == name), None)


@dataclass(frozen=True, slots=True)
class SqlLambda(SqlType):
    """The type of a lambda expression: only ever an argument of a function."""

    inputs: tuple[SqlType, ...]
    result: SqlType | None

    def __init__(self, inputs: tuple[SqlType, ...], result: SqlType | None) -> None:
        object.__setattr__(self, "base", "LAMBDA")
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "result", result)

    def __str__(self) -> str:
        return "LAMBDA"


@dataclass(frozen=True, slots=True)
class SqlNamed(SqlType):
    """A type by a name that CREATE TYPE may have defined; it is resolved before anything else looks at it."""

    name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "base", "NAMED")
        object.__setattr__(self, "name", name)

    def __str__(self) -> str:
        return self.name


BOOLEAN: Final = SqlType("BOOLEAN")
INTEGER: Final = SqlType("INTEGER")
BIGINT: Final = SqlType("BIGINT")
DOUBLE: Final = SqlType("DOUBLE")
STRING: Final = SqlType("STRING")
BYTES: Final = SqlType("BYTES")
DATE: Final = SqlType("DATE")
TIME: Final = SqlType("TIME")
TIMESTAMP: Final = SqlType("TIMESTAMP")
INTERVAL_UNIT: Final = SqlType("INTERVALUNIT")
NULL: Final = SqlType("null")
"""The type of the literal NULL, which fits every other type."""

PRIMITIVES: Final[dict[str, SqlType]] = {
    "BOOLEAN": BOOLEAN,
    "INT": INTEGER,
    "INTEGER": INTEGER,
    "BIGINT": BIGINT,
    "DOUBLE": DOUBLE,
    "STRING": STRING,
    "VARCHAR": STRING,
    "BYTES": BYTES,
    "DATE": DATE,
    "TIME": TIME,
    "TIMESTAMP": TIMESTAMP,
}
NUMERIC: Final = frozenset({"INTEGER", "BIGINT", "DECIMAL", "DOUBLE"})
MAX_DECIMAL_PRECISION: Final = 64

_PLAIN_IDENTIFIER = re.compile(r"[A-Z_][A-Z0-9_@:]*\Z")


def is_numeric(sql_type: SqlType) -> bool:
    """Whether arithmetic is defined on the type."""
    return sql_type.base in NUMERIC


def as_decimal(sql_type: SqlType) -> SqlDecimal:
    """The decimal type that holds every value of an integer or decimal type."""
    if isinstance(sql_type, SqlDecimal):
        return sql_type
    return SqlDecimal(10, 0) if sql_type is INTEGER or sql_type == INTEGER else SqlDecimal(19, 0)


def wider_decimal(left: SqlDecimal, right: SqlDecimal) -> SqlDecimal:
    """The decimal type that holds every value of both."""
    scale = max(left.scale, right.scale)
    return SqlDecimal(max(left.precision - left.scale, right.precision - right.scale) + scale, scale)


def contains_map(sql_type: SqlType) -> bool:
    """Whether the type is, or has somewhere inside, a MAP."""
    if isinstance(sql_type, SqlMap):
        return True
    if isinstance(sql_type, SqlArray):
        return contains_map(sql_type.element)
    return isinstance(sql_type, SqlStruct) and any(contains_map(field) for _, field in sql_type.fields)


def plain(value: Any) -> Any:
    """A hashable stand-in for a SQL value, for sets and as a key of a dictionary."""
    if isinstance(value, list):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return frozenset((plain(key), plain(item)) for key, item in value.items())
    return value
