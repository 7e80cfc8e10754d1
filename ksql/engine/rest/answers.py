"""Statements that only ask: SHOW, DESCRIBE, EXPLAIN, ASSERT."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ksql.engine.plan.properties import Properties
from ksql.engine.rest import entities
from ksql.engine.rest.entities import Entity, entity
from ksql.engine.rest.errors import RestError, bad_request, bad_statement, server_error
from ksql.engine.rest.explain import execution_plan, topology_text
from ksql.engine.rest.properties import KSQL, STREAMS_PREFIX, ServerProperty, cause
from ksql.engine.rest.session import refused
from ksql.engine.sql import ast
from ksql.errors import FunctionError, KsqlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ksql.engine.metastore import Source
    from ksql.engine.rest.definitions import Definitions
    from ksql.engine.rest.session import Session
    from ksql.engine.runtime.engine import Engine, Query
    from ksql.engine.runtime.planning import PlannedQuery

_HIDDEN = re.compile(r"_confluent|__confluent|_schemas\Z|__|connect-(configs|offsets|status|statuses)\Z")
_BROKER_INTERNAL = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
_DEPRECATED = (
    "The statistics field is deprecated and will be removed in a future version of ksql. "
    "Please update your client to the latest version and use statisticsMap instead.\n"
)


@dataclass(frozen=True)
class Answers:
    """The statements that change nothing.

    Args:
        engine: the server.
        definitions: to explain what statements would do.
        host: the server's own address, as it appears in answers.
    """

    engine: Engine
    definitions: Definitions
    host: str

    # --- SHOW ---

    def show(self, statement: ast.Show, session: Session) -> Entity:
        """Answer SHOW or LIST."""
        subjects = ast.ShowSubject
        text = statement.text
        answers: dict[ast.ShowSubject, Callable[[], Entity]] = {
            subjects.STREAMS: lambda: self._sources(statement, session, tables=False),
            subjects.TABLES: lambda: self._sources(statement, session, tables=True),
            subjects.TOPICS: lambda: self._topics(statement, session, everything=False),
            subjects.ALL_TOPICS: lambda: self._topics(statement, session, everything=True),
            subjects.QUERIES: lambda: self._queries(statement, session),
            subjects.PROPERTIES: lambda: self._properties(text, session),
            subjects.FUNCTIONS: lambda: entity("function_names", text, functions=self._functions()),
            subjects.TYPES: lambda: entity(
                "type_list",
                text,
                types={name: entities.type_json(kind) for name, kind in session.catalog.metastore.types.items()},
            ),
            subjects.VARIABLES: lambda: entity(
                "variables",
                text,
                variables=[{"name": name, "value": value} for name, value in sorted(session.variables.items())],
            ),
        }
        answer = answers.get(statement.subject)
        if answer is None:
            # The embedded engine has no Connect beside it; this is what a server without one answers.
            refusal = (
                "io.confluent.ksql.util.KsqlServerException: org.apache.hc.client5.http.HttpHostConnectException: "
            )
            refusal += "Connect to http://localhost:8083 [localhost/127.0.0.1] failed: Connection refused\n"
            advice = (
                "Could not connect to the server. Please check the server details are correct and that the server is"
            )
            raise server_error(refusal + cause(f"{advice} running."), statement=text)
        return answer()

    def _sources(self, statement: ast.Show, session: Session, *, tables: bool) -> Entity:
        found = [source for source in session.catalog.metastore if source.is_table == tables]
        if statement.extended:
            described = [self.source_description(source, session, extended=True) for source in found]
            return entity("source_descriptions", statement.text, sourceDescriptions=described)
        name = "tables" if tables else "streams"
        return entity(name, statement.text, **{name: [entities.source_entry(source) for source in found]})

    def _topics(self, statement: ast.Show, session: Session, *, everything: bool) -> Entity:
        listed = sorted(self.engine.topics.all().values(), key=lambda topic: topic.name)
        shown = [
            topic
            for topic in listed
            if topic.name not in _BROKER_INTERNAL and (everything or not _HIDDEN.match(topic.name))
        ]
        if not statement.extended:
            found = [{"name": topic.name, "replicaInfo": list(topic.replica_info)} for topic in shown]
            return entity("kafka_topics", statement.text, topics=found)
        own = [query for query in session.catalog.queries.values() if query.runner is not None]
        others = self.engine.topics.consumers(without=[query.runner.group for query in own if query.runner is not None])
        rows: list[Entity] = []
        for topic in shown:
            # The engine assigns partitions itself, so that Kafka knows its groups but no members of them.
            mine = sum(any(entry.topic == topic.name for entry in query.planned.topology.sources) for query in own)
            groups = others.get(topic.name, [])
            rows.append(
                {
                    "name": topic.name,
                    "replicaInfo": list(topic.replica_info),
                    "consumerCount": mine + sum(count for _, count in groups),
                    "consumerGroupCount": mine + len(groups),
                }
            )
        return entity("kafka_topics_extended", statement.text, topics=rows)

    def _queries(self, statement: ast.Show, session: Session) -> Entity:
        persistent = list(session.catalog.queries.values())
        if statement.extended:
            described = [self.query_description(query) for query in persistent]
            return entity("query_descriptions", statement.text, queryDescriptions=described)
        found = [self.query_entry(query) for query in persistent]
        for query in list(self.engine.transient.values()):
            if query.stream.closed:
                continue
            found.append(
                entities.query_entry(
                    text=query.text,
                    query_id=query.stream.query_id,
                    sinks={},
                    status="RUNNING",
                    state="RUNNING",
                    kind="PUSH",
                )
            )
        return entity("queries", statement.text, queries=found)

    def query_entry(self, query: Query) -> Entity:
        """Return what SHOW QUERIES says of a persistent query."""
        state = query.state.value
        return entities.query_entry(
            text=query.text,
            query_id=query.id,
            sinks={query.planned.sink: query.planned.sink_topic},
            status=state,
            state="RUNNING" if state == "PAUSED" else state,
            kind="PERSISTENT",
        )

    def _properties(self, text: str, session: Session) -> Entity:
        settings = self.engine.settings
        known: dict[str, str | None] = {
            "ksql.extension.dir": f"{settings.ksql_state_folder}/ext",
            "ksql.streams.cache.max.bytes.buffering": str(settings.ksql_streams_cache_max_bytes_buffering),
            "ksql.output.topic.name.prefix": "",
            "ksql.streams.bootstrap.servers": settings.kafka_bootstrap_servers,
            "ksql.schema.registry.url": settings.schema_registry_url,
            "ksql.service.id": settings.ksql_service_id,
            "ksql.streams.commit.interval.ms": str(settings.ksql_streams_commit_interval_ms),
            "ksql.query.pull.table.scan.enabled": "true",
            "ksql.streams.num.stream.threads": "1",
            "ksql.internal.topic.replicas": str(settings.ksql_internal_topic_replicas),
            "ksql.insert.into.values.enabled": "true",
            "ksql.persistence.default.format.value": None,
            "ksql.persistence.default.format.key": "KAFKA",
        }
        if settings.ksql_streams_auto_offset_reset != "latest":
            known[f"{STREAMS_PREFIX}auto.offset.reset"] = settings.ksql_streams_auto_offset_reset
        overwritten = list(session.properties)
        known |= {name: str(value) for name, value in session.properties.items()}
        set_here = {"ksql.extension.dir", "ksql.schema.registry.url", "ksql.service.id"}
        return entity(
            "properties",
            text,
            properties=[ServerProperty(name=name, value=value).entry() for name, value in known.items()],
            overwrittenProperties=overwritten,
            defaultProperties=[name for name in KSQL if name not in set_here],
        )

    def _functions(self) -> list[Entity]:
        return [
            {"name": function.name, "type": function.kind.value, "category": function.category}
            for function in self.engine.planning.functions
        ]

    # --- DESCRIBE ---

    def describe(self, statement: ast.Describe, session: Session) -> Entity:
        """Answer DESCRIBE."""
        subjects = ast.DescribeSubject
        if statement.subject is subjects.FUNCTION:
            return self._function(statement)
        if statement.subject is subjects.CONNECTOR:
            raise bad_statement(f"Connector {statement.name} not found.", statement=statement.text)
        if statement.subject in {subjects.STREAMS, subjects.TABLES}:
            tables = statement.subject is subjects.TABLES
            described = [
                self.source_description(source, session, extended=statement.extended)
                for source in session.catalog.metastore
                if source.is_table == tables
            ]
            return entity("source_descriptions", statement.text, sourceDescriptions=described)
        source = session.catalog.metastore.get(statement.name)
        if source is None:
            message = f"Could not find STREAM/TABLE '{statement.name}' in the Metastore"
            raise bad_statement(message, statement=statement.text)
        described = self.source_description(source, session, extended=statement.extended)
        return entity("sourceDescription", statement.text, sourceDescription=described)

    def source_description(self, source: Source, session: Session, *, extended: bool) -> Entity:
        """Return all about a stream or table."""
        catalog = session.catalog
        writers = catalog.writers(source.name)
        topic = self.engine.topics.get(source.topic)
        statistics, statistics_map = self._statistics(writers)
        return {
            "name": source.name,
            "windowType": source.window.type.value if source.window is not None else None,
            "readQueries": [self.query_entry(query) for query in catalog.readers(source.name)],
            "writeQueries": [self.query_entry(query) for query in writers],
            "fields": entities.fields_json(source.schema.columns),
            "type": source.kind.value,
            "timestamp": entities.timestamp_name(source),
            "statistics": statistics if extended else "",
            "errorStats": "",
            "extended": extended,
            "keyFormat": source.key_format.name,
            "valueFormat": source.value_format.name,
            "topic": source.topic,
            "partitions": topic.partitions if topic is not None else 0,
            "replication": topic.replicas if topic is not None else 0,
            "statement": source.statement,
            "queryOffsetSummaries": [self._offsets(query) for query in writers] if extended else [],
            "sourceConstraints": catalog.linked(source.name),
            "clusterStatistics": statistics_map,
            "clusterErrorStats": [],
        }

    def _statistics(self, writers: Iterable[Query]) -> tuple[str, list[Entity]]:
        counters = [query.runner.counters for query in writers if query.runner is not None]
        total = sum(counter.produced for counter in counters)
        if not total:
            return "", []
        rate = sum(counter.produced / max(time.monotonic() - counter.started, 1.0) for counter in counters)
        last = max(counter.last_ms for counter in counters)
        moment = datetime.fromtimestamp(last / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = f"{_DEPRECATED}messages-per-sec: {rate:9.2f}   total-messages: {total:9d}     last-message: {moment}"
        values = {"messages-per-sec": rate, "total-messages": float(total)}
        return text, [
            {"name": name, "host": self.host, "value": value, "timestamp": last} for name, value in values.items()
        ]

    def _offsets(self, query: Query) -> Entity:
        runner = query.runner
        if runner is None:
            return {"groupId": "", "topicSummaries": []}
        summaries: list[Entity] = []
        if runner.counters.consumed:
            names = list(dict.fromkeys(entry.topic for entry in query.planned.topology.sources))
            committed = self.engine.topics.group_offsets(runner.group)
            starts, ends = self.engine.topics.ends(names, earliest=True), self.engine.topics.ends(names)
            for name in names:
                offsets = [
                    {
                        "partition": number,
                        "logStartOffset": starts[topic, number],
                        "logEndOffset": ends[topic, number],
                        "consumerOffset": committed.get((topic, number), 0),
                    }
                    for topic, number in sorted(ends)
                    if topic == name
                ]
                summaries.append({"kafkaTopic": name, "offsets": offsets})
        return {"groupId": runner.group, "topicSummaries": summaries}

    def _function(self, statement: ast.Describe) -> Entity:
        try:
            function = self.engine.planning.functions.get(statement.name)
        except FunctionError as error:
            raise bad_request(error.message) from error
        return entity("describe_function", statement.text, **entities.function_json(function))

    # --- EXPLAIN ---

    def explain(self, statement: ast.Explain, session: Session) -> Entity:
        """Answer EXPLAIN."""
        if statement.query_id is not None:
            query = session.catalog.queries.get(statement.query_id)
            if query is None:
                message = f"Query with id:{statement.query_id} does not exist,"
                message += " use SHOW QUERIES to view the full set of queries."
                raise bad_statement(message, statement=statement.text)
            return entity("queryDescription", statement.text, queryDescription=self.query_description(query))
        inner = statement.statement
        text = re.sub(r"(?is)\A\s*EXPLAIN\s+", "", statement.text)
        if isinstance(inner, ast.QueryStatement):
            return self._explain_query(inner, text, statement.text, session)
        if not isinstance(inner, ast.CreateAsSelect | ast.InsertInto):
            raise bad_statement("The provided statement does not run a ksql query", statement=statement.text)
        object.__setattr__(inner, "text", text)
        sandbox = type(session)(
            catalog=session.catalog.copy(),
            sandbox=True,
            properties=session.properties,
            variables=session.variables,
        )
        try:
            found = self.definitions.prepare(inner, sandbox)
        except RestError as error:
            if error.statement is not None:
                error.statement = statement.text
            raise
        if isinstance(found, dict) or found.planned is None:
            raise bad_statement("The provided statement does not run a ksql query", statement=statement.text)
        planned = found.planned
        described = self._description(planned, query_id=found.command.query_id or "", text=text, kind="PERSISTENT")
        described["overriddenProperties"] = dict(session.properties)
        return entity("queryDescription", statement.text, queryDescription=described)

    def _explain_query(self, inner: ast.QueryStatement, text: str, whole: str, session: Session) -> Entity:
        query_id = f"transient_{inner.query.source.name}_{time.time_ns()}"
        try:
            planned = self.engine.planning.push(inner.query, session.catalog.metastore, query_id=query_id)
        except KsqlError as error:
            raise refused(error, text=whole) from error
        described = self._description(planned, query_id=query_id, text=text, kind="PUSH")
        described["overriddenProperties"] = dict(session.properties)
        described["consumerGroupId"] = f"{self.engine.prefix}transient_{query_id}_{int(time.time() * 1000)}"
        return entity("queryDescription", whole, queryDescription=described)

    def query_description(self, query: Query) -> Entity:
        """Return all about a persistent query."""
        described = self._description(query.planned, query_id=query.id, text=query.text, kind="PERSISTENT")
        state = query.state.value
        described |= {
            "overriddenProperties": dict(query.properties),
            "ksqlHostQueryStatus": {self.host: state},
            "tasksMetadata": self._tasks(query),
            "state": "RUNNING" if state == "PAUSED" else state,
        }
        if query.runner is not None and query.runner.error is not None:
            described["queryErrors"] = [
                {"errorMessage": query.runner.error, "timestamp": int(time.time() * 1000), "type": "UNKNOWN"}
            ]
        return described

    def _description(self, planned: PlannedQuery, *, query_id: str, text: str, kind: str) -> Entity:
        return {
            "id": query_id,
            "statementText": text,
            "windowType": planned.window.type.value if planned.window is not None else None,
            "fields": entities.fields_json(planned.columns),
            "sources": list(planned.sources),
            "sinks": [planned.sink] if planned.sink else [],
            "topology": topology_text(planned),
            "executionPlan": execution_plan(planned, query_id=query_id),
            "overriddenProperties": {},
            "ksqlHostQueryStatus": {},
            "queryType": kind,
            "queryErrors": [],
            "tasksMetadata": [],
            "consumerGroupId": f"{self.engine.prefix}query_{query_id}",
            "state": None,
        }

    def _tasks(self, query: Query) -> list[Entity]:
        if query.runner is None:
            return []
        tasks: dict[int, list[Entity]] = {}
        for (topic, number), (processed, committed) in query.runner.progress().items():
            place = {"topic": topic, "partition": number}
            tasks.setdefault(number, []).append(
                {"topicPartitionEntity": place, "endOffset": processed, "committedOffset": committed}
            )
        return [
            {"taskId": f"0_{number}", "topicOffsets": offsets, "timeCurrentIdlingStarted": None}
            for number, offsets in sorted(tasks.items())
        ]

    # --- ASSERT ---

    def assert_topic(self, statement: ast.AssertTopic) -> Entity:
        """Wait until a topic is as it should be.

        Raises:
            RestError: it is not in time.
        """
        wanted = Properties(dict(statement.properties))

        def problem() -> str | None:
            topic = self.engine.topics.get(statement.topic)
            if not statement.exists:
                return None if topic is None else f"Topic {statement.topic} exists"
            if topic is None:
                return f"Topic {statement.topic} does not exist"
            for name, literal in wanted.values.items():
                expected = getattr(literal, "value", literal)
                found = {"PARTITIONS": topic.partitions, "REPLICAS": topic.replicas}.get(name.upper())
                if found != expected:
                    return (
                        f"Mismatched configuration for topic {statement.topic}: For config {name.lower()},"
                        f" expected {expected} got {found}"
                    )
            return None

        self._wait(problem, statement.timeout)
        return entity("assert_topic", statement.text, topicName=statement.topic, exists=statement.exists)

    def assert_schema(self, statement: ast.AssertSchema) -> Entity:
        """Wait until a schema is there, or is not.

        Raises:
            RestError: it is not in time.
        """
        subject, number = statement.subject, statement.id
        names = [
            *([f"subject name {subject}"] if subject is not None else []),
            *([f"id {number}"] if number is not None else []),
        ]
        what = f"Schema with {' and '.join(names)}"

        def problem() -> str | None:
            registry = self.engine.registry
            latest = registry.latest(subject) if subject is not None else None
            there = latest is not None if subject is not None else registry.has_id(number or 0)
            if subject is not None and number is not None and latest is not None:
                there = latest.id == number
            if there == statement.exists:
                return None
            return f"{what} {'exists' if there else 'does not exist'}"

        self._wait(problem, statement.timeout)
        return entity("assert_schema", statement.text, subject=subject, id=number, exists=statement.exists)

    def _wait(self, problem: Callable[[], str | None], timeout: ast.Duration | None) -> None:
        # ksql.assert.topic.default.timeout.ms and its sibling for schemas are 1000.
        seconds = 1.0 if timeout is None else timeout.milliseconds / 1000
        deadline = time.monotonic() + seconds
        while (found := problem()) is not None:
            if time.monotonic() >= deadline:
                raise RestError(417, 41700, found)
            time.sleep(0.05)
