"""What a server keeps: its streams and tables, its queries, and the commands that made them."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cflight.errors import CflightError
from cflight.memory_limit import memory_limit
from ksql.engine.metastore import MetaStore
from ksql.engine.runtime.command_topic import Command, CommandTopic
from ksql.engine.runtime.persistent import PersistentQuery, QuerySettings, QueryState
from ksql.engine.runtime.planning import Planning
from ksql.engine.runtime.registry import Registry
from ksql.engine.runtime.topics import Topics
from ksql.engine.sql import ast
from ksql.engine.sql.parser import parse_one
from ksql.errors import KsqlError, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ksql.engine.runtime.planning import PlannedQuery
    from ksql.engine.runtime.transient import TransientQuery
    from ksql.engine.settings import EngineSettings

_log = logging.getLogger(__name__)
# Of the process's memory limit: what RocksDB may take for all queries, and what librdkafka may fetch ahead.
_ROCKSDB_SHARE = 0.25
_QUEUE_SHARE = 0.10
# Planned for so many queries; more share what is there, and each gets at least the least that works.
_EXPECTED_QUERIES = 8
_LEAST_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_ENTRY_BYTES = 2048


@dataclass(kw_only=True)
class Query:
    """A persistent query.

    Attributes:
        id: its id.
        text: its statement.
        planned: what it does.
        properties: the settings of the statement that started it.
        runner: the thread that runs it; None while the commands are read at the start.
        paused: whether somebody paused it.
    """

    id: str
    text: str
    planned: PlannedQuery
    properties: Mapping[str, Any]
    runner: PersistentQuery | None = None
    paused: bool = False

    @property
    def state(self) -> QueryState:
        """What it is doing."""
        return QueryState.NOT_RUNNING if self.runner is None else self.runner.state


@dataclass(kw_only=True)
class Catalog:
    """What there is by name; a copy is the sandbox in which a request is checked before anything is done.

    Attributes:
        metastore: streams, tables and types.
        queries: persistent queries by id.
        next_number: what the next query is numbered with.
        links: what each stream or table of a query reads; terminating the query leaves the link.
        new_topics: partitions of topics that are not made yet.
    """

    metastore: MetaStore
    queries: dict[str, Query] = field(default_factory=dict[str, Query])
    next_number: int = 0
    links: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    new_topics: dict[str, int] = field(default_factory=dict[str, int])

    def copy(self) -> Catalog:
        """Return an independent copy."""
        return Catalog(
            metastore=self.metastore.copy(),
            queries=dict(self.queries),
            next_number=self.next_number,
            links=dict(self.links),
            new_topics=dict(self.new_topics),
        )

    def linked(self, name: str) -> list[str]:
        """Return the streams and tables whose queries read, or have read, a stream or table."""
        return sorted(sink for sink, sources in self.links.items() if name in sources)

    def readers(self, name: str) -> list[Query]:
        """Return the queries that read a stream or table."""
        return [query for query in self.queries.values() if name in query.planned.sources]

    def writers(self, name: str) -> list[Query]:
        """Return the queries that write a stream or table."""
        return [query for query in self.queries.values() if query.planned.sink == name]


class Engine:
    """The embedded server without its HTTP API.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.kafka = settings.kafka()
        self.prefix = f"_confluent-ksql-{settings.ksql_service_id}"
        self.topics = Topics(self.kafka)
        self.registry = Registry(settings.schema_registry_url)
        self.planning = Planning(registry=self.registry)
        self.catalog = Catalog(metastore=MetaStore())
        self.statuses: dict[str, dict[str, Any]] = {}
        self.transient: dict[str, TransientQuery] = {}
        self.lock = threading.RLock()
        self.commands: CommandTopic | None = None
        self.cluster_id = ""
        limit = memory_limit()
        share = int(limit * _ROCKSDB_SHARE / _EXPECTED_QUERIES)
        block = min(max(share // 2, _LEAST_BYTES), _MOST_BYTES)
        self.query_settings = QuerySettings(
            kafka=self.kafka,
            prefix=self.prefix,
            folder=settings.ksql_state_folder,
            replicas=settings.ksql_internal_topic_replicas,
            block_cache_bytes=block,
            write_buffer_bytes=block,
            queue_kilobytes=max(int(limit * _QUEUE_SHARE / _EXPECTED_QUERIES) // 1024, 1024),
            pending_entries=max(block // _ENTRY_BYTES, 1000),
        )

    # --- life ---

    def start(self) -> None:
        """Read all commands and let the queries that are left go on."""
        self.cluster_id = self.topics.cluster_id()
        self.commands = CommandTopic(
            f"{self.prefix}_command_topic",
            settings=self.kafka,
            topics=self.topics,
            replicas=self.settings.ksql_internal_topic_replicas,
        )
        started = time.monotonic()
        count = 0
        for command in self.commands.open():
            count += 1
            try:
                self.apply(command)
            except KsqlError as error:
                _log.error("command %d cannot be carried out again: %s", command.number, error)
                self._done(command, f"cannot be carried out again: {error}", status="ERROR")
        self.catalog.next_number = self.commands.last + 1
        for query in self.catalog.queries.values():
            self.run(query)
        _log.info(
            "read %d commands and started %d queries in %.1f s",
            count,
            len(self.catalog.queries),
            time.monotonic() - started,
        )

    def stop(self) -> None:
        """End all queries; what they have read is finished."""
        for transient in list(self.transient.values()):
            transient.stream.close()
            transient.join()
        for query in self.catalog.queries.values():
            if query.runner is not None:
                query.runner.stop()
        self.registry.close()

    @property
    def healthy(self) -> bool:
        """Whether commands can be written."""
        return self.commands is not None and self.commands.failure is None

    # --- commands ---

    def submit(self, command: Command) -> tuple[Command, dict[str, Any]]:
        """Make a command durable and carry it out.

        Returns:
            The command with its number, and its status.
        """
        if self.commands is None:
            raise ServerError("the server has not started yet")
        written = self.commands.append(command)
        started = self.apply(written)
        self.catalog.next_number = written.number + 1
        if started is not None:
            self.run(started)
        return written, self.statuses[written.id]

    def apply(self, command: Command) -> Query | None:
        """Do what a command says to the catalog, and to queries that run.

        Returns:
            The query that it starts, which does not run yet.
        """
        statement = parse_one(command.statement)
        if isinstance(statement, ast.CreateSource):
            self.catalog.metastore.put(self.planning.declare(statement, self.catalog.metastore))
            self._done(command, f"{'Table' if statement.is_table else 'Stream'} created")
            return None
        if isinstance(statement, ast.CreateAsSelect | ast.InsertInto):
            return self._start(command, statement)
        message = self._change(command, statement)
        self._done(command, message)
        return None

    def run(self, query: Query) -> None:
        """Start a query's thread."""
        planned, settings = query.planned, self.settings
        known = self.topics.all()
        names = {*(source.topic for source in planned.topology.sources), planned.sink_topic}
        missing = sorted(name for name in names if name not in known)
        if missing:
            _log.error("query %s cannot run: its topics %s are gone", query.id, missing)
            return
        streams = {name.removeprefix("ksql.streams."): value for name, value in query.properties.items()}
        offset_reset = streams.get("auto.offset.reset", settings.ksql_streams_auto_offset_reset)
        cache = streams.get("cache.max.bytes.buffering", settings.ksql_streams_cache_max_bytes_buffering)
        interval = streams.get("commit.interval.ms", settings.ksql_streams_commit_interval_ms)
        query.runner = PersistentQuery(
            planned=planned,
            partitions={name: known[name].partitions for name in names},
            settings=self.query_settings,
            topics=self.topics,
            commit_seconds=int(interval) / 1000,
            caching=int(cache) > 0,
            earliest=offset_reset == "earliest",
        )
        query.runner.prepare()
        query.runner.start(paused=query.paused)

    def _start(self, command: Command, statement: ast.CreateAsSelect | ast.InsertInto) -> Query:
        query_id = command.query_id or f"QUERY_{command.number}"
        before = self.catalog.queries.get(query_id)
        if before is not None and before.runner is not None:
            before.runner.stop()
        planned = self.planning.query(statement, self.catalog.metastore, query_id=query_id)
        if planned.sink_source is not None:
            self.catalog.metastore.put(planned.sink_source)
            self.catalog.links[planned.sink] = planned.sources
        query = Query(id=query_id, text=command.statement, planned=planned, properties=command.properties)
        self.catalog.queries[query_id] = query
        self._done(command, f"Created query with ID {query_id}", query_id=query_id)
        return query

    def _change(self, command: Command, statement: ast.Statement) -> str:
        if isinstance(statement, ast.DropSource):
            return self._drop(statement)
        if isinstance(statement, ast.ManageQuery):
            return self._manage(statement)
        if isinstance(statement, ast.CreateType):
            self.catalog.metastore.types[statement.name] = self.planning.type(statement, self.catalog.metastore)
            return f"Registered custom type with name '{statement.name}' and SQL type {statement.type}"
        if isinstance(statement, ast.DropType):
            known = self.catalog.metastore.types.pop(statement.name, None)
            if known is None:
                return f"Type '{statement.name}' does not exist"
            return f"Dropped type '{statement.name}'"
        if isinstance(statement, ast.AlterSource):
            self.catalog.metastore.put(self.planning.alter(statement, self.catalog.metastore))
            return f"{'Table' if statement.is_table else 'Stream'} altered"
        raise KsqlError(f"no command: {command.statement}")

    def _drop(self, statement: ast.DropSource) -> str:
        source = self.catalog.metastore.get(statement.name)
        if source is None:
            return f"Source `{statement.name}` does not exist."
        for query in self.catalog.writers(statement.name):
            self._terminate(query)
        self.catalog.metastore.delete(statement.name)
        self.catalog.links.pop(statement.name, None)
        return f"Source `{statement.name}` (topic: {source.topic}) was dropped."

    def _manage(self, statement: ast.ManageQuery) -> str:
        queries = list(self.catalog.queries.values())
        if statement.query_id is not None:
            queries = [query for query in queries if query.id == statement.query_id]
        for query in queries:
            if statement.action is ast.QueryAction.TERMINATE:
                self._terminate(query)
            else:
                query.paused = statement.action is ast.QueryAction.PAUSE
                if query.runner is not None:
                    (query.runner.pause if query.paused else query.runner.resume)()
        return f"Query {_PAST[statement.action]}."

    def _terminate(self, query: Query) -> None:
        del self.catalog.queries[query.id]
        if query.runner is not None:
            query.runner.stop()
            try:
                query.runner.remove()
            except CflightError as error:
                # The command is written: what the query leaves behind must not keep it from being carried out.
                _log.error("query %s is terminated, but has left something behind: %s", query.id, error)

    def forget_subject(self, subject: str) -> None:
        """Soft-delete a subject, where there is a registry."""
        if self.settings.schema_registry_url:
            self.registry.delete(subject)

    def _done(self, command: Command, message: str, *, query_id: str | None = None, status: str = "SUCCESS") -> None:
        self.statuses[command.id] = {"status": status, "message": message, "queryId": query_id}


_PAST = {
    ast.QueryAction.TERMINATE: "terminated",
    ast.QueryAction.PAUSE: "paused",
    ast.QueryAction.RESUME: "resumed",
}
