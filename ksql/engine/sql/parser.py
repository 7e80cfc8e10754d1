"""From SQL text to the syntax tree: recursive descent, operator precedence for expressions."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ksql.engine.sql import ast
from ksql.engine.sql.lexer import Token, TokenKind, tokenize
from ksql.engine.types import PRIMITIVES, STRING, SqlArray, SqlDecimal, SqlMap, SqlNamed, SqlStruct, SqlType
from ksql.errors import ParsingError, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ksql.engine.sql.ast import Position

RESERVED: Final = frozenset(
    [
        "AND",
        "AS",
        "AT",
        "BETWEEN",
        "BY",
        "CASE",
        "CAST",
        "CREATE",
        "CROSS",
        "DEFINE",
        "DELETE",
        "DESCRIBE",
        "DISTINCT",
        "DROP",
        "ELSE",
        "END",
        "EXISTS",
        "EXTRACT",
        "FALSE",
        "FOR",
        "FROM",
        "FULL",
        "GRACE",
        "GROUP",
        "HAVING",
        "IN",
        "INNER",
        "INSERT",
        "INTO",
        "IS",
        "JOIN",
        "LEFT",
        "LIKE",
        "LIMIT",
        "LIST",
        "NOT",
        "NULL",
        "ON",
        "OR",
        "OUTER",
        "PRINT",
        "RIGHT",
        "SELECT",
        "TERMINATE",
        "THEN",
        "TO",
        "TRUE",
        "UNDEFINE",
        "UNSET",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "WITH",
        "WITHIN",
    ]
)
"""Words that are no identifiers without quotes."""

_STARTS: Final = [
    "SELECT",
    "CREATE",
    "INSERT",
    "DROP",
    "DESCRIBE",
    "SHOW",
    "LIST",
    "EXPLAIN",
    "TERMINATE",
    "PAUSE",
    "RESUME",
    "SET",
    "UNSET",
    "DEFINE",
    "UNDEFINE",
    "PRINT",
    "ALTER",
    "ASSERT",
    "RUN",
]
_NO_ALIAS: Final = frozenset({"EMIT", "WINDOW", "PARTITION", "WITHIN", "LIMIT", "GRACE"})
_UNITS: Final = {
    name: plural for plural in ("DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS") for name in (plural, plural[:-1])
}
_INTERVAL_UNITS: Final = frozenset((*_UNITS, "YEARS", "YEAR", "MONTHS", "MONTH", "WEEKS", "WEEK"))
_COMPARISONS: Final = {
    "=": ast.ComparisonOp.EQUAL,
    "<>": ast.ComparisonOp.NOT_EQUAL,
    "!=": ast.ComparisonOp.NOT_EQUAL,
    "<": ast.ComparisonOp.LESS_THAN,
    "<=": ast.ComparisonOp.LESS_THAN_OR_EQUAL,
    ">": ast.ComparisonOp.GREATER_THAN,
    ">=": ast.ComparisonOp.GREATER_THAN_OR_EQUAL,
}
_INT_MAX: Final = 2**31 - 1
_LONG_MAX: Final = 2**63 - 1


def parse(text: str) -> list[ast.Statement]:
    """The statements of a text.

    Args:
        text: statements, each closed by a semicolon; variables already substituted.

    Raises:
        ParsingError: at the first thing that is no statement.
    """
    parser = _Parser(text)
    statements: list[ast.Statement] = []
    while not parser.at_end():
        statements.append(parser.statement())
    return statements


def parse_one(text: str) -> ast.Statement:
    """The only statement of a text.

    Raises:
        ParsingError: it is no statement.
        StatementError: there is none, or more than one.
    """
    statements = parse(text)
    if len(statements) != 1:
        raise StatementError(f"Expected exactly one statement, but got {len(statements)}", statement=text)
    return statements[0]


def parse_expression(text: str) -> ast.Expression:
    """An expression by itself."""
    parser = _Parser(text)
    expression = parser.expression()
    if not parser.at_end():
        raise parser.error()
    return expression


def parse_type(text: str) -> SqlType:
    """A type by itself, e.g. `MAP<STRING, INT>`."""
    parser = _Parser(text)
    sql_type = parser.type()
    if not parser.at_end():
        raise parser.error()
    return sql_type


def parse_columns(text: str) -> list[ast.TableElement]:
    """Column declarations as between the parentheses of CREATE STREAM, without them."""
    parser = _Parser(text)
    elements = [parser.table_element()]
    while parser.accept(","):
        elements.append(parser.table_element())
    if not parser.at_end():
        raise parser.error()
    return elements


def _edits(one: str, other: str) -> int:
    """The Levenshtein distance: how many letters to insert, delete or change."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        diagonal, row[0] = row[0], index
        for place, wanted in enumerate(other, 1):
            diagonal, row[place] = row[place], min(diagonal + (letter != wanted), row[place] + 1, row[place - 1] + 1)
    return row[-1]


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._lambda_parameters: list[str] = []
        self._statement_start = 0

    # --- tokens ---

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _peek(self, ahead: int = 1) -> Token:
        return self._tokens[min(self._index + ahead, len(self._tokens) - 1)]

    def at_end(self) -> bool:
        return self._token.kind is TokenKind.END

    def _advance(self) -> Token:
        token = self._token
        if token.kind is not TokenKind.END:
            self._index += 1
        return token

    def _is(self, *values: str) -> bool:
        """Whether the next tokens are these words or symbols."""
        for ahead, value in enumerate(values):
            token = self._peek(ahead)
            if token.kind not in (TokenKind.WORD, TokenKind.SYMBOL) or token.value != value:
                return False
        return True

    def accept(self, *values: str) -> bool:
        if not self._is(*values):
            return False
        self._index += len(values)
        return True

    def _expect(self, *values: str) -> None:
        for value in values:
            if not self.accept(value):
                raise self.error()

    def error(self, detail: str | None = None, token: Token | None = None) -> ParsingError:
        token = token or self._token
        line, column = token.position.line, token.position.column
        if detail is None:
            if token.kind is TokenKind.WORD and token.value in RESERVED and self._wants_identifier:
                detail = (
                    f'"{token.text}" is a reserved keyword and it can\'t be used as an identifier. '
                    f"You can use it as an identifier by escaping it as '{token.text}' "
                )
            else:
                detail = f"Syntax error at or near '{token.text}' at line {line}:{column}"
        return ParsingError(f"Syntax Error\n{detail}", line=line, column=column, statement=self._statement_text(token))

    _wants_identifier = False

    def _statement_text(self, token: Token) -> str:
        """The statement around a token, for error messages."""
        end = next(
            (t.end for t in self._tokens if t.start >= token.start and t.kind is TokenKind.SYMBOL and t.value == ";"),
            len(self._text),
        )
        return self._text[self._statement_start : end]

    # --- statements ---

    def statement(self) -> ast.Statement:
        first = self._token
        self._statement_start = first.start
        if first.kind is not TokenKind.WORD or first.value not in _STARTS:
            near = min(_STARTS, key=lambda word: _edits(first.value, word))
            raise self.error(f"Unknown statement '{first.text}'\nDid you mean '{near}'?")
        statement = self._unterminated()
        if not self._is(";"):
            if self.at_end():
                raise self.error("missing ';' at '<EOF>'")
            raise self._expecting_end(statement)
        last = self._advance()
        text = self._text[first.start : last.end]
        object.__setattr__(statement, "text", text)
        object.__setattr__(statement, "position", first.position)
        return statement

    def _expecting_end(self, statement: ast.Statement) -> ParsingError:
        if isinstance(statement, ast.AssertTopic) and not statement.properties and statement.timeout is None:
            return self.error("Expecting {';', 'WITH', 'TIMEOUT'}")
        return self.error()

    def _unterminated(self) -> ast.Statement:
        by_word: dict[str, Callable[[], ast.Statement]] = {
            "SELECT": lambda: ast.QueryStatement(self.query()),
            "CREATE": self._create,
            "INSERT": self._insert,
            "DROP": self._drop,
            "DESCRIBE": self._describe,
            "SHOW": self._show,
            "LIST": self._show,
            "EXPLAIN": self._explain,
            "TERMINATE": self._manage,
            "PAUSE": self._manage,
            "RESUME": self._manage,
            "SET": self._set,
            "UNSET": self._set,
            "DEFINE": self._define,
            "UNDEFINE": self._define,
            "PRINT": self._print,
            "ALTER": self._alter,
            "ASSERT": self._assert,
            "RUN": self._run,
        }
        return by_word[self._token.value]()

    def _create(self) -> ast.Statement:
        self._expect("CREATE")
        or_replace = self.accept("OR", "REPLACE")
        if self._is("TYPE"):
            return self._create_type()
        if self._is("SOURCE", "CONNECTOR") or self._is("SINK", "CONNECTOR"):
            return self._create_connector()
        read_only = self.accept("SOURCE")
        is_table = self._is("TABLE")
        if not (is_table or self._is("STREAM")):
            raise self.error()
        self._advance()
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        name = self._identifier()
        elements: tuple[ast.TableElement, ...] = ()
        has_elements = False
        if self.accept("("):
            has_elements = True
            items = [self.table_element()]
            while self.accept(","):
                items.append(self.table_element())
            if not self.accept(")"):
                raise self.error("Expecting {',', ')'}")
            elements = tuple(items)
        properties = self._with()
        if not has_elements and not read_only and self.accept("AS"):
            query = self.query()
            return ast.CreateAsSelect(name, is_table, properties, query, or_replace, if_not_exists)
        return ast.CreateSource(name, is_table, elements, properties, or_replace, if_not_exists, read_only)

    def table_element(self) -> ast.TableElement:
        position = self._token.position
        name = self._identifier()
        sql_type = self.type()
        constraint, header = ast.Constraint.NONE, None
        if self.accept("PRIMARY", "KEY"):
            constraint = ast.Constraint.PRIMARY_KEY
        elif self.accept("KEY"):
            constraint = ast.Constraint.KEY
        elif self.accept("HEADERS"):
            constraint = ast.Constraint.HEADERS
        elif self.accept("HEADER", "("):
            constraint, header = ast.Constraint.HEADER, self._string()
            self._expect(")")
        return ast.TableElement(name, sql_type, constraint, header, position)

    def _create_type(self) -> ast.Statement:
        self._expect("TYPE")
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        name = self._identifier()
        self._expect("AS")
        return ast.CreateType(name, self.type(), if_not_exists)

    def _create_connector(self) -> ast.Statement:
        is_sink = self._advance().value == "SINK"
        self._expect("CONNECTOR")
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        name = self._identifier()
        return ast.CreateConnector(name, is_sink, self._with(), if_not_exists)

    def _with(self) -> tuple[tuple[str, ast.PropertyValue], ...]:
        if not self.accept("WITH"):
            return ()
        self._expect("(")
        properties: list[tuple[str, ast.PropertyValue]] = []
        while True:
            token = self._token
            name = token.value if token.kind is TokenKind.STRING else self._identifier().upper()
            if token.kind is TokenKind.STRING:
                self._advance()
            self._expect("=")
            properties.append((name, self._literal()))
            if not self.accept(","):
                break
        self._expect(")")
        return tuple(properties)

    def _insert(self) -> ast.Statement:
        self._expect("INSERT", "INTO")
        position = self._token.position
        target = self._identifier()
        if self._is("WITH") or self._is("SELECT"):
            return ast.InsertInto(target, self._with(), self.query(), position)
        columns: list[str] = []
        if self.accept("("):
            columns.append(self._identifier())
            while self.accept(","):
                columns.append(self._identifier())
            self._expect(")")
        self._expect("VALUES", "(")
        values = [self.expression()]
        while self.accept(","):
            values.append(self.expression())
        self._expect(")")
        return ast.InsertValues(target, tuple(columns), tuple(values), position)

    def _drop(self) -> ast.Statement:
        self._expect("DROP")
        if self.accept("TYPE"):
            if_exists = self.accept("IF", "EXISTS")
            return ast.DropType(self._identifier(), if_exists)
        if self.accept("CONNECTOR"):
            if_exists = self.accept("IF", "EXISTS")
            return ast.DropConnector(self._identifier(), if_exists)
        is_table = self._is("TABLE")
        if not (is_table or self._is("STREAM")):
            raise self.error()
        self._advance()
        if_exists = self.accept("IF", "EXISTS")
        name = self._identifier()
        return ast.DropSource(name, is_table, if_exists, self.accept("DELETE", "TOPIC"))

    def _describe(self) -> ast.Statement:
        self._expect("DESCRIBE")
        following = self._peek()
        if self._token.value in ("STREAMS", "TABLES") and (
            following.kind is TokenKind.END or following.value in (";", "EXTENDED")
        ):
            subject = ast.DescribeSubject[self._advance().value]
            return ast.Describe(subject, "", self.accept("EXTENDED"))
        if self._is("FUNCTION") and following.value != ";":
            self._advance()
            return ast.Describe(ast.DescribeSubject.FUNCTION, self._identifier())
        if self._is("CONNECTOR") and following.value != ";":
            self._advance()
            return ast.Describe(ast.DescribeSubject.CONNECTOR, self._identifier())
        name = self._identifier()
        return ast.Describe(ast.DescribeSubject.SOURCE, name, self.accept("EXTENDED"))

    def _show(self) -> ast.Statement:
        self._advance()
        for words, subject in (
            (("ALL", "TOPICS"), ast.ShowSubject.ALL_TOPICS),
            (("SOURCE", "CONNECTORS"), ast.ShowSubject.SOURCE_CONNECTORS),
            (("SINK", "CONNECTORS"), ast.ShowSubject.SINK_CONNECTORS),
            (("CONNECTOR", "PLUGINS"), ast.ShowSubject.CONNECTOR_PLUGINS),
            *(((subject.value,), subject) for subject in ast.ShowSubject if " " not in subject.value),
        ):
            if self.accept(*words):
                return ast.Show(subject, self.accept("EXTENDED"))
        raise self.error()

    def _explain(self) -> ast.Statement:
        self._expect("EXPLAIN")
        if self._token.kind is TokenKind.WORD and self._token.value in _STARTS and self._peek().value != ";":
            start = self._token.start
            statement = self._unterminated()
            object.__setattr__(statement, "text", self._text[start : self._token.end])
            return ast.Explain(None, statement)
        return ast.Explain(self._identifier(), None)

    def _manage(self) -> ast.Statement:
        action = ast.QueryAction[self._advance().value]
        if self.accept("ALL"):
            return ast.ManageQuery(action, None)
        token = self._token
        query_id = self._identifier()
        if not self._is(";") and not self.at_end():
            raise self.error(token=token)
        return ast.ManageQuery(action, query_id)

    def _set(self) -> ast.Statement:
        unset = self._advance().value == "UNSET"
        name = self._string()
        if unset:
            return ast.SetProperty(name, None)
        self._expect("=")
        return ast.SetProperty(name, self._string())

    def _define(self) -> ast.Statement:
        undefine = self._advance().value == "UNDEFINE"
        token = self._token
        self._identifier()
        if undefine:
            return ast.DefineVariable(token.text, None)
        self._expect("=")
        return ast.DefineVariable(token.text, self._string())

    def _print(self) -> ast.Statement:
        self._expect("PRINT")
        token = self._advance()
        if token.kind in (TokenKind.STRING, TokenKind.QUOTED):
            topic = token.value
        elif token.kind is TokenKind.WORD:
            topic = token.text
            while self._is(".") or self._is("-"):
                topic += self._advance().text + self._advance().text
        else:
            raise self.error(token=token)
        beginning = self.accept("FROM", "BEGINNING")
        interval = self._integer() if self.accept("INTERVAL") or self.accept("SAMPLE") else 1
        limit = self._integer() if self.accept("LIMIT") else None
        return ast.PrintTopic(topic, beginning, interval, limit)

    def _alter(self) -> ast.Statement:
        self._expect("ALTER")
        if self.accept("SYSTEM"):
            name = self._string()
            self._expect("=")
            return ast.AlterSystem(name, self._string())
        is_table = self._is("TABLE")
        if not (is_table or self._is("STREAM")):
            raise self.error()
        self._advance()
        name = self._identifier()
        columns: list[ast.TableElement] = []
        while True:
            self._expect("ADD")
            self.accept("COLUMN")
            columns.append(self.table_element())
            if not self.accept(","):
                return ast.AlterSource(name, is_table, tuple(columns))

    def _assert(self) -> ast.Statement:
        self._expect("ASSERT")
        exists = not self.accept("NOT", "EXISTS")
        if self.accept("TOPIC"):
            token = self._token
            topic = token.value if token.kind is TokenKind.STRING else self._identifier()
            if token.kind is TokenKind.STRING:
                self._advance()
            return ast.AssertTopic(topic, self._with(), exists, self._timeout())
        if self.accept("SCHEMA"):
            subject = schema_id = None
            if self.accept("SUBJECT"):
                token = self._token
                subject = token.value if token.kind is TokenKind.STRING else self._identifier()
                if token.kind is TokenKind.STRING:
                    self._advance()
            if self.accept("ID"):
                schema_id = self._integer()
            return ast.AssertSchema(subject, schema_id, exists, self._timeout())
        raise self.error()

    def _timeout(self) -> ast.Duration | None:
        return self._duration() if self.accept("TIMEOUT") else None

    def _run(self) -> ast.Statement:
        self._expect("RUN", "SCRIPT")
        return ast.RunScript(self._string())

    # --- queries ---

    def query(self) -> ast.Query:
        self._expect("SELECT")
        select = [self._select_item()]
        while self.accept(","):
            select.append(self._select_item())
        self._expect("FROM")
        source = self._table_ref()
        joins: list[ast.JoinedSource] = []
        while (join := self._join()) is not None:
            joins.append(join)
        window = self._window() if self.accept("WINDOW") else None
        where = self.expression() if self.accept("WHERE") else None
        group_by = self._key_expressions() if self.accept("GROUP", "BY") else None
        partition_by = self._key_expressions() if self.accept("PARTITION", "BY") else None
        having = self.expression() if self.accept("HAVING") else None
        emit = None
        if self.accept("EMIT"):
            if self.accept("FINAL"):
                emit = ast.Emit.FINAL
            else:
                self._expect("CHANGES")
                emit = ast.Emit.CHANGES
        limit = self._integer() if self.accept("LIMIT") else None
        return ast.Query(
            tuple(select), source, tuple(joins), window, where, group_by, partition_by, having, emit, limit
        )

    def _select_item(self) -> ast.SelectItem:
        position = self._token.position
        if self.accept("*"):
            return ast.AllColumns(None, position)
        following, after = self._peek(), self._peek(2)
        if self._token.kind in (TokenKind.WORD, TokenKind.QUOTED) and following.value == "." and after.value == "*":
            source = self._identifier()
            self._expect(".", "*")
            return ast.AllColumns(source, position)
        expression = self.expression()
        if self._is("->", "*"):
            self._expect("->", "*")
            return ast.StructAll(expression)
        if self.accept("AS"):
            return ast.SingleColumn(expression, self._identifier())
        if self._token.kind is TokenKind.QUOTED or (
            self._token.kind is TokenKind.WORD and self._token.value not in RESERVED
        ):
            return ast.SingleColumn(expression, self._identifier())
        return ast.SingleColumn(expression)

    def _table_ref(self) -> ast.TableRef:
        position = self._token.position
        name = self._identifier()
        if self.accept("AS"):
            return ast.TableRef(name, self._identifier(), position)
        if self._token.kind is TokenKind.QUOTED or (
            self._token.kind is TokenKind.WORD
            and self._token.value not in RESERVED
            and self._token.value not in _NO_ALIAS
        ):
            return ast.TableRef(name, self._identifier(), position)
        return ast.TableRef(name, name, position)

    def _join(self) -> ast.JoinedSource | None:
        join_type = None
        for words, kind in (
            (("INNER", "JOIN"), ast.JoinType.INNER),
            (("JOIN",), ast.JoinType.INNER),
            (("LEFT", "OUTER", "JOIN"), ast.JoinType.LEFT),
            (("LEFT", "JOIN"), ast.JoinType.LEFT),
            (("RIGHT", "OUTER", "JOIN"), ast.JoinType.RIGHT),
            (("RIGHT", "JOIN"), ast.JoinType.RIGHT),
            (("FULL", "OUTER", "JOIN"), ast.JoinType.OUTER),
            (("FULL", "JOIN"), ast.JoinType.OUTER),
            (("OUTER", "JOIN"), ast.JoinType.OUTER),
        ):
            if self.accept(*words):
                join_type = kind
                break
        if join_type is None:
            return None
        source = self._table_ref()
        within = self._within() if self.accept("WITHIN") else None
        self._expect("ON")
        return ast.JoinedSource(join_type, source, self.expression(), within)

    def _within(self) -> ast.Within:
        if self.accept("("):
            before = self._duration()
            self._expect(",")
            after = self._duration()
            self._expect(")")
        else:
            before = after = self._duration()
        grace = self._duration() if self.accept("GRACE", "PERIOD") else None
        return ast.Within(before, after, grace)

    def _duration(self) -> ast.Duration:
        amount = self._integer()
        unit = _UNITS.get(self._token.value) if self._token.kind is TokenKind.WORD else None
        if unit is None:
            raise self.error()
        self._advance()
        return ast.Duration(amount, unit)

    def _window(self) -> ast.WindowClause:
        if self._peek().value != "(":
            self._identifier()
        if self._token.value not in ast.WindowKind.__members__:
            raise self.error()
        kind = ast.WindowKind[self._advance().value]
        self._expect("(")
        if kind is not ast.WindowKind.SESSION:
            self._expect("SIZE")
        size = self._duration()
        advance = None
        if kind is ast.WindowKind.HOPPING:
            self._expect(",", "ADVANCE", "BY")
            advance = self._duration()
        retention = self._duration() if self.accept(",", "RETENTION") else None
        grace = self._duration() if self.accept(",", "GRACE", "PERIOD") else None
        self._expect(")")
        return ast.WindowClause(kind, size, advance, retention, grace)

    def _key_expressions(self) -> tuple[ast.Expression, ...]:
        if self._is("("):
            # A parenthesised list is one grouping set; a parenthesised expression is just that.
            mark = self._index
            self._advance()
            expressions = [self.expression()] if not self._is(")") else []
            while self.accept(","):
                expressions.append(self.expression())
            if self.accept(")") and len(expressions) != 1:
                return tuple(expressions)
            self._index = mark
        expressions = [self.expression()]
        while self.accept(","):
            expressions.append(self.expression())
        return tuple(expressions)

    # --- expressions ---

    def expression(self) -> ast.Expression:
        left = self._conjunction()
        while self._is("OR"):
            position = self._advance().position
            left = ast.Logical("OR", left, self._conjunction(), position=position)
        return left

    def _conjunction(self) -> ast.Expression:
        left = self._negation()
        while self._is("AND"):
            position = self._advance().position
            left = ast.Logical("AND", left, self._negation(), position=position)
        return left

    def _negation(self) -> ast.Expression:
        if self._is("NOT"):
            position = self._advance().position
            return ast.Not(self._negation(), position=position)
        return self._predicate()

    def _predicate(self) -> ast.Expression:
        left = self._sum()
        while True:
            position = self._token.position
            if self._token.kind is TokenKind.SYMBOL and self._token.value in _COMPARISONS:
                op = _COMPARISONS[self._advance().value]
                left = ast.Comparison(op, left, self._sum(), position=position)
            elif self.accept("IS"):
                left = self._is_predicate(left, position)
            else:
                negated = self._is("NOT") and self._peek().value in ("BETWEEN", "IN", "LIKE")
                if negated:
                    self._advance()
                predicate = self._negatable(left, position)
                if predicate is None:
                    return left
                left = ast.Not(predicate, position=position) if negated else predicate

    def _is_predicate(self, left: ast.Expression, position: Position) -> ast.Expression:
        negated = self.accept("NOT")
        if self.accept("NULL"):
            return ast.IsNull(left, negated, position=position)
        if self.accept("DISTINCT", "FROM"):
            op = ast.ComparisonOp.IS_NOT_DISTINCT_FROM if negated else ast.ComparisonOp.IS_DISTINCT_FROM
            return ast.Comparison(op, left, self._sum(), position=position)
        raise self.error()

    def _negatable(self, left: ast.Expression, position: Position) -> ast.Expression | None:
        if self.accept("BETWEEN"):
            low = self._sum()
            self._expect("AND")
            return ast.Between(left, low, self._sum(), position=position)
        if self.accept("IN"):
            self._expect("(")
            items = [self.expression()]
            while self.accept(","):
                items.append(self.expression())
            self._expect(")")
            return ast.InList(left, tuple(items), position=position)
        if self.accept("LIKE"):
            pattern = self._sum()
            escape = None
            if self.accept("ESCAPE"):
                escape = self._string()
                if len(escape) != 1:
                    raise StatementError(f"Expected single character in escape clause but got: {escape}")
            return ast.Like(left, pattern, escape, position=position)
        return None

    def _sum(self) -> ast.Expression:
        left = self._product()
        while self._token.kind is TokenKind.SYMBOL and self._token.value in ("+", "-", "||"):
            token = self._advance()
            right = self._product()
            if token.value == "||":
                left = ast.FunctionCall("CONCAT", (left, right), position=token.position)
            else:
                left = ast.ArithmeticBinary(token.value, left, right, position=token.position)
        return left

    def _product(self) -> ast.Expression:
        left = self._unary()
        while self._token.kind is TokenKind.SYMBOL and self._token.value in ("*", "/", "%"):
            token = self._advance()
            left = ast.ArithmeticBinary(token.value, left, self._unary(), position=token.position)
        return left

    def _unary(self) -> ast.Expression:
        if self._is("-") or self._is("+"):
            token = self._advance()
            if token.value == "-" and self._token.kind in (
                TokenKind.INTEGER,
                TokenKind.DECIMAL,
                TokenKind.FLOAT,
            ):
                return self._postfix(self._number(negative=True))
            return ast.ArithmeticUnary(token.value, self._unary(), position=token.position)
        return self._postfix(self._primary())

    def _postfix(self, base: ast.Expression) -> ast.Expression:
        while True:
            position = self._token.position
            if self.accept("["):
                index = self.expression()
                self._expect("]")
                base = ast.Subscript(base, index, position=position)
            elif self._is("->") and self._peek().value != "*":
                self._advance()
                base = ast.Dereference(base, self._identifier(), position=position)
            else:
                return base

    def _primary(self) -> ast.Expression:
        token = self._token
        if token.kind in (TokenKind.INTEGER, TokenKind.DECIMAL, TokenKind.FLOAT):
            return self._number()
        if token.kind is TokenKind.STRING:
            self._advance()
            return ast.StringLiteral(token.value, position=token.position)
        if self.accept("("):
            expression = self.expression()
            self._expect(")")
            return expression
        if token.kind is TokenKind.WORD:
            special = self._keyword_expression(token)
            if special is not None:
                return special
        if token.kind is TokenKind.VARIABLE:
            raise self.error(
                f"Syntax error at or near '{token.text}' at line {token.position.line}:{token.position.column}"
            )
        if token.kind not in (TokenKind.WORD, TokenKind.QUOTED):
            raise self.error()
        return self._name_expression(token)

    def _keyword_expression(self, token: Token) -> ast.Expression | None:  # noqa: PLR0911 - one branch for each kind
        position = token.position
        word, following = token.value, self._peek().value
        if word == "NULL":
            self._advance()
            return ast.NullLiteral(position=position)
        if word in ("TRUE", "FALSE"):
            self._advance()
            return ast.BooleanLiteral(word == "TRUE", position=position)
        if word == "CASE":
            return self._case()
        if word == "CAST" and following == "(":
            self._expect("CAST", "(")
            operand = self.expression()
            self._expect("AS")
            sql_type = self.type()
            self._expect(")")
            return ast.Cast(operand, sql_type, position=position)
        if word == "ARRAY" and following == "[":
            return self._array(position)
        if word == "MAP" and following == "(":
            return self._map(position)
        if word == "STRUCT" and following == "(":
            return self._struct(position)
        return None

    def _case(self) -> ast.Expression:
        position = self._advance().position
        operand = None if self._is("WHEN") else self.expression()
        whens: list[ast.WhenClause] = []
        while self.accept("WHEN"):
            condition = self.expression()
            self._expect("THEN")
            whens.append(ast.WhenClause(condition, self.expression()))
        if not whens:
            raise self.error()
        default = self.expression() if self.accept("ELSE") else None
        self._expect("END")
        if operand is None:
            return ast.SearchedCase(tuple(whens), default, position=position)
        return ast.SimpleCase(operand, tuple(whens), default, position=position)

    def _array(self, position: Position) -> ast.Expression:
        self._expect("ARRAY", "[")
        items: list[ast.Expression] = []
        while not self._is("]"):
            items.append(self.expression())
            if not self.accept(","):
                break
        self._expect("]")
        return ast.CreateArray(tuple(items), position=position)

    def _map(self, position: Position) -> ast.Expression:
        self._expect("MAP", "(")
        entries: list[tuple[ast.Expression, ast.Expression]] = []
        while not self._is(")"):
            key = self.expression()
            self._expect(":=")
            entries.append((key, self.expression()))
            if not self.accept(","):
                break
        self._expect(")")
        return ast.CreateMap(tuple(entries), position=position)

    def _struct(self, position: Position) -> ast.Expression:
        self._expect("STRUCT", "(")
        fields: list[tuple[str, ast.Expression]] = []
        while not self._is(")"):
            name = self._identifier()
            self._expect(":=")
            fields.append((name, self.expression()))
            if not self.accept(","):
                break
        self._expect(")")
        return ast.CreateStruct(tuple(fields), position=position)

    def _name_expression(self, token: Token) -> ast.Expression:
        name = self._identifier(allow_reserved=self._peek().value == "(" and token.value in ("REPLACE", "LEFT"))
        if self.accept("("):
            return self._call(name, token.position)
        if self._is(".") and self._peek().kind in (TokenKind.WORD, TokenKind.QUOTED):
            self._advance()
            return ast.ColumnRef(self._identifier(), name, position=token.position)
        if name in self._lambda_parameters:
            return ast.LambdaVariable(name, position=token.position)
        return ast.ColumnRef(name, position=token.position)

    def _call(self, name: str, position: Position) -> ast.Expression:
        if self.accept("*"):
            self._expect(")")
            return ast.FunctionCall(name.upper(), (), star=True, position=position)
        args: list[ast.Expression] = []
        while not self._is(")"):
            args.append(self._argument())
            if not self.accept(","):
                break
        self._expect(")")
        return ast.FunctionCall(name.upper(), tuple(args), position=position)

    def _argument(self) -> ast.Expression:
        token = self._token
        if token.kind in (TokenKind.WORD, TokenKind.QUOTED) and self._peek().value == "=>":
            parameters = (self._identifier(),)
        elif self._is("("):
            mark = self._index
            names = self._parameter_list()
            if names is None:
                self._index = mark
                return self._plain_argument(token)
            parameters = names
        else:
            return self._plain_argument(token)
        self._expect("=>")
        self._lambda_parameters.extend(parameters)
        body = self.expression()
        del self._lambda_parameters[-len(parameters) :]
        return ast.Lambda(parameters, body, position=token.position)

    def _parameter_list(self) -> tuple[str, ...] | None:
        """`(a, b)` in front of `=>`, or None when it is something else."""
        self._expect("(")
        names: list[str] = []
        while self._token.kind in (TokenKind.WORD, TokenKind.QUOTED) and self._token.value not in RESERVED:
            names.append(self._identifier())
            if not self.accept(","):
                break
        return tuple(names) if names and self.accept(")") and self._is("=>") else None

    def _plain_argument(self, token: Token) -> ast.Expression:
        if token.kind is TokenKind.WORD and token.value in _INTERVAL_UNITS and self._peek().value in (",", ")"):
            self._advance()
            return ast.IntervalUnitLiteral(token.value, position=token.position)
        return self.expression()

    # --- small things ---

    def _number(self, *, negative: bool = False) -> ast.Expression:
        token = self._advance()
        position = token.position
        sign = "-" if negative else ""
        if token.kind is TokenKind.FLOAT:
            value = float(sign + token.text)
            if value in (float("inf"), float("-inf")):
                raise StatementError(f"Number overflows DOUBLE: {sign}{token.text}")
            return ast.DoubleLiteral(value, position=position)
        if token.kind is TokenKind.DECIMAL:
            return ast.DecimalLiteral(Decimal(sign + token.text), position=position)
        if token.kind is not TokenKind.INTEGER:
            raise self.error(token=token)
        number = int(sign + token.text)
        if -_INT_MAX - 1 <= number <= _INT_MAX:
            return ast.IntegerLiteral(number, position=position)
        if -_LONG_MAX - 1 <= number <= _LONG_MAX:
            return ast.LongLiteral(number, position=position)
        raise StatementError(
            f"Failed to prepare statement: line {position.line}:{position.column + 1}: "
            f"Invalid numeric literal: {sign}{token.text}"
        )

    def _literal(self) -> ast.Expression:
        token = self._token
        if self.accept("-"):
            return self._number(negative=True)
        if token.kind in (TokenKind.INTEGER, TokenKind.DECIMAL, TokenKind.FLOAT):
            return self._number()
        if token.kind is TokenKind.STRING:
            self._advance()
            return ast.StringLiteral(token.value, position=token.position)
        if token.kind is TokenKind.WORD and token.value in ("TRUE", "FALSE", "NULL"):
            self._advance()
            if token.value == "NULL":
                return ast.NullLiteral(position=token.position)
            return ast.BooleanLiteral(token.value == "TRUE", position=token.position)
        raise self.error()

    def _integer(self) -> int:
        if self._token.kind is not TokenKind.INTEGER:
            raise self.error()
        return int(self._advance().text)

    def _string(self) -> str:
        if self._token.kind is not TokenKind.STRING:
            raise self.error()
        return self._advance().value

    def _identifier(self, *, allow_reserved: bool = False) -> str:
        token = self._token
        if token.kind is TokenKind.QUOTED:
            return self._advance().value
        if token.kind is TokenKind.WORD and (allow_reserved or token.value not in RESERVED):
            return self._advance().value
        if token.kind is TokenKind.VARIABLE:
            place = f"Line: {token.position.line}, Col: {token.position.column}"
            raise StatementError(
                f"Illegal argument at {place}. Source names may only contain alphanumeric values, '_' or '-'. "
                f"Got: '{token.text.upper()}'",
                statement=token.text.upper(),
            )
        self._wants_identifier = True
        raise self.error()

    def type(self) -> SqlType:
        token = self._token
        if token.kind not in (TokenKind.WORD, TokenKind.QUOTED) or token.value == "NULL":
            raise self.error()
        name = self._identifier()
        if name == "ARRAY" and self.accept("<"):
            element = self.type()
            self._expect(">")
            return SqlArray(element)
        if name == "MAP" and self.accept("<"):
            key = self.type()
            self._expect(",")
            value = self.type()
            self._expect(">")
            return SqlMap(key, value)
        if name == "STRUCT" and self.accept("<"):
            return self._struct_type()
        parameters = self._type_parameters()
        if name in ("DECIMAL", "DEC", "NUMERIC") and len(parameters) == 2:
            return _decimal(int(parameters[0]), int(parameters[1]))
        if name in PRIMITIVES:
            return PRIMITIVES[name]
        return SqlNamed(name)

    def _struct_type(self) -> SqlType:
        fields: list[tuple[str, SqlType]] = []
        while not self._is(">") and not self._is("<>"):
            name = self._identifier()
            fields.append((name, self.type()))
            if not self.accept(","):
                break
        self._expect(">")
        return SqlStruct(tuple(fields))

    def _type_parameters(self) -> list[str]:
        parameters: list[str] = []
        if not self._is("("):
            return parameters
        self._advance()
        while True:
            token = self._token
            if token.kind is not TokenKind.INTEGER and not (
                token.kind is TokenKind.WORD and token.value == STRING.base
            ):
                raise self.error("Expecting {'STRING', INTEGER_VALUE}")
            parameters.append(self._advance().text)
            if not self.accept(","):
                break
        self._expect(")")
        return parameters


def _decimal(precision: int, scale: int) -> SqlDecimal:
    if precision < 1:
        raise StatementError(f"DECIMAL precision must be >= 1: DECIMAL({precision},{scale})")
    if scale < 0:
        raise StatementError(f"DECIMAL scale must be >= 0: DECIMAL({precision},{scale})")
    if precision < scale:
        raise StatementError(f"DECIMAL precision must be >= scale: DECIMAL({precision},{scale})")
    return SqlDecimal(precision, scale)


__all__ = ["RESERVED", "parse", "parse_columns", "parse_expression", "parse_one", "parse_type"]
