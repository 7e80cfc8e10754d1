"""Functions that take lambdas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions.values import java_order
from ksql.engine.functions.registry import scalar, v

if TYPE_CHECKING:
    from collections.abc import Callable

_LAMBDA: Final = "LAMBDA"


def _transform_array(items: list[Any] | None, function: Callable[[Any], Any]) -> list[Any] | None:
    return None if items is None else [function(item) for item in items]


def _transform_map(
    entries: dict[Any, Any] | None, key: Callable[[Any, Any], Any], value: Callable[[Any, Any], Any]
) -> dict[Any, Any] | None:
    if entries is None:
        return None
    return {key(name, item): value(name, item) for name, item in entries.items()}


def _filter_array(items: list[Any] | None, condition: Callable[[Any], Any]) -> list[Any] | None:
    return None if items is None else [item for item in items if condition(item)]


def _filter_map(entries: dict[Any, Any] | None, condition: Callable[[Any, Any], Any]) -> dict[Any, Any] | None:
    if entries is None:
        return None
    return {name: item for name, item in entries.items() if condition(name, item)}


def _reduce_array(items: list[Any] | None, state: Any, function: Callable[[Any, Any], Any]) -> Any:
    if state is None:
        return None
    for item in items or ():
        state = function(state, item)
    return state


def _reduce_map(entries: dict[Any, Any] | None, state: Any, function: Callable[..., Any]) -> Any:
    if state is None:
        return None
    for name, item in java_order(entries or {}):
        state = function(state, name, item)
    return state


def _register() -> None:
    scalar(
        "transform",
        _LAMBDA,
        "Applies a function to each element or entry.",
        v("ARRAY<T> array, LAMBDA (T) => R lambda", "ARRAY<R>", _transform_array, nulls=True),
        v("MAP<K, V> map, LAMBDA (K, V) => R keys, LAMBDA (K, V) => T values", "MAP<R, T>", _transform_map, nulls=True),
    )
    scalar(
        "filter",
        _LAMBDA,
        "Keeps the elements or entries for which a condition holds.",
        v("ARRAY<T> array, LAMBDA (T) => BOOLEAN lambda", "ARRAY<T>", _filter_array, nulls=True),
        v("MAP<K, V> map, LAMBDA (K, V) => BOOLEAN lambda", "MAP<K, V>", _filter_map, nulls=True),
    )
    scalar(
        "reduce",
        _LAMBDA,
        "Folds elements or entries into a state.",
        v("ARRAY<T> list, S state, LAMBDA (S, T) => S lambda", "S", _reduce_array, nulls=True),
        v("MAP<K, V> map, S state, LAMBDA (S, K, V) => S lambda", "S", _reduce_map, nulls=True),
    )


_register()
