"""Runs ksqlDB's query tests (QTT) on the embedded engine, in memory.

A case is `passed` when the engine gives the recorded answer or refuses what ksqlDB refuses, with its message;
`refused` when the engine says that it does not support something; `wrong` otherwise.
"""

# Schemas and messages are JSON of any shape.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import base64
import io
import json
import math
import re
import sys
import traceback
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import fastavro
import typer
from rich.console import Console
from rich.table import Table

from golden.qtt_functions import test_functions
from ksql.engine.expressions.values import fit_decimal
from ksql.engine.formats import format_for
from ksql.engine.formats.avro import row_reader, strip_logical_types
from ksql.engine.formats.json import nullable_decoder
from ksql.engine.formats.proto_schema import find_message, message_classes, parse_proto
from ksql.engine.formats.protobuf import header as protobuf_header
from ksql.engine.formats.protobuf import row_writer as protobuf_writer
from ksql.engine.formats.protocol import SerdeContext
from ksql.engine.functions.catalogue import all_functions
from ksql.engine.memory.runtime import KafkaRecord, MemoryRuntime
from ksql.engine.memory.stores import MemoryRegistry
from ksql.engine.metastore import FormatInfo, MetaStore, Source, WindowInfo, WindowType
from ksql.engine.operators.build import Builder
from ksql.engine.operators.io import append_window, split_window
from ksql.engine.plan.inserts import insert_target, insert_values
from ksql.engine.plan.properties import Properties
from ksql.engine.plan.pull import pull_query
from ksql.engine.plan.rewrite import walk
from ksql.engine.plan.statements import (
    Context,
    check_replacement,
    create_as_select,
    create_source,
    insert_into,
    push_query,
    resolve_type,
)
from ksql.engine.schema import Column
from ksql.engine.sql import ast
from ksql.engine.sql.parser import parse, parse_columns
from ksql.errors import FatalRecordError, KsqlError, StatementError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ksql.engine.formats.protocol import RegisteredSchema
    from ksql.engine.memory.runtime import RunningQuery
    from ksql.engine.operators.protocol import Record


class Outcome(StrEnum):
    """How a case went."""

    PASSED = "passed"
    REFUSED = "refused"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The outcome of one case.

    Args:
        file: name of the file without its suffix.
        name: of the case; several cases may share it.
        outcome: the worst of the case's variants.
        detail: what differed or was refused.
    """

    file: str
    name: str
    outcome: Outcome
    detail: str = ""


class Difference(Exception):  # noqa: N818 - it is the news, not a failure of the program
    """The engine's answer is not the recorded one."""


def run_folder(folder: Path) -> list[CaseResult]:
    """Runs all cases of a folder's JSON files.

    Raises:
        StatementError: there are none.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise StatementError(f"no query tests in {folder}", remedy="Give the folder with the *.json files")
    return [result for file in files for result in run_file(file)]


def run_file(file: Path) -> Iterator[CaseResult]:
    """Runs all cases of a file."""
    for case in json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)["tests"]:
        yield run_case(file.stem, case)


def run_case(file: str, case: dict[str, Any]) -> CaseResult:
    """Runs a case in all its formats; the worst outcome counts."""
    worst = CaseResult(file, case["name"], Outcome.PASSED)
    order = list(Outcome)
    for variant in _variants(case):
        outcome, detail = _run_variant(variant)
        if order.index(outcome) > order.index(worst.outcome):
            worst = CaseResult(file, case["name"], outcome, detail)
    return worst


def _variants(case: dict[str, Any]) -> list[dict[str, Any]]:
    variants = [case]
    for placeholder, values in (("{FORMAT}", case.get("format")), ("{CONFIG}", case.get("config"))):
        if values:
            variants = [_replaced(variant, placeholder, str(value)) for variant in variants for value in values]
    return variants


def _replaced(value: Any, placeholder: str, text: str) -> Any:
    if isinstance(value, str):
        return value.replace(placeholder, text)
    if isinstance(value, list):
        return [_replaced(item, placeholder, text) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, placeholder, text) for key, item in value.items()}
    return value


def _run_variant(case: dict[str, Any]) -> tuple[Outcome, str]:  # noqa: PLR0911 - one branch for each kind
    expected = case.get("expectedException") or case.get("expectedError")
    try:
        run = _Run(case)
        run.execute()
        if expected is None:
            run.verify()
    except Unsupported as error:
        return Outcome.REFUSED, error.message
    except Difference as difference:
        return Outcome.WRONG, str(difference)
    except FatalRecordError as error:
        return _rejected(expected, f"Exception caught in process: {error}")
    except KsqlError as error:
        return _rejected(expected, error.message)
    except Exception as error:  # noqa: BLE001 - a crash of the engine is an outcome as well
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome.WRONG, f"crashed: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    if expected is not None:
        return Outcome.WRONG, f"accepted, but ksqlDB says: {expected.get('message')}"
    return Outcome.PASSED, ""


def _rejected(expected: dict[str, Any] | None, message: str) -> tuple[Outcome, str]:
    if expected is None:
        return Outcome.WRONG, f"rejected: {message}"
    wanted = expected.get("message")
    if wanted is None or _normal(wanted) in _normal(message):
        return Outcome.PASSED, ""
    return Outcome.WRONG, f"rejected with: {message}\n    but ksqlDB says: {wanted}"


_TAIL = re.compile(r"(\s*Statement: .*)|(\(eg, SELECT.*)", re.DOTALL)


def _normal(message: str) -> str:
    """A message without what is added for the reader: the statement's text, help, blanks."""
    return " ".join(_TAIL.sub("", message).replace("Error in WHERE expression: ", "").split()).rstrip(".")


class _Run:
    """One variant of a case."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.settings = {name: str(value) for name, value in case.get("properties", {}).items()}
        self.registry = MemoryRegistry()
        self.metastore = MetaStore()
        self.functions = all_functions().extended(test_functions())
        self.runtime = MemoryRuntime()
        self.sinks: list[Source] = []
        self.answers: list[list[dict[str, Any]] | None] = []
        self._queries: dict[str, RunningQuery] = {}
        self._push_answers: list[Any] = []
        self._pull_answers: list[Any] = []
        self._scans: list[list[dict[str, Any]]] = []

    @property
    def context(self) -> Context:
        return Context(self.metastore, self.functions, self.registry, self.settings)

    # --- running ---

    def execute(self) -> None:
        statements = parse("\n".join(self.case["statements"]))
        self._register_topics(statements)
        queries = [item for item in statements if isinstance(item, ast.QueryStatement)]
        pushes = [item for item in queries if item.query.emit is not None]
        for statement in statements:
            if isinstance(statement, ast.QueryStatement):
                if statement in pushes:
                    self._push(statement)
            else:
                self._statement(statement)
        for record in self.case.get("inputs", []):
            self._input(record)
        for statement in queries:
            if statement not in pushes:
                self._pull(statement)
        self._order_answers(statements)

    def _register_topics(self, statements: Sequence[ast.Statement]) -> None:
        """Registers schemas in the order in which ksqlDB's tests make topics: those of statements first."""
        topics = {topic["name"]: topic for topic in self.case.get("topics", []) if isinstance(topic, dict)}
        for statement in statements:
            if isinstance(statement, ast.CreateSource):
                name = Properties.of(statement.properties).text("KAFKA_TOPIC") or ""
                if name in topics:
                    self._register_topic(topics.pop(name))
                else:
                    self._register_columns(statement)
        for topic in topics.values():
            self._register_topic(topic)

    def _register_columns(self, statement: ast.CreateSource) -> None:
        try:
            source = create_source(statement, self.context)
        except KsqlError:
            return
        for side, info, columns in (
            ("key", source.key_format, source.schema.key),
            ("value", source.value_format, source.schema.value),
        ):
            schema = format_for(info).schema(columns, info) if columns else None
            if schema is not None:
                self.registry.register(f"{source.topic}-{side}", type=schema[0], text=schema[1])

    def _register_topic(self, topic: dict[str, Any]) -> None:
        for side in ("key", "value"):
            schema = topic.get(f"{side}Schema")
            if schema is None:
                continue
            form = str(topic.get(f"{side}Format") or topic.get("format") or "AVRO").upper()
            if isinstance(schema, str) and form != "AVRO":
                kind, text = "PROTOBUF", schema
            else:
                kind, text = "AVRO" if form == "AVRO" else "JSON", json.dumps(schema, default=_plain_number)
            self.registry.register(
                f"{topic['name']}-{side}", type=kind, text=text, schema_id=topic.get(f"{side}SchemaId")
            )

    def _statement(self, statement: ast.Statement) -> None:  # noqa: C901, PLR0912 - one branch for each kind
        if isinstance(statement, ast.CreateSource):
            check_replacement(statement, self.metastore)
            source = create_source(statement, self.context)
            self.metastore.put(source)
            if source.read_only and source.is_table:
                self._materialize(source)
            self.answers.append(None)
        elif isinstance(statement, ast.CreateAsSelect):
            created = create_as_select(statement, self.context)
            self.metastore.put(created.source)
            self.sinks.append(created.source)
            self._start(created.plan.step, created.source.name)
            self.answers.append(None)
        elif isinstance(statement, ast.InsertInto):
            plan = insert_into(statement, self.context)
            self._start(plan.step, None)
            self.answers.append(None)
        elif isinstance(statement, ast.InsertValues):
            self._insert(statement)
        elif isinstance(statement, ast.CreateType):
            self.metastore.types[statement.name] = resolve_type(statement.type, self.metastore.types)
            self.answers.append(None)
        elif isinstance(statement, ast.DropSource):
            if self.metastore.get(statement.name) is not None:
                self.metastore.delete(statement.name)
            elif not statement.if_exists:
                raise StatementError(f"Source {statement.name} does not exist.")
            self.answers.append(None)
        elif isinstance(statement, ast.DropType):
            self.metastore.types.pop(statement.name, None)
            self.answers.append(None)
        elif isinstance(statement, ast.SetProperty):
            if statement.value is not None:
                self.settings[statement.name] = statement.value
        else:
            raise Unsupported(f"{type(statement).__name__} in query tests")

    def _builder(self) -> Builder:
        return Builder(self.functions, self.registry, self.settings)

    def _start(self, step: Any, name: str | None) -> None:
        query = self.runtime.start(self._builder().build(step))
        if name is not None:
            self._queries[name] = query

    def _materialize(self, source: Source) -> None:
        plan = self.context.planner.plan(
            ast.Query((ast.AllColumns(),), ast.TableRef(source.name, source.name)), sink=f"{source.name}_TABLE"
        )
        self._start(plan.step, source.name)

    def _insert(self, statement: ast.InsertValues) -> None:
        source = insert_target(statement.target, self.context.metastore)
        row = insert_values(statement, source, self.context)
        key, value = _serializers(source, self.registry)
        self.runtime.produce(
            source.topic,
            None if row.key is None or key is None else key(row.key),
            value(row.value),
            0 if row.timestamp is None else row.timestamp,
        )

    def _push(self, statement: ast.QueryStatement) -> None:
        plan = push_query(statement.query, self.context)
        rows: list[dict[str, Any]] = []
        step = plan.step
        is_table = step.is_table

        def listen(record: Record) -> None:
            if plan.limit is not None and len(rows) >= plan.limit:
                return
            if record.value is not None:
                rows.append({"row": {"columns": list(record.value)}})
            elif is_table and record.key is not None:
                columns = [_tombstone_column(part, record) for part in plan.keys]
                rows.append({"row": {"columns": columns, "tombstone": True}})

        query = self.runtime.start(self._builder().build(step), listen)
        self.runtime.replay(query)
        header = {"header": {"schema": ", ".join(f"`{c.name}` {c.type}" for c in step.schema.value)}}
        self._push_answers.append((statement, header, rows, plan.limit))

    def _pull(self, statement: ast.QueryStatement) -> None:
        pull = pull_query(statement.query, self.context)
        query = self._queries.get(pull.source.name)
        if query is None or query.topology.materialized is None:
            raise Unsupported("A pull query on this table")
        rows = [{"row": {"columns": list(row)}} for row in pull.rows(query.topology.materialized, query.state)]
        answer = [{"header": {"schema": str(pull.schema)}}, *rows]
        if pull.keys is None or _has_or(statement.query.where):
            self._scans.append(answer)
        self._pull_answers.append((statement, answer))

    def _order_answers(self, statements: Sequence[ast.Statement]) -> None:
        answers: list[list[dict[str, Any]] | None] = []
        for statement in statements:
            if not isinstance(statement, ast.QueryStatement):
                if not isinstance(statement, (ast.InsertValues, ast.SetProperty)):
                    answers.append(None)
                continue
            for item, header, rows, limit in self._push_answers:
                if item is statement:
                    tail = [] if limit is None else [{"finalMessage": "Limit Reached"}]
                    answers.append([header, *rows, *tail])
            for item, answer in self._pull_answers:
                if item is statement:
                    answers.append(answer)
        self.answers = answers

    # --- inputs ---

    def _source_of(self, topic: str) -> Source | None:
        return next((source for source in self.metastore if source.topic == topic), None)

    def _input(self, record: dict[str, Any]) -> None:
        source = self._source_of(record["topic"])
        if source is None:
            raise Unsupported(f"An input to topic {record['topic']}, which no source reads,")
        key = _input_bytes(record.get("key"), source, self.registry, is_key=True)
        window = record.get("window")
        if key is not None and window is not None:
            info = source.window or WindowInfo(
                WindowType.SESSION if str(window.get("type", "")).lower() == "session" else WindowType.TUMBLING
            )
            key = append_window(key, (int(window["start"]), int(window["end"])), info)
        value = _input_bytes(record.get("value"), source, self.registry, is_key=False)
        headers = tuple(
            (item["KEY"], None if item.get("VALUE") is None else base64.b64decode(item["VALUE"]))
            for item in record.get("headers", [])
        )
        self.runtime.produce(record["topic"], key, value, int(record.get("timestamp", 0)), headers)

    # --- comparison ---

    def verify(self) -> None:
        if "responses" in self.case:
            self._verify_responses()
        self._verify_outputs()
        self._verify_post()

    def _verify_responses(self) -> None:  # noqa: C901 - one branch for each kind
        responses = self.case["responses"]
        if len(responses) != len(self.answers):
            raise Difference(f"{len(self.answers)} answers, expected {len(responses)}")
        for expected, answer in zip(responses, self.answers, strict=True):
            if "query" not in expected:
                continue
            wanted = expected["query"]
            if answer is None or len(answer) != len(wanted):
                raise Difference(f"answer {_short(answer)}, expected {_short(wanted)}")
            for have, want in zip(self._in_order(answer, wanted), wanted, strict=True):
                if "header" in want:
                    if have.get("header", {}).get("schema") != want["header"]["schema"]:
                        raise Difference(f"{_short(have)}, expected {_short(want)}")
                elif "row" in want:
                    have_row, want_row = have.get("row", {}), want["row"]
                    exact = self._exact
                    if not _equal(have_row.get("columns"), want_row["columns"], exact=exact) or bool(
                        have_row.get("tombstone")
                    ) != bool(want_row.get("tombstone")):
                        raise Difference(f"row {_short(have)}, expected {_short(want)}")
                elif have != want:
                    raise Difference(f"{_short(have)}, expected {_short(want)}")

    def _in_order(self, answer: list[Any], wanted: list[Any]) -> list[Any]:
        """The rows of a table scan in the order that is wanted: ksqlDB gives them partition by partition."""
        if not any(answer is item for item in self._scans):
            return answer
        rest = [item for item in answer if "row" in item]
        out = [item for item in answer if "row" not in item]
        for want in wanted:
            if "row" not in want:
                continue
            found = next(
                (item for item in rest if _equal(item["row"]["columns"], want["row"]["columns"], exact=self._exact)),
                None,
            )
            if found is None:
                return answer
            rest.remove(found)
            out.append(found)
        return out

    @property
    def _exact(self) -> bool:
        return self.settings.get("use.exact.numeric.comparison", "True").lower() != "false"

    def _verify_outputs(self) -> None:
        if "outputs" not in self.case:
            return
        expected: dict[str, list[dict[str, Any]]] = {}
        for output in self.case["outputs"]:
            expected.setdefault(output["topic"], []).append(output)
        if not expected and self.sinks:
            expected[self.sinks[-1].topic] = []
        for topic, wanted in expected.items():
            self._verify_topic(topic, wanted)

    def _verify_topic(self, topic: str, wanted: list[dict[str, Any]]) -> None:
        source = next((item for item in reversed(self.sinks) if item.topic == topic), None) or self._source_of(topic)
        if source is None:
            raise Difference(f"there is no topic {topic}")
        records = self.runtime.topics.get(topic, [])
        for index, want in enumerate(wanted):
            if index >= len(records):
                raise Difference(f"{topic}: record {index} is missing: {_short(want)}")
            self._verify_record(source, records[index], want, index)
        if len(records) > len(wanted):
            extra = records[len(wanted)]
            key, value, window = self._readable(source, extra)
            raise Difference(
                f"{topic}: unexpected record {len(wanted)}: {_short((key, value, window, extra.timestamp))}"
            )

    def _readable(self, source: Source, record: KafkaRecord) -> tuple[Any, Any, Any]:
        window = None
        key = record.key
        if key is not None and source.window is not None:
            key, window = split_window(key, source.window)
        readable_key = _readable(key, source.key_format, source.schema.key, source.topic, self.registry, is_key=True)
        readable_value = _readable(
            record.value, source.value_format, source.schema.value, source.topic, self.registry, is_key=False
        )
        return readable_key, readable_value, window

    def _verify_record(self, source: Source, record: KafkaRecord, want: dict[str, Any], index: int) -> None:
        key, value, window = self._readable(source, record)
        place = f"{source.topic}: record {index}"
        exact = self._exact
        if not _equal(key, want.get("key"), exact=exact):
            raise Difference(f"{place}: key {_short(key)}, expected {_short(want.get('key'))} (value {_short(value)})")
        if not _equal(value, want.get("value"), exact=exact):
            raise Difference(f"{place}: value {_short(value)}, expected {_short(want.get('value'))}")
        if want.get("timestamp") is not None and int(want["timestamp"]) != record.timestamp:
            raise Difference(f"{place}: timestamp {record.timestamp}, expected {want['timestamp']}")
        if want.get("window") is not None:
            wanted = (int(want["window"]["start"]), int(want["window"]["end"]))
            if window is None or window != wanted:
                raise Difference(f"{place}: window {window}, expected {wanted}")
        if "headers" in want:
            have = [
                {"KEY": name, "VALUE": None if item is None else base64.b64encode(item).decode()}
                for name, item in record.headers
            ]
            if have != want["headers"]:
                raise Difference(f"{place}: headers {have}, expected {want['headers']}")

    def _verify_post(self) -> None:
        for want in self.case.get("post", {}).get("sources", []):
            source = self.metastore.get(want["name"])
            if source is None:
                raise Difference(f"source {want['name']} does not exist")
            if source.kind.value != want.get("type", source.kind.value).upper():
                raise Difference(f"{source.name} is a {source.kind.value}, expected {want['type']}")
            if want.get("schema"):
                _verify_schema(source, want["schema"])
            _verify_format(source, want)


def _verify_schema(source: Source, text: str) -> None:
    wanted = [
        (element.name, element.type, element.constraint in (ast.Constraint.KEY, ast.Constraint.PRIMARY_KEY))
        for element in parse_columns(text)
    ]
    have = [(column.name, column.type, column.namespace.value == "KEY") for column in source.schema.columns]
    if have != wanted:
        raise Difference(f"schema {source.schema}, expected {text}")


def _verify_format(source: Source, want: dict[str, Any]) -> None:
    key_format = want.get("keyFormat") or {}
    if isinstance(key_format, dict):
        if key_format.get("format", source.key_format.name) != source.key_format.name:
            raise Difference(f"key format {source.key_format.name}, expected {key_format['format']}")
        window = key_format.get("windowType")
        if window and (source.window is None or source.window.type.value != window):
            raise Difference(f"windows {source.window}, expected {window}")
        size = key_format.get("windowSize")
        if size and (source.window is None or source.window.size_ms != int(size)):
            raise Difference(f"windows {source.window}, expected size {size}")
    value_format = want.get("valueFormat")
    if isinstance(value_format, str) and value_format != source.value_format.name:
        raise Difference(f"value format {source.value_format.name}, expected {value_format}")


def _has_or(where: ast.Expression | None) -> bool:
    return where is not None and any(isinstance(node, ast.Logical) and node.op == "OR" for node in walk(where))


def _tombstone_column(part: int | str | None, record: Record) -> Any:
    if part is None or record.key is None:
        return None
    if isinstance(part, int):
        return record.key[part]
    assert record.window is not None  # noqa: S101
    return record.window[0 if part == "WINDOWSTART" else 1]


# --- bytes from and to the tests' JSON ---


def _plain_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and "." not in str(value) else float(value)
    raise TypeError(value)


def _exact_json(value: Any) -> str:
    """JSON with numbers as they were written in the test."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_exact_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_exact_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _serializers(source: Source, registry: MemoryRegistry) -> tuple[Any, Any]:
    key = None
    if source.schema.key:
        key = format_for(source.key_format).serializer(
            source.schema.key, source.key_format, SerdeContext(source.topic, is_key=True, registry=registry)
        )
    value = format_for(source.value_format).serializer(
        source.schema.value, source.value_format, SerdeContext(source.topic, is_key=False, registry=registry)
    )
    return key, value


def _input_bytes(value: Any, source: Source, registry: MemoryRegistry, *, is_key: bool) -> bytes | None:  # noqa: PLR0911 - one branch for each kind
    if value is None:
        return None
    info = source.key_format if is_key else source.value_format
    columns = source.schema.key if is_key else source.schema.value
    if info.name == "JSON":
        return _exact_json(value).encode()
    if info.name == "DELIMITED" or (info.name in ("NONE", "KAFKA") and not columns):
        return str(value).encode()
    if info.name == "KAFKA":
        return _typed_bytes(_kafka_row(value, columns), info, columns, source.topic, registry, is_key=is_key)
    if info.name == "JSON_SR":
        schema_id = _schema_id(source.topic, registry, is_key=is_key, text="{}", kind="JSON")
        return b"\x00" + schema_id.to_bytes(4, "big") + _exact_json(value).encode()
    subject = f"{source.topic}-{'key' if is_key else 'value'}"
    registered = registry.latest(subject)
    if info.name == "AVRO" and registered is not None:
        return _avro_bytes(value, registered.id, registered.text)
    if info.name.startswith("PROTOBUF"):
        if registered is not None and info.name == "PROTOBUF":
            return _protobuf_bytes(value, info, registered)
        return _typed_bytes(_row_of_json(value, columns, info), info, columns, source.topic, registry, is_key=is_key)
    return _typed_bytes(_row_of_json(value, columns, info), info, columns, source.topic, registry, is_key=is_key)


def _schema_id(topic: str, registry: MemoryRegistry, *, is_key: bool, text: str, kind: str) -> int:
    subject = f"{topic}-{'key' if is_key else 'value'}"
    registered = registry.latest(subject)
    return registry.register(subject, type=kind, text=text) if registered is None else registered.id


def _kafka_row(value: Any, columns: Sequence[Column]) -> tuple[Any, ...]:
    column = columns[0]
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    if column.type.base == "STRING":
        return (value if isinstance(value, str) else _exact_json(value),)
    return (nullable_decoder(column.type)(value),)


def _row_of_json(value: Any, columns: Sequence[Column], info: FormatInfo) -> tuple[Any, ...]:
    if len(columns) == 1 and not info.wrap:
        return (nullable_decoder(columns[0].type)(value),)
    folded = {name.upper(): item for name, item in value.items()}
    return tuple(
        nullable_decoder(column.type)(value.get(column.name, folded.get(column.name.upper()))) for column in columns
    )


def _typed_bytes(
    row: tuple[Any, ...],
    info: FormatInfo,
    columns: Sequence[Column],
    topic: str,
    registry: MemoryRegistry,
    *,
    is_key: bool,
) -> bytes | None:
    serializer = format_for(info).serializer(columns, info, SerdeContext(topic, is_key, registry))
    return serializer(row)


def _protobuf_bytes(value: Any, info: FormatInfo, registered: RegisteredSchema) -> bytes:
    """A test's JSON value as a message of a registered schema."""
    keep_case = FormatInfo(info.name, (*info.properties, ("schemaId", "0")))
    columns = [Column(name, kind) for name, kind in format_for(info).infer(registered, keep_case, is_key=False)]
    row = _row_of_json(value, columns, FormatInfo(info.name))
    index, _ = find_message(parse_proto(registered.text), info.get("fullSchemaName"))
    write = protobuf_writer(message_classes(registered.text)[index], [(c.name, c.type) for c in columns])
    return protobuf_header(registered.id, index) + write(row)


def _avro_bytes(value: Any, schema_id: int, text: str) -> bytes:
    schema = json.loads(text)
    buffer = io.BytesIO()
    buffer.write(b"\x00" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(strip_logical_types(schema)), _avro_datum(value, schema))
    return buffer.getvalue()


def _avro_datum(value: Any, schema: Any) -> Any:  # noqa: C901, PLR0911 - one branch for each kind
    """A test's JSON value as fastavro writes it with a schema."""
    if value is None:
        return None
    if isinstance(schema, list):
        rest = [option for option in schema if option != "null"]
        return _avro_datum(value, rest[0])
    kind: Any = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, (dict, list)):
        return _avro_datum(value, kind)
    detail: dict[str, Any] = schema if isinstance(schema, dict) else {}
    if isinstance(schema, dict) and schema.get("logicalType") == "decimal":
        scale = int(schema.get("scale", 0))
        return fit_decimal(Decimal(str(value)), int(schema.get("precision", 64)), scale)
    if kind == "record":
        folded = {name.upper(): item for name, item in value.items()}
        return {
            field["name"]: _avro_datum(value.get(field["name"], folded.get(field["name"].upper())), field["type"])
            for field in detail["fields"]
        }
    if kind == "array":
        items = detail["items"]
        if isinstance(value, dict):
            types = {field["name"]: field["type"] for field in items["fields"]}
            return [
                {"key": _avro_datum(k, types["key"]), "value": _avro_datum(v, types["value"])} for k, v in value.items()
            ]
        return [_avro_datum(item, items) for item in value]
    if kind == "map":
        return {key: _avro_datum(item, detail["values"]) for key, item in value.items()}
    if kind in ("float", "double"):
        return float(value)
    if kind in ("int", "long"):
        return int(value)
    if kind == "bytes" and isinstance(value, str):
        return base64.b64decode(value)
    return value


def _readable(  # noqa: PLR0911 - one branch for each kind
    data: bytes | None,
    info: FormatInfo,
    columns: Sequence[Column],
    topic: str,
    registry: MemoryRegistry,
    *,
    is_key: bool,
) -> Any:
    """A record's key or value as the tests write it."""
    if data is None:
        return None
    if info.name == "JSON":
        return json.loads(data, parse_float=Decimal)
    if info.name == "JSON_SR":
        return json.loads(data[5:], parse_float=Decimal)
    if info.name == "DELIMITED":
        return data.decode()
    if info.name in ("NONE",) or not columns:
        return data.decode()
    if info.name in ("AVRO", "PROTOBUF") and info.get("schemaId") is not None:
        # A schema from elsewhere may have more fields than there are columns.
        registered = registry.by_id(int.from_bytes(data[1:5], "big"))
        columns = [Column(name, kind) for name, kind in format_for(info).infer(registered, info, is_key=is_key)]
    if info.name == "AVRO":
        schema_id = int.from_bytes(data[1:5], "big")
        schema = json.loads(registry.by_id(schema_id).text)
        read = row_reader(schema, columns, wrapped=len(columns) != 1 or info.wrap)
        row: tuple[Any, ...] = read(io.BytesIO(data[5:])) or ()
    else:
        context = SerdeContext(topic, is_key, registry)
        row = format_for(info).deserializer(columns, info, context)(data) or ()
    if len(columns) == 1 and not info.wrap:
        return row[0]
    return dict(zip((column.name for column in columns), row, strict=True))


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) < 500 else text[:500] + "…"


def _equal(have: Any, want: Any, *, exact: bool) -> bool:  # noqa: PLR0911 - one branch for each kind
    if isinstance(have, bytes):
        have = base64.b64encode(have).decode()
    if have is None or want is None:
        return have is want
    if isinstance(have, dict) and isinstance(want, dict):
        names = set(have) | set(want)
        folded = {name.upper(): item for name, item in want.items()} if set(want) - set(have) else want
        return all(
            _equal(have.get(name), want.get(name, folded.get(name.upper())), exact=exact)
            for name in names
            if name in have or (name.upper() not in {n.upper() for n in have})
        )
    if isinstance(have, list) and isinstance(want, list):
        return len(have) == len(want) and all(
            _equal(left, right, exact=exact) for left, right in zip(have, want, strict=True)
        )
    if isinstance(have, bool) or isinstance(want, bool):
        return have is want
    if isinstance(want, str) and not isinstance(have, str):
        return _equal_text(have, want)
    if isinstance(have, str) or isinstance(want, str):
        return have == want
    return _equal_numbers(have, want, exact=exact)


def _equal_text(have: Any, want: str) -> bool:
    if isinstance(have, float) and not math.isfinite(have):
        return want == {math.inf: "Infinity", -math.inf: "-Infinity"}.get(have, "NaN")
    try:
        return Decimal(want) == Decimal(str(have))
    except (InvalidOperation, ValueError):
        return False


def _equal_numbers(have: Any, want: Any, *, exact: bool) -> bool:
    try:
        if isinstance(have, float) or not exact:
            left, right = float(have), float(want)
            return left == right or (not exact and math.isclose(left, right, rel_tol=1e-9))
        if Decimal(have) == Decimal(want):
            return True
        return float(have) == float(want) and isinstance(have, Decimal) and isinstance(want, Decimal)
    except (TypeError, ValueError, InvalidOperation):
        return False


# --- the command ---


@dataclass(slots=True)
class Totals:
    """How many cases went how."""

    counts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))

    def add(self, result: CaseResult) -> None:
        """Counts a case."""
        self.counts[result.outcome] += 1

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps({outcome.value: count for outcome, count in self.counts.items()})


def main(
    folder: Annotated[Path, typer.Argument(help="the folder with the query tests")],
    *,
    json: Annotated[bool, typer.Option("--json", help="print the totals as one line of JSON")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="list the wrong cases")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="list the refused cases")] = False,
) -> None:
    """Run ksqlDB's query tests on the embedded engine."""
    try:
        results = run_folder(folder)
    except KsqlError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    total = Totals()
    per_file: dict[str, Totals] = {}
    for result in results:
        total.add(result)
        per_file.setdefault(result.file, Totals()).add(result)
    for result in results:
        if (wrong and result.outcome is Outcome.WRONG) or (refused and result.outcome is Outcome.REFUSED):
            typer.echo(f"{result.outcome.value}: {result.file}: {result.name}: {result.detail}", err=json)
    if json:
        typer.echo(total.as_json())
        return
    table = Table("file", *(outcome.value for outcome in Outcome))
    for name, totals in (*per_file.items(), ("all", total)):
        table.add_row(name, *(str(totals.counts[outcome]) for outcome in Outcome))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    typer.run(main)
