"""uvicorn's HTTP protocol with bounds: the time and size of a request's head, and the number of connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

_MOST_HEAD_BYTES = 32 * 1024
_END = b"connection: close\r\ncontent-length: 0\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\n" + _END
_HEAD_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _END


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        most_connections: more than these are answered with 503 at once.
        head_seconds: how long a request's head may take.
    """

    most_connections: ClassVar[int]
    head_seconds: ClassVar[float]
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._end_with(_BUSY)
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take data, unless the connection is being closed."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Start the clock for a head."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._start_head_timer()

    def on_url(self, url: bytes) -> None:
        """Count a piece of the head."""
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a piece of the head, or of a chunked body's trailer."""
        super().on_header(name, value)
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._stop_head_timer()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def _count_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self._end_with(_HEAD_TOO_LONG)

    def _end_with(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bounded_protocol(*, most_connections: int, head_seconds: float) -> type[BoundedProtocol]:
    """Return a protocol class with these bounds: uvicorn makes an object of it for each connection.

    Args:
        most_connections: more than these are answered with 503 at once.
        head_seconds: how long a request's head may take.
    """
    return type("Protocol", (BoundedProtocol,), {"most_connections": most_connections, "head_seconds": head_seconds})
