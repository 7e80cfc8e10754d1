"""A batch of flight searches, as a partner sends it."""

from __future__ import annotations

from dataclasses import dataclass

from isal import igzip

_LEVEL = 1
FEWEST_ROWS = 3
MOST_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One request's body.

    Attributes:
        name: for people: a file and the number of the batch in it, or the number of a generated batch.
        body: the gzip member that is sent, or whatever stands in its place.
        text: the CSV that it holds, None where it is sent unread.
    """

    name: str
    body: bytes
    text: bytes | None


def batch_of(text: bytes, *, name: str) -> Batch:
    """Return the batch with a text.

    Args:
        text: CSV lines.
        name: for people.
    """
    body: bytes = igzip.compress(text, _LEVEL, mtime=0)  # pyright: ignore[reportUnknownMemberType]
    return Batch(name=name, body=body, text=text)
