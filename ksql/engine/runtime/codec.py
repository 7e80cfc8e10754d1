"""State as bytes: what lies in the embedded store, in changelog topics and in repartition topics.

The values of stores are made of tuples, lists, dictionaries and SQL values, which pickle writes fast and exactly. Since
anyone who may write to a topic could put there what is read, reading makes nothing but decimals: every other class is
refused.
"""

from __future__ import annotations

import io
import pickle
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import Window

_SIGNED = struct.Struct(">q")
_DOUBLE = struct.Struct(">d")
WINDOW = struct.Struct(">qq")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("decimal", "Decimal"):
            return Decimal
        raise pickle.UnpicklingError(f"state may not hold a {module}.{name}")


def dumps(value: Any) -> bytes:
    """Return a value as bytes."""
    return pickle.dumps(value, protocol=5)


def loads(data: bytes) -> Any:
    """Return the value of bytes that `dumps` made.

    Raises:
        pickle.UnpicklingError: they hold something else than SQL values.
    """
    return _Unpickler(io.BytesIO(data)).load()


def key_bytes(key: Row) -> bytes:
    """Return a key as bytes that tell keys apart and sort like the keys that ksqlDB's formats write.

    Args:
        key: SQL values; numbers sort as unsigned, as in ksqlDB's stores, where negative ones come last.
    """
    return b"".join([_part(value) for value in key])


def _part(value: Any) -> bytes:  # noqa: PLR0911 - one a kind of value
    if value is None:
        return b"\0"
    if isinstance(value, str):
        return b"\1" + value.encode().replace(b"\0", b"\0\xff") + b"\0\0"
    if isinstance(value, bool):
        return b"\1\1" if value else b"\1\0"
    if isinstance(value, int):
        return b"\1" + _SIGNED.pack(value)
    if isinstance(value, float):
        return b"\1" + _DOUBLE.pack(value)
    if isinstance(value, bytes):
        return b"\1" + value.replace(b"\0", b"\0\xff") + b"\0\0"
    return b"\1" + dumps(_ordered(value)).replace(b"\0", b"\0\xff") + b"\0\0"


def _ordered(value: Any) -> Any:
    # Equal maps and structs must give equal bytes, whatever the order of their entries.
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value).items()
        return sorted(((_ordered(key), _ordered(item)) for key, item in entries), key=repr)
    return [_ordered(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def window_bytes(window: Window) -> bytes:
    """Return a window as 16 bytes that sort by start, then end."""
    return WINDOW.pack(*window)
