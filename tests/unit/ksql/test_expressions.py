"""Values of expressions, as ksqlDB documents them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from ksql.engine.expressions.compiler import Compiler
from ksql.engine.functions.catalogue import all_functions
from ksql.engine.sql.formatter import format_expression
from ksql.engine.sql.parser import parse_expression
from ksql.errors import KsqlError


class _NoRecord:
    key = value = window = None
    timestamp = 0


def evaluate(text: str) -> Any:
    """The value of an expression without columns; one that fails is null."""
    compiler = Compiler({}, all_functions())
    return compiler.row_function([parse_expression(text)])(_NoRecord())[0]


def type_of(text: str) -> str:
    """The type of an expression without columns."""
    return str(Compiler({}, all_functions()).type_of(parse_expression(text)))


VALUES = [
    # numbers
    ("10 / 3", 3),
    ("-10 / 3", -3),
    ("-10 % 3", -1),
    ("5 / 0", None),
    ("CAST(1 AS DOUBLE) / 0", math.inf),
    ("2147483647 + 1", -2147483648),
    ("9223372036854775807 + 1", -9223372036854775808),
    ("1 + 2.5", Decimal("3.5")),
    ("CAST(1.5 AS DECIMAL(4,2)) * CAST(2.25 AS DECIMAL(5,3))", Decimal("3.37500")),
    ("ROUND(3.5)", Decimal(4)),
    ("ROUND(CAST(-3.5 AS DOUBLE))", -3),
    ("TRUNC(-12.99, 1)", Decimal("-12.90")),
    ("CBRT(27)", 3.0),
    ("LOG(2, 8)", 3.0),
    ("GREATEST(4, 17, 9)", 17),
    ("LEAST('b', 'a')", "a"),
    # casts
    ("CAST(9.99 AS INT)", 9),
    ("CAST('abc' AS INT)", None),
    ("CAST('yes' AS BOOLEAN)", True),
    ("CAST('1.25' AS DECIMAL(3,1))", Decimal("1.3")),
    ("CAST(CAST(1e10 AS DOUBLE) AS STRING)", "1.0E10"),
    ("CAST(STRUCT(A := 1, B := 'x') AS STRING)", "Struct{A=1,B=x}"),
    ("CAST(ARRAY[1, 2] AS ARRAY<STRING>)", ["1", "2"]),
    ("CAST('2020-01-02' AS DATE)", 18263),
    ("CAST('03:04' AS TIME)", 11040000),
    ("CAST(CAST('2020-01-02T03:04:05.123' AS TIMESTAMP) AS STRING)", "2020-01-02T03:04:05.123"),
    # comparisons and conditions
    ("1 = 1.0", True),
    ("CAST('2020-01-01' AS DATE) > '2019-01-01'", True),
    ("1 BETWEEN 0 AND 2", True),
    ("1 IN (3, 2)", False),
    ("'a%c' LIKE 'a!%c' ESCAPE '!'", True),
    ("'abc' LIKE 'A%'", False),
    ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END", "c"),
    ("CASE WHEN FALSE THEN 1 END", None),
    ("NOT (TRUE AND FALSE)", True),
    # texts
    ("'a' + 'b' || 'c'", "abc"),
    ("CONCAT_WS(', ', 'a', NULL, 'b')", "a, b"),
    ("INITCAP('the quick BROWN')", "The Quick Brown"),
    ("INSTR('CORPORATE FLOOR', 'OR', 3, 2)", 14),
    ("INSTR('CORPORATE FLOOR', 'OR', -3, 2)", 2),
    ("LPAD('Foo', 7, 'Bar')", "BarBFoo"),
    ("RPAD('Foo', 2, 'Bar')", "Fo"),
    ("MASK('My Test $123')", "Xx-Xxxx--nnn"),
    ("MASK_KEEP_RIGHT('My Test $123', 4)", "Xx-Xxxx-$123"),
    ("REGEXP_EXTRACT('(.*) (.*)', 'hello there', 2)", "there"),
    ("SPLIT('a,b,,c', ',')", ["a", "b", "", "c"]),
    ("SUBSTRING('stream', -4, 3)", "rea"),
    ("ENCODE('aGVsbG8=', 'base64', 'ascii')", "hello"),
    ("URL_EXTRACT_PARAMETER('https://x/a?x=1&y=a%20b', 'y')", "a b"),
    ("URL_EXTRACT_HOST('https://u@docs.confluent.io:8080/a')", "docs.confluent.io"),
    ("URL_EXTRACT_PATH('https://not a url/')", None),
    # JSON
    ("EXTRACTJSONFIELD('{\"a\":{\"b\":[1,2]}}', '$.a.b[1]')", "2"),
    ("JSON_ARRAY_CONTAINS('[1, 2, \"x\"]', 'x')", True),
    ("JSON_CONCAT('{\"a\":1}', '{\"b\":2}')", '{"a":1,"b":2}'),
    ("TO_JSON_STRING(STRUCT(A := 1, B := 'x'))", '{"A":1,"B":"x"}'),
    # collections
    ("ARRAY[1, 2, 3][-1]", 3),
    ("ARRAY[1, 2, 3][0]", None),
    ("ARRAY[1 / 0, 2]", [None, 2]),
    ("MAP('a' := 1)['b']", None),
    ("STRUCT(A := 1 / 0, B := 2)->B", 2),
    ("ARRAY_SORT(ARRAY[3, NULL, 1])", [1, 3, None]),
    ("ARRAY_EXCEPT(ARRAY[1, 2, 3, 1], ARRAY[2])", [1, 3]),
    ("SLICE(ARRAY[1, 2, 3, 4], 2, 3)", [2, 3]),
    ("GENERATE_SERIES(5, 1, -2)", [5, 3, 1]),
    ("MAP_UNION(MAP('a' := 1), MAP('a' := 2, 'b' := 3))", {"a": 2, "b": 3}),
    ("TRANSFORM(MAP('a' := 1), (k, v) => UCASE(k), (k, v) => v * 2)", {"A": 2}),
    ("REDUCE(ARRAY[1, 2, 3], 10, (s, x) => s + x)", 16),
    ("FILTER(ARRAY[1, 2, 3], x => x > 1)", [2, 3]),
    # times
    ("DATESUB(MONTHS, 1, CAST('2020-03-31' AS DATE))", 18321),
    ("TIMEADD(HOURS, 30, CAST('10:00:00' AS TIME))", 57600000),
    ("FORMAT_TIMESTAMP(CAST('2020-01-02T13:04:05' AS TIMESTAMP), 'yyyy-MM-dd hh:mm a')", "2020-01-02 01:04 PM"),
    ("PARSE_TIMESTAMP('2020-12-31 23:59', 'yyyy-MM-dd HH:mm', 'America/Los_Angeles')", 1609487940000),
    ("TIMESTAMPTOSTRING(1600000000000, 'yyyy-MM-dd''T''HH:mm:ssX', 'America/Denver')", "2020-09-13T06:26:40-06"),
    ("STRINGTODATE('not a date', 'yyyy-MM-dd')", None),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text for text, _ in VALUES])
def test_value(text: str, value: Any) -> None:
    found = evaluate(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text for text, _ in VALUES])
def test_formatting_keeps_the_meaning(text: str, value: Any) -> None:
    assert evaluate(format_expression(parse_expression(text))) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 1", "INTEGER"),
        ("1 + 9999999999", "BIGINT"),
        ("1 + 1.5", "DECIMAL(12, 1)"),
        ("1.5 / 3", "DECIMAL(13, 12)"),
        ("1.5 + 1e0", "DOUBLE"),
        ("ARRAY[1, 9999999999]", "ARRAY<BIGINT>"),
        ("STRUCT(A := 'x', `b` := MAP('k' := TRUE))", "STRUCT<`A` STRING, `b` MAP<STRING, BOOLEAN>>"),
        ("CASE WHEN TRUE THEN 1 ELSE 1.5 END", "DECIMAL(11, 1)"),
    ],
)
def test_type(text: str, expected: str) -> None:
    assert type_of(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 > 'a'", "Cannot compare 1 (INTEGER) to 'a' (STRING) with GREATER_THAN."),
        ("1 + TRUE", "Unsupported arithmetic types. INTEGER BOOLEAN"),
        ("1 = NULL", "Comparison with NULL not supported: (1 = null)"),
        ("LEN(1)", "Function 'len' does not accept parameters (INTEGER)."),
        ("NO_SUCH(1)", "Can't find any functions with the name 'NO_SUCH'"),
        ("STRUCT(A := 1)->B", "Could not find field 'B'"),
        ("ARRAY[1, TRUE]", "operator does not exist: INTEGER = BOOLEAN"),
        ("CAST(TRUE AS INT)", "Cast of BOOLEAN to INTEGER is not supported"),
        ("99999999999999999999", "Invalid numeric literal: 99999999999999999999"),
        ("CASE WHEN TRUE THEN 1 ELSE 'x' END", "Type for the default clause should be the same"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    with pytest.raises(KsqlError) as caught:
        type_of(text)
    assert message in caught.value.message
