"""The brokers: MSK with standard brokers, with Express brokers, or serverless.

Services and sinks log in with IAM. ksqlDB and tools that know no IAM log in with SCRAM, where MSK has it: standard
and Express brokers. Everything is TLS; there is no listener without a login.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import appautoscaling, cloudwatch, msk, secretsmanager

from infra.errors import SettingsError
from infra.resources.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.aws.keys import Keys
    from infra.aws.network import Network, Party
    from infra.aws.stack import Stack
    from infra.contract import Topic

IAM_PORT = 9098
SCRAM_PORT = 9096
# Prometheus scrapes brokers here: JMX exporter, node exporter.
METRICS_PORTS = (11001, 11002)
REPLICAS = 3
MIN_IN_SYNC = 2
# Longest record. Payload topics hold bundles of 20,000 rows, 2.3 MB, with room for ten times that where the brokers
# take it; Express and serverless take 8 MiB.
MESSAGE_BYTES = {"standard": 16 << 20, "express": 8 << 20, "serverless": 8 << 20}
_SERVERLESS_RETENTION_HOURS = 24
_GROW_AT_PERCENT = 60
_BROKER_TYPES = {"standard": "kafka.m7g.large", "express": "express.m7g.large"}


class Kafka(pulumi.ComponentResource):
    """The stack's MSK cluster.

    Args:
        stack: the stack.
        network: its network.
        keys: its keys.
        users: names of the SCRAM users that the stack needs.

    Attributes:
        arn: the cluster's ARN.
        brokers: its security group.
        iam_bootstrap: host:port[,…] for clients that log in with IAM.
        scram_bootstrap: the same for SCRAM; None where the cluster has none.
        passwords: of the SCRAM users.
        message_bytes: the longest record that it takes.
        ready: what clients must wait for.
    """

    def __init__(self, stack: Stack, *, network: Network, keys: Keys, users: list[str]) -> None:
        super().__init__("cflight:aws:Kafka", "kafka", {}, stack.within())
        check(stack)
        self._stack = stack
        self._network = network
        self._keys = keys
        settings = stack.aws.kafka
        self.kind = settings.kind
        self.message_bytes = MESSAGE_BYTES[settings.kind]
        self.passwords: dict[str, pulumi.Output[str]] = {}
        self.brokers = network.group("brokers", purpose="Brokers of MSK", parent=self)
        self.ready: list[pulumi.Resource] = []
        if settings.kind == "serverless":
            self._serverless()
        else:
            self._provisioned()
            for user in users:
                self._scram_user(user)
        self.register_outputs({"arn": self.arn})

    def open_to(self, client: Party, *, scram: bool = False, metrics: bool = False) -> None:
        """Let a party reach the brokers.

        Args:
            client: who connects.
            scram: whether with SCRAM as well as with IAM.
            metrics: whether it scrapes the brokers.
        """
        self._network.allow(client, self.brokers, ports=[IAM_PORT], why="Kafka, IAM")
        if self.kind == "serverless":
            return
        if scram:
            self._network.allow(client, self.brokers, ports=[SCRAM_PORT], why="Kafka, SCRAM")
        if metrics:
            self._network.allow(client, self.brokers, ports=METRICS_PORTS, why="metrics of the brokers")

    def topic_configs(self, topic: Topic) -> Mapping[str, str]:
        """Return a topic's configs as these brokers take them.

        Args:
            topic: the topic as the pipeline declares it.
        """
        configs = dict(topic.configs)
        if int(configs.get("max.message.bytes", 0)) > self.message_bytes:
            configs["max.message.bytes"] = str(self.message_bytes)
        if self.kind != "standard":
            # AWS fixes it at 2 and takes no other word about it.
            configs.pop("min.insync.replicas", None)
        return configs

    def _serverless(self) -> None:
        stack = self._stack
        made = msk.ServerlessCluster(
            stack.prefix,
            cluster_name=f"{stack.prefix}-serverless",
            vpc_configs=[
                msk.ServerlessClusterVpcConfigArgs(
                    subnet_ids=self._network.private_subnet_ids, security_group_ids=self._groups()
                )
            ],
            client_authentication=msk.ServerlessClusterClientAuthenticationArgs(
                sasl=msk.ServerlessClusterClientAuthenticationSaslArgs(
                    iam=msk.ServerlessClusterClientAuthenticationSaslIamArgs(enabled=True)
                )
            ),
            tags=stack.tags("kafka"),
            opts=stack.opts(self, holds_data=True),
        )
        self.arn = made.arn
        self.iam_bootstrap = made.bootstrap_brokers_sasl_iam
        self.scram_bootstrap: pulumi.Output[str] | None = None
        self.ready.append(made)

    def _provisioned(self) -> None:
        stack = self._stack
        settings = stack.aws.kafka
        configuration = msk.Configuration(
            f"{stack.prefix}-{settings.kind}",
            description=f"Brokers of {stack.prefix}",
            kafka_versions=[settings.version],
            server_properties=server_properties(stack),
            opts=stack.opts(self),
        )
        logs = cloudwatch.LogGroup(
            f"{stack.prefix}-kafka",
            name=f"/aws/msk/{stack.prefix}",
            retention_in_days=settings.log_days,
            tags=stack.tags("kafka-logs"),
            opts=stack.opts(self),
        )
        standard = settings.kind == "standard"
        made = msk.Cluster(
            stack.prefix,
            cluster_name=f"{stack.prefix}-{settings.kind}",
            kafka_version=settings.version,
            number_of_broker_nodes=settings.brokers,
            broker_node_group_info=msk.ClusterBrokerNodeGroupInfoArgs(
                instance_type=settings.broker_type or _BROKER_TYPES[settings.kind],
                client_subnets=self._network.private_subnet_ids,
                security_groups=self._groups(),
                storage_info=self._disks() if standard else None,
                connectivity_info=msk.ClusterBrokerNodeGroupInfoConnectivityInfoArgs(
                    public_access=msk.ClusterBrokerNodeGroupInfoConnectivityInfoPublicAccessArgs(type="DISABLED")
                ),
            ),
            configuration_info=msk.ClusterConfigurationInfoArgs(
                arn=configuration.arn, revision=configuration.latest_revision
            ),
            encryption_info=msk.ClusterEncryptionInfoArgs(
                encryption_at_rest_kms_key_arn=self._keys.kafka,
                encryption_in_transit=msk.ClusterEncryptionInfoEncryptionInTransitArgs(
                    client_broker="TLS", in_cluster=True
                ),
            ),
            client_authentication=msk.ClusterClientAuthenticationArgs(
                sasl=msk.ClusterClientAuthenticationSaslArgs(iam=True, scram=True), unauthenticated=False
            ),
            enhanced_monitoring="PER_TOPIC_PER_BROKER",
            open_monitoring=msk.ClusterOpenMonitoringArgs(
                prometheus=msk.ClusterOpenMonitoringPrometheusArgs(
                    jmx_exporter=msk.ClusterOpenMonitoringPrometheusJmxExporterArgs(enabled_in_broker=True),
                    node_exporter=msk.ClusterOpenMonitoringPrometheusNodeExporterArgs(enabled_in_broker=True),
                )
            ),
            logging_info=msk.ClusterLoggingInfoArgs(
                broker_logs=msk.ClusterLoggingInfoBrokerLogsArgs(
                    cloudwatch_logs=msk.ClusterLoggingInfoBrokerLogsCloudwatchLogsArgs(
                        enabled=True, log_group=logs.name
                    )
                )
            ),
            tags=stack.tags("kafka"),
            opts=stack.opts(
                self,
                holds_data=True,
                # Disks grow by themselves and cannot shrink.
                ignore_changes=["brokerNodeGroupInfo.storageInfo.ebsStorageInfo.volumeSize"] if standard else None,
            ),
        )
        self.arn = made.arn
        self.iam_bootstrap = made.bootstrap_brokers_sasl_iam
        self.scram_bootstrap = made.bootstrap_brokers_sasl_scram
        self.ready.append(made)
        if standard and settings.max_storage_gib > settings.storage_gib:
            self._growing_disks()

    def _groups(self) -> list[pulumi.Input[str]]:
        return [] if self.brokers.group is None else [self.brokers.group]

    def _disks(self) -> msk.ClusterBrokerNodeGroupInfoStorageInfoArgs:
        settings = self._stack.aws.kafka
        rate = settings.throughput_mib_per_second
        return msk.ClusterBrokerNodeGroupInfoStorageInfoArgs(
            ebs_storage_info=msk.ClusterBrokerNodeGroupInfoStorageInfoEbsStorageInfoArgs(
                volume_size=settings.storage_gib,
                provisioned_throughput=None
                if rate is None
                else msk.ClusterBrokerNodeGroupInfoStorageInfoEbsStorageInfoProvisionedThroughputArgs(
                    enabled=True, volume_throughput=rate
                ),
            )
        )

    def _growing_disks(self) -> None:
        stack = self._stack
        target = appautoscaling.Target(
            f"{stack.prefix}-kafka-disks",
            service_namespace="kafka",
            scalable_dimension="kafka:broker-storage:VolumeSize",
            resource_id=self.arn,
            min_capacity=1,
            max_capacity=stack.aws.kafka.max_storage_gib,
            tags=stack.tags("kafka-disks"),
            opts=stack.opts(self),
        )
        appautoscaling.Policy(
            f"{stack.prefix}-kafka-disks",
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration=appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
                predefined_metric_specification=appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                    predefined_metric_type="KafkaBrokerStorageUtilization"
                ),
                target_value=_GROW_AT_PERCENT,
                disable_scale_in=True,
            ),
            opts=stack.opts(self),
        )

    def _scram_user(self, user: str) -> None:
        stack = self._stack
        password = Secret(
            f"{user}-password", purpose=f"SCRAM password of {user}", opts=pulumi.ResourceOptions(parent=self)
        ).value
        self.passwords[user] = password
        secret = secretsmanager.Secret(
            f"{stack.prefix}-{user}",
            # MSK takes only secrets whose names begin so.
            name=f"AmazonMSK_{stack.prefix}_{user}",
            description=f"SCRAM user {user} of the brokers of {stack.prefix}",
            kms_key_id=self._keys.secrets,
            # A name stays taken while its secret can be recovered; this one can be made anew at any time.
            recovery_window_in_days=0,
            tags=stack.tags(f"scram-{user}"),
            opts=stack.opts(self),
        )
        version = secretsmanager.SecretVersion(
            f"{stack.prefix}-{user}",
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(
                password.apply(lambda value: json.dumps({"username": user, "password": value}))
            ),
            opts=stack.opts(self),
        )
        self.ready.append(
            msk.SingleScramSecretAssociation(
                f"{stack.prefix}-{user}",
                cluster_arn=self.arn,
                secret_arn=secret.arn,
                opts=stack.opts(self, depends_on=[version]),
            )
        )


def server_properties(stack: Stack) -> str:
    """Return the brokers' properties.

    Express brokers take few: replication, ISR and elections are AWS's.

    Args:
        stack: the stack.
    """
    settings = stack.aws.kafka
    limit = str(MESSAGE_BYTES[settings.kind])
    properties = {
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
        "num.partitions": str(stack.settings.topics.partitions),
        "message.max.bytes": limit,
        # In milliseconds, as Express brokers take no other unit.
        "log.retention.ms": str(stack.settings.topics.retention_hours * 3_600_000),
        # SCRAM users have what their ACLs say and nothing else. Brokers are super users at MSK and replicate without;
        # services, sinks and the job that makes the ACLs come with IAM, which asks none.
        "allow.everyone.if.no.acl.found": "false",
    }
    if settings.kind == "standard":
        properties |= {
            "default.replication.factor": str(REPLICAS),
            "min.insync.replicas": str(MIN_IN_SYNC),
            "unclean.leader.election.enable": "false",
            "replica.fetch.max.bytes": limit,
            "offsets.topic.replication.factor": str(REPLICAS),
            "transaction.state.log.replication.factor": str(REPLICAS),
            "transaction.state.log.min.isr": str(MIN_IN_SYNC),
        }
    return "".join(f"{name}={value}\n" for name, value in sorted(properties.items()))


def check(stack: Stack) -> None:
    """Refuse settings that MSK would refuse, or under which the pipeline could not run.

    Args:
        stack: the stack.

    Raises:
        SettingsError: naming the setting.
    """
    settings, kafka = stack.settings, stack.aws.kafka
    topics = settings.topics
    if (topics.replication_factor, topics.min_in_sync_replicas) != (REPLICAS, MIN_IN_SYNC):
        raise SettingsError(
            f"replicationFactor {topics.replication_factor} and minInSyncReplicas {topics.min_in_sync_replicas} "
            "do not fit three zones",
            where="cflight:topics",
            remedy="Set replicationFactor to 3 and minInSyncReplicas to 2: a zone can then fail.",
        )
    if kafka.kind == "serverless":
        _check_serverless(stack)
    elif kafka.kind == "express" and settings.cheapest_engine == "ksql":
        raise SettingsError(
            "Express brokers support Kafka Streams, on which ksqlDB is built, only in part",
            where="cflight:aws.kafka.kind",
            remedy="Set cflight:cheapestEngine to service, or cflight:aws.kafka.kind to standard.",
        )


def _check_serverless(stack: Stack) -> None:
    settings = stack.settings
    if settings.cheapest_engine == "ksql":
        raise SettingsError(
            "ksqlDB logs in with SCRAM, which a serverless cluster has not",
            where="cflight:aws.kafka.kind",
            remedy="Set cflight:cheapestEngine to service, or cflight:aws.kafka.kind to standard.",
        )
    if stack.aws.registry_url is None:
        raise SettingsError(
            "the stack's own registry logs in with SCRAM, which a serverless cluster has not",
            where="cflight:aws.registryUrl",
            remedy="Set it to a registry that is there already, or cflight:aws.kafka.kind to standard or express.",
        )
    longest = max(settings.topics.retention_hours, settings.topics.dead_letter_retention_hours)
    if longest > _SERVERLESS_RETENTION_HOURS:
        raise SettingsError(
            f"a serverless cluster keeps records for {_SERVERLESS_RETENTION_HOURS} h, not {longest} h",
            where="cflight:topics.retentionHours, cflight:topics.deadLetterRetentionHours",
            remedy=f"Set both to {_SERVERLESS_RETENTION_HOURS} or less.",
        )
