"""The aws target: what a pipeline is offered on AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_aws import Provider, get_caller_identity
from pulumi_kubernetes.core.v1 import Namespace, Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from infra import contract
from infra.aws import ksql, registry, services
from infra.aws.buckets import Buckets
from infra.aws.cluster import Cluster
from infra.aws.connect import Connect
from infra.aws.images import Images
from infra.aws.kafka import IAM_PORT, SCRAM_PORT, Kafka
from infra.aws.keys import Keys
from infra.aws.network import Network
from infra.aws.registration import Registration, register
from infra.aws.stack import Stack
from infra.errors import SettingsError
from infra.kubernetes import acls
from infra.kubernetes.access import KafkaAccess, SecretKey
from infra.kubernetes.ksql import NAME as KSQL
from infra.kubernetes.network import Peer
from infra.kubernetes.observability import observe
from infra.kubernetes.place import Place
from infra.kubernetes.registration import STATEMENTS, schema_job, schema_job_name, statements_job
from infra.kubernetes.registry import storage_topics
from infra.kubernetes.scaling import Scaling, most_replicas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pulumi_aws import s3

    from infra.kubernetes.acls import Acl
    from infra.kubernetes.ksql import KsqlServer
    from infra.settings import StackSettings

# Where the pod identity agent of a node gives pods the keys of their role.
_IDENTITY_AGENT = Peer(addresses=["169.254.170.23/32"], ports=[80])


class AwsPlatform(contract.Platform):
    """MSK, MSK Connect and S3; registry, ksqlDB, jobs and services on EKS.

    Args:
        stack: the stack's name.
        settings: its settings.

    Raises:
        SettingsError: AWS would refuse a setting, or settings contradict each other.
        NotAvailableError: the sink plug-in is not there.
    """

    def __init__(self, *, stack: str, settings: StackSettings) -> None:
        self._stack = _stack(stack, settings)
        self._network = Network(self._stack)
        self._keys = Keys(self._stack)
        self._images = Images(self._stack, keys=self._keys)
        self._cluster = Cluster(self._stack, network=self._network, keys=self._keys)
        self._kafka = Kafka(self._stack, network=self._network, keys=self._keys, users=_scram_users(settings))
        self._kafka.open_to(self._cluster.nodes, scram=True, metrics=settings.kubernetes.observability.enabled)
        self._buckets = Buckets(self._stack, keys=self._keys)
        self._connect = Connect(
            self._stack, network=self._network, keys=self._keys, kafka=self._kafka, buckets=self._buckets
        )
        self._place = self._make_place()
        self._made_buckets: dict[str, s3.Bucket] = {}
        self._outputs: dict[str, pulumi.Input[Any]] = {}

    def deploy(self, pipeline: contract.Pipeline) -> None:
        """Declare a pipeline; of one whose image is not there yet, the buckets only.

        Args:
            pipeline: what shall run.
        """
        unknown = self._stack.aws.connect.sinks.keys() - {sink.name for sink in pipeline.sinks}
        if unknown:
            raise SettingsError(
                f"there is no sink {', '.join(sorted(unknown))}",
                where="cflight:aws.connect.sinks",
                remedy=f"The sinks are {', '.join(sink.name for sink in pipeline.sinks)}.",
            )
        if self._images.services is None:
            pulumi.log.warn(
                "cflight:aws.images.services is not set: this makes the platform, and no topics, services, statements "
                "and sinks yet. Push the services' image to the stack output `imageRepository`, set its digest, and "
                "run again (docs/aws.md)."
            )
            for bucket in pipeline.buckets:
                self.bucket(bucket)
            return
        self._image = self._images.services
        self._prepare(pipeline)
        super().deploy(pipeline)
        observe(pipeline, place=self._place, after=[self._topics])

    def bucket(self, bucket: contract.Bucket) -> pulumi.Resource:
        """Declare a bucket."""
        made = self._buckets.bucket(bucket.role, name=bucket.name)
        self._made_buckets[bucket.role] = made
        self._outputs[f"{bucket.role}Bucket"] = made.bucket
        return made

    def topic(self, topic: contract.Topic) -> pulumi.Resource:
        """Return the job that makes all topics, which knows them already."""
        del topic
        return self._topics

    def schema(self, schema: contract.Schema, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare the job that registers a schema."""
        return schema_job(
            schema,
            place=self._place,
            registry=self._registry.access,
            after=[*self._registry.ready, *after],
            image=self._image,
        )

    def statements(self, statements: contract.Statements, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare the job that brings ksqlDB to what the statements say."""
        if self._ksql is None:
            self._ksql = self._ksql_server()
        return statements_job(
            statements,
            place=self._place,
            ksql=self._ksql.access,
            after=[self._ksql.ready, *after],
            image=self._image,
        )

    def service(self, service: contract.Service, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a service's deployment and role, and a load balancer if clients outside call it."""
        made = services.run(
            service,
            network=self._network,
            cluster=self._cluster,
            kafka=self._kafka,
            access=self._iam_access(),
            registry=self._registry.access,
            place=self._place,
            scaling=self._scaling(service),
            image=self._image,
            after=[*after, *self._registry.ready],
        )
        if service.public:
            balancer = services.entrance(
                self._stack, service, network=self._network, cluster=self._cluster, place=self._place
            )
            self._outputs[f"{service.name}Host"] = balancer.host
        return made.ready

    def sink(self, sink: contract.Sink, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a sink on MSK Connect."""
        return self._connect.sink(
            sink,
            bucket=self._made_buckets[sink.bucket],
            registry_url=self._registry.sinks_url,
            after=[*after, *self._registry.ready],
        )

    def outputs(self) -> Mapping[str, pulumi.Input[Any]]:
        """Return addresses and names."""
        return {
            "bootstrapServers": self._kafka.iam_bootstrap,
            "kafkaCluster": self._kafka.arn,
            "kubernetesCluster": self._cluster.name,
            "imageRepository": self._images.repository,
            "s3Region": self._stack.region,
            **self._outputs,
        }

    def _make_place(self) -> Place:
        settings = self._stack.settings
        name = settings.kubernetes.namespace
        after = list(self._cluster.storage)
        if settings.kubernetes.create_namespace:
            after.append(
                Namespace(
                    name,
                    metadata=ObjectMetaArgs(name=name, labels={"pod-security.kubernetes.io/enforce": "restricted"}),
                    opts=pulumi.ResourceOptions(provider=self._cluster.kubernetes),
                )
            )
        return Place(
            stack=self._stack.name,
            provider=self._cluster.kubernetes,
            namespace=name,
            settings=settings.kubernetes,
            keep_data=settings.keep_data,
            protect=settings.protect,
            after=after,
        )

    def _prepare(self, pipeline: contract.Pipeline) -> None:
        settings = self._stack.settings
        topics = settings.topics
        owned: dict[str, Sequence[Acl]] = {}
        own_topics: list[contract.Topic] = []
        if self._stack.aws.registry_url is None:
            own_topics = storage_topics(
                replication_factor=topics.replication_factor, min_in_sync_replicas=topics.min_in_sync_replicas
            )
            owned[registry.USER] = acls.registry_acls()
        if pipeline.statements:
            owned[ksql.USER] = acls.ksql_acls(pipeline.statements)
        self._topics = register(
            Registration(topics=[*own_topics, *pipeline.topics], acls=owned),
            place=self._place,
            cluster=self._cluster,
            kafka=self._kafka,
            access=self._iam_access(),
            image=self._image,
        )
        self._registry = self._make_registry(pipeline)
        self._ksql: KsqlServer | None = None

    def _ksql_server(self) -> KsqlServer:
        return ksql.run(
            self._stack,
            place=self._place,
            kafka=self._scram_access(ksql.USER),
            registry=self._registry.access,
            clients=[STATEMENTS],
            after=[self._topics, *self._registry.ready],
        )

    def _make_registry(self, pipeline: contract.Pipeline) -> registry.Registry:
        url = self._stack.aws.registry_url
        if url is not None:
            return registry.adopt(url, network=self._network, connect=self._connect)
        return registry.run(
            self._stack,
            network=self._network,
            cluster=self._cluster,
            place=self._place,
            kafka=self._scram_access(registry.USER),
            connect=self._connect,
            clients=[
                *(schema_job_name(schema) for schema in pipeline.schemas),
                *(service.name for service in pipeline.services if service.schemas),
                *([KSQL] if pipeline.statements else []),
            ],
            after=[self._topics],
        )

    def _scaling(self, service: contract.Service) -> Scaling | None:
        scaling = self._stack.settings.kubernetes.autoscaling
        if scaling.kind == "none":
            return None
        if scaling.kind == "keda":
            raise SettingsError(
                "KEDA would have to log in to Kafka as a user of its own",
                where="cflight:kubernetes.autoscaling.kind",
                remedy="Set it to hpa or none on AWS.",
            )
        partitions = self._stack.settings.topics.partitions
        return Scaling(
            kind=scaling.kind,
            most=most_replicas(service, partitions=partitions, limit=scaling.max_replicas),
            lag=scaling.lag,
            cpu_percent=scaling.cpu_percent,
        )

    def _iam_access(self) -> KafkaAccess:
        return KafkaAccess(
            bootstrap_servers=self._kafka.iam_bootstrap,
            protocol="SASL_SSL",
            mechanism="OAUTHBEARER",
            iam_region=self._stack.region,
            brokers=[Peer(addresses=[self._network.cidr], ports=[IAM_PORT]), _IDENTITY_AGENT],
        )

    def _scram_access(self, user: str) -> KafkaAccess:
        bootstrap = self._kafka.scram_bootstrap
        assert bootstrap is not None, "serverless clusters are refused for what needs SCRAM"  # noqa: S101
        secret = Secret(
            f"kafka-{user}",
            metadata=self._place.metadata(f"kafka-{user}", component=user),
            string_data={"password": self._kafka.passwords[user]},
            opts=self._place.options(),
        )
        return KafkaAccess(
            bootstrap_servers=bootstrap,
            protocol="SASL_SSL",
            mechanism="SCRAM-SHA-512",
            username=user,
            password=SecretKey(secret=secret.metadata.name, key="password"),
            brokers=[Peer(addresses=[self._network.cidr], ports=[SCRAM_PORT])],
        )


def _stack(name: str, settings: StackSettings) -> Stack:
    account = settings.aws.account_id
    provider = Provider(
        "aws", region=settings.aws.region, allowed_account_ids=[account] if account is not None else None
    )
    if account is None:
        account = get_caller_identity(opts=pulumi.InvokeOptions(provider=provider)).account_id
    return Stack(name=name, settings=settings, account=account, provider=provider)


def _scram_users(settings: StackSettings) -> list[str]:
    users = [] if settings.aws.registry_url is not None else [registry.USER]
    return [*users, *([ksql.USER] if settings.cheapest_engine == "ksql" else [])]
