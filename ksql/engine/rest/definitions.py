"""Statements that change what the server does: checked, completed with what they leave open, and made commands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ksql.engine.plan.names import sanitize
from ksql.engine.plan.properties import Properties
from ksql.engine.rest.entities import Entity, entity
from ksql.engine.rest.errors import RestError, bad_request, bad_statement, server_error
from ksql.engine.rest.properties import cause
from ksql.engine.rest.session import refused
from ksql.engine.runtime.command_topic import Command
from ksql.engine.runtime.engine import Query
from ksql.engine.runtime.topics import TopicExistsError
from ksql.engine.runtime.upgrades import query_upgrade_problem, source_upgrade_problem
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_statement
from ksql.errors import KsqlError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ksql.engine.metastore import Source
    from ksql.engine.rest.session import Session
    from ksql.engine.runtime.engine import Engine
    from ksql.engine.runtime.planning import PlannedQuery

CreateT = TypeVar("CreateT", ast.CreateSource, ast.CreateAsSelect)
_DEFAULT_RETENTION = "604800000"
_PLANNING = "Could not determine output schema for query due to error: "


@dataclass(frozen=True, kw_only=True)
class NewTopic:
    """A topic that a statement makes."""

    name: str
    partitions: int
    replicas: int
    settings: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A statement that can be carried out.

    Attributes:
        command: that makes it durable.
        text: what the answer shows.
        topic: to be made first; None where there is one already.
        source: the stream or table that it makes.
        planned: the query that it starts.
        change: does to a sandbox what the command will do to the server; for statements that make nothing.
        forget: topic and subjects that are to be deleted afterwards.
    """

    command: Command
    text: str
    topic: NewTopic | None = None
    source: Source | None = None
    planned: PlannedQuery | None = None
    change: Callable[[Session], None] | None = None
    forget: str | None = None


@dataclass(frozen=True)
class Definitions:
    """The statements that change something.

    Args:
        engine: the server.
    """

    engine: Engine
    kinds: tuple[type[ast.Statement], ...] = field(
        default=(
            ast.CreateSource,
            ast.CreateAsSelect,
            ast.InsertInto,
            ast.DropSource,
            ast.ManageQuery,
            ast.CreateType,
            ast.DropType,
            ast.AlterSource,
        )
    )

    def carry_out(self, statement: ast.Statement, session: Session) -> Entity:
        """Carry a statement out, or in a sandbox only check it.

        Raises:
            RestError: it cannot be carried out.
        """
        with self.engine.lock:
            found = self.prepare(statement, session)
            if isinstance(found, dict):
                return found
            if session.sandbox:
                _apply(found, session)
                return {}
            return self._execute(found, statement)

    def prepare(self, statement: ast.Statement, session: Session) -> Definition | Entity:
        """Check a statement and complete it.

        Returns:
            What is to be done; or the answer, where nothing is to be done.

        Raises:
            RestError: it cannot be carried out.
        """
        if isinstance(statement, ast.CreateSource | ast.CreateAsSelect):
            there = session.catalog.metastore.get(statement.name)
            if there is not None and statement.if_not_exists:
                kind = "table" if statement.is_table else "stream"
                message = f"Cannot add {kind} `{statement.name}`: A {kind} with the same name already exists."
                return entity("warning_entity", statement.text, message=message)
        preparations: dict[type[ast.Statement], Callable[[Any, Session], Definition | Entity]] = {
            ast.CreateSource: self._create,
            ast.CreateAsSelect: self._create_as,
            ast.InsertInto: self._insert,
            ast.DropSource: self._drop,
            ast.ManageQuery: self._manage,
            ast.CreateType: self._type,
            ast.DropType: self._type,
            ast.AlterSource: self._alter,
        }
        return preparations[type(statement)](statement, session)

    # --- carrying out ---

    def _execute(self, found: Definition, statement: ast.Statement) -> Entity:
        if found.topic is not None:
            try:
                self.engine.topics.create(
                    found.topic.name,
                    partitions=found.topic.partitions,
                    replicas=found.topic.replicas,
                    settings=found.topic.settings,
                )
            except TopicExistsError:
                pass
            except KsqlError as error:
                raise server_error(error.message, statement=statement.text) from error
        source = found.source if found.planned is None else found.planned.sink_source
        if source is not None:
            self.engine.planning.register(source, derived=found.planned is not None)
        if found.forget is not None:
            self.engine.topics.delete([found.forget])
            for side in ("key", "value"):
                self.engine.forget_subject(f"{found.forget}-{side}")
        command, status = self.engine.submit(found.command)
        return entity(
            "currentStatus",
            found.text,
            commandId=command.id,
            commandStatus=status,
            commandSequenceNumber=command.number,
        )

    # --- CREATE ---

    def _create(self, statement: ast.CreateSource, session: Session) -> Definition:
        metastore = session.catalog.metastore
        try:
            self.engine.planning.check_elements(statement, metastore)
        except KsqlError as error:
            raise bad_statement(error.message, statement=error.statement or statement.text) from error
        properties = Properties(dict(statement.properties))
        if "VALUE_FORMAT" not in properties.values and "FORMAT" not in properties.values:
            raise bad_statement(
                "Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a"
                " default via the 'ksql.persistence.default.format.value' config.",
                statement=statement.text,
            )
        if "KEY_FORMAT" not in properties.values and "FORMAT" not in properties.values:
            statement = _with(statement, KEY_FORMAT=ast.StringLiteral("KAFKA"))
        try:
            self.engine.planning.check_formats(statement)
            statement = self.engine.planning.inferred(statement, metastore)
        except KsqlError as error:
            raise bad_statement(error.message, statement=format_statement(statement)) from error
        topic = self._topic_of_source(statement, session)
        windowed = "WINDOW_TYPE" in dict(statement.properties)
        policy = "compact,delete" if windowed else "compact" if statement.is_table else "delete"
        statement = _with(statement, CLEANUP_POLICY=ast.StringLiteral(policy))
        text = format_statement(statement)
        before = metastore.get(statement.name)
        try:
            source = self.engine.planning.declare(statement, metastore)
            _check_free(before, statement)
            if before is not None:
                problem = source_upgrade_problem(before, source)
                if problem is not None:
                    raise StatementError(problem)
        except KsqlError as error:
            raise refused(error, text=text) from error
        kind = "table" if statement.is_table else "stream"
        command = Command(id=f"{kind}/`{statement.name}`/create", statement=text, properties=session.properties)
        return Definition(command=command, text=text, topic=topic, source=source)

    def _topic_of_source(self, statement: ast.CreateSource, session: Session) -> NewTopic | None:
        properties = Properties.of(statement.properties)
        name = properties.text("KAFKA_TOPIC") or ""
        partitions = properties.number("PARTITIONS")
        there = self._partitions(name, session)
        if there is None and partitions is None:
            example = format_statement(_with(statement, PARTITIONS=ast.IntegerLiteral(2)))
            raise bad_request(
                f"Topic '{name}' does not exist. If you want to create a new topic for the stream/table please re-run"
                " the statement providing the required 'PARTITIONS' configuration in the WITH clause (and optionally"
                f" 'REPLICAS'). For example: {example}"
            )
        if there is not None and partitions is None:
            return None
        retention = properties.text("RETENTION_MS") or _DEFAULT_RETENTION
        policy = "compact" if statement.is_table else "delete"
        if properties.text("WINDOW_TYPE") is not None:
            policy = "compact,delete"
        return self._new_topic(
            statement,
            session,
            NewTopic(
                name=name,
                partitions=partitions or 1,
                replicas=properties.number("REPLICAS") or 1,
                settings={"cleanup.policy": policy, "retention.ms": retention},
            ),
        )

    def _new_topic(self, statement: ast.Statement, session: Session, topic: NewTopic) -> NewTopic | None:
        there = self._partitions(topic.name, session)
        if there is None:
            if topic.partitions < 1:
                problem = cause("Number of partitions was set to an invalid non-positive value.")
                message = f"Failed to guarantee existence of topic {topic.name}\n{problem}"
                raise server_error(message, statement=statement.text)
            return topic
        if there == topic.partitions:
            return None
        info = self.engine.topics.get(topic.name)
        replicas = info.replicas if info is not None else topic.replicas
        settings = self.engine.topics.settings(topic.name) if info is not None else topic.settings
        raise server_error(
            f"A Kafka topic with the name '{topic.name}' already exists, with different partition/replica/retention"
            f" configuration than required. KSQL expects {topic.partitions} partitions (topic has {there}),"
            f" {topic.replicas} replication factor (topic has {replicas}), and {topic.settings['retention.ms']}"
            f" retention (topic has {settings['retention.ms']}).",
            statement=statement.text,
        )

    def _partitions(self, name: str, session: Session) -> int | None:
        planned = session.catalog.new_topics.get(name)
        if planned is not None:
            return planned
        info = self.engine.topics.get(name)
        return None if info is None else info.partitions

    # --- CREATE ... AS SELECT and INSERT INTO ... SELECT ---

    def _create_as(self, statement: ast.CreateAsSelect, session: Session) -> Definition:
        metastore = session.catalog.metastore
        try:
            given = Properties.of(statement.properties)
            query = sanitize(statement.query, metastore)
        except KsqlError as error:
            raise refused(error, text=statement.text) from error
        topic, statement = self._sink_topic(statement, query, given, session)
        text = format_statement(statement)
        before = metastore.get(statement.name)
        kind = "table" if statement.is_table else "stream"
        query_id = self._query_id(statement, session)
        try:
            planned = self.engine.planning.query(statement, metastore, query_id=query_id)
            _check_free(before, statement)
        except KsqlError as error:
            raise refused(error, text=text, prefix=_PLANNING) from error
        if before is not None:
            self._check_upgrade(before, planned, session, query_id=query_id, text=text)
        command = Command(
            id=f"{kind}/`{statement.name}`/create", statement=text, properties=session.properties, query_id=query_id
        )
        return Definition(command=command, text=text, topic=topic, planned=planned)

    def _query_id(self, statement: ast.CreateAsSelect, session: Session) -> str:
        if statement.or_replace:
            for query in session.catalog.writers(statement.name):
                if query.id.startswith(("CSAS_", "CTAS_")):
                    return query.id
        prefix = "CTAS" if statement.is_table else "CSAS"
        return f"{prefix}_{statement.name.upper()}_{session.catalog.next_number}"

    def _check_upgrade(
        self, before: Source, planned: PlannedQuery, session: Session, *, query_id: str, text: str
    ) -> None:
        problem = None if planned.sink_source is None else source_upgrade_problem(before, planned.sink_source)
        running = session.catalog.queries.get(query_id)
        if problem is None and running is not None:
            problem = query_upgrade_problem(running.planned, planned)
        if problem is not None:
            raise bad_statement(problem, statement=text)

    def _sink_topic(
        self, statement: ast.CreateAsSelect, query: ast.Query, given: Properties, session: Session
    ) -> tuple[NewTopic | None, ast.CreateAsSelect]:
        left = session.catalog.metastore.get(query.source.name)
        source_topic = left.topic if left is not None else ""
        info = self.engine.topics.get(source_topic)
        windowed = query.window is not None or (statement.is_table and left is not None and left.window is not None)
        policy = "compact,delete" if windowed else "compact" if statement.is_table else "delete"
        if "RETENTION_MS" in given.values:
            retention = given.text("RETENTION_MS") or _DEFAULT_RETENTION
        else:
            retention = self._retention(source_topic, query, known=info is not None)
        name = given.text("KAFKA_TOPIC") or statement.name
        partitions = given.number("PARTITIONS")
        if partitions is None:
            partitions = session.catalog.new_topics.get(source_topic) or (info.partitions if info is not None else 1)
        replicas = given.number("REPLICAS") or (info.replicas if info is not None else 1)
        topic = self._new_topic(
            statement,
            session,
            NewTopic(
                name=name,
                partitions=partitions,
                replicas=replicas,
                settings={"cleanup.policy": policy, "retention.ms": retention},
            ),
        )
        return topic, _with(
            replace(statement, query=replace(query, emit=query.emit or ast.Emit.CHANGES)),
            CLEANUP_POLICY=ast.StringLiteral(policy),
            KAFKA_TOPIC=ast.StringLiteral(name),
            PARTITIONS=ast.IntegerLiteral(partitions),
            REPLICAS=ast.IntegerLiteral(replicas),
            RETENTION_MS=ast.LongLiteral(int(retention)),
        )

    def _retention(self, topic: str, query: ast.Query, *, known: bool) -> str:
        found = int(self.engine.topics.settings(topic)["retention.ms"]) if known else int(_DEFAULT_RETENTION)
        if found > 0 and query.window is not None and query.window.retention is not None:
            found = max(found, query.window.retention.milliseconds)
        return str(found)

    def _insert(self, statement: ast.InsertInto, session: Session) -> Definition:
        metastore = session.catalog.metastore
        wanted = dict(statement.properties).get("QUERY_ID")
        query_id = f"INSERTQUERY_{session.catalog.next_number}"
        if isinstance(wanted, ast.StringLiteral):
            query_id = wanted.value.upper()
            if query_id in session.catalog.queries:
                raise bad_statement(f"Query ID '{query_id}' already exists.", statement=statement.text)
        # That its target is there ksqlDB checks while it prepares the statement.
        prefix = "" if statement.target in metastore.sources else "Exception while preparing statement: "
        try:
            planned = self.engine.planning.query(statement, metastore, query_id=query_id)
        except KsqlError as error:
            raise refused(error, text=statement.text, prefix=prefix) from error
        command = Command(
            id=f"stream/`{statement.target}`/create",
            statement=statement.text,
            properties=session.properties,
            query_id=query_id,
        )
        return Definition(command=command, text=statement.text, planned=planned)

    # --- DROP, TERMINATE and the others ---

    def _drop(self, statement: ast.DropSource, session: Session) -> Definition:
        metastore = session.catalog.metastore
        source = metastore.get(statement.name)
        kind = "table" if statement.is_table else "stream"
        text = statement.text

        def failed(message: str) -> RestError:
            return bad_statement(message, statement=text)

        if source is None:
            if statement.delete_topic and not statement.if_exists:
                overrides = ", ".join(f"{name}={value}" for name, value in session.properties.items())
                raise bad_request(
                    "Could not find source to delete topic for: ConfiguredStatement{statement="
                    f"{text}, config=SessionConfig{{overrides={{{overrides}}},"
                    f" systemConfig=io.confluent.ksql.util.KsqlConfig@{id(self.engine.settings) & 0xFFFFFFFF:x}}}}}"
                )
            if not statement.if_exists:
                raise failed(f"{kind.capitalize()} {statement.name} does not exist.")
        elif source.is_table != statement.is_table:
            have = source.kind.value.lower()
            raise failed(f"Incompatible data source type is {have}, but statement was DROP {kind}")
        else:
            self._check_unused(statement, source, session)
        if statement.delete_topic:
            statement = replace(statement, delete_topic=False)
            text = format_statement(statement)
        return Definition(
            command=Command(id=f"{kind}/{statement.name}/drop", statement=text, properties=session.properties),
            text=text,
            change=lambda sandbox: _forget(statement.name, sandbox),
            forget=source.topic if source is not None and text != statement.text else None,
        )

    def _check_unused(self, statement: ast.DropSource, source: Source, session: Session) -> None:
        catalog = session.catalog
        linked = catalog.linked(source.name)
        if linked:
            raise bad_statement(
                f"Cannot drop {source.name}.\nThe following streams and/or tables read from this source:"
                f" [{', '.join(linked)}].\nYou need to drop them before dropping {source.name}.",
                statement=statement.text,
            )
        reading = sorted(query.id for query in catalog.readers(source.name))
        writing = sorted(
            query.id for query in catalog.writers(source.name) if not query.id.startswith(("CSAS_", "CTAS_"))
        )
        if reading or writing:
            raise bad_statement(
                f"Cannot drop {source.name}.\nThe following queries read from this source: [{', '.join(reading)}].\n"
                f"The following queries write into this source: [{', '.join(writing)}].\n"
                f"You need to terminate them before dropping {source.name}.",
                statement=statement.text,
            )
        others = [other.name for other in catalog.metastore if other.topic == source.topic and other is not source]
        if statement.delete_topic and others:
            raise bad_request(
                f"Refusing to delete topic. Found other data sources ({', '.join(others)}) using topic {source.topic}"
            )

    def _manage(self, statement: ast.ManageQuery, session: Session) -> Definition:
        query_id = statement.query_id
        if query_id is not None and query_id not in session.catalog.queries:
            raise bad_statement(f"Unknown queryId: {query_id}", statement=statement.text)

        def change(sandbox: Session) -> None:
            if statement.action is ast.QueryAction.TERMINATE:
                for name in [query_id] if query_id is not None else list(sandbox.catalog.queries):
                    del sandbox.catalog.queries[name]

        action = statement.action.value.lower()
        command = Command(
            id=f"{action}/{query_id or 'ALL'}/execute", statement=statement.text, properties=session.properties
        )
        return Definition(command=command, text=statement.text, change=change)

    def _type(self, statement: ast.CreateType | ast.DropType, session: Session) -> Definition | Entity:
        types = session.catalog.metastore.types
        known = types.get(statement.name)
        named = None
        if isinstance(statement, ast.CreateType):
            if known is not None:
                message = (
                    f"Cannot register custom type '{statement.name}' since it is already registered with type: {known}"
                )
                if statement.if_not_exists:
                    return entity("warning_entity", statement.text, message=message)
                raise bad_statement(message, statement=statement.text)
            try:
                named = self.engine.planning.type(statement, session.catalog.metastore)
            except KsqlError as error:
                raise refused(error, text=statement.text) from error
        elif known is None and not statement.if_exists:
            raise bad_statement(f"Type {statement.name} does not exist.", statement=statement.text)

        def change(sandbox: Session) -> None:
            if named is None:
                sandbox.catalog.metastore.types.pop(statement.name, None)
            else:
                sandbox.catalog.metastore.types[statement.name] = named

        action = "create" if named is not None else "drop"
        return _command(statement, session, f"type/{statement.name}/{action}", change)

    def _alter(self, statement: ast.AlterSource, session: Session) -> Definition:
        try:
            altered = self.engine.planning.alter(statement, session.catalog.metastore)
        except KsqlError as error:
            raise refused(error, text=statement.text) from error
        kind = "table" if statement.is_table else "stream"

        def change(sandbox: Session) -> None:
            sandbox.catalog.metastore.put(altered)

        return _command(statement, session, f"{kind}/`{statement.name}`/alter", change)


def _command(
    statement: ast.Statement, session: Session, command_id: str, change: Callable[[Session], None]
) -> Definition:
    text = format_statement(statement)
    command = Command(id=command_id, statement=text, properties=session.properties)
    return Definition(command=command, text=text, change=change)


def _apply(found: Definition, session: Session) -> None:
    catalog = session.catalog
    if found.topic is not None:
        catalog.new_topics[found.topic.name] = found.topic.partitions
    if found.source is not None:
        catalog.metastore.put(found.source)
    if found.planned is not None:
        query_id = found.command.query_id or ""
        if found.planned.sink_source is not None:
            catalog.metastore.put(found.planned.sink_source)
            catalog.links[found.planned.sink] = found.planned.sources
        catalog.queries[query_id] = Query(
            id=query_id, text=found.text, planned=found.planned, properties=found.command.properties
        )
    if found.change is not None:
        found.change(session)
    catalog.next_number += 2


def _forget(name: str, session: Session) -> None:
    catalog = session.catalog
    if catalog.metastore.get(name) is None:
        return
    for query in catalog.writers(name):
        del catalog.queries[query.id]
    catalog.metastore.delete(name)
    catalog.links.pop(name, None)


def _check_free(before: Source | None, statement: ast.CreateSource | ast.CreateAsSelect) -> None:
    if before is None or statement.or_replace:
        return
    kind, have = ("table" if statement.is_table else "stream"), before.kind.value.lower()
    raise StatementError(f"Cannot add {kind} '{statement.name}': A {have} with the same name already exists")


def _with(statement: CreateT, **properties: ast.Expression) -> CreateT:
    given = {name.upper(): value for name, value in statement.properties}
    return replace(statement, properties=tuple((properties | given).items()))
