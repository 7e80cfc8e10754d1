"""Rows of INSERT INTO ... VALUES, and why some cannot be inserted."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from ksql.engine.functions.catalogue import all_functions
from ksql.engine.memory.stores import MemoryRegistry
from ksql.engine.metastore import MetaStore
from ksql.engine.plan.inserts import InsertedRow, insert_target, insert_values
from ksql.engine.plan.statements import Context, create_source
from ksql.engine.sql.parser import parse, parse_one
from ksql.errors import StatementError

if TYPE_CHECKING:
    from ksql.engine.sql import ast

SOURCES = """
CREATE STREAM S (K VARCHAR KEY, I INTEGER, D DECIMAL(5, 2), DAY DATE, B BYTES, A ARRAY<BIGINT>)
  WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE T (ID INTEGER PRIMARY KEY, V VARCHAR) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM H (V VARCHAR, M BYTES HEADER('m')) WITH (KAFKA_TOPIC='h', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE SOURCE TABLE R (ID INTEGER PRIMARY KEY, V VARCHAR) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM W (K VARCHAR KEY, V VARCHAR)
  WITH (KAFKA_TOPIC='w', FORMAT='JSON', PARTITIONS=1, WINDOW_TYPE='SESSION');
"""


@pytest.fixture(scope="module")
def context() -> Context:
    context = Context(MetaStore(), all_functions(), MemoryRegistry(), {})
    for statement in parse(SOURCES):
        context.metastore.put(create_source(cast("ast.CreateSource", statement), context))
    return context


def insert(text: str, context: Context) -> InsertedRow:
    statement = cast("ast.InsertValues", parse_one(f"{text};"))
    return insert_values(statement, insert_target(statement.target, context.metastore), context)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("INSERT INTO S (K, I) VALUES ('k', 1 + 1)", ("k",), (2, None, None, None, None)),
        ("INSERT INTO S (I) VALUES (1)", None, (1, None, None, None, None)),
        ("INSERT INTO S (D) VALUES ('1.5')", None, (None, Decimal("1.50"), None, None, None)),
        ("INSERT INTO S (D) VALUES (2)", None, (None, Decimal("2.00"), None, None, None)),
        ("INSERT INTO S (DAY) VALUES ('2020-08-01')", None, (None, None, 18475, None, None)),
        ("INSERT INTO S (B) VALUES ('aGk=')", None, (None, None, None, b"hi", None)),
        ("INSERT INTO S (A) VALUES (ARRAY[1, 2])", None, (None, None, None, None, [1, 2])),
        ("INSERT INTO T VALUES (1, NULL)", (1,), (None,)),
        ("INSERT INTO H VALUES ('v')", None, ("v",)),
    ],
)
def test_a_row_has_its_columns_types(text: str, key: Any, value: Any, context: Context) -> None:
    row = insert(text, context)
    assert (row.key, row.value, row.timestamp) == (key, value, None)


def test_rowtime_is_the_records_time(context: Context) -> None:
    assert insert("INSERT INTO S (ROWTIME, I) VALUES (1234, 1)", context).timestamp == 1234


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("INSERT INTO NOPE VALUES (1)", "an unknown stream/table: `NOPE`"),
        ("INSERT INTO `s` VALUES (1)", 'Did you mean "S"?'),
        ("INSERT INTO R VALUES (1, 'v')", "read-only table: R"),
        ("INSERT INTO W VALUES ('k', 'v')", "windowed stream/table"),
        ("INSERT INTO H (V, M) VALUES ('v', NULL)", "HEADER columns: M"),
        ("INSERT INTO S (K, I) VALUES ('k')", "Expected number columns and values to match: 2, 1"),
        ("INSERT INTO T VALUES (1)", r"Expected Columns: \[`ID`, `V`\]. Got 1 values."),
        ("INSERT INTO S (ROWOFFSET) VALUES (1)", "Inserting into column `ROWOFFSET` is not allowed."),
        ("INSERT INTO S (X) VALUES (1)", "Failed to insert values into 'S'. Column name `X` does not exist."),
        ("INSERT INTO S (I) VALUES ('text')", r"Expected type INTEGER for field `I` but got STRING\(text\)"),
        ("INSERT INTO S (B) VALUES ('%')", "Invalid insert value"),
        ("INSERT INTO S (DAY) VALUES ('soon')", "Invalid insert value"),
        ("INSERT INTO T (V) VALUES ('v')", r"Value for primary key column\(s\) ID is required for tables"),
    ],
)
def test_what_cannot_be_inserted_says_why(text: str, why: str, context: Context) -> None:
    with pytest.raises(StatementError, match=why):
        insert(text, context)
