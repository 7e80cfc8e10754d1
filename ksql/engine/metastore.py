"""What the engine knows about streams, tables and types."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ksql.engine.schema import Schema
    from ksql.engine.types import SqlType


class SourceKind(StrEnum):
    """STREAM or TABLE."""

    STREAM = "STREAM"
    TABLE = "TABLE"


class WindowType(StrEnum):
    """How the keys of a windowed source are windowed."""

    TUMBLING = "TUMBLING"
    HOPPING = "HOPPING"
    SESSION = "SESSION"


@dataclass(frozen=True, slots=True)
class WindowInfo:
    """The windows of a windowed key.

    Args:
        type: tumbling, hopping or session.
        size_ms: length of a window; None for sessions.
    """

    type: WindowType
    size_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FormatInfo:
    """A serialisation format and its settings.

    Args:
        name: upper-case name, e.g. `AVRO`.
        properties: the format's settings, e.g. `delimiter`, `fullSchemaName`, `schemaId`, `nullableRepresentation`.
        wrap: whether a single column lies in a record of one field (True) or stands alone (False).
    """

    name: str
    properties: tuple[tuple[str, str], ...] = ()
    wrap: bool = True

    def get(self, name: str) -> str | None:
        """A setting, or None."""
        return dict(self.properties).get(name)


@dataclass(frozen=True, slots=True)
class TimestampColumn:
    """The column that holds a record's time, with the pattern of its text."""

    name: str
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A stream or table.

    Args:
        name: case-sensitive.
        kind: stream or table.
        schema: its columns.
        topic: the Kafka topic.
        key_format: how keys are written.
        value_format: how values are written.
        statement: the text that created it, as ksqlDB rewrites it.
        timestamp: where the record's time comes from; None: Kafka's record timestamp.
        window: the windows of a windowed key.
        read_only: made by CREATE SOURCE STREAM or TABLE.
        derived: made by CREATE ... AS SELECT (so pull queries can be answered for tables).
        partitions: of the topic, where known.
    """

    name: str
    kind: SourceKind
    schema: Schema
    topic: str
    key_format: FormatInfo
    value_format: FormatInfo
    statement: str = ""
    timestamp: TimestampColumn | None = None
    window: WindowInfo | None = None
    read_only: bool = False
    derived: bool = False
    partitions: int | None = None

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return self.kind is SourceKind.TABLE


@dataclass(slots=True)
class MetaStore:
    """Streams, tables and named types; a copy serves as the sandbox in which a request is validated."""

    sources: dict[str, Source] = field(default_factory=dict[str, "Source"])
    types: dict[str, SqlType] = field(default_factory=dict[str, "SqlType"])

    def get(self, name: str) -> Source | None:
        """The source of that (case-sensitive) name, or None."""
        return self.sources.get(name)

    def put(self, source: Source) -> None:
        """Adds or replaces a source."""
        self.sources[source.name] = source

    def delete(self, name: str) -> None:
        """Forgets a source; it must exist."""
        del self.sources[name]

    def copy(self) -> MetaStore:
        """An independent copy."""
        return MetaStore(dict(self.sources), dict(self.types))

    def __iter__(self) -> Iterator[Source]:
        return iter(self.sources.values())
