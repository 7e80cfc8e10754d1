"""The local target: what a pipeline is offered on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from cflight.memory_limit import memory_limit
from infra import contract
from infra.local import buckets, connect, kafka, registry
from infra.local.buckets import s3_store
from infra.local.connect import connect as connect_worker
from infra.local.home import stack_folder
from infra.local.kafka import kafka as kafka_broker
from infra.local.ksql import PORTS as KSQL_PORTS
from infra.local.ksql import ksql_server
from infra.local.parts import Stack
from infra.local.ports import Ports
from infra.local.registry import API
from infra.local.registry import registry as schema_registry
from infra.local.services import run_service, service_ports
from infra.local.supervisor import Supervisor
from infra.memory import MACHINE_RESERVE, check_fit, connect_memory
from infra.resources.bucket import Bucket
from infra.resources.connector import S3Access, S3SinkConnector
from infra.resources.schema import Schema
from infra.resources.secret import Secret
from infra.resources.statement import Statements
from infra.resources.topic import Topic
from infra.sinks import check_heap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.settings import StackSettings


class LocalPlatform(contract.Platform):
    """Kafka, registry, Connect, ksqlDB, S3 and services as processes under a supervisor.

    Args:
        stack: the stack's name.
        settings: its settings.

    Raises:
        SizingError: the parts do not fit this machine's memory.
        NotAvailableError: a part is not installed.
    """

    def __init__(self, *, stack: str, settings: StackSettings) -> None:
        self._settings = settings
        check_fit(_limits(settings), available=memory_limit() - MACHINE_RESERVE, where="this machine")
        folder = str(stack_folder(stack))
        supervisor = Supervisor("supervisor", folder=folder, stack=stack, keep_data=settings.keep_data)
        names = [*kafka.PORTS, *registry.PORTS, *connect.PORTS, *buckets.PORTS, *KSQL_PORTS, *service_ports(settings)]
        ports = Ports("ports", folder=folder, names=names)
        self._stack = Stack(name=stack, settings=settings, supervisor=supervisor, ports=ports)
        self._secret = Secret("s3-secret", purpose="secret access key of the S3 store")
        self._s3 = s3_store(self._stack, secret=self._secret)
        self._kafka = kafka_broker(self._stack)
        self._registry = schema_registry(self._stack)
        self._registry_url = self._stack.url("registry", API)
        self._connect = connect_worker(self._stack, s3_secret=self._secret, after=[self._kafka])
        self._buckets: dict[str, Bucket] = {}
        self._ksql_url: pulumi.Output[str] | None = None
        self._ksql: list[pulumi.Resource] = []

    def deploy(self, pipeline: contract.Pipeline) -> None:
        """Declare a pipeline's parts, if its sinks fit the Connect worker.

        Raises:
            SizingError: they do not.
        """
        check_heap(
            pipeline.sinks,
            partitions=self._settings.topics.partitions,
            workers=1,
            heap=connect_memory(self._settings.connect.memory).heap,
            fetch=connect.FETCH_BYTES,
            where="cflight:connect.memory",
            remedy="Raise it, or lower `cflight:sinks.<name>.partSize`, tasksMax or `cflight:topics.partitions`.",
        )
        super().deploy(pipeline)

    def bucket(self, bucket: contract.Bucket) -> pulumi.Resource:
        """Declare a bucket in the S3 store."""
        self._buckets[bucket.role] = Bucket(
            bucket.role,
            bucket=bucket.name,
            endpoint=self._stack.url("s3"),
            region=self._settings.s3.region,
            access_key=buckets.ACCESS_KEY,
            secret_key=self._secret.value,
            keep_objects=self._settings.keep_data,
            opts=self._on(self._s3),
        )
        return self._buckets[bucket.role]

    def topic(self, topic: contract.Topic) -> pulumi.Resource:
        """Declare a topic on the broker."""
        return Topic(
            topic.name,
            topic=topic.name,
            bootstrap_servers=self._stack.address("kafka"),
            partitions=topic.partitions,
            replication_factor=topic.replication_factor,
            configs=topic.configs,
            opts=self._on(self._kafka),
        )

    def schema(self, schema: contract.Schema, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a schema in the registry."""
        del after  # the registry lets a subject be before its topic
        return Schema(
            schema.subject,
            registry_url=self._registry_url,
            subject=schema.subject,
            definition=schema.definition,
            compatibility=schema.compatibility,
            opts=self._on(self._registry),
        )

    def service(self, service: contract.Service, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a service's processes."""
        return run_service(self._stack, service, registry_url=self._registry_url, after=after)[0]

    def statements(self, statements: contract.Statements, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a folder's statements on the stack's ksqlDB server."""
        if self._ksql_url is None:
            self._ksql_url, process = ksql_server(
                self._stack, registry_url=self._registry_url, after=[self._kafka, self._registry]
            )
            self._ksql = [process] if process else []
        return Statements(
            statements.folder.name,
            folder=statements.folder,
            server_url=self._ksql_url,
            delete_topics=statements.delete_topics,
            opts=pulumi.ResourceOptions(
                parent=self._stack.supervisor,
                depends_on=[*self._ksql, *after],
                deleted_with=self._stack.supervisor if self._ksql else None,
            ),
        )

    def sink(self, sink: contract.Sink, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a sink on the Connect worker."""
        bucket = self._buckets[sink.bucket]
        return S3SinkConnector(
            sink.name,
            connector=sink.name,
            connect_url=self._stack.url("connect"),
            config=sink.config,
            # Who it is, the worker's environment says: a key in the configuration could be read by anyone who may
            # ask the worker.
            access=S3Access(bucket=bucket.bucket, region=self._settings.s3.region, endpoint=self._stack.url("s3")),
            registry_url=self._registry_url,
            embedded=self._settings.connect.plugin_path is None,
            opts=self._on(self._connect, *after),
        )

    def outputs(self) -> Mapping[str, pulumi.Input[Any]]:
        """Return addresses, bucket access and the stack's folder."""
        stack = self._stack
        return {
            "folder": stack.supervisor.folder,
            "bootstrapServers": stack.address("kafka"),
            "schemaRegistryUrl": self._registry_url,
            "connectUrl": stack.url("connect"),
            "s3Endpoint": stack.url("s3"),
            "s3Region": self._settings.s3.region,
            "s3AccessKey": buckets.ACCESS_KEY,
            "s3SecretKey": self._secret.value,
            "ingestUrl": stack.url("ingest-0", "/batches"),
            "quotesBucket": self._settings.buckets.quotes,
            "batchesBucket": self._settings.buckets.batches,
            **({} if self._ksql_url is None else {"ksqlUrl": self._ksql_url}),
        }

    def _on(self, part: pulumi.Resource, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        # What lies in a part's data goes when the part goes: no need to ask the part to delete it first.
        return pulumi.ResourceOptions(
            parent=part,
            depends_on=[part, *after],
            deleted_with=self._stack.supervisor,
            protect=self._settings.protect,
        )


def _limits(settings: StackSettings) -> dict[str, int]:
    engine = settings.ksql if settings.cheapest_engine == "ksql" and settings.ksql.server != "external" else None
    idle = {"cheapest"} if settings.cheapest_engine == "ksql" else set[str]()
    running = [(name, service) for name, service in settings.services if name not in idle]
    return {
        "kafka": settings.kafka.memory,
        "registry": settings.registry.memory,
        "connect": settings.connect.memory,
        "s3": settings.s3.memory,
        **({"ksql": engine.memory} if engine else {}),
        **{name: service.memory * service.replicas for name, service in running},
    }
