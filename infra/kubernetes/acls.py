"""What each user of Kafka may do, and nothing more. Derived from the pipeline, whatever sets the ACLs.

An idempotent producer needs no right of its own: since Kafka 3.0, Write on a topic implies it (KIP-679).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra.kubernetes import ksql, registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from infra.contract import Service, Sink, Statements

Operation = Literal[
    "Read",
    "Write",
    "Create",
    "Delete",
    "Alter",
    "Describe",
    "AlterConfigs",
    "DescribeConfigs",
    "IdempotentWrite",
    "All",
]


@dataclass(frozen=True, kw_only=True)
class Acl:
    """A right of a user.

    Attributes:
        resource: what kind of thing.
        name: its name, or what its name begins with; of the cluster, "kafka-cluster".
        prefix: whether `name` is a beginning.
        operations: what the user may do with it.
    """

    resource: Literal["topic", "group", "transactionalId", "cluster"]
    name: str
    operations: Sequence[Operation]
    prefix: bool = False


def service_acls(service: Service) -> list[Acl]:
    """Return a service's rights: its topics, its group, and transactions of its instances.

    Args:
        service: the service; its transactional ids begin with its name and a hyphen.
    """
    acls = [Acl(resource="topic", name=topic, operations=["Read", "Describe"]) for topic in service.reads]
    acls += [Acl(resource="topic", name=topic, operations=["Write", "Describe"]) for topic in service.writes]
    if service.reads:
        acls.append(Acl(resource="group", name=service.name, operations=["Read", "Describe"]))
    if service.reads and service.writes:
        transactions = f"{service.name}-"
        acls.append(Acl(resource="transactionalId", name=transactions, prefix=True, operations=["Write", "Describe"]))
    return acls


def registry_acls() -> list[Acl]:
    """Return the registry's rights: the topics that are its storage, and a group for each of its instances."""
    return [
        *(Acl(resource="topic", name=topic, operations=["Read", "Write", "Describe"]) for topic in registry.TOPICS),
        Acl(resource="group", name=registry.GROUP_PREFIX, prefix=True, operations=["Read", "Describe"]),
    ]


def connect_acls(*, group: str, internal_topics: Iterable[str], sinks: Iterable[Sink]) -> list[Acl]:
    """Return the rights of Connect workers: their own topics and group, and what the sinks read.

    A worker tries to make its topics when it starts. They are there, so it goes on although that is denied.

    Args:
        group: the workers' group.
        internal_topics: the topics of configurations, offsets and status.
        sinks: the connectors; a sink's consumer group is `connect-<name>`.
    """
    sinks = list(sinks)
    own = sorted(internal_topics)
    return [
        *(
            Acl(resource="topic", name=topic, operations=["Read", "Write", "Describe", "DescribeConfigs"])
            for topic in own
        ),
        Acl(resource="group", name=group, operations=["Read", "Describe"]),
        *(
            Acl(resource="topic", name=topic, operations=["Read", "Describe"])
            for topic in sorted({topic for sink in sinks for topic in sink.reads})
        ),
        *(Acl(resource="group", name=f"connect-{sink.name}", operations=["Read", "Describe"]) for sink in sinks),
    ]


def ksql_acls(statements: Iterable[Statements]) -> list[Acl]:
    """Return the ksqlDB server's rights: its own topics, groups and transactions, and what statements read and write.

    Args:
        statements: the folders of statements.
    """
    statements = list(statements)
    reads = sorted({topic for folder in statements for topic in folder.reads})
    writes = sorted({topic for folder in statements for topic in folder.writes})
    deletes: list[Operation] = ["Delete"] if any(folder.delete_topics for folder in statements) else []
    return [
        Acl(resource="cluster", name="kafka-cluster", operations=["Describe", "DescribeConfigs"]),
        *(Acl(resource="topic", name=topic, operations=["Read", "Describe", "DescribeConfigs"]) for topic in reads),
        *(
            Acl(
                resource="topic",
                name=topic,
                operations=["Write", "Create", "Describe", "DescribeConfigs", *deletes],
            )
            for topic in writes
        ),
        Acl(resource="topic", name=ksql.INTERNAL_PREFIX, prefix=True, operations=["All"]),
        Acl(resource="group", name=ksql.INTERNAL_PREFIX, prefix=True, operations=["All"]),
        Acl(resource="transactionalId", name=ksql.INTERNAL_PREFIX, prefix=True, operations=["Write", "Describe"]),
        # The command topic's producer.
        Acl(resource="transactionalId", name=ksql.SERVICE_ID, operations=["Write", "Describe"]),
    ]


def scaler_acls(services: Iterable[Service]) -> list[Acl]:
    """Return the rights of what scales services by their lag: it looks, and touches nothing.

    Args:
        services: the services that it scales.
    """
    reading = [service for service in services if service.reads]
    return [
        *(
            Acl(resource="topic", name=topic, operations=["Describe"])
            for topic in sorted({topic for service in reading for topic in service.reads})
        ),
        *(Acl(resource="group", name=service.name, operations=["Describe"]) for service in reading),
    ]
