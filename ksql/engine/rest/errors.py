"""Errors as ksqlDB's REST API answers them: a status, a code of five digits that begins with it, and a message."""

from __future__ import annotations

from typing import Any


class RestError(Exception):
    """A request that cannot be answered.

    Args:
        status: of HTTP.
        code: ksqlDB's error code.
        message: in ksqlDB's words.
        statement: the text of the statement that is at fault; None for an error of the request as a whole.
        typed: whether the answer says that it is JSON; errors of queries often do not.
    """

    def __init__(
        self, status: int, code: int, message: str, *, statement: str | None = None, typed: bool = True
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.statement = statement
        self.typed = typed

    def body(self) -> dict[str, Any]:
        """Return the body of the answer."""
        head = {"error_code": self.code, "message": self.message}
        if self.statement is None:
            return {"@type": "generic_error", **head}
        return {"@type": "statement_error", **head, "statementText": self.statement, "entities": []}


def bad_request(message: str, *, code: int = 40000, typed: bool = True) -> RestError:
    """Return an error of the request as a whole."""
    return RestError(400, code, message, typed=typed)


def bad_statement(message: str, *, statement: str, code: int = 40001, typed: bool = True) -> RestError:
    """Return an error of one statement that its author can mend."""
    return RestError(400, code, message, statement=statement, typed=typed)


def server_error(message: str, *, statement: str) -> RestError:
    """Return an error of carrying out a statement."""
    return RestError(500, 50000, message, statement=statement)
