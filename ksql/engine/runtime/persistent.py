"""A persistent query: reads, processes and writes in Kafka transactions, on a thread of its own."""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import shutil
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from cflight.errors import CflightError
from ksql.engine.metastore import WindowType
from ksql.engine.runtime.inputs import Inputs, Place
from ksql.engine.runtime.partitioning import partition_of
from ksql.engine.runtime.pipeline import Output, Pipeline
from ksql.engine.runtime.stores import Change, make_state
from ksql.errors import FatalRecordError, RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ksql.engine.operators.protocol import Record
    from ksql.engine.operators.topology import Node, SourceReader
    from ksql.engine.runtime.planning import PlannedQuery
    from ksql.engine.runtime.stores import TaskState
    from ksql.engine.runtime.topics import Topics

_log = logging.getLogger(__name__)
_SECONDS = 60.0
# Without a cache nothing is gained by waiting, but a transaction for every record would be slow.
_MIN_COMMIT_SECONDS = 0.05
_RESTORE_BATCH = 5000
# A broker may be away for so long before a transaction has to be done again; a successor does not wait for it.
_TRANSACTION_MS = 300_000
_MOST_FAILURES = 20
# Records that are processed before others may look at the state, and before the buffer is looked at.
_AT_ONCE = 256
# A call that hangs on a connection which an outage has broken is made anew after so long.
_CALL_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_POSITIONS = b"\xff\xffpositions"


class QueryState(StrEnum):
    """What a query is doing, in ksqlDB's words."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    ERROR = "ERROR"
    NOT_RUNNING = "NOT_RUNNING"


@dataclass(frozen=True, kw_only=True)
class QuerySettings:
    """How queries run.

    Attributes:
        kafka: settings of a Kafka client.
        prefix: of the names of groups, internal topics and transactional ids.
        folder: for state.
        replicas: of internal topics.
        block_cache_bytes: of RocksDB, for each query.
        write_buffer_bytes: of RocksDB, for each query.
        queue_kilobytes: what may be fetched ahead.
        pending_entries: after so many changed entries a query commits early.
    """

    kafka: Mapping[str, Any]
    prefix: str
    folder: Path
    replicas: int
    block_cache_bytes: int
    write_buffer_bytes: int
    queue_kilobytes: int
    pending_entries: int


@dataclass(kw_only=True)
class Counters:
    """What a query has done since the server started.

    Attributes:
        consumed: records read.
        produced: records written to the sink.
        skipped: records that could not be read or written.
        last_ms: wall-clock time of the last record written, in milliseconds.
        started: monotonic seconds when the query started.
    """

    consumed: int = 0
    produced: int = 0
    skipped: int = 0
    last_ms: int = 0
    started: float = field(default_factory=time.monotonic)


class PersistentQuery:
    """A query that runs until it is terminated.

    Args:
        planned: what it does; its id names the group and the internal topics.
        partitions: of every topic that it reads, and of the sink.
        settings: how queries run.
        topics: for internal topics and offsets.
        commit_seconds: updates of one key within it are merged.
        caching: whether they are merged at all.
        earliest: whether it begins with the oldest record of a stream that it never read, or with the next one.
    """

    def __init__(
        self,
        *,
        planned: PlannedQuery,
        partitions: Mapping[str, int],
        settings: QuerySettings,
        topics: Topics,
        commit_seconds: float,
        caching: bool,
        earliest: bool,
    ) -> None:
        self.query_id = query_id = planned.query_id
        self.topology = topology = planned.topology
        self.group = f"{settings.prefix}query_{query_id}"
        self.counters = Counters()
        self.error: str | None = None
        self.lock = threading.Lock()
        self._partitions = partitions
        self._settings = settings
        self._topics = topics
        self._commit_seconds = commit_seconds
        self._earliest = earliest
        self._sources = {source.topic: partitions[source.topic] for source in topology.sources}
        self._tasks = max(self._sources.values())
        self._database = self._open_database() if topology.stores else None
        self.states: list[TaskState] = [
            make_state(topology.stores, partition=number, database=self._database) for number in range(self._tasks)
        ]
        output = Output(sink=self._produce)
        self._pipeline = Pipeline(
            topology, states=self.states, output=output, caching=caching, registry=planned.registry
        )
        self.task_of = planned.placement(self._tasks)
        # Behind a key stand the start of its window, or of a session the end and the start.
        session = planned.window is not None and planned.window.type is WindowType.SESSION
        self._window_bytes = 16 if session else 8
        self._readers: dict[Place, list[tuple[SourceReader, Any]]] = {}
        for index, source in enumerate(topology.sources):
            for number in range(self._sources[source.topic]):
                entry = (source.reader, self._pipeline.sources[number][index])
                self._readers.setdefault((source.topic, number), []).append(entry)
        self._producer = self._new_producer()
        self._inputs = Inputs(
            settings=settings.kafka, group=self.group, topics=self._sources, queue_kilobytes=settings.queue_kilobytes
        )
        self._offsets: dict[Place, int] = {}
        self._moved: dict[Place, int] = {}
        self._positions: dict[Place, int] = {}
        self._read: set[Place] = set()
        self._topic_ids: dict[str, str] = {}
        self._dirty = False
        self._failures = 0
        self._paused = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=query_id, daemon=True)

    def _new_producer(self) -> Producer:
        settings: dict[str, Any] = {
            **self._settings.kafka,
            "transactional.id": self.group,
            "transaction.timeout.ms": _TRANSACTION_MS,
            # A broker that has just come back may say that a partition has no leader; that is asked again soon.
            "topic.metadata.refresh.interval.ms": 2000,
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "message.max.bytes": 16 * 1024 * 1024,
            "queue.buffering.max.kbytes": self._settings.queue_kilobytes,
        }
        return Producer(settings)

    # --- life ---

    def prepare(self) -> None:
        """Make the internal topics, take over from an earlier run, and settle where to begin to read.

        Afterwards no record that is written to a source will be missed.
        """
        for name, task_count in ((self._changelog(spec.name), self._tasks) for spec in self.topology.stores):
            if self._topics.get(name) is None:
                keep = {"cleanup.policy": "compact", "retention.ms": "-1", "max.message.bytes": str(16 * 1024 * 1024)}
                self._topics.create(name, partitions=task_count, replicas=self._settings.replicas, settings=keep)
        self._producer.init_transactions(_SECONDS)
        self._settle()

    def start(self, *, paused: bool = False) -> None:
        """Begin to process; `prepare` must have been called."""
        self._paused = paused
        self._thread.start()

    def pause(self) -> None:
        """Stop reading; what was read is finished and committed."""
        self._paused = True

    def resume(self) -> None:
        """Go on reading."""
        self._paused = False

    def stop(self) -> None:
        """Finish what was read, commit it and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        else:
            self._close()

    def remove(self) -> None:
        """Delete everything that the query kept in Kafka and on the disk; it must have been stopped."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._topics.delete([self._changelog(spec.name) for spec in self.topology.stores])
        self._topics.delete_group(self.group)

    @property
    def state(self) -> QueryState:
        """What it is doing."""
        if self.error is not None:
            return QueryState.ERROR
        return QueryState.PAUSED if self._paused else QueryState.RUNNING

    def progress(self) -> dict[Place, tuple[int, int]]:
        """Return the offset of the last record and the committed offset of every partition; -1 for none."""
        offsets = self._offsets | self._moved
        return {
            place: (offset - 1, self._offsets[place]) if place in self._read else (-1, -1)
            for place, offset in offsets.items()
        }

    # --- the thread ---

    def _run(self) -> None:
        try:
            with self.lock:
                self._restore()
            self._inputs.assign(self._offsets)
            self._producer.begin_transaction()
            while not self._stopping.is_set():
                try:
                    self._work()
                except KafkaException as error:
                    # Fatal is above all that another server has taken over.
                    self._failures += 1
                    if error.args[0].fatal() or self._failures > _MOST_FAILURES or self._stopping.is_set():
                        raise
                    _log.warning("query %s begins anew: %s", self.query_id, error.args[0].str())
                    self._begin_anew()
        except FatalRecordError as error:
            self._fail(f"a record stopped the query: {error}")
        except KafkaException as error:
            self._fail(error.args[0].str())
        except CflightError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - the thread's outermost handler: the query says what stopped it
            _log.exception("query %s stopped", self.query_id)
            self._fail(f"{type(error).__name__}: {error}")
        finally:
            self._close()

    def _work(self) -> None:
        last_commit = time.monotonic()
        while not self._stopping.is_set():
            last_commit = self._round(last_commit)
        self._commit()

    def _begin_anew(self) -> None:
        """Go back to the last commit with another producer: what the old one has open is aborted.

        Whether its last transaction was committed is asked of Kafka: the answer may have been what was lost.
        """
        self._stopping.wait(min(_PAUSE_SECONDS * self._failures, _LONGEST_PAUSE_SECONDS))
        self._producer = self._new_producer()
        self._insist(self._producer.init_transactions)
        self._offsets |= self._topics.group_offsets(self.group)
        self._forget()
        with self.lock:
            self._restore()
        self._producer.begin_transaction()

    def _round(self, last_commit: float) -> float:
        if self._paused:
            self._stopping.wait(0.05)
            messages: Iterator[Any] = iter(())
        else:
            wait = self._commit_seconds if not self._dirty else 0.02
            messages = iter(self._inputs.read(min(wait, 0.1)))
        busy = False
        while self._process_some(messages):
            busy = True
            # The buffer is full. Where that fails, what is left of these messages will be read again.
            if self._pending >= self._settings.pending_entries and not self._commit_or_roll_back():
                return time.monotonic()
        elapsed = time.monotonic() - last_commit
        due = elapsed >= self._commit_seconds or self._paused
        if not self._pipeline.caches and not busy:
            due = due or elapsed >= _MIN_COMMIT_SECONDS
        if due and (self._dirty or self._moved):
            self._commit_or_roll_back()
            return time.monotonic()
        return last_commit

    def _process_some(self, messages: Iterator[Any]) -> bool:
        """Process the next messages, and return whether there were any; pull queries wait meanwhile."""
        with self.lock:
            count = 0
            for message in itertools.islice(messages, _AT_ONCE):
                self._process(message)
                count += 1
        return count > 0

    def _process(self, message: Any) -> None:
        place = (message.topic(), message.partition())
        offset = message.offset()
        headers = message.headers()
        self._moved[place] = offset + 1
        self._read.add(place)
        self.counters.consumed += 1
        for reader, push in self._readers[place]:
            try:
                record = reader.read(
                    message.key(),
                    message.value(),
                    message.timestamp()[1],
                    place[1],
                    offset,
                    () if headers is None else tuple(headers),
                )
                if record is not None:
                    push(record)
            except RecordError as error:
                self._skip(f"{place[0]}[{place[1]}]@{offset}", error)

    def _produce(self, record: Record, node: Node) -> None:
        sink = node.sink
        if sink is None:
            return
        try:
            key, value, timestamp = sink.write(record)
        except RecordError as error:
            self._skip(sink.topic, error)
            return
        count = self._partitions[sink.topic]
        if key is None:
            self._send(sink.topic, value=value, timestamp=timestamp)
        else:
            # The windows of a key lie together, so the window at the end of the bytes does not count.
            plain = key if record.window is None else key[: -self._window_bytes]
            place = partition_of(plain, count) if count > 1 else 0
            self._send(sink.topic, key=key, value=value, timestamp=timestamp, partition=place)
        self.counters.produced += 1
        self.counters.last_ms = int(time.time() * 1000)
        self._dirty = True

    def _send(self, topic: str, **record: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, **record)
            except BufferError:
                # The queue is full: wait until the broker has taken something.
                self._producer.poll(0.05)
            else:
                return

    def _skip(self, where: str, error: Exception) -> None:
        self.counters.skipped += 1
        _log.warning("query %s skipped a record of %s: %s", self.query_id, where, error)

    # --- transactions ---

    @property
    def _pending(self) -> int:
        return sum(state.pending for state in self.states) if self._database is not None else 0

    def _commit_or_roll_back(self) -> bool:
        """Commit, and return whether that was possible; if not, everything since the last commit will be done again."""
        try:
            self._commit()
        except KafkaException as error:
            self._failures += 1
            if not error.args[0].txn_requires_abort() or self._failures > _MOST_FAILURES:
                raise
            _log.warning("query %s repeats a transaction: %s", self.query_id, error.args[0].str())
            self._roll_back()
            self._stopping.wait(min(_PAUSE_SECONDS * self._failures, _LONGEST_PAUSE_SECONDS))
        else:
            self._failures = 0
        self._producer.begin_transaction()
        return not self._failures

    def _insist(self, call: Callable[..., object], *arguments: object) -> None:
        """Call the producer until Kafka answers; a broker that is away for some time is no reason to give up."""
        while True:
            try:
                call(*arguments, _CALL_SECONDS)
            except KafkaException as error:
                if not error.args[0].retriable() or self._stopping.is_set():
                    raise
                _log.warning("query %s waits for Kafka: %s", self.query_id, error.args[0].str())
            else:
                return

    def _commit(self) -> None:
        with self.lock:
            self._pipeline.flush()
            changes = [state.changes() for state in self.states]
        ends: dict[Place, int] = {}
        for number, by_store in enumerate(changes):
            for name, entries in by_store.items():
                self._log_changes(self._changelog(name), number, entries, ends)
        moved = [TopicPartition(topic, number, offset) for (topic, number), offset in self._moved.items()]
        group = self._inputs.consumer.consumer_group_metadata()
        # Only this thread changes the state, so pull queries may read it while Kafka is asked.
        self._insist(self._producer.send_offsets_to_transaction, moved, group)
        self._insist(self._producer.commit_transaction)
        with self.lock:
            self._committed(changes, ends)

    def _committed(self, changes: Sequence[dict[str, list[Change]]], ends: dict[Place, int]) -> None:
        self._positions |= ends
        if self._database is not None:
            batch = WriteBatch(raw_mode=True)
            for state, by_store in zip(self.states, changes, strict=True):
                state.committed(by_store, batch, keep=self._settings.pending_entries // len(self.states))
            self._write(batch)
        self._offsets |= self._moved
        self._moved.clear()
        self._dirty = False

    def _log_changes(self, topic: str, number: int, entries: Sequence[Change], ends: dict[Place, int]) -> None:
        place = (topic, number)

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                ends[place] = max(ends.get(place, 0), message.offset() + 1)

        for change in entries:
            self._send(topic, key=change.key, value=change.value, partition=number, on_delivery=delivered)

    def _roll_back(self) -> None:
        self._insist(self._producer.abort_transaction)
        self._forget()

    def _forget(self) -> None:
        """Go back to the state and the offsets of the last commit."""
        with self.lock:
            self._pipeline.clear()
            for state in self.states:
                state.rollback()
            self._moved.clear()
            self._dirty = False
        self._inputs.assign(self._offsets)

    # --- state ---

    @property
    def _folder(self) -> Path:
        return self._settings.folder / self.group

    def _changelog(self, store: str) -> str:
        return f"{self.group}-{store}-changelog"

    def _open_database(self) -> Rdict:
        self._folder.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - the library's signature
        options.set_write_buffer_size(self._settings.write_buffer_bytes // 2)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(256)
        table = BlockBasedOptions()
        table.set_block_cache(Cache(self._settings.block_cache_bytes))
        table.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(table)
        return Rdict(str(self._folder / "rocksdb"), options)

    def _write(self, batch: WriteBatch) -> None:
        if self._database is None:
            return
        positions = [[topic, number, offset] for (topic, number), offset in self._positions.items()]
        batch.put(_POSITIONS, json.dumps({"positions": positions, "topics": self._topic_ids}).encode())
        self._database.write(batch)

    def _restore(self) -> None:
        if self._database is None:
            return
        names = [self._changelog(spec.name) for spec in self.topology.stores]
        self._topic_ids = self._topics.ids(names)
        saved = json.loads(self._database.get(_POSITIONS) or b"{}")
        ends = self._topics.ends(names)
        positions = {(topic, number): offset for topic, number, offset in saved.get("positions", [])}
        stale = any(offset > ends.get(place, 0) for place, offset in positions.items())
        if stale or (saved and saved["topics"] != self._topic_ids):
            # The state is of another time: of topics that were deleted meanwhile.
            _log.info("query %s rebuilds its state from its changelog", self.query_id)
            for key in list(self._database.keys()):
                self._database.delete(key)
            positions = {}
        self._positions = positions
        behind = {place: positions.get(place, 0) for place, end in ends.items() if end > positions.get(place, 0)}
        if behind:
            self._replay(behind, ends)
        for state in self.states:
            state.load()

    def _replay(self, behind: dict[Place, int], ends: dict[Place, int]) -> None:
        stores = {self._changelog(spec.name): spec.name for spec in self.topology.stores}
        settings: dict[str, Any] = {
            **self._settings.kafka,
            "group.id": f"{self.group}-restore",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": self._settings.queue_kilobytes,
        }
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in behind.items()])
            unfinished = set(behind)
            while unfinished and not self._stopping.is_set():
                batch = WriteBatch(raw_mode=True)
                for message in consumer.consume(_RESTORE_BATCH, 0.5):
                    place = (str(message.topic()), int(message.partition() or 0))
                    if message.error() is not None:
                        unfinished.discard(place)
                        continue
                    change = Change(message.key() or b"", message.value())
                    self.states[place[1]].restore(stores[place[0]], change, batch)
                    self._positions[place] = int(message.offset() or 0) + 1
                self._write(batch)
        finally:
            consumer.close()
        self._positions |= {place: ends[place] for place in behind if place in ends}

    def _settle(self) -> None:
        committed = self._topics.group_offsets(self.group)
        tables = {source.topic for source in self.topology.sources if source.table}
        names = list(self._sources)
        starts = self._topics.ends(names, earliest=True)
        ends = starts if self._earliest else self._topics.ends(names)
        fresh: dict[Place, int] = {}
        for topic, count in self._sources.items():
            for number in range(count):
                place = (topic, number)
                if place in committed:
                    # What was deleted by retention meanwhile cannot be read any more.
                    self._offsets[place] = max(committed[place], starts.get(place, 0))
                else:
                    self._offsets[place] = fresh[place] = (starts if topic in tables else ends).get(place, 0)
        if fresh:
            # Written down at once: a crash before the first commit must not begin at another "latest".
            self._producer.begin_transaction()
            self._producer.send_offsets_to_transaction(
                [TopicPartition(topic, number, offset) for (topic, number), offset in fresh.items()],
                self._inputs.consumer.consumer_group_metadata(),
                _SECONDS,
            )
            self._producer.commit_transaction(_SECONDS)

    def _fail(self, message: str) -> None:
        self.error = message
        with contextlib.suppress(KafkaException):
            # What others may read ends at the first open transaction: leave none behind.
            self._producer.abort_transaction(_SECONDS)
        _log.error("query %s stopped: %s", self.query_id, message)

    def _close(self) -> None:
        self._inputs.close()
        if self._database is not None:
            self._database.close()
            self._database = None
