"""The stack's configuration: typed, validated and documented here, and nowhere else.

Every key lies in the namespace `cflight`. `python -m infra.settings` prints the reference (docs/settings.md).
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
import sys
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from infra.errors import SettingsError
from infra.memory import GIB, MIB, Memory, format_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

NAMESPACE = "cflight"

Target = Literal["local", "kubernetes", "aws"]
Compatibility = Literal[
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
]
MEMORY = "Hard memory limit; heaps and buffers are derived from it."


class Section(BaseModel):
    """A group of settings: one key of the stack's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)


class KafkaSettings(Section):
    """The brokers."""

    memory: Memory = Field(default=512 * MIB, description=MEMORY)


class RegistrySettings(Section):
    """The schema registry."""

    memory: Memory = Field(default=384 * MIB, description=MEMORY)
    compatibility: Compatibility = Field(
        default="BACKWARD", description="How a new version of a schema must fit the versions before it."
    )


class ConnectSettings(Section):
    """The Kafka Connect workers."""

    memory: Memory = Field(default=512 * MIB, description=MEMORY)
    plugin_path: str | None = Field(
        default=None,
        description="Folder that holds the real Confluent S3 sink's folder, as Connect's `plugin.path`; without it, "
        "the embedded plug-in is used.",
    )


class KsqlSettings(Section):
    """The ksqlDB server."""

    server: Literal["embedded", "confluent", "external"] = Field(
        default="embedded",
        description="`embedded`: the engine of this project, for development and tests; `confluent`: starts the "
        "server of a Confluent Platform folder; `external`: uses the server at `url`.",
    )
    url: str | None = Field(default=None, description="The server's URL; only with `server: external`.")
    confluent_home: str | None = Field(
        default=None, description="The Confluent Platform's folder; only with `server: confluent`."
    )
    memory: Memory = Field(default=512 * MIB, description=MEMORY)
    delete_topics: bool = Field(
        default=False, description="Whether removing a statement deletes the topic that it writes."
    )

    @model_validator(mode="after")
    def _needs(self) -> KsqlSettings:
        for server, name in (("external", "url"), ("confluent", "confluent_home")):
            given = getattr(self, name) is not None
            if given != (self.server == server):
                raise ValueError(f"server: {self.server} and {to_camel(name)} do not go together")
        return self


class S3Settings(Section):
    """The S3 store, where the target runs one."""

    memory: Memory = Field(default=256 * MIB, description=MEMORY)
    region: str = Field(default="us-east-1", description="The region that clients and sinks are told.")


class BucketSettings(Section):
    """The buckets' names."""

    quotes: str = Field(default="cflight.bucket", description="The bucket of the cheapest quotes.")
    batches: str = Field(default="flightbatch.bucket", description="The bucket of the archived batches.")


class TopicSettings(Section):
    """The topics of the pipeline."""

    partitions: int = Field(default=4, ge=1, le=4096, description="Partitions of every topic.")
    replication_factor: int = Field(default=1, ge=1, le=9, description="Replicas of every partition.")
    min_in_sync_replicas: int = Field(
        default=1, ge=1, le=9, description="Replicas that must have a record before it is acknowledged."
    )
    retention_hours: int = Field(default=168, ge=1, description="How long records of the pipeline are kept.")
    dead_letter_retention_hours: int = Field(
        default=336, ge=1, description="How long dead letters and the event log are kept."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TopicSettings:
        if self.min_in_sync_replicas > self.replication_factor:
            raise ValueError(
                f"minInSyncReplicas {self.min_in_sync_replicas} is more than replicationFactor "
                f"{self.replication_factor}: nothing could be written"
            )
        return self


class ServiceSettings(Section):
    """A stream service."""

    memory: Memory = Field(default=128 * MIB, description=MEMORY)
    replicas: int = Field(default=1, ge=1, description="Instances; more than there are partitions stay idle.")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Further environment variables (docs/services.md lists them)."
    )


class IngestSettings(ServiceSettings):
    """The HTTP service that takes the batches."""

    token: SecretStr | None = Field(
        default=None, description="The bearer token that clients must send; a secret. None: no token is asked for."
    )


class ServicesSettings(Section):
    """The stream services."""

    ingest: IngestSettings = Field(default=IngestSettings(), description="Takes batches over HTTP.")
    transform: ServiceSettings = Field(default=ServiceSettings(), description="Enriches the rows of a batch.")
    cheapest: ServiceSettings = Field(
        default=ServiceSettings(), description="Finds a batch's cheapest quote (with `cheapestEngine: service`)."
    )
    compressor: ServiceSettings = Field(default=ServiceSettings(), description="Compresses the enriched batches.")


class SinkSettings(Section):
    """What an environment changes of a sink in `connectors/`; what is not set stays as the JSON has it."""

    flush_size: int | None = Field(default=None, ge=1, description="Records of a file.")
    rotate_interval_ms: int | None = Field(
        default=None, ge=1, description="Longest span of record time of a file; only with a time-based partitioner."
    )
    rotate_schedule_interval_ms: int | None = Field(
        default=None, ge=1, description="Longest wall-clock age of a file (not exactly-once)."
    )
    part_size: Memory | None = Field(default=None, description="Size of the parts of an upload; 5Mi at least.")
    tasks_max: int | None = Field(default=None, ge=1, description="Tasks that share the topics' partitions.")


# What CloudWatch Logs can keep records for.
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]


class ExistingNetworkSettings(Section):
    """A network that is there already: it must let its private subnets reach S3, STS, ECR and CloudWatch Logs."""

    vpc_id: str = Field(pattern=r"^vpc-[0-9a-f]{8,17}$", description="The VPC.")
    private_subnet_ids: list[str] = Field(
        min_length=3, max_length=3, description="Its private subnets, one in each of three zones."
    )
    public_subnet_ids: list[str] = Field(
        default_factory=list, description="Its public subnets; only for an ingest that the internet calls."
    )


class NewNetworkSettings(Section):
    """A network that the stack makes: a VPC with a private and a public subnet in each of three zones."""

    cidr: str = Field(
        default="10.60.0.0/16", description="Addresses of the VPC, a /16 to /20 block; every private subnet gets 1/4."
    )
    zones: list[str] = Field(
        default_factory=list, description="Its three availability zones; empty: `<region>a`, `b` and `c`."
    )
    nat_gateways: Literal[0, 1, 3] = Field(
        default=1,
        description="Ways out to the internet: 3 survive the loss of a zone, 1 is cheap, 0 needs every image in ECR.",
    )
    endpoints: bool = Field(
        default=True,
        description="Private endpoints of S3, STS, ECR and CloudWatch Logs, instead of the way through NAT.",
    )
    flow_log_days: LogDays = Field(default=30, description="How long the log of refused connections is kept.")

    @model_validator(mode="after")
    def _fits(self) -> NewNetworkSettings:
        try:
            block = ipaddress.IPv4Network(self.cidr)
        except ValueError as error:
            raise ValueError(f"cidr: {error}") from None
        if not 16 <= block.prefixlen <= 20 or not block.is_private:
            raise ValueError(f"cidr: {self.cidr} is not a private block between /16 and /20")
        if self.zones and len(set(self.zones)) != 3:
            raise ValueError(f"zones: {', '.join(self.zones)} are not three different zones")
        if not self.endpoints and self.nat_gateways == 0:
            raise ValueError("endpoints: false and natGateways: 0 leave no way to S3, STS, ECR and the logs")
        return self


class AwsNetworkSettings(Section):
    """The network: a new one, or one that is there already."""

    create: NewNetworkSettings | None = Field(default=None, description=NewNetworkSettings.__doc__)
    existing: ExistingNetworkSettings | None = Field(default=None, description=ExistingNetworkSettings.__doc__)

    @model_validator(mode="after")
    def _one(self) -> AwsNetworkSettings:
        if self.create is not None and self.existing is not None:
            raise ValueError("create and existing are both given: a stack makes its network or adopts one")
        return self


class ExistingClusterSettings(Section):
    """An EKS cluster that is there already, with the pod identity agent and the EBS CSI driver."""

    name: str = Field(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", description="The cluster.")
    node_security_group_id: str = Field(pattern=r"^sg-[0-9a-f]{8,17}$", description="The security group of its nodes.")
    autoscaling_groups: list[str] = Field(
        min_length=1, description="The nodes' auto scaling groups: the load balancers' targets."
    )


class NewClusterSettings(Section):
    """An EKS cluster that the stack makes, with a managed node group."""

    version: str = Field(default="1.34", pattern=r"^1\.\d{2}$", description="Kubernetes' version.")
    instance_type: str = Field(default="m7i.large", description="The nodes' type, an x86-64 one.")
    nodes: int = Field(default=3, ge=1, le=450, description="Nodes at the start and at least.")
    max_nodes: int = Field(default=6, ge=1, le=450, description="Nodes at most.")
    disk_gib: int = Field(default=50, ge=20, le=16384, description="Disk of a node.")
    public_cidrs: list[str] = Field(
        default_factory=list,
        description="Addresses from which the API server is reached over the internet; empty: not over the internet.",
    )
    private_cidrs: list[str] = Field(
        default_factory=list,
        description="Addresses in the VPC, or in networks connected to it, from which the API server is reached, "
        "besides the nodes. `pulumi up` must come from one of these or of `publicCidrs`.",
    )
    admin_role_arns: list[str] = Field(
        default_factory=list, description="IAM roles that administer the cluster, besides the one that makes it."
    )
    log_days: LogDays = Field(default=30, description="How long the control plane's logs are kept.")

    @model_validator(mode="after")
    def _fits(self) -> NewClusterSettings:
        if self.max_nodes < self.nodes:
            raise ValueError(f"maxNodes {self.max_nodes} is less than nodes {self.nodes}")
        if "0.0.0.0/0" in self.public_cidrs:
            raise ValueError("publicCidrs: 0.0.0.0/0 is everyone; name the addresses that need it")
        for cidr in self.private_cidrs:
            try:
                block = ipaddress.IPv4Network(cidr)
            except ValueError as error:
                raise ValueError(f"privateCidrs: {error}") from None
            if block.prefixlen == 0:
                raise ValueError("privateCidrs: 0.0.0.0/0 is everyone; name the addresses that need it")
        return self


class AwsClusterSettings(Section):
    """The EKS cluster: a new one, or one that is there already."""

    create: NewClusterSettings | None = Field(default=None, description=NewClusterSettings.__doc__)
    existing: ExistingClusterSettings | None = Field(default=None, description=ExistingClusterSettings.__doc__)

    @model_validator(mode="after")
    def _one(self) -> AwsClusterSettings:
        if self.create is not None and self.existing is not None:
            raise ValueError("create and existing are both given: a stack makes its cluster or adopts one")
        return self


class MskSettings(Section):
    """The brokers: MSK."""

    kind: Literal["standard", "express", "serverless"] = Field(
        default="standard",
        description="`standard`: brokers with disks; `express`: brokers with storage that grows by itself; "
        "`serverless`: no brokers to size, IAM only (needs `cheapestEngine: service`).",
    )
    version: str = Field(
        default="3.9.x",
        pattern=r"^\d+\.\d+\.(x|\d+)(\.(kraft|tiered))?$",
        description="Kafka's version, as MSK names it.",
    )
    broker_type: str | None = Field(
        default=None,
        pattern=r"^(kafka|express)\.[a-z0-9]+\.[a-z0-9]+$",
        description="Type of a broker; `kafka.m7g.large` or `express.m7g.large` if not set.",
    )
    brokers: int = Field(
        default=3,
        ge=3,
        le=60,
        multiple_of=3,
        description="Brokers, the same number in each zone; a new cluster has 15 at most, and can grow.",
    )
    storage_gib: int = Field(default=100, ge=1, le=16384, description="Disk of a standard broker at the start.")
    max_storage_gib: int = Field(
        default=1000,
        ge=1,
        le=16384,
        description="Disk of a standard broker at most: it grows at 60 % use, never shrinks.",
    )
    throughput_mib_per_second: int | None = Field(
        default=None,
        ge=250,
        le=2375,
        description="Provisioned disk throughput of a standard broker of type 4xlarge or larger.",
    )
    log_days: LogDays = Field(default=30, description="How long the brokers' logs are kept.")

    @model_validator(mode="after")
    def _consistent(self) -> MskSettings:
        family = {"standard": "kafka", "express": "express", "serverless": None}[self.kind]
        if self.broker_type is not None and self.broker_type.partition(".")[0] != family:
            raise ValueError(f"brokerType {self.broker_type} is no type of kind {self.kind}")
        if self.kind != "standard" and self.throughput_mib_per_second is not None:
            raise ValueError(f"throughputMibPerSecond is for standard brokers, not for kind {self.kind}")
        if self.max_storage_gib < self.storage_gib:
            raise ValueError(f"maxStorageGib {self.max_storage_gib} is less than storageGib {self.storage_gib}")
        return self


class MskWorkerSettings(Section):
    """The workers of a sink."""

    mcus: Literal[1, 2, 4, 8] = Field(default=1, description="Size of a worker: 1 vCPU and 4 GiB each.")
    workers: int = Field(default=1, ge=1, le=10, description="Workers, at least.")
    max_workers: int | None = Field(
        default=None, ge=1, le=10, description="Workers at most: they are scaled with their CPU use. None: no scaling."
    )

    @model_validator(mode="after")
    def _order(self) -> MskWorkerSettings:
        if self.max_workers is not None and self.max_workers < self.workers:
            raise ValueError(f"maxWorkers {self.max_workers} is less than workers {self.workers}")
        return self


class MskConnectSettings(Section):
    """The sinks: MSK Connect, where every sink has workers of its own."""

    plugin: Literal["embedded", "confluent"] = Field(
        default="embedded", description="`embedded`: the plug-in in `connectors/`; `confluent`: the one in `pluginZip`."
    )
    plugin_zip: str | None = Field(
        default=None,
        description="ZIP of the Confluent S3 sink and the Confluent Avro converter; only with `plugin: confluent`.",
    )
    sinks: dict[str, MskWorkerSettings] = Field(
        default_factory=dict, description="By the name of a sink in `connectors/`: its workers, if not one of 1 MCU."
    )
    log_days: LogDays = Field(default=30, description="How long the workers' logs are kept.")

    @model_validator(mode="after")
    def _consistent(self) -> MskConnectSettings:
        if (self.plugin == "confluent") != (self.plugin_zip is not None):
            raise ValueError(f"plugin: {self.plugin} and pluginZip do not go together")
        return self


class AwsBucketSettings(Section):
    """How long objects are kept, and where."""

    transition_days: int | None = Field(
        default=None, ge=30, description="Age at which objects go to `transitionClass`; 30 days at least."
    )
    transition_class: Literal["STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"] = Field(
        default="GLACIER_IR", description="Storage class of older objects."
    )
    expiry_days: int | None = Field(default=None, ge=1, description="Age at which objects are deleted.")
    noncurrent_days: int = Field(
        default=30, ge=1, description="How long overwritten and deleted objects can be brought back."
    )
    access_logs: bool = Field(default=False, description="Whether requests are logged, to a bucket of their own.")

    @model_validator(mode="after")
    def _order(self) -> AwsBucketSettings:
        expiry, transition = self.expiry_days, self.transition_days
        if expiry is not None and transition is not None and expiry <= transition:
            raise ValueError(f"expiryDays {expiry} is not after transitionDays {transition}")
        return self


class AwsImageSettings(Section):
    """The images, by digest."""

    services: str | None = Field(
        default=None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="Digest of the services' image in the stack's ECR repository. Until it is set, `up` makes the "
        "platform and the repository, and no part that needs the image.",
    )


class AwsIngestSettings(Section):
    """Where partners send their batches."""

    internet: bool = Field(
        default=False, description="Whether it is reached from the internet; needs `certificateArn`."
    )
    certificate_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:acm:",
        description="The ACM certificate of its name; without it, plain HTTP.",
    )
    cidrs: list[str] = Field(default_factory=list, description="Addresses that may call it; empty: those of the VPC.")

    @model_validator(mode="after")
    def _safe(self) -> AwsIngestSettings:
        if self.internet and self.certificate_arn is None:
            raise ValueError("internet: true needs certificateArn: tokens would cross the internet in clear text")
        if self.internet and not self.cidrs:
            raise ValueError("internet: true needs cidrs: the partners' addresses")
        return self


class AwsSettings(Section):
    """The AWS target."""

    region: str = Field(default="eu-west-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="The region.")
    account_id: str | None = Field(
        default=None,
        pattern=r"^\d{12}$",
        description="The only account that the stack may be made in; else the caller's.",
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Further tags of every resource.")
    network: AwsNetworkSettings = Field(default=AwsNetworkSettings(), description=AwsNetworkSettings.__doc__)
    cluster: AwsClusterSettings = Field(default=AwsClusterSettings(), description=AwsClusterSettings.__doc__)
    kafka: MskSettings = Field(default=MskSettings(), description=MskSettings.__doc__)
    connect: MskConnectSettings = Field(default=MskConnectSettings(), description=MskConnectSettings.__doc__)
    buckets: AwsBucketSettings = Field(default=AwsBucketSettings(), description=AwsBucketSettings.__doc__)
    images: AwsImageSettings = Field(default=AwsImageSettings(), description=AwsImageSettings.__doc__)
    ingest: AwsIngestSettings = Field(default=AwsIngestSettings(), description=AwsIngestSettings.__doc__)
    registry_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
        description="A schema registry that is there already, its Confluent-compatible API; needed with "
        "`kafka.kind: serverless`, as the stack's own logs in to Kafka with SCRAM.",
    )


# A repository, and a tag or a digest or both: "ghcr.io/cflight/cflight:0.1.0@sha256:…".
_IMAGE = r"^[a-z0-9][a-z0-9.:/_-]*?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_CPU = r"^([1-9]\d*m|[1-9]\d*)$"


class ImageSettings(Section):
    """The images. One with a digest (`…:1.0@sha256:…`) is pulled by it, whatever becomes of the tag."""

    services: str = Field(
        default="ghcr.io/cflight/cflight:0.1.0",
        pattern=_IMAGE,
        description="The image of this project's Dockerfile: services, and jobs that register schemas and statements.",
    )
    registry: str = Field(
        default="quay.io/apicurio/apicurio-registry:3.0.9", pattern=_IMAGE, description="Apicurio Registry, 3.x."
    )
    ksql: str = Field(default="confluentinc/cp-ksqldb-server:7.9.0", pattern=_IMAGE, description="The ksqlDB server.")
    s3: str = Field(
        default="versity/versitygw:v1.8.0", pattern=_IMAGE, description="versitygw; only without `s3.endpoint`."
    )
    pull_secret: str | None = Field(
        default=None,
        pattern=_NAME,
        description="An existing Secret of the namespace with the image registries' logins.",
    )


class StrimziSettings(Section):
    """The operator of the brokers and of Connect."""

    operator: Literal["install", "found"] = Field(
        default="install",
        description="`install`: the stack installs it as a Helm release that watches its namespace; `found`: the "
        "cluster has one that does.",
    )
    version: str = Field(default="1.2.0", pattern=r"^\d+\.\d+\.\d+$", description="Version of the chart, 1.0 or newer.")
    repository: str = Field(
        default="oci://quay.io/strimzi-helm",
        pattern=r"^(oci|https)://\S+$",
        description="Where the chart is: an OCI registry, or an HTTPS chart repository.",
    )
    kafka_version: str | None = Field(
        default=None, pattern=r"^\d+\.\d+\.\d+$", description="Kafka's version; the operator's newest without it."
    )


class BrokerSettings(Section):
    """The Kafka nodes; a broker's memory is `cflight:kafka.memory`."""

    brokers: int = Field(default=3, ge=1, le=200, description="Brokers.")
    controllers: Literal[0, 1, 3, 5] = Field(
        default=3, description="Nodes that are controllers only; 0: the brokers are controllers as well."
    )
    controller_memory: Memory = Field(default=512 * MIB, description="Memory limit of a controller.")
    storage: Memory = Field(default=20 * GIB, description="Disk of a broker.")
    controller_storage: Memory = Field(default=5 * GIB, description="Disk of a controller.")
    rack_label: str | None = Field(
        default="topology.kubernetes.io/zone",
        description="The node label that tells racks apart: a partition's replicas lie in different ones.",
    )


class WorkerSettings(Section):
    """The Connect workers; their memory is `cflight:connect.memory`.

    Either `image` has the plug-ins, or Strimzi builds an image with `plugins` and pushes it to `buildImage`.
    """

    replicas: int = Field(default=1, ge=1, le=100, description="Workers.")
    plugin: Literal["confluent", "embedded"] = Field(
        default="confluent",
        description="Which S3 sink and Avro converter the image has: Confluent's or `connectors/`'s.",
    )
    image: str | None = Field(default=None, pattern=_IMAGE, description="An image that has the plug-ins.")
    build_image: str | None = Field(
        default=None, pattern=_IMAGE, description="Where Strimzi pushes the image that it builds; only without `image`."
    )
    push_secret: str | None = Field(
        default=None, pattern=_NAME, description="An existing Secret with the login for `buildImage`."
    )
    plugins: dict[str, str] = Field(
        default_factory=dict,
        description="What Strimzi builds in: by plug-in name, the URLs of its ZIP, TGZ or JAR files, separated by "
        "spaces, each with `#sha512=<digest>` if it shall be checked.",
    )

    @model_validator(mode="after")
    def _one_image(self) -> WorkerSettings:
        built = self.build_image is not None
        if built and self.image is not None:
            raise ValueError("image and buildImage are both given: take an image, or have one built")
        if built != bool(self.plugins):
            raise ValueError("buildImage and plugins go together: where to push to, and what to build in")
        if self.push_secret is not None and not built:
            raise ValueError("pushSecret is for buildImage, which is not given")
        return self


class VolumeSettings(Section):
    """Disks of what is not a Kafka node."""

    storage_class: str | None = Field(
        default=None,
        description="Storage class of every disk, the Kafka nodes' as well; the cluster's default without it.",
    )
    ksql: Memory = Field(default=10 * GIB, description="Disk of the ksqlDB server's state.")
    s3: Memory = Field(default=20 * GIB, description="Disk of the S3 store; only without `s3.endpoint`.")


class ObjectStoreSettings(Section):
    """The S3 store: any endpoint, or versitygw in the cluster."""

    endpoint: str | None = Field(
        default=None, pattern=r"^https?://[^\s/]+$", description="URL of the store; None: versitygw in the cluster."
    )
    access_key: str | None = Field(default=None, description="Access key id of the store's account.")
    secret_key: SecretStr | None = Field(default=None, description="Its secret access key; a secret.")
    existing_secret: str | None = Field(
        default=None,
        pattern=_NAME,
        description="An existing Secret of the namespace with the keys `accessKey` and `secretKey`, in place of both. "
        "The buckets must then be there already: the stack cannot read the Secret to make them.",
    )

    @model_validator(mode="after")
    def _credentials(self) -> ObjectStoreSettings:
        given = self.access_key is not None, self.secret_key is not None
        if given[0] != given[1]:
            raise ValueError("accessKey and secretKey go together")
        if given[0] and self.existing_secret is not None:
            raise ValueError("accessKey and existingSecret are both given")
        if self.endpoint is not None and not given[0] and self.existing_secret is None:
            raise ValueError("an endpoint needs accessKey and secretKey, or existingSecret")
        if self.endpoint is None and self.existing_secret is not None:
            raise ValueError("existingSecret is for an endpoint, which is not given")
        return self


class EntrySettings(Section):
    """How clients outside the cluster reach ingest; with TLS always."""

    kind: Literal["none", "ingress", "gateway"] = Field(
        default="none", description="`ingress`: an Ingress; `gateway`: a Gateway and an HTTPRoute (Gateway API)."
    )
    host: str | None = Field(default=None, description="The host name that clients use.")
    class_name: str | None = Field(default=None, description="IngressClass or GatewayClass; needed for `gateway`.")
    tls_secret: str = Field(
        default="ingest-tls",
        pattern=_NAME,
        description="The Secret with the certificate, which must be there or be issued.",
    )
    issuer: str | None = Field(
        default=None, description="The ClusterIssuer of cert-manager that puts the certificate into `tlsSecret`."
    )
    controller_namespace: str = Field(
        default="ingress-nginx", pattern=_NAME, description="Where the pods run that pass requests on."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations of the Ingress or Gateway, e.g. the longest body it lets pass."
    )

    @model_validator(mode="after")
    def _complete(self) -> EntrySettings:
        if self.kind != "none" and self.host is None:
            raise ValueError(f"kind: {self.kind} needs a host")
        if self.kind == "gateway" and self.class_name is None:
            raise ValueError("kind: gateway needs a className")
        return self


class AutoscalingSettings(Section):
    """Whether the services' replicas follow the load; `replicas` of a service is then its least number."""

    kind: Literal["none", "hpa", "keda"] = Field(
        default="none",
        description="`hpa`: by CPU, and by consumer lag where the cluster serves it as a custom metric; `keda`: by "
        "consumer lag (KEDA must be there).",
    )
    max_replicas: int = Field(
        default=8, ge=1, le=1000, description="Most replicas of a service; a consumer's are never more than partitions."
    )
    lag: int = Field(default=1000, ge=1, description="Messages not yet read that one replica is for.")
    cpu_percent: int = Field(default=75, ge=1, le=100, description="CPU use that `hpa` aims at, in % of the request.")
    namespace: str = Field(default="keda", pattern=_NAME, description="Where KEDA runs.")


class ObservabilitySettings(Section):
    """Metrics, alerts and dashboards."""

    enabled: bool = Field(
        default=False,
        description="Declares PodMonitors, alert rules, JMX metrics of Kafka and Connect, and Grafana dashboards. "
        "Needs the Prometheus operator.",
    )
    namespace: str = Field(default="monitoring", pattern=_NAME, description="Where Prometheus and Grafana run.")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels by which Prometheus selects monitors and rules, e.g. `release: …`."
    )
    lag_messages: int = Field(default=10_000, ge=1, description="Lag of a consumer group that raises an alert.")


class KubernetesSettings(Section):
    """The kubernetes target; the components that the aws target runs on EKS read `images` … `observability` as well."""

    context: str | None = Field(default=None, description="Context of the kubeconfig; the current one without it.")
    namespace: str = Field(default="cflight", pattern=_NAME, description="The namespace of everything.")
    create_namespace: bool = Field(default=True, description="Whether the stack makes the namespace.")
    memory: Memory | None = Field(
        default=None, description="Memory that the cluster has for this stack; preview refuses what does not fit."
    )
    cpu: str | None = Field(default=None, pattern=_CPU, description="CPU that the cluster has for this stack.")
    cpu_requests: dict[str, Annotated[str, Field(pattern=_CPU)]] = Field(
        default_factory=dict,
        description="CPU request by part: `kafka`, `controller`, `connect`, `registry`, `ksql`, `s3` or a service.",
    )
    images: ImageSettings = Field(default=ImageSettings(), description=ImageSettings.__doc__)
    strimzi: StrimziSettings = Field(default=StrimziSettings(), description=StrimziSettings.__doc__)
    kafka: BrokerSettings = Field(default=BrokerSettings(), description=BrokerSettings.__doc__)
    connect: WorkerSettings = Field(default=WorkerSettings(), description=WorkerSettings.__doc__)
    registry_replicas: int = Field(default=1, ge=1, le=10, description="Instances of the registry.")
    volumes: VolumeSettings = Field(default=VolumeSettings(), description=VolumeSettings.__doc__)
    s3: ObjectStoreSettings = Field(default=ObjectStoreSettings(), description=ObjectStoreSettings.__doc__)
    ingest: EntrySettings = Field(default=EntrySettings(), description=EntrySettings.__doc__)
    autoscaling: AutoscalingSettings = Field(default=AutoscalingSettings(), description=AutoscalingSettings.__doc__)
    observability: ObservabilitySettings = Field(
        default=ObservabilitySettings(), description=ObservabilitySettings.__doc__
    )
    existing_secrets: dict[str, str] = Field(
        default_factory=dict,
        description="Secrets of services that exist already: `<service>.<VARIABLE>` to `<secret>/<key>`, e.g. "
        "`ingest.TOKEN: partners/token`.",
    )

    @model_validator(mode="after")
    def _secrets(self) -> KubernetesSettings:
        for place, source in self.existing_secrets.items():
            if not re.fullmatch(r"[a-z]+\.[A-Z][A-Z0-9_]*", place) or not re.fullmatch(r"[a-z0-9.-]+/[\w.-]+", source):
                raise ValueError(f"existingSecrets: write `ingest.TOKEN: secret/key`, not `{place}: {source}`")
        return self


class StackSettings(Section):
    """Every setting of a stack."""

    target: Target = Field(description="Where the platform runs.")
    cheapest_engine: Literal["ksql", "service"] = Field(
        default="ksql", description="What finds the cheapest quote of a batch; both write the same records."
    )
    protect: bool = Field(default=False, description="Whether what holds data (topics, buckets) refuses to be deleted.")
    keep_data: bool = Field(
        default=False,
        description="Whether `destroy` leaves data behind for the next `up`; unset, on all targets but `local`.",
    )
    kafka: KafkaSettings = Field(default=KafkaSettings(), description=KafkaSettings.__doc__)
    registry: RegistrySettings = Field(default=RegistrySettings(), description=RegistrySettings.__doc__)
    connect: ConnectSettings = Field(default=ConnectSettings(), description=ConnectSettings.__doc__)
    ksql: KsqlSettings = Field(default=KsqlSettings(), description=KsqlSettings.__doc__)
    s3: S3Settings = Field(default=S3Settings(), description=S3Settings.__doc__)
    aws: AwsSettings = Field(default=AwsSettings(), description=AwsSettings.__doc__)
    kubernetes: KubernetesSettings = Field(default=KubernetesSettings(), description=KubernetesSettings.__doc__)
    buckets: BucketSettings = Field(default=BucketSettings(), description=BucketSettings.__doc__)
    topics: TopicSettings = Field(default=TopicSettings(), description=TopicSettings.__doc__)
    services: ServicesSettings = Field(default=ServicesSettings(), description=ServicesSettings.__doc__)
    sinks: dict[str, SinkSettings] = Field(
        default_factory=dict, description="By the name of a sink in `connectors/`: what this environment changes of it."
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_what_cannot_be_made_again(cls, values: Any) -> Any:
        given = cast("dict[str, Any]", values)
        return {"keepData": given.get("target") != "local", **given}


def load_settings(config: Mapping[str, str]) -> StackSettings:
    """Read and validate a stack's configuration.

    Args:
        config: all configuration of the stack by full key; structured values as JSON text, as Pulumi gives them.
            Keys of other namespaces are left to their owners.

    Returns:
        The settings.

    Raises:
        SettingsError: a key, type or value is wrong; the message lists all that are, each with its remedy.
    """
    raw: dict[str, Any] = {}
    for key, text in config.items():
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE:
            raw[name] = _structured(text)
    try:
        return StackSettings.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
        raise SettingsError("\n".join(problems)) from None


def _structured(text: str) -> Any:
    # Pulumi hands structured values over as JSON text; a plain value that looks like JSON ("4", "true") is meant so.
    try:
        return json.loads(text)
    except ValueError:
        return text


def _problem(item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    key = f"{NAMESPACE}:{'.'.join(path)}"
    if item["type"] == "extra_forbidden":
        known = sorted(_fields_at(path[:-1]))
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
        return f"{key}: there is no such setting (its value is {item['input']!r}). {hint}"
    if item["type"] == "missing":
        return f"{key}: is not set. Set it with `pulumi config set --path {key} …`."
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{key}: {_shown(item['input'], path)}{message}. Change it with `pulumi config set --path {key} …`."


def _shown(value: Any, path: list[str]) -> str:
    # A group may hold secrets, so only single values are repeated.
    field = _fields_at(path[:-1]).get(path[-1])
    secret = field is not None and SecretStr in {field.annotation, *get_args(field.annotation)}
    return "" if secret or isinstance(value, dict) else f"{value!r}: "


def _fields_at(path: list[str]) -> dict[str, FieldInfo]:
    model: type[Section] | None = StackSettings
    for part in path:
        fields = _fields(model)
        if part in fields:
            model = _section(fields[part])
    return _fields(model)


def _fields(model: type[Section] | None) -> dict[str, FieldInfo]:
    return {} if model is None else {field.alias or name: field for name, field in model.model_fields.items()}


def _section(field: FieldInfo) -> type[Section] | None:
    candidates = [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)


def reference() -> str:
    """Return the reference of all settings as Markdown."""
    lines = [
        "# Settings",
        "",
        "Generated by `python -m infra.settings > docs/settings.md`; edit `infra/settings.py`, not this page.",
        "",
        "Set one with `pulumi config set --path cflight:kafka.memory 1Gi`, or in `Pulumi.<stack>.yaml`. A key that is",
        "not listed here, or a value of the wrong type, is refused in preview.",
        "",
        "| key | type | default | what it does |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{NAMESPACE}:{key}` | {kind} | {default} | {text} |" for key, kind, default, text in _rows()]
    return "\n".join([*lines, ""])


def _rows(model: type[Section] = StackSettings, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        section = _section(field)
        if section is None:
            yield key, _type_name(field), _default_text(field), field.description or ""
        elif get_origin(field.annotation) is dict:
            yield key, "map", "", field.description or ""
            yield from _rows(section, f"{key}.<name>.")
        else:
            yield from _rows(section, f"{key}.")


def _type_name(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if _is_memory(field):
        return "memory size"
    if get_origin(annotation) in {Union, types.UnionType}:
        annotation = next(item for item in get_args(annotation) if item is not type(None))
    if _is_memory_type(annotation):
        return "memory size"
    if get_origin(annotation) is Literal:
        return " \\| ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is dict:
        return "map of strings"
    if get_origin(annotation) is list:
        return "list of strings"
    names = {str: "string", int: "whole number", bool: "true or false", SecretStr: "secret string"}
    return names[annotation]


def _is_memory(field: FieldInfo) -> bool:
    return any(item in get_args(Memory)[1:] for item in field.metadata)


def _is_memory_type(annotation: Any) -> bool:
    return get_args(annotation) == get_args(Memory)


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if _is_memory(field):
        return f"`{format_memory(value)}`"
    if isinstance(value, dict):
        return ""
    return f"`{json.dumps(value) if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
