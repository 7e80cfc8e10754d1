"""Makes topics for benchmarks and tests: nothing in them is deleted for its age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services import contracts

if TYPE_CHECKING:
    from collections.abc import Iterable


def create_topics(servers: str, names: Iterable[str], *, partitions: int) -> None:
    """Make topics that take the longest messages.

    Args:
        servers: the bootstrap servers.
        names: the topics.
        partitions: of each.
    """
    config = {"max.message.bytes": str(contracts.MAX_MESSAGE_BYTES), "retention.ms": "-1"}
    topics = [NewTopic(name, num_partitions=partitions, replication_factor=1, config=config) for name in names]
    admin: Any = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics(topics).values():
        future.result()
