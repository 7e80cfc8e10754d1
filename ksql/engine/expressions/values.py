"""Arithmetic and casts on SQL values, at run time. None never gets here unless a function says so."""

from __future__ import annotations

import decimal
import math
import re
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions import temporal
from ksql.engine.sql.formatter import format_double
from ksql.engine.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    SqlArray,
    SqlDecimal,
    SqlMap,
    SqlStruct,
    SqlType,
)
from ksql.errors import RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT: Final = decimal.Context(prec=200, rounding=ROUND_HALF_UP)
"""Decimals are computed with this, then brought to their type's scale."""

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1


def wrap_int(value: int) -> int:
    """A number in 32 bits, as Java's int overflows."""
    return ((value + 2147483648) & 4294967295) - 2147483648


def wrap_long(value: int) -> int:
    """A number in 64 bits, as Java's long overflows."""
    return ((value + 9223372036854775808) & 18446744073709551615) - 9223372036854775808


def divide_integers(left: int, right: int) -> int:
    """Integer division towards zero. Raises ZeroDivisionError."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def modulo_integers(left: int, right: int) -> int:
    """The remainder with the sign of the dividend. Raises ZeroDivisionError."""
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def divide_doubles(left: float, right: float) -> float:
    """IEEE 754 division."""
    if right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1, right)
    return left / right


def modulo_doubles(left: float, right: float) -> float:
    """IEEE 754 remainder with the sign of the dividend."""
    if right == 0 or math.isinf(left):
        return math.nan
    return math.fmod(left, right)


def quantize(value: Decimal, scale: int) -> Decimal:
    """The value with exactly `scale` decimals, rounded half up."""
    return value.quantize(Decimal(1).scaleb(-scale), context=EXACT)


def fit_decimal(value: Decimal, precision: int, scale: int) -> Decimal:
    """The value as DECIMAL(precision, scale).

    Raises:
        RecordError: it has too many digits.
    """
    rounded = quantize(value, scale)
    if len(rounded.as_tuple().digits) > precision and abs(rounded) >= Decimal(10) ** (precision - scale):
        raise RecordError(
            f"Numeric field overflow: A field with precision {precision} and scale {scale} must round "
            f"to an absolute value less than 10^{precision - scale}. Got {format_decimal(value)}"
        )
    return rounded


def decimal_of_double(value: float) -> Decimal:
    """The shortest decimal that is this double. Raises RecordError for NaN and infinity."""
    if math.isnan(value) or math.isinf(value):
        raise RecordError(f"{value} is no number")
    return Decimal(repr(value))


def format_decimal(value: Decimal) -> str:
    """Digits without an exponent."""
    return format(value, "f")


def double_to_long(value: float, low: int, high: int) -> int:
    """Java's narrowing of a double: towards zero, clamped to the range, NaN is 0."""
    if math.isnan(value):
        return 0
    if value >= high:
        return high
    return low if value <= low else int(value)


def parse_integer(text: str, low: int, high: int) -> int:
    """An integer of a text; a decimal fraction is cut off.

    Raises:
        RecordError: it is no number, or out of range.
    """
    stripped = text.strip()
    try:
        value = int(stripped) if "_" not in stripped else None
    except ValueError:
        value = None
    if value is None:
        try:
            value = int(Decimal(stripped).to_integral_value(ROUND_DOWN))
        except (decimal.InvalidOperation, ValueError, OverflowError) as error:
            raise RecordError(f"Not a number: {text}") from error
    if not low <= value <= high:
        raise RecordError(f"Number out of range: {text}")
    return value


def parse_double(text: str) -> float:
    """A double of a text. Raises RecordError."""
    stripped = text.strip()
    if "_" in stripped or (stripped.lower().lstrip("+-") in ("inf", "nan") and stripped != "NaN"):
        raise RecordError(f"Not a number: {text}")
    try:
        return float(stripped)
    except ValueError as error:
        raise RecordError(f"Not a number: {text}") from error


def parse_decimal(text: str) -> Decimal:
    """A decimal of a text. Raises RecordError."""
    try:
        value = Decimal(text.strip())
    except decimal.InvalidOperation as error:
        raise RecordError(f"Not a number: {text}") from error
    if not value.is_finite():
        raise RecordError(f"Not a number: {text}")
    return value


_TRUE_WORDS: Final = frozenset({"true", "tru", "tr", "t", "yes", "ye", "y"})


def parse_boolean(text: str) -> bool:
    """True for the beginnings of `true` and `yes`."""
    return text.strip().lower() in _TRUE_WORDS


def java_hash(text: str) -> int:
    """The hash code of a Java string."""
    code = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        code = (code * 31 + unit) & 0xFFFFFFFF
    return code


def java_order(entries: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """A map's entries in the order in which a Java HashMap gives them; functions that fold a map depend on it."""
    size = 1
    while len(entries) > size * 0.75:
        size *= 2

    def bucket(entry: tuple[Any, Any]) -> int:
        code = java_hash(entry[0]) if isinstance(entry[0], str) else hash(entry[0]) & 0xFFFFFFFF
        return (code ^ (code >> 16)) & (size - 1)

    return sorted(entries.items(), key=bucket)


def like_pattern(pattern: str, escape: str | None) -> str:
    """The regular expression of a LIKE pattern."""
    out: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == escape and index + 1 < len(pattern):
            index += 1
            out.append(re.escape(pattern[index]))
        elif char == "%":
            out.append(".*")
        elif char == "_":
            out.append(".")
        else:
            out.append(re.escape(char))
        index += 1
    return "".join(out)


def text_of(value: Any, sql_type: SqlType) -> str:
    """The text of a value inside of another: `[1, 2]`, `{a=1}`, `Struct{F0=1,f1=3}`."""
    if value is None:
        return "null"
    if isinstance(sql_type, SqlArray):
        return "[" + ", ".join(text_of(item, sql_type.element) for item in value) + "]"
    if isinstance(sql_type, SqlMap):
        entries = (f"{text_of(key, sql_type.key)}={text_of(item, sql_type.value)}" for key, item in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(sql_type, SqlStruct):
        fields = (
            f"{name}={text_of(value[name], field)}" for name, field in sql_type.fields if value.get(name) is not None
        )
        return "Struct{" + ",".join(fields) + "}"
    return caster(sql_type, STRING)(value)


# --- casts ---


def identity(value: Any) -> Any:
    """The value as it is."""
    return value


def unsupported_cast(source: SqlType, target: SqlType) -> StatementError:
    """The error of a cast that SQL does not know."""
    return StatementError(f"Cast of {source} to {target} is not supported")


def caster(source: SqlType, target: SqlType) -> Callable[[Any], Any]:
    """A function that casts a value (None stays None inside of arrays, maps and structs, too).

    Raises:
        StatementError: there is no such cast.
    """
    if source == target or source.base == "null":
        return identity
    if isinstance(source, SqlArray) and isinstance(target, SqlArray):
        inner = nullable(caster(source.element, target.element))
        return lambda value: [inner(item) for item in value]
    if isinstance(source, SqlMap) and isinstance(target, SqlMap):
        keys, items = nullable(caster(source.key, target.key)), nullable(caster(source.value, target.value))
        return lambda value: {keys(key): items(item) for key, item in value.items()}
    if isinstance(source, SqlStruct) and isinstance(target, SqlStruct):
        return _struct_caster(source, target)
    if target == STRING and isinstance(source, (SqlArray, SqlMap, SqlStruct)):
        return lambda value: text_of(value, source)
    cast = _primitive_caster(source, target)
    if cast is None:
        raise unsupported_cast(source, target)
    return cast


def nullable(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, with None for None."""
    return lambda value: None if value is None else function(value)


def _struct_caster(source: SqlStruct, target: SqlStruct) -> Callable[[Any], Any]:
    casts: list[tuple[str, Callable[[Any], Any]]] = []
    for name, field in target.fields:
        origin = source.field(name)
        casts.append((name, identity if origin is None else nullable(caster(origin, field))))
    return lambda value: {name: cast(value.get(name)) for name, cast in casts}


def _primitive_caster(source: SqlType, target: SqlType) -> Callable[[Any], Any] | None:
    if isinstance(target, SqlDecimal):
        return _to_decimal(source, target)
    key = (source.base, target.base)
    return _CASTS.get(key)


def _to_decimal(source: SqlType, target: SqlDecimal) -> Callable[[Any], Any] | None:
    precision, scale = target.precision, target.scale
    if source in (INTEGER, BIGINT):
        return lambda value: fit_decimal(Decimal(value), precision, scale)
    if source == DOUBLE:
        return lambda value: fit_decimal(decimal_of_double(value), precision, scale)
    if source == STRING:
        return lambda value: fit_decimal(parse_decimal(value), precision, scale)
    if isinstance(source, SqlDecimal):
        return lambda value: fit_decimal(value, precision, scale)
    return None


_CASTS: Final[dict[tuple[str, str], Callable[[Any], Any]]] = {
    (BOOLEAN.base, STRING.base): lambda value: "true" if value else "false",
    (INTEGER.base, BIGINT.base): identity,
    (INTEGER.base, DOUBLE.base): float,
    (INTEGER.base, STRING.base): str,
    (BIGINT.base, INTEGER.base): wrap_int,
    (BIGINT.base, DOUBLE.base): float,
    (BIGINT.base, STRING.base): str,
    ("DECIMAL", INTEGER.base): lambda value: wrap_int(int(value)),
    ("DECIMAL", BIGINT.base): lambda value: wrap_long(int(value)),
    ("DECIMAL", DOUBLE.base): float,
    ("DECIMAL", STRING.base): format_decimal,
    (DOUBLE.base, INTEGER.base): lambda value: double_to_long(value, INT_MIN, INT_MAX),
    (DOUBLE.base, BIGINT.base): lambda value: double_to_long(value, LONG_MIN, LONG_MAX),
    (DOUBLE.base, STRING.base): format_double,
    (STRING.base, BOOLEAN.base): parse_boolean,
    (STRING.base, INTEGER.base): lambda value: parse_integer(value, INT_MIN, INT_MAX),
    (STRING.base, BIGINT.base): lambda value: parse_integer(value, LONG_MIN, LONG_MAX),
    (STRING.base, DOUBLE.base): parse_double,
    (STRING.base, TIMESTAMP.base): temporal.parse_timestamp,
    (STRING.base, DATE.base): temporal.parse_date,
    (STRING.base, TIME.base): temporal.parse_time,
    (TIMESTAMP.base, STRING.base): temporal.format_timestamp,
    (TIMESTAMP.base, DATE.base): lambda value: value // temporal.DAY_MS,
    (TIMESTAMP.base, TIME.base): lambda value: value % temporal.DAY_MS,
    (DATE.base, STRING.base): temporal.format_date,
    (DATE.base, TIMESTAMP.base): lambda value: value * temporal.DAY_MS,
    (TIME.base, STRING.base): temporal.format_time,
}


def implicitly_castable(source: SqlType, target: SqlType) -> bool:  # noqa: PLR0911 - one branch for each kind
    """Whether a value of the type may stand where the other is wanted, without CAST."""
    if source == target or source.base == "null":
        return True
    order = ("INTEGER", "BIGINT", "DECIMAL", "DOUBLE")
    if source.base in order and target.base in order:
        if isinstance(source, SqlDecimal) and isinstance(target, SqlDecimal):
            return source.scale <= target.scale and source.precision - source.scale <= target.precision - target.scale
        if isinstance(target, SqlDecimal):
            digits = 10 if source == INTEGER else 19
            return target.precision - target.scale >= digits
        return order.index(source.base) < order.index(target.base)
    if isinstance(source, SqlArray) and isinstance(target, SqlArray):
        return implicitly_castable(source.element, target.element)
    if isinstance(source, SqlMap) and isinstance(target, SqlMap):
        return implicitly_castable(source.key, target.key) and implicitly_castable(source.value, target.value)
    if isinstance(source, SqlStruct) and isinstance(target, SqlStruct):
        names = [name for name, _ in source.fields]
        return names == [name for name, _ in target.fields] and all(
            implicitly_castable(left, right) for (_, left), (_, right) in zip(source.fields, target.fields, strict=True)
        )
    return False
