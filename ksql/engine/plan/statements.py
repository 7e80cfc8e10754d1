"""From statements to sources and plans: what CREATE, INSERT INTO ... SELECT and SELECT mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions import values
from ksql.engine.expressions.compiler import Compiler
from ksql.engine.formats import format_for, format_names
from ksql.engine.functions.aggregates import resolve_aggregate
from ksql.engine.metastore import FormatInfo, MetaStore, Source, SourceKind
from ksql.engine.plan.names import at
from ksql.engine.plan.planner import Planned, Planner, scope_of
from ksql.engine.plan.properties import Properties, format_info, identifier_text
from ksql.engine.plan.rewrite import transform
from ksql.engine.plan.steps import AggregateStep, FilterStep, GroupByStep, ProjectStep, QueryPlan, SinkStep, Step
from ksql.engine.schema import SYSTEM_COLUMNS, WINDOW_BOUNDS, Column, Namespace, Schema
from ksql.engine.sql import ast
from ksql.engine.sql.formatter import format_statement
from ksql.engine.types import (
    BYTES,
    STRING,
    SqlArray,
    SqlMap,
    SqlNamed,
    SqlStruct,
    SqlType,
    contains_map,
)
from ksql.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ksql.engine.formats.protocol import SchemaRegistry
    from ksql.engine.functions.registry import Registry

HEADERS_TYPE: Final = SqlArray(SqlStruct((("KEY", STRING), ("VALUE", BYTES))))


@dataclass(frozen=True, slots=True)
class Context:
    """What statements are understood against.

    Args:
        metastore: the streams, tables and types that exist.
        functions: the functions that exist.
        registry: the schema registry.
        settings: the engine's properties.
    """

    metastore: MetaStore
    functions: Registry
    registry: SchemaRegistry
    settings: Mapping[str, str]

    @property
    def planner(self) -> Planner:
        """Plans queries over these sources."""
        return Planner(self.metastore, self.functions, self.settings)


@dataclass(frozen=True, slots=True)
class CreatedQuery:
    """What CREATE ... AS SELECT makes."""

    source: Source
    plan: QueryPlan
    planned: Planned


# --- types ---


def resolve_type(sql_type: SqlType, types: Mapping[str, SqlType]) -> SqlType:
    """The type with named types replaced.

    Raises:
        StatementError: there is no type of that name.
    """
    if isinstance(sql_type, SqlNamed):
        found = types.get(sql_type.name)
        if found is None:
            raise StatementError(f"Failed to prepare statement: Cannot resolve unknown type: {sql_type.name}")
        return found
    if isinstance(sql_type, SqlArray):
        return SqlArray(resolve_type(sql_type.element, types))
    if isinstance(sql_type, SqlMap):
        return SqlMap(resolve_type(sql_type.key, types), resolve_type(sql_type.value, types))
    if isinstance(sql_type, SqlStruct):
        return SqlStruct(tuple((name, resolve_type(field, types)) for name, field in sql_type.fields))
    return sql_type


def resolve_types(statement: Any, types: Mapping[str, SqlType]) -> Any:
    """The statement with named types replaced.

    Raises:
        StatementError: there is no type of that name.
    """

    def cast(node: ast.Expression) -> ast.Expression | None:
        if isinstance(node, ast.Cast):
            return ast.Cast(transform(node.operand, cast), resolve_type(node.type, types), position=node.position)
        return None

    if isinstance(statement, ast.CreateSource):
        elements = tuple(replace(item, type=resolve_type(item.type, types)) for item in statement.elements)
        return replace(statement, elements=elements)
    if isinstance(statement, ast.AlterSource):
        columns = tuple(replace(item, type=resolve_type(item.type, types)) for item in statement.columns)
        return replace(statement, columns=columns)
    if isinstance(statement, ast.CreateType):
        return replace(statement, type=resolve_type(statement.type, types))
    if isinstance(statement, (ast.CreateAsSelect, ast.InsertInto, ast.QueryStatement)):
        return replace(statement, query=transform(statement.query, cast))
    if isinstance(statement, ast.InsertValues):
        return replace(statement, values=tuple(transform(value, cast) for value in statement.values))
    return statement


# --- CREATE STREAM and TABLE ---


def create_source(statement: ast.CreateSource, context: Context) -> Source:
    """The stream or table of a CREATE statement; columns that it leaves out come from the registry.

    Raises:
        StatementError: it cannot be created.
    """
    statement = resolve_types(statement, context.metastore.types)
    _check_elements(statement)
    properties = Properties.of(statement.properties)
    topic = properties.text("KAFKA_TOPIC")
    if topic is None:
        raise StatementError(
            'Failed to prepare statement: Missing required property "KAFKA_TOPIC" which has no default value.'
        )
    key_name = properties.format_name(is_key=True) or context.settings.get(
        "ksql.persistence.default.format.key", "KAFKA"
    )
    value_name = properties.format_name(is_key=False) or context.settings.get("ksql.persistence.default.format.value")
    if value_name is None:
        raise StatementError(
            "Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a "
            "default via the 'ksql.persistence.default.format.value' config."
        )
    key_format = _format(key_name.upper(), properties, is_key=True)
    value_format = _format(value_name.upper(), properties, is_key=False)
    columns = _declared_columns(statement)
    columns = _with_inferred(statement, columns, key_format, value_format, topic, context)
    schema = Schema(columns)
    _check_schema(statement, schema)
    key_format = _checked_format(key_format, schema.key, properties, context, is_key=True)
    value_format = _checked_format(value_format, schema.value, properties, context, is_key=False)
    source = Source(
        name=statement.name,
        kind=SourceKind.TABLE if statement.is_table else SourceKind.STREAM,
        schema=schema,
        topic=topic,
        key_format=key_format,
        value_format=value_format,
        statement=format_statement(statement),
        timestamp=properties.timestamp(schema),
        window=properties.window(),
        read_only=statement.read_only,
        derived=statement.read_only and statement.is_table,
        partitions=properties.number("PARTITIONS"),
    )
    if source.window is not None and not schema.key:
        raise StatementError("Windowed sources require a key column.")
    return source


def check_replacement(statement: ast.CreateSource, metastore: MetaStore) -> None:
    """Raises StatementError where CREATE [OR REPLACE] meets a source of the same name that it cannot follow."""
    existing = metastore.get(statement.name)
    if existing is None:
        return
    kind = "table" if statement.is_table else "stream"
    if statement.or_replace and (existing.read_only or statement.read_only):
        raise StatementError(
            f"Cannot add {kind} '{statement.name}': CREATE OR REPLACE is not supported on source {kind}s."
        )
    if not statement.or_replace and not statement.if_not_exists:
        raise StatementError(
            f"Cannot add {kind} '{statement.name}': A {existing.kind.value.lower()} with the same name already exists"
        )


def _check_elements(statement: ast.CreateSource) -> None:
    for element in statement.elements:
        quoted = f"`{element.name}`"
        if element.constraint is ast.Constraint.KEY and statement.is_table:
            raise StatementError(
                f"{at(element.position)}Column {quoted} is a 'KEY' column: please use 'PRIMARY KEY' for tables.\n"
                "Tables have PRIMARY KEYs, which are unique and NON NULL.\n"
                "Streams have KEYs, which have no uniqueness or NON NULL constraints.",
                statement=quoted,
            )
        if element.constraint is ast.Constraint.PRIMARY_KEY and not statement.is_table:
            raise StatementError(
                f"{at(element.position)}Column {quoted} is a 'PRIMARY KEY' column: please use 'KEY' for streams.\n"
                "Tables have PRIMARY KEYs, which are unique and NON NULL.\n"
                "Streams have KEYs, which have no uniqueness or NON NULL constraints.",
                statement=quoted,
            )
        if element.constraint is ast.Constraint.HEADERS and element.type != HEADERS_TYPE:
            raise StatementError(
                "Invalid type for HEADERS column: expected ARRAY<STRUCT<`KEY` STRING, `VALUE` BYTES>>, "
                f"got {element.type}"
            )
        if element.constraint is ast.Constraint.HEADER and element.type != BYTES:
            raise StatementError(
                f"Invalid type for HEADER('{element.header}') column: expected BYTES, got {element.type}"
            )
    names = [element.name for element in statement.elements]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        listed = ", ".join(f"`{name}`" for name in duplicates)
        raise StatementError(f"Failed to prepare statement: Duplicate column names: {listed}")


def _declared_columns(statement: ast.CreateSource) -> tuple[Column, ...]:
    namespaces = {
        ast.Constraint.KEY: Namespace.KEY,
        ast.Constraint.PRIMARY_KEY: Namespace.KEY,
        ast.Constraint.HEADER: Namespace.HEADERS,
        ast.Constraint.HEADERS: Namespace.HEADERS,
    }
    return tuple(
        Column(item.name, item.type, namespaces.get(item.constraint, Namespace.VALUE), item.header)
        for item in statement.elements
    )


def _with_inferred(
    statement: ast.CreateSource,
    columns: tuple[Column, ...],
    key_format: FormatInfo,
    value_format: FormatInfo,
    topic: str,
    context: Context,
) -> tuple[Column, ...]:
    """The columns, with those of the registry where none are declared."""
    has_key = any(column.namespace is Namespace.KEY for column in columns)
    has_value = any(column.namespace is not Namespace.KEY for column in columns)
    for is_key, info, present in ((True, key_format, has_key), (False, value_format, has_value)):
        side = "KEY" if is_key else "VALUE"
        if info.get("schemaId") is not None and present:
            raise StatementError(f"Table elements and {side}_SCHEMA_ID cannot both exist for create statement.")
        if info.get("schemaId") is not None and not format_for(info).needs_registry:
            raise StatementError(
                f"{side}_FORMAT should support schema inference when {side}_SCHEMA_ID is provided. "
                f"Current format is {info.name}."
            )
    inferred_key: tuple[Column, ...] = ()
    if not has_key and format_for(key_format).needs_registry:
        inferred_key = _inferred(key_format, topic, context, is_key=True)
    inferred_value: tuple[Column, ...] = ()
    if not has_value and format_for(value_format).needs_registry:
        inferred_value = _inferred(value_format, topic, context, is_key=False)
    if not has_value and not inferred_value and not statement.is_table and not columns and not inferred_key:
        raise StatementError("The statement does not define any columns.")
    return (*inferred_key, *columns, *inferred_value)


def _inferred(info: FormatInfo, topic: str, context: Context, *, is_key: bool) -> tuple[Column, ...]:
    subject = f"{topic}-{'key' if is_key else 'value'}"
    schema_id = info.get("schemaId")
    schema = context.registry.latest(subject) if schema_id is None else context.registry.by_id(int(schema_id))
    if schema is None:
        if is_key:
            return ()
        raise StatementError(
            f"Schema for message values on topic '{topic}' does not exist in the Schema Registry.\n"
            f"Subject: {subject}\nPossible causes include:\n- The topic itself does not exist\n"
            f"\t-> Use SHOW TOPICS; to check\n- Messages on the topic are not serialized using a format Schema "
            f"Registry supports\n\t-> Use PRINT '{topic}' FROM BEGINNING; to verify\n"
            "- Messages on the topic have not been serialized using a Confluent Schema Registry supported serializer\n"
            "\t-> See https://docs.confluent.io/current/schema-registry/docs/serializer-formatter.html\n"
            "- The schema is registered on a different instance of the Schema Registry\n"
            "\t-> Use the REST API to list available subjects"
            "\thttps://docs.confluent.io/current/schema-registry/docs/api.html#get--subjects\n"
            "- You do not have permissions to access the Schema Registry.\n"
            "\t-> See https://docs.confluent.io/current/schema-registry/docs/security.html"
        )
    namespace = Namespace.KEY if is_key else Namespace.VALUE
    return tuple(
        Column(name, sql_type, namespace) for name, sql_type in format_for(info).infer(schema, info, is_key=is_key)
    )


def _check_schema(statement: ast.CreateSource, schema: Schema) -> None:
    for column in schema.columns:
        if column.name in SYSTEM_COLUMNS:
            raise StatementError(
                f"'{column.name}' is a reserved column name. You cannot use it as a name for a column."
            )
        if column.namespace is Namespace.KEY and contains_map(column.type):
            raise StatementError(
                "Map keys, including types that contain maps, are not supported as they may lead to unexpected "
                f"behavior due to inconsistent serialization. Key column name: `{column.name}`. "
                f"Column type: {column.type}. See https://github.com/confluentinc/ksql/issues/6621 for more."
            )
    if statement.is_table and not schema.key:
        raise StatementError("Tables require a PRIMARY KEY. Please define the PRIMARY KEY.")


def _format(name: str, properties: Properties, *, is_key: bool) -> FormatInfo:
    if name not in format_names():
        raise StatementError(f"Unknown format: {name}")
    info = format_info(name, properties.format_properties(is_key=is_key))
    _check_settings(info)
    unwrapped = not is_key and properties.flag("WRAP_SINGLE_VALUE") is False
    return replace(info, wrap=not unwrapped)


def _check_settings(info: FormatInfo) -> None:
    """Raises StatementError for settings that the format does not have."""
    unknown = sorted(set(dict(info.properties)) - set(format_for(info).settings))
    if unknown:
        raise StatementError(f"{info.name} does not support the following configs: [{', '.join(unknown)}]")


def _checked_format(
    info: FormatInfo,
    columns: Sequence[Column],
    properties: Properties,
    context: Context,
    *,
    is_key: bool,
    statement: str = "",
) -> FormatInfo:
    """The format with the right wrapping, once it is sure that it can hold the columns.

    Raises:
        StatementError: it cannot.
    """
    form = format_for(info)
    _check_settings(info)
    info = replace(info, wrap=_wrapping(info, columns, properties, context, is_key=is_key))
    try:
        form.validate(columns, info, is_key=is_key)
    except StatementError as error:
        side = "Key" if is_key else "Value"
        suffix = " KEY" if is_key else ""
        listed = ", ".join(f"`{column.name}` {column.type}{suffix}" for column in columns)
        tail = f"\nStatement: {statement}" if statement else ""
        raise StatementError(
            f"{side} format does not support schema.\nformat: {info.name}\n"
            f"schema: Persistence{{columns=[{listed}], features=[]}}\nreason: {error.message}{tail}"
        ) from error
    return info


def _wrapping(
    info: FormatInfo, columns: Sequence[Column], properties: Properties, context: Context, *, is_key: bool
) -> bool:
    form = format_for(info)
    if is_key:
        return not (len(columns) == 1 and form.can_unwrap)
    wanted = properties.flag("WRAP_SINGLE_VALUE")
    if wanted is not None:
        if (wanted and not form.can_wrap) or (not wanted and not form.can_unwrap):
            raise StatementError(
                f"Format '{info.name}' does not support 'WRAP_SINGLE_VALUE' set to '{str(wanted).lower()}'."
            )
        if len(columns) != 1:
            raise StatementError("'WRAP_SINGLE_VALUE' is only valid for single-field value schemas")
        return wanted
    if not form.can_wrap:
        return False
    default = str(context.settings.get("ksql.persistence.wrap.single.values", "true")).lower()
    return not (len(columns) == 1 and form.can_unwrap and default == "false")


# --- CREATE ... AS SELECT ---


def create_as_select(statement: ast.CreateAsSelect, context: Context) -> CreatedQuery:
    """The sink and the plan of CREATE STREAM or TABLE ... AS SELECT.

    Raises:
        KsqlError: it cannot be created.
    """
    statement = resolve_types(statement, context.metastore.types)
    properties = Properties.of(statement.properties)
    _check_timestamp_name(statement, properties)
    planned = _planned(statement.query, context, sink=statement.name)
    step = planned.step
    emitted = replace(planned.query, emit=planned.query.emit or ast.Emit.CHANGES)
    text = format_statement(replace(statement, query=emitted))
    if step.is_table != statement.is_table:
        got, wanted = ("TABLE", "TABLE") if step.is_table else ("STREAM", "STREAM")
        raise StatementError(
            f"Invalid result type. Your SELECT query produces a {got}. Please use CREATE {wanted} AS SELECT statement "
            f"instead.\nStatement: {text}"
        )
    left = planned.sources[0].source
    schema = step.schema
    _check_intermediate(step, properties.format_name(is_key=False) or left.value_format.name, context)
    key_format, value_format = _sink_formats(left, schema, properties, context, text)
    prefix = str(context.settings.get("ksql.output.topic.name.prefix", ""))
    topic = properties.text("KAFKA_TOPIC") or prefix + statement.name
    timestamp = properties.timestamp(schema)
    sink = SinkStep(
        context=statement.name,
        schema=schema,
        is_table=step.is_table,
        window=step.window,
        input=step,
        name=statement.name,
        topic=topic,
        key_format=key_format,
        value_format=value_format,
        timestamp=timestamp,
    )
    schema = _check_schema_ids(schema, key_format, value_format, context)
    source = Source(
        name=statement.name,
        kind=SourceKind.TABLE if step.is_table else SourceKind.STREAM,
        schema=schema,
        topic=topic,
        key_format=key_format,
        value_format=value_format,
        statement=text,
        timestamp=timestamp,
        window=step.window,
        derived=True,
        partitions=properties.number("PARTITIONS") or left.partitions,
    )
    plan = QueryPlan(step=sink, sources=tuple(item.source.name for item in planned.sources), sink=statement.name)
    return CreatedQuery(source, plan, planned)


def _check_timestamp_name(statement: ast.CreateAsSelect, properties: Properties) -> None:
    """Raises StatementError where TIMESTAMP names a column that the projection cannot have."""
    name = properties.text("TIMESTAMP")
    if name is None or any(not isinstance(item, ast.SingleColumn) for item in statement.query.select):
        return
    names = {
        item.alias or (item.expression.name if isinstance(item.expression, ast.ColumnRef) else "")
        for item in statement.query.select
        if isinstance(item, ast.SingleColumn)
    }
    identifier = identifier_text(name)
    if identifier not in names and "" not in names and not any(identifier.endswith(f"_{known}") for known in names):
        raise StatementError(
            f"The TIMESTAMP column set in the WITH clause does not exist in the schema: '{identifier}'"
        )


def _planned(query: ast.Query, context: Context, *, sink: str) -> Planned:
    return context.planner.plan(query, sink=sink)


def _sink_formats(
    left: Source, schema: Schema, properties: Properties, context: Context, text: str
) -> tuple[FormatInfo, FormatInfo]:
    named_key = properties.format_name(is_key=True)
    if not schema.key:
        explicit = properties.text("KEY_FORMAT")
        if explicit is not None and explicit.upper() not in format_names():
            raise StatementError(f"Unknown format: {explicit}")
        if explicit is not None and explicit.upper() != "NONE":
            raise StatementError("Key format specified for stream without key columns.")
        key = FormatInfo("NONE")
    elif named_key is None:
        key = left.key_format
        if key.name == "NONE":
            key = FormatInfo(str(context.settings.get("ksql.persistence.default.format.key", "KAFKA")).upper())
        key = _inherited(key, properties, is_key=True)
    else:
        key = _own_format(named_key, left.key_format, properties, is_key=True)
    named_value = properties.format_name(is_key=False)
    if named_value is None:
        value = _inherited(left.value_format, properties, is_key=False)
    else:
        value = _own_format(named_value, left.value_format, properties, is_key=False)
    shown = text.removesuffix(";")
    key = _checked_format(key, schema.key, properties, context, is_key=True, statement=shown)
    return key, _checked_format(value, schema.value, properties, context, is_key=False, statement=shown)


_INHERITED: Final = ("delimiter", "nullableRepresentation")


def _inherited(info: FormatInfo, properties: Properties, *, is_key: bool) -> FormatInfo:
    kept = {name: value for name, value in info.properties if name in _INHERITED}
    return format_info(info.name, kept | properties.format_properties(is_key=is_key))


def _own_format(name: str, source: FormatInfo, properties: Properties, *, is_key: bool) -> FormatInfo:
    info = _format(name, properties, is_key=is_key)
    if name == source.name:
        kept = {key: value for key, value in source.properties if key in _INHERITED}
        return format_info(name, kept | dict(info.properties))
    return info


def _check_intermediate(step: Step, value_format: str, context: Context) -> None:
    """Aggregates whose state is no plain value need a format that can hold structs."""
    if value_format not in ("DELIMITED", "KAFKA"):
        return
    current: Step | None = step
    while isinstance(current, (ProjectStep, FilterStep)):
        current = current.input
    if not isinstance(current, AggregateStep):
        return
    grouped = current.input
    assert isinstance(grouped, GroupByStep)  # noqa: S101
    compiler = Compiler(scope_of(grouped.input), context.functions, context.settings)
    for call in current.functions:
        assert isinstance(call, ast.FunctionCall)  # noqa: S101
        resolved = resolve_aggregate(call, compiler, is_table=grouped.is_table)
        if resolved.aggregate.compound or isinstance(resolved.returns, (SqlArray, SqlMap, SqlStruct)):
            raise StatementError(
                "One of the functions used in the statement has an intermediate type that the value format can not "
                "handle. Please remove the function or change the format."
            )


def _check_schema_ids(schema: Schema, key_format: FormatInfo, value_format: FormatInfo, context: Context) -> Schema:
    """Raises StatementError where the sink's columns do not fit the schema that KEY_ or VALUE_SCHEMA_ID names."""
    for is_key, info, columns in ((True, key_format, schema.key), (False, value_format, schema.value)):
        schema_id = info.get("schemaId")
        if schema_id is None:
            continue
        registered = context.registry.by_id(int(schema_id))
        inferred = format_for(info).infer(registered, info, is_key=is_key)
        wanted = [(column.name, column.type) for column in columns]
        side = "key" if is_key else "value"
        changed = [pair for index, pair in enumerate(wanted) if index >= len(inferred) or inferred[index] != pair]
        if is_key and len(inferred) == 1 and [inferred[0][1]] == [kind for _, kind in wanted]:
            changed = []
        if changed:
            raise StatementError(
                f"The following {side} columns are changed, missing or reordered: "
                f"[{', '.join(f'`{name}` {kind}' for name, kind in changed)}]. Schema from schema registry is "
                f"[{', '.join(f'`{name}` {kind}' for name, kind in inferred)}]"
            )
    return schema


# --- INSERT INTO ... SELECT ---


def insert_into(statement: ast.InsertInto, context: Context) -> QueryPlan:
    """The plan of INSERT INTO ... SELECT.

    Raises:
        KsqlError: it cannot run.
    """
    statement = resolve_types(statement, context.metastore.types)
    target = context.metastore.get(statement.target)
    if target is None:
        raise StatementError(f"{at(statement.target_position)}Source `{statement.target}` does not exist.")
    if target.is_table:
        raise StatementError(f"INSERT INTO can only be used to insert into a stream. {target.name} is a table.")
    if target.read_only:
        raise StatementError(f"Cannot insert into read-only stream: {target.name}")
    if target.schema.headers:
        raise StatementError(f"Cannot insert into {target.name} because it has header columns")
    planned = _planned(statement.query, context, sink=target.name)
    step = planned.step
    if step.is_table:
        raise StatementError("INSERT INTO can only be used to insert into a stream. The query produces a TABLE.")
    result, sink = step.schema, target.schema
    if not _compatible(result, sink):
        raise StatementError(
            f"Incompatible schema between results and sink.\nResult schema is {result}\nSink schema is {sink}"
        )
    columns = (*sink.key, *sink.value)
    by_name = dict(zip((column.name for column in step.schema.value), step.expressions, strict=True))
    expressions = tuple(
        by_name[column.name]
        if by_name_type(step.schema, column.name) == column.type
        else ast.Cast(by_name[column.name], column.type)
        for column in sink.value
    )
    step = replace(step, schema=Schema(columns), expressions=expressions)
    final = SinkStep(
        context=target.name,
        schema=Schema(columns),
        is_table=False,
        window=step.window,
        input=step,
        name=target.name,
        topic=target.topic,
        key_format=target.key_format,
        value_format=target.value_format,
        timestamp=target.timestamp,
    )
    return QueryPlan(step=final, sources=tuple(item.source.name for item in planned.sources), sink=target.name)


def by_name_type(schema: Schema, name: str) -> SqlType | None:
    """The type of a value column."""
    return next((column.type for column in schema.value if column.name == name), None)


def _compatible(result: Schema, sink: Schema) -> bool:
    for mine, theirs in ((result.key, sink.key), (result.value, sink.value)):
        if [column.name for column in mine] != [column.name for column in theirs]:
            return False
        if any(
            not values.implicitly_castable(have.type, want.type) and not _castable_literal(have.type, want.type)
            for have, want in zip(mine, theirs, strict=True)
        ):
            return False
    return all(have.type == want.type for have, want in zip(result.key, sink.key, strict=True))


def _castable_literal(have: SqlType, want: SqlType) -> bool:
    """Numbers may be narrowed to a DECIMAL: INSERT INTO casts them."""
    return want.base == "DECIMAL" and have.base in ("INTEGER", "BIGINT")


# --- SELECT by itself ---


def push_query(query: ast.Query, context: Context) -> QueryPlan:
    """The plan of a SELECT ... EMIT CHANGES.

    Raises:
        KsqlError: it cannot run.
    """
    query = transform(
        query,
        lambda node: (
            ast.Cast(node.operand, resolve_type(node.type, context.metastore.types))
            if isinstance(node, ast.Cast)
            else None
        ),
    )
    planned = context.planner.plan(query)
    return QueryPlan(
        step=planned.step,
        sources=tuple(item.source.name for item in planned.sources),
        limit=query.limit,
        keys=tuple(_key_part(expression, planned.step) for expression in planned.step.expressions),
    )


def _key_part(expression: ast.Expression, step: ProjectStep) -> int | str | None:
    if not isinstance(expression, ast.ColumnRef):
        return None
    if expression.name in WINDOW_BOUNDS and step.window is not None:
        return expression.name
    names = [column.name for column in step.input.schema.key]
    return names.index(expression.name) if expression.name in names else None
