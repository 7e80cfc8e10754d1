"""Statements of .sql files: what each makes, what it reads, and in which order they can be carried out.

The text is only cut into tokens here, not parsed: a real ksqlDB may understand more than the embedded engine does.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ksql.engine.sql.lexer import Token, TokenKind, substitute_variables, tokenize
from ksql.errors import KsqlError, ParsingError, StatementError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SYNONYMS = {"VARCHAR": "STRING", "INT": "INTEGER"}


class Kind(StrEnum):
    """What a statement makes."""

    STREAM = "STREAM"
    TABLE = "TABLE"
    TYPE = "TYPE"
    INSERT = "INSERT"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement that makes something that lasts.

    Attributes:
        name: of what it makes; of an INSERT INTO the id of its query.
        kind: what it makes.
        text: as written, with its semicolon.
        normal: its tokens without comments, white space and what does not matter for what it makes.
        reads: the streams and tables that it selects from, of whatever file.
        words: all its identifiers; among them are the types that it uses.
        writes: the stream that an INSERT INTO adds to; else its own name.
        is_query: whether it starts a query.
        properties: settings of the SET statements above it.
        file: where it stands.
        line: of its first token, from 1.
    """

    name: str
    kind: Kind
    text: str
    normal: tuple[str, ...]
    reads: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    writes: str = ""
    is_query: bool = False
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    file: str = ""
    line: int = 1

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}" if self.file else f"line {self.line}"


def read_folder(folder: Path, *, variables: Mapping[str, str] | None = None) -> list[Statement]:
    """Read all .sql files of a folder.

    Args:
        folder: with the files; other files are left alone.
        variables: put in place of `${name}`.

    Returns:
        The statements of all files in an order in which they can be carried out.

    Raises:
        KsqlError: a file has something else than statements that make something; with file and line.
    """
    if not folder.is_dir():
        raise StatementError("there is no such folder", where=str(folder), remedy="Give a folder of .sql files")
    found: list[Statement] = []
    for file in sorted(folder.glob("*.sql")):
        found += read(file.read_text(encoding="utf-8"), file=str(file), variables=variables)
    return in_order(found)


def read(text: str, *, file: str = "", variables: Mapping[str, str] | None = None) -> list[Statement]:
    """Read statements.

    Args:
        text: of a file.
        file: its name, for messages.
        variables: put in place of `${name}`.

    Raises:
        KsqlError: with file and line.
    """
    try:
        return list(_read(text, file=file, variables=dict(variables or {})))
    except ParsingError as error:
        raise StatementError(error.detail, where=f"{file}:{error.line}" if file else f"line {error.line}") from error


def in_order(statements: Sequence[Statement]) -> list[Statement]:
    """Sort statements so that each comes after what it reads, else in the order given.

    Args:
        statements: of all files.

    Raises:
        StatementError: two make the same, or some read each other in a circle.
    """
    by_name: dict[str, Statement] = {}
    for statement in statements:
        other = by_name.setdefault(statement.name, statement)
        if other is not statement:
            raise StatementError(
                f"{statement.name} is made here and at {other.where}",
                where=statement.where,
                remedy="Remove one of the two, or give an INSERT INTO a QUERY_ID of its own",
            )
    done: dict[str, Statement] = {}
    waiting = list(statements)
    while waiting:
        for statement in waiting:
            if all(name in done for name in needs(statement, by_name)):
                break
        else:
            circle = ", ".join(statement.name for statement in waiting)
            raise StatementError(f"these statements read each other in a circle: {circle}", where=waiting[0].where)
        done[statement.name] = statement
        waiting.remove(statement)
    return list(done.values())


def needs(statement: Statement, known: Mapping[str, Statement]) -> list[str]:
    """Return the names of what must be there before a statement can be carried out.

    Args:
        statement: that is to be carried out.
        known: all statements by name.
    """
    return [
        name
        for name, other in known.items()
        if name != statement.name
        and (
            name in statement.reads or name == statement.writes or (other.kind is Kind.TYPE and name in statement.words)
        )
    ]


def readers(names: Iterable[str], statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements that must go when some names go, in the order in which they are made.

    Args:
        names: of what goes.
        statements: all statements, in order.
    """
    gone = set(names)
    found: list[Statement] = []
    for statement in statements:
        if statement.name not in gone and (statement.reads & gone or statement.writes in gone):
            gone.add(statement.name)
            found.append(statement)
    return found


def single(text: str, *, properties: Mapping[str, str] | None = None) -> Statement:
    """Return the only statement of a text.

    Args:
        text: one statement, without SET statements.
        properties: its settings.

    Raises:
        StatementError: there is none, or more than one.
    """
    found = read(text)
    if len(found) != 1:
        raise StatementError(f"expected one statement, got {len(found)}")
    return replace(found[0], properties=dict(properties or {}))


def _read(text: str, *, file: str, variables: dict[str, str]) -> Iterator[Statement]:
    text = substitute_variables(text, variables)
    properties: dict[str, str] = {}
    for tokens in _split(tokenize(text), file=file):
        head = [token.value for token in tokens[:2]]
        where = f"{file}:{tokens[0].position.line}" if file else f"line {tokens[0].position.line}"
        if head[0] == "SET" and len(tokens) >= 4:
            properties = {**properties, tokens[1].value: tokens[3].value}
        elif head[0] == "UNSET":
            properties = {name: value for name, value in properties.items() if name != tokens[1].value}
        elif head[0] in {"CREATE", "INSERT"}:
            body = text[tokens[0].start : tokens[-1].end]
            statement = _statement(tokens, where=where)
            yield replace(
                statement,
                text=body if not statement.text else statement.text,
                properties=properties,
                file=file,
                line=tokens[0].position.line,
            )
        else:
            raise StatementError(
                f"{head[0]} makes nothing that lasts",
                where=where,
                remedy="Files hold CREATE STREAM, TABLE and TYPE, INSERT INTO ... SELECT, SET and UNSET",
            )


def _split(tokens: Sequence[Token], *, file: str) -> Iterator[list[Token]]:
    current: list[Token] = []
    for token in tokens:
        if token.kind is TokenKind.END:
            break
        current.append(token)
        if token.text == ";":
            if len(current) > 1:
                yield current
            current = []
    if current:
        line = current[0].position.line
        raise KsqlError("the statement has no semicolon at its end", where=f"{file}:{line}" if file else f"line {line}")


def _statement(tokens: list[Token], *, where: str) -> Statement:
    words = [token.value if token.kind is TokenKind.WORD else "" for token in tokens]
    start = 1
    while words[start : start + 2] == ["OR", "REPLACE"] or words[start] == "SOURCE":
        start += 2 if words[start] == "OR" else 1
    if words[:2] == ["INSERT", "INTO"]:
        return _insert(tokens, where=where)
    if words[start] not in {"STREAM", "TABLE", "TYPE"}:
        raise StatementError(
            f"CREATE {tokens[start].text} is not a statement that can be managed",
            where=where,
            remedy="Files hold CREATE STREAM, TABLE and TYPE, INSERT INTO ... SELECT, SET and UNSET",
        )
    kind = Kind(words[start])
    at = start + (4 if words[start + 1 : start + 4] == ["IF", "NOT", "EXISTS"] else 1)
    name = tokens[at].value
    rest = tokens[at + 1 :]
    normal = (
        "CREATE",
        *(["SOURCE"] if "SOURCE" in words[1:start] else []),
        kind.value,
        _plain(tokens[at]),
        *_normal(rest),
    )
    query = (
        next((index for index, token in enumerate(rest) if _is(token, "AS")), None) if kind is not Kind.TYPE else None
    )
    return Statement(
        name=name,
        kind=kind,
        text="",
        normal=normal,
        reads=_sources(rest) if query is not None else frozenset(),
        words=_identifiers(rest),
        writes=name,
        is_query=query is not None,
    )


def _insert(tokens: list[Token], *, where: str) -> Statement:
    target = tokens[2].value
    rest = tokens[3:]
    if not any(_is(token, "SELECT") for token in rest):
        raise StatementError(
            "INSERT INTO ... VALUES adds a row each time it is carried out",
            where=where,
            remedy="Files hold statements that make something; send rows with a client",
        )
    given = next((rest[index + 2].value for index, token in enumerate(rest) if _is(token, "QUERY_ID")), None)
    normal = ("INSERT", "INTO", _plain(tokens[2]), *_normal(rest))
    text = ""
    if given is None:
        # An id that follows from the text, so that the query can be found again on the server.
        digest = hashlib.sha256(" ".join(normal).encode()).hexdigest()[:8].upper()
        given = f"INSERT_{target.upper()}_{digest}"
        text = _with_query_id(tokens, given)
    return Statement(
        name=given.upper(),
        kind=Kind.INSERT,
        text=text,
        normal=normal,
        reads=_sources(rest),
        words=_identifiers(rest),
        writes=target,
        is_query=True,
    )


def _with_query_id(tokens: list[Token], query_id: str) -> str:
    entry = f"QUERY_ID='{query_id}'"
    pieces = [token.text for token in tokens]
    if _is(tokens[3], "WITH"):
        return " ".join([*pieces[:5], f"{entry},", *pieces[5:]])
    return " ".join([*pieces[:3], f"WITH ({entry})", *pieces[3:]])


def _sources(tokens: Sequence[Token]) -> frozenset[str]:
    return frozenset(
        following.value
        for token, following in itertools.pairwise(tokens)
        if (_is(token, "FROM") or _is(token, "JOIN")) and following.kind in {TokenKind.WORD, TokenKind.QUOTED}
    )


def _identifiers(tokens: Sequence[Token]) -> frozenset[str]:
    return frozenset(token.value for token in tokens if token.kind in {TokenKind.WORD, TokenKind.QUOTED})


def _normal(tokens: Sequence[Token]) -> list[str]:
    found: list[str] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if _is(token, "WITH") and index + 1 < len(tokens) and tokens[index + 1].text == "(":
            close = next(at for at in range(index, len(tokens)) if tokens[at].text == ")")
            # The id of an INSERT's query is its name, not a part of what it does.
            properties = [
                entry for entry in _properties(tokens[index + 2 : close]) if not entry.startswith("QUERY_ID=")
            ]
            found += ["WITH", "(", *properties, ")"] if properties else []
            index = close + 1
            continue
        if token.text != ";":
            found.append(_plain(token))
        index += 1
    return found


def _properties(tokens: Sequence[Token]) -> list[str]:
    entries: list[str] = []
    current: list[str] = []
    for token in tokens:
        if token.text == ",":
            entries.append("".join(current))
            current = []
        else:
            current.append(_plain(token))
    return sorted([*entries, "".join(current)] if current else entries)


def _plain(token: Token) -> str:
    if token.kind is TokenKind.WORD:
        return _SYNONYMS.get(token.value, token.value)
    if token.kind is TokenKind.QUOTED:
        plain = token.value.replace("_", "A").isalnum() and token.value == token.value.upper()
        return token.value if plain and not token.value[:1].isdigit() else f"`{token.value}`"
    return "<>" if token.text == "!=" else token.text


def _is(token: Token, word: str) -> bool:
    return token.kind is TokenKind.WORD and token.value == word
