"""What a pipeline consists of, and what a target must be able to run.

The pipeline (pipeline.py) names no target, and a target knows nothing of flights: they meet here. The module is not
called `platform`, the name of a module of the standard library that the Pulumi program's folder would then hide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pulumi


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A Kafka topic.

    Attributes:
        name: the topic's name.
        partitions: their number.
        replication_factor: replicas of each.
        configs: topic configs that are not the broker's defaults.
    """

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Schema:
    """An Avro schema of a topic's values.

    Attributes:
        subject: the registry's subject, `<topic>-value`.
        definition: the schema.
        compatibility: how the next version must fit this one.
    """

    subject: str
    definition: Mapping[str, Any]
    compatibility: str


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An S3 bucket.

    Attributes:
        role: what it is for; the resource's name and the key under which sinks and outputs refer to it.
        name: its name in S3; a target may have to make it globally unique.
    """

    role: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Service:
    """A stream service: a console script of this project's package.

    Attributes:
        name: the service's name; the console script is `cflight-<name>`, the consumer group `<name>`.
        memory: its hard limit in bytes.
        replicas: instances.
        environment: environment variables besides the addresses that the target gives.
        secrets: like `environment`, for values that must not be seen.
        reads: topics that it consumes.
        writes: topics that it produces to.
        schemas: subjects that it needs.
        http_port: the port that it serves on in a container of its own: health, metrics, and its API if it has one.
        public: whether clients outside the platform call it.
    """

    name: str
    memory: int
    replicas: int
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    schemas: Sequence[str] = ()
    http_port: int = 8080
    public: bool = False


@dataclass(frozen=True, kw_only=True)
class Statements:
    """A folder of KSQL statements.

    Attributes:
        folder: holds `*.sql` files.
        reads: topics that the statements read and that exist before them.
        writes: topics that the statements create.
        delete_topics: whether removing a statement deletes the topic that it writes.
    """

    folder: Path
    reads: Sequence[str]
    writes: Sequence[str]
    delete_topics: bool


@dataclass(frozen=True, kw_only=True)
class Sink:
    """An S3 sink connector.

    Attributes:
        name: the connector's name.
        config: its configuration; without the bucket's place and credentials, which the target adds.
        bucket: role of the bucket that it writes to.
        reads: topics that it consumes.
    """

    name: str
    config: Mapping[str, str]
    bucket: str
    reads: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What runs, in platform-neutral terms."""

    topics: Sequence[Topic]
    schemas: Sequence[Schema]
    buckets: Sequence[Bucket]
    services: Sequence[Service]
    statements: Sequence[Statements]
    sinks: Sequence[Sink]


class Platform(ABC):
    """What a target offers a pipeline: one method a kind of part.

    A method declares the Pulumi resources of one part and returns the one that others may wait for. `after` holds
    the resources that must exist before. The parts under the pipeline (brokers, registry, Connect, ksqlDB, S3) are
    the platform's own affair and are declared when it is made.
    """

    @abstractmethod
    def bucket(self, bucket: Bucket) -> pulumi.Resource:
        """Declare an S3 bucket."""

    @abstractmethod
    def topic(self, topic: Topic) -> pulumi.Resource:
        """Declare a topic."""

    @abstractmethod
    def schema(self, schema: Schema, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a version of a subject's schema."""

    @abstractmethod
    def service(self, service: Service, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a stream service; it is made when its instances are ready."""

    @abstractmethod
    def statements(self, statements: Statements, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare a folder of KSQL statements."""

    @abstractmethod
    def sink(self, sink: Sink, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Declare an S3 sink; it is made when its tasks run."""

    @abstractmethod
    def outputs(self) -> Mapping[str, pulumi.Input[Any]]:
        """Return what a user of the stack needs to know: addresses, names, secrets."""

    def deploy(self, pipeline: Pipeline) -> None:
        """Declare a pipeline's parts, each after those that it reads and writes.

        Args:
            pipeline: what shall run.
        """
        buckets = {bucket.role: self.bucket(bucket) for bucket in pipeline.buckets}
        topics = {topic.name: self.topic(topic) for topic in pipeline.topics}
        schemas = {
            schema.subject: self.schema(schema, after=_those(topics, [schema.subject.removesuffix("-value")]))
            for schema in pipeline.schemas
        }
        for service in pipeline.services:
            uses = [*service.reads, *service.writes]
            self.service(service, after=[*_those(topics, uses), *_those(schemas, service.schemas)])
        for statements in pipeline.statements:
            subjects = [f"{topic}-value" for topic in statements.reads]
            made = self.statements(statements, after=[*_those(topics, statements.reads), *_those(schemas, subjects)])
            topics |= dict.fromkeys(statements.writes, made)
        for sink in pipeline.sinks:
            self.sink(sink, after=[*_those(topics, sink.reads), buckets[sink.bucket]])


def _those(resources: Mapping[str, pulumi.Resource], names: Iterable[str]) -> list[pulumi.Resource]:
    # A topic may belong to another stack: then there is nothing here to wait for.
    return list(dict.fromkeys(resources[name] for name in names if name in resources))
