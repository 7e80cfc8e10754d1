"""Rows that clients insert: INSERT INTO ... VALUES and /inserts-stream."""

# JSON of clients may be anything, and confluent-kafka's types are only partly annotated.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import json
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from ksql.engine.expressions.compiler import Compiler
from ksql.engine.expressions.values import caster, implicitly_castable
from ksql.engine.rest.errors import RestError, bad_request, bad_statement
from ksql.engine.schema import ROWTIME, Namespace
from ksql.engine.sql.formatter import format_statement
from ksql.engine.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NULL,
    STRING,
    SqlArray,
    SqlDecimal,
    SqlMap,
    SqlStruct,
    SqlType,
)
from ksql.errors import KsqlError, RecordError, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ksql.engine.metastore import MetaStore, Source
    from ksql.engine.runtime.planning import Planning
    from ksql.engine.schema import Column
    from ksql.engine.sql import ast

_SECONDS = 30.0
_TEMPORAL = frozenset({"DATE", "TIME", "TIMESTAMP", "BYTES"})


class _NoRecord:
    """Stands for a record where constants are evaluated."""

    key = value = window = None
    timestamp = 0


class Writer:
    """Writes rows to topics.

    Args:
        kafka: settings of a Kafka client.
        planning: for serialisers.
    """

    def __init__(self, *, kafka: Mapping[str, Any], planning: Planning) -> None:
        self._producer = Producer(
            {**kafka, "partitioner": "murmur2_random", "linger.ms": 0, "enable.idempotence": True}
        )
        self._planning = planning
        self._lock = threading.Lock()

    def write(self, source: Source, row: Mapping[str, Any]) -> None:
        """Write a row, and wait until Kafka has it.

        Args:
            source: the stream or table.
            row: values by column; ROWTIME may be among them.

        Raises:
            KsqlError: it cannot be written.
        """
        key = tuple(row.get(column.name) for column in source.schema.key)
        value = tuple(row.get(column.name) for column in source.schema.value)
        write_key, write_value = self._planning.serializers(source)
        failures: list[str] = []
        try:
            key_data = None if not key or all(item is None for item in key) else write_key(key)
            value_data = write_value(value)
        except RecordError as error:
            raise KsqlError(f"Could not serialize the row: {error}") from error
        with self._lock:
            self._producer.produce(
                source.topic,
                key=key_data,
                value=value_data,
                timestamp=int(row.get(ROWTIME) or time.time() * 1000),
                on_delivery=lambda error, _: failures.append(error.str()) if error is not None else None,
            )
            left = self._producer.flush(_SECONDS)
        if left or failures:
            raise ServerError(failures[0] if failures else "Kafka does not take the row", where=f"topic {source.topic}")


def target(name: str, metastore: MetaStore, *, code: int) -> Source:
    """Return the stream or table that rows are inserted in.

    Raises:
        RestError: there is none of that name, or it cannot be written.
    """
    source = metastore.get(name)
    if source is None:
        raise bad_request(f"Cannot insert values into an unknown stream/table: `{name}`", code=code)
    if source.read_only:
        raise bad_request(f"Cannot insert values into read-only {source.kind.value.lower()}: {name}")
    if source.schema.headers:
        names = ", ".join(f"{column.name}" for column in source.schema.headers)
        raise bad_request(f"Cannot insert into HEADER columns: {names}")
    return source


def statement_row(statement: ast.InsertValues, source: Source, planning: Planning) -> dict[str, Any]:
    """Return the row of an INSERT INTO ... VALUES statement.

    Args:
        statement: as parsed.
        source: its target.
        planning: for the functions that its values may call.

    Raises:
        RestError: the values do not fit.
    """
    text = format_statement(statement)

    def failed(message: str) -> RestError:
        return bad_statement(f"Failed to insert values into '{source.name}'. {message}", statement=text)

    names = list(statement.columns) or [column.name for column in source.schema.columns]
    if len(names) != len(statement.values):
        if statement.columns:
            counts = f"{len(names)}, {len(statement.values)}"
            message = f"Failed to prepare statement: Expected number columns and values to match: {counts}"
            raise bad_statement(message, statement=text)
        columns = ", ".join(f"`{name}`" for name in names)
        raise failed(
            f"Expected a value for each column. Expected Columns: [{columns}]. Got {len(statement.values)} values."
        )
    compiler = Compiler({}, planning.functions)
    row: dict[str, Any] = {}
    for name, expression in zip(names, statement.values, strict=True):
        column = source.schema.find(name)
        if column is None and name != ROWTIME:
            raise failed(f"Column name `{name}` does not exist.")
        sql_type = BIGINT if column is None else column.type
        try:
            code = compiler.translate(expression)
            value = compiler.value_function(expression)(_NoRecord)
        except KsqlError as error:
            raise failed(f"Invalid insert value: {error.message}.") from error
        if value is not None and not _fits(code.type, sql_type):
            raise failed(f"Expected type {sql_type} for field `{name}` but got {code.type}({value})")
        try:
            row[name] = None if value is None or code.type == NULL else caster(code.type, sql_type)(value)
        except (ValueError, ArithmeticError, KsqlError) as error:
            raise failed(f"Invalid insert value: {error}.") from error
    missing = _missing_key(row, source)
    if source.is_table and missing:
        raise failed(f"Value for primary key column(s) {', '.join(missing)} is required for tables")
    return row


def _missing_key(row: Mapping[str, Any], source: Source) -> list[str]:
    return [column.name for column in source.schema.key if row.get(column.name) is None]


def _fits(given: SqlType, wanted: SqlType) -> bool:  # noqa: PLR0911 - one a kind of type
    if given in {NULL, wanted} or implicitly_castable(given, wanted):
        return True
    if given == STRING and wanted.base in _TEMPORAL:
        return True
    if isinstance(given, SqlDecimal) and (wanted == DOUBLE or isinstance(wanted, SqlDecimal)):
        return True
    if given in {INTEGER, BIGINT} and isinstance(wanted, SqlDecimal):
        return True
    if isinstance(given, SqlArray) and isinstance(wanted, SqlArray):
        return _fits(given.element, wanted.element)
    if isinstance(given, SqlMap) and isinstance(wanted, SqlMap):
        return _fits(given.key, wanted.key) and _fits(given.value, wanted.value)
    if isinstance(given, SqlStruct) and isinstance(wanted, SqlStruct):
        fields = dict(wanted.fields)
        return all(name in fields and _fits(field, fields[name]) for name, field in given.fields)
    return False


class Inserts:
    """A stream of rows for one target.

    Args:
        source: the target.
        writer: writes the rows.
    """

    def __init__(self, *, source: Source, writer: Writer) -> None:
        self._source = source
        self._writer = writer
        self._sequence = -1

    def insert(self, lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], bool]:
        """Insert rows that arrived together.

        Args:
            lines: JSON objects.

        Returns:
            What to answer, and whether more may come. After a row that cannot be inserted nothing more is taken, and
            the rows before it that arrived with it are not acknowledged, though they were inserted.
        """
        answers: list[dict[str, Any]] = []
        for line in lines:
            self._sequence += 1
            try:
                self._writer.write(self._source, self._row(line))
            except RestError as error:
                return [_insert_error(self._sequence, error.message)], False
            except KsqlError as error:
                return [_insert_error(self._sequence, error.message)], False
            answers.append({"seq": self._sequence, "status": "ok"})
        return answers, True

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            given = json.loads(line, parse_float=Decimal)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise bad_request("Invalid JSON in inserts stream")
        by_name = {_name(str(name)): value for name, value in given.items()}
        missing = _missing_key(by_name, self._source)
        if missing:
            raise bad_request(f"Key field must be specified: {missing[0]}")
        columns: list[Column] = [
            column for column in self._source.schema.columns if column.namespace is not Namespace.HEADERS
        ]
        return {column.name: from_json(by_name.get(column.name), column.type) for column in columns}


def _insert_error(sequence: int, message: str) -> dict[str, Any]:
    return {"@type": "InsertError", "status": "error", "seq": sequence, "message": message, "error_code": 40000}


def _name(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '`"'
    return text[1:-1] if quoted else text.upper()


def from_json(value: Any, sql_type: SqlType) -> Any:
    """Return the SQL value of a JSON value.

    Args:
        value: as parsed; numbers with a point as Decimal.
        sql_type: what it should be.

    Raises:
        RestError: it is something else.
    """
    if value is None:
        return None
    if isinstance(sql_type, SqlArray) and isinstance(value, list):
        return [from_json(item, sql_type.element) for item in value]
    if isinstance(sql_type, SqlMap) and isinstance(value, dict):
        return {str(key): from_json(item, sql_type.value) for key, item in value.items()}
    if isinstance(sql_type, SqlStruct) and isinstance(value, dict):
        by_name = {_name(str(key)): item for key, item in value.items()}
        return {name: from_json(by_name.get(name), field) for name, field in sql_type.fields}
    given = _json_type(value)
    if given is None or not (_fits(given, sql_type) or (given == BIGINT and sql_type == INTEGER)):
        raise bad_request(f"Can't coerce a field of type {_java(value)} ({value}) into type {sql_type}")
    try:
        return caster(given, sql_type)(value)
    except (ValueError, ArithmeticError, KsqlError):
        raise bad_request(f"Can't coerce a field of type {_java(value)} ({value}) into type {sql_type}") from None


def _json_type(value: Any) -> SqlType | None:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER if -(2**31) <= value < 2**31 else BIGINT
    if isinstance(value, Decimal):
        digits, exponent = len(value.as_tuple().digits), int(value.as_tuple().exponent)
        return SqlDecimal(max(digits, -exponent), max(-exponent, 0))
    return STRING if isinstance(value, str) else None


def _java(value: Any) -> str:
    names = {bool: "Boolean", int: "Integer", Decimal: "BigDecimal", str: "String"}
    return f"class java.lang.{names.get(type(value), 'Object')}"
