"""Functions of JSON texts."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions.temporal import format_date, format_time, format_timestamp
from ksql.engine.formats.json import encoder
from ksql.engine.functions.registry import scalar, v
from ksql.engine.types import SqlArray, SqlMap, SqlStruct, SqlType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_JSON: Final = "JSON"
_PATH: Final = re.compile(r"\.(@?[^.\[\]]+)|\[(-?\d+)\]|\['([^']*)'\]")
_MISSING: Final = object()


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


_DECODER: Final = json.JSONDecoder(parse_float=_Number)


def _parse(text: str) -> Any:
    """A JSON text with its fractions as written; what comes behind it does not matter. Raises ValueError."""
    return _DECODER.raw_decode(text.lstrip())[0]


def _write(value: Any) -> str:
    """Compact JSON."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_write(item)}" for k, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _find(value: Any, path: str) -> Any:
    """The value at a path like `$.a[0].b`."""
    if not path.startswith("$"):
        raise ValueError(path)
    position = 1
    while position < len(path):
        match = _PATH.match(path, position)
        if match is None:
            raise ValueError(path)
        position = match.end()
        if match[2] is not None:
            index = int(match[2])
            if not isinstance(value, list) or not 0 <= index < len(value):
                return _MISSING
            value = value[index]
        else:
            name = match[1] if match[1] is not None else match[3]
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
                value = value[int(name)]
            else:
                return _MISSING
    return value


def _extract(text: str, path: str) -> str | None:
    value = _find(_parse(text), path)
    if value is _MISSING or value is None:
        return None
    return value if isinstance(value, str) and not isinstance(value, _Number) else _write(value)


def _is_json(text: str | None) -> bool:
    if text is None or not text.strip():
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _array_contains(text: str | None, wanted: Any) -> bool:
    if text is None:
        return False
    try:
        items = json.loads(text, parse_float=Decimal)
    except ValueError:
        return False
    if not isinstance(items, list):
        return False
    return any(
        item == wanted and isinstance(item, bool) == isinstance(wanted, bool) and (item is None) == (wanted is None)
        for item in items
    )


def _array_length(text: str) -> int | None:
    value = _parse(text)
    return len(value) if isinstance(value, list) else None


def _keys(text: str) -> list[str] | None:
    value = _parse(text)
    return list(value) if isinstance(value, dict) else None


def _records(text: str) -> dict[str, str] | None:
    value = _parse(text)
    return {key: _write(item) for key, item in value.items()} if isinstance(value, dict) else None


def _items(text: str) -> list[str] | None:
    value = _parse(text)
    return [_write(item) for item in value] if isinstance(value, list) else None


def _concat(*texts: Any) -> str | None:
    if not texts or any(text is None for text in texts):
        return None
    parsed = [_parse(text) for text in texts]
    if all(isinstance(value, dict) for value in parsed):
        merged: dict[str, Any] = {}
        for value in parsed:
            merged |= value
        return _write(merged)
    joined: list[Any] = []
    for value in parsed:
        joined += value if isinstance(value, list) else [value]
    return _write(joined)


def _to_json(types: Sequence[SqlType], _returns: SqlType) -> Callable[[Any], str]:
    write = _typed_writer(types[0])
    return lambda value: "null" if value is None else write(value)


_TEMPORAL: Final = {"DATE": format_date, "TIME": format_time, "TIMESTAMP": format_timestamp}


def _typed_writer(sql_type: SqlType) -> Callable[[Any], str]:
    """As the JSON format writes, but with dates and times as texts."""
    if sql_type.base in _TEMPORAL:
        text = _TEMPORAL[sql_type.base]
        return lambda value: json.dumps(text(value))
    if isinstance(sql_type, SqlArray):
        item = _typed_writer(sql_type.element)
        return lambda value: "[" + ",".join("null" if i is None else item(i) for i in value) + "]"
    if isinstance(sql_type, SqlMap):
        item = _typed_writer(sql_type.value)
        return lambda value: (
            "{" + ",".join(f"{json.dumps(str(k))}:{'null' if i is None else item(i)}" for k, i in value.items()) + "}"
        )
    if isinstance(sql_type, SqlStruct):
        fields = [(name, _typed_writer(kind)) for name, kind in sql_type.fields]
        return lambda value: (
            "{"
            + ",".join(
                f"{json.dumps(name)}:{'null' if value.get(name) is None else write(value[name])}"
                for name, write in fields
            )
            + "}"
        )
    return encoder(sql_type)


def _register() -> None:
    scalar(
        "extractjsonfield",
        _JSON,
        "The value at a path of a JSON text.",
        v("STRING input, STRING path", "STRING", _extract),
    )
    scalar("is_json_string", _JSON, "Whether a text is JSON.", v("STRING input", "BOOLEAN", _is_json, nulls=True))
    scalar(
        "json_array_contains",
        _JSON,
        "Whether a JSON array has an element.",
        v("STRING jsonArray, T val", "BOOLEAN", _array_contains, nulls=True),
    )
    scalar("json_array_length", _JSON, "How many elements a JSON array has.", v("STRING text", "INT", _array_length))
    scalar("json_keys", _JSON, "The keys of a JSON object.", v("STRING text", "ARRAY<STRING>", _keys))
    scalar("json_records", _JSON, "The entries of a JSON object.", v("STRING text", "MAP<STRING, STRING>", _records))
    scalar("json_items", _JSON, "The elements of a JSON array.", v("STRING text", "ARRAY<STRING>", _items))
    scalar(
        "json_concat", _JSON, "JSON objects or arrays together.", v("STRING... strings", "STRING", _concat, nulls=True)
    )
    scalar("to_json_string", _JSON, "A value as JSON.", v("T val", "STRING", _to_json, nulls=True, typed=True))


_register()
