"""One request: its statements, its variables and its settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ksql.engine.rest.errors import RestError, bad_statement
from ksql.engine.sql.lexer import TokenKind, substitute_variables, tokenize
from ksql.engine.sql.parser import parse
from ksql.errors import KsqlError, ParsingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ksql.engine.runtime.engine import Catalog
    from ksql.engine.sql import ast


@dataclass(kw_only=True)
class Session:
    """What statements of one request share.

    Attributes:
        catalog: the server's, or a copy of it in which the request is only checked.
        sandbox: whether it is a copy.
        properties: settings by full name; SET adds to them.
        variables: DEFINE adds to them.
    """

    catalog: Catalog
    sandbox: bool
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    variables: dict[str, str] = field(default_factory=dict[str, str])


def statements(text: str, variables: Mapping[str, str]) -> Iterator[ast.Statement]:
    """Parse the statements of a request one after the other, so that each sees the variables defined before it.

    Args:
        text: of the request.
        variables: changed while the statements are carried out.

    Raises:
        RestError: a statement has an error of syntax.
    """
    try:
        pieces = list(_pieces(text))
        for start, end in pieces:
            # What comes before is blanked out, so that lines and columns are those of the whole request.
            blank = re.sub(r"[^\n]", " ", text[:start])
            yield from parse(blank + substitute_variables(text[start:end], variables))
    except ParsingError as error:
        raise bad_statement(error.message, statement=text) from error
    except KsqlError as error:
        raise bad_statement(_prepared(error.message), statement=error.statement or text) from error


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start: int | None = None
    for token in tokenize(text):
        if token.kind is TokenKind.END:
            if start is not None:
                yield start, len(text)
            return
        if start is None:
            start = token.start
        if token.kind is TokenKind.SYMBOL and token.text == ";":
            yield start, token.end
            start = None


def _prepared(message: str) -> str:
    known = ("Failed to prepare statement", "Line: ", "Illegal argument")
    return message if message.startswith(known) else f"Failed to prepare statement: {message}"


def refused(error: KsqlError, *, text: str, prefix: str = "") -> RestError:
    """Return the answer to a statement that cannot be carried out.

    Args:
        error: what is wrong.
        text: of the statement.
        prefix: what stands in front of the message, where it does not say already when the error was found.
    """
    message = error.message
    if prefix and not message.startswith(
        ("Exception while preparing statement", "Failed to prepare statement", prefix)
    ):
        message = prefix + message
    return bad_statement(message, statement=text)
