"""Kafka Connect by Strimzi: workers with the sink plug-ins, and the sinks as resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_kubernetes.core.v1 import ConfigMap

from infra.contract import Topic
from infra.errors import SettingsError
from infra.kubernetes import jmx
from infra.kubernetes.kafka import AUTHORITY, BROKERS, TLS_PORT, USER_SECRETS, pull_secrets, resource_name
from infra.kubernetes.network import Peer, network_policy
from infra.kubernetes.strimzi import container_template, resource, resources, spread
from infra.memory import connect_memory
from infra.sinks import for_embedded_plugin
from services.contracts import HEADROOM_BYTES, MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.contract import Sink
    from infra.kubernetes.access import HttpAccess, SecretKey
    from infra.kubernetes.place import Place

CLUSTER = "sinks"
COMPONENT = "connect"
USER = "connect"
GROUP = "connect"
REST_PORT = 8083
_CONFIGS, _OFFSETS, _STATUS = "connect.configs", "connect.offsets", "connect.status"
INTERNAL_TOPICS = (_CONFIGS, _OFFSETS, _STATUS)
FETCH_BYTES = MAX_MESSAGE_BYTES + HEADROOM_BYTES
"""What a task's consumer may hold: one message of the longest at least."""
# The workers' pods, as Strimzi labels them.
WORKERS = {"strimzi.io/cluster": CLUSTER, "strimzi.io/kind": "KafkaConnect"}
# Strimzi's workers read their certificates over Kubernetes's API. Its address is known to the cluster alone.
_API_SERVER = Peer(addresses=["0.0.0.0/0", "::/0"], ports=[443, 6443])
_S3_FOLDER = "/mnt/s3"
_READY_MINUTES = 20
# An image is built before the first worker starts.
_BUILD_MINUTES = 30
_ARTEFACTS = {".zip": "zip", ".tgz": "tgz", ".tar.gz": "tgz", ".jar": "jar"}


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """How sinks reach the S3 store.

    Attributes:
        endpoint: the store's URL.
        region: its region.
        access_key: where the access key id is.
        secret_key: where the secret access key is; in the same Secret.
        servers: who answers there, for network policies.
    """

    endpoint: pulumi.Input[str]
    region: str
    access_key: SecretKey
    secret_key: SecretKey
    servers: Sequence[Peer]


@dataclass(frozen=True, kw_only=True)
class ConnectArgs:
    """What Connect is told.

    Attributes:
        bootstrap_servers: the listener for certificates.
        memory: a worker's memory limit in bytes.
        registry: how the converters reach the registry.
        s3: how the sinks reach the S3 store.
    """

    bootstrap_servers: pulumi.Input[str]
    memory: int
    registry: HttpAccess
    s3: S3Access


class Connect(pulumi.ComponentResource):
    """Connect workers.

    Args:
        place: where they are put.
        args: what they are told.
        after: what must be there before them.

    Attributes:
        ready: the resource that is made when the workers are ready.
    """

    ready: pulumi.Resource

    def __init__(self, *, place: Place, args: ConnectArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        super().__init__("cflight:kubernetes:Connect", CLUSTER, None, place.component_options(after=after))
        self._place = place
        self._args = args
        needs: list[pulumi.Resource] = [
            # Strimzi's own policy says who may use the REST API: the operator and the other workers.
            network_policy(
                COMPONENT,
                place=place,
                labels=WORKERS,
                ingress=None,
                egress=[
                    Peer(labels=BROKERS, ports=[TLS_PORT]),
                    Peer(labels=WORKERS, ports=[REST_PORT]),
                    *args.registry.servers,
                    *args.s3.servers,
                    _API_SERVER,
                ],
                parent=self,
            )
        ]
        if place.settings.observability.enabled:
            metadata = place.metadata(jmx.CONNECT, component=COMPONENT)
            rules = {jmx.KEY: jmx.connect_rules()}
            needs.append(ConfigMap(jmx.CONNECT, metadata=metadata, data=rules, opts=place.options(parent=self)))
        minutes = _BUILD_MINUTES if place.settings.connect.build_image else _READY_MINUTES
        self.ready = resource(
            CLUSTER,
            kind="KafkaConnect",
            spec=connect_spec(place, args),
            place=place,
            component=COMPONENT,
            minutes=minutes,
            annotations={"strimzi.io/use-connector-resources": "true"},
            opts=place.options(parent=self, after=[*needs, *after], minutes=minutes),
        )
        self.register_outputs({})

    def sink(self, sink: Sink, *, bucket: pulumi.Input[str], after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a sink.

        Args:
            sink: the sink.
            bucket: the bucket's name.
            after: what must be there before it.

        Raises:
            SettingsError: Kubernetes does not take the sink's name.
        """
        if resource_name(sink.name) != sink.name:
            raise SettingsError(
                f"the name {sink.name} is not one that Kubernetes takes",
                where="connectors/",
                remedy="Name sinks with lower-case letters, digits, dots and hyphens.",
            )
        config = sink_config(sink, args=self._args, bucket=bucket, plugin=self._place.settings.connect.plugin)
        kind, tasks = config.pop("connector.class"), config.pop("tasks.max", "1")
        return resource(
            sink.name,
            kind="KafkaConnector",
            spec={
                "class": kind,
                "tasksMax": int(str(tasks)),
                "config": config,
                "autoRestart": {"enabled": True, "maxRestarts": 10},
            },
            place=self._place,
            component=COMPONENT,
            cluster=CLUSTER,
            minutes=5,
            opts=self._place.options(parent=self, after=[self.ready, *after]),
        )


def internal_topics(*, replication_factor: int, min_in_sync_replicas: int) -> list[Topic]:
    """Return the topics in which the workers keep connectors, offsets and status.

    Args:
        replication_factor: replicas of each.
        min_in_sync_replicas: replicas that must have a record before it is acknowledged.
    """
    configs = {"cleanup.policy": "compact", "min.insync.replicas": str(min_in_sync_replicas)}
    return [
        # The order of all changes counts: one partition.
        Topic(name=_CONFIGS, partitions=1, replication_factor=replication_factor, configs=configs),
        Topic(name=_OFFSETS, partitions=25, replication_factor=replication_factor, configs=configs),
        Topic(name=_STATUS, partitions=5, replication_factor=replication_factor, configs=configs),
    ]


def connect_spec(place: Place, args: ConnectArgs) -> dict[str, Any]:
    """Return the spec of the `KafkaConnect` resource.

    Args:
        place: where the workers are put.
        args: what they are told.
    """
    settings = place.settings.connect
    jvm = connect_memory(args.memory)
    spec: dict[str, Any] = {
        "replicas": settings.replicas,
        "bootstrapServers": args.bootstrap_servers,
        "groupId": GROUP,
        "configStorageTopic": _CONFIGS,
        "offsetStorageTopic": _OFFSETS,
        "statusStorageTopic": _STATUS,
        "tls": {"trustedCertificates": [{"secretName": AUTHORITY.secret, "pattern": "*.crt"}]},
        "authentication": {
            "type": "tls",
            "certificateAndKey": {
                "secretName": f"{USER_SECRETS}{USER}",
                "certificate": "user.crt",
                "key": "user.key",
            },
        },
        "config": _worker_config(),
        "resources": resources(memory=args.memory, cpu=place.cpu(COMPONENT)),
        "jvmOptions": {
            "-Xms": f"{jvm.heap >> 20}m",
            "-Xmx": f"{jvm.heap >> 20}m",
            "-XX": {"MaxDirectMemorySize": f"{jvm.direct >> 20}m"},
        },
        "template": {
            "pod": {
                "topologySpreadConstraints": spread(WORKERS, zones="topology.kubernetes.io/zone"),
                "volumes": [{"name": "s3", "secret": {"secretName": args.s3.access_key.secret}}],
                **pull_secrets(place),
            },
            "connectContainer": {
                **container_template(),
                "volumeMounts": [{"name": "s3", "mountPath": _S3_FOLDER, "readOnly": True}],
            },
        },
    }
    if place.settings.strimzi.kafka_version:
        spec["version"] = place.settings.strimzi.kafka_version
    if settings.image:
        spec["image"] = settings.image
    if settings.build_image:
        output = {"type": "docker", "image": settings.build_image}
        if settings.push_secret:
            output["pushSecret"] = settings.push_secret
        spec["build"] = {"output": output, "plugins": plugins(settings.plugins)}
    if place.settings.observability.enabled:
        spec["metricsConfig"] = jmx.reference(jmx.CONNECT)
    return spec


def plugins(declared: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the plug-ins that Strimzi builds into the workers' image.

    Args:
        declared: by plug-in, the URLs of its files with spaces between, each perhaps with `#sha512=<digest>`.

    Raises:
        SettingsError: a URL does not tell the kind of its file, or has another digest than SHA-512.
    """
    return [
        {"name": name, "artifacts": [_artefact(name, url) for url in urls.split()]} for name, urls in declared.items()
    ]


def sink_config(
    sink: Sink, *, args: ConnectArgs, bucket: pulumi.Input[str], plugin: str
) -> dict[str, pulumi.Input[str]]:
    """Return a sink's configuration here; credentials are references that a worker resolves.

    Args:
        sink: the sink.
        args: what the workers are told.
        bucket: the bucket's name.
        plugin: whose plug-in the workers have: `confluent` or `embedded`.
    """
    config: dict[str, pulumi.Input[str]] = {
        **sink.config,
        "s3.bucket.name": bucket,
        "s3.region": args.s3.region,
        "store.url": args.s3.endpoint,
        "aws.access.key.id": f"${{directory:{_S3_FOLDER}:{args.s3.access_key.key}}}",
        "aws.secret.access.key": f"${{directory:{_S3_FOLDER}:{args.s3.secret_key.key}}}",
    }
    for converter in ("key.converter", "value.converter"):
        if sink.config.get(converter, "").endswith(".AvroConverter"):
            config[f"{converter}.schema.registry.url"] = args.registry.url
    if plugin == "embedded":
        return {**config, **for_embedded_plugin(sink.config)}
    return config


def _worker_config() -> dict[str, Any]:
    return {
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        # What a transaction did not commit must not reach a bucket.
        "consumer.isolation.level": "read_committed",
        # What a task may hold is part of the check that the sinks fit the heap.
        "consumer.fetch.max.bytes": FETCH_BYTES,
        "consumer.max.partition.fetch.bytes": FETCH_BYTES,
        "config.providers": "directory",
        "config.providers.directory.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
        "config.providers.directory.param.allowed.paths": _S3_FOLDER,
    }


def _artefact(plugin: str, location: str) -> dict[str, Any]:
    url, _, check = location.partition("#")
    kind = next((kind for suffix, kind in _ARTEFACTS.items() if url.endswith(suffix)), None)
    algorithm, _, digest = check.partition("=")
    where = f"cflight:kubernetes.connect.plugins.{plugin}"
    if kind is None:
        raise SettingsError(f"{url} is no ZIP, TGZ or JAR file", where=where, remedy="Name the file, with its ending.")
    if check and algorithm != "sha512":
        raise SettingsError(f"{check} is no SHA-512 digest", where=where, remedy="Write `#sha512=<hex digits>`.")
    return {"type": kind, "url": url, **({"sha512sum": digest} if check else {})}
