"""The ksqlDB server of a local stack: the embedded engine, or a Confluent Platform's own server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from infra.local.artefacts import ROOT, fingerprint, python, require
from infra.local.parts import HOST
from infra.local.process import Process
from infra.memory import MIB, ksql_server_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.local.parts import Stack

PORTS = ("ksql",)
_STOP_SECONDS = 15


def ksql_server(
    stack: Stack, *, registry_url: pulumi.Output[str], after: Sequence[pulumi.Resource]
) -> tuple[pulumi.Output[str], Process | None]:
    """Declare the stack's ksqlDB server, unless it is somewhere else.

    Args:
        stack: the local stack.
        registry_url: the registry's Confluent-compatible API.
        after: what must be ready before.

    Returns:
        The server's URL, and its process if it is one of the stack's.
    """
    settings = stack.settings.ksql
    if settings.server == "external":
        return pulumi.Output.from_input(settings.url or ""), None
    confluent = settings.server == "confluent"
    server = Path(settings.confluent_home or "") / "bin" / "ksql-server-start"
    process = Process(
        "ksql",
        folder=stack.supervisor.folder,
        stack=stack.name,
        command=[str(require(server, what="the ksqlDB server")), "ksql.properties"]
        if confluent
        else [python(), "-m", "ksql.engine"],
        environment=_server_environment(stack)
        if confluent
        else {
            "KAFKA_BOOTSTRAP_SERVERS": stack.address("kafka"),
            "SCHEMA_REGISTRY_URL": registry_url,
            "HTTP_HOST": HOST,
            "HTTP_PORT": stack.ports["ksql"].apply(str),
            "KSQL_STATE_FOLDER": "data",
            "KSQL_STREAMS_AUTO_OFFSET_RESET": "earliest",
        },
        files={
            "ksql.properties": pulumi.Output.all(stack.address("kafka"), stack.url("ksql"), registry_url).apply(
                lambda values: server_properties(bootstrap=values[0], listener=values[1], registry=values[2])
            )
        }
        if confluent
        else {},
        memory=settings.memory,
        ready=stack.url("ksql", "/healthcheck").apply(lambda url: {"url": url, "seconds": 120}),
        stop_seconds=_STOP_SECONDS,
        url=stack.url("ksql"),
        code="" if confluent else fingerprint(ROOT / "ksql" / "engine"),
        opts=pulumi.ResourceOptions(parent=stack.supervisor, depends_on=list(after), deleted_with=stack.supervisor),
    )
    return stack.url("ksql"), process


def server_properties(*, bootstrap: str, listener: str, registry: str) -> str:
    """Return the server's `ksql.properties`.

    Args:
        bootstrap: the brokers.
        listener: the URL that it listens on.
        registry: the registry's Confluent-compatible API.
    """
    properties = {
        "bootstrap.servers": bootstrap,
        "listeners": listener,
        "ksql.schema.registry.url": registry,
        # The statements read topics from their beginning: a table over a part of a batch would be wrong.
        "ksql.streams.auto.offset.reset": "earliest",
        "ksql.streams.processing.guarantee": "exactly_once_v2",
        "ksql.streams.state.dir": "data",
        "ksql.internal.topic.replicas": "1",
        "ksql.streams.replication.factor": "1",
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _server_environment(stack: Stack) -> dict[str, str]:
    memory, _ = ksql_server_memory(stack.settings.ksql.memory)
    # The start script's own default is a heap of 3 GB, whatever the limit.
    return {"KSQL_HEAP_OPTS": f"-Xmx{memory.heap // MIB}m"}
