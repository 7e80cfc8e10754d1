"""cflight-ingest: HTTP to the event log."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

from services import logs
from services.health import Health
from services.ingest.application import Application, Budget
from services.ingest.event_log import EventLog
from services.ingest.protocol import bounded_protocol
from services.ingest.settings import IngestSettings
from services.memory import plan_memory, tune_process
from services.settings import load_or_exit

if TYPE_CHECKING:
    from services.memory import MemoryPlan

log = logging.getLogger("services.ingest")

PROGRAM = "cflight-ingest"
PURPOSE = "Takes gzip batches over HTTP and answers when Kafka has acknowledged them."

# What the kernel may hand over from one connection at once, before the application can say no.
_RECEIVE_BYTES = 128 * 1024


class Server(uvicorn.Server):
    """uvicorn with the event log's life tied to its own.

    Args:
        settings: the service's settings.
        memory: the memory to keep to.
    """

    def __init__(self, settings: IngestSettings, *, memory: MemoryPlan) -> None:
        self._settings = settings
        self._health = Health()
        self._application = Application(
            settings, health=self._health, budget=Budget(memory.share(0.4, least=16 * 1024 * 1024))
        )
        self.failed = False
        protocol = bounded_protocol(
            most_connections=memory.share(0.25, least=0) // _RECEIVE_BYTES, head_seconds=settings.idle_timeout_seconds
        )
        super().__init__(
            uvicorn.Config(
                self._application,  # pyright: ignore[reportArgumentType] - typed by what it uses of ASGI
                http=protocol,
                loop="uvloop",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=settings.shutdown_seconds,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the event log, then listen."""
        self._event_log = EventLog(self._settings, health=self._health, on_fatal=self._on_fatal)
        self._application.event_log = self._event_log
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish requests in work, then the event log."""
        log.info("stopping")
        await super().shutdown(sockets)
        await self._event_log.close()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; unlike uvicorn, do not raise the signal again afterwards: stopping when told so is success."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()

    def _on_fatal(self) -> None:
        self.failed = True
        self.should_exit = True


def main() -> None:
    """Run the service until SIGTERM."""
    settings = load_or_exit(
        IngestSettings, program=PROGRAM, purpose=PURPOSE, environ=os.environ, arguments=sys.argv[1:]
    )
    logs.configure(service="ingest", level=settings.log_level)
    # What clients get wrong is counted, not logged.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    tune_process()
    memory = plan_memory()
    listener = _listen(host=settings.http_host, port=settings.http_port)
    log.info(
        "started",
        extra={
            "pid": os.getpid(),
            "http": f"{settings.http_host}:{listener.getsockname()[1]}",
            "memory_limit_bytes": memory.limit,
        },
    )
    server = Server(settings, memory=memory)
    server.run(sockets=[listener])
    log.info("stopped")
    if server.failed:
        raise SystemExit(1)


def _listen(*, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.stderr.write(f"{PROGRAM}: HTTP_HOST={host} HTTP_PORT={port}: cannot be bound: {error.strerror}\n")
        raise SystemExit(2) from None
    return listener


if __name__ == "__main__":
    main()
