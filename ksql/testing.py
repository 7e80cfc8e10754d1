"""The embedded engine as a process of its own, for tests, benchmarks and the replay of recorded conversations."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from ksql.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0


@dataclass(kw_only=True)
class EngineProcess:
    """A server on a free loopback port; use it as a context manager.

    Args:
        bootstrap_servers: Kafka's address.
        schema_registry_url: the registry's Confluent-compatible base URL.
        folder: for state and the log; must exist.
        service_id: names the command topic and the consumer groups.
        settings: further environment variables of the server.
    """

    bootstrap_servers: str
    schema_registry_url: str
    folder: Path
    service_id: str = "default_"
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"http://{self.advertised}"

    @property
    def advertised(self) -> str:
        """Host and port as the server calls itself."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            ServerError: it ended, or was not ready in time; with the end of its log.
        """
        if not self.port:
            self.port = _free_port()
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": self.schema_registry_url,
            "HTTP_PORT": str(self.port),
            "KSQL_SERVICE_ID": self.service_id,
            "KSQL_STATE_FOLDER": str(self.folder),
            **self.settings,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ksql.engine"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerError("the engine did not become ready", where=self.url, remedy=self._tail())
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask the server to end (SIGTERM), and see that it does."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the server as the out-of-memory killer does (SIGKILL)."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop the server and start it again on the same port with the same state."""
        self.stop()
        self.start()

    @property
    def _log(self) -> Path:
        return self.folder / "engine.log"

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError("the engine is not running", where=self.url)
        return self._process

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def __enter__(self) -> EngineProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
