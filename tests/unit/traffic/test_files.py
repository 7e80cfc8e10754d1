from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cflight.traffic.files import FileError, found, from_files

if TYPE_CHECKING:
    from pathlib import Path


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.integers(1, 7), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_cutting_loses_no_byte(tmp_path: Path, lines: list[bytes], rows: int, end: bool) -> None:  # noqa: FBT001
    file = tmp_path / "a.csv"
    file.write_bytes(b"\n".join(lines) + (b"\n" if end and lines else b""))
    batches = list(from_files([file], rows=rows))
    assert b"".join(batch.text or b"" for batch in batches) == file.read_bytes()
    assert all((batch.text or b"").count(b"\n") <= rows for batch in batches)
    assert [gzip.decompress(batch.body) for batch in batches] == [batch.text for batch in batches]


def test_gzip_goes_as_it_is_whether_it_can_be_read_or_not(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.csv.gz", tmp_path / "b.csv.gz"
    good.write_bytes(gzip.compress(b"x\n"))
    bad.write_bytes(gzip.compress(b"x\n" * 1000)[:-9])
    one, other = from_files([good, bad], rows=1)
    assert (one.body, one.text) == (good.read_bytes(), b"x\n")
    assert (other.body, other.text) == (bad.read_bytes(), None)


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", "notes.txt", "deep/c.csv"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert [str(file.relative_to(tmp_path)) for file in found([tmp_path])] == ["a.csv.gz", "b.csv", "deep/c.csv"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.csv"):
        found([tmp_path / "missing.csv"])
    with pytest.raises(FileError, match=str(tmp_path)):
        found([tmp_path])


@pytest.mark.parametrize("rows", [0, -1, 20_001])
def test_batches_have_a_size(tmp_path: Path, rows: int) -> None:
    with pytest.raises(FileError, match="20000"):
        list(from_files([tmp_path], rows=rows))
