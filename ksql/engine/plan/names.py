"""Names: which column an identifier means, and what the columns of a projection are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ksql.engine.plan.rewrite import transform
from ksql.engine.schema import PSEUDO_COLUMNS, SYSTEM_COLUMNS, WINDOW_BOUNDS
from ksql.engine.sql import ast
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ksql.engine.metastore import MetaStore, Source


@dataclass(frozen=True, slots=True)
class Aliased:
    """A source under the name that the query uses."""

    alias: str
    source: Source

    def has(self, name: str) -> bool:
        """Whether the source has a column, pseudo columns included."""
        return (
            self.source.schema.find(name) is not None
            or name in PSEUDO_COLUMNS
            or (name in WINDOW_BOUNDS and self.source.window is not None)
        )


def at(position: ast.Position) -> str:
    """`Line: 1, Col: 5: `."""
    return f"Line: {position.line}, Col: {position.column}: " if position.line else ""


def sources_of(query: ast.Query, metastore: MetaStore) -> list[Aliased]:
    """The sources of FROM.

    Raises:
        StatementError: one does not exist, or appears twice.
    """
    found: list[Aliased] = []
    for ref in (query.source, *(join.source for join in query.joins)):
        source = metastore.get(ref.name)
        if source is None:
            raise StatementError(
                f"Exception while preparing statement: {ref.name} does not exist.{_hint(ref.name, metastore)}"
            )
        found.append(Aliased(ref.alias, source))
    names = [aliased.source.name for aliased in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise StatementError(f"Can not join '{name}' to '{name}': self joins are not yet supported.")
    return found


def _hint(name: str, metastore: MetaStore) -> str:
    close = [source.name for source in metastore if source.name.upper() == name.upper() and source.name != name]
    if not close:
        return ""
    return f'\nDid you mean "{close[0]}"? Hint: wrap the source name in double quotes to make it case-sensitive.'


class AliasGenerator:
    """Makes names for columns that have none.

    Args:
        taken: names that are in use.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._next = 0

    def generated(self) -> str:
        """The next free `KSQL_COL_n`."""
        while f"KSQL_COL_{self._next}" in self._taken:
            self._next += 1
        name = f"KSQL_COL_{self._next}"
        self._next += 1
        return name

    def unique(self, name: str) -> str:
        """The name, with a number behind it when it is taken; takes it."""
        candidate, count = name, 0
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate


def sanitize(query: ast.Query, metastore: MetaStore) -> ast.Query:
    """The query with every column qualified and every column of the projection named.

    Columns that cannot be found stay as they are.

    Raises:
        StatementError: a source does not exist, or a column's name is ambiguous.
    """
    sources = sources_of(query, metastore)
    generator = AliasGenerator(column.name for aliased in sources for column in aliased.source.schema.columns)

    def qualified(expression: Any) -> Any:
        return transform(expression, lambda node: _qualify(node, sources))

    select: list[ast.SelectItem] = []
    for item in query.select:
        if isinstance(item, ast.AllColumns):
            _check_alias(item.source, sources)
            select.append(item)
        elif isinstance(item, ast.StructAll):
            select.append(ast.StructAll(qualified(item.base)))
        else:
            expression = qualified(item.expression)
            select.append(ast.SingleColumn(expression, item.alias or _name(expression, sources, generator)))
            _check_reserved(item.expression, item.alias)
    joins = tuple(replace(join, criteria=qualified(join.criteria)) for join in query.joins)
    return replace(
        query,
        select=tuple(select),
        joins=joins,
        where=qualified(query.where),
        group_by=None if query.group_by is None else tuple(map(qualified, query.group_by)),
        partition_by=None if query.partition_by is None else tuple(map(qualified, query.partition_by)),
        having=qualified(query.having),
    )


def _check_alias(name: str | None, sources: Sequence[Aliased]) -> None:
    if name is not None and name not in (aliased.alias for aliased in sources):
        raise StatementError(f"'{name}' is not a valid stream/table name or alias.")


def _check_reserved(expression: ast.Expression, alias: str | None) -> None:
    same = isinstance(expression, ast.ColumnRef) and expression.name == alias
    if alias in SYSTEM_COLUMNS and not same:
        raise StatementError(f"`{alias}` is a reserved column name. You cannot use it as an alias for a column.")


def _qualify(node: ast.Expression, sources: Sequence[Aliased]) -> ast.Expression | None:
    if isinstance(node, ast.IntervalUnitLiteral):
        # A column may have the name of a unit.
        found = any(aliased.source.schema.find(node.unit) for aliased in sources)
        return _qualify(ast.ColumnRef(node.unit, position=node.position), sources) if found else None
    if not isinstance(node, ast.ColumnRef):
        return None
    if node.source is not None:
        return node
    found = [aliased.alias for aliased in sources if aliased.has(node.name)]
    if len(found) > 1:
        names = " or ".join(f"{alias}.{node.name}" for alias in found)
        raise StatementError(
            f"Exception while preparing statement: {at(node.position)}Column '{node.name}' is ambiguous. "
            f"Could be {names}."
        )
    return replace(node, source=found[0]) if found else node


def _name(expression: ast.Expression, sources: Sequence[Aliased], generator: AliasGenerator) -> str:
    if isinstance(expression, ast.ColumnRef):
        clashes = sum(aliased.has(expression.name) for aliased in sources) > 1
        return f"{expression.source}_{expression.name}" if clashes and expression.source else expression.name
    if isinstance(expression, ast.Dereference):
        return generator.unique(expression.name)
    return generator.generated()
