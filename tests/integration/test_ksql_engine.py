"""The embedded KSQL engine on a real Kafka: killed, restarted, robbed of its state, asked and changed."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bench import outputs
from bench.broker import Broker
from infra.errors import NotAvailableError
from ksql.client import KsqlClient, RefusedError
from ksql.testing import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

EARLIEST = {"auto.offset.reset": "earliest"}
ROWS = """
CREATE STREAM ROWS_IN (K VARCHAR KEY, ID INT, PLACE VARCHAR, PRICE DOUBLE)
  WITH (KAFKA_TOPIC='rows', PARTITIONS=3, VALUE_FORMAT='JSON');
"""
QUERIES = """
CREATE TABLE PER_KEY AS SELECT K, COUNT(*) AS N, MIN(PRICE) AS LOWEST, TOPK(-PRICE, ID, 1)[1]->`col0` AS FIRST_ID
  FROM ROWS_IN GROUP BY K;
CREATE TABLE PER_PLACE AS SELECT PLACE, COUNT(*) AS N FROM ROWS_IN GROUP BY PLACE;
CREATE STREAM COPIES AS SELECT * FROM ROWS_IN WHERE PRICE >= 0;
"""

CLEAN = "DROP TABLE PER_KEY; DROP TABLE PER_PLACE; DROP STREAM COPIES; DROP STREAM ROWS_IN DELETE TOPIC;"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    try:
        running = Broker()
    except NotAvailableError as error:
        pytest.skip(str(error))
    with running:
        yield running


@contextmanager
def engine_of(broker: Broker, folder: Path, *, service: str, **settings: str) -> Generator[EngineProcess]:
    folder.mkdir(exist_ok=True)
    engine = EngineProcess(
        bootstrap_servers=broker.bootstrap_servers,
        schema_registry_url=broker.schema_registry_url,
        folder=folder,
        service_id=service,
        settings=settings,
    )
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


def rows(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"K": f"batch{number % 17}", "ID": number, "PLACE": f"P{number % 5}", "PRICE": float(1000 - number // 3 % 400)}
        for number in range(start, start + count)
    ]


def send(broker: Broker, topic: str, records: list[dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "partitioner": "murmur2_random"})
    for record in records:
        value = {name: item for name, item in record.items() if name != "K"}
        producer.produce(topic, key=record["K"], value=json.dumps(value))
    assert producer.flush(30) == 0


def expected(records: list[dict[str, Any]]) -> dict[str, tuple[int, float, int]]:
    found: dict[str, tuple[int, float, int]] = {}
    for record in records:
        count, price, first = found.get(record["K"], (0, float("inf"), -1))
        if record["PRICE"] < price:
            price, first = record["PRICE"], record["ID"]
        found[record["K"]] = (count + 1, price, first)
    return found


def pulled(client: KsqlClient, sql: str) -> list[list[Any]]:
    answer = httpx.post(f"{client.url}/query-stream", json={"sql": sql}, timeout=30)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()[1:] if line]


def eventually(what: Any, wanted: Any, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (found := what()) != wanted:
        assert time.monotonic() < deadline, f"{found} instead of {wanted}"
        time.sleep(0.1)


def table(client: KsqlClient) -> dict[str, tuple[int, float, int]]:
    return {key: tuple(rest) for key, *rest in pulled(client, "SELECT * FROM PER_KEY;")}


def test_killed_again_and_again_nothing_is_lost_or_doubled(broker: Broker, tmp_path: Path) -> None:
    load = rows(30_000)
    with engine_of(broker, tmp_path / "state", service="chaos_", KSQL_STREAMS_COMMIT_INTERVAL_MS="200") as engine:
        with KsqlClient(url=engine.url) as client:
            client.execute(ROWS + QUERIES, properties=EARLIEST)
        done = threading.Event()

        def produce() -> None:
            for begin in range(0, len(load), 500):
                send(broker, "rows", load[begin : begin + 500])
            done.set()

        producing = threading.Thread(target=produce)
        producing.start()
        kills = 0
        while not done.is_set() or kills < 4:
            time.sleep(0.7)
            engine.kill()
            kills += 1
            engine.start()
        producing.join()
        with KsqlClient(url=engine.url) as client:
            eventually(lambda: table(client), expected(load))
            places = Counter(record["PLACE"] for record in load)
            eventually(lambda: dict(pulled(client, "SELECT * FROM PER_PLACE;")), dict(places))
            for place, count in places.items():
                assert pulled(client, f"SELECT N FROM PER_PLACE WHERE PLACE='{place}';") == [[count]]  # noqa: S608

            def copies() -> dict[int, int]:
                found = Counter(
                    json.loads(message.value() or b"")["ID"]
                    for message in outputs.read(broker.bootstrap_servers, "COPIES")
                )
                return {number: times for number, times in found.items() if times != 1} | {-1: len(found)}

            eventually(copies, {-1: len(load)})
        latest: dict[str, tuple[int, float, int]] = {}
        for message in outputs.read(broker.bootstrap_servers, "PER_KEY"):
            value = json.loads(message.value() or b"")
            latest[(message.key() or b"").decode()] = (value["N"], value["LOWEST"], value["FIRST_ID"])
        assert latest == expected(load)
        # The state is rebuilt where it was lost.
        engine.stop()
        shutil.rmtree(tmp_path / "state")
        (tmp_path / "state").mkdir()
        engine.start()
        with KsqlClient(url=engine.url) as client:
            eventually(lambda: table(client), expected(load))
            more = rows(1000, start=len(load))
            send(broker, "rows", more)
            eventually(lambda: table(client), expected(load + more))
            client.execute(
                "DROP TABLE PER_KEY; DROP TABLE PER_PLACE; DROP STREAM COPIES; DROP STREAM ROWS_IN DELETE TOPIC;"
            )


def test_a_kafka_that_is_killed_is_waited_for(broker: Broker, tmp_path: Path) -> None:
    load = rows(4000)
    with (
        engine_of(broker, tmp_path / "state", service="outage_", KSQL_STREAMS_COMMIT_INTERVAL_MS="200") as engine,
        KsqlClient(url=engine.url) as client,
    ):
        client.execute(ROWS + QUERIES, properties=EARLIEST)
        send(broker, "rows", load[:2000])
        broker.stop_kafka(kill=True)
        time.sleep(3)
        broker.start_kafka()
        send(broker, "rows", load[2000:])
        eventually(lambda: table(client), expected(load), seconds=120)
        client.execute(CLEAN)


def test_statements_survive_and_internal_topics_go_with_their_query(broker: Broker, tmp_path: Path) -> None:
    def topics() -> set[str]:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        return {name for name in admin.list_topics(timeout=10).topics if "keep_" in name}

    with engine_of(broker, tmp_path / "state", service="keep_") as engine:
        with KsqlClient(url=engine.url) as client:
            client.execute(
                "CREATE STREAM S (K VARCHAR KEY, A INT) WITH (KAFKA_TOPIC='keep', PARTITIONS=1, VALUE_FORMAT='JSON');"
                "CREATE TABLE T AS SELECT K, SUM(A) AS TOTAL FROM S GROUP BY K;"
                "CREATE TYPE ADDRESS AS STRUCT<CITY VARCHAR>;",
                properties=EARLIEST | {"cache.max.bytes.buffering": "0"},
            )
            client.execute("INSERT INTO S VALUES ('a', 1); INSERT INTO S VALUES ('a', 2);")
            eventually(lambda: pulled(client, "SELECT * FROM T;"), [["a", 3]])
            client.execute("PAUSE CTAS_T_1;")
        engine.restart()
        with KsqlClient(url=engine.url) as client:
            assert client.sources() == {"S": "STREAM", "T": "TABLE"}
            assert list(client.types()) == ["ADDRESS"]
            (query,) = client.queries()
            assert (query["id"], query["statusCount"]) == ("CTAS_T_1", {"PAUSED": 1})
            client.execute("INSERT INTO S VALUES ('a', 10);")
            assert pulled(client, "SELECT * FROM T;") == [["a", 3]]
            client.execute("RESUME CTAS_T_1;")
            eventually(lambda: pulled(client, "SELECT * FROM T;"), [["a", 13]])
            with pytest.raises(RefusedError, match="Cannot drop S"):
                client.execute("DROP STREAM S;")
            client.execute("DROP TABLE T DELETE TOPIC; DROP STREAM S DELETE TOPIC;")
            assert topics() == {"_confluent-ksql-keep__command_topic"}
        engine.restart()
        with KsqlClient(url=engine.url) as client:
            assert client.sources() == {}


def test_a_second_server_of_the_same_service_takes_over(broker: Broker, tmp_path: Path) -> None:
    with (
        engine_of(broker, tmp_path / "one", service="same_") as first,
        engine_of(broker, tmp_path / "two", service="same_") as second,
    ):
        create = "CREATE STREAM X (A INT) WITH (KAFKA_TOPIC='same', PARTITIONS=1, VALUE_FORMAT='JSON');"
        with KsqlClient(url=first.url) as client, pytest.raises(RefusedError):
            client.execute(create)
        assert httpx.get(f"{first.url}/healthcheck", timeout=10).json()["isHealthy"] is False
        with KsqlClient(url=second.url) as client:
            client.execute(create)
            client.execute("DROP STREAM X DELETE TOPIC;")


def test_a_push_query_follows_and_ends_with_its_client(broker: Broker, tmp_path: Path) -> None:
    with engine_of(broker, tmp_path / "state", service="push_") as engine, KsqlClient(url=engine.url) as client:
        client.execute(
            "CREATE STREAM P (K VARCHAR KEY, A INT) WITH (KAFKA_TOPIC='push', PARTITIONS=2, VALUE_FORMAT='JSON');"
        )
        with (
            httpx.Client(base_url=engine.url, timeout=30) as http,
            http.stream("POST", "/query-stream", json={"sql": "SELECT K, A * 2 FROM P EMIT CHANGES;"}) as response,
        ):
            lines = response.iter_lines()
            query_id = json.loads(next(lines))["queryId"]
            for number in range(3):
                client.execute(f"INSERT INTO P VALUES ('k{number}', {number});")  # noqa: S608
                assert json.loads(next(lines)) == [f"k{number}", number * 2]
            shown = client.execute("SHOW QUERIES;")[0]["queries"]
            assert [query["id"] for query in shown] == [query_id]
        eventually(lambda: client.execute("SHOW QUERIES;")[0]["queries"], [])
        client.execute("DROP STREAM P DELETE TOPIC;")


def test_joins_find_what_was_written_before_on_every_partition(broker: Broker, tmp_path: Path) -> None:
    with engine_of(broker, tmp_path / "state", service="join_") as engine, KsqlClient(url=engine.url) as client:
        client.execute(
            "CREATE TABLE USERS (ID VARCHAR PRIMARY KEY, NAME VARCHAR)"
            " WITH (KAFKA_TOPIC='join.users', PARTITIONS=3, VALUE_FORMAT='JSON');"
            "CREATE STREAM CLICKS (K VARCHAR KEY, UID VARCHAR, N INT)"
            " WITH (KAFKA_TOPIC='join.clicks', PARTITIONS=3, VALUE_FORMAT='JSON');"
        )
        people: list[dict[str, Any]] = [{"K": f"u{number}", "NAME": f"Name {number}"} for number in range(20)]
        clicks: list[dict[str, Any]] = [
            {"K": f"c{number % 7}", "UID": f"u{number % 25}", "N": number} for number in range(200)
        ]
        send(broker, "join.users", people)
        send(broker, "join.clicks", clicks)
        client.execute(
            "CREATE STREAM NAMED AS SELECT C.UID AS UID, C.N AS N, U.NAME AS NAME"
            " FROM CLICKS C LEFT JOIN USERS U ON C.UID = U.ID;",
            properties=EARLIEST,
        )
        wanted = {c["N"]: f"Name {c['UID'][1:]}" if int(c["UID"][1:]) < 20 else None for c in clicks}

        def named() -> dict[int, str | None]:
            messages = outputs.read(broker.bootstrap_servers, "NAMED")
            values = [json.loads(message.value() or b"") for message in messages]
            assert len(values) == len({value["N"] for value in values})
            return {value["N"]: value["NAME"] for value in values}

        eventually(named, wanted)
        client.execute("DROP STREAM NAMED; DROP STREAM CLICKS DELETE TOPIC; DROP TABLE USERS DELETE TOPIC;")
