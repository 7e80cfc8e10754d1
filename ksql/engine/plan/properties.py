"""The WITH clause: which properties there are, and what they mean for formats, topics, times and windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.metastore import FormatInfo, TimestampColumn, WindowInfo, WindowType
from ksql.engine.sql import ast
from ksql.engine.types import BIGINT, STRING, TIMESTAMP
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ksql.engine.schema import Schema

KNOWN: Final = frozenset(
    {
        "CLEANUP_POLICY",
        "FORMAT",
        "KAFKA_TOPIC",
        "KEY_DELIMITER",
        "KEY_FORMAT",
        "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
        "KEY_SCHEMA_FULL_NAME",
        "KEY_SCHEMA_ID",
        "PARTITIONS",
        "REPLICAS",
        "RETENTION_MS",
        "SOURCED_BY_CONNECTOR",
        "TIMESTAMP",
        "TIMESTAMP_FORMAT",
        "VALUE_AVRO_SCHEMA_FULL_NAME",
        "VALUE_DELIMITER",
        "VALUE_FORMAT",
        "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
        "VALUE_SCHEMA_FULL_NAME",
        "VALUE_SCHEMA_ID",
        "WINDOW_SIZE",
        "WINDOW_TYPE",
        "WRAP_SINGLE_VALUE",
    }
)
DELIMITERS: Final = {"TAB": "\t", "SPACE": " "}


@dataclass(frozen=True, slots=True)
class Properties:
    """A WITH clause with its values; names are upper-case."""

    values: Mapping[str, Any]

    @staticmethod
    def of(properties: tuple[tuple[str, ast.Expression], ...]) -> Properties:
        """The properties of a statement.

        Raises:
            StatementError: a property is not known, or has a value that it cannot have.
        """
        found: dict[str, Any] = {}
        for name, literal in properties:
            found[name.upper()] = literal_python(literal)
        unknown = sorted(set(found) - KNOWN)
        if unknown:
            raise StatementError(
                f"Failed to prepare statement: Invalid config variable(s) in the WITH clause: {','.join(unknown)}"
            )
        result = Properties(found)
        result.check()
        return result

    def check(self) -> None:
        """Raises StatementError for values that no statement can have."""
        for side in ("KEY", "VALUE"):
            if "FORMAT" in self.values and f"{side}_FORMAT" in self.values:
                raise StatementError(
                    f"Cannot supply both '{side}_FORMAT' and 'FORMAT' properties, as 'FORMAT' sets both key and value "
                    "formats.\nEither use just 'FORMAT', or use 'KEY_FORMAT' and 'VALUE_FORMAT'."
                )
            delimiter = self.values.get(f"{side}_DELIMITER")
            if delimiter is not None and not delimiter.strip():
                raise StatementError(
                    f"Failed to prepare statement: Configuration {side}_DELIMITER is invalid: Delimiter cannot be "
                    "empty, if you meant to have a tab or space for delimiter, please use the special values 'TAB' or "
                    "'SPACE'\nExample valid value: ';'"
                )

    def get(self, name: str) -> Any | None:
        """A value, or None."""
        return self.values.get(name)

    def text(self, name: str) -> str | None:
        """A value as text, or None."""
        value = self.values.get(name)
        return None if value is None else str(value)

    def flag(self, name: str) -> bool | None:
        """A value as a boolean, or None."""
        value = self.values.get(name)
        return None if value is None else value if isinstance(value, bool) else str(value).lower() == "true"

    def number(self, name: str) -> int | None:
        """A value as a number, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError as error:
            raise StatementError(f"Invalid value {value} for property {name}") from error

    def format_name(self, *, is_key: bool) -> str | None:
        """The format of keys or values that the clause gives, or None."""
        name = self.text("KEY_FORMAT" if is_key else "VALUE_FORMAT") or self.text("FORMAT")
        return name.upper() if name else None

    def format_properties(self, *, is_key: bool) -> dict[str, str]:
        """The settings of the format that the clause gives."""
        side = "KEY" if is_key else "VALUE"
        found: dict[str, str] = {}
        delimiter = self.text(f"{side}_DELIMITER")
        if delimiter is not None:
            found["delimiter"] = DELIMITERS.get(delimiter.upper(), delimiter)
        name = self.text(f"{side}_SCHEMA_FULL_NAME")
        if name is None and not is_key:
            name = self.text("VALUE_AVRO_SCHEMA_FULL_NAME")
        if name is not None:
            if not name.strip():
                raise StatementError("fullSchemaName cannot be empty. Format configuration: {fullSchemaName=}")
            found["fullSchemaName"] = name
        schema_id = self.number(f"{side}_SCHEMA_ID")
        if schema_id is not None:
            found["schemaId"] = str(schema_id)
        representation = self.text(f"{side}_PROTOBUF_NULLABLE_REPRESENTATION")
        if representation is not None:
            found["nullableRepresentation"] = representation.upper()
        return found

    def window(self) -> WindowInfo | None:
        """The windows of a windowed source."""
        window_type = self.text("WINDOW_TYPE")
        size = self.text("WINDOW_SIZE")
        if window_type is None:
            if size is not None:
                raise StatementError("'WINDOW_SIZE' should not be set for non-windowed sources.")
            return None
        kind = window_type.upper()
        if kind not in WindowType.__members__:
            raise StatementError(
                f"Invalid value {window_type} for configuration WINDOW_TYPE: String must be one of: SESSION, HOPPING, "
                "TUMBLING, null"
            )
        if kind == "SESSION":
            if size is not None:
                raise StatementError("'WINDOW_SIZE' should not be set for SESSION windows.")
            return WindowInfo(WindowType.SESSION)
        if size is None:
            raise StatementError(
                f"{kind} windows require 'WINDOW_SIZE' to be provided in the WITH clause. For example: "
                "'WINDOW_SIZE'='10 SECONDS'"
            )
        return WindowInfo(WindowType[kind], parse_duration(size).milliseconds)

    def timestamp(self, schema: Schema) -> TimestampColumn | None:
        """The column with the record's time.

        Raises:
            StatementError: there is no such column, or it cannot be a time.
        """
        name = self.text("TIMESTAMP")
        if name is None:
            return None
        pattern = self.text("TIMESTAMP_FORMAT")
        identifier = identifier_text(name)
        column = schema.find(identifier)
        if column is None:
            raise StatementError(
                f"The TIMESTAMP column set in the WITH clause does not exist in the schema: '{identifier}'"
            )
        if column.type == STRING:
            if pattern is None:
                raise StatementError(
                    "A String timestamp field has been specified without also specifying the timestamp_format"
                )
        elif column.type not in (BIGINT, TIMESTAMP):
            raise StatementError(
                f"Timestamp column, `{identifier}`, should be LONG(INT64), TIMESTAMP, or a String with a "
                "timestamp_format specified"
            )
        elif pattern is not None:
            raise StatementError(
                f"'TIMESTAMP_FORMAT' set, but the type of the TIMESTAMP column is not STRING: `{identifier}`"
            )
        return TimestampColumn(identifier, pattern)


def identifier_text(text: str) -> str:
    """An identifier in a property: upper-case unless it is quoted."""
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in '`"':
        return stripped[1:-1]
    return stripped.upper()


def literal_python(literal: ast.Expression) -> Any:
    """The Python value of a literal."""
    if isinstance(literal, ast.NullLiteral):
        return None
    return getattr(literal, "value")  # noqa: B009 - every other literal has one


def parse_duration(text: str) -> ast.Duration:
    """A duration like `10 SECONDS`.

    Raises:
        StatementError: it is none.
    """
    parts = text.split()
    unit = parts[1].upper() if len(parts) == 2 else ""
    plural = unit if unit.endswith("S") else f"{unit}S"
    if plural not in ast.UNIT_MILLISECONDS or not parts[0].isdigit():
        raise StatementError(f"Invalid duration: '{text}'. Should be of form: <size> <unit>, for example: '10 SECONDS'")
    return ast.Duration(int(parts[0]), plural)


def format_info(name: str, properties: Mapping[str, str], *, wrap: bool = True) -> FormatInfo:
    """A format with its settings in a fixed order."""
    return FormatInfo(name, tuple(sorted(properties.items())), wrap)
