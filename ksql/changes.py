"""What it takes to get from one statement to another, and whether a server still has what a statement made.

ksqlDB keeps statements in a form of its own: names qualified, aliases and settings added. So texts of a server are
compared by their syntax trees, where parentheses, units and spellings are gone, and what only the server's text says
does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from ksql.engine.sql import ast
from ksql.engine.sql.parser import parse_one
from ksql.errors import KsqlError
from ksql.statements import Kind

if TYPE_CHECKING:
    from ksql.statements import Statement

_FLAGS = frozenset({"or_replace", "if_not_exists"})
_GENERATED = "KSQL_COL_"


class Action(StrEnum):
    """What is to be done about a statement."""

    NONE = "none"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    RESUME = "resume"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be done, and why.

    Attributes:
        action: what.
        reason: in words; empty where nothing is to be done.
    """

    action: Action
    reason: str = ""


def classify(old: Statement, new: Statement, *, from_server: bool = False) -> Change:
    """Say how to get from one statement to another of the same name.

    ksqlDB's CREATE OR REPLACE takes appended columns, and changed expressions and conditions of queries that only
    filter and project a stream.

    Args:
        old: as it was carried out.
        new: as it should be.
        from_server: whether `old` has a server's text, in which settings were added.
    """
    if old.normal == new.normal and old.kind is new.kind:
        return Change(action=Action.NONE)
    if old.kind is not new.kind or old.is_query != new.is_query:
        return Change(action=Action.REPLACE, reason=f"a {_what(old)} becomes a {_what(new)}")
    if new.kind in {Kind.TYPE, Kind.INSERT}:
        return Change(action=Action.REPLACE, reason=f"ksqlDB cannot change a {_what(new)} in place")
    return _judged(old, new, from_server=from_server)


def _judged(old: Statement, new: Statement, *, from_server: bool) -> Change:
    try:
        before, after = parse_one(old.text), parse_one(new.text)
    except KsqlError:
        return Change(action=Action.REPLACE, reason="the change cannot be judged here")
    if isinstance(before, ast.CreateSource) and isinstance(after, ast.CreateSource):
        return _declared(before, after, _changed_properties(before, after, from_server=from_server))
    if isinstance(before, ast.CreateAsSelect) and isinstance(after, ast.CreateAsSelect):
        return _selected(before, after, _changed_properties(before, after, from_server=from_server))
    return Change(action=Action.REPLACE, reason="the change cannot be judged here")


def matches(statement: Statement, server_text: str) -> bool | None:
    """Say whether a server has what a statement makes.

    Args:
        statement: what should be there.
        server_text: the text of it that the server shows.

    Returns:
        None where that cannot be judged.
    """
    try:
        wanted, found = parse_one(statement.text), parse_one(server_text)
    except KsqlError:
        return None
    return _same(wanted, found)


def _what(statement: Statement) -> str:
    names = {Kind.TYPE: "type", Kind.INSERT: "query of INSERT INTO"}
    plain = names.get(statement.kind, statement.kind.value.lower())
    return f"{plain} of a query" if statement.is_query and statement.kind in {Kind.STREAM, Kind.TABLE} else plain


def _declared(old: ast.CreateSource, new: ast.CreateSource, changed: list[str]) -> Change:
    if changed:
        return Change(action=Action.REPLACE, reason=f"{', '.join(changed)} changed, which ksqlDB cannot do in place")
    if old.read_only != new.read_only:
        return Change(action=Action.REPLACE, reason="SOURCE changed, which ksqlDB cannot do in place")
    if new.elements[: len(old.elements)] == old.elements:
        return Change(action=Action.UPDATE, reason="columns are appended")
    return Change(action=Action.REPLACE, reason="columns are changed, missing or in another order")


def _selected(old: ast.CreateAsSelect, new: ast.CreateAsSelect, changed: list[str]) -> Change:
    if changed:
        return Change(action=Action.REPLACE, reason=f"{', '.join(changed)} changed, which ksqlDB cannot do in place")
    for query in (old.query, new.query):
        reason = _not_simple(query)
        if new.is_table or reason:
            return Change(
                action=Action.REPLACE, reason=f"ksqlDB cannot change {reason or 'a query that makes a table'} in place"
            )
    if old.query.source.name != new.query.source.name:
        return Change(action=Action.REPLACE, reason="it reads something else")
    names = [_column(item) for item in old.query.select]
    if [_column(item) for item in new.query.select][: len(names)] != names:
        return Change(action=Action.REPLACE, reason="columns are renamed, missing or in another order")
    return Change(action=Action.UPDATE, reason="expressions, the condition or appended columns changed")


def _not_simple(query: ast.Query) -> str:
    if query.window is not None:
        return "a window"
    if query.group_by is not None:
        return "an aggregation"
    if query.joins:
        return "a join"
    return "PARTITION BY" if query.partition_by is not None else ""


def _column(item: ast.SelectItem) -> object:
    if not isinstance(item, ast.SingleColumn):
        return item
    if item.alias is not None:
        return item.alias
    return item.expression.name if isinstance(item.expression, ast.ColumnRef) else item.expression


def _changed_properties(
    old: ast.CreateSource | ast.CreateAsSelect, new: ast.CreateSource | ast.CreateAsSelect, *, from_server: bool
) -> list[str]:
    before, after = dict(old.properties), dict(new.properties)
    names = after.keys() if from_server else before.keys() | after.keys()
    return sorted(name for name in names if not _same(after.get(name), before.get(name)))


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, ast.ColumnRef) and isinstance(found, ast.ColumnRef):
        return wanted.name == found.name and (None in {wanted.source, found.source} or wanted.source == found.source)
    if isinstance(wanted, ast.SingleColumn) and isinstance(found, ast.SingleColumn):
        return _same_column(wanted, found)
    if type(wanted) is not type(found):
        return _same_number(wanted, found)
    if isinstance(wanted, tuple):
        pairs = zip(cast("tuple[Any, ...]", wanted), cast("tuple[Any, ...]", found), strict=False)
        return len(found) == len(cast("tuple[Any, ...]", wanted)) and all(_same(one, other) for one, other in pairs)
    return _same_fields(wanted, found) if is_dataclass(wanted) else bool(wanted == found)


def _same_fields(wanted: Any, found: Any) -> bool:
    skip = _FLAGS
    if isinstance(wanted, ast.CreateSource) and _infers(wanted):
        # The server's text has the columns that it took from the registry.
        columns = {element.name for element in wanted.elements}
        if not _same(wanted.elements, tuple(element for element in found.elements if element.name in columns)):
            return False
        skip = _FLAGS | {"elements"}
    for entry in fields(wanted):
        if not entry.compare or entry.name in skip:
            continue
        one, other = getattr(wanted, entry.name), getattr(found, entry.name)
        if entry.name == "properties":
            # The server adds what it chose itself.
            known = dict(other)
            if not all(name in known and _same(value, known[name]) for name, value in one):
                return False
        elif entry.name == "emit":
            # A statement that says nothing emits changes.
            if (one or ast.Emit.CHANGES) is not (other or ast.Emit.CHANGES):
                return False
        elif not _same(one, other):
            return False
    return True


def _same_column(wanted: ast.SingleColumn, found: ast.SingleColumn) -> bool:
    if not _same(wanted.expression, found.expression):
        return False
    if wanted.alias == found.alias or (wanted.alias is None and found.alias is None):
        return True
    if wanted.alias is not None:
        return (
            found.alias is None
            and isinstance(found.expression, ast.ColumnRef)
            and found.expression.name == wanted.alias
        )
    named = isinstance(wanted.expression, ast.ColumnRef | ast.Dereference)
    return named or (found.alias or "").startswith(_GENERATED)


def _same_number(wanted: Any, found: Any) -> bool:
    numbers = (ast.IntegerLiteral, ast.LongLiteral, ast.DoubleLiteral, ast.DecimalLiteral)
    if isinstance(wanted, numbers) and isinstance(found, numbers):
        return float(wanted.value) == float(found.value)
    texts = (ast.StringLiteral, *numbers)
    return isinstance(wanted, texts) and isinstance(found, texts) and str(wanted.value) == str(found.value)


def _infers(statement: ast.CreateSource) -> bool:
    keys = {ast.Constraint.KEY, ast.Constraint.PRIMARY_KEY, ast.Constraint.HEADER, ast.Constraint.HEADERS}
    return all(element.constraint in keys for element in statement.elements)
