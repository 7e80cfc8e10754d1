"""The job that makes topics and ACLs, on a broker that asks for ACLs."""

# confluent-kafka's admin types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ConfigSource,
    ResourcePatternType,
    ResourceType,
)

from infra.local import artefacts
from infra.local.jvm import jvm_command
from infra.memory import MIB, broker_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
log.dirs=data
offsets.topic.replication.factor=1
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=4194304
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with an authorizer."""
    if not (artefacts.jvm_folder() / "kafka").is_dir():
        pytest.skip("needs Kafka: run scripts/bootstrap")
    folder = tmp_path_factory.mktemp("broker")
    kafka, controller = _free_ports(2)
    (folder / "kafka.properties").write_text(_PROPERTIES.format(kafka=kafka, controller=controller))
    memory = broker_memory(384 * MIB)

    def command(main: str, *arguments: str) -> list[str]:
        return jvm_command("kafka", memory=memory, main=main, arguments=list(arguments), properties={})

    formatting = command("kafka.tools.StorageTool", "format", "-t", "cflightregistertestab", "-c", "kafka.properties")
    subprocess.run([*formatting, "-g"], cwd=folder, check=True, capture_output=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command("kafka.Kafka", "kafka.properties"), cwd=folder, stdout=log, stderr=log)
    try:
        _wait(process, port=kafka, log=folder / "log")
        yield f"127.0.0.1:{kafka}"
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], *, port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}).list_topics(timeout=2)
        except Exception:  # noqa: BLE001 - whatever it says while it starts
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text()[-2000:])


def _register(broker: str, file: Path, wanted: object) -> list[dict[str, Any]]:
    file.write_text(json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-m", "infra.aws.register", str(file)],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _topic(name: str, partitions: int, **configs: str) -> dict[str, object]:
    return {"name": name, "partitions": partitions, "replication_factor": 1, "configs": configs}


def _acl(resource: str, name: str, *operations: str, prefix: bool = False) -> dict[str, object]:
    return {"resource": resource, "name": name, "operations": operations, "prefix": prefix}


def _rights(broker: str, user: str) -> set[tuple[str, str, str, str]]:
    # None is any name or host, though the constructor is declared to take texts only.
    anything: Any = None
    everything = AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        f"User:{user}",
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    admin = AdminClient({"bootstrap.servers": broker})  # its answers come only as long as it lives
    found: list[Any] = admin.describe_acls(everything).result()
    return {(one.restype.name, one.name, one.resource_pattern_type.name, one.operation.name) for one in found}


def _configs(broker: str, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": broker})
    entries = admin.describe_configs([resource])[resource].result()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: entry.value for name, entry in entries.items() if entry.source == own}


def test_topics_and_rights_follow_the_file(broker: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka.json"
    first = {
        "topics": [_topic("rows", 2, **{"retention.ms": "1000000", "cleanup.policy": "compact"})],
        "users": {"ksqldb": [_acl("topic", "rows", "Read", "Describe"), _acl("cluster", "kafka-cluster", "Describe")]},
    }
    said = _register(broker, file, first)
    assert [line["event"] for line in said].count("made") == 1
    assert _configs(broker, "rows") == {"retention.ms": "1000000", "cleanup.policy": "compact"}
    assert _rights(broker, "ksqldb") == {
        ("TOPIC", "rows", "LITERAL", "READ"),
        ("TOPIC", "rows", "LITERAL", "DESCRIBE"),
        ("BROKER", "kafka-cluster", "LITERAL", "DESCRIBE"),
    }

    # Once more: nothing is left to do.
    assert [line["event"] for line in _register(broker, file, first)] == ["done"]

    second = {
        "topics": [_topic("rows", 5, **{"retention.ms": "2000000"})],
        "users": {"ksqldb": [_acl("topic", "row", "Write", prefix=True)]},
    }
    events = {line["event"] for line in _register(broker, file, second)}
    assert events == {"grown", "configured", "allowed", "withdrawn", "done"}
    topics = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10).topics
    assert len(topics["rows"].partitions) == 5
    assert _configs(broker, "rows") == {"retention.ms": "2000000"}
    assert _rights(broker, "ksqldb") == {("TOPIC", "row", "PREFIXED", "WRITE")}


def test_what_others_have_is_not_touched(broker: str, tmp_path: Path) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    others = AclBinding(
        ResourceType.TOPIC,
        "theirs",
        ResourcePatternType.LITERAL,
        "User:somebody",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    for made in admin.create_acls([others]).values():
        made.result()
    file = tmp_path / "kafka.json"
    users = {"registry": [_acl("group", "a-", "All", prefix=True)]}
    _register(broker, file, {"topics": [_topic("ours", 3)], "users": users})
    assert _rights(broker, "somebody") == {("TOPIC", "theirs", "LITERAL", "READ")}
    # Fewer partitions would lose records: the topic stays, and it is said.
    said = _register(broker, file, {"topics": [_topic("ours", 1)], "users": {}})
    assert said[0] == {"event": "kept", "topic": "ours", "partitions": 3, "wanted": 1}
    # Without users in the file, none loses a right.
    assert _rights(broker, "registry") == {("GROUP", "a-", "PREFIXED", "ALL")}


def test_two_at_once_end_the_same(broker: str, tmp_path: Path) -> None:
    wanted = {"topics": [_topic(f"twice-{number}", 2) for number in range(5)], "users": {}}
    file = tmp_path / "kafka.json"
    file.write_text(json.dumps(wanted))
    command = [sys.executable, "-m", "infra.aws.register", str(file)]
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    for process in running:
        process.communicate()
    assert {f"twice-{number}" for number in range(5)} <= AdminClient({"bootstrap.servers": broker}).list_topics(
        timeout=10
    ).topics.keys()


def test_a_refusal_names_the_setting(broker: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka.json"
    file.write_text(json.dumps({"topics": [_topic("bad", 1, **{"no.such.config": "1"})], "users": {}}))
    done = subprocess.run(
        [sys.executable, "-m", "infra.aws.register", str(file)],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "no.such.config" in done.stderr
    assert "Traceback" not in done.stderr
