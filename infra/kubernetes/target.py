"""The kubernetes target: what a pipeline is offered on a Kubernetes cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_kubernetes
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from infra import contract
from infra.errors import SettingsError
from infra.kubernetes import acls, connect, kafka, ksql, registry, sizing
from infra.kubernetes.access import HttpAccess
from infra.kubernetes.buckets import ObjectStore, StoreArgs
from infra.kubernetes.connect import Connect, ConnectArgs
from infra.kubernetes.entry import callers, entry
from infra.kubernetes.kafka import Kafka, KafkaArgs, internal_replicas
from infra.kubernetes.ksql import KsqlArgs, KsqlServer
from infra.kubernetes.network import Peer, endpoint_peer
from infra.kubernetes.observability import observe, scrapers
from infra.kubernetes.place import Place
from infra.kubernetes.registration import STATEMENTS, schema_job, schema_job_name, statements_job
from infra.kubernetes.registry import Registry, RegistryArgs, storage_topics
from infra.kubernetes.scaling import Scaling, most_replicas, trigger_authentication
from infra.kubernetes.services import StreamService, StreamServiceArgs, existing_secrets
from infra.kubernetes.strimzi import operator
from infra.memory import format_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.settings import StackSettings

_SCALER = "scaler"


class KubernetesPlatform(contract.Platform):
    """Kafka and Connect by Strimzi, registry, ksqlDB, S3 and services in a namespace.

    What a user may do in Kafka, and who may talk to whom, follows from the pipeline: so all parts are declared when it
    is deployed.

    Args:
        stack: the stack's name.
        settings: its settings.

    Raises:
        SettingsError: settings contradict one another.
    """

    def __init__(self, *, stack: str, settings: StackSettings) -> None:
        self._stack = stack
        self._settings = settings
        self._outputs: dict[str, pulumi.Input[Any]] = {}

    def deploy(self, pipeline: contract.Pipeline) -> None:
        """Declare the platform's parts, and the pipeline on them.

        Args:
            pipeline: what shall run.

        Raises:
            SizingError: the parts do not fit the cluster, or one another.
        """
        sizing.check(pipeline, settings=self._settings)
        _check_secrets(pipeline, settings=self._settings)
        self._pipeline = pipeline
        self._place = self._namespace()
        self._kafka = self._brokers()
        self._users = self._logins()
        self._registry = self._schema_registry()
        self._store = self._object_store()
        self._connect = self._connect_workers()
        self._ksql = self._ksql_server()
        self._scaling = self._scaling_of_services()
        super().deploy(pipeline)
        observe(pipeline, place=self._place, after=[self._kafka.ready])

    def bucket(self, bucket: contract.Bucket) -> pulumi.Resource:
        """Declare a bucket in the S3 store."""
        return self._store.bucket(bucket)

    def topic(self, topic: contract.Topic) -> pulumi.Resource:
        """Declare a topic as a resource of Strimzi's."""
        return self._kafka.topic(topic)

    def schema(self, schema: contract.Schema, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a schema: a job in the cluster registers it, as the registry cannot be reached from outside."""
        after = [self._registry.ready, *after]
        return schema_job(schema, place=self._place, registry=self._registry.access, after=after)

    def service(self, service: contract.Service, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a service's deployment, and the way in if it is public."""
        place = self._place
        declared = StreamService(
            place=place,
            args=StreamServiceArgs(
                service=service,
                kafka=self._kafka.access(service.name),
                registry=self._registry.access,
                scaling=self._scaling.get(service.name),
                existing_secrets=existing_secrets(service, given=self._settings.kubernetes.existing_secrets),
                clients=callers(service, place=place),
                scrapers=scrapers(place, ports=[service.http_port]),
            ),
            after=[self._users[service.name], *after],
        )
        if service.public:
            self._warn_of_open_door(service)
            entry(service, place=place, after=[declared.ready])
        return declared.ready

    def statements(self, statements: contract.Statements, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a folder of statements: a job in the cluster brings the ksqlDB server to what they say."""
        if self._ksql is None:
            raise SettingsError("statements need a ksqlDB server", where="cflight:ksql.server")
        access, ready = self._ksql
        return statements_job(statements, place=self._place, ksql=access, after=[*ready, *after])

    def sink(self, sink: contract.Sink, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a sink as a resource of Strimzi's."""
        bucket = next(bucket for bucket in self._pipeline.buckets if bucket.role == sink.bucket)
        return self._connect.sink(sink, bucket=bucket.name, after=[*self._store.ready, *after])

    def outputs(self) -> Mapping[str, pulumi.Input[Any]]:
        """Return addresses in the cluster, the buckets, and where clients send batches."""
        settings = self._settings.kubernetes
        host = settings.ingest.host if settings.ingest.kind != "none" else None
        return {
            "namespace": self._place.namespace,
            "bootstrapServers": self._kafka.bootstrap_servers(kafka.SCRAM_PORT),
            "schemaRegistryUrl": self._registry.access.url,
            "connectCluster": connect.CLUSTER,
            "s3Endpoint": self._store.access.endpoint,
            "s3Region": self._settings.s3.region,
            "buckets": {bucket.role: bucket.name for bucket in self._pipeline.buckets},
            **({"ksqlUrl": self._ksql[0].url} if self._ksql else {}),
            **({"ingestUrl": f"https://{host}/batches"} if host else {}),
        }

    def _namespace(self) -> Place:
        settings, target = self._settings, self._settings.kubernetes
        provider = pulumi_kubernetes.Provider(
            "kubernetes",
            context=target.context,
            # What an earlier stack has left on purpose is taken over.
            upsert_existing_objects=settings.keep_data,
            # Else a change deletes them before it makes them anew, under pods that need them to start.
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
        )
        place = Place(
            stack=self._stack,
            provider=provider,
            namespace=target.namespace,
            settings=target,
            keep_data=settings.keep_data,
            protect=settings.protect,
        )
        if not target.create_namespace:
            return place
        # Strimzi's builds of images need more than the restricted standard allows.
        standard = "restricted" if target.connect.build_image is None else "baseline"
        namespace = Namespace(
            target.namespace,
            metadata=ObjectMetaArgs(
                name=target.namespace,
                labels={
                    **place.labels("namespace"),
                    "pod-security.kubernetes.io/enforce": standard,
                    "pod-security.kubernetes.io/audit": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            ),
            # Disks go with their namespace.
            opts=place.options(holds_data=True),
        )
        return replace(place, after=[namespace])

    def _brokers(self) -> Kafka:
        place, settings = self._place, self._settings
        scaling = settings.kubernetes.autoscaling
        clients = [service.name for service in self._pipeline.services] + [registry.NAME]
        if self._runs_ksql():
            clients.append(ksql.NAME)
        return Kafka(
            place=place,
            args=KafkaArgs(
                memory=settings.kafka.memory,
                clients=clients,
                certificate_clients=[connect.WORKERS],
                clients_elsewhere=[Peer(namespace=scaling.namespace, ports=[])] if scaling.kind == "keda" else [],
            ),
            after=operator(place, restricted=settings.kubernetes.connect.build_image is None),
        )

    def _logins(self) -> dict[str, pulumi.Resource]:
        pipeline, user = self._pipeline, self._kafka.user
        users = {service.name: user(service.name, acls=acls.service_acls(service)) for service in pipeline.services}
        users[registry.NAME] = user(registry.NAME, acls=acls.registry_acls())
        users[connect.USER] = user(
            connect.USER,
            acls=acls.connect_acls(group=connect.GROUP, internal_topics=connect.INTERNAL_TOPICS, sinks=pipeline.sinks),
            login="tls",
        )
        if self._runs_ksql():
            users[ksql.NAME] = user(ksql.NAME, acls=acls.ksql_acls(pipeline.statements))
        if self._settings.kubernetes.autoscaling.kind == "keda":
            users[_SCALER] = user(_SCALER, acls=acls.scaler_acls(pipeline.services))
        return users

    def _schema_registry(self) -> Registry:
        place, settings = self._place, self._settings
        replicas, in_sync = internal_replicas(settings.kubernetes.kafka.brokers)
        topics = storage_topics(replication_factor=replicas, min_in_sync_replicas=in_sync)
        services = [service.name for service in self._pipeline.services if service.schemas]
        jobs = [schema_job_name(schema) for schema in self._pipeline.schemas]
        return Registry(
            place=place,
            args=RegistryArgs(
                kafka=self._kafka.access(registry.NAME),
                memory=settings.registry.memory,
                replicas=settings.kubernetes.registry_replicas,
                clients=[*services, *jobs, *([ksql.NAME] if self._runs_ksql() else [])],
                connect=connect.WORKERS,
                scrapers=scrapers(place, ports=[registry.PORT]),
            ),
            after=[self._users[registry.NAME], *(self._kafka.topic(topic) for topic in topics)],
        )

    def _object_store(self) -> ObjectStore:
        return ObjectStore(
            place=self._place,
            args=StoreArgs(
                buckets=self._pipeline.buckets,
                memory=self._settings.s3.memory,
                region=self._settings.s3.region,
                clients=connect.WORKERS,
            ),
        )

    def _connect_workers(self) -> Connect:
        replicas, in_sync = internal_replicas(self._settings.kubernetes.kafka.brokers)
        topics = connect.internal_topics(replication_factor=replicas, min_in_sync_replicas=in_sync)
        return Connect(
            place=self._place,
            args=ConnectArgs(
                bootstrap_servers=self._kafka.bootstrap_servers(kafka.TLS_PORT),
                memory=self._settings.connect.memory,
                registry=self._registry.access,
                s3=self._store.access,
            ),
            after=[
                self._users[connect.USER],
                *(self._kafka.topic(topic) for topic in topics),
                *self._store.ready,
            ],
        )

    def _warn_of_open_door(self, service: contract.Service) -> None:
        secrets = {*service.secrets, *existing_secrets(service, given=self._settings.kubernetes.existing_secrets)}
        if self._settings.kubernetes.ingest.kind != "none" and "INGEST_TOKEN" not in secrets:
            pulumi.log.warn(
                f"{service.name} is open to everyone who reaches {self._settings.kubernetes.ingest.host}: set "
                "`cflight:services.ingest.token`, or `cflight:kubernetes.existingSecrets` for `ingest.INGEST_TOKEN`."
            )

    def _runs_ksql(self) -> bool:
        return bool(self._pipeline.statements) and self._settings.ksql.server != "external"

    def _ksql_server(self) -> tuple[HttpAccess, Sequence[pulumi.Resource]] | None:
        settings = self._settings
        if settings.ksql.url is not None:
            return HttpAccess(url=settings.ksql.url, servers=[endpoint_peer(settings.ksql.url)]), []
        if not self._runs_ksql():
            return None
        replicas, in_sync = internal_replicas(settings.kubernetes.kafka.brokers)
        server = KsqlServer(
            place=self._place,
            args=KsqlArgs(
                kafka=self._kafka.access(ksql.NAME),
                registry=self._registry.access,
                memory=settings.ksql.memory,
                storage=format_memory(settings.kubernetes.volumes.ksql),
                replication_factor=replicas,
                min_in_sync_replicas=in_sync,
                clients=[STATEMENTS],
            ),
            after=[self._users[ksql.NAME], self._registry.ready],
        )
        return server.access, [server.ready]

    def _scaling_of_services(self) -> dict[str, Scaling]:
        scaling = self._settings.kubernetes.autoscaling
        if scaling.kind == "none":
            return {}
        access = None
        if scaling.kind == "keda":
            access = self._kafka.access(_SCALER)
            trigger_authentication(place=self._place, kafka=access, after=[self._users[_SCALER]])
        return {
            service.name: Scaling(
                kind=scaling.kind,
                most=most_replicas(service, partitions=self._settings.topics.partitions, limit=scaling.max_replicas),
                lag=scaling.lag,
                cpu_percent=scaling.cpu_percent,
                kafka=access,
            )
            for service in self._pipeline.services
        }


def _check_secrets(pipeline: contract.Pipeline, *, settings: StackSettings) -> None:
    services = {service.name: service for service in pipeline.services}
    for place in settings.kubernetes.existing_secrets:
        name, _, variable = place.partition(".")
        where = f"cflight:kubernetes.existingSecrets.{place}"
        if name not in services:
            raise SettingsError(
                f"there is no service {name}", where=where, remedy=f"The services are {', '.join(services)}."
            )
        if variable in services[name].secrets:
            raise SettingsError(
                f"{variable} is given twice",
                where=where,
                remedy="Remove it here, or the secret in the stack's settings.",
            )
