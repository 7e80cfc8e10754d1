"""Errors of statements and of the engine that runs them.

KsqlError                        anything about a statement that its author can mend
├── ParsingError                 the text is no statement; has line and column
├── StatementError               a statement that cannot be carried out
├── FunctionError                no such function, or no variant for these arguments
└── Unsupported                  ksqlDB may do this, this engine does not

ServerError                      a ksqlDB server, Kafka or the registry that does not do what it is asked

RecordError is not one of them: it is about one record, goes to the processing log, and never reaches a user.
"""

from __future__ import annotations

from cflight.errors import CflightError


class KsqlError(CflightError):
    """An error of a statement. `message` is ksqlDB's wording where ksqlDB would refuse it as well.

    Args:
        what: the message.
        statement: the text of the statement, where it is known.
        where: file and line.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, statement: str = "", where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.message = what
        self.statement = statement


class ParsingError(KsqlError):
    """The text is not a statement.

    Args:
        detail: the message without the position.
        line: 1-based line of the offending token.
        column: 1-based column of the offending token.
    """

    def __init__(self, detail: str, *, line: int, column: int, statement: str = "") -> None:
        super().__init__(f"line {line}:{column}: {detail}", statement=statement)
        self.detail = detail
        self.line = line
        self.column = column


class StatementError(KsqlError):
    """A statement that parses, but cannot be carried out."""


class FunctionError(KsqlError):
    """A call of a function that does not exist, or not for these arguments."""


class Unsupported(KsqlError):  # noqa: N818 - reads as the refusal it is
    """Something that ksqlDB may do and this engine does not: refused, never answered wrongly."""

    def __init__(self, feature: str, *, statement: str = "") -> None:
        super().__init__(f"{feature} is not supported by the embedded engine", statement=statement)


class ServerError(CflightError):
    """A ksqlDB server, Kafka or the schema registry does not answer, or refuses what it is asked."""


class RecordError(Exception):
    """One record cannot be read or evaluated; it is logged and skipped, or its column becomes null."""


class FatalRecordError(Exception):
    """One record stops its query: ksqlDB's query would fail with an uncaught exception as well."""
