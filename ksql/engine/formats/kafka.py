"""KAFKA: the plain serialisers of Kafka's clients. NONE: nothing at all."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from ksql.errors import RecordError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import RegisteredSchema, Row, SerdeContext
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column
    from ksql.engine.types import SqlType

_PACKED: Final = {
    "INTEGER": struct.Struct(">i"),
    "BIGINT": struct.Struct(">q"),
    "DOUBLE": struct.Struct(">d"),
}


def column_list(columns: Sequence[Column]) -> str:
    """Columns as error messages list them."""
    return "[" + ", ".join(map(str, columns)) + "]"


class KafkaFormat:
    """INT, BIGINT, DOUBLE, STRING and BYTES as Kafka's own serialisers write them; a single column only."""

    name = "KAFKA"
    needs_registry = False
    can_wrap = False
    can_unwrap = True
    settings: frozenset[str] = frozenset()

    def validate(self, columns: Sequence[Column], _info: FormatInfo, *, is_key: bool) -> None:  # noqa: ARG002
        """See Format."""
        if len(columns) > 1:
            raise StatementError(f"The 'KAFKA' format only supports a single field. Got: {column_list(columns)}")
        for column in columns:
            if column.type.base not in (*_PACKED, "STRING", "BYTES"):
                raise StatementError(f"The 'KAFKA' format does not support type '{column.type.base}'")

    def serializer(
        self, columns: Sequence[Column], _info: FormatInfo, _context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        if not columns:
            return lambda _row: None
        base = columns[0].type.base
        if base == "STRING":
            return lambda row: None if row[0] is None else row[0].encode()
        if base == "BYTES":
            return lambda row: row[0]
        pack = _PACKED[base].pack
        return lambda row: None if row[0] is None else pack(row[0])

    def deserializer(
        self, columns: Sequence[Column], _info: FormatInfo, _context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        if not columns:
            return lambda _data: ()
        base = columns[0].type.base
        if base == "STRING":
            return _read_text
        if base == "BYTES":
            return lambda data: (data,)
        unpack = _PACKED[base].unpack

        def read(data: bytes) -> tuple[Any, ...]:
            try:
                return unpack(data)
            except struct.error as error:
                raise RecordError(f"Size of data received by the {base} deserializer is not right") from error

        return read

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


def _read_text(data: bytes) -> tuple[str]:
    # As Java does it: what is no UTF-8 is replaced, not refused.
    return (data.decode(errors="replace"),)


class NoneFormat:
    """For keys that are not there."""

    name = "NONE"
    needs_registry = False
    can_wrap = False
    can_unwrap = True
    settings: frozenset[str] = frozenset()

    def validate(self, columns: Sequence[Column], _info: FormatInfo, *, is_key: bool) -> None:  # noqa: ARG002
        """See Format."""
        if columns:
            raise StatementError(
                f"The 'NONE' format can only be used when no columns are defined. Got: {column_list(columns)}"
            )

    def serializer(
        self, _columns: Sequence[Column], _info: FormatInfo, _context: SerdeContext
    ) -> Callable[[Row], bytes | None]:
        """See Format."""
        return lambda _row: None

    def deserializer(
        self, _columns: Sequence[Column], _info: FormatInfo, _context: SerdeContext
    ) -> Callable[[bytes], Row | None]:
        """See Format."""
        return lambda _data: None

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
