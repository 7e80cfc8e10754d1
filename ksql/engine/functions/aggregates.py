"""Aggregate functions: a state for each group, and how a row changes it."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions import values
from ksql.engine.functions.registry import (
    SCALARS,
    Function,
    FunctionKind,
    Registry,
    Variant,
    choose,
    param_list,
    parse_pattern,
    resolve,
)
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_expression
from ksql.engine.types import (
    BIGINT,
    DOUBLE,
    INTEGER,
    NULL,
    SqlArray,
    SqlDecimal,
    SqlStruct,
    SqlType,
    plain,
)
from ksql.errors import FatalRecordError, FunctionError, RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ksql.engine.expressions.compiler import Compiler


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate function for one call.

    Args:
        initial: the state of an empty group; states are never changed in place.
        add: from a state and a row's arguments to the next state.
        result: from a state to the function's value.
        merge: from the states of two sessions to that of their union.
        undo: from a state and the arguments of a row that is withdrawn to the next state; None: rows of tables cannot
            be aggregated by it.
        sequenced: whether `add` gets a number behind the arguments that grows with every row.
        compound: whether the state is no plain value of the result's type.
    """

    initial: Any
    add: Callable[..., Any]
    result: Callable[[Any], Any]
    merge: Callable[[Any, Any], Any]
    undo: Callable[..., Any] | None = None
    sequenced: bool = False
    compound: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedAggregate:
    """A call of an aggregate function, resolved.

    Args:
        aggregate: what it does.
        arguments: the expressions that are evaluated for each row.
        types: what the arguments are cast to; None leaves one as it is.
        returns: type of the result.
    """

    aggregate: Aggregate
    arguments: tuple[ast.Expression, ...]
    types: tuple[SqlType | None, ...]
    returns: SqlType


_LITERALS: Final = (
    ast.IntegerLiteral,
    ast.LongLiteral,
    ast.DoubleLiteral,
    ast.DecimalLiteral,
    ast.StringLiteral,
    ast.BooleanLiteral,
    ast.NullLiteral,
)


def resolve_aggregate(call: ast.FunctionCall, compiler: Compiler, *, is_table: bool) -> ResolvedAggregate:
    """The implementation of a call.

    Args:
        call: an aggregate function's call.
        compiler: for the types of the arguments.
        is_table: whether the rows are those of a table, which can be withdrawn.

    Raises:
        FunctionError: the arguments do not fit.
        StatementError: a parameter that must be a literal is none, or the function cannot work on tables.
    """
    function = compiler.functions.get(call.name)
    types = [compiler.type_of(arg) for arg in call.args]
    variant, bindings, parameters = choose(function, types)
    columns = len(call.args) - variant.initial
    for index in range(columns, len(call.args)):
        if not isinstance(call.args[index], _LITERALS):
            raise StatementError(
                f"Parameter {index + 1} passed to function {call.name} must be a literal constant, but was expression: "
                f"'{format_expression(call.args[index])}'"
            )
    wanted: list[SqlType | None] = []
    for parameter, sql_type in zip(parameters[:columns], types, strict=False):
        target = resolve(parameter.pattern, bindings)
        wanted.append(target if target is not None and sql_type not in (target, NULL) else None)
    effective = [target or sql_type for target, sql_type in zip(wanted, types, strict=False)]
    returns = variant.returns(effective) if callable(variant.returns) else resolve(variant.returns, bindings)
    if returns is None:
        raise StatementError(f"The result type of {format_expression(call)} is not known")
    literals = [_literal(arg) for arg in call.args[columns:]]
    aggregate = variant.make(effective, returns)(compiler.settings, *literals)
    if is_table and aggregate.undo is None:
        raise StatementError(
            f"The aggregation function(s) ({call.name}) cannot be applied to a table source, only to a stream source."
        )
    return ResolvedAggregate(aggregate, call.args[:columns], tuple(wanted), returns)


def _literal(expression: ast.Expression) -> Any:
    return None if isinstance(expression, ast.NullLiteral) else expression.value  # type: ignore[attr-defined]


def aggregate_function(
    name: str,
    description: str,
    *variants: tuple[str, int, str | Callable[[Sequence[SqlType]], SqlType], Callable[..., Any]],
    registry: Registry = SCALARS,
) -> Function:
    """Registers an aggregate function; a variant is parameters, number of literals, result and factory.

    A factory gets the arguments' types and the result's type, and gives a function of the engine's settings and the
    literals that makes the Aggregate.
    """
    made = [
        Variant(
            param_list(parameters),
            parse_pattern(returns) if isinstance(returns, str) else returns,
            factory,
            nulls=True,
            initial=literals,
        )
        for parameters, literals, returns, factory in variants
    ]
    function = Function(name, FunctionKind.AGGREGATE, "AGGREGATE", description, made)
    registry.add(function)
    return function


def _same(state: Any) -> Any:
    return state


def _first(types: Sequence[SqlType]) -> SqlType:
    return types[0]


def _first_array(types: Sequence[SqlType]) -> SqlType:
    return SqlArray(types[0])


def _simple(aggregate: Callable[[SqlType], Aggregate]) -> Callable[..., Any]:
    """A factory for aggregates without literals."""
    return lambda types, _returns: lambda _settings: aggregate(types[0] if types else NULL)


# --- counting and summing ---


def _count_rows(_type: SqlType) -> Aggregate:
    return Aggregate(0, lambda n, *_args: n + 1, _same, lambda a, b: a + b, lambda n, *_args: n - 1)


def _count(_type: SqlType) -> Aggregate:
    return Aggregate(
        0,
        lambda n, value: n if value is None else n + 1,
        _same,
        lambda a, b: a + b,
        lambda n, value: n if value is None else n - 1,
    )


def _sum(sql_type: SqlType) -> Aggregate:
    if isinstance(sql_type, SqlDecimal):
        precision, scale, context = sql_type.precision, sql_type.scale, values.EXACT

        def checked(value: Decimal) -> Decimal:
            try:
                return values.fit_decimal(value, precision, scale)
            except RecordError as error:
                raise FatalRecordError(str(error)) from error

        return Aggregate(
            Decimal(0).scaleb(-scale),
            lambda total, value: total if value is None else checked(context.add(total, value)),
            _same,
            lambda a, b: checked(context.add(a, b)),
            lambda total, value: total if value is None else checked(context.subtract(total, value)),
        )
    wrap: Callable[[Any], Any] = {INTEGER: values.wrap_int, BIGINT: values.wrap_long}.get(sql_type, float)
    return Aggregate(
        0.0 if sql_type == DOUBLE else 0,
        lambda total, value: total if value is None else wrap(total + value),
        _same,
        lambda a, b: wrap(a + b),
        lambda total, value: total if value is None else wrap(total - value),
    )


def _sum_list(sql_type: SqlType) -> Aggregate:
    assert isinstance(sql_type, SqlArray)  # noqa: S101
    single = _sum(sql_type.element)

    def fold(step: Callable[..., Any], total: Any, items: list[Any] | None) -> Any:
        for item in items or ():
            total = step(total, item)
        return total

    return Aggregate(
        single.initial,
        lambda total, items: fold(single.add, total, items),
        _same,
        single.merge,
        lambda total, items: fold(single.undo or single.add, total, items),
    )


def _average(_type: SqlType) -> Aggregate:
    def add(state: tuple[Any, int], value: Any) -> tuple[Any, int]:
        return state if value is None else (state[0] + value, state[1] + 1)

    def undo(state: tuple[Any, int], value: Any) -> tuple[Any, int]:
        return state if value is None else (state[0] - value, state[1] - 1)

    return Aggregate(
        (0.0, 0),
        add,
        lambda state: 0.0 if state[1] == 0 else state[0] / state[1],
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        undo,
        compound=True,
    )


def _deviation(*, root: bool) -> Callable[[SqlType], Aggregate]:  # noqa: C901 - one branch for each kind
    """Sample variance (STDDEV_SAMP) or its root (STDDEV_SAMPLE), by Welford's method."""

    def make(_type: SqlType) -> Aggregate:
        def add(state: tuple[int, float, float], value: float | None) -> tuple[int, float, float]:
            if value is None:
                return state
            count, total, m2 = state
            count, total = count + 1, total + value
            if count > 1:
                t = count * value - total
                m2 += t * t / (count * (count - 1.0))
            return count, total, m2

        def undo(state: tuple[int, float, float], value: float | None) -> tuple[int, float, float]:
            if value is None:
                return state
            count, total, m2 = state
            count, total = count - 1, total - value
            if count > 1:
                t = count * value - total
                m2 -= t * t / (count * (count + 1.0))
            return count, total, m2

        def merge(a: tuple[int, float, float], b: tuple[int, float, float]) -> tuple[int, float, float]:
            if a[0] == 0 or b[0] == 0:
                return b if a[0] == 0 else a
            t = (b[0] / a[0]) * a[1] - b[1]
            return a[0] + b[0], a[1] + b[1], a[2] + b[2] + (a[0] / b[0]) / (a[0] + b[0]) * t * t

        def result(state: tuple[int, float, float]) -> float:
            variance = state[2] / (state[0] - 1) if state[0] > 1 else 0.0
            return math.sqrt(variance) if root else variance

        return Aggregate((0, 0.0, 0.0), add, result, merge, undo, compound=True)

    return make


def _correlation(_type: SqlType) -> Aggregate:
    def shift(sign: int) -> Callable[..., Any]:
        def step(state: tuple[Any, ...], x: float | None, y: float | None) -> tuple[Any, ...]:
            if x is None or y is None:
                return state
            n, sx, sy, sxx, syy, sxy = state
            return (
                n + sign,
                sx + sign * x,
                sy + sign * y,
                sxx + sign * x * x,
                syy + sign * y * y,
                sxy + sign * x * y,
            )

        return step

    def result(state: tuple[Any, ...]) -> float:
        n, sx, sy, sxx, syy, sxy = state
        over = n * sxy - sx * sy
        under = (n * sxx - sx * sx) * (n * syy - sy * sy)
        return values.divide_doubles(float(over), math.sqrt(under) if under > 0 else 0.0) if under else math.nan

    return Aggregate(
        (0, 0, 0, 0, 0, 0),
        shift(1),
        result,
        lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True)),
        shift(-1),
        compound=True,
    )


# --- extremes ---


def _minimum(_type: SqlType) -> Aggregate:
    def add(best: Any, value: Any) -> Any:
        return best if value is None else value if best is None or value < best else best

    return Aggregate(None, add, _same, add)


def _maximum(_type: SqlType) -> Aggregate:
    def add(best: Any, value: Any) -> Any:
        return best if value is None else value if best is None or value > best else best

    return Aggregate(None, add, _same, add)


def _top(types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
    names = [f"col{index}" for index in range(len(types) - 1)]

    def make(_settings: Mapping[str, str], k: int) -> Aggregate:
        if not names:
            return Aggregate((), lambda state, value: _insert(state, (value,), k), _plain_top, _merge_top(k))

        def result(state: tuple[Any, ...]) -> list[Any]:
            return [{"sort_col": row[0], **dict(zip(names, row[1:], strict=True))} for row in state]

        return Aggregate((), lambda state, *row: _insert(state, row, k), result, _merge_top(k))

    return make


def _plain_top(state: tuple[Any, ...]) -> list[Any]:
    return [row[0] for row in state]


def _insert(state: tuple[Any, ...], row: tuple[Any, ...], k: int) -> tuple[Any, ...]:
    """The best k rows with one more, best first; of equals the first one stays in front."""
    value = row[0]
    if value is None:
        return state
    full = len(state) >= k
    if full and (not state or not value > state[-1][0]):
        return state
    at = len(state)
    while at and value > state[at - 1][0]:
        at -= 1
    return (*state[:at], row, *(state[at:-1] if full else state[at:]))


def _merge_top(k: int) -> Callable[[Any, Any], Any]:
    def merge(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        for row in b:
            a = _insert(a, row, k)
        return a

    return merge


def _top_type(types: Sequence[SqlType]) -> SqlType:
    if len(types) == 1:
        return SqlArray(types[0])
    columns = tuple((f"col{index}", sql_type) for index, sql_type in enumerate(types[1:]))
    return SqlArray(SqlStruct((("sort_col", types[0]), *columns)))


def _top_distinct(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
    def make(_settings: Mapping[str, str], k: int) -> Aggregate:
        def add(state: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
            return state if any(row[0] == value for row in state) else _insert(state, (value,), k)

        def merge(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
            for row in b:
                a = add(a, row[0])
            return a

        return Aggregate((), add, _plain_top, merge)

    return make


# --- collections ---


def _limit(settings: Mapping[str, str], name: str) -> int:
    return int(settings.get(f"ksql.functions.{name}.limit", 1000))


def _collect_list(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
    def make(settings: Mapping[str, str]) -> Aggregate:
        limit = _limit(settings, "collect_list")

        def add(state: list[Any], value: Any) -> list[Any]:
            return state if len(state) >= limit else [*state, value]

        def undo(state: list[Any], value: Any) -> list[Any]:
            # The last one goes: that is the row which an update replaces.
            for index in range(len(state) - 1, -1, -1):
                if state[index] == value:
                    return state[:index] + state[index + 1 :]
            return state

        return Aggregate([], add, _same, lambda a, b: (a + b)[:limit], undo)

    return make


def _collect_set(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
    def make(settings: Mapping[str, str]) -> Aggregate:
        limit = _limit(settings, "collect_set")

        def add(state: list[Any], value: Any) -> list[Any]:
            return state if len(state) >= limit or value in state else [*state, value]

        def merge(a: list[Any], b: list[Any]) -> list[Any]:
            for value in b:
                a = add(a, value)
            return a

        return Aggregate([], add, _same, merge)

    return make


def _histogram(_type: SqlType) -> Aggregate:
    def add(state: dict[str, int], value: str | None) -> dict[str, int]:
        key = "null" if value is None else value
        if key not in state and len(state) >= 1000:
            return state
        return {**state, key: state.get(key, 0) + 1}

    def undo(state: dict[str, int], value: str | None) -> dict[str, int]:
        key = "null" if value is None else value
        count = state.get(key, 0) - 1
        rest = {name: number for name, number in state.items() if name != key}
        return {**state, key: count} if count > 0 else rest

    def merge(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        out = dict(a)
        for key, count in b.items():
            if key in out or len(out) < 1000:
                out[key] = out.get(key, 0) + count
        return out

    return Aggregate({}, add, _same, merge, undo)


def _count_distinct(_type: SqlType) -> Aggregate:
    # Counted exactly; the state holds every distinct value, as keys that keep their order.
    def add(state: dict[Any, bool], value: Any) -> dict[Any, bool]:
        if value is None:
            return state
        key = plain(value)
        return state if key in state else {**state, key: True}

    return Aggregate({}, add, len, lambda a, b: {**a, **b}, compound=True)


def _attribute(_type: SqlType) -> Aggregate:
    """The value that all rows have; null when they differ. The state is a list of pairs of value and count."""

    def change(delta: int) -> Callable[..., Any]:
        def step(state: list[Any], value: Any) -> list[Any]:
            found = False
            out: list[Any] = []
            for entry in state:
                if not found and entry[0] == value:
                    found = True
                    if entry[1] + delta > 0:
                        out.append((entry[0], entry[1] + delta))
                else:
                    out.append(entry)
            return out if found or delta < 0 else [*out, (value, delta)]

        return step

    def merge(a: list[Any], b: list[Any]) -> list[Any]:
        add = change(1)
        for value, count in b:
            for _ in range(count):
                a = add(a, value)
        return a

    return Aggregate([], change(1), lambda s: s[0][0] if len(s) == 1 else None, merge, change(-1), compound=True)


# --- by offset ---


def _by_offset(*, latest: bool, several: bool) -> Callable[..., Any]:
    """LATEST_BY_OFFSET and EARLIEST_BY_OFFSET; states are lists of (sequence number, value) by number."""

    def factory(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
        def make(_settings: Mapping[str, str], *literals: Any) -> Aggregate:
            count = int(literals[0]) if several else 1
            ignore = bool(literals[-1]) if len(literals) > (1 if several else 0) else True
            if count < 1:
                which = "latestN" if latest else "earliestN"
                raise FunctionError(f"{which} must be 1 or greater")

            def add(state: list[Any], value: Any, sequence: int) -> list[Any]:
                if value is None and ignore:
                    return state
                if latest:
                    return [*state[-count + 1 :], (sequence, value)] if count > 1 else [(sequence, value)]
                return state if len(state) >= count else [*state, (sequence, value)]

            def merge(a: list[Any], b: list[Any]) -> list[Any]:
                both = sorted([*a, *b], key=lambda entry: entry[0])
                return both[-count:] if latest else both[:count]

            def result(state: list[Any]) -> Any:
                if several:
                    return [value for _, value in state]
                return state[0][1] if state else None

            return Aggregate([], add, result, merge, sequenced=True, compound=True)

        return make

    return factory


def _by_offset_variants(*, latest: bool) -> list[tuple[Any, ...]]:
    one, several = _by_offset(latest=latest, several=False), _by_offset(latest=latest, several=True)
    n = "latestN" if latest else "earliestN"
    return [
        ("T val", 0, _first, one),
        ("T val, BOOLEAN ignoreNulls", 1, _first, one),
        (f"T val, INT {n}", 1, _first_array, several),
        (f"T val, INT {n}, BOOLEAN ignoreNulls", 2, _first_array, several),
    ]


def register() -> None:
    """Registers all aggregate functions."""
    numbers = ("INT", "BIGINT", "DECIMAL", "DOUBLE")
    orderable = (*numbers, "STRING", "BYTES", "DATE", "TIME", "TIMESTAMP")
    aggregate_function(
        "COUNT",
        "Counts the rows, or the rows whose value is not null.",
        ("", 0, "BIGINT", _simple(_count_rows)),
        ("T val", 0, "BIGINT", _simple(_count)),
    )
    aggregate_function(
        "SUM", "Sums the values of a column.", *((f"{t} val", 0, _first, _simple(_sum)) for t in numbers)
    )
    aggregate_function(
        "AVG",
        "The average of a column's values.",
        *((f"{t} val", 0, "DOUBLE", _simple(_average)) for t in ("INT", "BIGINT", "DOUBLE")),
    )
    aggregate_function(
        "STDDEV_SAMPLE",
        "The sample standard deviation of a column's values.",
        *((f"{t} val", 0, "DOUBLE", _simple(_deviation(root=True))) for t in ("INT", "BIGINT", "DOUBLE")),
    )
    aggregate_function(
        "STDDEV_SAMP",
        "The sample variance of a column's values; STDDEV_SAMPLE has the deviation.",
        *((f"{t} val", 0, "DOUBLE", _simple(_deviation(root=False))) for t in ("INT", "BIGINT", "DOUBLE")),
    )
    aggregate_function(
        "CORRELATION",
        "Pearson's correlation coefficient of two columns.",
        *((f"{t} x, {t} y", 0, "DOUBLE", _simple(_correlation)) for t in ("INT", "BIGINT", "DOUBLE")),
    )
    aggregate_function(
        "MIN", "The smallest value of a column.", *((f"{t} val", 0, _first, _simple(_minimum)) for t in orderable)
    )
    aggregate_function(
        "MAX", "The largest value of a column.", *((f"{t} val", 0, _first, _simple(_maximum)) for t in orderable)
    )
    aggregate_function(
        "TOPK",
        "The k largest values of a column, with other columns of their rows.",
        *((f"{t} val, INT k", 1, _top_type, _top) for t in orderable),
        *((f"{t} sortColVal, ANY... otherColVals, INT k", 1, _top_type, _top) for t in orderable),
    )
    aggregate_function(
        "TOPKDISTINCT",
        "The k largest distinct values of a column.",
        *((f"{t} val, INT k", 1, _first_array, _top_distinct) for t in orderable),
    )
    aggregate_function(
        "COLLECT_LIST", "All values of a column, at most 1000.", ("T val", 0, _first_array, _collect_list)
    )
    aggregate_function(
        "COLLECT_SET", "The distinct values of a column, at most 1000.", ("T val", 0, _first_array, _collect_set)
    )
    aggregate_function(
        "HISTOGRAM", "How often each text occurs.", ("STRING val", 0, "MAP<STRING, BIGINT>", _simple(_histogram))
    )
    aggregate_function(
        "COUNT_DISTINCT", "The number of distinct values.", ("T val", 0, "BIGINT", _simple(_count_distinct))
    )
    aggregate_function(
        "ATTR", "The value that all rows of the group have, or null.", ("T val", 0, _first, _simple(_attribute))
    )
    aggregate_function(
        "SUM_LIST",
        "Sums the elements of lists.",
        *((f"ARRAY<{t}> val", 0, t, _simple(_sum_list)) for t in ("INT", "BIGINT", "DOUBLE")),
    )
    aggregate_function("LATEST_BY_OFFSET", "The latest value of a column.", *_by_offset_variants(latest=True))
    aggregate_function("EARLIEST_BY_OFFSET", "The earliest value of a column.", *_by_offset_variants(latest=False))


register()
