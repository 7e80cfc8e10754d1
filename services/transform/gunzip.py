"""Gunzips a batch that nobody vouches for: bounded in length, members and work.

The format is RFC 1952: one or more members, concatenated; each ends in a CRC-32 and a length, which are checked.
"""

from __future__ import annotations

from isal import isal_zlib

from services.errors import BatchError, Reason

# isal's stubs declare it as a variable.
IsalError: type[Exception] = isal_zlib.error  # pyright: ignore

_GZIP_WINDOW_BITS = 31  # zlib's way to say "gzip wrapper, 32 KiB window"
_MAGIC = b"\x1f\x8b"
MAX_MEMBERS = 4096
"""More members than this are refused: each costs a set-up, and an empty one is only 20 bytes."""
# Input left after a member is copied once for each member; short pieces keep that linear.
_PIECE = 64 * 1024


def gunzip(body: bytes, *, limit: int) -> bytes:
    """Return the text of a gzip body.

    Args:
        body: one or more gzip members.
        limit: the longest text in bytes. Not more than this is ever expanded.

    Returns:
        The concatenated text of all members.

    Raises:
        BatchError: if the body is not gzip to its last byte, or its text is longer than the limit.
    """
    if not body:
        raise BatchError(Reason.EMPTY, "the body is empty")
    if not body.startswith(_MAGIC[: len(body)]):
        raise BatchError(Reason.NOT_GZIP, "the body does not start with gzip's magic bytes 1f 8b")
    member = _member()
    text = _expand(member, body, limit=limit)
    if member.eof and not member.unused_data:
        return text
    if not member.eof:
        raise BatchError(Reason.TRUNCATED, f"the gzip stream ends too early, after {len(text)} bytes of text")
    return _gunzip_members(body, limit=limit)


def _gunzip_members(body: bytes, *, limit: int) -> bytes:
    view = memoryview(body)
    position = 0
    texts: list[bytes] = []
    room = limit
    while position < len(body):
        if len(texts) == MAX_MEMBERS:
            raise BatchError(Reason.TOO_MANY_MEMBERS, f"the body has more than {MAX_MEMBERS} gzip members")
        if body[position : position + len(_MAGIC)] != _MAGIC[: len(body) - position]:
            raise BatchError(
                Reason.TRAILING_GARBAGE, f"{len(body) - position} bytes after the gzip stream are not gzip"
            )
        text, position = _gunzip_member(view, position=position, limit=room)
        texts.append(text)
        room -= len(text)
    return b"".join(texts)


def _gunzip_member(view: memoryview, *, position: int, limit: int) -> tuple[bytes, int]:
    member = _member()
    pieces: list[bytes] = []
    room = limit
    while not member.eof:
        piece = view[position : position + _PIECE]
        if not piece:
            raise BatchError(Reason.TRUNCATED, "the last gzip member ends too early")
        text = _expand(member, piece, limit=room)
        pieces.append(text)
        room -= len(text)
        position += len(piece)
    return b"".join(pieces), position - len(member.unused_data)


def _member() -> isal_zlib.Decompress:
    return isal_zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)  # pyright: ignore[reportUnknownMemberType]


def _expand(member: isal_zlib.Decompress, piece: bytes | memoryview, *, limit: int) -> bytes:
    try:
        text = member.decompress(piece, limit + 1)  # pyright: ignore[reportUnknownMemberType]
    except IsalError as error:
        raise BatchError(Reason.CORRUPT, f"the gzip stream is damaged: {error}") from error
    if len(text) > limit:
        raise BatchError(Reason.TOO_LONG, "the text is longer than the limit")
    return text
