"""Statements: read, printed, and errors' positions."""

from __future__ import annotations

import pytest

from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_statement
from ksql.engine.sql.parser import parse, parse_one, parse_type
from ksql.errors import ParsingError

CANONICAL = [
    "CREATE STREAM S (K STRING KEY, A ARRAY<STRUCT<X INTEGER, Y DECIMAL(4, 2)>>)"
    " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
    "CREATE OR REPLACE TABLE T (K STRING PRIMARY KEY, V MAP<STRING, BIGINT>)"
    " WITH (KAFKA_TOPIC='t', VALUE_FORMAT='AVRO');",
    "DROP STREAM IF EXISTS S DELETE TOPIC;",
    "INSERT INTO S (K, V) VALUES ('it''s', 1);",
    "SHOW STREAMS;",
    "TERMINATE CTAS_T_1;",
]


@pytest.mark.parametrize("text", CANONICAL)
def test_printing_is_stable(text: str) -> None:
    printed = format_statement(parse_one(text))
    assert format_statement(parse_one(printed)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM S WHERE A = 1 AND NOT B LIKE 'x%' EMIT CHANGES LIMIT 3;",
        "CREATE TABLE T AS SELECT K, COUNT(*) C FROM S WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 5 MINUTES,"
        " RETENTION 1 DAY, GRACE PERIOD 10 SECONDS) WHERE V > 1 GROUP BY K HAVING COUNT(*) > 2 EMIT FINAL;",
        "CREATE STREAM J AS SELECT A.K, B.V FROM A LEFT JOIN B WITHIN (1 MINUTE, 2 MINUTES) GRACE PERIOD 1 HOUR"
        " ON A.K = B.K PARTITION BY B.V;",
        "INSERT INTO S SELECT TRANSFORM(A, x => x + 1) AS T, M['k'] AS V, R->F AS F FROM Q;",
        "CREATE STREAM `s-1` AS SELECT `lower` AS `Mixed Case` FROM S;",
    ],
)
def test_printed_queries_mean_the_same(text: str) -> None:
    statement = parse_one(text)
    printed = format_statement(statement)
    again = parse_one(printed if printed.endswith(";") else printed + ";")
    assert format_statement(again) == printed
    assert type(again) is type(statement)


def test_names_are_upper_case_unless_quoted() -> None:
    statement = parse_one('select aBc, `aBc`, S."d" from s;')
    assert isinstance(statement, ast.QueryStatement)
    names = [
        item.expression.name
        for item in statement.query.select
        if isinstance(item, ast.SingleColumn) and isinstance(item.expression, ast.ColumnRef)
    ]
    assert names == ["ABC", "aBc", "d"]


def test_comments_are_blanks() -> None:
    statements = parse("-- one\nSHOW /* two\n lines */ STREAMS; /**/ SHOW TABLES; -- end")
    assert len(statements) == 2


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("SELEC * FROM S;", "line 1:1"),
        ("SELECT *\nFROM;", "line 2:5"),
        ("SELECT * FROM S WHERE;", "line 1:22"),
        ("CREATE STREAM S (A INT", "line 1:"),
        ("SHOW STREAMS", "line 1:"),
        ("SELECT 'open FROM S;", "line 1:"),
        ("SELECT * FROM S WHERE a = = b;", "line 1:27"),
    ],
)
def test_errors_say_where(text: str, position: str) -> None:
    with pytest.raises(ParsingError) as caught:
        parse(text)
    assert caught.value.message.startswith(position)


@pytest.mark.parametrize("text", ["\x00", "))))", "`", "SELECT" * 50, "(" * 2000 + ")" * 2000, "", ";", "é→"])
def test_rubbish_is_an_error_of_the_user(text: str) -> None:
    try:
        statements = parse(text)
    except ParsingError:
        return
    assert statements == []


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("int", "INTEGER"),
        ("varchar", "STRING"),
        ("dec(4,2)", "DECIMAL(4, 2)"),
        ("struct<a int, `b` array<map<string, double>>>", "STRUCT<`A` INTEGER, `b` ARRAY<MAP<STRING, DOUBLE>>>"),
    ],
)
def test_types(text: str, printed: str) -> None:
    assert str(parse_type(text)) == printed
