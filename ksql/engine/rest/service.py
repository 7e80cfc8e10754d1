"""The server as its HTTP API sees it."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ksql.engine.plan.inserts import insert_target, insert_values
from ksql.engine.plan.names import sanitize
from ksql.engine.rest.answers import Answers
from ksql.engine.rest.definitions import Definitions
from ksql.engine.rest.entities import Entity, entity
from ksql.engine.rest.errors import RestError, bad_request, bad_statement, server_error
from ksql.engine.rest.inserts import Inserts, Writer
from ksql.engine.rest.properties import cause, check_overrides, check_set, check_settable, full
from ksql.engine.rest.session import Session, refused, statements
from ksql.engine.runtime import pull
from ksql.engine.runtime.persistent import QueryState
from ksql.engine.runtime.streams import RowStream
from ksql.engine.runtime.transient import TransientQuery
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_statement
from ksql.errors import KsqlError, StatementError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ksql.engine.metastore import Source
    from ksql.engine.runtime.engine import Engine

_log = logging.getLogger(__name__)
VERSION = "7.9.0"
_SEQUENCE_SECONDS = 5.0


@dataclass
class Service:
    """The server (`ksql.engine.rest.app.Server`).

    Args:
        engine: streams, tables and queries.
        host: the server's own address, as it appears in answers.
    """

    engine: Engine
    host: str
    _numbers: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._definitions = Definitions(self.engine)
        self._answers = Answers(self.engine, self._definitions, self.host)
        self._writer = Writer(kafka=self.engine.kafka, planning=self.engine.planning)
        self._numbers = itertools.count(int(time.time() * 1000))

    # --- the server itself ---

    def info(self) -> dict[str, Any]:
        """Return version, cluster and service."""
        return {
            "version": VERSION,
            "kafkaClusterId": self.engine.cluster_id,
            "ksqlServiceId": self.engine.settings.ksql_service_id,
            "serverStatus": "RUNNING",
        }

    def metadata(self) -> dict[str, Any]:
        """Return version and cluster."""
        clusters = {"kafka-cluster": self.engine.cluster_id, "ksql-cluster": self.engine.settings.ksql_service_id}
        return {"version": VERSION, "clusterId": {"scope": {"path": [], "clusters": clusters}, "id": ""}}

    def health(self) -> dict[str, Any]:
        """Return whether Kafka answers and commands can be carried out."""
        try:
            self.engine.topics.cluster_id()
            kafka = True
        except Exception:  # noqa: BLE001 - whatever the client raises, Kafka is not healthy
            kafka = False
        commands = self.engine.healthy
        details = {
            "metastore": {"isHealthy": True},
            "kafka": {"isHealthy": kafka},
            "commandRunner": {"isHealthy": commands},
        }
        return {"isHealthy": kafka and commands, "details": details, "serverState": "READY"}

    def metrics(self) -> str:
        """Return counters of all persistent queries as Prometheus text."""
        lines: list[str] = []
        for name, help_text in (
            ("consumed", "records that a query has read"),
            ("produced", "records that a query has written"),
            ("skipped", "records that a query could not read or write"),
        ):
            lines += [f"# HELP ksql_query_{name}_total {help_text}", f"# TYPE ksql_query_{name}_total counter"]
            for query in list(self.engine.catalog.queries.values()):
                if query.runner is not None:
                    value = getattr(query.runner.counters, name)
                    lines.append(f'ksql_query_{name}_total{{query="{query.id}"}} {value}')
        lines += ["# HELP ksql_query_up whether a query runs", "# TYPE ksql_query_up gauge"]
        for query in list(self.engine.catalog.queries.values()):
            lines.append(f'ksql_query_up{{query="{query.id}"}} {int(query.state is QueryState.RUNNING)}')
        return "\n".join([*lines, ""])

    def statuses(self) -> dict[str, str]:
        """Return the status of every command by its id."""
        return {name: status["status"] for name, status in list(self.engine.statuses.items())}

    def status(self, command_id: str) -> dict[str, Any] | None:
        """Return the status of one command."""
        return self.engine.statuses.get(command_id)

    def check_property(self, name: str) -> None:
        """Check a setting that a client would send along."""
        check_settable(name)

    # --- /ksql ---

    def execute(self, request: dict[str, Any]) -> list[Entity]:
        """Carry out the statements of a request: all are checked first, and none is carried out if one is wrong."""
        text = str(request.get("ksql") or "")
        variables = _variables(request)
        self._await_command(request)
        overrides = dict(request.get("streamsProperties") or {})
        properties = check_overrides(overrides, statement=lambda: _first(text, variables))
        self._check_syntax(text, variables)
        for sandbox in (True, False):
            catalog = self.engine.catalog.copy() if sandbox else self.engine.catalog
            session = Session(catalog=catalog, sandbox=sandbox, properties=dict(properties), variables=dict(variables))
            answers: list[Entity] = []
            for statement in statements(text, session.variables):
                answer = self._statement(statement, session)
                if answer:
                    answers.append(answer)
            if not sandbox:
                return answers
        raise AssertionError("the second turn returns")

    def _check_syntax(self, text: str, variables: Mapping[str, str]) -> None:
        defined = dict(variables)
        for statement in statements(text, defined):
            if isinstance(statement, ast.DefineVariable) and statement.value is not None:
                defined[statement.name] = statement.value

    def _statement(self, statement: ast.Statement, session: Session) -> Entity:  # noqa: PLR0911 - one a kind
        if isinstance(statement, self._definitions.kinds):
            try:
                return self._definitions.carry_out(statement, session)
            except Unsupported as error:
                raise bad_statement(error.message, statement=statement.text) from error
        if isinstance(statement, ast.InsertValues):
            return self._insert_values(statement, session)
        if isinstance(statement, ast.Show):
            return self._answers.show(statement, session)
        if isinstance(statement, ast.Describe):
            return self._answers.describe(statement, session)
        if isinstance(statement, ast.Explain):
            return self._answers.explain(statement, session)
        if isinstance(statement, ast.AssertTopic):
            return {} if session.sandbox else self._answers.assert_topic(statement)
        if isinstance(statement, ast.AssertSchema):
            if statement.subject is None and statement.id is None:
                message = "Failed to prepare statement: ASSERT SCHEMA statements much include a subject name or an id"
                raise bad_statement(message, statement=statement.text)
            return {} if session.sandbox else self._answers.assert_schema(statement)
        return self._local(statement, session)

    def _local(self, statement: ast.Statement, session: Session) -> Entity:
        if isinstance(statement, ast.SetProperty):
            self._set(statement, session)
            return {}
        if isinstance(statement, ast.DefineVariable):
            return self._define(statement, session)
        if isinstance(statement, ast.QueryStatement | ast.PrintTopic):
            raise bad_statement(
                "The following statement types should be issued to the websocket endpoint '/query':"
                "\n\t* PRINT\n\t* SELECT",
                statement=statement.text,
                code=40002,
            )
        if isinstance(statement, ast.AlterSystem):
            reason = cause("Cannot alter system configs when KSQL_SHARED_RUNTIME_ENABLED is turned off.")
            message = f"Could not write the statement '{statement.text}' into the command topic.\n{reason}"
            raise server_error(message, statement=statement.text)
        message = f"{type(statement).__name__} is not supported by the embedded engine"
        raise bad_statement(message, statement=statement.text)

    def _set(self, statement: ast.SetProperty, session: Session) -> None:
        if statement.value is None:
            session.properties.pop(full(statement.name), None)
            return
        check_set(
            statement.name,
            statement.value,
            error=lambda message: bad_statement(message, statement=statement.text),
        )
        session.properties[full(statement.name)] = statement.value

    def _define(self, statement: ast.DefineVariable, session: Session) -> Entity:
        if statement.value is not None:
            session.variables[statement.name] = statement.value
        elif session.variables.pop(statement.name, None) is None:
            message = f"Cannot undefine variable '{statement.name}' which was never defined"
            return entity("warning_entity", statement.text, message=message)
        return {}

    def _insert_values(self, statement: ast.InsertValues, session: Session) -> Entity:
        metastore = session.catalog.metastore
        try:
            target = insert_target(statement.target, metastore)
        except StatementError as error:
            raise bad_request(error.message) from error
        try:
            row = insert_values(statement, target, self.engine.planning.context(metastore))
        except StatementError as error:
            raise bad_statement(error.message, statement=format_statement(statement)) from error
        if not session.sandbox:
            self._writer.write(row)
        return {}

    def _await_command(self, request: Mapping[str, Any]) -> None:
        number = request.get("commandSequenceNumber")
        if number is None or self.engine.commands is None:
            return
        deadline = time.monotonic() + _SEQUENCE_SECONDS
        while int(number) > self.engine.commands.last:
            if time.monotonic() > deadline:
                message = "Timed out while waiting for a previous command to execute. command sequence number: "
                raise RestError(503, 50301, f"{message}{number}")
            time.sleep(0.05)

    # --- queries ---

    def query(self, request: dict[str, Any], *, legacy: bool) -> RowStream:
        """Begin the query of a request."""
        self._await_command(request)
        text = str(request.get("ksql" if "ksql" in request else "sql") or "")
        overrides = dict(request.get("streamsProperties" if "streamsProperties" in request else "properties") or {})
        variables = _variables(request)
        properties = check_overrides(overrides, statement=lambda: text)
        statement = self._query_statement(text, variables, legacy=legacy)
        try:
            return self._begin(statement, properties)
        except KsqlError as error:
            prepared = error.message.startswith("Exception while preparing statement")
            answer = refused(error, text=statement.text)
            answer.typed = legacy and prepared
            if error.message.startswith("Error in WHERE expression") and "\nStatement: " in error.message:
                # ksqlDB says it at every level: of the comparison, of the condition, of the query.
                condition = error.message.rpartition("\nStatement: ")[2]
                answer.message += f"\nStatement: {condition}\nStatement: {statement.text}"
            raise answer from error

    def _query_statement(self, text: str, variables: dict[str, str], *, legacy: bool) -> ast.QueryStatement:
        try:
            found = list(statements(text, variables))
        except RestError as error:
            error.message += f"\nStatement: {text}"
            error.typed = legacy
            raise
        if len(found) != 1:
            raise bad_request(f"Expected exactly one KSQL statement; found {len(found)} instead", typed=legacy)
        statement = found[0]
        if isinstance(statement, ast.QueryStatement):
            return statement
        if isinstance(statement, ast.PrintTopic):
            raise bad_statement("PRINT is not supported by the embedded engine", statement=statement.text, typed=legacy)
        if legacy:
            kind = "io.confluent.ksql.parser.KsqlParser$PreparedStatement"
            raise bad_request(f"Statement type `{kind}' not supported for this resource")
        message = f"Neither a query nor a print statement\nStatement: {statement.text}"
        raise bad_statement(message, statement=statement.text, typed=False)

    def _begin(self, statement: ast.QueryStatement, properties: Mapping[str, Any]) -> RowStream:
        query = statement.query
        metastore = self.engine.catalog.metastore
        sanitize(query, metastore)
        source = metastore.get(query.source.name)
        if source is not None and query.emit is None and source.is_table:
            return self._pull(query, source)
        return self._push(statement, properties)

    def _pull(self, query: ast.Query, source: Source) -> RowStream:
        runner = next(
            (
                entry.runner
                for entry in self.engine.catalog.writers(source.name)
                if entry.runner is not None and entry.runner.topology.materialized is not None
            ),
            None,
        )
        planned = self.engine.planning.pull(query, self.engine.catalog.metastore)
        if runner is None or runner.topology.materialized is None:
            raise KsqlError(f"The query of the `{source.name}` table does not run: its state cannot be asked.")
        if runner.error is not None:
            raise KsqlError(f"The query of the `{source.name}` table has stopped: {runner.error}")
        with runner.lock:
            rows = pull.rows(planned, runner.topology.materialized, runner.states, task_of=runner.task_of)
        stream = RowStream(query_id=f"query_{next(self._numbers)}", columns=planned.schema.columns, push=False)
        stream.put(rows)
        stream.end()
        return stream

    def _push(self, statement: ast.QueryStatement, properties: Mapping[str, Any]) -> RowStream:
        query = statement.query
        # A pull query over a stream reads what is there; what it runs is the push query.
        bounded = query.emit is None
        query_id = f"transient_{query.source.name}_{secrets.randbits(63)}"
        planned = self.engine.planning.push(query, self.engine.catalog.metastore, query_id=query_id)
        known = self.engine.topics.all()
        settings = self.engine.settings
        streams = {name.removeprefix("ksql.streams."): value for name, value in properties.items()}
        cache = streams.get("cache.max.bytes.buffering", settings.ksql_streams_cache_max_bytes_buffering)
        interval = streams.get("commit.interval.ms", settings.ksql_streams_commit_interval_ms)
        reset = streams.get("auto.offset.reset", settings.ksql_streams_auto_offset_reset)
        stream = RowStream(query_id=query_id, columns=planned.row_columns, push=True)
        transient = TransientQuery(
            stream=stream,
            text=statement.text,
            planned=planned,
            partitions={name: topic.partitions for name, topic in known.items()},
            kafka=self.engine.kafka,
            topics=self.engine.topics,
            commit_seconds=int(interval) / 1000,
            caching=int(cache) > 0,
            earliest=reset == "earliest",
            limit=query.limit,
            bounded=bounded,
            on_end=lambda: self._forget(query_id),
        )
        self.engine.transient[query_id] = transient
        transient.start()
        return stream

    def _forget(self, query_id: str) -> None:
        self.engine.transient.pop(query_id, None)

    def close_query(self, query_id: str) -> bool:
        """End a push query."""
        transient = self.engine.transient.pop(query_id, None)
        if transient is None:
            return False
        transient.stream.close()
        return True

    # --- /inserts-stream ---

    def inserts(self, request: dict[str, Any]) -> Inserts:
        """Begin to insert rows."""
        name = str(request["target"])
        quoted = len(name) > 1 and name[0] == name[-1] == "`"
        source_name = name[1:-1] if quoted else name.upper()
        try:
            source = insert_target(source_name, self.engine.catalog.metastore)
        except StatementError as error:
            raise bad_request(error.message, code=40001, typed=False) from error
        return Inserts(source=source, writer=self._writer)


def _variables(request: dict[str, Any]) -> dict[str, str]:
    given: dict[str, Any] = request.get("sessionVariables") or {}
    return {name: str(value) for name, value in given.items()}


def _first(text: str, variables: dict[str, str]) -> str:
    return next(iter(statements(text, dict(variables)))).text
