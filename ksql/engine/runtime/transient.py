"""A query that ends with its client: a push query, or a pull query over a stream."""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from cflight.errors import CflightError
from ksql.engine.runtime.inputs import Inputs, Place
from ksql.engine.runtime.pipeline import Output, Pipeline
from ksql.engine.runtime.stores import make_state
from ksql.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import Record
    from ksql.engine.runtime.planning import PlannedQuery
    from ksql.engine.runtime.streams import RowStream
    from ksql.engine.runtime.topics import Topics

_log = logging.getLogger(__name__)
_QUEUE_KILOBYTES = 8192


class TransientQuery:
    """Reads from Kafka, keeps its state in memory, and hands rows to a stream.

    Args:
        stream: gets the rows.
        text: its statement.
        planned: what the query does; its result's values are the rows.
        partitions: of every topic that it reads.
        kafka: settings of a Kafka client.
        topics: for offsets.
        commit_seconds: updates of one key within it are merged.
        caching: whether they are merged at all.
        earliest: whether it begins with the oldest record.
        limit: rows after which it ends.
        bounded: whether it ends at the end of what is there at its start.
        on_end: called when it has ended.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, each of its own kind
        self,
        *,
        stream: RowStream,
        text: str,
        planned: PlannedQuery,
        partitions: Mapping[str, int],
        kafka: Mapping[str, Any],
        topics: Topics,
        commit_seconds: float,
        caching: bool,
        earliest: bool,
        limit: int | None,
        bounded: bool,
        on_end: Callable[[], None],
    ) -> None:
        self.stream = stream
        self.text = text
        self._topology = topology = planned.topology
        self._commit_seconds = commit_seconds
        self._limit = limit
        self._bounded = bounded
        self._on_end = on_end
        self._rows: list[Row] = []
        self._sent = 0
        # A single task sees all partitions: its state needs to agree with nothing outside of it.
        state = make_state(topology.stores, partition=0, database=None)
        self._pipeline = Pipeline(
            topology,
            states=[state],
            output=Output(result=self._collect),
            caching=caching and not bounded,
            registry=planned.registry,
        )
        names = list(dict.fromkeys(source.topic for source in topology.sources))
        tables = {source.topic for source in topology.sources if source.table}
        self._inputs = Inputs(
            settings=kafka,
            group=stream.query_id,
            topics={name: partitions[name] for name in names},
            queue_kilobytes=_QUEUE_KILOBYTES,
        )
        starts = topics.ends(names, earliest=True)
        self._ends: dict[Place, int] = topics.ends(names)
        first = starts if earliest or bounded else self._ends
        self._offsets = {place: (starts if place[0] in tables else first)[place] for place in starts}
        self._thread = threading.Thread(target=self._run, name=stream.query_id, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the query has ended; its stream must have been closed."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._inputs.assign(self._offsets)
            self._read()
            done = self._limit is not None and self._sent >= self._limit
            self.stream.end(message="Limit Reached" if done else "Query Completed")
        except KafkaException as error:
            self.stream.end(failure=error.args[0].str())
        except CflightError as error:
            self.stream.end(failure=str(error))
        except Exception as error:  # noqa: BLE001 - the thread's outermost handler: the client learns what stopped its query
            _log.exception("query %s stopped", self.stream.query_id)
            self.stream.end(failure=f"{type(error).__name__}: {error}")
        finally:
            self._inputs.close()
            self._on_end()

    def _read(self) -> None:
        open_places = {place for place, end in self._ends.items() if self._offsets.get(place, end) < end}
        flushed = time.monotonic()
        while not self.stream.closed and not self._full():
            for message in self._inputs.read(0.1):
                place = (str(message.topic()), int(message.partition() or 0))
                if not self._bounded or (message.offset() or 0) < self._ends[place]:
                    self._process(message, place)
                if self._full(len(self._rows)):
                    break
            if time.monotonic() - flushed >= self._commit_seconds:
                self._pipeline.flush()
                flushed = time.monotonic()
            self._send()
            if self._bounded and (not open_places or self._inputs.at_end):
                return

    def _process(self, message: Any, place: Place) -> None:
        for index, source in enumerate(self._topology.sources):
            if source.topic != place[0]:
                continue
            try:
                record = source.reader.read(
                    message.key(),
                    message.value(),
                    message.timestamp()[1],
                    place[1],
                    message.offset(),
                    tuple(message.headers() or ()),
                )
                if record is not None:
                    self._pipeline.sources[0][index](record)
            except RecordError as error:
                _log.warning("query %s skipped a record of %s: %s", self.stream.query_id, place[0], error)

    def _collect(self, record: Record) -> None:
        if record.value is not None:
            self._rows.append(record.value)

    def _full(self, waiting: int = 0) -> bool:
        return self._limit is not None and self._sent + waiting >= self._limit

    def _send(self) -> None:
        rows, self._rows = self._rows, []
        if self._limit is not None:
            rows = rows[: self._limit - self._sent]
        self._sent += len(rows)
        self.stream.put(rows)
