"""The pipeline on the local target: every resource that it declares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from cflight.memory_limit import physical_memory
from infra.__main__ import declare as program
from infra.local import artefacts
from infra.memory import MIB
from services import contracts
from tests.program.recording import Program, declare

if TYPE_CHECKING:
    from pathlib import Path

TOPIC, SCHEMA, BUCKET = "cflight:kafka:Topic", "cflight:registry:Schema", "cflight:s3:Bucket"
CONNECTOR, STATEMENT, PROCESS = "cflight:connect:Connector", "cflight:ksql:Statement", "cflight:local:Process"
PARTS = {"kafka", "registry", "connect", "s3"}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders where the bootstrap would have put the parts; a program test runs none of them."""
    monkeypatch.setenv("CFLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CFLIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    for folder in (
        *(artefacts.jvm_folder() / part for part in ("kafka", "connect", "registry")),
        artefacts.sink_folder(),
    ):
        folder.mkdir(parents=True)
    for file in (artefacts.go_binary("versitygw"), tmp_path / "jdk" / "bin" / "java"):
        file.parent.mkdir(parents=True)
        file.touch()


def _outputs(kind: str, _name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    if kind == "cflight:local:Ports":
        return {"ports": {port: 20000 + number for number, port in enumerate(inputs["names"])}}
    if kind == "cflight:random:Secret":
        return {"value": "hush"}
    return {}


def local(**settings: object) -> Program:
    config: dict[str, object] = {"cflight:target": "local"}
    return declare(
        program,
        stack="trial",
        config=config | {f"cflight:{key}": value for key, value in settings.items()},
        outputs=_outputs,
    )


def test_the_parts_are_supervised_processes() -> None:
    declared = local(cheapestEngine="service")
    supervisor = declared.one("cflight:local:Supervisor", "supervisor")
    assert supervisor.inputs["stack"] == "trial"
    processes = declared.of(PROCESS)
    services = {"ingest-0", "transform-0", "cheapest-0", "compressor-0"}
    assert processes.keys() == PARTS | services
    for process in processes.values():
        assert process.inputs["folder"] == supervisor.inputs["folder"]
        assert process.options["deleted_with"] == "supervisor"
        assert process.inputs["ready"].keys() & {"url", "brokers"}


def test_every_part_has_the_limit_of_its_settings() -> None:
    declared = local(kafka={"memory": "768Mi"}, services={"transform": {"memory": "192Mi"}})
    processes = declared.of(PROCESS)
    assert processes["kafka"].inputs["memory"] == 768 * MIB
    assert f"-Xmx{384 * 1024}k" in processes["kafka"].inputs["command"]
    assert processes["transform-0"].inputs["memory"] == 192 * MIB


def test_everything_listens_on_loopback() -> None:
    declared = local()
    processes = declared.of(PROCESS)
    assert "listeners=PLAINTEXT://127.0.0.1:" in processes["kafka"].inputs["files"]["kafka.properties"]
    assert "listeners=http://127.0.0.1:" in processes["connect"].inputs["files"]["connect.properties"]
    assert processes["registry"].inputs["environment"]["QUARKUS_HTTP_HOST"] == "127.0.0.1"
    assert processes["registry"].inputs["environment"]["QUARKUS_MANAGEMENT_HOST"] == "127.0.0.1"
    assert processes["ingest-0"].inputs["environment"]["HTTP_HOST"] == "127.0.0.1"
    command = processes["s3"].inputs["command"]
    assert command[command.index("--port") + 1].startswith("127.0.0.1:")


def test_the_s3_secret_is_a_secret_and_in_no_argument() -> None:
    declared = local()
    assert declared.one("cflight:random:Secret", "s3-secret").options["additional_secrets"] == ["value"]
    for name in ("s3", "connect"):
        assert "environment" in declared.one(PROCESS, name).secrets
    assert declared.one(BUCKET, "quotes").secrets == {"secret_key"}
    for process in declared.of(PROCESS).values():
        assert "hush" not in json.dumps([process.inputs["command"], process.inputs["files"]])
    for connector in declared.of(CONNECTOR).values():
        assert "hush" not in json.dumps(connector.inputs["config"])


def test_topics() -> None:
    declared = local(topics={"partitions": 3})
    topics = declared.of(TOPIC)
    large = {contracts.EVENT_LOG, contracts.EVENT_LOG_DLQ, contracts.PAYLOAD, contracts.COMPRESSED}
    small = {contracts.INCOMING, contracts.INCOMING_DLQ, contracts.CHEAPEST}
    assert topics.keys() == large | small
    for name, topic in topics.items():
        assert topic.inputs["topic"] == name
        assert topic.inputs["partitions"] == 3
        assert topic.after >= {"kafka"}
        assert ("max.message.bytes" in topic.inputs["configs"]) == (name in large)
    cheapest, incoming = (topics[name].inputs["configs"] for name in (contracts.CHEAPEST, contracts.INCOMING))
    assert cheapest["cleanup.policy"] == "compact,delete"
    # ksqlDB takes no topic whose retention is not that of what it reads.
    assert cheapest["retention.ms"] == incoming["retention.ms"]


def test_schemas() -> None:
    schemas = local(registry={"compatibility": "FULL"}).of(SCHEMA)
    assert schemas.keys() == {"cflight.incoming-value", "CHEAPEST_FLIGHT-value"}
    row = schemas["cflight.incoming-value"]
    assert row.inputs["compatibility"] == "FULL"
    assert row.inputs["definition"] == json.dumps(json.loads(contracts.ROW_SCHEMA))
    assert row.after >= {"registry"}


def test_services_come_after_the_topics_and_schemas_that_they_use() -> None:
    declared = local(cheapestEngine="service")
    transform = declared.one(PROCESS, "transform-0")
    assert transform.after >= {
        contracts.EVENT_LOG, contracts.PAYLOAD, contracts.INCOMING, contracts.INCOMING_DLQ, "cflight.incoming-value",
    }  # fmt: skip
    environment = transform.inputs["environment"]
    assert environment["KAFKA_BOOTSTRAP_SERVERS"].startswith("127.0.0.1:")
    assert environment["SCHEMA_REGISTRY_URL"].endswith("/apis/ccompat/v7")


def test_replicas_are_processes_with_ports_and_names_of_their_own() -> None:
    processes = local(services={"transform": {"replicas": 2}}).of(PROCESS)
    first, second = (processes[name].inputs["environment"] for name in ("transform-0", "transform-1"))
    assert first["HTTP_PORT"] != second["HTTP_PORT"]
    assert first["INSTANCE_ID"] != second["INSTANCE_ID"]


def test_the_code_of_a_service_is_an_input_of_its_own_processes_only() -> None:
    processes = local().of(PROCESS)
    codes = {processes[name].inputs["code"] for name in ("ingest-0", "transform-0", "compressor-0")}
    assert len(codes) == 3


def test_the_ingest_token_is_a_secret() -> None:
    ingest = local(services={"ingest": {"token": "hush"}}).one(PROCESS, "ingest-0")
    assert ingest.inputs["environment"]["INGEST_TOKEN"] == "hush"
    assert "environment" in ingest.secrets


def test_sinks_write_to_the_buckets_of_the_stack() -> None:
    declared = local(sinks={"batchcompress.sink": {"flushSize": 20, "partSize": "8Mi"}}, buckets={"batches": "mine"})
    sinks = declared.of(CONNECTOR)
    assert sinks.keys() == {"cflight.sink", "batchcompress.sink"}
    config = sinks["batchcompress.sink"].inputs["config"]
    assert config["s3.bucket.name"] == "mine"
    assert config["flush.size"] == "20"
    assert config["s3.part.size"] == str(8 * MIB)
    assert config["store.url"].startswith("http://127.0.0.1:")
    assert sinks["cflight.sink"].inputs["config"]["flush.size"] == "1"
    assert sinks["batchcompress.sink"].after >= {"connect", "batches", contracts.COMPRESSED}


def test_statements_run_where_ksql_finds_the_cheapest() -> None:
    declared = local(cheapestEngine="ksql")
    assert {"ksql"} <= declared.of(PROCESS).keys()
    assert "cheapest-0" not in declared.of(PROCESS)
    statements = declared.of(STATEMENT)
    assert {one.rpartition("-")[2] for one in statements} == {"CFLIGHT", "CHEAPEST_FLIGHT"}
    table = next(one for name, one in statements.items() if name.endswith("CHEAPEST_FLIGHT"))
    assert any(name.endswith("CFLIGHT") for name in table.after)


def test_without_ksql_there_is_no_server_and_no_statement() -> None:
    declared = local(cheapestEngine="service")
    assert not declared.of(STATEMENT)
    assert "ksql" not in declared.of(PROCESS)
    assert "cheapest-0" in declared.of(PROCESS)


def test_an_external_server_is_used_and_none_started() -> None:
    declared = local(ksql={"server": "external", "url": "http://ksql.example:8088"})
    assert "ksql" not in declared.of(PROCESS)
    assert {one.inputs["server_url"] for one in declared.of(STATEMENT).values()} == {"http://ksql.example:8088"}


def test_what_holds_data_is_protected_where_the_stack_says_so() -> None:
    declared = local(protect=True)
    for kind in (TOPIC, BUCKET):
        assert all(one.options["protect"] for one in declared.of(kind).values())
    assert not any(one.options["protect"] for one in declared.of(PROCESS).values())


def test_parts_that_do_not_fit_the_machine_are_refused_with_the_sum() -> None:
    with pytest.raises(pulumi.RunError, match=r"kafka .* = .* MiB, but this machine has"):
        local(kafka={"memory": str(physical_memory())})


def test_sinks_that_do_not_fit_the_worker_are_refused_with_the_sum() -> None:
    with pytest.raises(pulumi.RunError, match=r"open files .* fetched records .* = .* but the heap of a worker is"):
        local(sinks={"batchcompress.sink": {"partSize": "200Mi"}})


def test_a_wrong_setting_is_refused_without_a_traceback() -> None:
    with pytest.raises(pulumi.RunError, match=r"cflight:kafka\.memory: 'lots'"):
        local(kafka={"memory": "lots"})


def test_an_unknown_sink_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"there is no sink nowhere\.sink"):
        local(sinks={"nowhere.sink": {"flushSize": 1}})


def test_a_part_that_is_not_installed_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CFLIGHT_CACHE", str(tmp_path / "empty"))
    with pytest.raises(pulumi.RunError, match="scripts/bootstrap"):
        local()
