from __future__ import annotations

from pathlib import Path

import pytest

from ksql.changes import classify, matches
from ksql.errors import KsqlError
from ksql.statements import Kind, in_order, read, read_folder, readers, single

STREAM = "CREATE STREAM S (K VARCHAR KEY, A INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"


def test_the_projects_own_statements_are_in_order() -> None:
    found = read_folder(Path(__file__).parents[3] / "ksql")
    assert [statement.name for statement in found] == ["CFLIGHT", "CHEAPEST_FLIGHT"]
    assert found[1].reads == {"CFLIGHT"}
    assert found[1].properties == {"ksql.streams.auto.offset.reset": "earliest"}


def test_order_follows_what_is_read_across_files(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "CREATE TABLE T AS SELECT K, COUNT(*) AS N FROM U GROUP BY K;\n"
        "INSERT INTO U SELECT * FROM S;\nCREATE STREAM U AS SELECT * FROM S;\n"
    )
    (tmp_path / "b.sql").write_text(STREAM)
    (tmp_path / "notes.txt").write_text("not a statement")
    names = [statement.name for statement in read_folder(tmp_path)]
    assert names.index("S") < names.index("U") < names.index("T")
    insert = next(name for name in names if name.startswith("INSERT_U_"))
    assert names.index("U") < names.index(insert)


def test_types_come_before_what_uses_them_and_columns_are_no_dependency() -> None:
    text = (
        "CREATE STREAM A (B INT, X ADDRESS) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON');"
        "CREATE STREAM B (A INT) WITH (KAFKA_TOPIC='b', VALUE_FORMAT='JSON');"
        "CREATE TYPE ADDRESS AS STRUCT<CITY VARCHAR>;"
    )
    folder = read(text)
    assert [statement.name for statement in in_order(folder)] == ["B", "ADDRESS", "A"]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("CREATE STREAM X AS SELECT * FROM Y", "f.sql:1", "semicolon"),
        ("\n\nSHOW STREAMS;", "f.sql:3", "makes nothing"),
        ("INSERT INTO S VALUES (1);", "f.sql:1", "adds a row"),
        (f"{STREAM}\n{STREAM}", "f.sql:2", "is made here and at f.sql:1"),
        ("CREATE STREAM X AS SELECT * FROM Y;\nCREATE STREAM Y AS SELECT * FROM X;", "f.sql:1", "circle"),
        ("CREATE STREAM \x01;", "f.sql:1", "Syntax"),
        ("CREATE SINK CONNECTOR C WITH (A='b');", "f.sql:1", "CREATE SINK"),
    ],
)
def test_a_wrong_file_says_where(text: str, where: str, what: str) -> None:
    with pytest.raises(KsqlError) as caught:
        in_order(read(text, file="f.sql"))
    assert str(caught.value).startswith(where)
    assert what in str(caught.value)


def test_variables_are_put_in_place() -> None:
    (statement,) = read("CREATE STREAM ${n} (A INT) WITH (KAFKA_TOPIC='${t}');", variables={"n": "X", "t": "it's"})
    assert statement.name == "X"
    assert "'it''s'" in statement.text


def test_an_insert_gets_an_id_that_follows_from_its_text() -> None:
    (one,) = read("INSERT INTO S SELECT * FROM T;")
    (same,) = read("insert into  S -- comment\n select * from T ;")
    (other,) = read("INSERT INTO S SELECT * FROM U;")
    (named,) = read("INSERT INTO S WITH (QUERY_ID='mine') SELECT * FROM U;")
    assert one.name == same.name != other.name
    assert f"QUERY_ID='{one.name}'" in one.text
    assert named.name == "MINE"
    assert (one.kind, one.writes, one.reads) == (Kind.INSERT, "S", {"T"})


@pytest.mark.parametrize(
    ("old", "new", "action"),
    [
        (
            STREAM,
            "create  stream s(k STRING key, a integer)\nwith(value_format='JSON', kafka_topic='s'); -- same",
            "none",
        ),
        (STREAM, STREAM.replace("A INT", "A INT, B DOUBLE"), "update"),
        (STREAM, STREAM.replace("A INT", "A BIGINT"), "replace"),
        (STREAM, STREAM.replace("A INT", "B INT, A INT"), "replace"),
        (STREAM, STREAM.replace("'s'", "'t'"), "replace"),
        (STREAM, STREAM.replace("STREAM", "TABLE"), "replace"),
        ("CREATE STREAM X AS SELECT A FROM S;", "CREATE STREAM X AS SELECT A FROM S WHERE A > 1;", "update"),
        ("CREATE STREAM X AS SELECT A FROM S;", "CREATE STREAM X AS SELECT A, B FROM S;", "update"),
        ("CREATE STREAM X AS SELECT A AS N FROM S;", "CREATE STREAM X AS SELECT A + 1 AS N FROM S;", "update"),
        ("CREATE STREAM X AS SELECT A, B FROM S;", "CREATE STREAM X AS SELECT B, A FROM S;", "replace"),
        ("CREATE STREAM X AS SELECT A FROM S;", "CREATE STREAM X AS SELECT A FROM T;", "replace"),
        ("CREATE STREAM X AS SELECT A FROM S;", "CREATE STREAM X AS SELECT A FROM S PARTITION BY A;", "replace"),
        (
            "CREATE TABLE X AS SELECT K, COUNT(*) AS N FROM S GROUP BY K;",
            "CREATE TABLE X AS SELECT K, COUNT(*) + 1 AS N FROM S GROUP BY K;",
            "replace",
        ),
        ("CREATE TYPE T AS STRUCT<A INT>;", "CREATE TYPE T AS STRUCT<A BIGINT>;", "replace"),
    ],
)
def test_changes_are_classified(old: str, new: str, action: str) -> None:
    assert classify(single(old), single(new)).action == action


SERVER = (
    "CREATE STREAM X WITH (CLEANUP_POLICY='delete', KAFKA_TOPIC='X', PARTITIONS=1, REPLICAS=1, RETENTION_MS=604800000) "
    "AS SELECT\n  S.K K,\n  (S.A + (S.B * 2)) KSQL_COL_0,\n  S.A N\nFROM S S\nWHERE (S.A > 1)\nEMIT CHANGES;"
)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("CREATE STREAM X AS SELECT K, A + B*2, A AS N FROM S WHERE A > 1 EMIT CHANGES;", True),
        ("CREATE OR REPLACE STREAM X AS SELECT S.K, (A + (B * 2)), A N FROM S s2 WHERE A > 1 EMIT CHANGES;", False),
        ("CREATE STREAM X WITH (PARTITIONS=1) AS SELECT K, A + B*2, A AS N FROM S WHERE A>1 EMIT CHANGES;", True),
        ("CREATE STREAM X WITH (PARTITIONS=2) AS SELECT K, A + B*2, A AS N FROM S WHERE A>1 EMIT CHANGES;", False),
        ("CREATE STREAM X AS SELECT K, (A + B)*2, A AS N FROM S WHERE A > 1 EMIT CHANGES;", False),
        ("CREATE STREAM X AS SELECT K, A + B*2, A AS N FROM S WHERE A > 2 EMIT CHANGES;", False),
        ("CREATE STREAM X AS SELECT K, A + B*2, A AS M FROM S WHERE A > 1 EMIT CHANGES;", False),
    ],
)
def test_a_servers_text_is_recognised(text: str, *, same: bool) -> None:
    assert matches(single(text), SERVER) is same


def test_inferred_columns_are_no_difference() -> None:
    wanted = single("CREATE STREAM R (K VARCHAR KEY) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='AVRO');")
    server = "CREATE STREAM R (K STRING KEY, A STRING, `b` DOUBLE) "
    server += "WITH (KAFKA_TOPIC='r', KEY_FORMAT='KAFKA', VALUE_FORMAT='AVRO');"
    assert matches(wanted, server) is True
    assert matches(wanted, server.replace("'r'", "'q'")) is False


def test_readers_of_readers_go_too() -> None:
    statements = read(
        f"{STREAM} CREATE STREAM U AS SELECT * FROM S; CREATE TABLE T AS SELECT K, COUNT(*) FROM U GROUP BY K;"  # noqa: S608 - KSQL, and ours
        "CREATE STREAM V AS SELECT * FROM W;"
    )
    assert [statement.name for statement in readers(["S"], statements)] == ["U", "T"]
