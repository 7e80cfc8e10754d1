"""Apache Kafka: one KRaft node, broker and controller in one process."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pulumi

from infra.local.jvm import LOG4J, jvm_command
from infra.local.parts import HOST
from infra.local.process import Process
from infra.memory import JvmMemory, broker_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.parts import Stack

PORTS = ("kafka", "kafka-controller")
MAIN = "kafka.Kafka"
_LOG4J_PROPERTIES = {"log4j2.configurationFile": "log4j2.xml"}
# Longest record: payload topics hold bundles of 20,000 rows, 2.3 MB, with room for ten times that.
MESSAGE_BYTES = 16 << 20

# Replication of the internal topics is 1, as there is one node. The session is short, so that the broker is back
# a few seconds after kill -9 instead of twelve: until the old session has ended, the new process cannot register. A
# still shorter one ends by itself on a busy machine.
_PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MESSAGE_BYTES),
    "log.segment.bytes": str(128 << 20),
    "log.cleaner.dedupe.buffer.size": str(4 << 20),
    "log.cleaner.io.buffer.size": str(128 << 10),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "num.recovery.threads.per.data.dir": "2",
}


def kafka(stack: Stack) -> Process:
    """Declare the stack's Kafka.

    Args:
        stack: the local stack.
    """
    memory = broker_memory(stack.settings.kafka.memory)
    address = stack.address("kafka")
    # The same id for the life of a stack's name, so that data that was kept is taken up again.
    cluster = uuid.uuid5(uuid.NAMESPACE_DNS, f"{stack.name}.cflight").hex[:22]
    return Process(
        "kafka",
        folder=stack.supervisor.folder,
        stack=stack.name,
        command=jvm_command(
            "kafka", memory=memory, main=MAIN, arguments=["kafka.properties"], properties=_LOG4J_PROPERTIES
        ),
        prepare=format_command(memory=memory, cluster=cluster),
        prepared="data/meta.properties",
        files={
            "kafka.properties": pulumi.Output.all(stack.ports["kafka"], stack.ports["kafka-controller"]).apply(
                lambda ports: kafka_properties(broker=ports[0], controller=ports[1])
            ),
            "log4j2.xml": LOG4J,
        },
        memory=stack.settings.kafka.memory,
        ready=address.apply(lambda address: {"brokers": address}),
        url=address,
        opts=pulumi.ResourceOptions(parent=stack.supervisor, deleted_with=stack.supervisor),
    )


def format_command(*, memory: JvmMemory, cluster: str) -> list[str]:
    """Return the command that formats a new node's storage; storage that is formatted is left as it is.

    Args:
        memory: how the broker divides its limit.
        cluster: the cluster's id, 22 characters.
    """
    arguments = ["format", "--cluster-id", cluster, "--config", "kafka.properties", "--ignore-formatted"]
    return jvm_command(
        "kafka", memory=memory, main="kafka.tools.StorageTool", arguments=arguments, properties=_LOG4J_PROPERTIES
    )


def kafka_properties(*, broker: int, controller: int) -> str:
    """Return the node's `kafka.properties`.

    Args:
        broker: port of the clients' listener.
        controller: port of the controller's listener.
    """
    own = {
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
    }
    return "".join(f"{name}={value}\n" for name, value in {**_PROPERTIES, **own}.items())
