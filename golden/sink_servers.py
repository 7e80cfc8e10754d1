"""Kafka, a registry, an S3 store and a Connect worker with the embedded S3 sink, for the time of a replay.

Not an ephemeral stack: its topics and connectors would be in the way of those of the cases.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.errors import WaitError
from infra.local.artefacts import go_binary, require, sink_folder
from infra.local.connect import connect_properties
from infra.local.jvm import LOG4J, jvm_command
from infra.local.kafka import format_command, kafka_properties
from infra.local.registry import registry_environment
from infra.memory import MIB, broker_memory, connect_memory, registry_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
ACCESS_KEY = "golden"
WORKER_MEMORY = 400 * MIB
_BROKER_MEMORY = 512 * MIB
_REGISTRY_MEMORY = 384 * MIB
_LOG4J_PROPERTIES = {"log4j2.configurationFile": "log4j2.xml"}


@dataclass(kw_only=True)
class SinkServers:
    """Where the servers are.

    Attributes:
        folder: their data and logs.
        bootstrap_servers: Kafka's address.
        schema_registry_url: the registry's Confluent-compatible base URL.
        s3_endpoint: the S3 store's URL.
        s3_secret_key: the secret that goes with ACCESS_KEY.
        connect_url: the worker's URL.
    """

    folder: Path
    bootstrap_servers: str
    schema_registry_url: str
    s3_endpoint: str
    s3_secret_key: str
    connect_url: str
    _commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = field(
        default_factory=dict[str, "tuple[Sequence[str], Mapping[str, str]]"]
    )
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def start(self, part: str) -> None:
        """Start one of the servers: kafka, registry, s3 or connect."""
        command, environment = self._commands[part]
        folder = self.folder / part
        with (folder / "log.txt").open("ab") as log:
            self._running[part] = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
            )

    def stop(self, part: str, *, kill: bool = False) -> None:
        """Stop one of the servers.

        Args:
            part: which.
            kill: whether it gets no chance to finish anything.
        """
        process = self._running.pop(part)
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_for_worker(self) -> None:
        """Wait until the worker takes requests."""
        self._wait("connect", lambda: httpx.get(f"{self.connect_url}/connectors", timeout=5).is_success)

    def wait_for_store(self) -> None:
        """Wait until the S3 store takes requests."""
        self._wait("s3", lambda: httpx.get(self.s3_endpoint, timeout=5).status_code < 500)

    def pid(self, part: str) -> int:
        """Return the process id of a server."""
        return self._running[part].pid

    def define(self, part: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Say how a server is started."""
        self._commands[part] = (command, environment or {})

    def start_all(self) -> None:
        """Start every server and wait until all answer."""
        host, port = self.bootstrap_servers.split(":")
        for part in ("kafka", "registry", "s3"):
            self.start(part)
        self._wait("kafka", lambda: socket.create_connection((host, int(port)), 1).close() is None)
        self.start("connect")
        self._wait("registry", lambda: httpx.get(f"{self.schema_registry_url}/subjects", timeout=5).is_success)
        self.wait_for_store()
        self.wait_for_worker()

    def stop_all(self) -> None:
        """Stop whatever runs."""
        for part in ("connect", "s3", "registry", "kafka"):
            if part in self._running:
                self.stop(part, kill=part != "connect")

    def _wait(self, part: str, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, httpx.HTTPError):
                if answers():
                    return
            if self._running[part].poll() is not None:
                break
            time.sleep(0.1)
        tail = (self.folder / part / "log.txt").read_text(errors="replace")[-2000:]
        raise WaitError(f"{part} did not start; the end of its log:\n{tail}")


@contextlib.contextmanager
def sink_servers(*, plugins: Path | None = None, worker_memory: int = WORKER_MEMORY) -> Generator[SinkServers]:
    """Run the servers on free ports, in a folder that is removed afterwards.

    Args:
        plugins: the folder of the worker's plug-ins; that of the embedded sink unless given.
        worker_memory: what the worker may use, in bytes.

    Yields:
        Where they are.
    """
    with tempfile.TemporaryDirectory(prefix="cflight-sink-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        broker, controller, registry, management, connect, store = _free_ports(6)
        servers = SinkServers(
            folder=folder,
            bootstrap_servers=f"{_HOST}:{broker}",
            schema_registry_url=f"http://{_HOST}:{registry}/apis/ccompat/v7",
            s3_endpoint=f"http://{_HOST}:{store}",
            s3_secret_key=secrets.token_urlsafe(24),
            connect_url=f"http://{_HOST}:{connect}",
        )
        for part in ("kafka", "registry", "s3", "connect"):
            (folder / part).mkdir()
        _define_kafka(servers, broker=broker, controller=controller)
        _define_registry(servers, port=registry, management=management)
        _define_store(servers, port=store)
        _define_worker(servers, port=connect, plugins=plugins or sink_folder(), memory=worker_memory)
        try:
            servers.start_all()
            yield servers
        finally:
            servers.stop_all()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind((_HOST, 0))
        return [one.getsockname()[1] for one in taken]


def _define_kafka(servers: SinkServers, *, broker: int, controller: int) -> None:
    folder = servers.folder / "kafka"
    (folder / "kafka.properties").write_text(kafka_properties(broker=broker, controller=controller))
    (folder / "log4j2.xml").write_text(LOG4J)
    memory = broker_memory(_BROKER_MEMORY)
    setup = format_command(memory=memory, cluster=uuid.uuid4().hex[:22])
    subprocess.run(setup, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    servers.define(
        "kafka",
        jvm_command(
            "kafka", memory=memory, main="kafka.Kafka", arguments=["kafka.properties"], properties=_LOG4J_PROPERTIES
        ),
    )


def _define_registry(servers: SinkServers, *, port: int, management: int) -> None:
    command = jvm_command(
        "registry",
        memory=registry_memory(_REGISTRY_MEMORY),
        main="io.quarkus.runner.GeneratedMain",
        arguments=[],
        properties={"java.util.logging.manager": "org.jboss.logmanager.LogManager"},
    )
    servers.define("registry", command, registry_environment(port=port, management=management))


def _define_store(servers: SinkServers, *, port: int) -> None:
    for name in ("objects", "metadata"):
        (servers.folder / "s3" / name).mkdir()
    command = [
        str(require(go_binary("versitygw"), what="the S3 store")),
        *("--port", f"{_HOST}:{port}", "--keep-alive", "--quiet"),
        *("posix", "--sidecar", str(servers.folder / "s3" / "metadata"), "objects"),
    ]
    environment = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": servers.s3_secret_key}
    servers.define("s3", command, environment)


def _define_worker(servers: SinkServers, *, port: int, plugins: Path, memory: int) -> None:
    folder = servers.folder / "connect"
    properties = connect_properties(
        bootstrap=servers.bootstrap_servers, port=port, plugins=require(plugins, what="the S3 sink plug-in")
    )
    (folder / "connect.properties").write_text(properties)
    (folder / "log4j2.xml").write_text(LOG4J)
    command = jvm_command(
        "connect",
        memory=connect_memory(memory),
        main="org.apache.kafka.connect.cli.ConnectDistributed",
        arguments=["connect.properties"],
        properties=_LOG4J_PROPERTIES,
    )
    servers.define("connect", command)
