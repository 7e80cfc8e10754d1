"""Types expressions and turns them into Python source, which is compiled once per query.

Inside of the generated functions `k`, `v` and `r` are the record's key, value and the record itself. SQL's rule for
errors holds: an expression that fails (a null operand of +, a cast that does not work, a division by zero) is null.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions import temporal, values
from ksql.engine.expressions.coercion import common_type, literal_value, wider
from ksql.engine.functions.registry import (
    FunctionKind,
    Registry,
    choose,
    match,
    resolve,
)
from ksql.engine.schema import PSEUDO_COLUMNS, WINDOW_BOUNDS
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_expression
from ksql.engine.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL_UNIT,
    NULL,
    STRING,
    TIME,
    TIMESTAMP,
    SqlArray,
    SqlDecimal,
    SqlLambda,
    SqlMap,
    SqlStruct,
    SqlType,
    as_decimal,
    is_numeric,
    wider_decimal,
)
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class CodegenError(StatementError):
    """An error that ksqlDB finds while it compiles an expression; the message gets the place in front of it."""


@dataclass(frozen=True, slots=True)
class Code:
    """Source of an expression, its type, and whether it can be None."""

    source: str
    type: SqlType
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Binding:
    """A column as expressions see it: the source that reads it, and its type."""

    source: str
    type: SqlType


_NATURALS: Final = {
    "+": "({0} + {1})",
    "-": "({0} - {1})",
    "*": "({0} * {1})",
}
_PYTHON_OPS: Final = {
    ast.ComparisonOp.EQUAL: "==",
    ast.ComparisonOp.NOT_EQUAL: "!=",
    ast.ComparisonOp.LESS_THAN: "<",
    ast.ComparisonOp.LESS_THAN_OR_EQUAL: "<=",
    ast.ComparisonOp.GREATER_THAN: ">",
    ast.ComparisonOp.GREATER_THAN_OR_EQUAL: ">=",
}
_EQUALITY: Final = frozenset(
    {
        ast.ComparisonOp.EQUAL,
        ast.ComparisonOp.NOT_EQUAL,
        ast.ComparisonOp.IS_DISTINCT_FROM,
        ast.ComparisonOp.IS_NOT_DISTINCT_FROM,
    }
)
_NO_KEY: Final = (None,) * 256
# Columns, names and numbers: sources whose evaluation raises nothing.
_CANNOT_FAIL: Final = re.compile(r"\w+(\[\d+\])?|-\d+")
"""The columns of a null key."""
_MAGIC_TIMES: Final = frozenset({"ROWTIME", *WINDOW_BOUNDS})


class _NoRecord:
    """Stands for a record where constants are evaluated."""

    key = value = window = None
    timestamp = 0


def _array_at(array: list[Any] | None, index: int | None) -> Any:
    """The element at a 1-based (from the end: negative) index; None outside."""
    if array is None:
        return None
    assert index is not None  # noqa: S101 - a null index fails as ksqlDB's does
    if index > 0:
        return array[index - 1] if index <= len(array) else None
    return array[index] if index < 0 and -index <= len(array) else None


def _need(value: Any) -> Any:
    """The value; null operands of AND, OR and NOT fail."""
    if value is None:
        raise TypeError
    return value


def _ignore(_error: Exception) -> None:
    """Failures that nobody wants to know are nulls."""


def _null_wrapper(function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """The function, with None for any None among its arguments."""
    if arity == 0:
        return function
    if arity == 1:

        def one(a: Any) -> Any:
            return None if a is None else function(a)

        return one
    if arity == 2:

        def two(a: Any, b: Any) -> Any:
            return None if a is None or b is None else function(a, b)

        return two

    def wrapped(*args: Any) -> Any:
        for arg in args:
            if arg is None:
                return None
        return function(*args)

    return wrapped


@dataclass(slots=True)
class Compiler:
    """Compiles expressions over one scope.

    Args:
        scope: columns by name.
        functions: all functions.
        settings: the engine's properties, for functions that have some.
    """

    scope: Mapping[str, Binding]
    functions: Registry
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    environment: dict[str, Any] = field(default_factory=dict[str, Any])
    _counter: int = 0
    _lambda_types: list[dict[str, SqlType]] = field(default_factory=list[dict[str, SqlType]])

    # --- entry points ---

    def type_of(self, expression: ast.Expression) -> SqlType:
        """The type of an expression.

        Raises:
            StatementError: it has none.
            FunctionError: it calls a function wrongly.
        """
        return self.translate(expression).type

    def row_function(
        self,
        expressions: Sequence[ast.Expression],
        types: Sequence[SqlType | None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
    ) -> Callable[[Any], tuple[Any, ...]]:
        """A function from a record to the values of the expressions; those that fail are None.

        Args:
            expressions: one for each result.
            types: what the results are to be cast to; None leaves one as it is.
            on_error: told about each failure.
        """
        codes = [self.translate(expression) for expression in expressions]
        sources = [
            code.source if types is None or types[index] is None else self.cast(code, types[index] or code.type).source
            for index, code in enumerate(codes)
        ]
        tuple_source = "(" + ", ".join(sources) + ("," if len(sources) == 1 else "") + ")"
        lines = [
            "def whole(r):",
            "    k = r.key or no_key; v = r.value",
            "    try:",
            f"        return {tuple_source}",
            "    except Exception:",
            "        return (" + "".join(f"part{index}(r), " for index in range(len(sources))) + ")",
        ]
        for index, source in enumerate(sources):
            lines += [
                f"def part{index}(r):",
                "    k = r.key or no_key; v = r.value",
                "    try:",
                f"        return {source}",
                "    except Exception as error:",
                "        failed(error)",
                "        return None",
            ]
        return self._define(lines, "whole", on_error)

    def evaluate(self, expression: ast.Expression) -> Any:
        """Return the value of an expression that reads no record.

        Raises:
            KsqlError: it has a wrong type.
            RecordError: it cannot be evaluated.
        """
        return self.value_function(expression)(_NoRecord)

    def value_function(self, expression: ast.Expression, sql_type: SqlType | None = None) -> Callable[[Any], Any]:
        """A function from a record to the value of one expression; it raises what the expression raises."""
        code = self.translate(expression)
        if sql_type is not None:
            code = self.cast(code, sql_type)
        lines = ["def whole(r):", "    k = r.key or no_key; v = r.value", f"    return {code.source}"]
        return self._define(lines, "whole", None)

    def predicate(
        self, expression: ast.Expression, on_error: Callable[[Exception], None] | None = None
    ) -> Callable[[Any], bool]:
        """A function from a record to whether the condition holds; one that fails does not."""
        code = self.translate(expression)
        lines = [
            "def whole(r):",
            "    k = r.key or no_key; v = r.value",
            "    try:",
            f"        return {code.source} is True",
            "    except Exception as error:",
            "        failed(error)",
            "        return False",
        ]
        return self._define(lines, "whole", on_error)

    def _define(
        self, lines: list[str], name: str, on_error: Callable[[Exception], None] | None
    ) -> Callable[[Any], Any]:
        namespace: dict[str, Any] = {**self.environment, "no_key": _NO_KEY, "failed": on_error or _ignore}
        exec(compile("\n".join(lines), "<expression>", "exec"), namespace)  # noqa: S102 - our own source only
        return namespace[name]

    # --- helpers ---

    def constant(self, value: Any, hint: str = "c") -> str:
        """A name for a value in the generated source."""
        self._counter += 1
        name = f"{hint}{self._counter}"
        self.environment[name] = value
        return name

    def _temporary(self) -> str:
        self._counter += 1
        return f"t{self._counter}"

    def cast(self, code: Code, target: SqlType) -> Code:
        """The code with a cast around it.

        Raises:
            CodegenError: there is no such cast.
        """
        if code.type == target:
            return code
        if code.type == NULL:
            return Code("None", target)
        try:
            function = values.caster(code.type, target)
        except StatementError as error:
            raise CodegenError(error.message) from error
        if function is values.identity:
            return Code(code.source, target, code.nullable)
        name = self.constant(function, "cast")
        if not code.nullable:
            return Code(f"{name}({code.source})", target, nullable=False)
        if re.fullmatch(r"[\w\[\].]+", code.source):
            return Code(f"(None if {code.source} is None else {name}({code.source}))", target)
        temporary = self._temporary()
        return Code(f"(None if ({temporary} := {code.source}) is None else {name}({temporary}))", target)

    # --- expressions ---

    @singledispatchmethod
    def translate(self, expression: ast.Expression) -> Code:
        """Source and type of an expression."""
        raise StatementError(f"Unexpected expression: {format_expression(expression)}")

    @translate.register
    def _(self, expression: ast.ColumnRef) -> Code:
        name = expression.name if expression.source is None else f"{expression.source}_{expression.name}"
        binding = self.scope.get(name)
        if binding is None:
            raise StatementError(f"Unknown column {expression.name}.")
        return Code(binding.source, binding.type)

    @translate.register
    def _(self, _expression: ast.NullLiteral) -> Code:
        return Code("None", NULL)

    @translate.register
    def _(self, expression: ast.BooleanLiteral) -> Code:
        return Code(str(expression.value), BOOLEAN, nullable=False)

    @translate.register
    def _(self, expression: ast.IntegerLiteral) -> Code:
        return Code(f"({expression.value})", INTEGER, nullable=False)

    @translate.register
    def _(self, expression: ast.LongLiteral) -> Code:
        return Code(f"({expression.value})", BIGINT, nullable=False)

    @translate.register
    def _(self, expression: ast.DoubleLiteral) -> Code:
        return Code(f"({expression.value!r})", DOUBLE, nullable=False)

    @translate.register
    def _(self, expression: ast.DecimalLiteral) -> Code:
        return Code(self.constant(expression.value), decimal_literal_type(expression.value), nullable=False)

    @translate.register
    def _(self, expression: ast.StringLiteral) -> Code:
        return Code(repr(expression.value), STRING, nullable=False)

    @translate.register
    def _(self, expression: ast.IntervalUnitLiteral) -> Code:
        return Code(repr(expression.unit), INTERVAL_UNIT, nullable=False)

    @translate.register
    def _(self, expression: ast.ArithmeticBinary) -> Code:
        left, right = self.translate(expression.left), self.translate(expression.right)
        result = arithmetic_type(expression, left.type, right.type)
        a, b = left.source, right.source
        op = expression.op
        if result == STRING:
            add = self.constant(_concatenate, "concat")
            return Code(f"{add}({a}, {b})", STRING)
        if result in (INTEGER, BIGINT):
            return Code(self._integer_arithmetic(op, a, b, result), result, left.nullable or right.nullable)
        if result == DOUBLE:
            a, b = self.cast(left, DOUBLE).source, self.cast(right, DOUBLE).source
            if op == "/":
                return Code(f"{self.constant(values.divide_doubles, 'div')}({a}, {b})", DOUBLE)
            if op == "%":
                return Code(f"{self.constant(values.modulo_doubles, 'mod')}({a}, {b})", DOUBLE)
            return Code(_NATURALS[op].format(a, b), DOUBLE)
        assert isinstance(result, SqlDecimal)  # noqa: S101
        compute = self.constant(_decimal_arithmetic(op, result), "decimal")
        return Code(f"{compute}({a}, {b})", result)

    def _integer_arithmetic(self, op: str, a: str, b: str, result: SqlType) -> str:
        if op == "/":
            source = f"{self.constant(values.divide_integers, 'div')}({a}, {b})"
        elif op == "%":
            return f"{self.constant(values.modulo_integers, 'mod')}({a}, {b})"
        else:
            source = _NATURALS[op].format(a, b)
        if result == INTEGER:
            return f"(({source} + 2147483648 & 4294967295) - 2147483648)"
        return f"(({source} + 9223372036854775808 & 18446744073709551615) - 9223372036854775808)"

    @translate.register
    def _(self, expression: ast.ArithmeticUnary) -> Code:
        operand = self.translate(expression.operand)
        if not is_numeric(operand.type):
            raise StatementError(
                f"Negation on {operand.type} is not supported\nStatement: {format_expression(expression)}"
            )
        return Code(f"({expression.op}{operand.source})", operand.type, operand.nullable)

    @translate.register
    def _(self, expression: ast.Comparison) -> Code:
        left_node, right_node = _magic(expression.left, expression.right), _magic(expression.right, expression.left)
        left, right = self.translate(left_node), self.translate(right_node)
        if NULL in (left.type, right.type):
            raise StatementError(f"Comparison with NULL not supported: {format_expression(expression)}")
        check_comparable(expression, left.type, right.type)
        left, right = self._comparable(left, right)
        return self._comparison(expression.op, left, right)

    def _comparable(self, left: Code, right: Code) -> tuple[Code, Code]:
        """Both sides as values that Python compares as SQL does."""
        if left.type == right.type:
            return left, right
        bases = {left.type.base, right.type.base}
        if bases <= {"INTEGER", "BIGINT", "DOUBLE"}:
            return left, right
        if "DECIMAL" in bases and "DOUBLE" in bases:
            to_decimal = self.constant(values.nullable(values.decimal_of_double), "exact")
            return tuple(  # type: ignore[return-value]
                Code(f"{to_decimal}({side.source})", side.type) if side.type == DOUBLE else side
                for side in (left, right)
            )
        if bases == {"DATE", "TIMESTAMP"}:
            return self.cast(left, TIMESTAMP), self.cast(right, TIMESTAMP)
        for temporal_type in (TIMESTAMP, DATE, TIME):
            if temporal_type.base in bases and "STRING" in bases:
                return self.cast(left, temporal_type), self.cast(right, temporal_type)
        return left, right

    def _comparison(self, op: ast.ComparisonOp, left: Code, right: Code) -> Code:
        if op is ast.ComparisonOp.IS_DISTINCT_FROM:
            return Code(f"({left.source} != {right.source})", BOOLEAN, nullable=False)
        if op is ast.ComparisonOp.IS_NOT_DISTINCT_FROM:
            return Code(f"({left.source} == {right.source})", BOOLEAN, nullable=False)
        checks: list[str] = []
        sides: list[str] = []
        for side in (left, right):
            if not side.nullable:
                sides.append(side.source)
            elif re.fullmatch(r"[\w\[\].]+", side.source):
                checks.append(f"{side.source} is None")
                sides.append(side.source)
            else:
                temporary = self._temporary()
                checks.append(f"({temporary} := {side.source}) is None")
                sides.append(temporary)
        body = f"{sides[0]} {_PYTHON_OPS[op]} {sides[1]}"
        if not checks:
            return Code(f"({body})", BOOLEAN, nullable=False)
        return Code(f"(False if {' or '.join(checks)} else {body})", BOOLEAN, nullable=False)

    @translate.register
    def _(self, expression: ast.Logical) -> Code:
        left, right = self._condition(expression.left), self._condition(expression.right)
        return Code(f"({left} {expression.op.lower()} {right})", BOOLEAN, nullable=False)

    @translate.register
    def _(self, expression: ast.Not) -> Code:
        return Code(f"(not {self._condition(expression.operand)})", BOOLEAN, nullable=False)

    def _condition(self, expression: ast.Expression) -> str:
        code = self.translate(expression)
        if code.type != BOOLEAN:
            raise StatementError(
                f"Expected a boolean expression, got {format_expression(expression)} of type {code.type}"
            )
        return f"{self.constant(_need, 'need')}({code.source})" if code.nullable else code.source

    @translate.register
    def _(self, expression: ast.IsNull) -> Code:
        operand = self.translate(expression.operand)
        negation = "not " if expression.negated else ""
        return Code(f"({operand.source} is {negation}None)", BOOLEAN, nullable=False)

    @translate.register
    def _(self, expression: ast.Like) -> Code:
        value, pattern = self.translate(expression.value), self.translate(expression.pattern)
        if value.type != STRING or pattern.type != STRING:
            raise StatementError(f"Like condition must be between strings: {format_expression(expression)}")
        if isinstance(expression.pattern, ast.StringLiteral):
            regex = re.compile(values.like_pattern(expression.pattern.value, expression.escape), re.DOTALL)
            return Code(
                f"({self.constant(regex.fullmatch, 'like')}({value.source}) is not None)", BOOLEAN, nullable=False
            )
        escape = expression.escape

        def like(text: str, like_text: str) -> bool:
            return re.fullmatch(values.like_pattern(like_text, escape), text, re.DOTALL) is not None

        return Code(f"{self.constant(like, 'like')}({value.source}, {pattern.source})", BOOLEAN, nullable=False)

    @translate.register
    def _(self, expression: ast.Between) -> Code:
        low = ast.Comparison(ast.ComparisonOp.GREATER_THAN_OR_EQUAL, expression.value, expression.low)
        high = ast.Comparison(ast.ComparisonOp.LESS_THAN_OR_EQUAL, expression.value, expression.high)
        return self.translate(ast.Logical("AND", low, high))

    @translate.register
    def _(self, expression: ast.InList) -> Code:
        value = self.translate(expression.value)
        target = self._common((expression.value, *expression.items))
        item_sources = [self._as_type(item, target).source for item in expression.items]
        subject = self.cast(value, target)
        temporary = self._temporary()
        items = "(" + ", ".join(item_sources) + ",)"
        return Code(
            f"(False if ({temporary} := {subject.source}) is None else {temporary} in {items})", BOOLEAN, nullable=False
        )

    def _common(self, expressions: Sequence[ast.Expression]) -> SqlType:
        try:
            return common_type(expressions, [self.type_of(expression) for expression in expressions])
        except StatementError as error:
            raise CodegenError(error.message) from error

    def _as_type(self, expression: ast.Expression, target: SqlType) -> Code:
        """An expression where a type is wanted; literals are converted now, constructors from the inside."""
        converted, value = literal_value(expression, target)
        if converted:
            return Code(self.constant(value), target, nullable=value is None)
        if isinstance(expression, ast.CreateArray) and isinstance(target, SqlArray):
            items = self._each([self._as_type(item, target.element) for item in expression.items])
            return Code(items, target, nullable=False)
        if isinstance(expression, ast.CreateMap) and isinstance(target, SqlMap):
            keys = self._each([self._as_type(key, target.key) for key, _ in expression.entries])
            items = self._each([self._as_type(item, target.value) for _, item in expression.entries])
            return Code(f"dict(zip({keys}, {items}))", target, nullable=False)
        if isinstance(expression, ast.CreateStruct) and isinstance(target, SqlStruct):
            by_name = dict(expression.fields)
            missing = Code("None", NULL)
            fields = self._each(
                [self._as_type(by_name[name], kind) if name in by_name else missing for name, kind in target.fields]
            )
            names = tuple(name for name, _ in target.fields)
            return Code(f"dict(zip({names!r}, {fields}))", target, nullable=False)
        return self.cast(self.translate(expression), target)

    @translate.register
    def _(self, expression: ast.SearchedCase) -> Code:
        for when in expression.whens:
            condition = self.type_of(when.condition)
            if condition != BOOLEAN:
                raise StatementError(
                    "WHEN operand type should be boolean.\n"
                    f"Type for '{format_expression(when.condition)}' is {condition}"
                )
        results = [when.result for when in expression.whens]
        branches = [*results, *([expression.default] if expression.default is not None else [])]
        types = [self.type_of(branch) for branch in branches]
        known = [sql_type for sql_type in types if sql_type != NULL]
        if not known:
            raise StatementError("Invalid Case expression. All case branches have NULL type")
        target = known[0]
        for branch, sql_type in zip(branches, types, strict=True):
            joined = wider(target, sql_type)
            if joined is None:
                raise _case_mismatch(expression, branches, target, sql_type, branch)
            target = joined
        source = "None" if expression.default is None else self._as_type(expression.default, target).source
        for when in reversed(expression.whens):
            result, condition = self._as_type(when.result, target), self.translate(when.condition)
            source = f"({result.source} if {condition.source} else {source})"
        return Code(source, target)

    @translate.register
    def _(self, expression: ast.SimpleCase) -> Code:
        whens = tuple(
            ast.WhenClause(ast.Comparison(ast.ComparisonOp.EQUAL, expression.operand, when.condition), when.result)
            for when in expression.whens
        )
        return self.translate(ast.SearchedCase(whens, expression.default))

    @translate.register
    def _(self, expression: ast.Cast) -> Code:
        return self.cast(self.translate(expression.operand), expression.type)

    @translate.register
    def _(self, expression: ast.Subscript) -> Code:
        base, index = self.translate(expression.base), self.translate(expression.index)
        if isinstance(base.type, SqlArray):
            if index.type not in (INTEGER, BIGINT):
                raise StatementError(f"Array index must be an integer: {format_expression(expression)}")
            return Code(f"{self.constant(_array_at, 'at')}({base.source}, {index.source})", base.type.element)
        if isinstance(base.type, SqlMap):
            key = self.cast(index, base.type.key)
            temporary = self._temporary()
            return Code(
                f"(None if ({temporary} := {base.source}) is None else {temporary}.get({key.source}))", base.type.value
            )
        raise StatementError(f"Subscript expression not supported on type {base.type}")

    @translate.register
    def _(self, expression: ast.Dereference) -> Code:
        base = self.translate(expression.base)
        if not isinstance(base.type, SqlStruct):
            raise StatementError(f"Expected STRUCT type, got: {base.type} in {format_expression(expression)}")
        sql_type = base.type.field(expression.name)
        if sql_type is None:
            raise StatementError(f"Could not find field '{expression.name}' in '{format_expression(expression.base)}'.")
        temporary = self._temporary()
        return Code(
            f"(None if ({temporary} := {base.source}) is None else {temporary}.get({expression.name!r}))", sql_type
        )

    @translate.register
    def _(self, expression: ast.CreateArray) -> Code:
        if not expression.items:
            raise StatementError(
                "Array constructor cannot be empty. Please supply at least one element "
                "(see https://github.com/confluentinc/ksql/issues/4239)."
            )
        element = self._common(expression.items)
        if element == NULL:
            raise StatementError(
                "Cannot construct an array with all NULL elements (see https://github.com/"
                "confluentinc/ksql/issues/4239). As a workaround, you may cast a NULL value to the desired type."
            )
        items = self._each([self._as_type(item, element) for item in expression.items])
        return Code(items, SqlArray(element), nullable=False)

    @translate.register
    def _(self, expression: ast.CreateMap) -> Code:
        if not expression.entries:
            raise StatementError(
                "Map constructor cannot be empty. Please supply at least one key value pair "
                "(see https://github.com/confluentinc/ksql/issues/4239)."
            )
        key = self._common([entry[0] for entry in expression.entries])
        value = self._common([entry[1] for entry in expression.entries])
        if NULL in (key, value):
            raise StatementError(
                "Cannot construct a map with NULL keys or only NULL values "
                "(see https://github.com/confluentinc/ksql/issues/4239). As a workaround, "
                "you may cast a NULL value to the desired type."
            )
        target = SqlMap(key, value)
        return self._as_type(expression, target)

    @translate.register
    def _(self, expression: ast.CreateStruct) -> Code:
        codes = [(name, self.translate(value)) for name, value in expression.fields]
        values_source = self._each([code for _, code in codes])
        source = f"dict(zip({tuple(name for name, _ in codes)!r}, {values_source}))" if codes else "{}"
        return Code(source, SqlStruct(tuple((name, code.type) for name, code in codes)), nullable=False)

    def _each(self, codes: Sequence[Code]) -> str:
        """A list of values, of which one that fails is null and leaves the others as they are."""
        if all(_CANNOT_FAIL.fullmatch(code.source) for code in codes):
            return "[" + ", ".join(code.source for code in codes) + "]"
        parts = ", ".join(f"lambda: {code.source}" for code in codes)
        return f"{self.constant(_values_of, 'each')}([{parts}])"

    @translate.register
    def _(self, expression: ast.LambdaVariable) -> Code:
        for types in reversed(self._lambda_types):
            if expression.name in types:
                return Code(_variable(expression.name), types[expression.name])
        raise StatementError(f"Unknown lambda variable {expression.name}")

    @translate.register
    def _(self, expression: ast.Lambda) -> Code:
        raise StatementError(f"Unexpected lambda: {format_expression(expression)}")

    @translate.register
    def _(self, expression: ast.FunctionCall) -> Code:
        function = self.functions.get(expression.name)
        if function.kind is not FunctionKind.SCALAR:
            raise StatementError(f"{expression.name} is not a scalar function")
        if any(isinstance(arg, ast.Lambda) for arg in expression.args):
            return self._lambda_call(expression)
        args = [self.translate(arg) for arg in expression.args]
        types = [arg.type for arg in args]
        variant, bindings, parameters = choose(function, types)
        cast_args: list[Code] = []
        for arg, parameter in zip(args, parameters, strict=True):
            target = resolve(parameter.pattern, bindings)
            if parameter.pattern.base == "DECIMAL" and arg.type in (INTEGER, BIGINT):
                target = as_decimal(arg.type)
            widen = target is not None and arg.type not in (NULL, target)
            cast_args.append(self.cast(arg, target) if widen and target else arg)
        types = [arg.type for arg in cast_args]
        returns = variant.returns(types) if callable(variant.returns) else resolve(variant.returns, bindings)
        if returns is None:
            raise StatementError(f"The result type of {format_expression(expression)} is not known")
        implementation = variant.make(types, returns)
        if not variant.nulls:
            implementation = _null_wrapper(implementation, len(cast_args))
        name = self.constant(implementation, "f")
        return Code(f"{name}({', '.join(arg.source for arg in cast_args)})", returns)

    def _lambda_call(self, expression: ast.FunctionCall) -> Code:
        function = self.functions.get(expression.name)
        codes: list[Code | None] = []
        types: list[SqlType] = []
        for arg in expression.args:
            if isinstance(arg, ast.Lambda):
                codes.append(None)
                types.append(SqlLambda((NULL,) * len(arg.parameters), None))
            else:
                code = self.translate(arg)
                codes.append(code)
                types.append(code.type)
        variant, bindings, parameters = choose(function, types)
        sources: list[str] = []
        for arg, code, parameter in zip(expression.args, codes, parameters, strict=True):
            if isinstance(arg, ast.Lambda):
                inputs = [resolve(pattern, bindings) or NULL for pattern in parameter.pattern.inner[:-1]]
                self._lambda_types.append(dict(zip(arg.parameters, inputs, strict=True)))
                body = self.translate(arg.body)
                self._lambda_types.pop()
                result = parameter.pattern.inner[-1]
                known = resolve(result, bindings)
                if known is not None and known != body.type and values.implicitly_castable(body.type, known):
                    body = self.cast(body, known)
                elif not match(result, body.type, bindings, implicit=True):
                    choose(function, [*types[: len(sources)], body.type, *types[len(sources) + 1 :]])
                sources.append(f"(lambda {', '.join(map(_variable, arg.parameters))}: {body.source})")
            elif code is not None:
                sources.append(code.source)
        returns = variant.returns(types) if callable(variant.returns) else resolve(variant.returns, bindings)
        if returns is None:
            raise StatementError(f"The result type of {format_expression(expression)} is not known")
        name = self.constant(variant.make(types, returns), "f")
        return Code(f"{name}({', '.join(sources)})", returns)


def _variable(name: str) -> str:
    return "x_" + re.sub(r"\W", "_", name)


def _values_of(parts: Sequence[Callable[[], Any]]) -> list[Any]:
    out: list[Any] = []
    for compute in parts:
        try:
            out.append(compute())
        except Exception:  # noqa: BLE001 - an expression that fails is null, whatever it raised
            out.append(None)
    return out


def _case_mismatch(
    expression: ast.SearchedCase,
    branches: Sequence[ast.Expression],
    target: SqlType,
    sql_type: SqlType,
    branch: ast.Expression,
) -> StatementError:
    if branch is expression.default:
        return StatementError(
            f"Invalid Case expression. Type for the default clause should be the same as for 'THEN' clauses.\n"
            f"THEN type: {target}.\nDEFAULT type: {sql_type}."
        )
    when = expression.whens[list(branches).index(branch)]
    return StatementError(
        "Invalid Case expression. Type for all 'THEN' clauses should be the same.\n"
        f"THEN expression 'WHEN {format_expression(when.condition)} THEN {format_expression(when.result)}' has type: "
        f"{sql_type}.\nPrevious THEN expression(s) type: {target}."
    )


def _concatenate(left: str | None, right: str | None) -> str:
    """Java's + of strings, with its text for null."""
    return ("null" if left is None else left) + ("null" if right is None else right)


def decimal_literal_type(value: Decimal) -> SqlDecimal:
    """The type of a literal: as many digits as it is written with."""
    _sign, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    return SqlDecimal(max(len(digits), scale + 1 if abs(value) < 1 and scale >= len(digits) else scale), scale)


def arithmetic_type(expression: ast.ArithmeticBinary, left: SqlType, right: SqlType) -> SqlType:
    """The type of `left op right`.

    Raises:
        StatementError: the operator is not defined on these types.
    """
    text = format_expression(expression)
    if NULL in (left, right):
        raise StatementError(
            f"Error processing expression: {text}. Arithmetic on types {left} and {right} are not supported.\n"
            f"Statement: {text}"
        )
    if left == STRING and right == STRING and expression.op == "+":
        return STRING
    if not (is_numeric(left) and is_numeric(right)):
        raise StatementError(
            f"Error processing expression: {text}. Unsupported arithmetic types. {left} {right}\nStatement: {text}"
        )
    if DOUBLE in (left, right):
        return DOUBLE
    if isinstance(left, SqlDecimal) or isinstance(right, SqlDecimal):
        return decimal_type(expression.op, as_decimal(left), as_decimal(right))
    return BIGINT if BIGINT in (left, right) else INTEGER


def decimal_type(op: str, left: SqlDecimal, right: SqlDecimal) -> SqlDecimal:
    """Precision and scale of the result of decimal arithmetic."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    if op in "+-":
        wide = wider_decimal(left, right)
        return SqlDecimal(wide.precision + 1, wide.scale)
    if op == "*":
        return SqlDecimal(p1 + p2 + 1, s1 + s2)
    if op == "/":
        scale = max(6, s1 + p2 + 1)
        return SqlDecimal(p1 - s1 + s2 + scale, scale)
    scale = max(s1, s2)
    return SqlDecimal(min(p1 - s1, p2 - s2) + scale, scale)


def _decimal_arithmetic(op: str, result: SqlDecimal) -> Callable[[Any, Any], Decimal]:
    scale, precision, context = result.scale, result.precision, values.EXACT
    operation = {
        "+": context.add,
        "-": context.subtract,
        "*": context.multiply,
        "/": context.divide,
        "%": context.remainder,
    }[op]

    def compute(left: Decimal | int, right: Decimal | int) -> Decimal:
        return values.fit_decimal(operation(Decimal(left), Decimal(right)), precision, scale)

    return compute


def check_comparable(expression: ast.Comparison, left: SqlType, right: SqlType) -> None:
    """Raises StatementError when the two types cannot be compared with the operator."""
    op = expression.op
    bases = {left.base, right.base}
    if is_numeric(left) and is_numeric(right):
        return
    if left.base == right.base:
        if left in (STRING, BYTES, DATE, TIME, TIMESTAMP):
            return
        if left.base in ("BOOLEAN", "ARRAY", "MAP", "STRUCT") and op in _EQUALITY and left == right:
            return
    temporal_bases = {"DATE", "TIME", "TIMESTAMP"}
    if len(bases & temporal_bases) == 1 and "STRING" in bases:
        return
    if bases == {"DATE", "TIMESTAMP"}:
        return
    text = format_expression(expression)
    raise StatementError(
        f"Cannot compare {format_expression(expression.left)} ({left}) to {format_expression(expression.right)} "
        f"({right}) with {op.name}.\nStatement: {text}"
    )


def _magic(expression: ast.Expression, other: ast.Expression) -> ast.Expression:
    """A text beside ROWTIME or a window bound is a timestamp."""
    if not (isinstance(expression, ast.StringLiteral) and isinstance(other, ast.ColumnRef)):
        return expression
    name = other.name
    if name in _MAGIC_TIMES or any(name.endswith("_" + time) for time in _MAGIC_TIMES):
        return ast.LongLiteral(temporal.parse_timestamp(expression.value))
    return expression


__all__ = ["PSEUDO_COLUMNS", "Binding", "Code", "CodegenError", "Compiler"]
