"""JSON, and JSON with a schema in the registry (JSON_SR)."""

# Schemas and messages are JSON of any shape.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions.values import (
    INT_MAX,
    INT_MIN,
    LONG_MAX,
    LONG_MIN,
    double_to_long,
    fit_decimal,
    format_decimal,
    parse_decimal,
    parse_double,
)
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
_text: Final = json.JSONEncoder(ensure_ascii=False).encode


# --- writing ---


def _double(value: float) -> str:
    return format_double(value) if math.isfinite(value) else f'"{format_double(value)}"'


def _base64(value: bytes) -> str:
    return f'"{base64.b64encode(value).decode()}"'


_ENCODERS: Final[dict[str, Callable[[Any], str]]] = {
    BOOLEAN.base: lambda value: "true" if value else "false",
    INTEGER.base: str,
    BIGINT.base: str,
    DOUBLE.base: _double,
    "DECIMAL": format_decimal,
    STRING.base: _text,
    BYTES.base: _base64,
    DATE.base: str,
    TIME.base: str,
    TIMESTAMP.base: str,
}


def encoder(sql_type: SqlType) -> Callable[[Any], str]:
    """A function from a value that is not None to its JSON text."""
    if isinstance(sql_type, SqlArray):
        item = nullable_encoder(sql_type.element)
        return lambda value: "[" + ",".join(map(item, value)) + "]"
    if isinstance(sql_type, SqlMap):
        item = nullable_encoder(sql_type.value)
        return lambda value: "{" + ",".join(f"{_text(_key(k))}:{item(v)}" for k, v in value.items()) + "}"
    if isinstance(sql_type, SqlStruct):
        fields = [(name, _text(name) + ":", nullable_encoder(kind)) for name, kind in sql_type.fields]
        return lambda value: "{" + ",".join(label + item(value.get(name)) for name, label, item in fields) + "}"
    return _ENCODERS[sql_type.base]


def _key(key: Any) -> str:
    return "null" if key is None else str(key)


def nullable_encoder(sql_type: SqlType) -> Callable[[Any], str]:
    """A function from a value to its JSON text."""
    inner = encoder(sql_type)
    return lambda value: "null" if value is None else inner(value)


# --- reading ---


def _fail(value: Any, sql_type: SqlType) -> RecordError:
    return RecordError(f"Can't convert type. sourceType: {type(value).__name__}, requiredType: {sql_type}")


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _fail(value, BOOLEAN)


def _integer_reader(sql_type: SqlType, low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            if low <= value <= high:
                return value
            return ((value - low) & (high - low)) + low
        if isinstance(value, (float, Decimal)):
            return double_to_long(float(value), low, high)
        if isinstance(value, str):
            try:
                return int(value)
            except ValueError as error:
                raise _fail(value, sql_type) from error
        raise _fail(value, sql_type)

    return read


def _read_double(value: Any) -> float:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        return parse_double(value)
    raise _fail(value, DOUBLE)


def _decimal_reader(sql_type: SqlDecimal) -> Callable[[Any], Decimal]:
    precision, scale = sql_type.precision, sql_type.scale

    def read(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
            raise _fail(value, sql_type)
        number = parse_decimal(value) if isinstance(value, str) else Decimal(str(value))
        return fit_decimal(number, precision, scale)

    return read


def _read_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format_double(float(value)) if value.is_finite() else str(value)
    if isinstance(value, float):
        return format_double(value)
    return to_text(value)


def to_text(value: Any) -> str:
    """Compact JSON of a parsed value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_number)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(value)


def _read_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise _fail(value, BYTES) from error
    raise _fail(value, BYTES)


def decoder(sql_type: SqlType) -> Callable[[Any], Any]:
    """A function from a parsed JSON value that is not None to a SQL value; it raises RecordError."""
    if isinstance(sql_type, SqlArray):
        item = nullable_decoder(sql_type.element)

        def read_array(value: Any) -> list[Any]:
            if not isinstance(value, list):
                raise _fail(value, sql_type)
            return [item(entry) for entry in value]

        return read_array
    if isinstance(sql_type, SqlMap):
        key, item = nullable_decoder(sql_type.key), nullable_decoder(sql_type.value)

        def read_map(value: Any) -> dict[Any, Any]:
            if not isinstance(value, dict):
                raise _fail(value, sql_type)
            return {key(name): item(entry) for name, entry in value.items()}

        return read_map
    if isinstance(sql_type, SqlStruct):
        return _struct_decoder(sql_type)
    if isinstance(sql_type, SqlDecimal):
        return _decimal_reader(sql_type)
    return _DECODERS[sql_type.base]


def _struct_decoder(sql_type: SqlStruct) -> Callable[[Any], Any]:
    fields = [(name, nullable_decoder(kind)) for name, kind in sql_type.fields]

    def read_struct(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _fail(value, sql_type)
        folded: dict[str, Any] | None = None
        out: dict[str, Any] = {}
        for name, item in fields:
            if name in value:
                out[name] = item(value[name])
                continue
            if folded is None:
                folded = {key.upper(): entry for key, entry in value.items()}
            out[name] = item(folded.get(name.upper()))
        return out

    return read_struct


def nullable_decoder(sql_type: SqlType) -> Callable[[Any], Any]:
    """A function from a parsed JSON value to a SQL value."""
    inner = decoder(sql_type)
    return lambda value: None if value is None else inner(value)


_DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
    BOOLEAN.base: _read_boolean,
    INTEGER.base: _integer_reader(INTEGER, INT_MIN, INT_MAX),
    BIGINT.base: _integer_reader(BIGINT, LONG_MIN, LONG_MAX),
    DOUBLE.base: _read_double,
    STRING.base: _read_string,
    BYTES.base: _read_bytes,
    DATE.base: _integer_reader(DATE, INT_MIN, INT_MAX),
    TIME.base: _integer_reader(TIME, INT_MIN, INT_MAX),
    TIMESTAMP.base: _integer_reader(TIMESTAMP, LONG_MIN, LONG_MAX),
}


def _contains_decimal(sql_type: SqlType) -> bool:
    if isinstance(sql_type, SqlArray):
        return _contains_decimal(sql_type.element)
    if isinstance(sql_type, SqlMap):
        return _contains_decimal(sql_type.value)
    if isinstance(sql_type, SqlStruct):
        return any(_contains_decimal(kind) for _, kind in sql_type.fields)
    return isinstance(sql_type, SqlDecimal)


def check_map_keys(sql_type: SqlType, message: str) -> None:
    """Raises StatementError where a map's keys are no strings."""
    if isinstance(sql_type, SqlMap):
        if sql_type.key != STRING:
            raise StatementError(message)
        check_map_keys(sql_type.value, message)
    elif isinstance(sql_type, SqlArray):
        check_map_keys(sql_type.element, message)
    elif isinstance(sql_type, SqlStruct):
        for _, kind in sql_type.fields:
            check_map_keys(kind, message)


class JsonFormat:
    """JSON objects with a field for each column, or the value of the only column."""

    name = "JSON"
    needs_registry = False
    can_wrap = True
    can_unwrap = True
    settings: frozenset[str] = frozenset()

    def validate(self, columns: Sequence[Column], _info: FormatInfo, *, is_key: bool) -> None:  # noqa: ARG002
        """See Format."""
        for column in columns:
            check_map_keys(column.type, "JSON only supports MAP types with STRING keys")

    def serializer(
        self, columns: Sequence[Column], info: FormatInfo, _context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        if len(columns) == 1 and not info.wrap:
            single = encoder(columns[0].type)
            return lambda row: None if row[0] is None else single(row[0]).encode()
        fields = [(_text(column.name) + ":", nullable_encoder(column.type)) for column in columns]

        def serialize(row: Row) -> bytes:
            parts = [label + item(value) for (label, item), value in zip(fields, row, strict=True)]
            return ("{" + ",".join(parts) + "}").encode()

        return serialize

    def deserializer(
        self, columns: Sequence[Column], info: FormatInfo, _context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        exact = any(_contains_decimal(column.type) for column in columns)
        parse = json.JSONDecoder(parse_float=Decimal).decode if exact else json.JSONDecoder().decode
        if len(columns) == 1 and not info.wrap:
            single = nullable_decoder(columns[0].type)
            return lambda data: (single(_parsed(parse, data)),)
        struct_reader = _struct_decoder(SqlStruct(tuple((column.name, column.type) for column in columns)))
        names = [column.name for column in columns]

        def deserialize(data: bytes) -> Row | None:
            value = _parsed(parse, data)
            if value is None:
                return None
            read = struct_reader(value)
            return tuple(read[name] for name in names)

        return deserialize

    def schema(self, _columns: Sequence[Column], _info: FormatInfo) -> tuple[str, str] | None:
        """See Format."""
        return None

    def infer(
        self,
        _schema: RegisteredSchema,
        _info: FormatInfo,
        *,
        is_key: bool,  # noqa: ARG002
    ) -> list[tuple[str, SqlType]]:
        """See Format."""
        return []


def _parsed(parse: Callable[[str], Any], data: bytes) -> Any:
    try:
        return parse(data.decode())
    except (ValueError, RecursionError) as error:
        raise RecordError(f"The value is not JSON: {error}") from error


class JsonSchemaFormat(JsonFormat):
    """JSON behind the registry's header, with a JSON schema in the registry."""

    name = "JSON_SR"
    needs_registry = True
    settings: frozenset[str] = frozenset({"schemaId", "fullSchemaName"})

    def serializer(
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        plain = super().serializer(columns, info, context)
        _, schema = self.schema(columns, info)
        header: bytes | None = None

        def serialize(row: Row) -> bytes | None:
            nonlocal header
            data = plain(row)
            if data is None:
                return None
            if header is None:
                configured = info.get("schemaId")
                schema_id = (
                    context.registry.register(context.subject, type="JSON", text=schema)
                    if configured is None
                    else int(configured)
                )
                header = _HEADER.pack(0, schema_id)
            return header + data

        return serialize

    def deserializer(
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        plain = super().deserializer(columns, info, context)

        def deserialize(data: bytes) -> Row | None:
            if len(data) < 5 or data[0] != 0:
                raise RecordError("Unknown magic byte!")
            return plain(data[5:])

        return deserialize

    def schema(self, columns: Sequence[Column], info: FormatInfo) -> tuple[str, str]:
        """See Format."""
        return "JSON", json.dumps(json_schema(columns, wrap=info.wrap or len(columns) != 1), separators=(",", ":"))

    def infer(self, schema: RegisteredSchema, info: FormatInfo, *, is_key: bool) -> list[tuple[str, SqlType]]:
        """See Format."""
        root = json.loads(schema.text)
        keep_case = info.get("schemaId") is not None
        sql_type = type_of_schema(root, keep_case=keep_case)
        if isinstance(sql_type, SqlStruct) and not is_key and info.wrap:
            return list(sql_type.fields)
        return [("ROWKEY" if is_key else "ROWVAL", sql_type)]


def json_schema(columns: Sequence[Column], *, wrap: bool) -> dict[str, Any]:
    """The JSON schema of columns."""
    if not wrap:
        return schema_of_type(columns[0].type)
    return {
        "type": "object",
        "properties": {
            column.name: {"connect.index": index} | schema_of_type(column.type) for index, column in enumerate(columns)
        },
    }


_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    BOOLEAN.base: {"type": "boolean"},
    INTEGER.base: {"type": "integer", "connect.type": "int32"},
    BIGINT.base: {"type": "integer", "connect.type": "int64"},
    DOUBLE.base: {"type": "number", "connect.type": "float64"},
    STRING.base: {"type": "string"},
    BYTES.base: {"type": "string", "connect.type": "bytes"},
    DATE.base: {"type": "integer", "title": "org.apache.kafka.connect.data.Date", "connect.type": "int32"},
    TIME.base: {"type": "integer", "title": "org.apache.kafka.connect.data.Time", "connect.type": "int32"},
    TIMESTAMP.base: {
        "type": "integer",
        "title": "org.apache.kafka.connect.data.Timestamp",
        "connect.type": "int64",
    },
}


def schema_of_type(sql_type: SqlType) -> dict[str, Any]:
    """The JSON schema of a nullable value."""
    inner: dict[str, Any]
    if isinstance(sql_type, SqlDecimal):
        inner = {
            "type": "number",
            "title": "org.apache.kafka.connect.data.Decimal",
            "connect.version": 1,
            "connect.type": "bytes",
            "connect.parameters": {
                "scale": str(sql_type.scale),
                "connect.decimal.precision": str(sql_type.precision),
            },
        }
    elif isinstance(sql_type, SqlArray):
        inner = {"type": "array", "items": schema_of_type(sql_type.element)}
    elif isinstance(sql_type, SqlMap):
        inner = {
            "type": "object",
            "connect.type": "map",
            "additionalProperties": schema_of_type(sql_type.value),
        }
    elif isinstance(sql_type, SqlStruct):
        inner = {
            "type": "object",
            "properties": {
                name: {"connect.index": index} | schema_of_type(kind)
                for index, (name, kind) in enumerate(sql_type.fields)
            },
        }
    else:
        inner = _SCHEMAS[sql_type.base]
    return {"oneOf": [{"type": "null"}, inner]}


def type_of_schema(schema: dict[str, Any], *, keep_case: bool) -> SqlType:  # noqa: C901, PLR0911 - one branch for each kind
    """The SQL type of a JSON schema.

    Raises:
        StatementError: SQL has none.
    """
    for combined in ("oneOf", "anyOf"):
        if combined in schema:
            options = [option for option in schema[combined] if option.get("type") != "null"]
            if len(options) == 1:
                return type_of_schema(options[0], keep_case=keep_case)
    title = str(schema.get("title", "")).rpartition(".")[2]
    if title == "Decimal":
        parameters = schema.get("connect.parameters", {})
        return SqlDecimal(int(parameters.get("connect.decimal.precision", 64)), int(parameters.get("scale", 0)))
    if title in ("Date", "Time", "Timestamp"):
        return SqlType(title.upper())
    kind = schema.get("type")
    if isinstance(kind, list):
        rest = [item for item in kind if item != "null"]
        kind = rest[0] if len(rest) == 1 else None
    connect = schema.get("connect.type")
    if kind == "integer":
        return INTEGER if connect in ("int8", "int16", "int32") else BIGINT
    if kind == "array":
        return SqlArray(type_of_schema(schema["items"], keep_case=keep_case))
    if kind == "object":
        if connect == "map" or ("additionalProperties" in schema and not schema.get("properties")):
            return SqlMap(STRING, type_of_schema(schema["additionalProperties"], keep_case=keep_case))
        items = sorted(schema.get("properties", {}).items(), key=lambda item: item[1].get("connect.index", 0))
        return SqlStruct(
            tuple(
                (name if keep_case else name.upper(), type_of_schema(item, keep_case=keep_case)) for name, item in items
            )
        )
    simple = {"boolean": BOOLEAN, "number": DOUBLE, "string": BYTES if connect == "bytes" else STRING}.get(str(kind))
    if simple is None:
        raise StatementError(f"Unsupported JSON schema type: {kind}")
    return simple
