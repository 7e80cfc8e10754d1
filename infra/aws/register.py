"""Brings topics and ACLs of a Kafka cluster to what a file says: `python -m infra.aws.register FILE`.

Runs in the cluster, in the services' image, and may run any number of times. How it reaches Kafka it reads from the
environment, as the services do. What it does:

- a topic that is not there is made; one with fewer partitions grows; configs are set, and those that were set before
  and are no longer named go back to the broker's default. Topics are never deleted, nor made anew with fewer
  partitions: both would lose records.
- a user has exactly the ACLs of the file; of users that the file does not name it touches nothing. The brokers are
  let to read whatever has ACLs, which MSK needs to replicate it.

It writes a JSON line for everything that it changes.
"""

# confluent-kafka's admin types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from pydantic import BaseModel, ConfigDict, ValidationError

from cflight.errors import CflightError
from infra.errors import ResourceError
from services.kafka import client_config
from services.settings import KafkaSettings, load

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 30.0
_READY_SECONDS = 120.0
_POLL_SECONDS = 0.2
_CLUSTER = "kafka-cluster"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
    # What Kafka's protocol calls cluster, librdkafka calls broker.
    "cluster": ResourceType.BROKER,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Alter": AclOperation.ALTER,
    "Describe": AclOperation.DESCRIBE,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "IdempotentWrite": AclOperation.IDEMPOTENT_WRITE,
    "All": AclOperation.ALL,
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TopicEntry(_Model):
    """A topic that shall be."""

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


class AclEntry(_Model):
    """A right that a user shall have."""

    resource: Literal["topic", "group", "transactionalId", "cluster"]
    name: str
    operations: list[str]
    prefix: bool


class Wanted(_Model):
    """What the file says."""

    topics: list[TopicEntry]
    users: dict[str, list[AclEntry]]


def register(wanted: Wanted, *, admin: AdminClient, brokers: str | None) -> None:
    """Bring topics and ACLs to what is wanted.

    Args:
        wanted: what shall be.
        admin: a client of the cluster.
        brokers: the brokers' own principal; None where they need no ACL.

    Raises:
        ResourceError: the cluster refuses something.
    """
    try:
        _topics(wanted.topics, admin=admin)
        if wanted.users:
            _acls(wanted, admin=admin, brokers=brokers)
    except KafkaException as error:
        failure: KafkaError = error.args[0]
        raise ResourceError(
            f"{failure.name()}: {failure.str()}",
            where="Kafka",
            remedy="Check that the job's role may do this, and that the brokers take the topic's configs.",
        ) from error


def broker_principal(bootstrap_servers: str) -> str | None:
    """Return the principal of MSK's brokers: the name in their certificate, which is theirs all.

    Args:
        bootstrap_servers: the cluster's addresses, `b-1.<cluster>.<id>.c<n>.kafka.<region>.amazonaws.com:<port>,…`.

    Returns:
        The principal; None if these are not MSK's.
    """
    host = bootstrap_servers.split(",", maxsplit=1)[0].rpartition(":")[0]
    _, _, domain = host.partition(".")
    return f"User:CN=*.{domain}" if ".kafka." in f".{domain}" and ".amazonaws.com" in domain else None


def _topics(topics: Sequence[TopicEntry], *, admin: AdminClient) -> None:
    there = admin.list_topics(timeout=_SECONDS).topics
    for topic in topics:
        found = there.get(topic.name)
        if found is None:
            _create(topic, admin=admin)
            continue
        if len(found.partitions) < topic.partitions:
            grown = [NewPartitions(topic.name, topic.partitions)]
            admin.create_partitions(grown, operation_timeout=_SECONDS)[topic.name].result()
            _say("grown", topic=topic.name, partitions=topic.partitions)
        elif len(found.partitions) > topic.partitions:
            _say("kept", topic=topic.name, partitions=len(found.partitions), wanted=topic.partitions)
        _configure(topic, admin=admin)
    _wait_for_leaders(topics, admin=admin)


def _wait_for_leaders(topics: Sequence[TopicEntry], *, admin: AdminClient) -> None:
    # What runs after this job reads and writes at once: the brokers must all know of the topics by then.
    start = time.monotonic()
    while missing := _leaderless(topics, admin=admin):
        if time.monotonic() - start > _READY_SECONDS:
            raise ResourceError(
                f"partitions without a leader after {_READY_SECONDS:.0f} s: {', '.join(missing)}",
                where="Kafka",
                remedy="Check that the brokers are all up, then run again.",
            )
        time.sleep(_POLL_SECONDS)


def _leaderless(topics: Sequence[TopicEntry], *, admin: AdminClient) -> list[str]:
    there = admin.list_topics(timeout=_SECONDS).topics
    return [
        topic.name
        for topic in topics
        if topic.name not in there
        or sum(one.leader >= 0 for one in there[topic.name].partitions.values()) < topic.partitions
    ]


def _create(topic: TopicEntry, *, admin: AdminClient) -> None:
    new = NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication_factor,
        config=topic.configs,
    )
    try:
        admin.create_topics([new], operation_timeout=_SECONDS)[topic.name].result()
    except KafkaException as error:
        # Another run has made it at the same time.
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    _say("made", topic=topic.name, partitions=topic.partitions)


def _configure(topic: TopicEntry, *, admin: AdminClient) -> None:
    resource = ConfigResource(ResourceType.TOPIC, topic.name)
    entries = admin.describe_configs([resource], request_timeout=_SECONDS)[resource].result()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    before = {name: entry.value for name, entry in entries.items() if entry.source == own}
    changes = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in topic.configs.items()
        if before.get(name) != value
    ] + [
        ConfigEntry(name, "", incremental_operation=AlterConfigOpType.DELETE)
        for name in before.keys() - topic.configs.keys()
    ]
    if changes:
        altered = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=changes)
        admin.incremental_alter_configs([altered], request_timeout=_SECONDS)[altered].result()
        _say("configured", topic=topic.name, configs={entry.name: entry.value or None for entry in changes})


def _acls(wanted: Wanted, *, admin: AdminClient, brokers: str | None) -> None:
    entries = [(f"User:{user}", entry) for user, acls in wanted.users.items() for entry in acls]
    shall = {binding for user, entry in entries for binding in _bindings(user, entry)}
    if brokers is not None:
        # A resource with ACLs is open to nobody else, not even to those that replicate it.
        readable = [
            entry.model_copy(update={"operations": ["Read", "Describe"]})
            for _, entry in entries
            if entry.resource in {"topic", "group"}
        ]
        shall |= {binding for entry in readable for binding in _bindings(brokers, entry)}
    users = [*(f"User:{user}" for user in wanted.users), *([brokers] if brokers else [])]
    there = {binding for user in users for binding in _describe(user, admin=admin)}
    # First those that are new: a user must not lose for a moment what it has and shall have.
    missing, stale = list(shall - there), list(there - shall)
    if missing:
        for binding, made in admin.create_acls(missing, request_timeout=_SECONDS).items():
            made.result()
            _say("allowed", **_told(binding))
    if stale:
        for filtered, gone in admin.delete_acls([_exactly(binding) for binding in stale]).items():
            gone.result()
            _say("withdrawn", **_told(filtered))


def _bindings(principal: str, entry: AclEntry) -> list[AclBinding]:
    pattern = ResourcePatternType.PREFIXED if entry.prefix else ResourcePatternType.LITERAL
    name = _CLUSTER if entry.resource == "cluster" else entry.name
    return [
        AclBinding(
            _RESOURCES[entry.resource], name, pattern, principal, "*", _OPERATIONS[operation], AclPermissionType.ALLOW
        )
        for operation in entry.operations
    ]


def _describe(principal: str, *, admin: AdminClient) -> list[AclBinding]:
    # None is any name or host, though the constructor is declared to take texts only.
    anything: Any = None
    everything = AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        principal,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    return admin.describe_acls(everything, request_timeout=_SECONDS).result()


def _exactly(binding: Any) -> AclBindingFilter:  # its attributes are declared as what its constructor takes
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def _told(binding: Any) -> dict[str, Any]:
    return {
        "user": binding.principal,
        "resource": binding.restype.name.lower(),
        "name": binding.name,
        "pattern": binding.resource_pattern_type.name.lower(),
        "operation": binding.operation.name.lower(),
    }


def _say(what: str, **details: Any) -> None:
    sys.stdout.write(json.dumps({"event": what, **details}) + "\n")
    sys.stdout.flush()


def _read(path: Path) -> Wanted:
    try:
        return Wanted.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CflightError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except ValidationError as error:
        raise CflightError(f"is not what this command reads: {error}", where=str(path)) from None


def main(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: the file.

    Returns:
        The exit code.
    """
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m infra.aws.register FILE\n")
        return 2
    try:
        settings = load(KafkaSettings, environ=os.environ)
        wanted = _read(Path(arguments[0]))
        admin = AdminClient({**client_config(settings, client_id="register"), "log_level": 3})
        # With a callback that fetches the token, the client logs in only when it is polled.
        admin.poll(0)
        register(wanted, admin=admin, brokers=broker_principal(settings.kafka_bootstrap_servers))
    except CflightError as error:
        sys.stderr.write(f"register: {error}\n")
        return 1
    _say("done", topics=len(wanted.topics), users=len(wanted.users))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
