"""Functions of texts and bytes, and of null."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import base64
import re
import struct
import uuid
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.functions.registry import scalar, v
from ksql.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable

_STRING: Final = "STRING"
_CONDITIONAL: Final = "CONDITIONAL"
_HEX: Final = re.compile(r"[0-9A-Fa-f]*")


# --- pieces ---


def _substring(text: Any, position: int, length: int | None = None) -> Any:
    """From a 1-based position (negative: from the end)."""
    if position > 0:
        start = position - 1
    elif position < 0:
        start = max(len(text) + position, 0)
    else:
        start = 0
    if length is None:
        return text[start:]
    return text[start : start + max(length, 0)]


def _instr(text: str, part: str, position: int = 1, occurrence: int = 1) -> int:
    """The 1-based place of a part's n-th occurrence from a position on; negative positions search backwards."""
    if position == 0 or occurrence < 1 or abs(position) > len(text):
        return 0
    found = -1
    if position > 0:
        start = position - 1
        for _ in range(occurrence):
            found = text.find(part, start)
            if found < 0:
                return 0
            start = found + 1
    else:
        end = len(text) + position
        for _ in range(occurrence):
            found = text.rfind(part, 0, end + len(part)) if end >= 0 else -1
            if found < 0:
                return 0
            end = found - 1
    return found + 1


def _pad(*, left: bool) -> Callable[..., Any]:
    def pad(text: Any, length: int | None, padding: Any) -> Any:
        if text is None or length is None or padding is None or not padding or length < 0:
            return None
        missing = max(length - len(text), 0)
        filler = (padding * (missing // len(padding) + 1))[:missing]
        return ((filler + text) if left else (text + filler))[:length]

    return pad


def _split(text: Any, delimiter: Any) -> list[Any]:
    if not text:
        return [text]
    if not delimiter:
        if isinstance(text, bytes):
            return [text[index : index + 1] for index in range(len(text))]
        return list(text)
    return text.split(delimiter)


def _split_to_map(text: str, entry_delimiter: str, key_delimiter: str) -> dict[str, str] | None:
    if not entry_delimiter or not key_delimiter:
        return None
    out: dict[str, str] = {}
    for entry in text.split(entry_delimiter):
        if not entry:
            continue
        parts = entry.split(key_delimiter)
        if len(parts) == 2:
            out[parts[0]] = parts[1]
    return out


def _initcap(text: str) -> str:
    return "".join(
        piece if piece.isspace() else piece[:1].upper() + piece[1:].lower() for piece in re.split(r"(\s+)", text)
    )


# --- joining ---


def _concat(*parts: Any) -> Any:
    present = [part for part in parts if part is not None]
    if present and isinstance(present[0], bytes):
        return b"".join(present)
    return "".join(present)


def _concat_ws(separator: Any, *parts: Any) -> Any:
    if separator is None:
        return None
    return separator.join(part for part in parts if part is not None)


# --- regular expressions: Java's, as far as Python's are the same ---


def java_regex(pattern: str) -> re.Pattern[str]:
    """A Java pattern, compiled. Raises FunctionError when it is none."""
    translated = re.sub(r"\(\?<([A-Za-z][A-Za-z0-9]*)>", r"(?P<\1>", pattern)
    try:
        return re.compile(translated)
    except re.error as error:
        raise FunctionError(f"Invalid regular expression pattern: {pattern}") from error


def _regexp_extract(pattern: str, text: str, group: int = 0) -> str | None:
    match = java_regex(pattern).search(text)
    if match is None or group > (match.re.groups):
        return None
    return match.group(group)


def _regexp_extract_all(pattern: str, text: str, group: int = 0) -> list[str] | None:
    regex = java_regex(pattern)
    if group > regex.groups:
        return None
    return [match.group(group) for match in regex.finditer(text)]


def _regexp_replace(text: str, pattern: str, replacement: str) -> str:
    # Java writes groups as $1.
    escaped = re.sub(r"\\(?!\$)", r"\\\\", replacement)
    return java_regex(pattern).sub(re.sub(r"(?<!\\)\$(\d)", r"\\g<\1>", escaped).replace(r"\$", "$"), text)


def _regexp_split(text: str, pattern: str) -> list[str]:
    if not pattern:
        return list(text)
    return java_regex(pattern).split(text)


# --- masks ---


_MASKS: Final = ("X", "x", "n", "-")


def _mask(text: str, masks: tuple[str | None, ...]) -> str:
    upper, lower, digit, other = masks
    out: list[str] = []
    for char in text:
        if char.isupper():
            mask = upper
        elif char.islower():
            mask = lower
        elif char.isdigit():
            mask = digit
        else:
            mask = other
        out.append(char if mask is None else mask)
    return "".join(out)


def _masks(given: tuple[Any, ...]) -> tuple[str | None, ...]:
    if not given:
        return _MASKS
    return tuple(None if mask is None else str(mask)[:1] for mask in given)


def _mask_all(text: str | None, *masks: Any) -> str | None:
    return None if text is None else _mask(text, _masks(masks))


def _mask_part(choose: Callable[[str, int], tuple[str, str, str]]) -> Callable[..., Any]:
    def call(text: str | None, count: int | None, *masks: Any) -> str | None:
        if text is None:
            return None
        if count is None or count < 0:
            raise FunctionError("function mask requires a non-negative number of characters")
        before, masked, after = choose(text, count)
        return before + _mask(masked, _masks(masks)) + after

    return call


# --- encodings ---


def _decode_hex(text: str) -> bytes:
    if text.startswith("0x"):
        digits = text[2:]
        if len(digits) % 2:
            digits = "0" + digits
    elif text.startswith(("X'", "x'")) and text.endswith("'") and len(text) > 2:
        digits = text[2:-1]
    else:
        digits = text
    if len(digits) % 2 or not _HEX.fullmatch(digits):
        raise FunctionError(f"Not hexadecimal: {text}")
    return bytes.fromhex(digits)


_TO_BYTES: Final[dict[str, Callable[[str], bytes]]] = {
    "hex": _decode_hex,
    "utf8": str.encode,
    "ascii": lambda text: text.encode("ascii", errors="replace"),
    "base64": base64.b64decode,
}
_FROM_BYTES: Final[dict[str, Callable[[bytes], str]]] = {
    "hex": lambda data: data.hex().upper(),
    "utf8": bytes.decode,
    "ascii": lambda data: data.decode("ascii", errors="replace"),
    "base64": lambda data: base64.b64encode(data).decode(),
}


def _encoding(name: str, table: dict[str, Any]) -> Any:
    found = table.get(name.lower())
    if found is None:
        raise FunctionError(f"Supported input and output encodings are: hex, utf8, ascii and base64; got {name}")
    return found


def _to_bytes(text: str, encoding: str) -> bytes:
    return _encoding(encoding, _TO_BYTES)(text)


def _from_bytes(data: bytes, encoding: str) -> str:
    return _encoding(encoding, _FROM_BYTES)(data)


def _encode(text: str, source: str, target: str) -> str:
    data = _to_bytes(text, source)
    if target.lower() == "hex":
        return "0x" + data.hex()
    return _from_bytes(data, target)


def _from_binary(layout: str) -> Callable[..., Any]:
    size = struct.calcsize(layout)

    def call(data: bytes, order: str = "BIG_ENDIAN") -> Any:
        if len(data) != size:
            raise FunctionError(f"Number of bytes must be equal to {size}, but found {len(data)}")
        kinds = {"BIG_ENDIAN": ">", "LITTLE_ENDIAN": "<"}
        if order.upper() not in kinds:
            raise FunctionError("Byte order must be BIG_ENDIAN or LITTLE_ENDIAN")
        return struct.unpack(kinds[order.upper()] + layout, data)[0]

    return call


def _chr_code(code: int) -> str | None:
    return chr(code) if 0 <= code <= 0x10FFFF else None


def _chr_text(text: str) -> str | None:
    match = re.fullmatch(r"(?:\\u[0-9A-Fa-f]{4})+", text)
    if match is None:
        return None
    units = b"".join(int(part, 16).to_bytes(2, "big") for part in re.findall(r"\\u([0-9A-Fa-f]{4})", text))
    return units.decode("utf-16-be", errors="replace")


def _uuid(data: bytes | None = None) -> str | None:
    if data is None:
        return str(uuid.uuid4())
    return str(uuid.UUID(bytes=data)) if len(data) == 16 else None


# --- null ---


def _coalesce(*args: Any) -> Any:
    return next((arg for arg in args if arg is not None), None)


def _if_null(value: Any, other: Any) -> Any:
    return other if value is None else value


def _null_if(value: Any, other: Any) -> Any:
    return None if value == other else value


def _identity(value: Any) -> Any:
    return value


def _elt(index: int | None, *items: Any) -> Any:
    if index is None or not 1 <= index <= len(items):
        return None
    return items[index - 1]


def _field(text: str | None, *items: Any) -> int:
    if text is None:
        return 0
    return next((index for index, item in enumerate(items, 1) if item == text), 0)


def _register() -> None:
    scalar(
        "AS_VALUE",
        "OTHER",
        "Used exclusively in the projection of a query to allow a keycolumn to be copied into the value schema. "
        "Has no affect if used anywhere else.",
        v("T keyColumn", "T", _identity, nulls=True),
    )
    scalar(
        "COALESCE",
        _CONDITIONAL,
        "The first argument that is not null.",
        v("T first, T... others", "T", _coalesce, nulls=True),
    )
    scalar(
        "IFNULL",
        _CONDITIONAL,
        "A value in the place of null.",
        v("T expression, T altValue", "T", _if_null, nulls=True),
    )
    scalar(
        "NULLIF",
        _CONDITIONAL,
        "Null where two values are equal.",
        v("T expression1, T expression2", "T", _null_if, nulls=True),
    )
    scalar(
        "concat",
        _STRING,
        "Puts texts or bytes together; nulls are left out.",
        v("STRING... inputs", "STRING", _concat, nulls=True),
        v("BYTES... inputs", "BYTES", _concat, nulls=True),
    )
    scalar(
        "concat_ws",
        _STRING,
        "Puts texts or bytes together with a separator; nulls are left out.",
        v("STRING separator, STRING... inputs", "STRING", _concat_ws, nulls=True),
        v("BYTES separator, BYTES... inputs", "BYTES", _concat_ws, nulls=True),
    )
    scalar("UCASE", _STRING, "Upper case.", v("STRING input", "STRING", str.upper))
    scalar("LCASE", _STRING, "Lower case.", v("STRING input", "STRING", str.lower))
    scalar("TRIM", _STRING, "Without blanks at both ends.", v("STRING input", "STRING", str.strip))
    scalar("INITCAP", _STRING, "Each word with a capital letter.", v("STRING str", "STRING", _initcap))
    scalar("len", _STRING, "The length.", v("STRING input", "INT", len), v("BYTES input", "INT", len))
    scalar(
        "substring",
        _STRING,
        "A part, from a position that counts from 1; negative ones count from the end.",
        v("STRING value, INT pos", "STRING", _substring),
        v("STRING value, INT pos, INT length", "STRING", _substring),
        v("BYTES value, INT pos", "BYTES", _substring),
        v("BYTES value, INT pos, INT length", "BYTES", _substring),
    )
    scalar(
        "instr",
        _STRING,
        "The position of a part, 0 when it is not there.",
        v("STRING str, STRING pattern", "INT", _instr),
        v("STRING str, STRING pattern, INT position", "INT", _instr),
        v("STRING str, STRING pattern, INT position, INT occurrence", "INT", _instr),
    )
    for name, left in (("lpad", True), ("rpad", False)):
        scalar(
            name,
            _STRING,
            f"Fills up on the {'left' if left else 'right'}, or cuts off, to a length.",
            v("STRING input, INT targetLen, STRING padding", "STRING", _pad(left=left), nulls=True),
            v("BYTES input, INT targetLen, BYTES padding", "BYTES", _pad(left=left), nulls=True),
        )
    scalar(
        "replace",
        _STRING,
        "Replaces a text everywhere.",
        v("STRING str, STRING oldStr, STRING newStr", "STRING", str.replace),
    )
    scalar(
        "split",
        _STRING,
        "Cuts at a delimiter.",
        v("STRING string, STRING delimiter", "ARRAY<STRING>", _split),
        v("BYTES bytes, BYTES delimiter", "ARRAY<BYTES>", _split),
    )
    scalar(
        "split_to_map",
        _STRING,
        "Cuts into keys and values.",
        v("STRING input, STRING entryDelimiter, STRING kvDelimiter", "MAP<STRING, STRING>", _split_to_map),
    )
    scalar(
        "regexp_extract",
        "REGULAR EXPRESSION",
        "The first match, or a group of it.",
        v("STRING pattern, STRING input", "STRING", _regexp_extract),
        v("STRING pattern, STRING input, INT group", "STRING", _regexp_extract),
    )
    scalar(
        "regexp_extract_all",
        "REGULAR EXPRESSION",
        "All matches, or a group of them.",
        v("STRING pattern, STRING input", "ARRAY<STRING>", _regexp_extract_all),
        v("STRING pattern, STRING input, INT group", "ARRAY<STRING>", _regexp_extract_all),
    )
    scalar(
        "regexp_replace",
        "REGULAR EXPRESSION",
        "Replaces all matches.",
        v("STRING str, STRING regexp, STRING newStr", "STRING", _regexp_replace),
    )
    scalar(
        "regexp_split_to_array",
        "REGULAR EXPRESSION",
        "Cuts at matches.",
        v("STRING string, STRING regexp", "ARRAY<STRING>", _regexp_split),
    )
    four = "STRING upper, STRING lower, STRING digit, STRING other"
    scalar(
        "mask",
        _STRING,
        "Hides all characters.",
        v("STRING input", "STRING", _mask_all, nulls=True),
        v(f"STRING input, {four}", "STRING", _mask_all, nulls=True),
    )
    for name, choose in (
        ("mask_left", lambda text, n: ("", text[:n], text[n:])),
        ("mask_right", lambda text, n: (text[: max(len(text) - n, 0)], text[max(len(text) - n, 0) :], "")),
        ("mask_keep_left", lambda text, n: (text[:n], text[n:], "")),
        ("mask_keep_right", lambda text, n: ("", text[: max(len(text) - n, 0)], text[max(len(text) - n, 0) :])),
    ):
        scalar(
            name,
            _STRING,
            "Hides a part.",
            v("STRING input, INT numChars", "STRING", _mask_part(choose), nulls=True),
            v(f"STRING input, INT numChars, {four}", "STRING", _mask_part(choose), nulls=True),
        )
    scalar(
        "encode",
        _STRING,
        "From one encoding to another.",
        v("STRING str, STRING inputEncoding, STRING outputEncoding", "STRING", _encode),
    )
    scalar("to_bytes", _STRING, "Text as bytes.", v("STRING value, STRING encoding", "BYTES", _to_bytes))
    scalar("from_bytes", _STRING, "Bytes as text.", v("BYTES value, STRING encoding", "STRING", _from_bytes))
    for name, layout, kind in (
        ("int_from_bytes", "i", "INT"),
        ("bigint_from_bytes", "q", "BIGINT"),
        ("double_from_bytes", "d", "DOUBLE"),
    ):
        scalar(
            name,
            _STRING,
            "Bytes as a number.",
            v("BYTES value", kind, _from_binary(layout)),
            v("BYTES value, STRING byteOrder", kind, _from_binary(layout)),
        )
    scalar(
        "chr",
        _STRING,
        "The character of a code point.",
        v("INT decimalCode", "STRING", _chr_code),
        v("STRING utf16Code", "STRING", _chr_text),
    )
    scalar("UUID", _STRING, "A new or given UUID.", v("", "STRING", _uuid), v("BYTES bytes", "STRING", _uuid))
    scalar("elt", _STRING, "The n-th of its arguments.", v("INT n, STRING... args", "STRING", _elt, nulls=True))
    scalar(
        "field",
        _STRING,
        "The place of a text among others.",
        v("STRING str, STRING... args", "INT", _field, nulls=True),
    )


_register()
