"""Walking and changing expressions."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from ksql.engine.sql import ast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def children(node: Any) -> Iterator[Any]:
    """The expressions (and WHEN clauses) directly below a node."""
    for field in fields(node):
        value = getattr(node, field.name)
        yield from _nodes(value)


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, (ast.Expression, ast.WhenClause)):
        yield value
    elif isinstance(value, tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _nodes(item)


def walk(expression: Any) -> Iterator[ast.Expression]:
    """The expression and all below it, from the outside to the inside."""
    if isinstance(expression, ast.Expression):
        yield expression
    for child in children(expression):
        yield from walk(child)


def transform(expression: Any, function: Callable[[ast.Expression], ast.Expression | None]) -> Any:
    """The expression with parts replaced.

    Args:
        expression: where to begin.
        function: gives the replacement of a node, which is not entered again; None means: look below it.
    """
    if isinstance(expression, ast.Expression):
        replacement = function(expression)
        if replacement is not None:
            return replacement  # type: ignore[return-value]
    if not is_dataclass(expression):
        return expression
    changes = {
        field.name: _transform_value(value, function)
        for field in fields(expression)
        if isinstance(value := getattr(expression, field.name), (ast.Expression, ast.WhenClause, tuple))
    }
    return replace(expression, **changes) if changes else expression  # type: ignore[type-var,return-value]


def _transform_value(value: Any, function: Callable[[ast.Expression], ast.Expression | None]) -> Any:
    if isinstance(value, (ast.Expression, ast.WhenClause)):
        return transform(value, function)
    if isinstance(value, tuple):
        return tuple(_transform_value(item, function) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return value
