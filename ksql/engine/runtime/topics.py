"""Topics, their settings and offsets, through Kafka's admin API."""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from ksql.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SECONDS = 30.0
_VISIBLE_SECONDS = 15.0
_NO_LEADER = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """What is known of a topic.

    Args:
        name: of the topic.
        partitions: how many it has.
        replicas: of the first partition.
        replica_info: the number of replicas of each partition.
    """

    name: str
    partitions: int
    replicas: int
    replica_info: tuple[int, ...]


class TopicExistsError(Exception):
    """A topic of that name is already there."""


class Topics:
    """Kafka's topics.

    Args:
        settings: of a Kafka client.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._admin = AdminClient(dict(settings))
        self._settings = settings

    def all(self) -> dict[str, TopicInfo]:
        """Return all topics by name."""
        found = self._admin.list_topics(timeout=_SECONDS).topics
        return {name: _info(name, topic) for name, topic in found.items() if topic.error is None}

    def get(self, name: str) -> TopicInfo | None:
        """Return a topic, or None."""
        return self.all().get(name)

    def create(self, name: str, *, partitions: int, replicas: int, settings: Mapping[str, str]) -> None:
        """Create a topic and wait until it can be used.

        Raises:
            TopicExistsError: there is one of that name.
            ServerError: the broker refuses.
        """
        topic = NewTopic(name, partitions, replicas, config=dict(settings))
        (future,) = self._admin.create_topics([topic], request_timeout=_SECONDS).values()
        try:
            _result(future)
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicExistsError(name) from None
            raise ServerError(cause.str(), where=f"topic {name}") from error
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while self.get(name) is None:
            if time.monotonic() > deadline:
                raise ServerError(f"created, but not visible after {_VISIBLE_SECONDS:.0f} s", where=f"topic {name}")
            time.sleep(0.02)

    def delete(self, names: Iterable[str]) -> None:
        """Delete topics, if they are there, and wait until they are gone."""
        names = [name for name in names if name in self.all()]
        if not names:
            return
        for future in self._admin.delete_topics(names, request_timeout=_SECONDS).values():
            with contextlib.suppress(KafkaException):
                _result(future)
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while set(names) & self.all().keys():
            if time.monotonic() > deadline:
                raise ServerError(f"deleted, but still there after {_VISIBLE_SECONDS:.0f} s", where=", ".join(names))
            time.sleep(0.02)

    def settings(self, name: str) -> dict[str, str]:
        """Return a topic's settings."""
        (future,) = self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
        return {key: entry.value for key, entry in _result(future).items()}

    def ids(self, names: Iterable[str]) -> dict[str, str]:
        """Return the ids of topics; one that was deleted and made again has another."""
        wanted = list(names)
        if not wanted:
            return {}
        futures = self._admin.describe_topics(TopicCollection(wanted), request_timeout=_SECONDS)
        return {name: str(_result(future).topic_id) for name, future in futures.items()}

    def ends(self, names: Iterable[str], *, earliest: bool = False) -> dict[tuple[str, int], int]:
        """Return the end (or the start) of every partition of topics, for readers of committed records."""
        known = self.all()
        spec = OffsetSpec.earliest() if earliest else OffsetSpec.latest()
        wanted: dict[TopicPartition, Any] = {
            TopicPartition(name, number): spec
            for name in names
            if name in known
            for number in range(known[name].partitions)
        }
        if not wanted:
            return {}
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while True:
            futures = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_SECONDS
            )
            try:
                return {(place.topic, place.partition): _result(future).offset for place, future in futures.items()}
            except KafkaException as error:
                # The partitions of a topic that was made a moment ago, or of a broker that has just come back.
                if error.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        """Return a consumer group's committed offsets."""
        (future,) = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        places = _result(future).topic_partitions
        return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}

    def delete_group(self, group: str) -> None:
        """Delete a consumer group, if it is there."""
        # A client of its own: one that has lost the group's coordinator in an outage can wait for it for ever.
        admin = AdminClient(dict(self._settings))
        (future,) = admin.delete_consumer_groups([group], request_timeout=_SECONDS).values()
        with contextlib.suppress(KafkaException):
            _result(future)

    def consumers(self, *, without: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
        """Return how many members of each consumer group read each topic: `topic → [(group, members)]`.

        Args:
            without: groups to leave out.
        """
        left_out = set(without)
        groups = [
            group.group_id
            for group in _result(self._admin.list_consumer_groups()).valid
            if group.group_id not in left_out
        ]
        found: dict[str, list[tuple[str, int]]] = {}
        if not groups:
            return found
        for group, future in self._admin.describe_consumer_groups(groups).items():
            members: dict[str, int] = {}
            for member in _result(future).members:
                for topic in {place.topic for place in member.assignment.topic_partitions}:
                    members[topic] = members.get(topic, 0) + 1
            for topic, count in members.items():
                found.setdefault(topic, []).append((group, count))
        return found

    def cluster_id(self) -> str:
        """Return the id of the Kafka cluster."""
        return str(self._admin.list_topics(timeout=_SECONDS).cluster_id)


def _result(future: Any) -> Any:
    try:
        return future.result(_SECONDS)
    except TimeoutError as error:
        raise ServerError(f"Kafka does not answer within {_SECONDS:.0f} s") from error


def _info(name: str, topic: Any) -> TopicInfo:
    counts = tuple(len(partition.replicas) for _, partition in sorted(topic.partitions.items()))
    return TopicInfo(name, len(counts), counts[0] if counts else 0, counts)
