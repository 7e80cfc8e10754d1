"""The records that a query reads, in the order in which its tasks are to see them."""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from ksql.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from confluent_kafka import Message

Place = tuple[str, int]
_BATCH = 2000
# A task with several inputs reads ahead of the one whose records it waits for, but no further than this.
_READ_AHEAD = 10_000


@dataclass(slots=True)
class _Input:
    """One partition of one topic."""

    waiting: deque[Message]
    at_end: bool = False
    paused: bool = False


class Inputs:
    """A consumer of all partitions of a query's topics.

    A task that reads one topic sees its records as they come. A task that reads several sees the oldest first, and
    waits for a topic that has more until its next record is there: so a join finds what was written before, however the
    records arrive.

    Args:
        settings: of a Kafka client.
        group: consumer group that the offsets are committed for.
        topics: partitions by topic.
        queue_kilobytes: what librdkafka may fetch ahead for each partition's queue together.
    """

    def __init__(
        self, *, settings: Mapping[str, Any], group: str, topics: Mapping[str, int], queue_kilobytes: int
    ) -> None:
        consumer_settings: dict[str, Any] = {
            **settings,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 5000,
            "queued.max.messages.kbytes": queue_kilobytes,
        }
        self.consumer = Consumer(consumer_settings)
        self._tasks: dict[int, dict[str, _Input]] = {}
        for topic, partitions in topics.items():
            for number in range(partitions):
                self._tasks.setdefault(number, {})[topic] = _Input(deque())
        self._merging = len(topics) > 1

    def assign(self, offsets: Mapping[Place, int]) -> None:
        """Begin to read at these offsets, and forget what was read before."""
        for inputs in self._tasks.values():
            for entry in inputs.values():
                entry.waiting.clear()
                entry.at_end = entry.paused = False
        self.consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()])

    def read(self, timeout: float) -> Iterable[Message]:
        """Return the next records.

        Args:
            timeout: seconds to wait for the first one.

        Raises:
            ServerError: Kafka refuses to go on.
        """
        first = self.consumer.poll(timeout)
        if first is None:
            return self._ready() if self._merging else ()
        messages = [first, *self.consumer.consume(_BATCH, 0)]
        good = [message for message in messages if message.error() is None]
        if len(good) != len(messages):
            self._handle(messages)
        if not self._merging:
            return good
        for message in good:
            entry = self._tasks[_partition(message)][str(message.topic())]
            entry.waiting.append(message)
            if len(entry.waiting) > _READ_AHEAD and not entry.paused:
                entry.paused = True
                self.consumer.pause([TopicPartition(str(message.topic()), _partition(message))])
        return self._ready()

    @property
    def at_end(self) -> bool:
        """Whether every partition was read to its end."""
        return all(entry.at_end and not entry.waiting for task in self._tasks.values() for entry in task.values())

    def close(self) -> None:
        """Leave Kafka."""
        self.consumer.close()

    def _handle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is None:
                self._tasks[_partition(message)][str(message.topic())].at_end = False
            elif error.code() == KafkaError._PARTITION_EOF:
                self._tasks[_partition(message)][str(message.topic())].at_end = True
            elif error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
                raise ServerError(error.str(), where=f"topic {message.topic()}")
            elif error.fatal():
                raise ServerError(error.str())

    def _ready(self) -> Iterator[Message]:
        for number, inputs in self._tasks.items():
            entries = list(inputs.items())
            while True:
                oldest: _Input | None = None
                stamp, name = 0, ""
                complete = True
                for topic, entry in entries:
                    if entry.waiting:
                        time = entry.waiting[0].timestamp()[1]
                        if oldest is None or time < stamp:
                            oldest, stamp, name = entry, time, topic
                    elif not entry.at_end:
                        complete = False
                if oldest is None or not complete:
                    break
                yield oldest.waiting.popleft()
                if oldest.paused and len(oldest.waiting) < _READ_AHEAD // 2:
                    oldest.paused = False
                    self.consumer.resume([TopicPartition(name, number)])


def _partition(message: Message) -> int:
    return int(message.partition() or 0)
