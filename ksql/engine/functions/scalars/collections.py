"""Functions of arrays and maps."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions.values import caster, java_order
from ksql.engine.functions.registry import scalar, v
from ksql.engine.types import STRING, SqlArray, SqlMap, SqlStruct, SqlType, plain
from ksql.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_ARRAY: Final = "ARRAY"
_MAP: Final = "MAP"


def _element(types: Sequence[SqlType]) -> SqlType:
    assert isinstance(types[0], SqlArray)  # noqa: S101
    return types[0].element


def _distinct(items: Iterable[Any]) -> list[Any]:
    seen: set[Any] = set()
    out: list[Any] = []
    for item in items:
        name = plain(item)
        if name not in seen:
            seen.add(name)
            out.append(item)
    return out


def _contains(items: list[Any] | None, item: Any) -> bool:
    return items is not None and item in items


def _except(left: list[Any], right: list[Any]) -> list[Any]:
    unwanted = {plain(item) for item in right}
    return [item for item in _distinct(left) if plain(item) not in unwanted]


def _intersect(left: list[Any], right: list[Any]) -> list[Any]:
    wanted = {plain(item) for item in right}
    return [item for item in _distinct(left) if plain(item) in wanted]


def _remove(items: list[Any] | None, victim: Any) -> list[Any] | None:
    return None if items is None else [item for item in items if item != victim]


def _join(types: Sequence[SqlType], _returns: SqlType) -> Callable[..., Any]:
    assert isinstance(types[0], SqlArray)  # noqa: S101
    text = caster(types[0].element, STRING)

    def join(items: list[Any] | None, delimiter: str | None = ",") -> str | None:
        if items is None:
            return None
        between = "" if delimiter is None else delimiter
        return between.join("null" if item is None else text(item) for item in items)

    return join


def _extreme(pick: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def call(items: list[Any]) -> Any:
        present = [item for item in items if item is not None]
        return pick(present) if present else None

    return call


def _sort(items: list[Any], direction: str = "ASC") -> list[Any] | None:
    kind = direction.strip().upper()
    if kind not in ("ASC", "ASCENDING", "DESC", "DESCENDING"):
        return None
    present = sorted((item for item in items if item is not None), reverse=kind.startswith("DESC"))
    return present + [None] * (len(items) - len(present))


def _slice(items: list[Any] | None, start: int | None, end: int | None) -> list[Any] | None:
    if items is None:
        return None
    first = 0 if start is None else start - 1
    last = len(items) if end is None else end
    if first < 0 or first > len(items) or last > len(items) or last < first:
        return None
    return items[first:last]


def _series(start: int, end: int, step: int | None = None) -> list[int]:
    if step is None:
        step = 1 if end >= start else -1
    if step == 0:
        raise FunctionError("GENERATE_SERIES step cannot be zero")
    if (end - start) * step < 0:
        raise FunctionError("GENERATE_SERIES step has wrong sign")
    return list(range(start, end + (1 if step > 0 else -1), step))


def _entries_type(types: Sequence[SqlType]) -> SqlType:
    assert isinstance(types[0], SqlMap)  # noqa: S101
    return SqlArray(SqlStruct((("K", STRING), ("V", types[0].value))))


def _entries(entries: dict[str, Any], ordered: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    items = sorted(entries.items()) if ordered else java_order(entries)
    return [{"K": key, "V": value} for key, value in items]


def _map_keys(entries: dict[str, Any]) -> list[str]:
    return [key for key, _ in java_order(entries)]


def _map_values(entries: dict[str, Any]) -> list[Any]:
    return [item for _, item in java_order(entries)]


def _as_map(keys: list[str], items: list[Any]) -> dict[str, Any]:
    return dict(zip(keys, items, strict=False))


def _map_union(left: dict[str, Any] | None, right: dict[str, Any] | None) -> dict[str, Any] | None:
    if left is None and right is None:
        return None
    return {**(left or {}), **(right or {})}


def _array_concat(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    if left is None and right is None:
        return None
    return (left or []) + (right or [])


def _register() -> None:
    scalar("ARRAY_LENGTH", _ARRAY, "How many elements an array has.", v("ARRAY<T> array", "INT", len))
    scalar(
        "ARRAY_CONTAINS",
        _ARRAY,
        "Whether an array has an element.",
        v("ARRAY<T> array, T val", "BOOLEAN", _contains, nulls=True),
    )
    scalar(
        "array_concat",
        _ARRAY,
        "Two arrays, one behind the other.",
        v("ARRAY<T> array1, ARRAY<T> array2", "ARRAY<T>", _array_concat, nulls=True),
    )
    scalar("array_distinct", _ARRAY, "The distinct elements.", v("ARRAY<T> array", "ARRAY<T>", _distinct))
    scalar(
        "array_except",
        _ARRAY,
        "The distinct elements that another array lacks.",
        v("ARRAY<T> array1, ARRAY<T> array2", "ARRAY<T>", _except),
    )
    scalar(
        "array_intersect",
        _ARRAY,
        "The distinct elements that both have.",
        v("ARRAY<T> array1, ARRAY<T> array2", "ARRAY<T>", _intersect),
    )
    scalar(
        "array_union",
        _ARRAY,
        "The distinct elements of both.",
        v("ARRAY<T> array1, ARRAY<T> array2", "ARRAY<T>", lambda a, b: _distinct([*a, *b])),
    )
    scalar(
        "array_remove",
        _ARRAY,
        "The array without an element.",
        v("ARRAY<T> array, T element", "ARRAY<T>", _remove, nulls=True),
    )
    scalar(
        "array_join",
        _ARRAY,
        "The elements as text, with a delimiter.",
        v("ARRAY<T> array", "STRING", _join, nulls=True, typed=True),
        v("ARRAY<T> array, STRING delimiter", "STRING", _join, nulls=True, typed=True),
    )
    scalar("array_max", _ARRAY, "The largest element.", v("ARRAY<T> array", _element, _extreme(max)))
    scalar("array_min", _ARRAY, "The smallest element.", v("ARRAY<T> array", _element, _extreme(min)))
    scalar(
        "array_sort",
        _ARRAY,
        "The elements in order, nulls last.",
        v("ARRAY<T> array", "ARRAY<T>", _sort),
        v("ARRAY<T> array, STRING direction", "ARRAY<T>", _sort),
    )
    scalar(
        "slice",
        _ARRAY,
        "A part of an array, from and to positions that count from 1.",
        v("ARRAY<T> in, INT from, INT to", "ARRAY<T>", _slice, nulls=True),
    )
    scalar(
        "generate_series",
        _ARRAY,
        "The numbers from one to another.",
        v("INT start, INT end", "ARRAY<INT>", _series),
        v("BIGINT start, BIGINT end", "ARRAY<BIGINT>", _series),
        v("INT start, INT end, INT step", "ARRAY<INT>", _series),
        v("BIGINT start, BIGINT end, INT step", "ARRAY<BIGINT>", _series),
    )
    scalar("entries", _MAP, "A map's entries.", v("MAP<STRING, T> map, BOOLEAN sorted", _entries_type, _entries))
    scalar("MAP_KEYS", _MAP, "A map's keys.", v("MAP<STRING, T> input", "ARRAY<STRING>", _map_keys))
    scalar("map_values", _MAP, "A map's values.", v("MAP<STRING, T> input", "ARRAY<T>", _map_values))
    scalar(
        "map_union",
        _MAP,
        "The entries of both maps; the second one wins.",
        v("MAP<STRING, T> map1, MAP<STRING, T> map2", "MAP<STRING, T>", _map_union, nulls=True),
    )
    scalar(
        "AS_MAP", _MAP, "A map of keys and values.", v("ARRAY<STRING> keys, ARRAY<T> values", "MAP<STRING, T>", _as_map)
    )


_register()
