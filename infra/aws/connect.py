"""The sinks: MSK Connect, which runs every connector on workers of its own.

MSK Connect has no REST API and does not let a worker's override policy be set, so that a sink's consumer group is
always `connect-<name of the connector>`. The name is therefore a function of the sink and the stack only: a changed
sink is deleted and made again under its name, and goes on where the group stopped. Plug-in and worker configuration
cannot be changed at all; their names carry a hash of what is in them, and the new ones are there before a connector
moves to them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import cloudwatch, iam, mskconnect, s3

from infra.aws.plugin import plugin_zip
from infra.aws.policies import sink_worker, trust
from infra.memory import GIB, connect_memory
from infra.settings import MskWorkerSettings
from infra.sinks import check_heap, for_embedded_plugin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.aws.buckets import Buckets
    from infra.aws.kafka import Kafka
    from infra.aws.keys import Keys
    from infra.aws.network import Network, Party
    from infra.aws.stack import Stack
    from infra.contract import Sink

# The newest that MSK Connect runs; the plug-ins are built for Java 17.
VERSION = "3.7.x"
MCU_MEMORY = 4 * GIB
_SCALE_OUT_PERCENT = 80
_SCALE_IN_PERCENT = 20
# Most that a task's consumer holds; a record of the longest size still comes, alone.
_FETCH_BYTES = 50 << 20


class Connect(pulumi.ComponentResource):
    """What the stack's sinks share, and the sinks.

    Args:
        stack: the stack.
        network: its network.
        keys: its keys.
        kafka: its brokers.
        buckets: makes the bucket of the plug-in.

    Attributes:
        workers: the workers' security group.
    """

    def __init__(self, stack: Stack, *, network: Network, keys: Keys, kafka: Kafka, buckets: Buckets) -> None:
        super().__init__("cflight:aws:Connect", "connect", {}, stack.within())
        self._stack = stack
        self._network = network
        self._keys = keys
        self._kafka = kafka
        self.workers = network.group("sinks", purpose="Workers of MSK Connect", parent=self)
        kafka.open_to(self.workers)
        network.allow_aws(self.workers)
        self._logs = cloudwatch.LogGroup(
            f"{stack.prefix}-sinks",
            name=f"/aws/mskconnect/{stack.prefix}",
            retention_in_days=stack.aws.connect.log_days,
            tags=stack.tags("sink-logs"),
            opts=stack.opts(self),
        )
        self._plugin = self._custom_plugin(buckets)
        self._configuration = self._worker_configuration()
        self.register_outputs({})

    def open_to(self, target: Party, *, ports: Sequence[int], why: str) -> None:
        """Let the workers reach a party.

        Args:
            target: whom.
            ports: its ports.
            why: the rules' description.
        """
        self._network.allow(self.workers, target, ports=ports, why=why)

    def sink(
        self, sink: Sink, *, bucket: s3.Bucket, registry_url: pulumi.Input[str], after: Sequence[pulumi.Resource]
    ) -> mskconnect.Connector:
        """Declare a sink.

        Args:
            sink: the sink.
            bucket: the bucket that it writes to.
            registry_url: the registry's Confluent-compatible API, as the workers reach it.
            after: what must be there before.
        """
        stack = self._stack
        check_sink(sink, stack=stack)
        name = connector_name(sink, stack=stack)
        role, policy = self._role(sink, name=name, bucket=bucket)
        return mskconnect.Connector(
            sink.name,
            name=name,
            description=f"Sink {sink.name} of {stack.prefix}",
            kafkaconnect_version=VERSION,
            capacity=capacity(stack.aws.connect.sinks.get(sink.name, MskWorkerSettings())),
            connector_configuration=pulumi.Output.all(bucket.bucket, registry_url).apply(
                lambda values: sink_config(sink, stack=stack, bucket=values[0], registry_url=values[1])
            ),
            kafka_cluster=mskconnect.ConnectorKafkaClusterArgs(
                apache_kafka_cluster=mskconnect.ConnectorKafkaClusterApacheKafkaClusterArgs(
                    bootstrap_servers=self._kafka.iam_bootstrap,
                    vpc=mskconnect.ConnectorKafkaClusterApacheKafkaClusterVpcArgs(
                        subnets=self._network.private_subnet_ids,
                        security_groups=[] if self.workers.group is None else [self.workers.group],
                    ),
                )
            ),
            kafka_cluster_client_authentication=mskconnect.ConnectorKafkaClusterClientAuthenticationArgs(
                authentication_type="IAM"
            ),
            kafka_cluster_encryption_in_transit=mskconnect.ConnectorKafkaClusterEncryptionInTransitArgs(
                encryption_type="TLS"
            ),
            plugins=[
                mskconnect.ConnectorPluginArgs(
                    custom_plugin=mskconnect.ConnectorPluginCustomPluginArgs(
                        arn=self._plugin.arn, revision=self._plugin.latest_revision
                    )
                )
            ],
            worker_configuration=mskconnect.ConnectorWorkerConfigurationArgs(
                arn=self._configuration.arn, revision=self._configuration.latest_revision
            ),
            log_delivery=mskconnect.ConnectorLogDeliveryArgs(
                worker_log_delivery=mskconnect.ConnectorLogDeliveryWorkerLogDeliveryArgs(
                    cloudwatch_logs=mskconnect.ConnectorLogDeliveryWorkerLogDeliveryCloudwatchLogsArgs(
                        enabled=True, log_group=self._logs.name
                    )
                )
            ),
            service_execution_role_arn=role.arn,
            tags=stack.tags(f"sink-{name}"),
            # Two connectors of one name cannot be, and two of one group would fight over its partitions.
            opts=stack.opts(
                self,
                depends_on=[policy, *self._kafka.ready, *after],
                delete_before_replace=True,
                replace_on_changes=["connectorConfiguration", "workerConfiguration", "plugins"],
            ),
        )

    def _custom_plugin(self, buckets: Buckets) -> mskconnect.CustomPlugin:
        stack = self._stack
        zipped = plugin_zip(stack.aws.connect)
        bucket = buckets.bucket("artefacts", name="artefacts", expires=False)
        kind = stack.aws.connect.plugin
        stored = s3.BucketObjectv2(
            "plugin",
            bucket=bucket.bucket,
            key=f"plugins/{kind}-{zipped.digest}.zip",
            source=pulumi.FileAsset(str(zipped.path)),
            content_type="application/zip",
            tags=stack.tags("plugin"),
            opts=stack.opts(self),
        )
        return mskconnect.CustomPlugin(
            "plugin",
            name=f"{stack.prefix}-{kind}-{zipped.digest[:12]}",
            description=f"S3 sink and Avro converter ({kind})",
            content_type="ZIP",
            location=mskconnect.CustomPluginLocationArgs(
                s3=mskconnect.CustomPluginLocationS3Args(bucket_arn=bucket.arn, file_key=stored.key)
            ),
            tags=stack.tags("plugin"),
            opts=stack.opts(self),
        )

    def _worker_configuration(self) -> mskconnect.WorkerConfiguration:
        stack = self._stack
        content = worker_properties()
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return mskconnect.WorkerConfiguration(
            "workers",
            name=f"{stack.prefix}-workers-{digest}",
            description=f"Workers of the sinks of {stack.prefix}",
            properties_file_content=base64.b64encode(content.encode()).decode(),
            tags=stack.tags("workers"),
            opts=stack.opts(self),
        )

    def _role(self, sink: Sink, *, name: str, bucket: s3.Bucket) -> tuple[iam.Role, iam.RolePolicy]:
        stack = self._stack
        short = name.removeprefix(f"{stack.prefix}-")
        role = iam.Role(
            f"{stack.prefix}-sink-{short}"[:56],
            assume_role_policy=json.dumps(
                trust(
                    "kafkaconnect.amazonaws.com",
                    account=stack.account,
                    source_arn=stack.arn("kafkaconnect", f"connector/{name}/*"),
                )
            ),
            tags=stack.tags(f"sink-{short}"),
            opts=stack.opts(self),
        )
        folder = sink.config.get("topics.dir", "topics")
        policy = iam.RolePolicy(
            f"{stack.prefix}-sink-{short}",
            role=role.name,
            policy=pulumi.Output.all(self._kafka.arn, bucket.arn, self._keys.buckets).apply(
                lambda values: json.dumps(
                    sink_worker(
                        cluster_arn=values[0],
                        topics=sink.reads,
                        group=f"connect-{name}",
                        bucket_arn=values[1],
                        prefixes=[f"{folder}/{topic}" for topic in sink.reads],
                        key_arn=values[2],
                        s3_service=f"s3.{stack.region}.{stack.dns_suffix}",
                    )
                )
            ),
            opts=stack.opts(self),
        )
        return role, policy


def connector_name(sink: Sink, *, stack: Stack) -> str:
    """Return a connector's name. Its consumer group is `connect-` and this: another name would start anew.

    Args:
        sink: the sink.
        stack: the stack.
    """
    return f"{stack.prefix}-{re.sub(r'[^A-Za-z0-9-]', '-', sink.name)}"


def sink_config(sink: Sink, *, stack: Stack, bucket: str, registry_url: str) -> dict[str, str]:
    """Return a sink's configuration on MSK Connect.

    Args:
        sink: the sink.
        stack: the stack.
        bucket: the bucket's global name.
        registry_url: the registry's Confluent-compatible API.
    """
    config = {
        **sink.config,
        "s3.bucket.name": bucket,
        "s3.region": stack.region,
        # Not among the consumer properties of a worker that MSK Connect lets be set; Kafka Connect 3 lets every
        # connector override its own. Without it, what a transaction has aborted would be archived as well.
        "consumer.override.isolation.level": "read_committed",
    }
    # With the customer key as the bucket's default, objects are encrypted with it without a word from the sink.
    for side in ("key", "value"):
        if config.get(f"{side}.converter", "").endswith("AvroConverter"):
            config[f"{side}.converter.schema.registry.url"] = registry_url
    return for_embedded_plugin(config) if stack.aws.connect.plugin == "embedded" else config


def worker_properties() -> str:
    """Return the workers' properties: only such as MSK Connect lets be set."""
    properties = {
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "consumer.auto.offset.reset": "earliest",
        "consumer.fetch.max.bytes": str(_FETCH_BYTES),
        "consumer.max.partition.fetch.bytes": str(16 << 20),
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def capacity(workers: MskWorkerSettings) -> mskconnect.ConnectorCapacityArgs:
    """Return a sink's workers: as many as set, or scaled between two numbers.

    Args:
        workers: the settings.
    """
    if workers.max_workers is None:
        return mskconnect.ConnectorCapacityArgs(
            provisioned_capacity=mskconnect.ConnectorCapacityProvisionedCapacityArgs(
                mcu_count=workers.mcus, worker_count=workers.workers
            )
        )
    return mskconnect.ConnectorCapacityArgs(
        autoscaling=mskconnect.ConnectorCapacityAutoscalingArgs(
            mcu_count=workers.mcus,
            min_worker_count=workers.workers,
            max_worker_count=workers.max_workers,
            scale_in_policy=mskconnect.ConnectorCapacityAutoscalingScaleInPolicyArgs(
                cpu_utilization_percentage=_SCALE_IN_PERCENT
            ),
            scale_out_policy=mskconnect.ConnectorCapacityAutoscalingScaleOutPolicyArgs(
                cpu_utilization_percentage=_SCALE_OUT_PERCENT
            ),
        )
    )


def check_sink(sink: Sink, *, stack: Stack) -> None:
    """Refuse a sink whose open files do not fit its workers.

    Args:
        sink: the sink.
        stack: the stack.

    Raises:
        SizingError: they do not; the message holds the sum.
    """
    workers = stack.aws.connect.sinks.get(sink.name, MskWorkerSettings())
    check_heap(
        [sink],
        partitions=stack.settings.topics.partitions,
        workers=workers.workers,
        heap=connect_memory(workers.mcus * MCU_MEMORY).heap,
        fetch=_FETCH_BYTES,
        where=f"cflight:aws.connect.sinks.{sink.name}",
        remedy=f"Set `mcus` or `workers` there higher, or `partSize` or `tasksMax` of cflight:sinks.{sink.name} lower.",
    )
