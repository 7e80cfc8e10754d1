"""Records which classes the JVM parts load until they are ready (`python -m infra.local.class_archives FOLDER`).

A JVM that finds them in a class-data archive starts in half the time and shares them between stacks. The parts are
run once, in a throw-away folder on free ports, with the very command lines that the stacks use.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from infra.local.connect import MAIN as CONNECT_MAIN
from infra.local.connect import connect_properties
from infra.local.jvm import LOG4J, jvm_command
from infra.local.kafka import MAIN as KAFKA_MAIN
from infra.local.kafka import format_command, kafka_properties
from infra.local.process import Ready, probe
from infra.local.registry import MAIN as REGISTRY_MAIN
from infra.local.registry import PROPERTIES as REGISTRY_PROPERTIES
from infra.local.registry import registry_environment
from infra.memory import MIB, JvmMemory, broker_memory, connect_memory, registry_memory
from infra.provider.progress import Progress

_READY_SECONDS = 240
_END_SECONDS = 60
_LIMIT = 512 * MIB


def record(folder: Path) -> None:
    """Write the archives of Kafka, registry and Connect into a folder.

    Args:
        folder: exists.

    Raises:
        WaitError: a part did not become ready.
    """
    ports = _free_ports(5)
    kafka, controller, registry, management, connect = ports
    with tempfile.TemporaryDirectory(prefix="cflight-") as temporary, ExitStack() as parts:
        home = Path(temporary)
        (home / "log4j2.xml").write_text(LOG4J)
        (home / "kafka.properties").write_text(kafka_properties(broker=kafka, controller=controller))
        properties = connect_properties(bootstrap=f"127.0.0.1:{kafka}", port=connect, plugins=None)
        (home / "connect.properties").write_text(properties)
        subprocess.run(format_command(memory=broker_memory(_LIMIT), cluster="0" * 22), cwd=home, check=True)
        log4j = {"log4j2.configurationFile": "log4j2.xml"}

        def start(
            part: str,
            main: str,
            memory: JvmMemory,
            arguments: list[str],
            *,
            system: dict[str, str],
            env: dict[str, str],
        ) -> None:
            command = jvm_command(
                part, memory=memory, main=main, arguments=arguments, record=folder / f"{part}.jsa", properties=system
            )
            parts.callback(_end, subprocess.Popen(command, cwd=home, env=env, stdout=sys.stderr))

        start("kafka", KAFKA_MAIN, broker_memory(_LIMIT), ["kafka.properties"], system=log4j, env={})
        environment = registry_environment(port=registry, management=management)
        start("registry", REGISTRY_MAIN, registry_memory(_LIMIT), [], system=REGISTRY_PROPERTIES, env=environment)
        _await(address=f"127.0.0.1:{kafka}")
        start("connect", CONNECT_MAIN, connect_memory(_LIMIT), ["connect.properties"], system=log4j, env={})
        _await(url=f"http://127.0.0.1:{connect}/connectors")
        _await(url=f"http://127.0.0.1:{registry}/apis/ccompat/v7/subjects")


def _await(*, url: str | None = None, address: str | None = None) -> None:
    ready = Ready(url=url, address=address)
    progress = Progress(report=lambda text: print(text, file=sys.stderr), cancelled=threading.Event())
    progress.wait(f"{url or address}", lambda: probe(ready), seconds=_READY_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in probes:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in probes]


if __name__ == "__main__":
    record(Path(sys.argv[1]))
