"""Reads the rows of a batch: which are good, in one canonical spelling, and which are not, and why.

A row is a line `LHR,IST,2020-08-01,169.99,Y`:

- from, to: three upper-case letters (IATA airport code);
- date: a real day of the calendar, `YYYY-MM-DD`;
- price: a positive finite decimal number, digits with an optional fraction: no sign, exponent or separators;
- class: one upper-case letter.

A line is a record: no good value can hold a line break, so an unclosed quote spoils one line and not the rest of the
batch. Lines end in LF or CRLF; blank lines are no rows; a byte order mark at the start is skipped.

Speed comes from judging many lines at once: every letter of a block becomes `A` and every digit `0`, which leaves a
handful of distinct shapes, and a block has few distinct dates. Only a line that is not plainly good is looked at alone.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass, field
from datetime import date

from services.errors import BatchError, Reason, RowError

_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 256 * 1024
_SHAPE = bytes(
    ord("0") if chr(byte) in "0123456789" else ord("A") if chr(byte) in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" else byte
    for byte in range(256)
)
# At most 300 digits, so that a price is finite whatever they are.
_GOOD_SHAPE = re.compile(rb"AAA,AAA,0000-00-00,0{1,300}(?:\.0{1,300})?,A")
_CODE = re.compile(r"[A-Z]{3}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PRICE = re.compile(r"[0-9]{1,300}(?:\.[0-9]{1,300})?")
_CLASS = re.compile(r"[A-Z]")
HEAD = len("LHR,IST,2020-08-01")
"""The bytes of a canonical line before the comma that precedes its price."""
_DATE_AT = slice(8, 18)


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A row that cannot be read.

    Attributes:
        line: its line in the batch, from 1.
        raw: the line as it came, without its line end.
        reason: why, one of few.
        what: why, for a person.
    """

    line: int
    raw: bytes
    reason: Reason
    what: str


@dataclass(kw_only=True)
class Rows:
    """The rows of a batch.

    Attributes:
        text: the good rows, in order, each in canonical spelling and ended by LF.
        count: how many those are.
        rejects: the others, in order.
    """

    text: bytes
    count: int
    rejects: list[Reject] = field(default_factory=list["Reject"])


def read_rows(text: bytes, *, max_lines: int) -> Rows:
    """Read the rows of a batch.

    Args:
        text: the batch's text, UTF-8.
        max_lines: the most lines that a batch may have.

    Returns:
        Its good and bad rows.

    Raises:
        BatchError: if it is not text, has no rows, or more lines than allowed.
    """
    text = text.removeprefix(_BOM)
    check_text(text, max_lines=max_lines)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if not text.endswith(b"\n"):
        text += b"\n"
    rejects: list[Reject] = []
    blocks: list[bytes] = []
    line = 1
    for block in _blocks(text):
        if _all_good(block):
            blocks.append(block)
        else:
            blocks.append(_sift(block, first_line=line, rejects=rejects))
        line += block.count(b"\n")
    good = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    count = good.count(b"\n")
    if not count and not rejects:
        raise BatchError(Reason.NO_ROWS, "the batch has no rows")
    return Rows(text=good, count=count, rejects=rejects)


def check_text(text: bytes, *, max_lines: int) -> None:
    """Check what is asked of a batch's text as a whole.

    Args:
        text: the batch's text.
        max_lines: the most lines that it may have.

    Raises:
        BatchError: if it is not text, empty, or has more lines than allowed.
    """
    if not text:
        raise BatchError(Reason.NO_ROWS, "the batch has no rows")
    if b"\0" in text:
        raise BatchError(Reason.NOT_TEXT, f"the batch is not text: byte {text.index(0) + 1} is NUL")
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise BatchError(
                Reason.NOT_TEXT, f"the batch is not UTF-8: {error.reason} at byte {error.start + 1}"
            ) from error
    lines = text.count(b"\n")
    if lines > max_lines:
        raise BatchError(Reason.TOO_MANY_ROWS, f"the batch has {lines} lines; {max_lines} are allowed")


def _blocks(text: bytes) -> list[bytes]:
    if len(text) <= _BLOCK_BYTES:
        return [text]
    blocks: list[bytes] = []
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + _BLOCK_BYTES) + 1 or len(text)
        blocks.append(text[start:end])
        start = end
    return blocks


def _all_good(block: bytes) -> bool:
    # A price that starts with 0 may be zero; a quote may hide commas. Both are rare: leave them to the slow way.
    if b",0" in block or b'"' in block:
        return False
    shapes = set(block.translate(_SHAPE).split(b"\n"))
    shapes.discard(b"")
    if b"\n\n" in block or block[0] == 10 or not all(map(_is_good_shape, shapes)):
        return False
    return all(map(_is_date, {line[_DATE_AT] for line in block.splitlines()}))


@functools.lru_cache(maxsize=1024)
def _is_good_shape(shape: bytes) -> bool:
    return _GOOD_SHAPE.fullmatch(shape) is not None


@functools.lru_cache(maxsize=4096)
def _is_date(digits: bytes) -> bool:
    try:
        date.fromisoformat(digits.decode())
    except ValueError:
        return False
    return True


def _sift(block: bytes, *, first_line: int, rejects: list[Reject]) -> bytes:
    good: list[bytes] = []
    for number, raw in enumerate(block.split(b"\n")[:-1], start=first_line):
        if not raw:
            continue
        try:
            good.append(read_row(raw))
        except RowError as error:
            rejects.append(Reject(line=number, raw=raw, reason=error.reason, what=error.what))
    good.append(b"")
    return b"\n".join(good)


def read_row(raw: bytes) -> bytes:
    """Read one line.

    Args:
        raw: the line, without its line end; UTF-8.

    Returns:
        The row in canonical spelling: no quotes, no line end.

    Raises:
        RowError: if it is not a good row.
    """
    line = raw.decode()
    fields = _read_quoted(line) if '"' in line else line.split(",")
    if len(fields) != 5:
        raise RowError(Reason.FIELDS, f"{len(fields)} fields instead of 5")
    origin, destination, day, price, cabin = fields
    for name, code in (("from", origin), ("to", destination)):
        if not _CODE.fullmatch(code):
            raise RowError(Reason.CODE, f"{name} is {_shown(code)}, not three upper-case letters")
    if not _DATE.fullmatch(day) or not _is_date(day.encode()):
        raise RowError(Reason.DATE, f"the date is {_shown(day)}, not a day as YYYY-MM-DD")
    if not _PRICE.fullmatch(price) or float(price) <= 0:
        raise RowError(Reason.PRICE, f"the price is {_shown(price)}, not a positive decimal number")
    if not _CLASS.fullmatch(cabin):
        raise RowError(Reason.CLASS, f"the class is {_shown(cabin)}, not one upper-case letter")
    return ",".join(fields).encode()


def _read_quoted(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except (csv.Error, StopIteration) as error:
        raise RowError(Reason.QUOTES, f"the line is not CSV: {error}") from error


def _shown(value: str) -> str:
    return repr(value) if len(value) <= 40 else f"{value[:40]!r}… ({len(value)} characters)"
