"""What can go wrong in a stream service.

CflightError
├── SettingsError        an environment variable is missing or wrong
├── RegistryError        the schema registry refused a schema
├── BatchError           a whole batch cannot be read; it goes to the dead-letter topic
└── RowError             one row cannot be read; it goes to the rows' dead-letter topic
"""

from __future__ import annotations

from enum import StrEnum

from cflight.errors import CflightError


class SettingsError(CflightError):
    """An environment variable is missing or has a value that cannot be used."""


class RegistryError(CflightError):
    """The schema registry answered, and refused."""


class Reason(StrEnum):
    """Why a batch or a row was refused: a metric's label and a dead-letter record's header."""

    EMPTY = "empty"
    NOT_GZIP = "not-gzip"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TRAILING_GARBAGE = "trailing-garbage"
    TOO_MANY_MEMBERS = "too-many-members"
    TOO_LONG = "too-long"
    TOO_MANY_ROWS = "too-many-rows"
    NOT_TEXT = "not-text"
    NO_ROWS = "no-rows"
    BUNDLE_TOO_LONG = "bundle-too-long"
    REFUSED_BY_BROKER = "refused-by-broker"
    INTERNAL_ERROR = "internal-error"
    QUOTES = "quotes"
    FIELDS = "fields"
    CODE = "code"
    DATE = "date"
    PRICE = "price"
    CLASS = "class"
    NOT_AVRO = "not-avro"
    UNKNOWN_SCHEMA = "unknown-schema"
    NO_KEY = "no-key"


class BatchError(CflightError):
    """A whole batch cannot be read.

    Args:
        reason: why, one of few.
        what: the same for a person.
    """

    def __init__(self, reason: Reason, what: str) -> None:
        super().__init__(what)
        self.reason = reason


class RowError(CflightError):
    """One row cannot be read.

    Args:
        reason: why, one of few.
        what: the same for a person.
    """

    def __init__(self, reason: Reason, what: str) -> None:
        super().__init__(what)
        self.reason = reason
