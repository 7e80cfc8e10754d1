"""Queries from records to records, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from golden.qtt import Outcome, run_case

STREAM = "CREATE STREAM {0} (K INT KEY, V INT) WITH (kafka_topic='{0}', value_format='JSON');"
TABLE = "CREATE TABLE {0} (K INT PRIMARY KEY, V INT) WITH (kafka_topic='{0}', value_format='JSON');"


def row(topic: str, key: Any, value: Any, timestamp: int = 0, window: tuple[int, int] | None = None) -> dict[str, Any]:
    """A record of a case; a value that is a number stands for column V."""
    if isinstance(value, int):
        value = {"V": value}
    record = {"topic": topic, "key": key, "value": value, "timestamp": timestamp}
    if window is not None:
        record["window"] = {"start": window[0], "end": window[1], "type": "time"}
    return record


CASES: dict[str, dict[str, Any]] = {
    "tumbling windows count apart, and late records beyond the grace period are dropped": {
        "statements": [
            STREAM.format("S"),
            "CREATE TABLE T AS SELECT K, COUNT(*) AS N FROM S"
            " WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 5 SECONDS) GROUP BY K;",
        ],
        "inputs": [
            row("S", 1, 0, 1000),
            row("S", 1, 0, 12000),
            row("S", 1, 0, 2000),
            row("S", 1, 0, 15000),
            row("S", 1, 0, 3000),
        ],
        "outputs": [
            row("T", 1, {"N": 1}, 1000, (0, 10000)),
            row("T", 1, {"N": 1}, 12000, (10000, 20000)),
            row("T", 1, {"N": 2}, 2000, (0, 10000)),
            row("T", 1, {"N": 2}, 15000, (10000, 20000)),
        ],
    },
    "sessions merge": {
        "statements": [
            STREAM.format("S"),
            "CREATE TABLE T AS SELECT K, SUM(V) AS N FROM S WINDOW SESSION (5 SECONDS) GROUP BY K;",
        ],
        "inputs": [row("S", 1, 1, 1000), row("S", 1, 2, 9000), row("S", 1, 4, 5000)],
        "outputs": [
            {**row("T", 1, {"N": 1}, 1000), "window": {"start": 1000, "end": 1000, "type": "session"}},
            {**row("T", 1, {"N": 2}, 9000), "window": {"start": 9000, "end": 9000, "type": "session"}},
            {**row("T", 1, None, 1000), "window": {"start": 1000, "end": 1000, "type": "session"}},
            {**row("T", 1, None, 9000), "window": {"start": 9000, "end": 9000, "type": "session"}},
            {**row("T", 1, {"N": 7}, 9000), "window": {"start": 1000, "end": 9000, "type": "session"}},
        ],
    },
    "a final result comes once, when its window closes": {
        "statements": [
            STREAM.format("S"),
            "CREATE TABLE T AS SELECT K, COUNT(*) AS N FROM S"
            " WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 0 SECONDS) GROUP BY K EMIT FINAL;",
        ],
        "inputs": [row("S", 1, 0, 11000), row("S", 1, 0, 12000), row("S", 2, 0, 19999), row("S", 1, 0, 20000)],
        "outputs": [row("T", 1, {"N": 2}, 12000, (10000, 20000)), row("T", 2, {"N": 1}, 19999, (10000, 20000))],
    },
    "aggregates over a table take back what a row gave": {
        "statements": [
            TABLE.format("S"),
            "CREATE TABLE T AS SELECT V, COUNT(*) AS N, SUM(K) AS KS FROM S GROUP BY V;",
        ],
        "inputs": [row("S", 1, 7), row("S", 2, 7), row("S", 1, 8), row("S", 2, None)],
        "outputs": [
            row("T", 7, {"N": 1, "KS": 1}),
            row("T", 7, {"N": 2, "KS": 3}),
            row("T", 7, {"N": 1, "KS": 2}),
            row("T", 8, {"N": 1, "KS": 1}),
            row("T", 7, {"N": 0, "KS": 0}),
        ],
    },
    "records of two streams join within their time": {
        "statements": [
            STREAM.format("A"),
            STREAM.format("B"),
            "CREATE STREAM J AS SELECT A.K AS K, A.V AS AV, B.V AS BV FROM A JOIN B WITHIN 10 SECONDS ON A.K = B.K;",
        ],
        "inputs": [row("A", 1, 1, 1000), row("B", 1, 2, 11000), row("B", 1, 3, 11001), row("B", 2, 4, 1000)],
        "outputs": [row("J", 1, {"AV": 1, "BV": 2}, 11000)],
    },
    "the unmatched side of a left join waits for the end of its window": {
        "statements": [
            STREAM.format("A"),
            STREAM.format("B"),
            "CREATE STREAM J AS SELECT A.K AS K, A.V AS AV, B.V AS BV FROM A"
            " LEFT JOIN B WITHIN 10 SECONDS GRACE PERIOD 0 SECONDS ON A.K = B.K;",
        ],
        "inputs": [row("A", 1, 1, 1000), row("A", 2, 2, 2000), row("B", 2, 3, 3000), row("A", 3, 4, 20000)],
        "outputs": [row("J", 2, {"AV": 2, "BV": 3}, 3000), row("J", 1, {"AV": 1, "BV": None}, 1000)],
    },
    "a stream sees the table as it was": {
        "statements": [
            STREAM.format("A"),
            TABLE.format("B"),
            "CREATE STREAM J AS SELECT A.K AS K, A.V AS AV, B.V AS BV FROM A LEFT JOIN B ON A.K = B.K;",
        ],
        "inputs": [row("A", 1, 1), row("B", 1, 5), row("A", 1, 2), row("B", 1, None), row("A", 1, 3)],
        "outputs": [
            row("J", 1, {"AV": 1, "BV": None}),
            row("J", 1, {"AV": 2, "BV": 5}),
            row("J", 1, {"AV": 3, "BV": None}),
        ],
    },
    "tables join, and rows vanish with their match": {
        "statements": [
            TABLE.format("A"),
            TABLE.format("B"),
            "CREATE TABLE J AS SELECT A.K AS K, A.V AS AV, B.V AS BV FROM A JOIN B ON A.K = B.K;",
        ],
        "inputs": [row("A", 1, 1), row("B", 1, 2), row("A", 1, 3), row("B", 1, None), row("A", 1, None)],
        "outputs": [row("J", 1, {"AV": 1, "BV": 2}), row("J", 1, {"AV": 3, "BV": 2}), row("J", 1, None)],
    },
    "a foreign key follows the left row": {
        "statements": [
            TABLE.format("A"),
            TABLE.format("B"),
            "CREATE TABLE J AS SELECT A.K AS K, B.V AS BV FROM A JOIN B ON A.V = B.K;",
        ],
        "inputs": [
            row("B", 7, 70),
            row("B", 8, 80),
            row("A", 1, 7),
            row("A", 2, 7),
            row("B", 7, 71),
            row("A", 1, 8),
            row("A", 2, None),
        ],
        "outputs": [
            row("J", 1, {"BV": 70}),
            row("J", 2, {"BV": 70}),
            row("J", 1, {"BV": 71}),
            row("J", 2, {"BV": 71}),
            row("J", 1, {"BV": 80}),
            row("J", 2, None),
        ],
    },
    "a table's filter takes back rows that no longer fit": {
        "statements": [TABLE.format("S"), "CREATE TABLE T AS SELECT * FROM S WHERE V > 5;"],
        "inputs": [row("S", 1, 9), row("S", 1, 3), row("S", 2, 1), row("S", 1, 7)],
        "outputs": [row("T", 1, 9), row("T", 1, None), row("T", 1, 7)],
    },
    "one record explodes to many": {
        "statements": [
            "CREATE STREAM S (K INT KEY, A ARRAY<INT>, B ARRAY<INT>) WITH (kafka_topic='S', value_format='JSON');",
            "CREATE STREAM T AS SELECT K, EXPLODE(A) AS X, EXPLODE(B) + 1 AS Y FROM S;",
        ],
        "inputs": [row("S", 1, {"A": [1, 2], "B": [5]}), row("S", 1, {"A": [], "B": None})],
        "outputs": [row("T", 1, {"X": 1, "Y": 6}), row("T", 1, {"X": 2, "Y": None})],
    },
    "a stream gets a new key": {
        "statements": [STREAM.format("S"), "CREATE STREAM T AS SELECT * FROM S PARTITION BY V;"],
        "inputs": [row("S", 1, 5), row("S", 1, {"V": None})],
        "outputs": [row("T", 5, {"K": 1}), row("T", None, {"K": 1})],
    },
    "two queries write one stream": {
        "statements": [
            STREAM.format("A"),
            STREAM.format("B"),
            "CREATE STREAM T AS SELECT * FROM A;",
            "INSERT INTO T SELECT K, V * 10 AS V FROM B;",
        ],
        "inputs": [row("A", 1, 1), row("B", 2, 2)],
        "outputs": [row("T", 1, 1), row("T", 2, 20)],
    },
    "a table answers by key, range and window": {
        "statements": [
            STREAM.format("S"),
            "CREATE TABLE T AS SELECT K, COUNT(*) AS N FROM S WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY K;",
            "SELECT K, N FROM T WHERE K = 1 AND WINDOWSTART >= 1000;",
            "SELECT N FROM T WHERE K = 9;",
        ],
        "inputs": [row("S", 1, 0, 100), row("S", 1, 0, 1100), row("S", 1, 0, 1200), row("S", 2, 0, 1300)],
        "responses": [
            {"admin": {"@type": "currentStatus"}},
            {"admin": {"@type": "currentStatus"}},
            {"query": [{"header": {"schema": "`K` INTEGER KEY, `N` BIGINT"}}, {"row": {"columns": [1, 2]}}]},
            {"query": [{"header": {"schema": "`N` BIGINT"}}]},
        ],
    },
    "rubbish is skipped": {
        "statements": [
            "CREATE STREAM S (K INT KEY, V INT) WITH (kafka_topic='S', value_format='DELIMITED');",
            "CREATE STREAM T AS SELECT K, V + 1 AS V FROM S;",
        ],
        "inputs": [row("S", 1, "x"), row("S", 1, "1,2,3"), row("S", 1, "4")],
        "outputs": [row("T", 1, "5")],
    },
}


@pytest.mark.parametrize("name", CASES)
def test_query(name: str) -> None:
    result = run_case("own", {"name": name, **CASES[name]})
    assert result.outcome is Outcome.PASSED, result.detail


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["CREATE STREAM X AS SELECT * FROM NOPE;"], "NOPE does not exist"),
        ([STREAM.format("S"), "CREATE STREAM X AS SELECT NOPE FROM S;"], "cannot be resolved"),
        ([STREAM.format("S"), "CREATE TABLE X AS SELECT * FROM S;"], "Your SELECT query produces a STREAM"),
        ([STREAM.format("S"), "CREATE TABLE X AS SELECT K, V, COUNT(*) FROM S GROUP BY K;"], "not part of GROUP BY: V"),
        ([TABLE.format("S"), "CREATE TABLE X AS SELECT V FROM S;"], "Key missing from projection"),
        (
            [STREAM.format("A"), STREAM.format("B"), "CREATE STREAM X AS SELECT * FROM A JOIN B ON A.K = B.K;"],
            "must have a WITHIN clause",
        ),
        (
            [
                "CREATE STREAM S (K DATE KEY, V INT) WITH (kafka_topic='S', format='JSON');",
                "CREATE TABLE X AS SELECT K, COUNT(*) AS N FROM S GROUP BY K;",
                "SELECT * FROM X WHERE K = 'no date';",
            ],
            "can not be converted",
        ),
        (
            [
                STREAM.format("S"),
                "CREATE TABLE X AS SELECT K, COUNT(*) AS N FROM S "
                "WINDOW HOPPING (SIZE 5 SECONDS, ADVANCE BY 10 SECONDS) GROUP BY K;",
            ],
            "no more than SIZE",
        ),
        (["CREATE TABLE X (A INT) WITH (kafka_topic='x', value_format='JSON');"], "Tables require a PRIMARY KEY"),
        (["CREATE STREAM X (A INT) WITH (kafka_topic='x', value_format='NOPE');"], "Unknown format: NOPE"),
        (["CREATE STREAM X (A INT) WITH (value_format='JSON');"], "KAFKA_TOPIC"),
        (
            [
                "CREATE STREAM S (K INT KEY, V INT) WITH (kafka_topic='S', format='JSON', window_type='SESSION');",
                "CREATE STREAM X AS SELECT * FROM S PARTITION BY V;",
            ],
            "Implicit repartitioning of windowed sources is not supported",
        ),
    ],
)
def test_what_cannot_be_is_refused(statements: list[str], message: str) -> None:
    case = {"name": "refusal", "statements": statements, "expectedException": {"message": message}}
    result = run_case("own", case)
    assert result.outcome is Outcome.PASSED, result.detail
