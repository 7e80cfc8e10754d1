"""What a serialisation format is to the rest of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.metastore import FormatInfo
    from ksql.engine.schema import Column
    from ksql.engine.types import SqlType

Row = tuple[Any, ...]
"""The values of a key's or a value's columns, in the schema's order."""


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema in the registry.

    Args:
        id: the id in the wire format's header.
        type: AVRO, JSON or PROTOBUF.
        text: the schema as registered.
    """

    id: int
    type: str
    text: str


class SchemaRegistry(Protocol):
    """What the engine asks of a schema registry. Subjects are `<topic>-key` and `<topic>-value`."""

    def latest(self, subject: str) -> RegisteredSchema | None:
        """The newest schema of a subject, or None."""
        ...

    def by_id(self, schema_id: int) -> RegisteredSchema:
        """The schema of an id. Raises RecordError when there is none."""
        ...

    def register(self, subject: str, *, type: str, text: str) -> int:  # noqa: A002 - the registry's word
        """Registers a schema, unless the subject has it, and returns its id."""
        ...


@dataclass(frozen=True, slots=True)
class SerdeContext:
    """Where a serialiser or deserialiser works.

    Args:
        topic: the topic that is read or written.
        is_key: key or value.
        registry: for the formats that need one.
    """

    topic: str
    is_key: bool
    registry: SchemaRegistry

    @property
    def subject(self) -> str:
        """The registry's subject."""
        return f"{self.topic}-{'key' if self.is_key else 'value'}"


class Format(Protocol):
    """A serialisation format.

    Serialisers and deserialisers are made once per topic and called once per record, so they are specialised for
    the columns. None stands for a null key or value on both sides, and is not handed to them.
    """

    @property
    def name(self) -> str:
        """As VALUE_FORMAT has it."""
        ...

    @property
    def needs_registry(self) -> bool:
        """Whether its schemas are in the registry."""
        ...

    @property
    def can_wrap(self) -> bool:
        """Whether a single column may lie in a record of one field."""
        ...

    @property
    def can_unwrap(self) -> bool:
        """Whether a single column may stand alone."""
        ...

    @property
    def settings(self) -> frozenset[str]:
        """Names of the properties that `FormatInfo` may have."""
        ...

    def validate(self, columns: Sequence[Column], info: FormatInfo, /, *, is_key: bool) -> None:
        """Raises StatementError when the format cannot hold these columns."""
        ...

    def serializer(
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext, /
    ) -> Callable[[Row], bytes | None]:
        """A function from a row to bytes. It registers its schema at the first record."""
        ...

    def deserializer(
        self, columns: Sequence[Column], info: FormatInfo, context: SerdeContext, /
    ) -> Callable[[bytes], Row | None]:
        """A function from bytes to a row; it raises RecordError for what it cannot read."""
        ...

    def schema(self, columns: Sequence[Column], info: FormatInfo, /) -> tuple[str, str] | None:
        """Type and text of the schema that these columns have in the registry; None without one."""
        ...

    def infer(self, schema: RegisteredSchema, info: FormatInfo, /, *, is_key: bool) -> list[tuple[str, SqlType]]:
        """The names and SQL types of the columns that a registered schema stands for."""
        ...
