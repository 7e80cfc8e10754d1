"""Mathematical functions."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import math
import random
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ksql.engine.expressions import values
from ksql.engine.functions.registry import Variant, scalar, v
from ksql.engine.types import SqlDecimal, SqlType, wider_decimal
from ksql.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MATH = "MATHEMATICAL"


def _same_type(types: Sequence[SqlType]) -> SqlType:
    return types[0]


def _doubles(name: str, description: str, function: Callable[[float], float]) -> None:
    """A function of one double; integers are widened."""
    scalar(name, _MATH, description, *(v(f"{kind} value", "DOUBLE", function) for kind in ("INT", "BIGINT", "DOUBLE")))


def _guarded(function: Callable[[float], float]) -> Callable[[float], float]:
    """The function with NaN outside of its domain, and infinity where it overflows, as Java has them."""

    def call(value: float) -> float:
        try:
            return function(float(value))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return call


def _log(value: float) -> float:
    value = float(value)
    if value == 0:
        return -math.inf
    return math.nan if value < 0 or math.isnan(value) else math.log(value)


def _log_base(base: float, value: float) -> float:
    return values.divide_doubles(_log(value), _log(base))


def _cot(value: float) -> float:
    return values.divide_doubles(1.0, math.tan(value))


def _cbrt(value: float) -> float:
    """The double nearest to the cube root; the C library's may be the one beside it."""
    root = math.cbrt(float(value))
    if not math.isfinite(root):
        return root
    near = (root, math.nextafter(root, math.inf), math.nextafter(root, -math.inf))
    return min(near, key=lambda candidate: abs(Fraction(candidate) ** 3 - Fraction(value)))


def _power(base: float, exponent: float) -> float:
    try:
        result = float(base) ** float(exponent)
    except ZeroDivisionError:
        return math.inf
    except OverflowError:
        return math.inf
    return math.nan if isinstance(result, complex) else result


def _sign(value: Any) -> int:
    return (value > 0) - (value < 0)


def _abs_integer(wrap: Callable[[int], int]) -> Callable[[int], int]:
    return lambda value: wrap(abs(value))


# --- rounding ---


def _round_to_long(value: float) -> int:
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return values.LONG_MAX if value > 0 else values.LONG_MIN
    return max(values.LONG_MIN, min(values.LONG_MAX, math.floor(value + 0.5)))


def _round_double(value: float, places: int) -> float:
    if math.isnan(value) or math.isinf(value):
        return value
    return float(_half_up(Decimal(repr(value)), places))


def _half_up(value: Decimal, places: int) -> Decimal:
    """Rounds halves towards positive infinity, as Java's Math.round does."""
    if value < 0:
        step = Decimal(1).scaleb(-places)
        scaled = (value / step + Decimal("0.5")).to_integral_value(ROUND_FLOOR)
        return scaled * step
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=values.EXACT)


def _truncate_double(value: float, places: int) -> float:
    if math.isnan(value) or math.isinf(value):
        return value
    step = Decimal(1).scaleb(-places)
    return float(values.EXACT.multiply((Decimal(repr(value)) / step).to_integral_value(ROUND_DOWN), step))


def _decimal_rounding(mode: str) -> Callable[[Sequence[SqlType], SqlType], Callable[..., Decimal]]:
    def make(types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Decimal]:
        assert isinstance(types[0], SqlDecimal)  # noqa: S101
        scale = types[0].scale

        def call(value: Decimal, places: int = 0) -> Decimal:
            step = Decimal(1).scaleb(-places)
            if mode == "round":
                rounded = _half_up(value, places)
            else:
                rounded = values.EXACT.multiply((value / step).to_integral_value(ROUND_DOWN), step)
            return values.quantize(rounded, scale)

        return call

    return make


def _whole_decimal(types: Sequence[SqlType]) -> SqlType:
    assert isinstance(types[0], SqlDecimal)  # noqa: S101
    return SqlDecimal(max(types[0].precision - types[0].scale, 1), 0)


def _round_decimal(mode: str) -> Callable[[Sequence[SqlType], SqlType], Callable[..., Decimal]]:
    def make(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Decimal]:
        if mode == "round":
            return lambda value: _half_up(value, 0)
        return lambda value: value.to_integral_value(ROUND_DOWN)

    return make


def _integral_decimal(rounding: str) -> Callable[[Sequence[SqlType], SqlType], Callable[..., Decimal]]:
    def make(types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Decimal]:
        assert isinstance(types[0], SqlDecimal)  # noqa: S101
        scale = types[0].scale
        return lambda value: values.quantize(value.to_integral_value(rounding), scale)

    return make


# --- extremes ---


def _extreme_type(types: Sequence[SqlType]) -> SqlType:
    result: SqlType | None = None
    for sql_type in types:
        if isinstance(sql_type, SqlDecimal):
            result = sql_type if not isinstance(result, SqlDecimal) else wider_decimal(result, sql_type)
    if result is None:
        raise FunctionError("There is no decimal among the arguments")
    return result


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        present = [arg for arg in args if arg is not None]
        return pick(present) if present else None

    return call


def _extreme_decimal(pick: Callable[..., Any]) -> Callable[[Sequence[SqlType], SqlType], Callable[..., Any]]:
    def make(_types: Sequence[SqlType], returns: SqlType) -> Callable[..., Any]:
        assert isinstance(returns, SqlDecimal)  # noqa: S101

        def call(*args: Any) -> Any:
            present = [arg for arg in args if arg is not None]
            return values.quantize(pick(present), returns.scale) if present else None

        return call

    return make


def _extremes(pick: Callable[..., Any], prefix: str) -> list[Variant]:
    kinds = ("INT", "BIGINT", "DOUBLE", "STRING", "BYTES", "DATE", "TIME", "TIMESTAMP")
    variants = [v(f"{kind} {prefix}, {kind}... others", kind, _extreme(pick), nulls=True) for kind in kinds]
    decimal = v(
        "DECIMAL first, DECIMAL... others",
        _extreme_type,
        _extreme_decimal(pick),
        nulls=True,
        typed=True,
    )
    return [*variants[:2], decimal, *variants[2:]]


# --- distances ---


_RADII = {"KM": 6371.0, "MI": 3959.0}


def _distance(
    lat1: float | None, lon1: float | None, lat2: float | None, lon2: float | None, unit: str | None = "KM"
) -> float | None:
    """The great-circle distance by the haversine formula."""
    if lat1 is None or lon1 is None or lat2 is None or lon2 is None:
        return None
    kind = (unit or "KM").strip().upper()
    if kind.startswith(("K",)):
        radius = _RADII["KM"]
    elif kind.startswith("M"):
        radius = _RADII["MI"]
    else:
        raise FunctionError("GeoDistance function fails: the units can only be Km or Miles")
    for latitude in (lat1, lat2):
        if not -90 <= latitude <= 90:
            raise FunctionError("valid latitude values for GeoDistance function are in the range of -90 to 90")
    for longitude in (lon1, lon2):
        if not -180 <= longitude <= 180:
            raise FunctionError("valid longitude values for GeoDistance function are in the range of -180 to 180")
    d_lat, d_lon = math.radians(lat2 - lat1), math.radians(lon2 - lon1)
    a = math.sin(d_lat / 2) ** 2 + math.sin(d_lon / 2) ** 2 * math.cos(math.radians(lat1)) * math.cos(
        math.radians(lat2)
    )
    return radius * 2 * math.asin(math.sqrt(a))


def _register() -> None:
    scalar(
        "ABS",
        _MATH,
        "The absolute value of its argument.",
        v("INT val", "INT", _abs_integer(values.wrap_int)),
        v("BIGINT val", "BIGINT", _abs_integer(values.wrap_long)),
        v("DECIMAL val", _same_type, abs),
        v("DOUBLE val", "DOUBLE", abs),
    )
    for name, description, function in (
        ("ACOS", "The inverse (arc) cosine, in radians.", math.acos),
        ("ASIN", "The inverse (arc) sine, in radians.", math.asin),
        ("ATAN", "The inverse (arc) tangent, in radians.", math.atan),
        ("COS", "The cosine of an angle in radians.", math.cos),
        ("COSH", "The hyperbolic cosine.", math.cosh),
        ("COT", "The cotangent of an angle in radians.", _cot),
        ("DEGREES", "Radians as degrees.", math.degrees),
        ("EXP", "The exponential.", math.exp),
        ("RADIANS", "Degrees as radians.", math.radians),
        ("SIN", "The sine of an angle in radians.", math.sin),
        ("SINH", "The hyperbolic sine.", math.sinh),
        ("SQRT", "The square root.", math.sqrt),
        ("TAN", "The tangent of an angle in radians.", math.tan),
        ("TANH", "The hyperbolic tangent.", math.tanh),
        ("CBRT", "The cube root.", _cbrt),
    ):
        _doubles(name.lower(), description, _guarded(function))
    _doubles("LN", "The natural logarithm.", _log)
    scalar(
        "log",
        _MATH,
        "The natural logarithm, or the logarithm to a base.",
        *(v(f"{kind} value", "DOUBLE", _log) for kind in ("INT", "BIGINT", "DOUBLE")),
        *(v(f"{kind} base, {kind} value", "DOUBLE", _log_base) for kind in ("INT", "BIGINT", "DOUBLE")),
    )
    scalar(
        "atan2",
        _MATH,
        "The angle of a point.",
        *(v(f"{kind} y, {kind} x", "DOUBLE", math.atan2) for kind in ("INT", "BIGINT", "DOUBLE")),
    )
    scalar(
        "power",
        _MATH,
        "A number to a power.",
        *(v(f"{kind} base, {kind} exponent", "DOUBLE", _power) for kind in ("INT", "BIGINT", "DOUBLE")),
    )
    scalar("pi", _MATH, "The number pi.", v("", "DOUBLE", lambda: math.pi))
    scalar("RANDOM", _MATH, "A random number between 0 and 1.", v("", "DOUBLE", random.random))
    scalar(
        "sign",
        _MATH,
        "The sign of a number: -1, 0 or 1.",
        *(v(f"{kind} value", "INT", _sign) for kind in ("INT", "BIGINT", "DOUBLE")),
    )
    for name, rounding, description in (
        ("CEIL", ROUND_CEILING, "The smallest whole number that is not smaller."),
        ("FLOOR", ROUND_FLOOR, "The largest whole number that is not larger."),
    ):
        whole = math.ceil if name == "CEIL" else math.floor
        scalar(
            name,
            _MATH,
            description,
            v("INT val", "INT", lambda value: value),
            v("BIGINT val", "BIGINT", lambda value: value),
            v("DECIMAL val", _same_type, _integral_decimal(rounding), typed=True),
            v("DOUBLE val", "DOUBLE", _whole_double(whole)),
        )
    for name, mode, double, places in (
        ("Round", "round", _round_to_long, _round_double),
        (
            "TRUNC",
            "trunc",
            lambda value: values.double_to_long(value, values.LONG_MIN, values.LONG_MAX),
            _truncate_double,
        ),
    ):
        scalar(
            name,
            _MATH,
            "Rounds a number." if mode == "round" else "Cuts off decimal places.",
            v("INT val", "INT", lambda value: value),
            v("BIGINT val", "BIGINT", lambda value: value),
            v("DECIMAL val", _whole_decimal, _round_decimal(mode), typed=True),
            v("DOUBLE val", "BIGINT", double),
            v("DECIMAL val, INT decimalPlaces", _same_type, _decimal_rounding(mode), typed=True),
            v("DOUBLE val, INT decimalPlaces", "DOUBLE", places),
        )
    scalar("greatest", _MATH, "The largest of its arguments that are not null.", *_extremes(max, "first"))
    scalar("least", _MATH, "The smallest of its arguments that are not null.", *_extremes(min, "first"))
    scalar(
        "geo_distance",
        _MATH,
        "The great-circle distance between two points, in kilometres or miles.",
        v("DOUBLE lat1, DOUBLE lon1, DOUBLE lat2, DOUBLE lon2", "DOUBLE", _distance),
        v("DOUBLE lat1, DOUBLE lon1, DOUBLE lat2, DOUBLE lon2, STRING units", "DOUBLE", _distance, nulls=True),
    )


def _whole_double(whole: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(whole(value)) if math.isfinite(value) else value


_register()
