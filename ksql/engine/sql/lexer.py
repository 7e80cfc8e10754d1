"""Cuts SQL text into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from ksql.engine.sql.ast import Position
from ksql.errors import ParsingError

if TYPE_CHECKING:
    from collections.abc import Mapping


class TokenKind(Enum):
    """Kinds of tokens."""

    WORD = auto()
    QUOTED = auto()
    STRING = auto()
    INTEGER = auto()
    DECIMAL = auto()
    FLOAT = auto()
    SYMBOL = auto()
    VARIABLE = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Args:
        kind: what it is.
        text: as written.
        value: words in upper case, quoted names and strings without their quotes.
        start: offset of its first character.
        end: offset behind its last character.
        position: line and column.
    """

    kind: TokenKind
    text: str
    value: str
    start: int
    end: int
    position: Position


_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|--[^\r\n]*|/\*.*?\*/)
  | (?P<FLOAT>(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+(?![A-Za-z0-9_]))
  | (?P<DECIMAL>\d+\.\d*|\.\d+)
  | (?P<digitword>\d+[A-Za-z_@][A-Za-z0-9_@]*)
  | (?P<INTEGER>\d+)
  | (?P<WORD>[A-Za-z_][A-Za-z0-9_@]*)
  | (?P<STRING>'(?:[^']|'')*')
  | (?P<QUOTED>`(?:[^`]|``)*`|"(?:[^"]|"")*")
  | (?P<VARIABLE>\$\{[A-Za-z_][A-Za-z0-9_]*\})
  | (?P<SYMBOL><>|!=|<=|>=|=>|->|:=|\|\||[-+*/%=<>(),.;\[\]{}:?@$^&~])
    """,
    re.VERBOSE | re.DOTALL,
)
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PIECE: Final = re.compile(r"--[^\r\n]*|/\*.*?\*/|'(?:[^']|'')*'|[^'/-]+|.", re.DOTALL)


def tokenize(text: str) -> list[Token]:
    """The tokens of a text, closed by one of kind END.

    Raises:
        ParsingError: at a character that begins no token.
    """
    tokens: list[Token] = []
    offset, line, line_start = 0, 1, 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        position = Position(line, offset - line_start + 1)
        if match is None:
            raise ParsingError(
                f"Syntax Error\nSyntax error at or near '{text[offset]}' at line {position.line}:{position.column}",
                line=position.line,
                column=position.column,
                statement=text,
            )
        written = match.group()
        group = match.lastgroup or ""
        if group != "space":
            tokens.append(_token(group, written, offset, position))
        breaks = written.count("\n")
        if breaks:
            line += breaks
            line_start = offset + written.rfind("\n") + 1
        offset = match.end()
    tokens.append(Token(TokenKind.END, "<EOF>", "", offset, offset, Position(line, offset - line_start + 1)))
    return tokens


def _token(group: str, written: str, offset: int, position: Position) -> Token:
    kind = TokenKind.WORD if group == "digitword" else TokenKind[group]
    value = written
    if kind is TokenKind.WORD:
        value = written.upper()
    elif kind in (TokenKind.STRING, TokenKind.QUOTED):
        quote = written[0]
        value = written[1:-1].replace(quote * 2, quote)
    elif kind is TokenKind.VARIABLE:
        value = written[2:-1]
    return Token(kind, written, value, offset, offset + len(written), position)


def substitute_variables(text: str, variables: Mapping[str, str]) -> str:
    """Puts the values of variables in place of `${name}`; unknown ones stay as they are.

    Args:
        text: SQL text.
        variables: values by name; names are compared without case. In a string a value stands for its characters, so
            that quotes in it do not end the string.
    """
    by_name = {name.upper(): value for name, value in variables.items()}

    def value(match: re.Match[str]) -> str:
        return by_name.get(match.group(1).upper(), match.group())

    def replaced(piece: re.Match[str]) -> str:
        written = piece.group()
        if written.startswith("'"):
            return _VARIABLE.sub(lambda match: value(match).replace("'", "''"), written)
        return written if written.startswith(("--", "/*")) else _VARIABLE.sub(value, written)

    return _PIECE.sub(replaced, text)
