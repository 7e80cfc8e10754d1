"""How much flows through a stack, and how far each reader is behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from cflight.observe.topics import ReadError, ends_of, partitions_of
from services import contracts

if TYPE_CHECKING:
    from cflight.endpoints import Endpoints

TOPICS = (
    contracts.EVENT_LOG,
    contracts.INCOMING,
    contracts.PAYLOAD,
    contracts.COMPRESSED,
    contracts.CHEAPEST,
    contracts.EVENT_LOG_DLQ,
    contracts.INCOMING_DLQ,
)
_CALL_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What was seen at one moment.

    Attributes:
        time: seconds since the epoch.
        ends: offsets after the last committed records, summed over partitions, by topic. Transaction markers take
            an offset each, too.
        lag: records that a consumer group has not read yet, by group and topic.
    """

    time: float
    ends: dict[str, int]
    lag: dict[str, dict[str, int]]

    def rates(self, before: Flow) -> dict[str, float]:
        """Return offsets a second by topic since an earlier moment.

        Args:
            before: the earlier moment.
        """
        seconds = max(self.time - before.time, 1e-6)
        return {topic: (end - before.ends.get(topic, end)) / seconds for topic, end in self.ends.items()}


class FlowMeter:
    """Looks at a stack's topics and consumer groups.

    Args:
        endpoints: the stack's.

    Raises:
        ReadError: the brokers do not answer, or a topic is not there.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._admin = AdminClient(endpoints.kafka_config(client_id="cflight-watch"))
        # The last offset of what is written in transactions is a marker's: a reader that is 1 behind has read all.
        self._marked = {*TOPICS} - {contracts.EVENT_LOG} - ({contracts.CHEAPEST} if endpoints.ksql_url else set())
        self._partitions = {topic: partitions_of(topic, admin=self._admin) for topic in TOPICS}

    def look(self) -> Flow:
        """Return what flows now.

        Raises:
            ReadError: the brokers do not answer.
        """
        by_topic = {
            topic: ends_of(topic, partitions, admin=self._admin) for topic, partitions in self._partitions.items()
        }
        return Flow(
            time=time.time(),
            ends={topic: sum(ends.values()) for topic, ends in by_topic.items()},
            lag=self._lag(by_topic),
        )

    def _lag(self, by_topic: dict[str, dict[int, int]]) -> dict[str, dict[str, int]]:
        admin: Any = cast("Any", self._admin)
        try:
            listed = admin.list_consumer_groups(request_timeout=_CALL_SECONDS).result(_CALL_SECONDS).valid
            lag: dict[str, dict[str, int]] = {}
            for name in sorted(str(group.group_id) for group in listed):
                asked = [ConsumerGroupTopicPartitions(name)]
                [future] = admin.list_consumer_group_offsets(asked, request_timeout=_CALL_SECONDS).values()
                for place in future.result(_CALL_SECONDS).topic_partitions:
                    if place.topic in by_topic:
                        behind = max(by_topic[place.topic].get(place.partition, 0) - max(place.offset, 0), 0)
                        topics = lag.setdefault(name, {})
                        marker = behind == 1 and place.topic in self._marked
                        topics[place.topic] = topics.get(place.topic, 0) + (0 if marker else behind)
        except (KafkaException, TimeoutError) as error:
            raise ReadError(f"Kafka does not answer: {error}") from None
        return lag
