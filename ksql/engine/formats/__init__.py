"""Serialisation formats: AVRO, JSON, JSON_SR, PROTOBUF, PROTOBUF_NOSR, DELIMITED, KAFKA and NONE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ksql.engine.formats.avro import AvroFormat
from ksql.engine.formats.delimited import DelimitedFormat
from ksql.engine.formats.json import JsonFormat, JsonSchemaFormat
from ksql.engine.formats.kafka import KafkaFormat, NoneFormat
from ksql.engine.formats.protobuf import ProtobufFormat, ProtobufNoRegistryFormat
from ksql.errors import StatementError

if TYPE_CHECKING:
    from ksql.engine.formats.protocol import Format
    from ksql.engine.metastore import FormatInfo

_FORMATS: Final[dict[str, Format]] = {
    form.name: form
    for form in (
        AvroFormat(),
        DelimitedFormat(),
        JsonFormat(),
        JsonSchemaFormat(),
        KafkaFormat(),
        NoneFormat(),
        ProtobufFormat(),
        ProtobufNoRegistryFormat(),
    )
}


def format_names() -> frozenset[str]:
    """The names of all formats."""
    return frozenset(_FORMATS)


def format_for(info: FormatInfo) -> Format:
    """The format of that name.

    Raises:
        StatementError: there is none.
    """
    form = _FORMATS.get(info.name)
    if form is None:
        raise StatementError(f"Unknown format: {info.name}")
    return form
