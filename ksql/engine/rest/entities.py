"""What ksqlDB answers about streams, tables and queries, as JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ksql.engine.types import SqlArray, SqlDecimal, SqlMap, SqlStruct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ksql.engine.functions.registry import Function
    from ksql.engine.metastore import Source
    from ksql.engine.schema import Column
    from ksql.engine.types import SqlType

Entity = dict[str, Any]


def entity(kind: str, statement: str, **content: Any) -> Entity:
    """Return an entity.

    Args:
        kind: its `@type`.
        statement: the text of the statement that it answers.
        content: what it says.
    """
    return {"@type": kind, "statementText": statement, **content, "warnings": []}


def type_json(sql_type: SqlType) -> Entity:
    """Return a SQL type."""
    if isinstance(sql_type, SqlArray):
        return {"type": "ARRAY", "fields": None, "memberSchema": type_json(sql_type.element)}
    if isinstance(sql_type, SqlMap):
        return {"type": "MAP", "fields": None, "memberSchema": type_json(sql_type.value)}
    if isinstance(sql_type, SqlStruct):
        members = [{"name": name, "schema": type_json(field)} for name, field in sql_type.fields]
        return {"type": "STRUCT", "fields": members, "memberSchema": None}
    found: Entity = {"type": sql_type.base, "fields": None, "memberSchema": None}
    if isinstance(sql_type, SqlDecimal):
        found["parameters"] = {"precision": sql_type.precision, "scale": sql_type.scale}
    return found


def fields_json(columns: Iterable[Column]) -> list[Entity]:
    """Return columns."""
    found: list[Entity] = []
    for column in columns:
        field: Entity = {"name": column.name, "schema": type_json(column.type)}
        if column.namespace.value == "KEY":
            field["type"] = "KEY"
        elif column.namespace.value == "HEADERS":
            field["type"] = "HEADER"
            if column.header is not None:
                field["headerKey"] = column.header
        found.append(field)
    return found


def source_entry(source: Source) -> Entity:
    """Return what SHOW STREAMS and SHOW TABLES say of a source."""
    return {
        "type": source.kind.value,
        "name": source.name,
        "topic": source.topic,
        "keyFormat": source.key_format.name,
        "valueFormat": source.value_format.name,
        "isWindowed": source.window is not None,
    }


def query_entry(*, text: str, query_id: str, sinks: Mapping[str, str], status: str, state: str, kind: str) -> Entity:
    """Return what SHOW QUERIES says of a query.

    Args:
        text: its statement.
        query_id: its id.
        sinks: topics by the name of the stream or table that it writes.
        status: of its host.
        state: of the query as a whole.
        kind: PERSISTENT or PUSH.
    """
    return {
        "queryString": text,
        "sinks": list(sinks),
        "sinkKafkaTopics": list(sinks.values()),
        "id": query_id,
        "statusCount": {status: 1},
        "queryType": kind,
        "state": state,
    }


def timestamp_name(source: Source) -> str:
    """Return the name of the column that holds a source's time; empty for the record's own."""
    return source.timestamp.name if source.timestamp is not None else ""


def function_json(function: Function) -> Entity:
    """Return what DESCRIBE FUNCTION says of a function."""
    variants: list[Entity] = []
    for variant in function.variants:
        types = [f"{parameter.pattern}" for parameter in variant.parameters]
        variants.append(
            {
                "arguments": [
                    {
                        "name": parameter.name,
                        "type": str(parameter.pattern),
                        "description": parameter.description,
                        "isVariadic": parameter.variadic,
                    }
                    for parameter in variant.parameters
                ],
                # A result whose type is computed from the arguments' types has no name of its own.
                "returnType": "T" if callable(variant.returns) else str(variant.returns),
                "description": variant.description,
                "argumentTypes": types,
            }
        )
    return {
        "name": function.name,
        "description": function.description,
        "author": "Confluent",
        "version": "",
        "path": "internal",
        "functions": variants,
        "type": function.kind.value,
    }
