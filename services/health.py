"""Health over HTTP for services without a web server of their own: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from services import metrics
from services.errors import SettingsError

# A client that sends nothing is hung up on, so that it cannot hold a thread.
_IDLE_SECONDS = 5.0


class Health:
    """What a service tells about itself.

    It is alive while its loop turns, and ready when nothing that it waits for is missing.

    Args:
        silence_limit: seconds without a turn of the loop after which it counts as hung.
    """

    def __init__(self, *, silence_limit: float = 300.0) -> None:
        self._silence_limit = silence_limit
        self._last_turn = time.monotonic()
        self._missing: dict[str, str] = {}
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Tell that the loop turns."""
        self._last_turn = time.monotonic()

    def missing(self, dependency: str, why: str) -> None:
        """Tell that the service cannot work for want of a dependency.

        Args:
            dependency: its name.
            why: what is wrong, for a person.
        """
        with self._lock:
            self._missing[dependency] = why
        metrics.READY.set(0)

    def present(self, dependency: str) -> None:
        """Tell that a dependency is there.

        Args:
            dependency: its name.
        """
        with self._lock:
            self._missing.pop(dependency, None)
            ready = not self._missing
        metrics.READY.set(ready)

    def alive(self) -> bool:
        """Return whether the loop turned lately."""
        return time.monotonic() - self._last_turn < self._silence_limit

    def waiting_for(self) -> dict[str, str]:
        """Return the missing dependencies and what is wrong with each; empty when ready."""
        with self._lock:
            return dict(self._missing)

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Answer a request for one of the three pages.

        Args:
            path: the request's path.

        Returns:
            Status, content type and body.
        """
        if path == "/metrics":
            return HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", metrics.exposition()
        if path == "/healthz":
            alive = self.alive()
            return _page({"alive": alive}, status=HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE)
        if path == "/readyz":
            waiting = self.waiting_for()
            status = HTTPStatus.SERVICE_UNAVAILABLE if waiting else HTTPStatus.OK
            return _page({"ready": not waiting, "waiting_for": waiting}, status=status)
        return _page({"error": f"{path} is not here"}, status=HTTPStatus.NOT_FOUND)


def _page(content: object, *, status: HTTPStatus) -> tuple[HTTPStatus, str, bytes]:
    return status, "application/json", json.dumps(content).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    timeout = _IDLE_SECONDS
    health: Health

    def do_GET(self) -> None:
        status, content_type, body = self.health.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep probes out of the log."""


def serve(health: Health, *, host: str, port: int) -> int:
    """Serve the three pages from a thread of their own.

    Args:
        health: what to tell.
        host: the address to bind.
        port: the port; 0 takes a free one.

    Returns:
        The port.

    Raises:
        SettingsError: if the port cannot be had.
    """
    handler = type("Handler", (_Handler,), {"health": health})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise SettingsError(f"cannot be bound: {error.strerror}", where=f"HTTP_HOST={host} HTTP_PORT={port}") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server.server_address[1]
