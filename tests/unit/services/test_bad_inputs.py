"""A corpus of bad inputs, each with its fate: dead-lettered as a batch for a reason, or row by row for reasons."""

from __future__ import annotations

import gzip
import random
import zlib
from dataclasses import dataclass

import pytest

from services.errors import BatchError, Reason
from services.transform.gunzip import MAX_MEMBERS, gunzip
from services.transform.rows import read_rows

LIMIT = 1_000_000
GOOD = b"LHR,IST,2020-08-01,169.99,Y\n"
PLAIN = gzip.compress(GOOD * 5, mtime=0)
HEADER = 10
NOISE = random.Random(1).randbytes(5000)  # noqa: S311 - repeatable on purpose


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What must come of an input: a reason for the whole batch, or good rows and the reasons of the bad ones."""

    batch: Reason | None = None
    rows: int = 0
    bad: tuple[Reason, ...] = ()


def refused(reason: Reason) -> Fate:
    return Fate(batch=reason)


def row(text: str | bytes, *reasons: Reason) -> tuple[bytes, Fate]:
    """A batch with a good row before and after the bad ones."""
    raw = text.encode() if isinstance(text, str) else text
    return gzip.compress(GOOD + raw + b"\n" + GOOD), Fate(rows=2, bad=reasons)


def price(text: str) -> tuple[bytes, Fate]:
    return row(f"LHR,IST,2020-08-01,{text},Y", Reason.PRICE)


def member(flags: int, rest: bytes) -> bytes:
    return b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff" + rest


CORPUS: dict[str, tuple[bytes, Fate]] = {
    "no bytes": (b"", refused(Reason.EMPTY)),
    **{f"cut after {n} bytes of the header": (PLAIN[:n], refused(Reason.TRUNCATED)) for n in range(1, HEADER + 1)},
    "cut in the middle": (PLAIN[: len(PLAIN) // 2], refused(Reason.TRUNCATED)),
    **{f"cut {n} bytes before the end": (PLAIN[:-n], refused(Reason.TRUNCATED)) for n in range(1, 9)},
    "plain text": (GOOD, refused(Reason.NOT_GZIP)),
    "a ZIP archive": (b"PK\x03\x04" + NOISE, refused(Reason.NOT_GZIP)),
    "zlib without gzip": (zlib.compress(GOOD), refused(Reason.NOT_GZIP)),
    "a wrong second magic byte": (b"\x1f\x8c" + PLAIN[2:], refused(Reason.NOT_GZIP)),
    "an unknown method": (PLAIN[:2] + b"\x07" + PLAIN[3:], refused(Reason.CORRUPT)),
    "noise after the magic bytes": (b"\x1f\x8b" + NOISE, refused(Reason.CORRUPT)),
    "noise after a header": (member(0, b"\xff" + NOISE), refused(Reason.CORRUPT)),
    "an endless file name": (member(8, b"n" * 5000), refused(Reason.TRUNCATED)),
    "a wrong checksum": (PLAIN[:-8] + b"\0\0\0\0" + PLAIN[-4:], refused(Reason.CORRUPT)),
    "a wrong length": (PLAIN[:-4] + b"\1\0\0\0", refused(Reason.CORRUPT)),
    "a flipped bit": (PLAIN[:20] + bytes([PLAIN[20] ^ 4]) + PLAIN[21:], refused(Reason.CORRUPT)),
    "a NUL after the stream": (PLAIN + b"\0", refused(Reason.TRAILING_GARBAGE)),
    "text after the stream": (PLAIN + b"the end", refused(Reason.TRAILING_GARBAGE)),
    "a second member cut short": (PLAIN + PLAIN[:-3], refused(Reason.TRUNCATED)),
    "a second member damaged": (PLAIN + PLAIN[:-8] + b"\0" * 8, refused(Reason.CORRUPT)),
    "half a magic after the stream": (PLAIN + b"\x1f", refused(Reason.TRUNCATED)),
    "a thousand-fold bomb of NULs": (gzip.compress(b"\0" * 20_000_000), refused(Reason.TOO_LONG)),
    "a bomb in the second member": (PLAIN + gzip.compress(b"A" * 10_000_000), refused(Reason.TOO_LONG)),
    "a bomb of good rows": (gzip.compress(GOOD * 100_000), refused(Reason.TOO_LONG)),
    "a bomb of empty members": (gzip.compress(b"") * (MAX_MEMBERS + 1), refused(Reason.TOO_MANY_MEMBERS)),
    "gzip in gzip": (gzip.compress(PLAIN), refused(Reason.NOT_TEXT)),
    "no text": (gzip.compress(b""), refused(Reason.NO_ROWS)),
    "only newlines": (gzip.compress(b"\n" * 50), refused(Reason.NO_ROWS)),
    "only CRLF": (gzip.compress(b"\r\n" * 50), refused(Reason.NO_ROWS)),
    "only a byte order mark": (gzip.compress(b"\xef\xbb\xbf"), refused(Reason.NO_ROWS)),
    "too many lines": (gzip.compress(b"\n" * 20_000), refused(Reason.TOO_MANY_ROWS)),
    "UTF-16": (gzip.compress(GOOD.decode().encode("utf-16")), refused(Reason.NOT_TEXT)),
    "UTF-16 big-endian without a mark": (gzip.compress(GOOD.decode().encode("utf-16-be")), refused(Reason.NOT_TEXT)),
    "UTF-32": (gzip.compress(GOOD.decode().encode("utf-32")), refused(Reason.NOT_TEXT)),
    "a NUL byte": (gzip.compress(GOOD + b"LHR,IST\0,2020-08-01,1,Y\n"), refused(Reason.NOT_TEXT)),
    "Latin-1": (gzip.compress(GOOD + "ÜLH,IST,2020-08-01,1,Y\n".encode("latin-1")), refused(Reason.NOT_TEXT)),
    "half a UTF-8 character at the end": (gzip.compress(GOOD + b"\xc3"), refused(Reason.NOT_TEXT)),
    "a surrogate in UTF-8": (gzip.compress(GOOD + b"\xed\xa0\x80\n"), refused(Reason.NOT_TEXT)),
    "binary": (gzip.compress(NOISE), refused(Reason.NOT_TEXT)),
    "a header line": row("from,to,date,price,class", Reason.CODE),
    "no fields": row(",,,,", Reason.CODE),
    "one field": row("LHR", Reason.FIELDS),
    "four fields": row("LHR,IST,2020-08-01,169.99", Reason.FIELDS),
    "six fields": row("LHR,IST,2020-08-01,169.99,Y,Z", Reason.FIELDS),
    "a trailing comma": row("LHR,IST,2020-08-01,169.99,Y,", Reason.FIELDS),
    "semicolons": row("LHR;IST;2020-08-01;169.99;Y", Reason.FIELDS),
    "tabs": row("LHR\tIST\t2020-08-01\t169.99\tY", Reason.FIELDS),
    "spaces only": row("   ", Reason.FIELDS),
    "a huge field": row("L" * 500_000 + ",IST,2020-08-01,169.99,Y", Reason.CODE),
    "a huge line without commas": row("x" * 500_000, Reason.FIELDS),
    "a lower-case code": row("lhr,IST,2020-08-01,169.99,Y", Reason.CODE),
    "a code of four": row("LHR,ISTA,2020-08-01,169.99,Y", Reason.CODE),
    "a code of two": row("LH,IST,2020-08-01,169.99,Y", Reason.CODE),
    "a digit in a code": row("LH1,IST,2020-08-01,169.99,Y", Reason.CODE),
    "a Greek code": row("ΑΒΓ,IST,2020-08-01,169.99,Y", Reason.CODE),
    "full-width letters": row("\uff2c\uff28\uff32,IST,2020-08-01,169.99,Y", Reason.CODE),
    "a space before a field": row("LHR, IST,2020-08-01,169.99,Y", Reason.CODE),
    "30 February": row("LHR,IST,2020-02-30,169.99,Y", Reason.DATE),
    "29 February of no leap year": row("LHR,IST,2021-02-29,169.99,Y", Reason.DATE),
    "month 13": row("LHR,IST,2020-13-01,169.99,Y", Reason.DATE),
    "year 0": row("LHR,IST,0000-01-01,169.99,Y", Reason.DATE),
    "a date without dashes": row("LHR,IST,20200801,169.99,Y", Reason.DATE),
    "a date with slashes": row("LHR,IST,2020/08/01,169.99,Y", Reason.DATE),
    "a week date": row("LHR,IST,2020-W31-6,169.99,Y", Reason.DATE),
    "a date with time": row("LHR,IST,2020-08-01T09:00:00,169.99,Y", Reason.DATE),
    "Arabic digits in the date": row(
        "LHR,IST,\u0662\u0660\u0662\u0660-\u0660\u0668-\u0660\u0661,169.99,Y", Reason.DATE
    ),
    "no price": price(""),
    "NaN": price("NaN"),
    "inf": price("inf"),
    "Infinity": price("-Infinity"),
    "a negative price": price("-169.99"),
    "a sign": price("+169.99"),
    "zero": price("0"),
    "a long zero": price("0.000000"),
    "1e400": price("1e400"),
    "an exponent": price("1e2"),
    "400 digits": price("9" * 400),
    "three hundred zeros": price("0." + "0" * 300),
    "hexadecimal": price("0x1F"),
    "an underscore": price("1_000"),
    "a currency": price("£169.99"),
    "two points": price("1.2.3"),
    "a point at the end": price("169."),
    "a point at the start": price(".99"),
    "spaces around a price": price(" 169.99 "),
    "Arabic digits in the price": price("١٦٩"),
    "no class": row("LHR,IST,2020-08-01,169.99,", Reason.CLASS),
    "a class of two": row("LHR,IST,2020-08-01,169.99,YY", Reason.CLASS),
    "a lower-case class": row("LHR,IST,2020-08-01,169.99,y", Reason.CLASS),
    "a digit as class": row("LHR,IST,2020-08-01,169.99,1", Reason.CLASS),
    "an unclosed quote": row('"LHR,IST,2020-08-01,169.99,Y', Reason.QUOTES),
    "text after a quote": row('"LHR"x,IST,2020-08-01,169.99,Y', Reason.QUOTES),
    "a line break in quotes": row('"LHR\n",IST,2020-08-01,169.99,Y', Reason.QUOTES, Reason.QUOTES),
    "commas in quotes": row('"LHR,IST",IST,2020-08-01,169.99,Y', Reason.CODE),
    "a quote in a bare field": row('LH",IST,2020-08-01,169.99,Y', Reason.CODE),
    "a carriage return within a line": row("LHR,IST,2020-08-01\r,169.99,Y", Reason.DATE),
    "a vertical tab": row("LHR,IST,2020-08-01,169.99,Y\v", Reason.CLASS),
    "a Unicode line separator": row("LHR,IST,2020-08-01,169.99,Y\u2028", Reason.CLASS),
    "a byte order mark within": row("\ufeffLHR,IST,2020-08-01,169.99,Y", Reason.CODE),
    "an injected line": row("=cmd|' /C calc'!A0,IST,2020-08-01,169.99,Y", Reason.CODE),
    "three bad rows of three kinds": row(
        "LHR\nLHR,IST,2020-08-32,1,Y\nLHR,IST,2020-08-01,x,Y", Reason.FIELDS, Reason.DATE, Reason.PRICE
    ),
    "only bad rows": (gzip.compress(b"a\nb\n"), Fate(rows=0, bad=(Reason.FIELDS, Reason.FIELDS))),
}


def fate_of(body: bytes) -> Fate:
    try:
        rows = read_rows(gunzip(body, limit=LIMIT), max_lines=10_000)
    except BatchError as error:
        return Fate(batch=error.reason)
    assert rows.text == GOOD * rows.count
    return Fate(rows=rows.count, bad=tuple(reject.reason for reject in rows.rejects))


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("name", CORPUS)
def test_bad_input_has_its_fate(name: str) -> None:
    body, fate = CORPUS[name]
    assert fate_of(body) == fate


GOOD_INPUTS = {
    "CRLF": (GOOD.replace(b"\n", b"\r\n") * 3, 3),
    "no last newline": ((GOOD * 3)[:-1], 3),
    "no last newline after CRLF": ((GOOD * 2).replace(b"\n", b"\r\n")[:-2], 2),
    "blank lines": (b"\n\n" + GOOD + b"\n\r\n" + GOOD + b"\n\n", 2),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, 1),
    "quotes": (b'"LHR","IST","2020-08-01","169.99","Y"\n', 1),
    "some quotes": (b'LHR,"IST",2020-08-01,"169.99",Y\r\n', 1),
}


@pytest.mark.parametrize("name", GOOD_INPUTS)
def test_good_input_is_read(name: str) -> None:
    text, rows = GOOD_INPUTS[name]
    assert fate_of(gzip.compress(text)) == Fate(rows=rows)


def test_members_are_concatenated_wherever_they_are_cut() -> None:
    text = GOOD * 100
    for cut in (0, 1, 27, 1000, len(text)):
        assert gunzip(gzip.compress(text[:cut]) + gzip.compress(text[cut:]), limit=len(text)) == text
    assert gunzip(gzip.compress(b"") * 100 + PLAIN, limit=LIMIT) == GOOD * 5


def test_the_limit_is_exact() -> None:
    text = random.Random(2).randbytes(300_000)  # noqa: S311 - repeatable on purpose
    for body in (gzip.compress(text), gzip.compress(text[:1000]) + gzip.compress(text[1000:])):
        assert gunzip(body, limit=len(text)) == text
        with pytest.raises(BatchError) as error:
            gunzip(body, limit=len(text) - 1)
        assert error.value.reason is Reason.TOO_LONG
