"""Apache Kafka Connect: one distributed worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from infra.local.artefacts import require, sink_folder
from infra.local.buckets import ACCESS_KEY
from infra.local.jvm import LOG4J, jvm_command
from infra.local.parts import HOST
from infra.local.process import Process
from infra.memory import connect_memory

if TYPE_CHECKING:
    from infra.local.parts import Stack
    from infra.resources.secret import Secret

PORTS = ("connect",)
MAIN = "org.apache.kafka.connect.cli.ConnectDistributed"
GROUP = "connect"
# What a sink's consumer fetches at once where its definition does not say; a longer record comes alone.
FETCH_BYTES = 8 << 20


def connect(stack: Stack, *, s3_secret: Secret, after: list[pulumi.Resource]) -> Process:
    """Declare the stack's Connect worker.

    Args:
        stack: the local stack.
        s3_secret: the secret access key of the S3 store, which the sinks find in the worker's environment.
        after: what must be ready before.
    """
    settings = stack.settings.connect
    address = stack.address("kafka")
    given = settings.plugin_path
    plugins = require(Path(given) if given else sink_folder(), what="the S3 sink plug-in")
    return Process(
        "connect",
        folder=stack.supervisor.folder,
        stack=stack.name,
        command=jvm_command(
            "connect",
            memory=connect_memory(settings.memory),
            main=MAIN,
            arguments=["connect.properties"],
            properties={"log4j2.configurationFile": "log4j2.xml"},
        ),
        files={
            "connect.properties": pulumi.Output.all(address, stack.ports["connect"]).apply(
                lambda values: connect_properties(
                    bootstrap=values[0], port=values[1], plugins=plugins, service_manifests=given is None
                )
            ),
            "log4j2.xml": LOG4J,
        },
        environment={"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": s3_secret.value},
        memory=settings.memory,
        ready=stack.url("connect", "/connectors").apply(lambda url: {"url": url, "seconds": 90}),
        url=stack.url("connect"),
        opts=pulumi.ResourceOptions(parent=stack.supervisor, depends_on=after, deleted_with=stack.supervisor),
    )


def connect_properties(*, bootstrap: str, port: int, plugins: Path | None, service_manifests: bool = True) -> str:
    """Return the worker's `connect.properties`.

    Args:
        bootstrap: the brokers.
        port: of its REST API.
        plugins: holds the plug-ins' folders.
        service_manifests: whether all plug-ins have them; without, the worker must scan all classes.
    """
    properties = {
        "bootstrap.servers": bootstrap,
        "group.id": GROUP,
        "listeners": f"http://{HOST}:{port}",
        "rest.advertised.host.name": HOST,
        **({"plugin.path": str(plugins)} if plugins else {}),
        "plugin.discovery": "service_load" if service_manifests else "hybrid_warn",
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
        "consumer.isolation.level": "read_committed",
        "consumer.fetch.max.bytes": str(FETCH_BYTES),
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())
