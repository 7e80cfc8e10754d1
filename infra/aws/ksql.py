"""ksqlDB: the kubernetes target's server, on EKS and over MSK. It logs in with SCRAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.kubernetes import ksql as component
from infra.memory import format_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from infra.aws.stack import Stack
    from infra.kubernetes.access import HttpAccess, KafkaAccess
    from infra.kubernetes.place import Place

USER = "ksqldb"


def run(
    stack: Stack,
    *,
    place: Place,
    kafka: KafkaAccess,
    registry: HttpAccess,
    clients: Sequence[str],
    after: Sequence[pulumi.Resource],
) -> component.KsqlServer:
    """Declare the stack's ksqlDB server.

    Args:
        stack: the stack.
        place: where it runs.
        kafka: how it reaches Kafka.
        registry: how it reaches the registry.
        clients: the components that use it.
        after: what must be there before.
    """
    topics = stack.settings.topics
    return component.KsqlServer(
        place=place,
        args=component.KsqlArgs(
            kafka=kafka,
            registry=registry,
            memory=stack.settings.ksql.memory,
            storage=format_memory(stack.settings.kubernetes.volumes.ksql),
            replication_factor=topics.replication_factor,
            min_in_sync_replicas=topics.min_in_sync_replicas,
            clients=clients,
        ),
        after=after,
    )
