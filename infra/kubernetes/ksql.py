"""The ksqlDB server, with its state on a disk that outlives the pod.

Where Kafka and the registry are comes as `KafkaAccess` (PLAINTEXT or SCRAM) and `HttpAccess`; the user needs the ACLs
of acls.ksql_acls. `KsqlServer.access` is what the statements' job needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.kubernetes.access import HttpAccess
from infra.kubernetes.network import Peer
from infra.kubernetes.workload import (
    FILES_FOLDER,
    Probe,
    Workload,
    cluster_service,
    declare_pods,
    disruption_budget,
    jvm_options,
    stateful_set,
)
from infra.memory import ksql_server_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.kubernetes.access import KafkaAccess
    from infra.kubernetes.place import Place

NAME = "ksql"
PORT = 8088
SERVICE_ID = "cflight"
INTERNAL_PREFIX = f"_confluent-ksql-{SERVICE_ID}"
"""What the names of ksqlDB's own topics, consumer groups and transactional ids begin with."""
_STATE = "/var/lib/ksql"
# The user of Confluent's images.
_USER = 1000
# The server reads its configuration from one file: the login joins it in memory, where no image or object holds it.
_START = f"""
umask 077
cp {FILES_FOLDER}/ksql-server.properties "$SERVER_PROPERTIES"
if [ -n "$KAFKA_SASL_PASSWORD_FILE" ]; then
  printf 'sasl.jaas.config=%s required username="%s" password="%s";\\n' \\
    org.apache.kafka.common.security.scram.ScramLoginModule \\
    "$KAFKA_SASL_USERNAME" "$(cat "$KAFKA_SASL_PASSWORD_FILE")" >> "$SERVER_PROPERTIES"
fi
exec ksql-server-start "$SERVER_PROPERTIES"
"""
_LOG4J = """log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c:%L)%n
log4j.logger.org.apache.kafka=WARN
"""


@dataclass(frozen=True, kw_only=True)
class KsqlArgs:
    """What a ksqlDB server is told.

    Attributes:
        kafka: how it reaches Kafka.
        registry: how it reaches the registry.
        memory: its memory limit in bytes.
        storage: its disk, as a Kubernetes quantity.
        replication_factor: replicas of the topics that it makes.
        min_in_sync_replicas: replicas of them that must have a record before it is acknowledged.
        clients: components that may use it.
    """

    kafka: KafkaAccess
    registry: HttpAccess
    memory: int
    storage: str
    replication_factor: int
    min_in_sync_replicas: int
    clients: Sequence[str]


class KsqlServer(pulumi.ComponentResource):
    """The ksqlDB server.

    Args:
        place: where it is put.
        args: what it is told.
        after: what must be there before it.

    Attributes:
        access: how others reach it.
        ready: the resource that is made when the server answers.
    """

    access: HttpAccess
    ready: pulumi.Resource

    def __init__(self, *, place: Place, args: KsqlArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        super().__init__("cflight:kubernetes:KsqlServer", NAME, None, place.component_options(after=after))
        pods = declare_pods(_workload(place, args), place=place, parent=self)
        disruption_budget(NAME, place=place, parent=self)
        service = cluster_service(NAME, place=place, ports={"http": PORT}, parent=self, headless=True)
        self.ready = stateful_set(
            NAME,
            place=place,
            pods=pods,
            volume="state",
            storage=args.storage,
            parent=self,
            after=[*pods.needs, service, *after],
        )
        self.access = HttpAccess(
            url=pulumi.Output.concat("http://", NAME, ".", place.namespace, f".svc:{PORT}"),
            servers=[Peer(components=[NAME], ports=[PORT])],
        )
        self.register_outputs({"url": self.access.url})


def server_properties(args: KsqlArgs) -> dict[str, pulumi.Input[str]]:
    """Return the server's properties, but for the login.

    Args:
        args: what the server is told.
    """
    _, rocksdb = ksql_server_memory(args.memory)
    replicas = str(args.replication_factor)
    return {
        **args.kafka.java_properties(),
        "listeners": f"http://0.0.0.0:{PORT}",
        "ksql.service.id": SERVICE_ID,
        "ksql.schema.registry.url": args.registry.url,
        "ksql.internal.topic.replicas": replicas,
        "ksql.internal.topic.min.insync.replicas": str(args.min_in_sync_replicas),
        "ksql.streams.replication.factor": replicas,
        "ksql.streams.producer.acks": "all",
        "ksql.streams.processing.guarantee": "exactly_once_v2",
        "ksql.streams.state.dir": _STATE,
        "ksql.streams.cache.max.bytes.buffering": str(args.memory // 32),
        # All stores share one cache: without it every store of every partition has its own, outside the heap.
        "ksql.streams.rocksdb.config.setter": "io.confluent.ksql.rocksdb.KsqlBoundedMemoryRocksDBConfigSetter",
        "ksql.plugins.rocksdb.cache.size": str(rocksdb),
        "ksql.plugins.rocksdb.num.background.threads": "2",
        # The log of processing goes to the pod's log, not to a topic of its own.
        "ksql.logging.processing.topic.auto.create": "false",
        "ksql.logging.processing.stream.auto.create": "false",
        "confluent.support.metrics.enable": "false",
    }


def _workload(place: Place, args: KsqlArgs) -> Workload:
    memory, _ = ksql_server_memory(args.memory)
    kafka = args.kafka
    return Workload(
        name=NAME,
        image=place.settings.images.ksql,
        memory=args.memory,
        cpu=place.cpu(NAME),
        command=["sh", "-ec", _START],
        environment={
            "SERVER_PROPERTIES": "/run/ksql/ksql-server.properties",
            "KSQL_HEAP_OPTS": jvm_options(memory),
            # The image's own choice of a collector would contradict the one above.
            "KSQL_JVM_PERFORMANCE_OPTS": "-Djava.awt.headless=true",
            "KSQL_LOG4J_OPTS": f"-Dlog4j.configuration=file:{FILES_FOLDER}/log4j.properties",
            "LOG_DIR": "/tmp/logs",  # noqa: S108 - a folder of the pod's own
            **({"KAFKA_SASL_USERNAME": kafka.username} if kafka.username else {}),
        },
        existing_secrets=kafka.secrets(),
        secret_files=kafka.files(),
        files={"ksql-server.properties": _lines(server_properties(args)), "log4j.properties": _LOG4J},
        ports={"http": PORT},
        startup=Probe(path="/info", period=5, failures=60),
        liveness=Probe(path="/info", failures=6),
        readiness=Probe(path="/healthcheck"),
        ingress=[Peer(components=args.clients, ports=[PORT])],
        egress=[*kafka.brokers, *args.registry.servers],
        writable=["/run/ksql"],
        volume=("state", _STATE),
        # It flushes its stores.
        grace_seconds=120,
        user=_USER,
        group=_USER,
    )


def _lines(properties: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    return pulumi.Output.concat(*(pulumi.Output.concat(name, "=", value, "\n") for name, value in properties.items()))
