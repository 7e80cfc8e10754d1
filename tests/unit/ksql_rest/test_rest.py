from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from golden.ksql_rest import difference
from ksql.client import KsqlClient, RefusedError
from ksql.engine.rest.app import Application
from ksql.engine.rest.errors import RestError, bad_statement
from ksql.engine.rest.exchange import parse_object
from ksql.engine.rest.properties import cause, check_overrides, check_set
from ksql.engine.rest.rows import value_writer
from ksql.engine.rest.session import statements
from ksql.engine.runtime.streams import RowStream
from ksql.engine.schema import Column, Namespace
from ksql.engine.sql.parser import parse_type
from ksql.engine.types import BIGINT, DOUBLE, STRING
from ksql.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

DELIMITED = "application/vnd.ksqlapi.delimited.v1"
KSQL = "application/vnd.ksql.v1+json"


class Server:
    """An engine that knows one answer to everything."""

    def info(self) -> dict[str, Any]:
        return {"version": "7.9.0"}

    def execute(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        if request.get("ksql") == "bad;":
            raise bad_statement("no", statement="bad;")
        return [{"request": request}]

    def query(self, _request: dict[str, Any], *, legacy: bool) -> RowStream:
        columns = [Column("K", STRING, Namespace.KEY), Column("X", DOUBLE), Column("N", BIGINT)]
        stream = RowStream(query_id="query_1", columns=columns, push=False)
        stream.put([("a", 1e20, None), ("ü", 0.5, 2)])
        stream.end(message="Limit Reached" if legacy else None)
        return stream

    def status(self, command_id: str) -> dict[str, Any] | None:
        return {"id": command_id} if command_id == "stream/`A`/create" else None

    def close_query(self, query_id: str) -> bool:
        return query_id == "mine"


def ask(method: str, path: str, **arguments: Any) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(Application(server=Server()))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(one())


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (
            DELIMITED,
            '{"queryId":"query_1","columnNames":["K","X","N"],"columnTypes":["STRING","DOUBLE","BIGINT"]}\n'
            '["a",1.0E20,null]\n["ü",0.5,2]\n',
        ),
        (
            "application/json",
            '[{"queryId":"query_1","columnNames":["K","X","N"],"columnTypes":["STRING","DOUBLE","BIGINT"]},'
            '["a",1.0E20,null],["ü",0.5,2]]',
        ),
        (
            KSQL,
            '[{"header":{"queryId":"query_1","schema":"`K` STRING KEY, `X` DOUBLE, `N` BIGINT"}},\n'
            '{"row":{"columns":["a",1.0E20,null]}},\n{"row":{"columns":["ü",0.5,2]}}]',
        ),
    ],
)
def test_rows_come_as_the_client_wants_them(accept: str, text: str) -> None:
    answer = ask("POST", "/query-stream", json={"sql": "SELECT 1;"}, headers={"Accept": accept})
    assert answer.text == text
    assert answer.headers["content-type"] == accept


def test_a_push_query_says_why_it_ended() -> None:
    answer = ask("POST", "/query", json={"ksql": "SELECT 1;"}, headers={"Accept": KSQL})
    assert answer.json()[-1] == {"finalMessage": "Limit Reached"}


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type"),
    [
        ("GET", "/", 307, None),
        ("GET", "/nowhere", 404, "text/html; charset=utf-8"),
        ("GET", "/ksql", 405, None),
        ("POST", "/info", 405, None),
        ("GET", "/clusterStatus", 404, "application/json"),
        ("GET", "/status/stream/`B`/create", 404, "application/json"),
        ("GET", "/status/stream/%60A%60/create", 200, "application/json"),
        ("POST", "/inserts-stream", 400, None),
    ],
)
def test_edges(method: str, path: str, status: int, content_type: str | None) -> None:
    answer = ask(method, path)
    assert (answer.status_code, answer.headers.get("content-type")) == (status, content_type)


def test_errors_have_their_shape() -> None:
    answer = ask("POST", "/ksql", json={"ksql": "bad;"})
    assert answer.json() == {
        "@type": "statement_error", "error_code": 40001, "message": "no", "statementText": "bad;", "entities": [],
    }  # fmt: skip
    assert ask("POST", "/close-query", json={"queryId": "other"}).json()["message"] == "No query with id other"
    assert ask("GET", "/info", headers={"Accept": "text/plain"}).status_code == 406


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"nope", b"\xff", b'{"a": }', b'{"a":1}}'])
def test_rubbish_is_refused(body: bytes) -> None:
    with pytest.raises(RestError, match="Invalid JSON in request"):
        parse_object(body)


def test_statements_see_the_variables_before_them_and_keep_their_place() -> None:
    variables: dict[str, str] = {}
    found: list[str] = []
    for statement in statements("DEFINE t = 'x';\n  DESCRIBE ${t};  DESCRIBE y;", variables):
        found.append(f"{statement.text}@{statement.position.line}:{statement.position.column}")
        if "DEFINE" in statement.text:
            variables["t"] = "THE_NAME"
    assert found == ["DEFINE t = 'x';@1:1", "DESCRIBE THE_NAME;@2:3", "DESCRIBE y;@2:19"]


def test_a_syntax_error_is_told_with_the_whole_request() -> None:
    text = "SHOW STREAMS; SHOW NOTHING;"
    with pytest.raises(RestError) as caught:
        list(statements(text, {}))
    assert caught.value.statement == text
    assert "line 1:20" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("auto.offset.reset", "sideways", 400),
        ("ksql.streams.commit.interval.ms", "soon", 400),
        ("ksql.service.id", "x", 400),
        ("no.such", "x", 500),
    ],
)
def test_settings_are_checked(name: str, value: str, status: int) -> None:
    with pytest.raises(RestError) as caught:
        check_overrides({name: value}, statement=lambda: "SHOW STREAMS;")
    assert caught.value.status == status


def test_settings_get_their_full_name_and_type() -> None:
    found = check_overrides({"auto.offset.reset": "earliest", "cache.max.bytes.buffering": "0"}, statement=str)
    assert found == {"ksql.streams.auto.offset.reset": "earliest", "ksql.streams.cache.max.bytes.buffering": 0}
    with pytest.raises(RestError, match="Unknown property: nope"):
        check_set("nope", "1", error=lambda message: bad_statement(message, statement=""))


def test_causes_are_broken_at_eighty_columns() -> None:
    assert all(len(line.removeprefix("\t")) <= 80 for line in cause("word " * 60).split("\n"))


@pytest.mark.parametrize(
    ("sql_type", "value", "text"),
    [
        ("DATE", 18475, '"2020-08-01"'),
        ("TIME", 3_600_000, '"01:00"'),
        ("TIME", 3_601_005, '"01:00:01.005"'),
        ("TIMESTAMP", 1_596_272_400_000, '"2020-08-01T09:00:00.000"'),
        ("BYTES", b"\x00\xff", '"AP8="'),
        ("DOUBLE", float("nan"), '"NaN"'),
        ("MAP<STRING, ARRAY<DOUBLE>>", {"a": [1.0, None], "b": None}, '{"a":[1.0,null],"b":null}'),
        ("STRUCT<A INT, `b` STRING>", {"A": 1, "b": 'q"'}, '{"A":1,"b":"q\\""}'),
    ],
)
def test_values_as_json(sql_type: str, value: object, text: str) -> None:
    assert value_writer(parse_type(sql_type))(value) == text


# --- the comparison of recorded answers ---


@pytest.mark.parametrize(
    ("recorded", "found", "same"),
    [
        ('{"streams":[{"name":"A"},{"name":"B"}]}', '{"streams":[{"name":"B"},{"name":"A"}]}', True),
        ('{"rows":[1,2]}', '{"rows":[2,1]}', False),
        ('{"x":1.0E20}', '{"x":1e20}', False),
        ('{"commandSequenceNumber":12}', '{"commandSequenceNumber":2}', True),
        ('{"commandSequenceNumber":12}', '{"commandSequenceNumber":4}', False),
        ('{"a":1}', '{"a":1,"b":2}', False),
        ('{"queryId":"query_1795345700141"}', '{"queryId":"query_1795345711111"}', True),
        ('{"h":{"queryId":"transient_A_123456789"}}', '{"h":{"queryId":"transient_B_123456789"}}', False),
        ("plain", "other", False),
    ],
)
def test_what_counts_as_the_same_answer(recorded: str, found: str, *, same: bool) -> None:
    assert (difference(recorded, found, shift=-10) is None) is same


# --- the client ---


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> KsqlClient:
    client = KsqlClient(url="http://server")
    client._client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server")  # pyright: ignore[reportPrivateUsage]
    return client


def test_the_client_waits_for_a_command_that_is_not_done() -> None:
    status = {"status": "EXECUTING", "message": "Executing statement"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/status"):
            return httpx.Response(200, json={"status": "SUCCESS", "message": "done"})
        return httpx.Response(
            200, json=[{"commandId": "stream/`A`/create", "commandStatus": status, "commandSequenceNumber": 4}]
        )

    (entity,) = client_of(answer).execute("CREATE …;")
    assert entity["commandStatus"]["message"] == "done"


def test_the_client_sends_the_number_of_its_last_command() -> None:
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content).get("commandSequenceNumber"))
        return httpx.Response(200, json=[{"commandSequenceNumber": 8}])

    client = client_of(answer)
    client.execute("one;")
    client.execute("two;")
    assert sent == [None, 8]


@pytest.mark.parametrize("text", ["<html>", '{"error": 1}', "[]", ""])
def test_the_client_makes_an_error_of_whatever_comes(text: str) -> None:
    client = client_of(lambda _request: httpx.Response(500, text=text))
    with pytest.raises(RefusedError, match="HTTP 500"):
        client.execute("x;")


def test_a_server_that_is_not_there_is_no_traceback() -> None:
    with pytest.raises(ServerError, match="does not answer"):
        KsqlClient(url="http://127.0.0.1:9", timeout=1).execute("x;")
    with pytest.raises(ServerError, match="not ready after"):
        KsqlClient(url="http://127.0.0.1:9", timeout=1).wait_until_ready(seconds=0.3)
