"""Functions as data: what they are called, what they take and return, and how they are resolved."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions.values import implicitly_castable
from ksql.engine.types import (
    BIGINT,
    INTEGER,
    NULL,
    PRIMITIVES,
    SqlArray,
    SqlDecimal,
    SqlLambda,
    SqlMap,
    SqlType,
)
from ksql.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class FunctionKind(StrEnum):
    """SCALAR, AGGREGATE or TABLE."""

    SCALAR = "SCALAR"
    AGGREGATE = "AGGREGATE"
    TABLE = "TABLE"


# --- type patterns ---


@dataclass(frozen=True, slots=True)
class Pattern:
    """The type of a parameter: a type, a generic (`T`), `ANY`, or a lambda over patterns.

    `DECIMAL` stands for any precision and scale, `STRUCT` for any fields.
    """

    base: str
    inner: tuple[Pattern, ...] = ()

    def __str__(self) -> str:
        if self.base == "LAMBDA":
            *parameters, returns = map(str, self.inner)
            inputs = ", ".join(parameters)
            return f"LAMBDA ({inputs}) => {returns}" if len(self.inner) > 2 else f"LAMBDA {inputs} => {returns}"
        return f"{self.base}<{', '.join(map(str, self.inner))}>" if self.inner else self.base


_PATTERN_TOKEN: Final = re.compile(r"\s*([A-Za-z_0-9]+|=>|[<>(),])")


def parse_pattern(text: str) -> Pattern:
    """A pattern of a text like `MAP<STRING, T>` or `LAMBDA (T, S) => S`."""
    tokens = _PATTERN_TOKEN.findall(text)
    pattern, rest = _parse(tokens, 0)
    if rest != len(tokens):
        raise ValueError(text)
    return pattern


def _parse(tokens: list[str], at: int) -> tuple[Pattern, int]:
    base = tokens[at].upper()
    at += 1
    inner: list[Pattern] = []
    if base == "LAMBDA":
        at += 1
        while tokens[at] != ")":
            item, at = _parse(tokens, at)
            inner.append(item)
            at += tokens[at] == ","
        result, at = _parse(tokens, at + 2)
        return Pattern("LAMBDA", (*inner, result)), at
    if at < len(tokens) and tokens[at] == "<":
        at += 1
        while tokens[at] != ">":
            item, at = _parse(tokens, at)
            inner.append(item)
            at += tokens[at] == ","
        at += 1
    base = {"INT": "INTEGER", "VARCHAR": "STRING"}.get(base, base)
    return Pattern(base, tuple(inner)), at


def is_generic(pattern: Pattern) -> bool:
    """Whether the pattern is a single letter: a type that the arguments decide."""
    return len(pattern.base) == 1


Bindings = dict[str, SqlType]


def match(pattern: Pattern, sql_type: SqlType, bindings: Bindings, *, implicit: bool) -> bool:  # noqa: PLR0911 - one branch for each kind
    """Whether an argument's type fits; generics are bound on the way.

    Args:
        pattern: of the parameter.
        sql_type: of the argument.
        bindings: what is known about generics; changed.
        implicit: whether numbers may be widened.
    """
    if sql_type.base == "null" or pattern.base == "ANY":
        return True
    if is_generic(pattern):
        return _bind(pattern.base, sql_type, bindings, implicit=implicit)
    if pattern.base == "LAMBDA":
        return isinstance(sql_type, SqlLambda) and len(sql_type.inputs) == len(pattern.inner) - 1
    if pattern.base == sql_type.base:
        return _match_inner(pattern, sql_type, bindings, implicit=implicit)
    if not implicit:
        return False
    if pattern.base == "DECIMAL":
        return sql_type in (INTEGER, BIGINT)
    if pattern.base in ("DATE", "TIME", "TIMESTAMP") and sql_type.base == "STRING":
        return True
    target = PRIMITIVES.get(pattern.base)
    return target is not None and implicitly_castable(sql_type, target)


def _match_inner(pattern: Pattern, sql_type: SqlType, bindings: Bindings, *, implicit: bool) -> bool:
    if isinstance(sql_type, SqlArray) and pattern.inner:
        return match(pattern.inner[0], sql_type.element, bindings, implicit=implicit)
    if isinstance(sql_type, SqlMap) and pattern.inner:
        return match(pattern.inner[0], sql_type.key, bindings, implicit=implicit) and match(
            pattern.inner[1], sql_type.value, bindings, implicit=implicit
        )
    return True


def _bind(name: str, sql_type: SqlType, bindings: Bindings, *, implicit: bool) -> bool:
    known = bindings.get(name)
    if known is None or known == sql_type or known.base == "null":
        bindings[name] = sql_type
        return True
    if isinstance(known, SqlDecimal) and isinstance(sql_type, SqlDecimal):
        if implicitly_castable(known, sql_type):
            bindings[name] = sql_type
        return True
    if implicit and implicitly_castable(known, sql_type):
        bindings[name] = sql_type
        return True
    return implicit and implicitly_castable(sql_type, known)


def resolve(pattern: Pattern, bindings: Bindings, default: SqlType | None = None) -> SqlType | None:
    """The type of a pattern once its generics are bound; None while one is not."""
    if is_generic(pattern):
        return bindings.get(pattern.base)
    if pattern.base == "ARRAY":
        element = resolve(pattern.inner[0], bindings) if pattern.inner else None
        return SqlArray(element) if element else default
    if pattern.base == "MAP":
        key = resolve(pattern.inner[0], bindings) if pattern.inner else None
        value = resolve(pattern.inner[1], bindings) if pattern.inner else None
        return SqlMap(key, value) if key and value else default
    return PRIMITIVES.get(pattern.base, default)


# --- functions ---


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a variant."""

    name: str
    pattern: Pattern
    variadic: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One signature of a function, with its implementation.

    Args:
        parameters: the last one may be variadic (in aggregates any one).
        returns: the result's pattern, or a function from the arguments' types to the result's type.
        make: from the arguments' types and the result's type to the implementation: for scalar and table functions a
            callable of the arguments, for aggregate functions an Aggregate.
        nulls: whether the implementation gets None; otherwise any None argument makes the result None.
        description: of this signature.
    """

    parameters: tuple[Parameter, ...]
    returns: Pattern | Callable[[Sequence[SqlType]], SqlType]
    make: Callable[[Sequence[SqlType], SqlType], Any]
    nulls: bool = False
    description: str = ""
    initial: int = 0
    """Of aggregate functions: how many parameters at the end must be literals."""

    def signature(self, name: str) -> str:
        """`name(TYPE parameter, ...)`."""
        return f"{name}({', '.join(_parameter_text(parameter) for parameter in self.parameters)})"


def _parameter_text(parameter: Parameter) -> str:
    return f"{parameter.pattern}{'...' if parameter.variadic else ''} {parameter.name}"


@dataclass(slots=True)
class Function:
    """A function with all its variants.

    Args:
        name: as in messages; SQL compares it without case.
        kind: scalar, aggregate or table.
        category: as SHOW FUNCTIONS groups them.
        description: for DESCRIBE FUNCTION.
        variants: in the order of preference.
    """

    name: str
    kind: FunctionKind
    category: str
    description: str
    variants: list[Variant] = field(default_factory=list[Variant])


@dataclass(frozen=True, slots=True)
class Resolved:
    """A variant that fits the arguments."""

    function: Function
    variant: Variant
    parameter_types: tuple[SqlType | None, ...]
    """What each argument is to be cast to; None leaves it as it is."""
    returns: SqlType


class Registry:
    """All functions by name."""

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}

    def add(self, function: Function) -> None:
        """Adds a function; its name must be new."""
        if function.name.upper() in self._functions:
            raise ValueError(function.name)
        self._functions[function.name.upper()] = function

    def extended(self, functions: Iterable[Function]) -> Registry:
        """A copy with more functions, or others in the place of those of the same name."""
        copy = Registry()
        copy._functions = self._functions | {function.name.upper(): function for function in functions}
        return copy

    def get(self, name: str) -> Function:
        """The function of that name.

        Raises:
            FunctionError: there is none.
        """
        function = self._functions.get(name.upper())
        if function is None:
            raise FunctionError(f"Can't find any functions with the name '{name}'")
        return function

    def kind(self, name: str) -> FunctionKind | None:
        """The kind of a function; None when there is no such function."""
        function = self._functions.get(name.upper())
        return function.kind if function else None

    def __iter__(self):
        return iter(sorted(self._functions.values(), key=lambda function: function.name.upper()))


def expand(parameters: Sequence[Parameter], count: int) -> list[Parameter] | None:
    """The parameter of each argument, with the variadic one repeated; None when the number does not fit."""
    at = next((index for index, parameter in enumerate(parameters) if parameter.variadic), None)
    if at is None:
        return list(parameters) if len(parameters) == count else None
    missing = count - (len(parameters) - 1)
    if missing < 0:
        return None
    return [*parameters[:at], *[parameters[at]] * missing, *parameters[at + 1 :]]


def find_variants(function: Function, types: Sequence[SqlType]) -> list[tuple[Variant, Bindings, list[Parameter]]]:
    """The variants that fit best: those that fit exactly, otherwise those that fit with widened numbers."""
    for implicit in (False, True):
        found: list[tuple[Variant, Bindings, list[Parameter]]] = []
        for variant in function.variants:
            parameters = expand(variant.parameters, len(types))
            if parameters is None:
                continue
            bindings: Bindings = {}
            if all(
                match(parameter.pattern, sql_type, bindings, implicit=implicit)
                for parameter, sql_type in zip(parameters, types, strict=True)
            ):
                found.append((variant, bindings, parameters))
        if found:
            fixed = [entry for entry in found if not any(p.variadic for p in entry[0].parameters)]
            return fixed or found
    return []


def type_names(types: Sequence[SqlType]) -> str:
    """Types in parentheses as error messages list them."""
    return "(" + ", ".join(map(str, types)) + ")"


def choose(function: Function, types: Sequence[SqlType]) -> tuple[Variant, Bindings, list[Parameter]]:
    """The variant for arguments of these types.

    Raises:
        FunctionError: none fits, or several fit equally.
    """
    found = find_variants(function, types)
    if not found:
        alternatives = "\n".join(variant.signature(function.name) for variant in function.variants)
        raise FunctionError(
            f"Function '{function.name}' does not accept parameters {type_names(types)}.\n"
            f"Valid alternatives are:\n{alternatives}\nFor detailed information on a function run: "
            "DESCRIBE FUNCTION <Function-Name>;"
        )
    if len(found) > 1 and _ambiguous(types, found):
        alternatives = "\n".join(variant.signature(function.name) for variant in function.variants)
        raise FunctionError(
            f"Function '{function.name}' cannot be resolved due to ambiguous method parameters {type_names(types)}.\n"
            f"Valid alternatives are:\n{alternatives}"
        )
    return found[0]


def _ambiguous(types: Sequence[SqlType], found: Sequence[tuple[Variant, Bindings, list[Parameter]]]) -> bool:
    if all(sql_type == NULL for sql_type in types):
        return any(any(p.variadic for p in variant.parameters) for variant, _, _ in found)
    bases = {sql_type.base for sql_type in types}
    variadic = all(any(p.variadic for p in variant.parameters) for variant, _, _ in found)
    return variadic and "DECIMAL" in bases and bool(bases & {"INTEGER", "BIGINT"}) and "DOUBLE" not in bases


# --- registration ---


SCALARS: Final = Registry()
"""Scalar, aggregate and table functions of the engine; `functions.all_functions()` fills it."""


def param_list(text: str) -> tuple[Parameter, ...]:
    """Parameters of a text like `STRING input, INT... lengths`; the type is everything up to the last blank."""
    parameters: list[Parameter] = []
    depth = 0
    start = 0
    pieces: list[str] = []
    for index, char in enumerate(text):
        depth += char in "<("
        depth -= char in ")" or (char == ">" and text[index - 1] != "=")
        if char == "," and depth == 0:
            pieces.append(text[start:index])
            start = index + 1
    if text.strip():
        pieces.append(text[start:])
    for piece in pieces:
        sql_type, name = piece.strip().rsplit(" ", 1)
        variadic = sql_type.endswith("...")
        parameters.append(Parameter(name, parse_pattern(sql_type.removesuffix("...")), variadic))
    return tuple(parameters)


def scalar(name: str, category: str, description: str, *variants: Variant, registry: Registry = SCALARS) -> Function:
    """Registers a scalar function."""
    function = Function(name, FunctionKind.SCALAR, category, description, list(variants))
    registry.add(function)
    return function


def v(
    parameters: str,
    returns: str | Callable[[Sequence[SqlType]], SqlType],
    implementation: Callable[..., Any],
    *,
    nulls: bool = False,
    typed: bool = False,
    description: str = "",
) -> Variant:
    """A variant.

    Args:
        parameters: see `param_list`.
        returns: a pattern, or a function of the arguments' types.
        implementation: called with the arguments; with `typed`, called once with the arguments' types and the result's
            type to give the callable.
        nulls: whether it wants to see None.
        typed: see implementation.
        description: of this signature.
    """
    make = implementation if typed else lambda _types, _result: implementation
    pattern = parse_pattern(returns) if isinstance(returns, str) else returns
    return Variant(param_list(parameters), pattern, make, nulls=nulls, description=description)
