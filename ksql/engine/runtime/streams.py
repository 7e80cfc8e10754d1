"""Rows on their way from a query's thread to the event loop of the HTTP server."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.schema import Column

# Batches that may wait for a slow client; then the query waits as well.
_WAITING = 64


class RowStream:
    """The rows of one query; made in any thread, read on the event loop, closed by either.

    Args:
        query_id: of the query.
        columns: of the rows.
        push: whether it goes on as long as the client listens.
    """

    def __init__(self, *, query_id: str, columns: Sequence[Column], push: bool) -> None:
        self.query_id = query_id
        self.columns = columns
        self.push = push
        self.final_message: str | None = None
        self.failure: str | None = None
        self.on_close: Callable[[], None] | None = None
        self._room = threading.BoundedSemaphore(_WAITING)
        self._lock = threading.Lock()
        self._batches: list[Sequence[Row]] = []
        self._ended = False
        self._closed = threading.Event()
        self._wake: Callable[[], object] | None = None

    @property
    def closed(self) -> bool:
        """Whether nobody listens any more."""
        return self._closed.is_set()

    def put(self, rows: Sequence[Row]) -> None:
        """Hand over rows; waits while the client is too slow."""
        if not rows:
            return
        while not self._room.acquire(timeout=0.2):
            if self.closed:
                return
        with self._lock:
            self._batches.append(rows)
        self._notify()

    def end(self, *, message: str | None = None, failure: str | None = None) -> None:
        """Say that there are no more rows."""
        self.final_message, self.failure = message, failure
        self._ended = True
        self._notify()

    def close(self) -> None:
        """Stop listening."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._notify()
        if self.on_close is not None:
            self.on_close()

    async def batches(self) -> AsyncIterator[Sequence[Row]]:
        """Return the rows as they come, until the query ends or the stream is closed."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(event.set)
        try:
            while not self.closed:
                event.clear()
                ended = self._ended
                with self._lock:
                    batches, self._batches = self._batches, []
                for batch in batches:
                    self._room.release()
                    yield batch
                if ended and not batches:
                    return
                if not batches:
                    await event.wait()
        finally:
            self._wake = None

    def _notify(self) -> None:
        wake = self._wake
        if wake is not None:
            wake()
