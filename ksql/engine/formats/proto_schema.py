"""Protocol buffer schemas as text: reading them, writing them for columns, and message classes for them.

Only what the registry's schemas need: messages, nested ones, enums, maps, and the types that stand for decimals, dates
and times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2

from ksql.engine.types import SqlArray, SqlDecimal, SqlMap, SqlStruct, SqlType
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto
SCALARS: Final[dict[str, int]] = {
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "sint32": _Field.TYPE_SINT32,
    "sint64": _Field.TYPE_SINT64,
    "fixed32": _Field.TYPE_FIXED32,
    "fixed64": _Field.TYPE_FIXED64,
    "sfixed32": _Field.TYPE_SFIXED32,
    "sfixed64": _Field.TYPE_SFIXED64,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
WRAPPERS: Final = {
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
    "google.protobuf.FloatValue": "float",
    "google.protobuf.DoubleValue": "double",
    "google.protobuf.StringValue": "string",
    "google.protobuf.BytesValue": "bytes",
}
DECIMAL: Final = "confluent.type.Decimal"
DATE: Final = "google.type.Date"
TIME: Final = "google.type.TimeOfDay"
TIMESTAMP: Final = "google.protobuf.Timestamp"
_IMPORTS: Final = {
    DECIMAL: "confluent/type/decimal.proto",
    DATE: "google/type/date.proto",
    TIME: "google/type/timeofday.proto",
    TIMESTAMP: "google/protobuf/timestamp.proto",
    **dict.fromkeys(WRAPPERS, "google/protobuf/wrappers.proto"),
}
_SQL_SCALARS: Final = {
    "BOOLEAN": "bool",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "DOUBLE": "double",
    "STRING": "string",
    "BYTES": "bytes",
}
_SQL_MESSAGES: Final = {"DECIMAL": DECIMAL, "DATE": DATE, "TIME": TIME, "TIMESTAMP": TIMESTAMP}
_SQL_WRAPPERS: Final = {scalar: wrapper for wrapper, scalar in WRAPPERS.items()}


@dataclass(slots=True)
class ProtoField:
    """A field of a message; `key` is set for maps."""

    name: str
    type: str
    number: int
    label: str = ""
    key: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class ProtoMessage:
    """A message type."""

    name: str
    fields: list[ProtoField] = field(default_factory=list[ProtoField])
    messages: list[ProtoMessage] = field(default_factory=list["ProtoMessage"])
    enums: dict[str, list[tuple[str, int]]] = field(default_factory=dict[str, list[tuple[str, int]]])


@dataclass(slots=True)
class ProtoFile:
    """A schema file."""

    package: str = ""
    messages: list[ProtoMessage] = field(default_factory=list[ProtoMessage])
    enums: dict[str, list[tuple[str, int]]] = field(default_factory=dict[str, list[tuple[str, int]]])


# --- reading ---


_TOKEN: Final = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/|(?P<t>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[A-Za-z_.][\w.]*|-?\d+|[{}\[\]()<>=;:,])""",
    re.DOTALL,
)


def parse_proto(text: str) -> ProtoFile:
    """A schema's text.

    Raises:
        StatementError: it cannot be read.
    """
    tokens = [match["t"] for match in _TOKEN.finditer(text) if match["t"]]
    file = ProtoFile()
    try:
        _File(tokens).read(file)
    except (IndexError, ValueError, KeyError) as error:
        raise StatementError(f"The Protobuf schema cannot be read: {error}") from error
    return file


class _File:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def _next(self) -> str:
        word = self._tokens[self._at]
        self._at += 1
        return word

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _skip_statement(self) -> None:
        depth = 0
        while True:
            word = self._next()
            depth += word in "{[("
            depth -= word in "}])"
            if depth == 0 and word in (";", "}"):
                return

    def read(self, file: ProtoFile) -> None:
        while self._at < len(self._tokens):
            word = self._next()
            if word == "package":
                file.package = self._next()
                self._next()
            elif word == "message":
                file.messages.append(self._message())
            elif word == "enum":
                name, values = self._enum()
                file.enums[name] = values
            elif word != ";":
                self._skip_statement()

    def _enum(self) -> tuple[str, list[tuple[str, int]]]:
        name = self._next()
        self._next()
        values: list[tuple[str, int]] = []
        while self._peek() != "}":
            label = self._next()
            if label == "option":
                self._skip_statement()
                continue
            self._next()
            values.append((label, int(self._next())))
            self._options()
            self._next()
        self._next()
        return name, values

    def _message(self) -> ProtoMessage:
        message = ProtoMessage(self._next())
        self._next()
        while self._peek() != "}":
            word = self._next()
            if word == "message":
                message.messages.append(self._message())
            elif word == "enum":
                name, values = self._enum()
                message.enums[name] = values
            elif word in ("option", "reserved", "extensions"):
                self._skip_statement()
            elif word == "oneof":
                self._next()
                self._next()
                while self._peek() != "}":
                    message.fields.append(self._field(self._next(), "optional"))
                self._next()
            elif word in ("repeated", "optional", "required"):
                message.fields.append(self._field(self._next(), word))
            elif word != ";":
                message.fields.append(self._field(word, ""))
        self._next()
        return message

    def _field(self, kind: str, label: str) -> ProtoField:
        key = ""
        if kind == "map":
            self._next()
            key = self._next()
            self._next()
            kind = self._next()
            self._next()
        name = self._next()
        self._next()
        found = ProtoField(name, kind.lstrip("."), int(self._next()), label, key)
        found.parameters = self._options()
        self._next()
        return found

    def _options(self) -> dict[str, str]:
        """Options in brackets: of Confluent's field_meta the parameters."""
        if self._peek() != "[":
            return {}
        parameters: dict[str, str] = {}
        depth = 0
        entry: dict[str, str] = {}
        while True:
            word = self._next()
            if word in "[{":
                depth += 1
                entry = {} if word == "{" else entry
            elif word in "]}":
                depth -= 1
                if word == "}" and {"key", "value"} <= entry.keys():
                    parameters[entry["key"]] = entry["value"]
                    entry = {}
                if depth == 0:
                    return parameters
            elif word in ("key", "value") and self._peek() in (":", "="):
                self._next()
                entry[word] = self._next().strip("\"'")


# --- schemas for columns ---


def file_for(columns: Sequence[tuple[str, SqlType]], *, name: str, nullable: str) -> ProtoFile:
    """The schema of columns.

    Args:
        columns: names and types.
        name: full name of the message.
        nullable: OPTIONAL or WRAPPER to tell null from the default of scalars; empty: null becomes the default.
    """
    package, _, short = name.rpartition(".")
    counter = [1]
    return ProtoFile(package, [_message_for(short, columns, nullable, counter)])


def _message_for(name: str, columns: Sequence[tuple[str, SqlType]], nullable: str, counter: list[int]) -> ProtoMessage:
    message = ProtoMessage(name)
    for number, (column, sql_type) in enumerate(columns, 1):
        message.fields.append(_field_for(column, sql_type, number, message, nullable, counter))
    return message


def _field_for(
    name: str, sql_type: SqlType, number: int, message: ProtoMessage, nullable: str, counter: list[int]
) -> ProtoField:
    if isinstance(sql_type, SqlArray):
        item = _field_for(name, sql_type.element, number, message, "", counter)
        if item.label == "repeated":
            raise StatementError("PROTOBUF does not support arrays of arrays or maps")
        item.label = "repeated"
        return item
    if isinstance(sql_type, SqlMap):
        counter[0] += 1
        entry = f"ConnectDefault{counter[0]}"
        message.messages.append(_message_for(entry, (("key", sql_type.key), ("value", sql_type.value)), "", counter))
        return ProtoField(name, entry, number, "repeated")
    if isinstance(sql_type, SqlStruct):
        counter[0] += 1
        nested = f"ConnectDefault{counter[0]}"
        message.messages.append(_message_for(nested, sql_type.fields, nullable, counter))
        return ProtoField(name, nested, number)
    if sql_type.base in _SQL_MESSAGES:
        found = ProtoField(name, _SQL_MESSAGES[sql_type.base], number)
        if isinstance(sql_type, SqlDecimal):
            found.parameters = {"precision": str(sql_type.precision), "scale": str(sql_type.scale)}
        return found
    scalar = _SQL_SCALARS[sql_type.base]
    if nullable == "WRAPPER":
        return ProtoField(name, _SQL_WRAPPERS[scalar], number)
    return ProtoField(name, scalar, number, "optional" if nullable == "OPTIONAL" else "")


def proto_text(file: ProtoFile) -> str:
    """The schema as text."""
    lines = ['syntax = "proto3";']
    if file.package:
        lines.append(f"package {file.package};")
    imports = sorted({_IMPORTS[kind] for kind in _types(file.messages) if kind in _IMPORTS})
    lines += ["", *(f'import "{name}";' for name in imports)] if imports else []
    for message in file.messages:
        lines += ["", *_message_lines(message, "")]
    return "\n".join(lines) + "\n"


def _types(messages: Sequence[ProtoMessage]) -> set[str]:
    found: set[str] = set()
    for message in messages:
        found |= {item.type for item in message.fields} | _types(message.messages)
    return found


def _message_lines(message: ProtoMessage, indent: str) -> list[str]:
    lines = [f"{indent}message {message.name} {{"]
    for item in message.fields:
        label = f"{item.label} " if item.label else ""
        options = ""
        if item.parameters:
            entries = ", ".join(f'{{ value: "{value}", key: "{key}" }}' for key, value in item.parameters.items())
            options = f" [(confluent.field_meta) = {{ params: [{entries}] }}]"
        lines.append(f"{indent}  {label}{item.type} {item.name} = {item.number}{options};")
    for nested in message.messages:
        lines += ["", *_message_lines(nested, indent + "  ")]
    return [*lines, f"{indent}}}"]


# --- message classes ---


def _well_known(pool: descriptor_pool.DescriptorPool) -> None:
    for module in (wrappers_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for path, package, name, fields in (
        (
            "confluent/type/decimal.proto",
            "confluent.type",
            "Decimal",
            (("value", "bytes"), ("precision", "uint32"), ("scale", "int32")),
        ),
        ("google/type/date.proto", "google.type", "Date", (("year", "int32"), ("month", "int32"), ("day", "int32"))),
        (
            "google/type/timeofday.proto",
            "google.type",
            "TimeOfDay",
            (("hours", "int32"), ("minutes", "int32"), ("seconds", "int32"), ("nanos", "int32")),
        ),
    ):
        message = ProtoMessage(name, [ProtoField(item, kind, number) for number, (item, kind) in enumerate(fields, 1)])
        pool.Add(_file_descriptor(ProtoFile(package, [message]), path))


def _file_descriptor(file: ProtoFile, path: str) -> descriptor_pb2.FileDescriptorProto:
    out = descriptor_pb2.FileDescriptorProto(name=path, package=file.package, syntax="proto3")
    out.dependency.extend(sorted({_IMPORTS[kind] for kind in _types(file.messages) if kind in _IMPORTS}))
    scope = f".{file.package}" if file.package else ""
    top = {message.name: f"{scope}.{message.name}" for message in file.messages}
    enums = {name: f"{scope}.{name}" for name in file.enums}
    for message in file.messages:
        _add_message(out.message_type.add(), message, scope, top, enums)
    for name, values in file.enums.items():
        _add_enum(out.enum_type.add(), name, values)
    return out


def _add_enum(out: Any, name: str, values: Sequence[tuple[str, int]]) -> None:
    out.name = name
    for label, number in values:
        out.value.add(name=label, number=number)


def _add_message(
    out: Any,
    message: ProtoMessage,
    scope: str,
    known: dict[str, str],
    enums: dict[str, str],
) -> None:
    out.name = message.name
    inner = f"{scope}.{message.name}"
    known = known | {nested.name: f"{inner}.{nested.name}" for nested in message.messages}
    enums = enums | {name: f"{inner}.{name}" for name in message.enums}
    for nested in message.messages:
        _add_message(out.nested_type.add(), nested, inner, known, enums)
    for name, values in message.enums.items():
        _add_enum(out.enum_type.add(), name, values)
    for item in message.fields:
        field_out = out.field.add(name=item.name, number=item.number, label=_Field.LABEL_OPTIONAL)
        if item.key:
            _add_map(out, field_out, item, inner, known, enums)
            continue
        _set_type(field_out, item.type, known, enums)
        if item.label == "repeated":
            field_out.label = _Field.LABEL_REPEATED
        elif item.label == "optional":
            field_out.proto3_optional = True
            field_out.oneof_index = len(out.oneof_decl)
            out.oneof_decl.add(name=f"_{item.name}")


def _set_type(out: Any, kind: str, known: dict[str, str], enums: dict[str, str]) -> None:
    if kind in SCALARS:
        out.type = SCALARS[kind]
    elif kind in _IMPORTS:
        out.type, out.type_name = _Field.TYPE_MESSAGE, f".{kind}"
    elif kind in known:
        out.type, out.type_name = _Field.TYPE_MESSAGE, known[kind]
    elif kind in enums:
        out.type, out.type_name = _Field.TYPE_ENUM, enums[kind]
    else:
        raise StatementError(f"Unknown Protobuf type: {kind}")


def _add_map(
    out: Any,
    field_out: Any,
    item: ProtoField,
    inner: str,
    known: dict[str, str],
    enums: dict[str, str],
) -> None:
    name = "".join(part.capitalize() for part in item.name.split("_")) + "Entry"
    entry = out.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (label, kind) in enumerate((("key", item.key), ("value", item.type)), 1):
        part = entry.field.add(name=label, number=number, label=_Field.LABEL_OPTIONAL)
        _set_type(part, kind, known, enums)
    field_out.type, field_out.type_name = _Field.TYPE_MESSAGE, f"{inner}.{name}"
    field_out.label = _Field.LABEL_REPEATED


@lru_cache(maxsize=256)
def message_classes(text: str) -> tuple[type[Message], ...]:
    """The classes of a schema's top-level messages, in their order."""
    file = parse_proto(text)
    pool = descriptor_pool.DescriptorPool()
    _well_known(pool)
    pool.Add(_file_descriptor(file, "schema.proto"))
    prefix = f"{file.package}." if file.package else ""
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(prefix + message.name)) for message in file.messages
    )


def find_message(file: ProtoFile, full_name: str | None) -> tuple[int, ProtoMessage]:
    """A message by its full name (None: the first one), and its index.

    Raises:
        StatementError: there is none.
    """
    prefix = f"{file.package}." if file.package else ""
    for index, message in enumerate(file.messages):
        if full_name is None or full_name in (message.name, prefix + message.name):
            return index, message
    raise StatementError(f"The schema has no message {full_name}")
