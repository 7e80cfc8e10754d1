"""The pipeline on the aws target: every part that it declares, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

from infra.memory import GIB
from services import contracts
from tests.program.aws_account import ACCOUNT, DIGEST, OFFICE, REGION, TOPICS, aws, identifier
from tests.program.aws_calls import CALLS, decoded_properties, problems
from tests.program.conftest import ADOPTED_CLUSTER, ADOPTED_NETWORK, CERTIFICATE

if TYPE_CHECKING:
    from tests.program.recording import Declared, Program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("sink_plugin")

SERVICE = {"cheapestEngine": "service"}
VPC, SUBNET = "aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet"
CLUSTER, SERVERLESS = "aws:msk/cluster:Cluster", "aws:msk/serverlessCluster:ServerlessCluster"
CONNECTOR, PLUGIN = "aws:mskconnect/connector:Connector", "aws:mskconnect/customPlugin:CustomPlugin"
WORKERS = "aws:mskconnect/workerConfiguration:WorkerConfiguration"
EKS, NODES = "aws:eks/cluster:Cluster", "aws:eks/nodeGroup:NodeGroup"
STORAGE_CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
INGRESS, EGRESS = (
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
)
# The static properties that AWS lets one set on Express brokers; with any other the configuration is refused.
EXPRESS_TAKES = {
    "allow.everyone.if.no.acl.found",
    "auto.create.topics.enable",
    "compression.type",
    "connections.max.idle.ms",
    "delete.topic.enable",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "leader.imbalance.per.broker.percentage",
    "log.cleanup.policy",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.ms",
    "max.connections.per.ip",
    "max.incremental.fetch.session.cache.slots",
    "message.max.bytes",
    "num.partitions",
    "offsets.retention.minutes",
    "replica.fetch.max.bytes",
    "replica.selector.class",
    "socket.receive.buffer.bytes",
    "socket.request.max.bytes",
    "socket.send.buffer.bytes",
    "transaction.max.timeout.ms",
    "transactional.id.expiration.ms",
}
DEPLOYMENT, JOB = "kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job"


# --- everything ---


def test_whatever_takes_tags_has_them(aws_programs: dict[str, Program]) -> None:
    untagged = {
        "aws:appautoscaling/policy:Policy",
        "aws:autoscaling/attachment:Attachment",
        "aws:ec2/route:Route",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:kms/alias:Alias",
        "aws:msk/configuration:Configuration",
        "aws:msk/singleScramSecretAssociation:SingleScramSecretAssociation",
        "aws:secretsmanager/secretVersion:SecretVersion",
    }
    for program in aws_programs.values():
        for one in program:
            # Of what belongs to a bucket, the bucket has the tags.
            of_a_bucket = one.type.startswith("aws:s3/bucket") and not one.type.endswith((":Bucket", ":BucketObjectv2"))
            if not one.type.startswith("aws:") or one.type in untagged or of_a_bucket:
                continue
            tags: dict[str, str] = one.inputs.get("tags", {})
            assert tags.keys() >= {"Name", "project", "stack", "managed-by"}, f"{one.type} {one.name}"


def test_further_tags_are_on_everything() -> None:
    program = aws(aws={"tags": {"team": "data"}, "images": {}})
    assert {one.inputs["tags"]["team"] for one in program if "tags" in one.inputs and one.type.startswith("aws:")} == {
        "data"
    }


def test_nothing_is_public(aws_programs: dict[str, Program]) -> None:
    for name, program in aws_programs.items():
        for one in program.of(SUBNET).values():
            assert one.inputs["mapPublicIpOnLaunch"] is False
        for one in program.of("aws:lb/loadBalancer:LoadBalancer").values():
            assert one.inputs["internal"] is (name != "express" or one.name == "registry")
        for one in program.of(CLUSTER).values():
            assert one.inputs["brokerNodeGroupInfo"]["connectivityInfo"]["publicAccess"] == {"type": "DISABLED"}
            assert one.inputs["clientAuthentication"]["unauthenticated"] is False
        for one in program.of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").values():
            flags = {key: value for key, value in one.inputs.items() if key != "bucket"}
            assert flags == dict.fromkeys(
                ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
            )
        for one in program.of(INGRESS).values():
            assert one.inputs.get("cidrIpv4") != "0.0.0.0/0"


def test_data_is_protected_where_the_stack_says_so(aws_programs: dict[str, Program]) -> None:
    kinds = {CLUSTER, "aws:s3/bucket:Bucket", "aws:kms/key:Key"}
    for name, protected in (("express", True), ("standard", False)):
        holders = [one for one in aws_programs[name] if one.type in kinds]
        assert {one.type for one in holders} == kinds
        assert {one.options["protect"] for one in holders} == {protected}


def test_the_provider_refuses_another_account() -> None:
    program = aws(aws={"accountId": ACCOUNT, "images": {}})
    provider = program.one("pulumi:providers:aws", "aws")
    assert json.loads(provider.inputs["allowedAccountIds"]) == [ACCOUNT]
    assert provider.inputs["region"] == REGION


def test_without_an_image_the_platform_is_made_and_nothing_on_it() -> None:
    program = aws(aws={"images": {}})
    assert {CLUSTER, EKS, "aws:ecr/repository:Repository", "aws:s3/bucket:Bucket"} <= {one.type for one in program}
    assert not program.of(CONNECTOR)
    assert not program.of(DEPLOYMENT)
    assert not program.of(JOB)


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_the_stacks_of_this_project_can_be_made(stack: str) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    settings = {key.removeprefix("cflight:"): value for key, value in config.items()}
    settings["aws"]["images"] = {"services": DIGEST}
    program = aws(stack=stack, **settings)
    wanted = [one for one in program if one.type.startswith("aws:") and one.type in CALLS]
    assert not {f"{one.type} {one.name}": wrong for one in wanted if (wrong := problems(one))}
    assert program.of(CONNECTOR).keys() == {"cflight.sink", "batchcompress.sink"}
    assert bool(program.of("kubernetes:apps/v1:StatefulSet")) == (stack == "staging")


def test_a_real_preview_needs_the_providers_plugin() -> None:
    pytest.skip("the AWS provider's plug-in and an account: `pulumi preview --stack staging` asks them")


# --- network ---


def test_a_new_network_has_a_subnet_of_each_kind_in_three_zones(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    (vpc,) = program.of(VPC).values()
    assert (vpc.inputs["enableDnsSupport"], vpc.inputs["enableDnsHostnames"]) == (True, True)
    zones = {name: one.inputs["availabilityZone"] for name, one in program.of(SUBNET).items()}
    for kind in ("private", "public"):
        assert [zones[f"cflight-trial-{kind}-{number}"] for number in range(3)] == [f"{REGION}{z}" for z in "abc"]
    (default,) = program.of("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").values()
    assert (default.inputs["ingress"], default.inputs["egress"]) == ([], [])


def test_endpoints_of_s3_sts_ecr_and_logs(aws_programs: dict[str, Program]) -> None:
    def services(program: Program) -> set[str]:
        endpoints = program.of("aws:ec2/vpcEndpoint:VpcEndpoint").values()
        return {one.inputs["serviceName"].removeprefix(f"com.amazonaws.{REGION}.") for one in endpoints}

    usual = {"s3", "sts", "ecr.api", "ecr.dkr", "logs"}
    assert services(aws_programs["standard"]) == usual
    # Without a way out, nodes join and pods log in through endpoints, too.
    assert services(aws_programs["isolated"]) == usual | {"ec2", "eks", "eks-auth", "secretsmanager"}
    assert not aws_programs["isolated"].of("aws:ec2/natGateway:NatGateway")
    gateway = aws_programs["standard"].one("aws:ec2/vpcEndpoint:VpcEndpoint", "cflight-trial-s3")
    assert gateway.inputs["vpcEndpointType"] == "Gateway"
    assert len(gateway.inputs["routeTableIds"]) == 3


@pytest.mark.parametrize(("count", "used"), [(1, {0}), (3, {0, 1, 2})])
def test_nat_gateways(count: int, used: set[int]) -> None:
    program = aws(aws={"network": {"create": {"natGateways": count}}, "images": {}})
    routes = [program.one("aws:ec2/route:Route", f"private-{zone}-to-internet") for zone in range(3)]
    wanted = {identifier("nat", f"cflight-trial-nat-{number}") for number in used}
    assert {one.inputs["natGatewayId"] for one in routes} == wanted


def test_an_adopted_network_and_cluster_are_left_alone(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["serverless"]
    for kind in (VPC, SUBNET, "aws:ec2/natGateway:NatGateway", EKS, NODES, "aws:eks/addon:Addon"):
        assert not program.of(kind), kind
    (cluster,) = program.of(SERVERLESS).values()
    assert cluster.inputs["vpcConfigs"][0]["subnetIds"] == ADOPTED_NETWORK["privateSubnetIds"]
    association = program.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", "cflight-adopted-transform")
    assert association.inputs["clusterName"] == "shared"


@pytest.mark.parametrize(
    ("part", "existing"), [("network", ADOPTED_NETWORK), ("cluster", ADOPTED_CLUSTER)], ids=["network", "cluster"]
)
def test_both_new_and_existing_is_refused(part: str, existing: dict[str, Any]) -> None:
    with pytest.raises(pulumi.RunError, match=rf"cflight:aws\.{part}.*create and existing are both given"):
        aws(aws={part: {"create": {}, "existing": existing}})


# --- who reaches whom ---


def _edges(program: Program, kind: str, far: str) -> set[tuple[str, str, str, int, int]]:
    names = {one.name: name for name, one in program.of("aws:ec2/securityGroup:SecurityGroup").items()}
    groups = {identifier("sg", name): short for name in names if (short := name.removeprefix("cflight-trial-"))}
    groups[identifier("sg", "control-plane")] = "control-plane"

    def party(one: Declared) -> str:
        inputs = one.inputs
        group = inputs.get("referencedSecurityGroupId")
        return groups[group] if group else inputs.get("cidrIpv4") or inputs["prefixListId"]

    found: set[tuple[str, str, str, int, int]] = set()
    for one in program.of(kind).values():
        own, other = groups[one.inputs["securityGroupId"]], party(one)
        pair = (other, own) if far == "source" else (own, other)
        found.add((*pair, one.inputs["ipProtocol"], int(one.inputs["fromPort"]), int(one.inputs["toPort"])))
    return found


def test_exactly_these_ways_are_open(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    among_groups = {
        ("nodes", "brokers", "tcp", 9096, 9096),
        ("nodes", "brokers", "tcp", 9098, 9098),
        ("sinks", "brokers", "tcp", 9098, 9098),
        ("nodes", "endpoints", "tcp", 443, 443),
        ("sinks", "endpoints", "tcp", 443, 443),
        ("nodes", "control-plane", "tcp", 443, 443),
        ("control-plane", "nodes", "tcp", 443, 443),
        ("control-plane", "nodes", "tcp", 10250, 10250),
        ("nodes", "nodes", "tcp", 1024, 65535),
        ("nodes", "nodes", "tcp", 53, 53),
        ("nodes", "nodes", "udp", 53, 53),
        ("sinks", "registry-balancer", "tcp", 8080, 8080),
        ("registry-balancer", "nodes", "tcp", 30881, 30881),
        ("ingest-balancer", "nodes", "tcp", 30880, 30880),
    }
    s3 = "pl-6da54004"
    out = {
        ("nodes", s3, "tcp", 443, 443),
        ("sinks", s3, "tcp", 443, 443),
        # Images of public registries.
        ("nodes", "0.0.0.0/0", "tcp", 443, 443),
    }
    assert _edges(program, EGRESS, "target") == among_groups | out
    assert _edges(program, INGRESS, "source") == among_groups | {
        ("10.60.0.0/16", "ingest-balancer", "tcp", 80, 80),
        (OFFICE, "control-plane", "tcp", 443, 443),
    }
    # No group has rules of its own beside these.
    for group in program.of("aws:ec2/securityGroup:SecurityGroup").values():
        assert "ingress" not in group.inputs
        assert "egress" not in group.inputs


def test_brokers_have_no_way_out(aws_programs: dict[str, Program]) -> None:
    for program in aws_programs.values():
        for one in program.of(EGRESS).values():
            assert not one.name.startswith("brokers-")


def test_partners_come_in_over_tls_from_their_addresses(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["express"]
    listener = program.one("aws:lb/listener:Listener", "ingest")
    assert (listener.inputs["protocol"], listener.inputs["port"]) == ("TLS", 443)
    assert listener.inputs["certificateArn"] == CERTIFICATE
    assert "TLS13" in listener.inputs["sslPolicy"]
    rule = program.one(INGRESS, "clients-0-to-ingest-balancer-tcp-443-in")
    assert rule.inputs["cidrIpv4"] == "198.51.100.0/24"


@pytest.mark.parametrize(
    "ingest", [{"internet": True, "cidrs": ["198.51.100.0/24"]}, {"internet": True, "certificateArn": CERTIFICATE}]
)
def test_an_open_or_unencrypted_ingest_is_refused(ingest: dict[str, Any]) -> None:
    with pytest.raises(pulumi.RunError, match=r"cflight:aws\.ingest"):
        aws(aws={"ingest": ingest})


# --- brokers ---


def test_standard_brokers(aws_programs: dict[str, Program]) -> None:
    (cluster,) = aws_programs["standard"].of(CLUSTER).values()
    inputs = cluster.inputs
    assert inputs["numberOfBrokerNodes"] % 3 == 0
    assert len(inputs["brokerNodeGroupInfo"]["clientSubnets"]) == 3
    assert inputs["encryptionInfo"]["encryptionInTransit"] == {"clientBroker": "TLS", "inCluster": True}
    assert inputs["encryptionInfo"]["encryptionAtRestKmsKeyArn"].startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/")
    assert inputs["clientAuthentication"]["sasl"] == {"iam": True, "scram": True}
    assert inputs["loggingInfo"]["brokerLogs"]["cloudwatchLogs"] == {
        "enabled": True,
        "logGroup": "/aws/msk/cflight-trial",
    }
    exporters = inputs["openMonitoring"]["prometheus"]
    assert exporters == {"jmxExporter": {"enabledInBroker": True}, "nodeExporter": {"enabledInBroker": True}}
    assert inputs["configurationInfo"]["revision"] == 1


def test_server_properties(aws_programs: dict[str, Program]) -> None:
    def properties(name: str) -> dict[str, str]:
        (one,) = aws_programs[name].of("aws:msk/configuration:Configuration").values()
        return dict(line.split("=", 1) for line in one.inputs["serverProperties"].splitlines())

    assert properties("standard") == {
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "false",
        "default.replication.factor": "3",
        "delete.topic.enable": "true",
        "log.retention.ms": str(168 * 3_600_000),
        "message.max.bytes": "16777216",
        "min.insync.replicas": "2",
        "num.partitions": "4",
        "offsets.topic.replication.factor": "3",
        "replica.fetch.max.bytes": "16777216",
        "transaction.state.log.min.isr": "2",
        "transaction.state.log.replication.factor": "3",
        "unclean.leader.election.enable": "false",
    }
    # Replication is AWS's there, and a record has half the size.
    express = properties("express")
    assert express.keys() <= EXPRESS_TAKES
    assert express["message.max.bytes"] == "8388608"
    assert "min.insync.replicas" not in express


def test_disks_grow(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    target = program.one("aws:appautoscaling/target:Target", "cflight-trial-kafka-disks")
    assert target.inputs["maxCapacity"] == 1000
    assert target.inputs["scalableDimension"] == "kafka:broker-storage:VolumeSize"
    policy = program.one("aws:appautoscaling/policy:Policy", "cflight-trial-kafka-disks")
    tracking = policy.inputs["targetTrackingScalingPolicyConfiguration"]
    assert (tracking["targetValue"], tracking["disableScaleIn"]) == (60, True)
    assert not aws_programs["express"].of("aws:appautoscaling/target:Target")


def test_provisioned_throughput(aws_programs: dict[str, Program]) -> None:
    (cluster,) = aws_programs["isolated"].of(CLUSTER).values()
    disks = cluster.inputs["brokerNodeGroupInfo"]["storageInfo"]["ebsStorageInfo"]
    assert disks["provisionedThroughput"] == {"enabled": True, "volumeThroughput": 500}


def test_express_brokers_have_no_disks_to_size(aws_programs: dict[str, Program]) -> None:
    (cluster,) = aws_programs["express"].of(CLUSTER).values()
    assert "storageInfo" not in cluster.inputs["brokerNodeGroupInfo"]
    assert cluster.inputs["brokerNodeGroupInfo"]["instanceType"] == "express.m7g.4xlarge"


def test_scram_users_are_secrets_as_msk_wants_them(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    key = program.one("aws:kms/key:Key", "cflight-trial-secrets")
    secrets = program.of("aws:secretsmanager/secret:Secret")
    assert secrets.keys() == {"cflight-trial-registry", "cflight-trial-ksqldb"}
    for user in ("registry", "ksqldb"):
        secret = secrets[f"cflight-trial-{user}"]
        assert secret.inputs["name"] == f"AmazonMSK_cflight-trial_{user}"
        assert key.name in secret.after
        version = program.one("aws:secretsmanager/secretVersion:SecretVersion", f"cflight-trial-{user}")
        assert "secretString" in version.secrets
        assert json.loads(version.inputs["secretString"]) == {"username": user, "password": "hush"}
        association = program.one(
            "aws:msk/singleScramSecretAssociation:SingleScramSecretAssociation", f"cflight-trial-{user}"
        )
        assert version.name in association.after


def test_no_password_is_in_clear_text_anywhere(aws_programs: dict[str, Program]) -> None:
    for program in aws_programs.values():
        for one in program:
            for argument, value in one.inputs.items():
                if "hush" in json.dumps(value, default=str):
                    assert argument in one.secrets or one.type == "cflight:random:Secret", f"{one.type} {one.name}"


def test_a_serverless_cluster_knows_iam_only(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["serverless"]
    (cluster,) = program.of(SERVERLESS).values()
    assert cluster.inputs["clientAuthentication"] == {"sasl": {"iam": {"enabled": True}}}
    assert not program.of("aws:secretsmanager/secret:Secret")
    assert not program.of("aws:msk/configuration:Configuration")
    topics = _wanted(program)["topics"]
    assert all("min.insync.replicas" not in topic["configs"] for topic in topics)
    assert {topic["configs"]["max.message.bytes"] for topic in topics if "max.message.bytes" in topic["configs"]} == {
        str(8 << 20)
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"aws": {"kafka": {"brokers": 4}}}, "multiple of 3"),
        ({"aws": {"kafka": {"kind": "express", "brokerType": "kafka.m7g.large"}}}, "no type of kind express"),
        ({"aws": {"kafka": {"kind": "express"}}}, "Kafka Streams"),
        ({"aws": {"kafka": {"kind": "serverless"}}}, "SCRAM"),
        ({**SERVICE, "aws": {"kafka": {"kind": "serverless"}}}, "registryUrl"),
        (
            {**SERVICE, "aws": {"kafka": {"kind": "serverless"}, "registryUrl": "https://registry.example.com"}},
            "24 h, not 336 h",
        ),
        ({"aws": {"kafka": {"kind": "express", "throughputMibPerSecond": 300}}}, "standard brokers"),
        ({"aws": {"kafka": {"storageGib": 2000, "maxStorageGib": 100}}}, "is less than storageGib"),
        ({"topics": {"replicationFactor": 1}}, "do not fit three zones"),
        ({"buckets": {"quotes": "q" * 60}}, "takes no bucket name"),
        ({"buckets": {"quotes": "Under_score"}}, "takes no bucket name"),
        ({"aws": {"connect": {"sinks": {"other.sink": {}}}}}, "there is no sink other.sink"),
        ({"aws": {"connect": {"plugin": "confluent"}}}, "do not go together"),
        ({"aws": {"cluster": {"create": {"publicCidrs": ["0.0.0.0/0"]}}}}, "is everyone"),
        ({"aws": {"cluster": {"create": {"privateCidrs": ["0.0.0.0/0"]}}}}, "is everyone"),
        ({"aws": {"cluster": {"create": {"privateCidrs": ["office"]}}}}, "privateCidrs: "),
        ({"aws": {"cluster": {"create": {}}}}, r"aws\.cluster\.create: nobody but.*Set publicCidrs"),
        ({"aws": {"cluster": {}}}, r"aws\.cluster\.create: nobody but.*or privateCidrs"),
        ({"aws": {"network": {"create": {"cidr": "10.0.0.0/24"}}}}, "is not a private block"),
        ({"aws": {"kafka": {"logDays": 31}}}, "logDays"),
        ({"kubernetes": {"autoscaling": {"kind": "keda"}}}, "KEDA"),
    ],
)
def test_what_could_not_work_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError, match=message):
        aws(**settings)


# --- buckets ---


def test_buckets_have_global_names_keys_versions_and_owners(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    names = {name: one.inputs["bucket"] for name, one in program.of("aws:s3/bucket:Bucket").items()}
    assert names == {
        "quotes": f"cflight-bucket-trial-{ACCOUNT}",
        "batches": f"flightbatch-bucket-trial-{ACCOUNT}",
        "artefacts": f"artefacts-trial-{ACCOUNT}",
    }
    for name in names:
        rule = program.one(
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration", name
        ).inputs["rules"][0]
        assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
        assert rule["bucketKeyEnabled"] is True
        versioning = program.one("aws:s3/bucketVersioning:BucketVersioning", name)
        assert versioning.inputs["versioningConfiguration"] == {"status": "Enabled"}
        ownership = program.one("aws:s3/bucketOwnershipControls:BucketOwnershipControls", name)
        assert ownership.inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


def test_objects_grow_old_as_the_settings_say(aws_programs: dict[str, Program]) -> None:
    def rules(name: str, bucket: str) -> dict[str, Any]:
        one = aws_programs[name].one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", bucket)
        return {rule["id"]: rule for rule in one.inputs["rules"]}

    aged = rules("express", "batches")
    assert aged["age"]["transitions"] == [{"days": 30, "storageClass": "GLACIER_IR"}]
    assert aged["age"]["expiration"] == {"days": 365}
    assert aged["leftovers"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    assert rules("standard", "batches").keys() == {"leftovers"}
    # A plug-in that expired would stop the sinks at their next start.
    assert rules("express", "artefacts").keys() == {"leftovers"}


def test_access_logs_by_setting(aws_programs: dict[str, Program]) -> None:
    logged = aws_programs["express"].of("aws:s3/bucketLogging:BucketLogging")
    assert logged.keys() == {"quotes", "batches", "artefacts"}
    assert not aws_programs["standard"].of("aws:s3/bucketLogging:BucketLogging")


# --- sinks ---


def test_a_sink_is_a_connector_with_workers_of_its_own(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    connectors = program.of(CONNECTOR)
    assert connectors.keys() == {"cflight.sink", "batchcompress.sink"}
    one = connectors["cflight.sink"]
    assert one.inputs["name"] == "cflight-trial-cflight-sink"
    assert one.inputs["kafkaClusterClientAuthentication"] == {"authenticationType": "IAM"}
    assert one.inputs["kafkaClusterEncryptionInTransit"] == {"encryptionType": "TLS"}
    assert one.inputs["capacity"] == {"provisionedCapacity": {"mcuCount": 1, "workerCount": 1}}
    assert one.inputs["logDelivery"]["workerLogDelivery"]["cloudwatchLogs"]["enabled"] is True
    config = one.inputs["connectorConfiguration"]
    assert config["connector.class"] == "io.github.cflight.connect.s3.S3SinkConnector"
    assert config["s3.bucket.name"] == f"cflight-bucket-trial-{ACCOUNT}"
    assert config["s3.region"] == REGION
    assert config["consumer.override.isolation.level"] == "read_committed"
    registry = config["value.converter.schema.registry.url"]
    assert registry == f"http://registry-0123abc.elb.{REGION}.amazonaws.com:8080/apis/ccompat/v7"
    assert (
        "value.converter.schema.registry.url" not in connectors["batchcompress.sink"].inputs["connectorConfiguration"]
    )


def test_workers_are_scaled_by_setting(aws_programs: dict[str, Program]) -> None:
    one = aws_programs["express"].one(CONNECTOR, "cflight.sink")
    assert one.inputs["capacity"] == {
        "autoscaling": {
            "mcuCount": 2,
            "minWorkerCount": 1,
            "maxWorkerCount": 4,
            "scaleInPolicy": {"cpuUtilizationPercentage": 20},
            "scaleOutPolicy": {"cpuUtilizationPercentage": 80},
        }
    }


def test_a_changed_sink_replaces_its_connector_under_its_name_and_group() -> None:
    before = aws().one(CONNECTOR, "cflight.sink")
    after = aws(sinks={"cflight.sink": {"flushSize": 7}}).one(CONNECTOR, "cflight.sink")
    assert before.inputs["connectorConfiguration"]["flush.size"] == "1"
    assert after.inputs["connectorConfiguration"]["flush.size"] == "7"
    assert set(after.options["replace_on_changes"]) >= {"connectorConfiguration", "workerConfiguration", "plugins"}
    # The name is the consumer group's, and so the offsets'; one of a name goes before the next comes.
    assert after.inputs["name"] == before.inputs["name"]
    assert after.options["delete_before_replace"] is True


def test_plugin_and_workers_are_named_after_what_is_in_them(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    stored = program.one("aws:s3/bucketObjectv2:BucketObjectv2", "plugin")
    digest = stored.inputs["key"].removeprefix("plugins/embedded-").removesuffix(".zip")
    plugin = program.one(PLUGIN, "plugin")
    assert plugin.inputs["name"] == f"cflight-trial-embedded-{digest[:12]}"
    assert plugin.inputs["location"]["s3"]["fileKey"] == stored.inputs["key"]
    workers = program.one(WORKERS, "workers")
    properties = dict(line.split("=", 1) for line in decoded_properties(workers).splitlines())
    assert properties["value.converter"] == "org.apache.kafka.connect.converters.ByteArrayConverter"
    # MSK Connect takes these of a consumer's properties, and no others.
    taken = {"auto.offset.reset", "fetch.max.bytes", "max.partition.fetch.bytes"}
    assert {name.removeprefix("consumer.") for name in properties if name.startswith("consumer.")} == taken


def test_the_confluent_plugin_from_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "plugin.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sink/kafka-connect-s3-10.5.0.jar", b"PK")
        archive.writestr("avro/kafka-connect-avro-converter-7.9.0.jar", b"PK")
    program = aws(aws={"connect": {"plugin": "confluent", "pluginZip": str(path)}})
    assert program.one(PLUGIN, "plugin").inputs["name"].startswith("cflight-trial-confluent-")
    config = program.one(CONNECTOR, "cflight.sink").inputs["connectorConfiguration"]
    assert config["connector.class"] == "io.confluent.connect.s3.S3SinkConnector"


def test_a_zip_without_the_converter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plugin.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sink/kafka-connect-s3-10.5.0.jar", b"PK")
    with pytest.raises(pulumi.RunError, match="the Avro converter"):
        aws(aws={"connect": {"plugin": "confluent", "pluginZip": str(path)}})


def test_a_sink_that_does_not_fit_its_workers_is_refused() -> None:
    with pytest.raises(
        pulumi.RunError, match=r"open files .* MiB \+ fetched records .* but the heap of a worker is 3,072 MiB"
    ):
        aws(topics={**TOPICS, "partitions": 200}, sinks={"batchcompress.sink": {"partSize": "25Mi", "tasksMax": 8}})
    # The same fits workers of twice the size.
    aws(
        topics={**TOPICS, "partitions": 200},
        sinks={"batchcompress.sink": {"partSize": "25Mi", "tasksMax": 8}},
        aws={"connect": {"sinks": {"batchcompress.sink": {"mcus": 2}}}},
    )
    assert 4 * GIB * 0.75 == 3072 << 20


# --- on EKS ---


def test_a_new_cluster(aws_programs: dict[str, Program]) -> None:
    (cluster,) = aws_programs["express"].of(EKS).values()
    inputs = cluster.inputs
    assert inputs["accessConfig"]["authenticationMode"] == "API"
    assert inputs["vpcConfig"]["endpointPrivateAccess"] is True
    assert inputs["vpcConfig"]["publicAccessCidrs"] == ["192.0.2.0/24"]
    assert inputs["encryptionConfig"]["resources"] == ["secrets"]
    assert inputs["deletionProtection"] is True
    assert aws_programs["standard"].one(EKS, "cflight-trial").inputs["vpcConfig"]["endpointPublicAccess"] is False
    addons = {one.inputs["addonName"] for one in aws_programs["express"].of("aws:eks/addon:Addon").values()}
    assert addons == {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver"}
    assert aws_programs["express"].of("aws:iam/openIdConnectProvider:OpenIdConnectProvider")
    (template,) = aws_programs["express"].of("aws:ec2/launchTemplate:LaunchTemplate").values()
    assert template.inputs["metadataOptions"]["httpTokens"] == "required"
    assert template.inputs["metadataOptions"]["httpPutResponseHopLimit"] == 1
    (disk,) = template.inputs["blockDeviceMappings"]
    assert disk["ebs"]["encrypted"] == "true"


def test_disks_have_a_class_before_anything_claims_them(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    (storage,) = program.of(STORAGE_CLASS).values()
    assert storage.inputs["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert storage.inputs["provisioner"] == "ebs.csi.aws.com"
    assert storage.inputs["parameters"] == {"type": "gp3", "encrypted": "true"}
    assert storage.inputs["volumeBindingMode"] == "WaitForFirstConsumer"
    assert storage.inputs["allowVolumeExpansion"] is True
    assert "aws-ebs-csi-driver" in storage.after
    sets = program.of("kubernetes:apps/v1:StatefulSet")
    assert sets
    assert all(storage.name in one.after for one in sets.values())
    assert not aws_programs["serverless"].of(STORAGE_CLASS)


def test_changed_configuration_is_not_deleted_first(aws_programs: dict[str, Program]) -> None:
    provider = aws_programs["standard"].one("pulumi:providers:kubernetes", "eks")
    assert provider.inputs["enableConfigMapMutable"] == "true"
    assert provider.inputs["enableSecretMutable"] == "true"


def test_services_of_nodes_do_not_wait_for_pods(aws_programs: dict[str, Program]) -> None:
    for name in ("ingest-nodes", "registry-nodes"):
        service = aws_programs["standard"].one("kubernetes:core/v1:Service", name)
        assert service.inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def _wanted(program: Program) -> dict[str, Any]:
    (files,) = [one for one in program.of("kubernetes:core/v1:ConfigMap").values() if one.name == "topics-files"]
    return json.loads(files.inputs["data"]["kafka.json"])


def test_the_job_knows_all_topics_and_the_scram_users_rights(aws_programs: dict[str, Program]) -> None:
    wanted = _wanted(aws_programs["standard"])
    assert {topic["name"] for topic in wanted["topics"]} >= {
        contracts.EVENT_LOG,
        contracts.PAYLOAD,
        contracts.CHEAPEST,
        "kafkasql-journal",
    }
    assert wanted["users"].keys() == {"registry", "ksqldb"}
    assert _wanted(aws_programs["express"])["users"].keys() == {"registry"}
    job = aws_programs["standard"].one(JOB, "topics")
    (container,) = job.inputs["spec"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "infra.aws.register"]
    assert container["image"].endswith(f"/cflight-trial/services@{DIGEST}")


def test_services_log_in_with_iam_and_run_the_pushed_image(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    for service in ("ingest", "transform", "compressor"):
        deployment = program.one(DEPLOYMENT, service)
        (container,) = deployment.inputs["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cflight-trial/services@{DIGEST}"
        data = program.one("kubernetes:core/v1:ConfigMap", service).inputs["data"]
        assert data["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        assert data["KAFKA_SASL_MECHANISM"] == "OAUTHBEARER"
        assert data["KAFKA_IAM_REGION"] == REGION
        assert data["KAFKA_BOOTSTRAP_SERVERS"].endswith(":9098")
        assert data["MAX_MESSAGE_BYTES"] == str(16 << 20)


def test_ksqldb_and_registry_log_in_with_scram(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["standard"]
    properties = program.one("kubernetes:core/v1:ConfigMap", "ksql-files").inputs["data"]["ksql-server.properties"]
    assert "sasl.mechanism=SCRAM-SHA-512" in properties
    assert ":9096" in properties
    for user in ("ksqldb", "registry"):
        secret = program.one("kubernetes:core/v1:Secret", f"kafka-{user}")
        assert "stringData" in secret.secrets
    assert not aws_programs["express"].of("kubernetes:apps/v1:StatefulSet")


def test_the_registry_comes_after_its_topics_and_all_else_after_it(
    aws_programs: dict[str, Program],
) -> None:
    program = aws_programs["standard"]
    assert "topics" in program.one(DEPLOYMENT, "registry").after
    for name in ("transform",):
        assert "registry" in program.one(DEPLOYMENT, name).after
    schemas = [one for one in program.of(JOB).values() if one.name.startswith("schema-")]
    assert len(schemas) == 2
    assert "statements" in program.of(JOB)
    assert "statements" in program.one(CONNECTOR, "cflight.sink").after


def test_images_are_scanned_immutable_and_forgotten(aws_programs: dict[str, Program]) -> None:
    repository = aws_programs["standard"].one("aws:ecr/repository:Repository", "cflight-trial-services")
    assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
    assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository.inputs["forceDelete"] is False
    policy = aws_programs["standard"].one("aws:ecr/lifecyclePolicy:LifecyclePolicy", "cflight-trial-services")
    assert [rule["rulePriority"] for rule in json.loads(policy.inputs["policy"])["rules"]] == [1, 2]
