"""Kafka and the schema registry for the length of a benchmark, in a folder and on ports of their own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.errors import BenchError
from infra.local.jvm import jvm_command
from infra.memory import MIB, broker_memory, registry_memory

if TYPE_CHECKING:
    from types import TracebackType

_HOST = "127.0.0.1"
_START_SECONDS = 90
_STOP_SECONDS = 20
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{kafka},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{kafka}
controller.listener.names=CONTROLLER
log.dirs=data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
message.max.bytes=16777216
"""


class Broker:
    """One KRaft node and one registry; a context manager.

    Args:
        properties: further lines of the broker's properties.

    Attributes:
        bootstrap_servers: where Kafka is.
        schema_registry_url: where the registry's Confluent-compatible API is.
    """

    def __init__(self, *, properties: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cflight-bench-"))
        kafka, controller, registry, management = _free_ports(4)
        self.bootstrap_servers = f"{_HOST}:{kafka}"
        self.schema_registry_url = f"http://{_HOST}:{registry}/apis/ccompat/v7"
        text = _PROPERTIES.format(host=_HOST, kafka=kafka, controller=controller)
        (self._folder / "kafka.properties").write_text(text + properties)
        self._kafka_command = self._command("kafka.Kafka", "kafka.properties")
        self._registry_command = jvm_command(
            "registry",
            memory=registry_memory(384 * MIB),
            main="io.quarkus.runner.GeneratedMain",
            arguments=[],
            properties={
                "quarkus.http.host": _HOST,
                "quarkus.http.port": str(registry),
                "quarkus.management.host": _HOST,
                "quarkus.management.port": str(management),
            },
        )
        self._kafka: subprocess.Popen[bytes] | None = None
        self._registry: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start both and wait until they answer."""
        format_command = self._command(
            "kafka.tools.StorageTool", "format", "-t", "cflightbenchcflightbbb", "-c", "kafka.properties"
        )
        subprocess.run(format_command, check=True, cwd=self._folder, capture_output=True)
        try:
            self.start_registry(wait=False)
            self.start_kafka()
            self._wait_for_registry()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both and remove their folder."""
        self._stop()

    def start_kafka(self) -> None:
        """Start Kafka and wait until it takes connections."""
        self._kafka = self._start(self._kafka_command, log="kafka.log")
        host, port = self.bootstrap_servers.split(":")
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            self._check(self._kafka, deadline=deadline, log="kafka.log")

    def stop_kafka(self, *, kill: bool = False) -> None:
        """Stop Kafka.

        Args:
            kill: with SIGKILL.
        """
        _end(self._kafka, kill=kill)
        self._kafka = None

    def start_registry(self, *, wait: bool = True) -> None:
        """Start the registry.

        Args:
            wait: until it answers.
        """
        self._registry = self._start(self._registry_command, log="registry.log")
        if wait:
            self._wait_for_registry()

    def stop_registry(self) -> None:
        """Stop the registry; it forgets its schemas."""
        _end(self._registry, kill=True)
        self._registry = None

    def _wait_for_registry(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self._registry is not None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.schema_registry_url}/subjects", timeout=2),  # noqa: S310 - our own
            ):
                return
            self._check(self._registry, deadline=deadline, log="registry.log")

    def _check(self, process: subprocess.Popen[bytes], *, deadline: float, log: str) -> None:
        if process.poll() is not None or time.monotonic() > deadline:
            tail = (self._folder / log).read_text(errors="replace")[-2000:]
            raise BenchError(f"does not start:\n{tail}", where=log.removesuffix(".log"))
        time.sleep(0.05)

    def _command(self, main: str, *arguments: str) -> list[str]:
        return jvm_command("kafka", memory=broker_memory(1024 * MIB), main=main, arguments=list(arguments))

    def _start(self, command: list[str], *, log: str) -> subprocess.Popen[bytes]:
        with (self._folder / log).open("ab") as file:
            return subprocess.Popen(command, cwd=self._folder, stdout=file, stderr=subprocess.STDOUT)

    def _stop(self) -> None:
        _end(self._kafka, kill=False)
        _end(self._registry, kill=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes] | None, *, kill: bool) -> None:
    if process is None:
        return
    if kill:
        process.kill()
    else:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    # All at once: a port that is let go could be given out again.
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((_HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
