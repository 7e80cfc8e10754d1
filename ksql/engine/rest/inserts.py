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

from ksql.engine.plan.inserts import InsertedRow, insertable, inserted, missing_key, row_of
from ksql.engine.rest.errors import RestError, bad_request
from ksql.engine.schema import Namespace
from ksql.engine.types import (
    BIGINT,
    BOOLEAN,
    INTEGER,
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

    from ksql.engine.metastore import Source
    from ksql.engine.runtime.planning import Planning
    from ksql.engine.schema import Column

_SECONDS = 30.0


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

    def write(self, row: InsertedRow) -> None:
        """Write a row, and wait until Kafka has it.

        Args:
            row: the row.

        Raises:
            KsqlError: it cannot be written.
        """
        write_key, write_value = self._planning.serializers(row.target)
        failures: list[str] = []
        try:
            key_data = None if row.key is None else write_key(row.key)
            value_data = write_value(row.value)
        except RecordError as error:
            raise KsqlError(f"Could not serialize the row: {error}") from error
        with self._lock:
            self._producer.produce(
                row.target.topic,
                key=key_data,
                value=value_data,
                timestamp=int(row.timestamp or time.time() * 1000),
                on_delivery=lambda error, _: failures.append(error.str()) if error is not None else None,
            )
            left = self._producer.flush(_SECONDS)
        if left or failures:
            why = failures[0] if failures else "Kafka does not take the row"
            raise ServerError(why, where=f"topic {row.target.topic}")


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
                self._writer.write(self._row(line))
            except RestError as error:
                return [_insert_error(self._sequence, error.message)], False
            except KsqlError as error:
                return [_insert_error(self._sequence, error.message)], False
            answers.append({"seq": self._sequence, "status": "ok"})
        return answers, True

    def _row(self, line: bytes) -> InsertedRow:
        try:
            given = json.loads(line, parse_float=Decimal)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise bad_request("Invalid JSON in inserts stream")
        by_name = {_name(str(name)): value for name, value in given.items()}
        missing = missing_key(by_name, self._source)
        if missing:
            raise bad_request(f"Key field must be specified: {missing[0]}")
        columns: list[Column] = [
            column for column in self._source.schema.columns if column.namespace is not Namespace.HEADERS
        ]
        row = {column.name: from_json(by_name.get(column.name), column.type) for column in columns}
        return row_of(row, self._source)


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
    if given is None or not (insertable(given, sql_type) or (given == BIGINT and sql_type == INTEGER)):
        raise bad_request(f"Can't coerce a field of type {_java(value)} ({value}) into type {sql_type}")
    try:
        return inserted(value, given, sql_type)
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
