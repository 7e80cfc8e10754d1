"""Table functions: from one row to many."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from ksql.engine.sql.formatter import format_expression
from ksql.engine.types import SqlArray, SqlType
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.expressions.compiler import Compiler
    from ksql.engine.sql import ast


@dataclass(frozen=True, slots=True)
class ResolvedTableFunction:
    """A call of a table function, resolved.

    Args:
        function: from the arguments' values to the list of the new column's values.
        arguments: the expressions that are evaluated for each row.
        returns: type of the new column.
    """

    function: Callable[..., list[Any] | None]
    arguments: tuple[ast.Expression, ...]
    returns: SqlType


def resolve_table_function(call: ast.FunctionCall, compiler: Compiler) -> ResolvedTableFunction:
    """The implementation of a call.

    Raises:
        FunctionError: the arguments do not fit.
    """
    types = [compiler.type_of(arg) for arg in call.args]
    variant, bindings, _parameters = choose(compiler.functions.get(call.name), types)
    returns = variant.returns(types) if callable(variant.returns) else resolve(variant.returns, bindings)
    if returns is None:
        raise StatementError(f"The result type of {format_expression(call)} is not known")
    return ResolvedTableFunction(variant.make(types, returns), call.args, returns)


def table_function(
    name: str,
    description: str,
    *variants: tuple[str, str | Callable[[Sequence[SqlType]], SqlType], Callable[..., Any]],
    registry: Registry = SCALARS,
) -> Function:
    """Registers a table function; a variant is parameters, type of the column, and implementation."""
    made = [
        Variant(
            param_list(parameters),
            parse_pattern(returns) if isinstance(returns, str) else returns,
            lambda _types, _returns, implementation=implementation: implementation,
            nulls=True,
        )
        for parameters, returns, implementation in variants
    ]
    function = Function(name, FunctionKind.TABLE, "TABLE", description, made)
    registry.add(function)
    return function


def _element(types: Sequence[SqlType]) -> SqlType:
    assert isinstance(types[0], SqlArray)  # noqa: S101
    return types[0].element


def _explode(items: list[Any] | None) -> list[Any] | None:
    return items


def _cube(items: list[Any] | None) -> list[Any]:
    """All combinations of each element or null."""
    if not items:
        return []
    choices = [(None,) if item is None else (None, item) for item in items]
    return [list(combination) for combination in itertools.product(*choices)]


def register() -> None:
    """Registers all table functions."""
    table_function(
        "explode",
        "A row for each element of an array.",
        ("ARRAY<DECIMAL> input", _element, _explode),
        ("ARRAY<T> list", _element, _explode),
    )
    table_function(
        "cube_explode",
        "A row for each combination of an array's elements and null.",
        ("ARRAY<T> columns", lambda types: types[0], _cube),
    )


register()
