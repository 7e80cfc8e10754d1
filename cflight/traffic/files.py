"""Reads batches from a user's files: CSV is cut into batches, gzip goes as it is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from isal import igzip

from cflight.errors import CflightError
from cflight.traffic.batch import MOST_ROWS, Batch, batch_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_PATTERNS = ("*.csv", "*.csv.gz")


class FileError(CflightError):
    """A file that the user named cannot be sent."""


def found(paths: Iterable[Path]) -> list[Path]:
    """Return the files that paths name; of a folder all `*.csv` and `*.csv.gz` below it.

    Args:
        paths: files and folders.

    Raises:
        FileError: one is not there, or a folder has no such file.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(_inside(path)) if path.is_dir() else [path]
        if not inside:
            raise FileError("there is no *.csv or *.csv.gz in this folder", where=str(path))
        if not path.exists():
            raise FileError("there is no such file", where=str(path))
        files += inside
    return files


def _inside(folder: Path) -> Iterator[Path]:
    return (file for pattern in _PATTERNS for file in folder.rglob(pattern) if file.is_file())


def from_files(files: Iterable[Path], *, rows: int) -> Iterator[Batch]:
    """Yield the batches of files.

    A `.gz` file is one batch and goes byte for byte, readable or not. Any other file is CSV, cut after every `rows`
    lines; its bytes are not looked at, as it is the platform that judges them.

    Args:
        files: the files.
        rows: lines of a batch.

    Raises:
        FileError: one cannot be read, or `rows` makes no sense.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise FileError(f"a batch has 1 to {MOST_ROWS} rows, not {rows}")
    for file in files:
        try:
            yield from _gzip(file) if file.suffix == ".gz" else _cut(file, rows=rows)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}", where=str(file)) from None


def _gzip(file: Path) -> Iterator[Batch]:
    body = file.read_bytes()
    try:
        text: bytes | None = igzip.decompress(body)  # pyright: ignore[reportUnknownMemberType]
    except (OSError, EOFError, ValueError):
        text = None
    yield Batch(name=file.name, body=body, text=text)


def _cut(file: Path, *, rows: int) -> Iterator[Batch]:
    with file.open("rb") as lines:
        number = 0
        while block := b"".join(itertools.islice(lines, rows)):
            number += 1
            yield batch_of(block, name=f"{file.name}#{number}")
