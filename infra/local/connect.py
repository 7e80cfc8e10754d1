"""Apache Kafka Connect: one distributed worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from infra.local.artefacts import require, sink_folder
from infra.local.jvm import LOG4J, jvm_command
from infra.local.parts import HOST
from infra.local.process import Process
from infra.memory import connect_memory

if TYPE_CHECKING:
    from infra.local.parts import Stack

PORTS = ("connect",)
GROUP = "connect"


def connect(stack: Stack, *, registry_url: pulumi.Output[str], after: list[pulumi.Resource]) -> Process:
    """Declare the stack's Connect worker.

    Args:
        stack: the local stack.
        registry_url: the registry's Confluent-compatible API.
        after: what must be ready before.
    """
    settings = stack.settings.connect
    address = stack.address("kafka")
    given = settings.plugin_path
    plugins = Path(given) if given else sink_folder()
    require(plugins, what="the S3 sink plug-in")
    return Process(
        "connect",
        folder=stack.supervisor.folder,
        stack=stack.name,
        command=jvm_command(
            "connect",
            memory=connect_memory(settings.memory),
            main="org.apache.kafka.connect.cli.ConnectDistributed",
            arguments=["connect.properties"],
            properties={"log4j2.configurationFile": "log4j2.xml"},
        ),
        files={
            "connect.properties": pulumi.Output.all(address, stack.ports["connect"], registry_url).apply(
                lambda values: _properties(
                    bootstrap=values[0],
                    port=values[1],
                    registry=values[2],
                    plugins=plugins,
                    # The real plug-in has no service manifests.
                    discovery="hybrid_warn" if given else "service_load",
                )
            ),
            "log4j2.xml": LOG4J,
        },
        memory=settings.memory,
        ready=stack.url("connect", "/connectors").apply(lambda url: {"url": url, "seconds": 90}),
        url=stack.url("connect"),
        opts=pulumi.ResourceOptions(parent=stack.supervisor, depends_on=after, deleted_with=stack.supervisor),
    )


def _properties(*, bootstrap: str, port: int, registry: str, plugins: Path, discovery: str) -> str:
    properties = {
        "bootstrap.servers": bootstrap,
        "group.id": GROUP,
        "listeners": f"http://{HOST}:{port}",
        "rest.advertised.host.name": HOST,
        "plugin.path": str(plugins),
        "plugin.discovery": discovery,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "config.storage.topic": "connect.configs",
        "offset.storage.topic": "connect.offsets",
        "status.storage.topic": "connect.status",
        "config.storage.replication.factor": "1",
        "offset.storage.replication.factor": "1",
        "offset.storage.partitions": "4",
        "status.storage.replication.factor": "1",
        "status.storage.partitions": "2",
        "scheduled.rebalance.max.delay.ms": "0",
        "connector.client.config.override.policy": "All",
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "consumer.isolation.level": "read_committed",
        "consumer.max.partition.fetch.bytes": str(16 << 20),
    }
    del registry
    return "".join(f"{name}={value}\n" for name, value in properties.items())
