"""uvicorn's HTTP protocol with what it lets a client do bounded: the time and size of a request's head, and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

_MOST_HEAD_BYTES = 32 * 1024
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_HEAD_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def bounded_protocol(*, most_connections: int, head_seconds: float) -> type[HttpToolsProtocol]:
    """Return a protocol class.

    Args:
        most_connections: more than these are answered with 503 at once.
        head_seconds: how long a request's head may take.
    """

    class BoundedProtocol(HttpToolsProtocol):
        """uvicorn's protocol, bounded."""

        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most_connections:
                transport.write(_BUSY)
                transport.close()
                return
            self._start_head_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.parser is not None and not self.transport.is_closing():
                super().data_received(data)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._head_bytes = 0
            if self._head_timer is None:
                self._start_head_timer()

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._count_head(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._count_head(len(name) + len(value))

        def on_headers_complete(self) -> None:
            self._stop_head_timer()
            if not self.transport.is_closing():
                super().on_headers_complete()

        def _count_head(self, count: int) -> None:
            self._head_bytes += count
            if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LONG)
                self.transport.close()

        def _start_head_timer(self) -> None:
            self._head_timer = self.loop.call_later(head_seconds, self.transport.close)

        def _stop_head_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return BoundedProtocol
