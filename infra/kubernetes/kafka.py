"""Kafka by Strimzi: nodes in pools, two TLS listeners, topics and users as resources.

The listener `tls` takes clients with certificates (Connect), `scram` clients with passwords (everything else).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pulumi
from pulumi_kubernetes.core.v1 import ConfigMap

from infra.kubernetes import jmx
from infra.kubernetes.access import KafkaAccess, SecretKey
from infra.kubernetes.network import Peer
from infra.kubernetes.place import INSTANCE
from infra.kubernetes.place import NAME as NAME_LABEL
from infra.kubernetes.strimzi import container_template, resource, resources, spread
from infra.memory import MIB, broker_memory, format_memory
from services.contracts import HEADROOM_BYTES, MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.contract import Topic
    from infra.kubernetes.acls import Acl
    from infra.kubernetes.place import Place
    from infra.memory import JvmMemory

CLUSTER = "cflight"
COMPONENT = "kafka"
TLS_PORT, SCRAM_PORT = 9093, 9094
AUTHORITY = SecretKey(secret=f"{CLUSTER}-cluster-ca-cert", key="ca.crt")
USER_SECRETS = "kafka-user-"
ENTITY_OPERATOR_MEMORY = 2 * 384 * MIB
EXPORTER_MEMORY = 128 * MIB
_OPERATOR_HEAP = "256m"
# The brokers' pods, as Strimzi labels them.
BROKERS = {"strimzi.io/cluster": CLUSTER, "strimzi.io/name": f"{CLUSTER}-kafka"}
_READY_MINUTES = 20
# Node ids of controllers begin here, so that brokers keep low ones however many there become.
_FIRST_CONTROLLER = 900


@dataclass(frozen=True, kw_only=True)
class KafkaArgs:
    """What a Kafka cluster is told.

    Attributes:
        memory: a broker's memory limit in bytes.
        clients: components that log in with a password.
        clients_elsewhere: pods in other namespaces that do.
        certificate_clients: labels of the pods that log in with a certificate.
    """

    memory: int
    clients: Sequence[str]
    certificate_clients: Sequence[dict[str, str]]
    clients_elsewhere: Sequence[Peer] = field(default_factory=list[Peer])


class Kafka(pulumi.ComponentResource):
    """A Kafka cluster.

    Args:
        place: where it is put.
        args: what it is told.
        after: what must be there before it: the operator.

    Attributes:
        ready: the resource that is made when the cluster is ready.
    """

    ready: pulumi.Resource

    def __init__(self, *, place: Place, args: KafkaArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        super().__init__("cflight:kubernetes:Kafka", CLUSTER, None, place.component_options(after=after))
        self._place = place
        settings = place.settings.kafka
        pools = [
            self._pool(
                "brokers",
                roles=["broker"] if settings.controllers else ["broker", "controller"],
                replicas=settings.brokers,
                first_id=0,
                storage=settings.storage,
                jvm=broker_memory(args.memory),
                limits=resources(memory=args.memory, cpu=place.cpu("kafka")),
                after=after,
            )
        ]
        if settings.controllers:
            pools.append(
                self._pool(
                    "controllers",
                    roles=["controller"],
                    replicas=settings.controllers,
                    first_id=_FIRST_CONTROLLER,
                    storage=settings.controller_storage,
                    jvm=broker_memory(settings.controller_memory),
                    limits=resources(memory=settings.controller_memory, cpu=place.cpu("controller")),
                    after=after,
                )
            )
        metrics = self._metrics() if place.settings.observability.enabled else []
        self.ready = resource(
            CLUSTER,
            kind="Kafka",
            spec=kafka_spec(place, args),
            place=place,
            component=COMPONENT,
            minutes=_READY_MINUTES,
            opts=place.options(parent=self, after=[*pools, *metrics, *after], serves_data=True, minutes=_READY_MINUTES),
        )
        self.register_outputs({})

    def topic(self, topic: Topic) -> pulumi.Resource:
        """Declare a topic.

        Args:
            topic: the topic.
        """
        name = resource_name(topic.name)
        return resource(
            name,
            kind="KafkaTopic",
            spec={
                "topicName": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication_factor,
                "config": dict(topic.configs),
            },
            place=self._place,
            component=COMPONENT,
            cluster=CLUSTER,
            minutes=5,
            opts=self._place.options(parent=self, after=[self.ready], holds_data=True),
        )

    def user(
        self, name: str, *, acls: Sequence[Acl], login: Literal["scram-sha-512", "tls"] = "scram-sha-512"
    ) -> pulumi.Resource:
        """Declare a user; the operator puts its password or certificate into the Secret `kafka-user-<name>`.

        Args:
            name: the user's name.
            acls: what it may do.
            login: how it logs in.
        """
        return resource(
            name,
            kind="KafkaUser",
            spec={
                "authentication": {"type": login},
                "authorization": {"type": "simple", "acls": [_acl(acl) for acl in acls]},
            },
            place=self._place,
            component=COMPONENT,
            cluster=CLUSTER,
            minutes=5,
            opts=self._place.options(parent=self, after=[self.ready]),
        )

    def access(self, user: str) -> KafkaAccess:
        """Return how a component reaches the cluster as a user with a password.

        Args:
            user: the user's name.
        """
        return KafkaAccess(
            bootstrap_servers=self.bootstrap_servers(SCRAM_PORT),
            protocol="SASL_SSL",
            mechanism="SCRAM-SHA-512",
            username=user,
            password=SecretKey(secret=f"{USER_SECRETS}{user}", key="password"),
            authority=AUTHORITY,
            brokers=[Peer(labels=BROKERS, ports=[SCRAM_PORT])],
        )

    def bootstrap_servers(self, port: int) -> pulumi.Output[str]:
        """Return where clients begin.

        Args:
            port: the listener's port.
        """
        return pulumi.Output.concat(f"{CLUSTER}-kafka-bootstrap.", self._place.namespace, f".svc:{port}")

    def _pool(
        self,
        name: str,
        *,
        roles: list[str],
        replicas: int,
        first_id: int,
        storage: int,
        jvm: JvmMemory,
        limits: dict[str, Any],
        after: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        place = self._place
        volume = {
            "id": 0,
            "type": "persistent-claim",
            "size": format_memory(storage),
            "deleteClaim": not place.keep_data,
            "kraftMetadata": "shared",
        }
        if place.settings.volumes.storage_class:
            volume["class"] = place.settings.volumes.storage_class
        labels = {"strimzi.io/cluster": CLUSTER, "strimzi.io/pool-name": name}
        return resource(
            name,
            kind="KafkaNodePool",
            spec={
                "replicas": replicas,
                "roles": roles,
                "storage": {"type": "jbod", "volumes": [volume]},
                "resources": limits,
                "jvmOptions": {
                    "-Xms": f"{jvm.heap >> 20}m",
                    "-Xmx": f"{jvm.heap >> 20}m",
                    "-XX": {"MaxDirectMemorySize": f"{jvm.direct >> 20}m"},
                },
                "template": {
                    "pod": {
                        "topologySpreadConstraints": spread(labels, zones=place.settings.kafka.rack_label),
                        **pull_secrets(place),
                        # A broker hands its partitions over before it ends.
                        "terminationGracePeriodSeconds": 120,
                    },
                    "kafkaContainer": container_template(),
                    "initContainer": container_template(),
                },
            },
            place=place,
            component=COMPONENT,
            cluster=CLUSTER,
            annotations={"strimzi.io/next-node-ids": f"[{first_id}-{first_id + _FIRST_CONTROLLER - 1}]"},
            opts=place.options(parent=self, after=after, serves_data=True),
        )

    def _metrics(self) -> list[pulumi.Resource]:
        name = jmx.KAFKA
        return [
            ConfigMap(
                name,
                metadata=self._place.metadata(name, component=COMPONENT),
                data={jmx.KEY: jmx.kafka_rules()},
                opts=self._place.options(parent=self),
            )
        ]


def kafka_spec(place: Place, args: KafkaArgs) -> dict[str, Any]:
    """Return the spec of the `Kafka` resource.

    Args:
        place: where it is put.
        args: what the cluster is told.
    """
    settings, observed = place.settings, place.settings.observability.enabled
    kafka: dict[str, Any] = {
        "listeners": _listeners(place, args),
        "authorization": {"type": "simple"},
        "config": _broker_config(settings.kafka.brokers),
    }
    if settings.strimzi.kafka_version:
        kafka["version"] = settings.strimzi.kafka_version
    if settings.kafka.rack_label:
        kafka["rack"] = {"topologyKey": settings.kafka.rack_label}
    if observed:
        kafka["metricsConfig"] = jmx.reference(jmx.KAFKA)
    operator = {
        "resources": resources(memory=ENTITY_OPERATOR_MEMORY // 2, cpu="50m"),
        "jvmOptions": {"-Xmx": _OPERATOR_HEAP},
    }
    topic_container = container_template()
    if place.keep_data:
        # Topics stay when the stack goes: with finalizers that nobody takes away, their namespace could not be deleted.
        topic_container["env"] = [{"name": "STRIMZI_USE_FINALIZERS", "value": "false"}]
    spec: dict[str, Any] = {
        "kafka": kafka,
        "entityOperator": {
            "topicOperator": operator,
            "userOperator": {**operator, "secretPrefix": USER_SECRETS},
            "template": {
                "pod": pull_secrets(place),
                "topicOperatorContainer": topic_container,
                "userOperatorContainer": container_template(),
            },
        },
        # What clients trust outlives the cluster where its disks do.
        "clusterCa": {"generateSecretOwnerReference": not place.keep_data},
        "clientsCa": {"generateSecretOwnerReference": not place.keep_data},
    }
    if observed:
        spec["kafkaExporter"] = {
            "topicRegex": ".*",
            "groupRegex": ".*",
            "resources": resources(memory=EXPORTER_MEMORY, cpu="50m"),
            "template": {"pod": pull_secrets(place), "container": container_template()},
        }
    return spec


def resource_name(name: str) -> str:
    """Return a name that Kubernetes takes for something of Kafka's, which may have capitals and underscores.

    Args:
        name: Kafka's name.
    """
    plain = re.sub(r"[^a-z0-9.-]", "-", name.lower()).strip("-.")
    if plain == name:
        return name
    # Two names that differ in what was changed must not become one.
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def pull_secrets(place: Place) -> dict[str, Any]:
    """Return the part of a pod's template that says how images are pulled; nothing if no login is needed."""
    secret = place.settings.images.pull_secret
    return {"imagePullSecrets": [{"name": secret}]} if secret else {}


def internal_replicas(brokers: int) -> tuple[int, int]:
    """Return replicas, and the least in sync, of topics that Kafka and the parts keep for themselves.

    Args:
        brokers: the number of brokers.
    """
    replicas = min(3, brokers)
    return replicas, max(1, replicas - 1)


def _listeners(place: Place, args: KafkaArgs) -> list[dict[str, Any]]:
    here = {
        "podSelector": {
            "matchLabels": {INSTANCE: place.stack},
            "matchExpressions": [{"key": NAME_LABEL, "operator": "In", "values": sorted(args.clients)}],
        }
    }
    elsewhere = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": peer.namespace}}}
        for peer in args.clients_elsewhere
    ]
    return [
        {
            "name": "tls",
            "port": TLS_PORT,
            "type": "internal",
            "tls": True,
            "authentication": {"type": "tls"},
            "networkPolicyPeers": [{"podSelector": {"matchLabels": labels}} for labels in args.certificate_clients],
        },
        {
            "name": "scram",
            "port": SCRAM_PORT,
            "type": "internal",
            "tls": True,
            "authentication": {"type": "scram-sha-512"},
            "networkPolicyPeers": [here, *elsewhere],
        },
    ]


def _broker_config(brokers: int) -> dict[str, Any]:
    replicas, in_sync = internal_replicas(brokers)
    longest = MAX_MESSAGE_BYTES + HEADROOM_BYTES
    return {
        "auto.create.topics.enable": False,
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "message.max.bytes": longest,
        "replica.fetch.max.bytes": longest,
    }


def _acl(acl: Acl) -> dict[str, Any]:
    target: dict[str, Any] = {"type": acl.resource}
    if acl.resource != "cluster":
        target |= {"name": acl.name, "patternType": "prefix" if acl.prefix else "literal"}
    return {"resource": target, "operations": list(acl.operations)}
