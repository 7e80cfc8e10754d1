"""Reading rows: what is good, in which spelling, and what is not, and why."""

from __future__ import annotations

import csv
import io
import math
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.errors import BatchError, Reason, RowError
from services.native import load
from services.transform.rows import Rows, read_row, read_rows

if TYPE_CHECKING:
    from services.native import Native

LINES = 10_000
GOOD = b"LHR,IST,2020-08-01,169.99,Y"


def read(text: bytes) -> Rows:
    return read_rows(text, max_lines=LINES)


codes = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)
prices = st.one_of(
    st.decimals(min_value="0.01", max_value="99999.99", places=2).map(str),
    st.integers(min_value=1, max_value=10**18).map(str),
    st.from_regex(r"[0-9]{1,5}\.[0-9]{1,20}", fullmatch=True).filter(lambda price: float(price) > 0),
)
good_rows = st.tuples(codes, codes, st.dates().map(date.isoformat), prices, st.sampled_from("ABYZ")).map(",".join)
near_rows = st.lists(
    st.one_of(
        codes,
        prices,
        st.dates().map(date.isoformat),
        st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=8),
    ),
    max_size=7,
).map(",".join)


@given(st.lists(good_rows, min_size=1, max_size=50), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_good_rows_come_back_as_they_are(lines: list[str], end: str, last: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    text = end.join(lines) + (end if last else "")
    rows = read(text.encode())
    assert rows.rejects == []
    assert rows.count == len(lines)
    assert rows.text.decode() == "".join(f"{line}\n" for line in lines)


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(good_rows, near_rows, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)),
        max_size=30,
    )
)
@example(["LHR,IST,2020-08-01,169.99,Y", '"LHR,IST,2020-08-01,169.99,Y', "LHR,IST,2020-08-01,169.99,Y"])
@example(["\r"])
@example(["٣"])
def test_every_line_is_good_or_rejected_and_keeps_its_number(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    physical = text.replace(b"\r\n", b"\n").split(b"\n")
    wanted = {number: line for number, line in enumerate(physical, start=1) if line}
    if not wanted:
        with pytest.raises(BatchError):
            read(text)
        return
    rows = read(text)
    rejected = {reject.line: reject.raw for reject in rows.rejects}
    bom = text.startswith(b"\xef\xbb\xbf")
    assert rows.count + len(rejected) == len(wanted) or bom
    if not bom:
        assert rejected.items() <= wanted.items()
        assert [read_row(wanted[number]) for number in sorted(wanted.keys() - rejected.keys())] == rows.text.split(
            b"\n"
        )[:-1]


@settings(max_examples=300)
@given(near_rows)
def test_a_good_row_has_what_a_row_must_have(line: str) -> None:
    try:
        row = read_row(line.encode())
    except RowError:
        return
    origin, destination, day, price, cabin = row.decode().split(",")
    for code in (origin, destination):
        assert len(code) == 3
        assert code.isascii()
        assert code.isalpha()
        assert code.isupper()
    assert date.fromisoformat(day).isoformat() == day
    assert math.isfinite(float(price))
    assert float(price) > 0
    assert len(cabin) == 1


@given(good_rows)
def test_quotes_do_not_matter(line: str) -> None:
    quoted = io.StringIO()
    csv.writer(quoted, quoting=csv.QUOTE_ALL, lineterminator="").writerow(line.split(","))
    assert read_row(quoted.getvalue().encode()) == line.encode()


@pytest.fixture(scope="module")
def native() -> Native:
    loaded = load()
    if loaded is None:
        pytest.skip("the native code is not built")
    return loaded


@settings(max_examples=500)
@given(st.lists(st.one_of(good_rows, near_rows), min_size=1, max_size=5))
@example(["LHR,IST,2020-02-30,1,Y"])
@example(["LHR,IST,1900-02-29,1,Y"])
@example(["LHR,IST,2000-02-29,1,Y"])
@example(["LHR,IST,0000-01-01,1,Y"])
@example(["LHR,IST,2020-08-01,0.00,Y"])
@example(["LHR,IST,2020-08-01,1.,Y"])
@example(["LHR,IST,2020-08-01,.5,Y"])
@example(["LHR,IST,2020-08-01,1234567890123456,Y"])
def test_native_code_takes_nothing_that_python_would_not(native: Native, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    count = native.rows.cflight_count_plain(text, len(text))
    if count >= 0:
        rows = read(text)
        assert (rows.text, rows.count, rows.rejects) == (text, count, [])


def test_native_code_takes_what_is_usual(native: Native) -> None:
    text = GOOD * 1 + b"\n" + b"AAA,ZZZ,2024-02-29,0.01,A\nAAA,ZZZ,9999-12-31,123456789012.345,Z\n"
    assert native.rows.cflight_count_plain(text, len(text)) == 3
    for cut in range(1, len(text)):
        expected = -1 if text[cut - 1] != 10 else text[:cut].count(b"\n")
        assert native.rows.cflight_count_plain(text[:cut], cut) == expected


def test_bytes_between_blocks_are_not_lost() -> None:
    # Longer than the blocks that lines are judged in, with a bad row in the middle and another at the end.
    lines = [GOOD] * 30_000
    lines[15_000] = b"bad"
    lines.append(b"worse")
    rows = read_rows(b"\n".join(lines), max_lines=100_000)
    assert rows.count == 29_999
    assert [(reject.line, reject.raw) for reject in rows.rejects] == [(15_001, b"bad"), (30_001, b"worse")]


def test_lines_are_limited() -> None:
    with pytest.raises(BatchError) as refused:
        read_rows(GOOD + b"\n" * 11, max_lines=10)
    assert refused.value.reason is Reason.TOO_MANY_ROWS
