"""PROTOBUF behind the registry's header, and PROTOBUF_NOSR: bare messages whose schema follows from the columns."""

from __future__ import annotations

import struct
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from ksql.engine.expressions import temporal
from ksql.engine.expressions.values import fit_decimal
from ksql.engine.formats import proto_schema as proto
from ksql.engine.formats.json import check_map_keys
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

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

    from ksql.engine.formats.protocol import RegisteredSchema, Row, SerdeContext
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column

_HEADER: Final = struct.Struct(">bI")
_NAME: Final = "ConnectDefault1"
_INTEGERS: Final = {"int32", "sint32", "sfixed32"}
_LONGS: Final = {"int64", "uint32", "uint64", "sint64", "fixed32", "fixed64", "sfixed64"}
_UNITS: Final = 1_000_000


def default_of(sql_type: SqlType) -> Any:
    """What null becomes in a message; None for types that can be absent."""
    if isinstance(sql_type, SqlArray):
        return []
    if isinstance(sql_type, SqlMap):
        return {}
    return {"BOOLEAN": False, "INTEGER": 0, "BIGINT": 0, "DOUBLE": 0.0, "STRING": "", "BYTES": b""}.get(sql_type.base)


# --- SQL types of messages ---


def sql_type_of(item: proto.ProtoField, messages: dict[str, proto.ProtoMessage], *, keep_case: bool) -> SqlType:
    """The SQL type of a field."""
    if item.key:
        value = proto.ProtoField("value", item.type, 2)
        return SqlMap(_scalar_type(item.key) or STRING, sql_type_of(value, messages, keep_case=keep_case))
    inner = _single_type(item, messages, keep_case=keep_case)
    if item.label != "repeated":
        return inner
    if isinstance(inner, SqlStruct) and [name.lower() for name, _ in inner.fields] == ["key", "value"]:
        return SqlMap(inner.fields[0][1], inner.fields[1][1])
    return SqlArray(inner)


def _scalar_type(kind: str) -> SqlType | None:
    kind = proto.WRAPPERS.get(kind, kind)
    if kind in _INTEGERS:
        return INTEGER
    if kind in _LONGS:
        return BIGINT
    return {"float": DOUBLE, "double": DOUBLE, "bool": BOOLEAN, "string": STRING, "bytes": BYTES}.get(kind)


def _single_type(item: proto.ProtoField, messages: dict[str, proto.ProtoMessage], *, keep_case: bool) -> SqlType:
    simple = _scalar_type(item.type)
    if simple is not None:
        return simple
    if item.type == proto.DECIMAL:
        return SqlDecimal(int(item.parameters.get("precision", 64)), int(item.parameters.get("scale", 0)))
    known = {proto.DATE: DATE, proto.TIME: TIME, proto.TIMESTAMP: TIMESTAMP}.get(item.type)
    if known is not None:
        return known
    message = messages.get(item.type)
    return STRING if message is None else SqlStruct(columns_of(message, messages, keep_case=keep_case))


def columns_of(
    message: proto.ProtoMessage, messages: dict[str, proto.ProtoMessage], *, keep_case: bool
) -> tuple[tuple[str, SqlType], ...]:
    """Names and SQL types of a message's fields."""
    known = messages | {nested.name: nested for nested in message.messages}
    return tuple(
        (item.name if keep_case else item.name.upper(), sql_type_of(item, known, keep_case=keep_case))
        for item in message.fields
    )


# --- values ---


def _matched(descriptor: Any, names: Sequence[str]) -> list[FieldDescriptor | None]:
    """The message's field for each column: exactly, or without case."""
    exact = {item.name: item for item in descriptor.fields}
    folded = {item.name.upper(): item for item in descriptor.fields}
    return [exact.get(name) or folded.get(name.upper()) for name in names]


def _is_map(item: FieldDescriptor) -> bool:
    return item.message_type is not None and bool(item.message_type.GetOptions().map_entry)


def _writer(item: FieldDescriptor, sql_type: SqlType) -> Callable[[Message, Any], None]:
    """A function that puts a value that is not None into a message's field."""
    name = item.name
    if isinstance(sql_type, SqlMap):
        return _map_writer(item, sql_type)
    if isinstance(sql_type, SqlArray):
        if item.message_type is None:

            def extend(message: Message, value: Any) -> None:
                getattr(message, name).extend([_not_null(entry) for entry in value])

            return extend
        fill = _message_writer(item, sql_type.element)

        def add(message: Message, value: Any) -> None:
            for entry in value:
                fill(getattr(message, name).add(), _not_null(entry))

        return add
    if item.message_type is not None:
        fill = _message_writer(item, sql_type)

        def put(message: Message, value: Any) -> None:
            inner = getattr(message, name)
            inner.SetInParent()
            fill(inner, value)

        return put
    return lambda message, value: setattr(message, name, value)


def _not_null(value: Any) -> Any:
    if value is None:
        raise RecordError("PROTOBUF arrays and maps cannot hold null")
    return value


def _message_type(item: FieldDescriptor) -> Descriptor:
    """The type of a field that holds messages."""
    found = item.message_type
    assert found is not None  # noqa: S101
    return found


def _map_writer(item: FieldDescriptor, sql_type: SqlMap) -> Callable[[Message, Any], None]:
    name = item.name
    fields = _message_type(item).fields_by_name
    if _is_map(item):

        def update(message: Message, value: Any) -> None:
            target = getattr(message, name)
            for key, entry in value.items():
                if fields["value"].message_type is None:
                    target[_not_null(key)] = _not_null(entry)
                else:
                    _message_writer(fields["value"], sql_type.value)(target[_not_null(key)], _not_null(entry))

        return update
    write_key = _writer(fields["key"], sql_type.key)
    write_value = _writer(fields["value"], sql_type.value)

    def add(message: Message, value: Any) -> None:
        for key, entry in value.items():
            part = getattr(message, name).add()
            if key is not None:
                write_key(part, key)
            if entry is not None:
                write_value(part, entry)

    return add


def _message_writer(item: FieldDescriptor, sql_type: SqlType) -> Callable[[Any, Any], None]:
    """A function that fills a message that stands for a value."""
    full_name = _message_type(item).full_name
    if full_name in proto.WRAPPERS:
        return lambda message, value: setattr(message, "value", value)
    if full_name == proto.DECIMAL and isinstance(sql_type, SqlDecimal):
        return _decimal_writer(sql_type)
    if full_name == proto.DATE:
        return _write_date
    if full_name == proto.TIME:
        return _write_time
    if full_name == proto.TIMESTAMP:
        return _write_timestamp
    if not isinstance(sql_type, SqlStruct):
        raise RecordError(f"{sql_type} cannot be written as {full_name}")
    matched = _matched(item.message_type, [name for name, _ in sql_type.fields])
    writers = [
        (name, _writer(found, kind))
        for (name, kind), found in zip(sql_type.fields, matched, strict=True)
        if found is not None
    ]

    def write(message: Message, value: Any) -> None:
        for name, put in writers:
            entry = value.get(name)
            if entry is not None:
                put(message, entry)

    return write


def _decimal_writer(sql_type: SqlDecimal) -> Callable[[Any, Any], None]:
    def write(message: Any, value: Decimal) -> None:
        unscaled = int(value.scaleb(sql_type.scale))
        message.value = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
        message.precision = sql_type.precision
        message.scale = sql_type.scale

    return write


def _write_date(message: Any, value: int) -> None:
    day = temporal.from_days(value)
    message.year, message.month, message.day = day.year, day.month, day.day


def _write_time(message: Any, value: int) -> None:
    seconds, millis = divmod(value, 1000)
    message.hours, message.minutes, message.seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    message.nanos = millis * _UNITS


def _write_timestamp(message: Any, value: int) -> None:
    message.seconds, millis = divmod(value, 1000)
    message.nanos = millis * _UNITS


def _reader(item: FieldDescriptor, sql_type: SqlType) -> Callable[[Message], Any]:
    """A function that takes a column's value from a message."""
    name = item.name
    if isinstance(sql_type, SqlMap) and item.message_type is not None:
        return _map_reader(item, sql_type)
    if isinstance(sql_type, SqlArray):
        if item.message_type is None:
            convert = _scalar_reader(item, sql_type.element)
            return lambda message: [convert(entry) for entry in getattr(message, name)]
        single = _message_reader(item, sql_type.element)
        return lambda message: [single(entry) for entry in getattr(message, name)]
    if item.message_type is not None:
        single = _message_reader(item, sql_type)
        return lambda message: single(getattr(message, name)) if message.HasField(name) else None
    convert = _scalar_reader(item, sql_type)
    if item.has_presence:
        return lambda message: convert(getattr(message, name)) if message.HasField(name) else None
    return lambda message: convert(getattr(message, name))


def _scalar_reader(item: FieldDescriptor, sql_type: SqlType) -> Callable[[Any], Any]:
    if item.enum_type is not None:
        values = item.enum_type.values_by_number
        return lambda value: values[value].name if value in values else str(value)
    if sql_type == STRING and item.type not in (item.TYPE_STRING, item.TYPE_BYTES):
        return str
    if sql_type == DOUBLE:
        return float
    return lambda value: value


def _map_reader(item: FieldDescriptor, sql_type: SqlMap) -> Callable[[Message], Any]:
    name = item.name
    fields = _message_type(item).fields_by_name
    if _is_map(item):
        if fields["value"].message_type is None:
            return lambda message: dict(getattr(message, name))
        single = _message_reader(fields["value"], sql_type.value)
        return lambda message: {key: single(entry) for key, entry in getattr(message, name).items()}
    read_key, read_value = _reader(fields["key"], sql_type.key), _reader(fields["value"], sql_type.value)
    return lambda message: {read_key(entry): read_value(entry) for entry in getattr(message, name)}


def _message_reader(item: FieldDescriptor, sql_type: SqlType) -> Callable[[Any], Any]:
    full_name = _message_type(item).full_name
    if full_name in proto.WRAPPERS:
        return lambda message: message.value
    if full_name == proto.DECIMAL and isinstance(sql_type, SqlDecimal):
        precision, scale = sql_type.precision, sql_type.scale
        return lambda message: fit_decimal(
            Decimal(int.from_bytes(message.value, "big", signed=True)).scaleb(-message.scale), precision, scale
        )
    if full_name == proto.DATE:
        return lambda message: temporal.to_days(date(message.year, message.month, message.day))
    if full_name == proto.TIME:
        return lambda message: (
            ((message.hours * 60 + message.minutes) * 60 + message.seconds) * 1000 + message.nanos // _UNITS
        )
    if full_name == proto.TIMESTAMP:
        return lambda message: message.seconds * 1000 + message.nanos // _UNITS
    if not isinstance(sql_type, SqlStruct):
        raise RecordError(f"{full_name} cannot be read as {sql_type}")
    matched = _matched(item.message_type, [name for name, _ in sql_type.fields])
    readers = [
        (name, None if found is None else _reader(found, kind))
        for (name, kind), found in zip(sql_type.fields, matched, strict=True)
    ]
    return lambda message: {name: None if read is None else read(message) for name, read in readers}


def row_writer(message_class: type[Message], columns: Sequence[tuple[str, SqlType]]) -> Callable[[Row], bytes]:
    """A function from a row to a message's bytes."""
    matched = _matched(message_class.DESCRIPTOR, [name for name, _ in columns])
    writers = [None if item is None else _writer(item, kind) for (_, kind), item in zip(columns, matched, strict=True)]

    def write(row: Row) -> bytes:
        message = message_class()
        for put, value in zip(writers, row, strict=True):
            if put is not None and value is not None:
                try:
                    put(message, value)
                except (TypeError, ValueError) as error:
                    raise RecordError(f"Cannot be written as Protobuf: {error}") from error
        return message.SerializeToString(deterministic=True)

    return write


def row_reader(message_class: type[Message], columns: Sequence[tuple[str, SqlType]]) -> Callable[[bytes], Row]:
    """A function from a message's bytes to a row."""
    matched = _matched(message_class.DESCRIPTOR, [name for name, _ in columns])
    readers = [None if item is None else _reader(item, kind) for (_, kind), item in zip(columns, matched, strict=True)]

    def read(data: bytes) -> Row:
        message = message_class()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise RecordError(f"Cannot be read as Protobuf: {error}") from error
        return tuple(None if get is None else get(message) for get in readers)

    return read


# --- the registry's framing ---


def _zigzag(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def _read_zigzag(data: bytes, position: int) -> tuple[int, int]:
    shift = value = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7


def header(schema_id: int, index: int) -> bytes:
    """The bytes in front of a message: its schema, and which of the schema's messages it is."""
    path = b"\x00" if index == 0 else _zigzag(1) + _zigzag(index)
    return _HEADER.pack(0, schema_id) + path


def split_header(data: bytes) -> tuple[int, int, bytes]:
    """Schema id, index of the top-level message, and the message.

    Raises:
        RecordError: there is no such header.
    """
    try:
        magic, schema_id = _HEADER.unpack_from(data)
        if magic != 0:
            raise RecordError("Unknown magic byte!")
        count, position = _read_zigzag(data, 5)
        path = [0]
        if count:
            path: list[int] = []
            for _ in range(count):
                index, position = _read_zigzag(data, position)
                path.append(index)
    except (struct.error, IndexError) as error:
        raise RecordError("Too short for Protobuf with a schema id") from error
    if len(path) != 1:
        raise RecordError("Nested messages cannot be read")
    return schema_id, path[0], data[position:]


class ProtobufNoRegistryFormat:
    """Messages without a header."""

    name = "PROTOBUF_NOSR"
    needs_registry = False
    can_wrap = True
    can_unwrap = False
    settings: frozenset[str] = frozenset({"nullableRepresentation"})

    def validate(self, columns: Sequence[Column], info: FormatInfo, *, is_key: bool) -> None:  # noqa: ARG002
        """See Format."""
        for column in columns:
            check_map_keys(column.type, "PROTOBUF format only supports MAP types with STRING keys")
        proto.file_for(_pairs(columns), name=_NAME, nullable=info.get("nullableRepresentation") or "")

    def serializer(
        self, columns: Sequence[Column], info: FormatInfo, _context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        return row_writer(proto.message_classes(schema_text(columns, info))[0], _pairs(columns))

    def deserializer(
        self, columns: Sequence[Column], info: FormatInfo, _context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        return row_reader(proto.message_classes(schema_text(columns, info))[0], _pairs(columns))

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


def _pairs(columns: Sequence[Column]) -> list[tuple[str, SqlType]]:
    return [(column.name, column.type) for column in columns]


def schema_text(columns: Sequence[Column], info: FormatInfo) -> str:
    """The schema of columns as text."""
    name = info.get("fullSchemaName") or _NAME
    nullable = info.get("nullableRepresentation") or ""
    return proto.proto_text(proto.file_for(_pairs(columns), name=name, nullable=nullable))


class ProtobufFormat(ProtobufNoRegistryFormat):
    """Messages behind Confluent's header, with their schema in the registry."""

    name = "PROTOBUF"
    needs_registry = True
    settings: frozenset[str] = frozenset({"fullSchemaName", "schemaId", "nullableRepresentation"})

    def serializer(
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        state: list[tuple[bytes, Callable[[Row], bytes]]] = []

        def prepare() -> tuple[bytes, Callable[[Row], bytes]]:
            configured = info.get("schemaId")
            if configured is None:
                text = schema_text(columns, info)
                schema_id = context.registry.register(context.subject, type="PROTOBUF", text=text)
            else:
                schema_id = int(configured)
                text = context.registry.by_id(schema_id).text
            index, _ = proto.find_message(proto.parse_proto(text), info.get("fullSchemaName"))
            return header(schema_id, index), row_writer(proto.message_classes(text)[index], _pairs(columns))

        def serialize(row: Row) -> bytes:
            if not state:
                state.append(prepare())
            start, write = state[0]
            return start + write(row)

        return serialize

    def deserializer(
        self,
        columns: Sequence[Column],
        info: FormatInfo,  # noqa: ARG002 - the schema says all
        context: SerdeContext,
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        readers: dict[tuple[int, int], Callable[[bytes], Row]] = {}

        def deserialize(data: bytes) -> Row:
            schema_id, index, message = split_header(data)
            reader = readers.get((schema_id, index))
            if reader is None:
                try:
                    message_class = proto.message_classes(context.registry.by_id(schema_id).text)[index]
                except (StatementError, IndexError) as error:
                    raise RecordError(f"Schema {schema_id} has no message {index}") from error
                reader = readers[schema_id, index] = row_reader(message_class, _pairs(columns))
            return reader(message)

        return deserialize

    def schema(self, columns: Sequence[Column], info: FormatInfo) -> tuple[str, str] | None:
        """See Format."""
        return "PROTOBUF", schema_text(columns, info)

    def infer(self, schema: RegisteredSchema, info: FormatInfo, *, is_key: bool) -> list[tuple[str, SqlType]]:  # noqa: ARG002
        """See Format."""
        file = proto.parse_proto(schema.text)
        _, message = proto.find_message(file, info.get("fullSchemaName"))
        messages = {item.name: item for item in file.messages}
        return list(columns_of(message, messages, keep_case=info.get("schemaId") is not None))
