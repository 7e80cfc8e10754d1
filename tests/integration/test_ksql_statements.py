"""Statements of a folder on a server: applied, changed, spoilt by hand, restored; by the registrar and the resource."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bench.broker import Broker
from infra.errors import NotAvailableError, ResourceError
from infra.provider.handler import Change
from infra.resources.statement import StatementHandler, StatementInputs
from ksql.changes import Action
from ksql.client import KsqlClient, RefusedError
from ksql.registrar import Registrar
from ksql.statements import read_folder
from ksql.testing import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

SOURCE = "CREATE STREAM SRC (K VARCHAR KEY, A INT, B INT) WITH (KAFKA_TOPIC='src', PARTITIONS=1, VALUE_FORMAT='JSON');"
BIG = "CREATE STREAM BIG AS SELECT K, A FROM SRC WHERE A > 10;"
COUNTS = "CREATE TABLE COUNTS AS SELECT K, COUNT(*) AS N FROM BIG GROUP BY K;"
COPY = "INSERT INTO ALL_OF SELECT K, A FROM SRC;"
ALL_OF = "CREATE STREAM ALL_OF (K VARCHAR KEY, A INT) WITH (KAFKA_TOPIC='all.of', PARTITIONS=1, VALUE_FORMAT='JSON');"


class Said:
    """Takes what an operation says."""

    def say(self, _text: str) -> None:
        pass


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    try:
        broker = Broker()
    except NotAvailableError as error:
        pytest.skip(str(error))
    with (
        broker,
        EngineProcess(
            bootstrap_servers=broker.bootstrap_servers,
            schema_registry_url=broker.schema_registry_url,
            folder=tmp_path_factory.mktemp("engine"),
        ) as running,
    ):
        yield running


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[KsqlClient]:
    with KsqlClient(url=engine.url) as made:
        yield made


class Folder:
    """A folder of statements that is written anew for each step."""

    def __init__(self, path: Path, client: KsqlClient) -> None:
        self._path = path
        self._client = client

    def registrar(self, *texts: str, delete_topics: bool = False) -> Registrar:
        (self._path / "all.sql").write_text("\n".join(texts))
        return Registrar(client=self._client, statements=read_folder(self._path), delete_topics=delete_topics)

    def plan(self, *texts: str) -> dict[str, str]:
        return {
            step.name: step.action.value for step in self.registrar(*texts).plan() if step.action is not Action.NONE
        }

    def apply(self, *texts: str) -> None:
        self.registrar(*texts).apply()
        assert self.plan(*texts) == {}, "a second run must find nothing to do"


@pytest.fixture
def folder(tmp_path: Path, client: KsqlClient) -> Iterator[Folder]:
    made = Folder(tmp_path, client)
    yield made
    made.registrar(SOURCE, BIG, COUNTS, ALL_OF, COPY, delete_topics=True).delete()
    for query in client.queries():
        client.execute(f"TERMINATE {query['id']};")
    for name, kind in client.sources().items():
        client.execute(f"DROP {kind} {name} DELETE TOPIC;")


def query_of(client: KsqlClient, sink: str) -> dict[str, Any]:
    return next(query for query in client.queries() if sink in query["sinks"])


def test_a_folder_is_applied_in_order_and_only_once(folder: Folder, client: KsqlClient) -> None:
    everything = (COUNTS, COPY, BIG, ALL_OF, SOURCE)
    assert folder.plan(*everything) == dict.fromkeys(
        ["SRC", "BIG", "COUNTS", "ALL_OF", next(n for n in folder.plan(*everything) if n.startswith("INSERT"))],
        "create",
    )
    assert client.sources() == {}
    folder.apply(*everything)
    before = {query["id"] for query in client.queries()}
    folder.apply(*(text.replace("SELECT", "-- why\n select") for text in everything))
    assert {query["id"] for query in client.queries()} == before


def test_a_change_is_made_in_place_where_ksqldb_can(folder: Folder, client: KsqlClient) -> None:
    folder.apply(SOURCE, BIG, COUNTS)
    before = query_of(client, "BIG")["id"]
    changed = BIG.replace("K, A", "K, A, B").replace("> 10", "> 20")
    assert folder.plan(SOURCE, changed, COUNTS) == {"BIG": "update"}
    folder.apply(SOURCE, changed, COUNTS)
    assert query_of(client, "BIG")["id"] == before
    assert "20" in query_of(client, "BIG")["queryString"]


def test_a_replacement_takes_its_readers_along(folder: Folder, client: KsqlClient) -> None:
    folder.apply(SOURCE, BIG, COUNTS)
    before = {query["id"] for query in client.queries()}
    changed = BIG.replace("K, A", "K, A + B AS A2")
    steps = folder.registrar(SOURCE, changed, COUNTS).plan()
    assert [(step.name, step.action.value) for step in steps] == [
        ("SRC", "none"),
        ("BIG", "replace"),
        ("COUNTS", "replace"),
    ]
    assert "depends on" in steps[2].reason
    folder.apply(SOURCE, changed, COUNTS)
    assert not before & {query["id"] for query in client.queries()}


def test_what_somebody_did_by_hand_is_seen_and_restored(folder: Folder, client: KsqlClient) -> None:
    everything = (SOURCE, BIG, COUNTS, ALL_OF, COPY)
    folder.apply(*everything)
    insert = next(query["id"] for query in client.queries() if query["id"].startswith("INSERT"))
    client.execute(f"TERMINATE {insert};")
    client.execute(f"PAUSE {query_of(client, 'BIG')['id']};")
    client.execute("DROP TABLE COUNTS;")
    assert folder.plan(*everything) == {"BIG": "resume", "COUNTS": "create", insert: "create"}
    folder.apply(*everything)
    client.execute(f"TERMINATE {query_of(client, 'COUNTS')['id']};")
    assert folder.plan(*everything) == {"COUNTS": "replace"}
    folder.apply(*everything)
    client.execute("DROP TABLE COUNTS; CREATE TABLE COUNTS AS SELECT K, MAX(A) AS N FROM BIG GROUP BY K;")
    assert folder.plan(*everything) == {"COUNTS": "replace"}
    folder.apply(*everything)


def test_an_insert_that_changed_leaves_no_old_query(folder: Folder, client: KsqlClient) -> None:
    folder.apply(SOURCE, ALL_OF, COPY)
    folder.apply(SOURCE, ALL_OF, COPY.replace("FROM SRC", "FROM SRC WHERE A > 5"))
    (query,) = client.queries()
    assert "A > 5" in query["queryString"]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("CREATE STREAM X AS SELECT NOPE FROM SRC;", "all.sql:2", "NOPE"),
        ("\n\nCREATE STREAM X AS SELECT * FROM ELSEWHERE;", "all.sql:4", "ELSEWHERE does not exist"),
        ("CREATE STREAM X AS SELECT K, COUNT(*) AS N FROM SRC GROUP BY K;", "all.sql:2", "produces a TABLE"),
        ("CREATE STREAM X AS SELEC;", "all.sql:2", "Syntax"),
    ],
)
def test_a_preview_shows_the_servers_error_with_its_place(
    folder: Folder, client: KsqlClient, text: str, where: str, message: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        folder.registrar(SOURCE, text).plan()
    assert where in str(caught.value)
    assert message in str(caught.value)
    assert client.sources() == {}, "a preview changes nothing"


def test_what_waits_for_a_topic_is_no_error_of_a_preview(folder: Folder) -> None:
    later = SOURCE.replace("PARTITIONS=1, ", "").replace("'src'", "'made.later'")
    steps = {step.name: step for step in folder.registrar(later, BIG).plan()}
    assert steps["SRC"].action is Action.CREATE
    assert "does not exist" in steps["SRC"].warning
    assert steps["BIG"].warning


def test_a_run_that_failed_half_way_goes_on(folder: Folder, client: KsqlClient) -> None:
    broken = "CREATE STREAM OTHER (A INT) WITH (KAFKA_TOPIC='other', VALUE_FORMAT='JSON');"
    with pytest.raises(RefusedError, match=r"all\.sql:3: OTHER: .*'other' does not exist"):
        folder.registrar(SOURCE, BIG, broken).apply()
    assert client.sources() == {"SRC": "STREAM", "BIG": "STREAM"}
    mended = broken.replace("VALUE", "PARTITIONS=1, VALUE")
    assert folder.plan(SOURCE, BIG, mended) == {"OTHER": "create"}
    folder.apply(SOURCE, BIG, mended)


def test_delete_takes_readers_first_and_topics_only_when_asked(folder: Folder, client: KsqlClient) -> None:
    everything = (SOURCE, BIG, COUNTS, ALL_OF, COPY)
    folder.apply(*everything)
    gone = [step.name for step in folder.registrar(*everything).delete()]
    assert gone.index("COUNTS") < gone.index("BIG") < gone.index("SRC")
    assert client.sources() == {}
    names = {topic["name"] for topic in client.execute("SHOW TOPICS;")[0]["topics"]}
    assert {"BIG", "COUNTS", "src"} <= names
    assert folder.registrar(*everything).delete() == []
    folder.apply(*everything)
    folder.registrar(*everything, delete_topics=True).delete()
    names = {topic["name"] for topic in client.execute("SHOW TOPICS;")[0]["topics"]}
    assert not {"BIG", "COUNTS"} & names
    assert {"src", "all.of"} <= names, "topics that no query made are not ours"


def test_the_command_line_says_what_it_does(folder: Folder, client: KsqlClient, tmp_path: Path) -> None:
    folder.registrar(SOURCE, BIG)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ksql.registrar", *arguments, "--server", client.url]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    applied = run("apply", str(tmp_path), "--json")
    assert applied.returncode == 0, applied.stderr
    assert [json.loads(line)["action"] for line in applied.stdout.splitlines()] == ["create", "create"]
    assert "none     stream  BIG" in run("plan", str(tmp_path)).stdout
    (tmp_path / "bad.sql").write_text("CREATE STREAM Y AS SELECT NOPE FROM SRC;")
    refused = run("plan", str(tmp_path))
    assert refused.returncode == 1
    assert "bad.sql:1: Y: " in refused.stderr
    assert "Traceback" not in refused.stderr
    nowhere = run("plan", str(tmp_path / "nowhere"))
    assert "no such folder" in nowhere.stderr


# --- the resource ---


def inputs(client: KsqlClient, text: str, **more: Any) -> StatementInputs:
    return StatementInputs(server_url=client.url, statement=text, where="all.sql:1", **more)


def difference(old: StatementInputs, new: StatementInputs) -> Change:
    return StatementHandler().diff("X", old=old.model_dump(), new=new.model_dump(), outputs={})


def test_the_resource_lives_its_life(folder: Folder, client: KsqlClient) -> None:
    del folder
    handler, said = StatementHandler(), Said()
    source, big = inputs(client, SOURCE), inputs(client, BIG, sources={"SRC": SOURCE})
    assert list(handler.validate(big)) == [], "what it reads need not be there yet"
    (failure,) = handler.validate(inputs(client, "CREATE STREAM B AS SELECT X FROM SRC;", sources={"SRC": SOURCE}))
    assert failure.reason.startswith("all.sql:1: B: ")
    for resource in (source, big):
        made = handler.create(resource, progress=said)  # type: ignore[arg-type]
        assert handler.create(resource, progress=said) == made, "an interrupted run is taken over"  # type: ignore[arg-type]
    state = handler.read("BIG", inputs=big, outputs={})
    assert state is not None
    assert difference(big, StatementInputs(**state.inputs)) == Change()
    client.execute(f"PAUSE {state.outputs['query_ids'][0]};")
    paused = handler.read("BIG", inputs=big, outputs={})
    assert paused is not None
    change = difference(StatementInputs(**paused.inputs), big)
    assert (change.changed, change.replaces) == (["actual"], [])
    handler.update("BIG", old=paused.inputs, new=big, outputs={}, progress=said)  # type: ignore[arg-type]
    assert query_of(client, "BIG")["statusCount"] == {"RUNNING": 1}
    changed = inputs(client, BIG.replace("> 10", "> 11"), sources={"SRC": SOURCE})
    assert difference(big, changed) == Change(changed=["statement"])
    handler.update("BIG", old=big.model_dump(), new=changed, outputs={}, progress=said)  # type: ignore[arg-type]
    client.execute(f"TERMINATE {query_of(client, 'BIG')['id']};")
    terminated = handler.read("BIG", inputs=changed, outputs={})
    assert terminated is not None
    assert difference(StatementInputs(**terminated.inputs), changed).replaces == ["actual"]
    with pytest.raises(ResourceError, match="Cannot drop SRC"):
        handler.delete("SRC", inputs=source, outputs={}, progress=said)  # type: ignore[arg-type]
    for name, resource in (("BIG", changed), ("SRC", source)):
        handler.delete(name, inputs=resource, outputs={}, progress=said)  # type: ignore[arg-type]
        handler.delete(name, inputs=resource, outputs={}, progress=said)  # type: ignore[arg-type]
        assert handler.read(name, inputs=resource, outputs={}) is None


def test_a_reader_is_replaced_with_what_it_reads_and_only_then(client: KsqlClient) -> None:
    reader = inputs(client, COUNTS, sources={"BIG": BIG})
    in_place = inputs(client, COUNTS, sources={"BIG": BIG.replace("> 10", "> 20")})
    replaced = inputs(client, COUNTS, sources={"BIG": BIG.replace("K, A", "K, B AS A2")})
    assert difference(reader, in_place) == Change()
    assert difference(reader, replaced).replaces == ["sources"]
    unknown = reader.model_dump() | {"sources": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}
    assert StatementHandler().diff("COUNTS", old=reader.model_dump(), new=unknown, outputs={}).replaces == ["sources"]
