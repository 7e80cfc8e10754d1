"""The syntax tree. Identifiers are already resolved to their case: upper-case unless they were quoted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from ksql.engine.types import SqlType


@dataclass(frozen=True, slots=True)
class Position:
    """Where a node begins: line from 1, column from 1."""

    line: int = 0
    column: int = 0


NOWHERE = Position()


# --- expressions ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Base of all expressions; equality ignores the position."""

    position: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ColumnRef(Expression):
    """A column, maybe with the name or alias of its source."""

    name: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class NullLiteral(Expression):
    """NULL."""


@dataclass(frozen=True, slots=True)
class BooleanLiteral(Expression):
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True, slots=True)
class IntegerLiteral(Expression):
    """A number that fits 32 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class LongLiteral(Expression):
    """A number that needs 64 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class DoubleLiteral(Expression):
    """A number with an exponent."""

    value: float


@dataclass(frozen=True, slots=True)
class DecimalLiteral(Expression):
    """A number with a point."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class StringLiteral(Expression):
    """A text in single quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class IntervalUnitLiteral(Expression):
    """A unit of time as an argument, e.g. DAYS."""

    unit: str


@dataclass(frozen=True, slots=True)
class ArithmeticBinary(Expression):
    """`left op right` with op one of + - * / %."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class ArithmeticUnary(Expression):
    """`+operand` or `-operand`."""

    op: str
    operand: Expression


class ComparisonOp(StrEnum):
    """Comparison operators; the names are those of error messages."""

    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS_THAN = "<"
    LESS_THAN_OR_EQUAL = "<="
    GREATER_THAN = ">"
    GREATER_THAN_OR_EQUAL = ">="
    IS_DISTINCT_FROM = "IS DISTINCT FROM"
    IS_NOT_DISTINCT_FROM = "IS NOT DISTINCT FROM"


@dataclass(frozen=True, slots=True)
class Comparison(Expression):
    """`left op right`."""

    op: ComparisonOp
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logical(Expression):
    """`left AND right` or `left OR right`."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Not(Expression):
    """NOT operand."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class IsNull(Expression):
    """Operand IS [NOT] NULL."""

    operand: Expression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like(Expression):
    """Value LIKE pattern [ESCAPE 'c']."""

    value: Expression
    pattern: Expression
    escape: str | None = None


@dataclass(frozen=True, slots=True)
class Between(Expression):
    """Value BETWEEN low AND high."""

    value: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class InList(Expression):
    """Value IN (items)."""

    value: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class WhenClause:
    """WHEN condition THEN result."""

    condition: Expression
    result: Expression


@dataclass(frozen=True, slots=True)
class SearchedCase(Expression):
    """CASE WHEN condition THEN result ... [ELSE default] END."""

    whens: tuple[WhenClause, ...]
    default: Expression | None


@dataclass(frozen=True, slots=True)
class SimpleCase(Expression):
    """CASE operand WHEN value THEN result ... [ELSE default] END."""

    operand: Expression
    whens: tuple[WhenClause, ...]
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    """CAST(operand AS type)."""

    operand: Expression
    type: SqlType


@dataclass(frozen=True, slots=True)
class Subscript(Expression):
    """base[index]."""

    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Dereference(Expression):
    """base->field."""

    base: Expression
    name: str


@dataclass(frozen=True, slots=True)
class FunctionCall(Expression):
    """name(args); COUNT(*) has no arguments and `star`."""

    name: str
    args: tuple[Expression, ...]
    star: bool = False


@dataclass(frozen=True, slots=True)
class Lambda(Expression):
    """(a, b) => body."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class LambdaVariable(Expression):
    """A parameter inside of a lambda's body."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateArray(Expression):
    """ARRAY[items]."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class CreateMap(Expression):
    """MAP(key := value, ...)."""

    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class CreateStruct(Expression):
    """STRUCT(name := value, ...)."""

    fields: tuple[tuple[str, Expression], ...]


# --- queries ---


@dataclass(frozen=True, slots=True)
class SingleColumn:
    """`expression [AS alias]` in a projection."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class AllColumns:
    """`*` or `source.*`."""

    source: str | None = None
    position: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StructAll:
    """`expression->*`."""

    base: Expression


SelectItem = SingleColumn | AllColumns | StructAll


@dataclass(frozen=True, slots=True)
class Duration:
    """`30 SECONDS`; the unit is written in the plural."""

    amount: int
    unit: str

    @property
    def milliseconds(self) -> int:
        """The duration in milliseconds."""
        return self.amount * UNIT_MILLISECONDS[self.unit]


UNIT_MILLISECONDS = {
    "MILLISECONDS": 1,
    "SECONDS": 1000,
    "MINUTES": 60_000,
    "HOURS": 3_600_000,
    "DAYS": 86_400_000,
}


@dataclass(frozen=True, slots=True)
class TableRef:
    """A source in FROM, with its alias (the name itself where none was given)."""

    name: str
    alias: str
    position: Position = field(default=NOWHERE, compare=False, repr=False)


class JoinType(StrEnum):
    """Kinds of joins, as error messages write them."""

    INNER = "[INNER] JOIN"
    LEFT = "LEFT [OUTER] JOIN"
    RIGHT = "RIGHT [OUTER] JOIN"
    OUTER = "[FULL] OUTER JOIN"


@dataclass(frozen=True, slots=True)
class Within:
    """WITHIN before or (before, after) [GRACE PERIOD grace]."""

    before: Duration
    after: Duration
    grace: Duration | None = None


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """One JOIN of a FROM clause: what is joined to everything left of it."""

    type: JoinType
    source: TableRef
    criteria: Expression
    within: Within | None = None


class WindowKind(StrEnum):
    """Kinds of WINDOW clauses."""

    TUMBLING = "TUMBLING"
    HOPPING = "HOPPING"
    SESSION = "SESSION"


@dataclass(frozen=True, slots=True)
class WindowClause:
    """WINDOW kind (SIZE, ADVANCE BY, RETENTION, GRACE PERIOD); the size of a session is its gap."""

    kind: WindowKind
    size: Duration
    advance: Duration | None = None
    retention: Duration | None = None
    grace: Duration | None = None


class Emit(StrEnum):
    """EMIT CHANGES or EMIT FINAL; a query without is a pull query when it stands alone."""

    CHANGES = "CHANGES"
    FINAL = "FINAL"


@dataclass(frozen=True, slots=True)
class Query:
    """SELECT ... FROM ...."""

    select: tuple[SelectItem, ...]
    source: TableRef
    joins: tuple[JoinedSource, ...] = ()
    window: WindowClause | None = None
    where: Expression | None = None
    group_by: tuple[Expression, ...] | None = None
    partition_by: tuple[Expression, ...] | None = None
    having: Expression | None = None
    emit: Emit | None = None
    limit: int | None = None


# --- statements ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Base of all statements. `text` is the statement as it was written, with its semicolon."""

    text: str = field(default="", compare=False, repr=False)
    position: Position = field(default=NOWHERE, compare=False, repr=False)


PropertyValue = Expression
"""A literal in a WITH clause."""


class Constraint(StrEnum):
    """What is said of a declared column beside its type."""

    NONE = ""
    KEY = "KEY"
    PRIMARY_KEY = "PRIMARY KEY"
    HEADERS = "HEADERS"
    HEADER = "HEADER"


@dataclass(frozen=True, slots=True)
class TableElement:
    """A column of CREATE STREAM or TABLE."""

    name: str
    type: SqlType
    constraint: Constraint = Constraint.NONE
    header: str | None = None
    position: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CreateSource(Statement):
    """CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name (elements) WITH (properties)."""

    name: str
    is_table: bool
    elements: tuple[TableElement, ...]
    properties: tuple[tuple[str, PropertyValue], ...]
    or_replace: bool = False
    if_not_exists: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class CreateAsSelect(Statement):
    """CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name WITH (properties) AS query."""

    name: str
    is_table: bool
    properties: tuple[tuple[str, PropertyValue], ...]
    query: Query
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class InsertInto(Statement):
    """INSERT INTO target [WITH (properties)] query."""

    target: str
    properties: tuple[tuple[str, PropertyValue], ...]
    query: Query
    target_position: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class InsertValues(Statement):
    """INSERT INTO target [(columns)] VALUES (values)."""

    target: str
    columns: tuple[str, ...]
    values: tuple[Expression, ...]
    target_position: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class QueryStatement(Statement):
    """A push or pull query by itself."""

    query: Query


@dataclass(frozen=True, slots=True)
class DropSource(Statement):
    """DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]."""

    name: str
    is_table: bool
    if_exists: bool = False
    delete_topic: bool = False


@dataclass(frozen=True, slots=True)
class AlterSource(Statement):
    """ALTER STREAM|TABLE name ADD [COLUMN] name type, ...."""

    name: str
    is_table: bool
    columns: tuple[TableElement, ...]


@dataclass(frozen=True, slots=True)
class CreateType(Statement):
    """CREATE TYPE [IF NOT EXISTS] name AS type."""

    name: str
    type: SqlType
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropType(Statement):
    """DROP TYPE [IF EXISTS] name."""

    name: str
    if_exists: bool = False


class QueryAction(StrEnum):
    """What can be done to a running query."""

    TERMINATE = "TERMINATE"
    PAUSE = "PAUSE"
    RESUME = "RESUME"


@dataclass(frozen=True, slots=True)
class ManageQuery(Statement):
    """TERMINATE|PAUSE|RESUME query-id|ALL; ALL is None."""

    action: QueryAction
    query_id: str | None


class ShowSubject(StrEnum):
    """What SHOW (or LIST) lists."""

    STREAMS = "STREAMS"
    TABLES = "TABLES"
    TOPICS = "TOPICS"
    ALL_TOPICS = "ALL TOPICS"
    QUERIES = "QUERIES"
    PROPERTIES = "PROPERTIES"
    FUNCTIONS = "FUNCTIONS"
    TYPES = "TYPES"
    VARIABLES = "VARIABLES"
    CONNECTORS = "CONNECTORS"
    SOURCE_CONNECTORS = "SOURCE CONNECTORS"
    SINK_CONNECTORS = "SINK CONNECTORS"
    CONNECTOR_PLUGINS = "CONNECTOR PLUGINS"


@dataclass(frozen=True, slots=True)
class Show(Statement):
    """SHOW subject [EXTENDED]."""

    subject: ShowSubject
    extended: bool = False


class DescribeSubject(StrEnum):
    """What DESCRIBE describes."""

    SOURCE = "SOURCE"
    STREAMS = "STREAMS"
    TABLES = "TABLES"
    FUNCTION = "FUNCTION"
    CONNECTOR = "CONNECTOR"


@dataclass(frozen=True, slots=True)
class Describe(Statement):
    """DESCRIBE name [EXTENDED], DESCRIBE STREAMS|TABLES [EXTENDED], DESCRIBE FUNCTION|CONNECTOR name."""

    subject: DescribeSubject
    name: str = ""
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Explain(Statement):
    """EXPLAIN query-id or EXPLAIN statement: one of the two is set."""

    query_id: str | None
    statement: Statement | None


@dataclass(frozen=True, slots=True)
class SetProperty(Statement):
    """SET 'name' = 'value', or UNSET 'name' with value None."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class AlterSystem(Statement):
    """ALTER SYSTEM 'name' = 'value'."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DefineVariable(Statement):
    """DEFINE name = 'value', or UNDEFINE name with value None."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class PrintTopic(Statement):
    """PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n]."""

    topic: str
    from_beginning: bool = False
    interval: int = 1
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class CreateConnector(Statement):
    """CREATE SOURCE|SINK CONNECTOR [IF NOT EXISTS] name WITH (properties)."""

    name: str
    is_sink: bool
    properties: tuple[tuple[str, PropertyValue], ...]
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropConnector(Statement):
    """DROP CONNECTOR [IF EXISTS] name."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class AssertTopic(Statement):
    """ASSERT [NOT EXISTS] TOPIC name [WITH (properties)] [TIMEOUT duration]."""

    topic: str
    properties: tuple[tuple[str, PropertyValue], ...]
    exists: bool = True
    timeout: Duration | None = None


@dataclass(frozen=True, slots=True)
class AssertSchema(Statement):
    """ASSERT [NOT EXISTS] SCHEMA [SUBJECT subject] [ID id] [TIMEOUT duration]."""

    subject: str | None
    id: int | None
    exists: bool = True
    timeout: Duration | None = None


@dataclass(frozen=True, slots=True)
class RunScript(Statement):
    """RUN SCRIPT 'path'."""

    path: str
