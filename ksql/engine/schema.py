"""The columns of sources and of steps of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ksql.engine.types import SqlType


class Namespace(StrEnum):
    """Where a column's data lies in a record."""

    KEY = "KEY"
    VALUE = "VALUE"
    HEADERS = "HEADERS"


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Args:
        name: case-sensitive.
        type: its SQL type.
        namespace: key, value or headers.
        header: for `HEADER('key')` columns the header's key; None means all headers.
    """

    name: str
    type: SqlType
    namespace: Namespace = Namespace.VALUE
    header: str | None = None

    def __str__(self) -> str:
        if self.namespace is Namespace.HEADERS:
            suffix = " HEADERS" if self.header is None else f" HEADER('{self.header}')"
        else:
            suffix = " KEY" if self.namespace is Namespace.KEY else ""
        return f"`{self.name}` {self.type}{suffix}"


ROWTIME: Final = "ROWTIME"
ROWPARTITION: Final = "ROWPARTITION"
ROWOFFSET: Final = "ROWOFFSET"
WINDOWSTART: Final = "WINDOWSTART"
WINDOWEND: Final = "WINDOWEND"
PSEUDO_COLUMNS: Final = (ROWTIME, ROWPARTITION, ROWOFFSET)
WINDOW_BOUNDS: Final = (WINDOWSTART, WINDOWEND)
SYSTEM_COLUMNS: Final = frozenset((*PSEUDO_COLUMNS, *WINDOW_BOUNDS))


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns in their order of declaration. Header columns come after the others of the value."""

    columns: tuple[Column, ...]

    @staticmethod
    def of(*, key: Iterable[tuple[str, SqlType]] = (), value: Iterable[tuple[str, SqlType]] = ()) -> Schema:
        """A schema of key columns followed by value columns."""
        return Schema(
            (
                *(Column(name, sql_type, Namespace.KEY) for name, sql_type in key),
                *(Column(name, sql_type) for name, sql_type in value),
            )
        )

    @property
    def key(self) -> tuple[Column, ...]:
        """The key columns; a record's key is a tuple of their values."""
        return tuple(column for column in self.columns if column.namespace is Namespace.KEY)

    @property
    def value(self) -> tuple[Column, ...]:
        """The value columns without header columns: what a value format writes."""
        return tuple(column for column in self.columns if column.namespace is Namespace.VALUE)

    @property
    def headers(self) -> tuple[Column, ...]:
        """The columns that are filled from the record's headers."""
        return tuple(column for column in self.columns if column.namespace is Namespace.HEADERS)

    def find(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def __str__(self) -> str:
        return ", ".join(str(column) for column in self.columns)
