"""Apicurio Registry over Kafka: its storage is a topic, so it is as durable as Kafka and can have several instances.

Where Kafka is comes as a `KafkaAccess` (PLAINTEXT or SCRAM); the topics of TOPICS must be there and the user must have
ACLs (acls.registry_acls). `Registry.access` is what others need to use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from infra.contract import Topic
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
)
from infra.memory import registry_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.kubernetes.access import KafkaAccess
    from infra.kubernetes.place import Place

NAME = "registry"
PORT = 8080
API = "/apis/ccompat/v7"
GROUP_PREFIX = "apicurio-"
_JOURNAL, _SNAPSHOTS, _EVENTS = "kafkasql-journal", "kafkasql-snapshots", "registry-events"
TOPICS = (_JOURNAL, _SNAPSHOTS, _EVENTS)
_PASSWORD = "KAFKA_PASSWORD"  # noqa: S105 - a variable's name
# The user of Apicurio's image, and the group that owns its files.
_USER, _GROUP = 1001, 0


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """What a registry is told.

    Attributes:
        kafka: how it reaches Kafka.
        memory: the memory limit of an instance in bytes.
        replicas: instances.
        clients: components that may use it.
        connect: labels of the Connect workers, which are no component of ours; none: no workers here.
        scrapers: who reads its metrics.
    """

    kafka: KafkaAccess
    memory: int
    replicas: int
    clients: Sequence[str]
    connect: Mapping[str, str] | None = None
    scrapers: Sequence[Peer] = ()


class Registry(pulumi.ComponentResource):
    """The schema registry.

    Args:
        place: where it is put.
        args: what it is told.
        after: what must be there before it.

    Attributes:
        access: how others reach it.
        ready: the resource that is made when the registry answers.
    """

    access: HttpAccess
    ready: pulumi.Resource

    def __init__(self, *, place: Place, args: RegistryArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        super().__init__("cflight:kubernetes:Registry", NAME, None, place.component_options(after=after))
        pods = declare_pods(_workload(place, args), place=place, parent=self)
        disruption_budget(NAME, place=place, parent=self)
        cluster_service(NAME, place=place, ports={"http": PORT}, parent=self)
        self.ready = Deployment(
            NAME,
            metadata=place.metadata(NAME, component=NAME),
            spec=DeploymentSpecArgs(
                replicas=args.replicas,
                selector=LabelSelectorArgs(match_labels=dict(pods.labels)),
                template=pods.template,
                strategy=DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
                ),
                revision_history_limit=3,
            ),
            opts=place.options(parent=self, after=[*pods.needs, *after]),
        )
        self.access = HttpAccess(
            url=pulumi.Output.concat("http://", NAME, ".", place.namespace, f".svc:{PORT}{API}"),
            servers=[Peer(components=[NAME], ports=[PORT])],
        )
        self.register_outputs({"url": self.access.url})


def storage_topics(*, replication_factor: int, min_in_sync_replicas: int) -> list[Topic]:
    """Return the topics that hold the schemas: one partition, as the order of all changes counts, kept for good.

    Args:
        replication_factor: replicas of each.
        min_in_sync_replicas: replicas that must have a change before it is acknowledged.
    """
    return [
        Topic(
            name=name,
            partitions=1,
            replication_factor=replication_factor,
            configs={
                "cleanup.policy": "delete",
                "retention.ms": "-1",
                "retention.bytes": "-1",
                "min.insync.replicas": str(min_in_sync_replicas),
            },
        )
        for name in TOPICS
    ]


def registry_properties(kafka: KafkaAccess) -> pulumi.Output[str]:
    """Return the registry's `application.properties`; the password stays a reference to an environment variable.

    Args:
        kafka: how it reaches Kafka.
    """
    common = dict(kafka.java_properties())
    servers = common.pop("bootstrap.servers")
    properties: dict[str, pulumi.Input[str]] = {
        "apicurio.storage.kind": "kafkasql",
        "apicurio.kafkasql.bootstrap.servers": servers,
        "apicurio.kafkasql.topic.auto-create": "false",
        "apicurio.kafkasql.consumer.group-prefix": GROUP_PREFIX,
        "apicurio.storage.snapshot.location": "/tmp",  # noqa: S108 - a folder of the pod's own
        "apicurio.rest.deletion.artifact.enabled": "true",
        "apicurio.rest.deletion.artifactversion.enabled": "true",
        "apicurio.rest.deletion.group.enabled": "true",
        "quarkus.http.port": str(PORT),
        **{f"apicurio.kafka.common.{name}": value for name, value in common.items()},
    }
    if kafka.mechanism == "SCRAM-SHA-512":
        properties["apicurio.kafka.common.sasl.jaas.config"] = pulumi.Output.concat(
            'org.apache.kafka.common.security.scram.ScramLoginModule required username="',
            kafka.username or "",
            f'" password="${{{_PASSWORD}}}";',
        )
    lines = [pulumi.Output.concat(name, "=", value, "\n") for name, value in properties.items()]
    return pulumi.Output.concat(*lines)


def _workload(place: Place, args: RegistryArgs) -> Workload:
    kafka = args.kafka
    return Workload(
        name=NAME,
        image=place.settings.images.registry,
        memory=args.memory,
        cpu=place.cpu(NAME),
        environment={
            "QUARKUS_CONFIG_LOCATIONS": f"{FILES_FOLDER}/application.properties",
            "JAVA_TOOL_OPTIONS": jvm_options(registry_memory(args.memory)),
            # The image's start script names another collector if it is not told one, and a JVM takes one only.
            "GC_CONTAINER_OPTIONS": "-XX:+UseG1GC",
        },
        secret_variables={_PASSWORD: kafka.password} if kafka.password else {},
        secret_files=kafka.files(),
        files={"application.properties": registry_properties(kafka)},
        ports={"http": PORT},
        # It reads the whole journal before it answers.
        startup=Probe(path=f"{API}/subjects", failures=60, period=5),
        # Where its health pages are depends on the version; this page is at the same place in all.
        liveness=Probe(path=f"{API}/subjects", failures=12),
        readiness=Probe(path=f"{API}/subjects"),
        ingress=[
            Peer(components=args.clients, ports=[PORT]),
            *([Peer(labels=args.connect, ports=[PORT])] if args.connect else []),
            *args.scrapers,
        ],
        egress=kafka.brokers,
        user=_USER,
        group=_GROUP,
    )
