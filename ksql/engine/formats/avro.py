"""AVRO behind the registry's header."""

# Schemas and messages are JSON of any shape.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import io
import json
import operator
import re
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

import fastavro

from ksql.engine.expressions.values import fit_decimal
from ksql.engine.formats.json import check_map_keys
from ksql.engine.sql.formatter import format_double
from ksql.engine.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    SqlArray,
    SqlDecimal,
    SqlMap,
    SqlStruct,
    SqlType,
)
from ksql.errors import RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import RegisteredSchema, Row, SerdeContext
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column

_HEADER: Final = struct.Struct(">bI")
_NAMESPACE: Final = "io.confluent.ksql.avro_schemas"
_NAME: Final = f"{_NAMESPACE}.KsqlDataSourceSchema"
_LEGAL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PRIMITIVES: Final = {
    BOOLEAN.base: "boolean",
    INTEGER.base: "int",
    BIGINT.base: "long",
    DOUBLE.base: "double",
    STRING.base: "string",
    BYTES.base: "bytes",
}
_LOGICAL: Final[dict[str, dict[str, Any]]] = {
    DATE.base: {
        "type": "int",
        "connect.version": 1,
        "connect.name": "org.apache.kafka.connect.data.Date",
        "logicalType": "date",
    },
    TIME.base: {
        "type": "int",
        "connect.version": 1,
        "connect.name": "org.apache.kafka.connect.data.Time",
        "logicalType": "time-millis",
    },
    TIMESTAMP.base: {
        "type": "long",
        "connect.version": 1,
        "connect.name": "org.apache.kafka.connect.data.Timestamp",
        "logicalType": "timestamp-millis",
    },
}

Schema = Any


# --- schemas from SQL types ---


def avro_schema(columns: Sequence[Column], info: FormatInfo) -> Schema:
    """The Avro schema of columns.

    Args:
        columns: in their order.
        info: gives the record's name, and whether a single column is wrapped.
    """
    if len(columns) == 1 and not info.wrap:
        return _of_type(columns[0].type, info.get("fullSchemaName") or _NAME)
    fields = tuple((column.name, column.type) for column in columns)
    return _record(fields, info.get("fullSchemaName") or _NAME)


def _record(fields: Sequence[tuple[str, SqlType]], name: str) -> Schema:
    namespace, _, short = name.rpartition(".")
    record: dict[str, Any] = {"type": "record", "name": short}
    if namespace:
        record["namespace"] = namespace
    record["fields"] = [
        {"name": field, "type": ["null", _of_type(kind, f"{name}_{field}")], "default": None} for field, kind in fields
    ]
    record["connect.name"] = name
    return record


def _of_type(sql_type: SqlType, name: str) -> Schema:
    if isinstance(sql_type, SqlDecimal):
        return {
            "type": "bytes",
            "scale": sql_type.scale,
            "precision": sql_type.precision,
            "connect.version": 1,
            "connect.parameters": {
                "scale": str(sql_type.scale),
                "connect.decimal.precision": str(sql_type.precision),
            },
            "connect.name": "org.apache.kafka.connect.data.Decimal",
            "logicalType": "decimal",
        }
    if isinstance(sql_type, SqlArray):
        return {"type": "array", "items": ["null", _of_type(sql_type.element, name)]}
    if isinstance(sql_type, SqlMap):
        # Connect's way to write maps whose values may be null.
        entry = {
            "type": "record",
            "name": name.rpartition(".")[2],
            "namespace": name.rpartition(".")[0],
            "fields": [
                {"name": "key", "type": ["null", "string"], "default": None},
                {"name": "value", "type": ["null", _of_type(sql_type.value, f"{name}_value")], "default": None},
            ],
            "connect.internal.type": "MapEntry",
        }
        return {"type": "array", "items": entry, "connect.internal.type": "MapEntry"}
    if isinstance(sql_type, SqlStruct):
        return _record(sql_type.fields, name)
    if sql_type.base in _LOGICAL:
        return _LOGICAL[sql_type.base]
    return _PRIMITIVES[sql_type.base]


# --- SQL types from schemas ---


def sql_type_of(schema: Schema, *, keep_case: bool, names: dict[str, Schema]) -> SqlType:  # noqa: C901, PLR0911, PLR0912
    """The SQL type of an Avro schema.

    Raises:
        StatementError: SQL has none.
    """
    if isinstance(schema, str):
        if schema in names:
            return sql_type_of(names[schema], keep_case=keep_case, names=names)
        simple: dict[str, SqlType] = {avro: SqlType(base) for base, avro in _PRIMITIVES.items()} | {"float": DOUBLE}
        if schema not in simple:
            raise StatementError(f"Unsupported Avro type: {schema}")
        return simple[schema]
    if isinstance(schema, list):
        rest = [option for option in schema if option != "null"]
        if len(rest) != 1:
            raise StatementError("Unsupported Avro schema: only unions of null and one other type have a SQL type")
        return sql_type_of(rest[0], keep_case=keep_case, names=names)
    kind = schema["type"]
    if isinstance(kind, (dict, list)):
        return sql_type_of(kind, keep_case=keep_case, names=names)
    logical = schema.get("logicalType")
    if logical == "decimal":
        return SqlDecimal(int(schema.get("precision", 64)), int(schema.get("scale", 0)))
    if logical in ("date", "time-millis", "timestamp-millis"):
        return {"date": DATE, "time-millis": TIME, "timestamp-millis": TIMESTAMP}[logical]
    if "name" in schema:
        names[schema["name"]] = schema
        names[f"{schema.get('namespace', '')}.{schema['name']}".lstrip(".")] = schema
    if kind == "record":
        return SqlStruct(
            tuple(
                (
                    field["name"] if keep_case else field["name"].upper(),
                    sql_type_of(field["type"], keep_case=keep_case, names=names),
                )
                for field in schema["fields"]
            )
        )
    if kind == "array":
        items = schema["items"]
        if _is_map_entry(schema):
            fields = {field["name"]: field["type"] for field in items["fields"]}
            return SqlMap(
                sql_type_of(fields["key"], keep_case=keep_case, names=names),
                sql_type_of(fields["value"], keep_case=keep_case, names=names),
            )
        return SqlArray(sql_type_of(items, keep_case=keep_case, names=names))
    if kind == "map":
        return SqlMap(STRING, sql_type_of(schema["values"], keep_case=keep_case, names=names))
    if kind == "enum":
        return STRING
    if kind == "fixed":
        return BYTES
    return sql_type_of(kind, keep_case=keep_case, names=names)


def _is_map_entry(schema: Schema) -> bool:
    items = schema["items"]
    if not isinstance(items, dict) or items.get("type") != "record":
        return False
    return (
        schema.get("connect.internal.type") == "MapEntry"
        or items.get("connect.internal.type") == "MapEntry"
        or items.get("name") == "MapEntry"
    )


# --- values ---


def strip_logical_types(schema: Schema) -> Schema:
    """The schema without the logical types whose values fastavro would turn into Python's dates and times."""
    if isinstance(schema, list):
        return [strip_logical_types(option) for option in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {name: value for name, value in schema.items() if name != "logicalType" or value == "decimal"}
    for name in ("type", "items", "values"):
        if name in out:
            out[name] = strip_logical_types(out[name])
    if "fields" in out:
        out["fields"] = [
            {key: strip_logical_types(value) if key == "type" else value for key, value in field.items()}
            for field in out["fields"]
        ]
    if out.get("logicalType") == "decimal" and "precision" not in out:
        out["precision"] = 64
    return out


def _identity(value: Any) -> Any:
    return value


def _writer(sql_type: SqlType, schema: Schema) -> Callable[[Any], Any]:  # noqa: PLR0911 - one branch for each kind
    """A function from a SQL value to what fastavro writes with a schema."""
    if isinstance(schema, list):
        rest = [option for option in schema if option != "null"]
        inner = _writer(sql_type, rest[0])
        return inner if inner is _identity else lambda value: None if value is None else inner(value)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, (dict, list)):
        return _writer(sql_type, kind)
    if isinstance(sql_type, SqlMap) and kind == "array":
        fields = {field["name"]: field["type"] for field in schema["items"]["fields"]}
        item = _writer(sql_type.value, fields["value"])
        return lambda value: [
            {"key": key, "value": None if entry is None else item(entry)} for key, entry in value.items()
        ]
    if isinstance(sql_type, SqlMap):
        item = _writer(sql_type.value, schema["values"])
        return _identity if item is _identity else lambda value: {key: item(entry) for key, entry in value.items()}
    if isinstance(sql_type, SqlArray):
        item = _writer(sql_type.element, schema["items"])
        return _identity if item is _identity else lambda value: [item(entry) for entry in value]
    if isinstance(sql_type, SqlStruct):
        by_name = {field["name"]: field["type"] for field in schema["fields"]}
        fields_writers = [
            (name, _nullable(_writer(field, by_name[name]))) for name, field in sql_type.fields if name in by_name
        ]
        required = {name for name, kind in by_name.items() if not _accepts_null(kind)}
        return lambda value: {
            name: written
            for name, write in fields_writers
            if (written := write(value.get(name))) is not None or name not in required
        }
    return _identity


def _accepts_null(schema: Schema) -> bool:
    return schema == "null" or (isinstance(schema, list) and "null" in schema)


def _nullable(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return function if function is _identity else lambda value: None if value is None else function(value)


def _reader(schema: Schema, sql_type: SqlType, names: dict[str, Schema]) -> Callable[[Any], Any]:  # noqa: C901, PLR0911, PLR0912
    """A function from what fastavro reads to a SQL value."""
    if isinstance(schema, str) and schema in names:
        schema = names[schema]
    if isinstance(schema, list):
        rest = [option for option in schema if option != "null"]
        if len(rest) != 1:
            raise RecordError("Unions of several types cannot be read")
        return _nullable(_reader(rest[0], sql_type, names))
    if isinstance(schema, dict) and isinstance(schema["type"], (dict, list)):
        return _reader(schema["type"], sql_type, names)
    kind = schema if isinstance(schema, str) else schema["type"]
    detail: dict[str, Any] = schema if isinstance(schema, dict) else {}
    if isinstance(schema, dict) and "name" in schema:
        names[schema["name"]] = schema
    if isinstance(sql_type, SqlDecimal):
        precision, scale = sql_type.precision, sql_type.scale
        return lambda value: fit_decimal(Decimal(value), precision, scale)
    if isinstance(sql_type, SqlStruct) and kind == "record":
        return _record_reader(schema, sql_type, names)
    if isinstance(sql_type, SqlMap) and kind == "array":
        fields = {field["name"]: field["type"] for field in detail["items"]["fields"]}
        item = _nullable(_reader(fields["value"], sql_type.value, names))
        return lambda value: {entry["key"]: item(entry["value"]) for entry in value}
    if isinstance(sql_type, SqlMap) and kind == "map":
        item = _nullable(_reader(detail["values"], sql_type.value, names))
        return _identity if item is _identity else lambda value: {key: item(entry) for key, entry in value.items()}
    if isinstance(sql_type, SqlArray) and kind == "array":
        item = _nullable(_reader(detail["items"], sql_type.element, names))
        return _identity if item is _identity else lambda value: [item(entry) for entry in value]
    if sql_type == STRING and kind in ("int", "long"):
        return str
    if sql_type == STRING and kind in ("float", "double"):
        return format_double
    if sql_type == STRING and kind == "boolean":
        return lambda value: "true" if value else "false"
    if sql_type == DOUBLE and kind in ("int", "long"):
        return float
    expected = {
        "boolean": (BOOLEAN,),
        "int": (INTEGER, BIGINT, DATE, TIME, TIMESTAMP),
        "long": (BIGINT, TIMESTAMP),
        "float": (DOUBLE,),
        "double": (DOUBLE,),
        "string": (STRING,),
        "enum": (STRING,),
        "bytes": (BYTES,),
        "fixed": (BYTES,),
    }.get(str(kind), ())
    if sql_type not in expected:
        raise RecordError(f"Avro type {kind} cannot be read as {sql_type}")
    return _identity


def _record_reader(schema: Schema, sql_type: SqlStruct, names: dict[str, Schema]) -> Callable[[Any], Any]:
    fields = [(name, origin, reader) for name, origin, reader in _matched(schema, sql_type.fields, names)]
    return lambda value: {
        name: None if origin is None or (item := value[origin]) is None else reader(item)
        for name, origin, reader in fields
    }


def _matched(
    schema: Schema, fields: Sequence[tuple[str, SqlType]], names: dict[str, Schema]
) -> list[tuple[str, str | None, Callable[[Any], Any]]]:
    """For each column the writer's field and how it is read; names match without case if not exactly."""
    exact = {field["name"]: field["type"] for field in schema["fields"]}
    folded = {field["name"].upper(): field["name"] for field in schema["fields"]}
    out: list[tuple[str, str | None, Callable[[Any], Any]]] = []
    for name, kind in fields:
        origin = name if name in exact else folded.get(name.upper())
        out.append((name, origin, _identity if origin is None else _reader(exact[origin], kind, names)))
    return out


# --- the fast way: records of nullable primitives, as ksqlDB's own schemas are ---


def _varint(value: int) -> bytes:
    """A zig-zag number as Avro writes int and long."""
    value = (value << 1) ^ (value >> 63)
    if value < 0x80:
        return _BYTES_OF[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_BYTES_OF: Final = [bytes((number,)) for number in range(256)]
_DOUBLE: Final = struct.Struct("<d")


def _encode_text(value: str) -> bytes:
    data = value.encode()
    return b"\x02" + _varint(len(data)) + data


_FLAT: Final[dict[str, Callable[[Any], bytes]]] = {
    STRING.base: _encode_text,
    BYTES.base: lambda value: b"\x02" + _varint(len(value)) + value,
    DOUBLE.base: lambda value: b"\x02" + _DOUBLE.pack(value),
    BOOLEAN.base: lambda value: b"\x02\x01" if value else b"\x02\x00",
    **{kind.base: lambda value: b"\x02" + _varint(value) for kind in (INTEGER, BIGINT, DATE, TIME, TIMESTAMP)},
}


def _flat_encoder(columns: Sequence[Column]) -> Callable[[Row], bytes] | None:
    """A function from a row to Avro's bytes in the schema of `avro_schema`; None where a column is no primitive."""
    encoders = [_FLAT.get(column.type.base) for column in columns]
    if not all(encoders):
        return None
    known = [encode for encode in encoders if encode is not None]

    def encode(row: Row) -> bytes:
        return b"".join([b"\x00" if value is None else encode(value) for encode, value in zip(known, row, strict=True)])

    return encode


class AvroFormat:
    """Avro with Confluent's header: a zero byte and the schema's id."""

    name = "AVRO"
    needs_registry = True
    can_wrap = True
    can_unwrap = True
    settings: frozenset[str] = frozenset({"fullSchemaName", "schemaId"})

    def validate(self, columns: Sequence[Column], _info: FormatInfo, *, is_key: bool) -> None:  # noqa: ARG002
        """See Format."""
        for column in columns:
            check_map_keys(column.type, "Avro only supports MAPs with STRING keys")
            if not _LEGAL.match(column.name):
                first = not re.match(r"[A-Za-z_]", column.name)
                what = "initial character" if first else "character in"
                raise StatementError(f"Schema is not compatible with Avro: Illegal {what}: {column.name}")

    def serializer(  # noqa: C901 - one branch for each kind
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        schema = avro_schema(columns, info)
        configured = info.get("schemaId")
        wrapped = len(columns) != 1 or info.wrap
        state: list[Any] = []
        flat = _flat_encoder(columns) if wrapped and configured is None else None
        if flat is not None:
            return self._flat_serializer(columns, info, context, flat)

        def prepare() -> tuple[bytes, Any, list[tuple[str, Callable[[Any], Any]]], Callable[[Any], Any]]:
            text = schema
            if configured is None:
                schema_id = context.registry.register(context.subject, type="AVRO", text=self.schema(columns, info)[1])
            else:
                schema_id = int(configured)
                text = json.loads(context.registry.by_id(schema_id).text)
            parsed = fastavro.parse_schema(strip_logical_types(text))
            if not wrapped:
                return _HEADER.pack(0, schema_id), parsed, [], _writer(columns[0].type, text)
            by_name = {field["name"]: field["type"] for field in text["fields"]}
            fields = [
                (column.name, _nullable(_writer(column.type, by_name[column.name])))
                for column in columns
                if column.name in by_name
            ]
            required.update(name for name, kind in by_name.items() if not _accepts_null(kind))
            return _HEADER.pack(0, schema_id), parsed, fields, _identity

        names = [column.name for column in columns]
        required: set[str] = set()

        def serialize(row: Row) -> bytes | None:
            if not state:
                state.append(prepare())
            header, parsed, fields, single = state[0]
            if not wrapped:
                if row[0] is None:
                    return None
                datum = single(row[0])
            else:
                values = dict(zip(names, row, strict=True))
                datum = {name: write(values[name]) for name, write in fields}
                if required:
                    # A schema from elsewhere may have defaults where SQL has nulls.
                    datum = {name: value for name, value in datum.items() if value is not None or name not in required}
            buffer = io.BytesIO()
            buffer.write(header)
            try:
                fastavro.schemaless_writer(buffer, parsed, datum)
            except (ValueError, TypeError, AttributeError, IndexError) as error:
                raise RecordError(f"Cannot be written as Avro: {error}") from error
            return buffer.getvalue()

        return serialize

    def _flat_serializer(
        self,
        columns: Sequence[Column],
        info: FormatInfo,
        context: SerdeContext,
        encode: Callable[[Row], bytes],
    ) -> Callable[[Row], bytes | None]:
        header = b""

        def serialize(row: Row) -> bytes:
            nonlocal header
            if not header:
                _, text = self.schema(columns, info)
                header = _HEADER.pack(0, context.registry.register(context.subject, type="AVRO", text=text))
            return header + encode(row)

        return serialize

    def deserializer(
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        readers: dict[int, Callable[[io.BytesIO], Row | None]] = {}
        unpack = _HEADER.unpack_from
        wrapped = len(columns) != 1 or info.wrap

        def deserialize(data: bytes) -> Row | None:
            if len(data) < 5:
                raise RecordError("Too short for Avro with a schema id")
            magic, schema_id = unpack(data)
            if magic != 0:
                raise RecordError("Unknown magic byte!")
            reader = readers.get(schema_id)
            if reader is None:
                schema = json.loads(context.registry.by_id(schema_id).text)
                reader = readers[schema_id] = row_reader(schema, columns, wrapped=wrapped)
            buffer = io.BytesIO(data)
            buffer.seek(5)
            try:
                return reader(buffer)
            except (EOFError, ValueError, IndexError, KeyError, TypeError, StopIteration) as error:
                raise RecordError(f"Cannot be read as Avro: {error}") from error

        return deserialize

    def schema(self, columns: Sequence[Column], info: FormatInfo) -> tuple[str, str]:
        """See Format."""
        return "AVRO", json.dumps(avro_schema(columns, info), separators=(",", ":"))

    def infer(self, schema: RegisteredSchema, info: FormatInfo, *, is_key: bool) -> list[tuple[str, SqlType]]:
        """See Format."""
        root = json.loads(schema.text)
        keep_case = info.get("schemaId") is not None
        sql_type = sql_type_of(root, keep_case=keep_case, names={})
        if isinstance(sql_type, SqlStruct) and not is_key and info.wrap:
            return list(sql_type.fields)
        return [("ROWKEY" if is_key else "ROWVAL", sql_type)]


def row_reader(schema: Schema, columns: Sequence[Column], *, wrapped: bool) -> Callable[[io.BytesIO], Row | None]:
    """A function from a buffer to a row, for values of one writer's schema.

    Raises:
        RecordError: the columns cannot be read with this schema.
    """
    parsed = cast("Any", fastavro.parse_schema(strip_logical_types(schema)))
    read: Callable[..., Any] = fastavro.schemaless_reader
    if not wrapped:
        single = _nullable(_reader(schema, columns[0].type, {}))
        return lambda buffer: (single(read(buffer, parsed, None)),)
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise RecordError("The schema is no record")
    matched = _matched(schema, [(column.name, column.type) for column in columns], {})
    if len(matched) > 1 and all(origin is not None and reader is _identity for _, origin, reader in matched):
        pick = operator.itemgetter(*(origin for _, origin, _ in matched))
        return lambda buffer: pick(read(buffer, parsed, None))

    def read_row(buffer: io.BytesIO) -> Row:
        value: Any = read(buffer, parsed, None)
        return tuple(
            None if origin is None or (item := value[origin]) is None else reader(item) for _, origin, reader in matched
        )

    return read_row
