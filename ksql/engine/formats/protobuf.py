"""PROTOBUF and PROTOBUF_NOSR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksql.engine.types import SqlType
from ksql.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import RegisteredSchema, Row, SerdeContext
    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column


class ProtobufFormat:
    name = "PROTOBUF"
    needs_registry = True
    can_wrap = True
    can_unwrap = False
    settings: frozenset[str] = frozenset({"fullSchemaName", "schemaId", "nullableRepresentation"})

    def validate(self, columns: Sequence[Column], _info: FormatInfo, *, is_key: bool) -> None:
        raise Unsupported("PROTOBUF")

    def serializer(self, columns, info, context):
        raise Unsupported("PROTOBUF")

    def deserializer(self, columns, info, context):
        raise Unsupported("PROTOBUF")

    def infer(self, schema, info, *, is_key):
        raise Unsupported("PROTOBUF")


class ProtobufNoRegistryFormat(ProtobufFormat):
    name = "PROTOBUF_NOSR"
    needs_registry = False
