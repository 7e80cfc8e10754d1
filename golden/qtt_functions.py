"""The functions that ksqlDB's own tests bring along, as their recorded answers show them."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ksql.engine.expressions.values import caster
from ksql.engine.functions.aggregates import Aggregate, aggregate_function
from ksql.engine.functions.registry import Registry, scalar, v
from ksql.engine.functions.tables import table_function
from ksql.engine.types import STRING, SqlArray, SqlDecimal, SqlStruct, SqlType
from ksql.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ksql.engine.functions.registry import Function

_TEST = "TEST"
_STRUCT = SqlStruct((("A", STRING),))


class _BadFunction:
    """Gives null at every other call, beginning with the first."""

    def __init__(self) -> None:
        self._calls = 0

    def text(self, value: str | None) -> str | None:
        self._calls += 1
        return None if self._calls % 2 else value


def _throw(*_args: Any) -> Any:
    raise FunctionError("bad_udf was called")


def _throw_if(condition: bool) -> int:  # noqa: FBT001
    return _throw() if condition else 0


def _lazily(value: Any, expected: bool) -> Any:  # noqa: FBT001
    if not expected:
        raise FunctionError("this branch should not have been evaluated")
    return value


def _named(name: str) -> Callable[..., str]:
    return lambda *_args: name


def _sum_of(initial: int) -> Aggregate:
    """Adds up numbers and the lengths of texts."""

    def add(state: int, *values: Any) -> int:
        return state + sum(len(value) if isinstance(value, str) else value for value in values if value is not None)

    return Aggregate(initial, add, lambda state: state, lambda a, b: a + b, lambda state, *v: state - add(0, *v))


def _summing(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
    def make(_settings: Mapping[str, str], *literals: Any) -> Aggregate:
        return _sum_of(sum(len(item) if isinstance(item, str) else item for item in literals))

    return make


def _collecting(*, strict: bool) -> Callable[..., Any]:
    """Collects the first column; `strict` leaves out rows with any null."""

    def factory(_types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Aggregate]:
        def add(state: list[Any], *values: Any) -> list[Any]:
            skipped = values[0] is None or (strict and None in values)
            return state if skipped else [*state, values[0]]

        return lambda _settings: Aggregate([], add, lambda state: state, lambda a, b: a + b)

    return factory


def _first_array(types: Sequence[SqlType]) -> SqlType:
    return SqlArray(types[0])


def _texts(*arrays: Any) -> list[str]:
    kinds = ("INTEGER", "BIGINT", "DOUBLE", "BOOLEAN", "STRING")
    out: list[str] = []
    for index, array in enumerate(arrays):
        sql_type = SqlType(kinds[index]) if index < len(kinds) else SqlDecimal(20, 10) if index == 5 else _STRUCT
        out += [caster(sql_type, STRING)(item) for item in array]
    return out


def _widened(types: Sequence[SqlType]) -> SqlType:
    return SqlDecimal(30, 10) if isinstance(types[0], SqlDecimal) else types[0]


def test_functions() -> list[Function]:
    """New functions for one run: some of them count their calls."""
    own = Registry()
    bad = _BadFunction()
    return [
        scalar(
            "bad_udf",
            _TEST,
            "Fails.",
            v("STRING val", "STRING", bad.text, nulls=True),
            v("INT val", "STRING", _throw),
            v("BOOLEAN val", "INT", _throw_if),
            registry=own,
        ),
        scalar(
            "WhenCondition",
            _TEST,
            "Fails when it should not have been called.",
            v("BOOLEAN retValue, BOOLEAN shouldBeEvaluated", "BOOLEAN", _lazily),
            registry=own,
        ),
        scalar(
            "WhenResult",
            _TEST,
            "Fails when it should not have been called.",
            v("INT retValue, BOOLEAN shouldBeEvaluated", "INT", _lazily),
            registry=own,
        ),
        scalar(
            "ToStruct",
            _TEST,
            "A struct.",
            v("STRING value", lambda _types: _STRUCT, lambda text: {"A": text}),
            registry=own,
        ),
        scalar(
            "test_udf",
            _TEST,
            "Says which variant was called.",
            v("", lambda _types: _STRUCT, lambda: {"A": "foo"}),
            v("STRUCT struct", "STRING", lambda struct: struct["A"]),
            v("INT arg1, STRING arg2", "STRING", _named("doStuffIntString")),
            v("BIGINT arg1, STRING arg2", "STRING", _named("doStuffLongString")),
            v("BIGINT arg1, BIGINT arg2, STRING arg3", "STRING", _named("doStuffLongLongString")),
            v("BIGINT... longs", "STRING", _named("doStuffLongVarargs")),
            registry=own,
        ),
        table_function(
            "test_udtf",
            "Table functions of several kinds.",
            (
                "ARRAY<INT> a, ARRAY<BIGINT> b, ARRAY<DOUBLE> c, ARRAY<BOOLEAN> d, "
                "ARRAY<STRING> e, ARRAY<DECIMAL> f, ARRAY<STRUCT> g",
                "STRING",
                _texts,
            ),
            *(
                (f"{kind} val", _widened, lambda value: [value])
                for kind in ("INT", "BIGINT", "DOUBLE", "BOOLEAN", "STRING", "DECIMAL", "STRUCT")
            ),
            registry=own,
        ),
        aggregate_function("VAR_ARG", "Sums.", ("BIGINT val, STRING... vals", 0, "BIGINT", _summing), registry=own),
        aggregate_function(
            "MULTI_ARG",
            "Sums.",
            ("BIGINT val, STRING str, INT init, STRING a, STRING b, STRING c", 4, "BIGINT", _summing),
            registry=own,
        ),
        aggregate_function(
            "FIVE_ARG",
            "Sums.",
            (
                "BIGINT val, STRING b, STRING c, STRING d, INT e, INT init, STRING x, STRING y, STRING z",
                4,
                "BIGINT",
                _summing,
            ),
            registry=own,
        ),
        aggregate_function(
            "MID_VAR_ARG",
            "Sums.",
            ("BIGINT val, STRING... vals, INT init1, INT init2", 2, "BIGINT", _summing),
            registry=own,
        ),
        aggregate_function(
            "OBJ_COL_ARG",
            "Collects.",
            ("INT val, ANY... vals", 0, _first_array, _collecting(strict=False)),
            registry=own,
        ),
        aggregate_function(
            "GENERIC_VAR_ARG",
            "Collects.",
            ("A val, B second, C... vals", 0, _first_array, _collecting(strict=True)),
            registry=own,
        ),
    ]
