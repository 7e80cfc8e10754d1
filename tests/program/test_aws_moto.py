"""The target against an AWS that answers: a moto server, on which the declared resources are really made.

The program runs with each resource made by its API call, in the order of its dependencies, and goes on with the ids
that came back. What moto has not is answered as in the other program tests, and is listed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from tests.program.aws_account import AUTONAMED, DIGEST, OFFICE, REGION, TOPICS, answer
from tests.program.aws_calls import CALLS, WITHOUT_CALL, params
from tests.program.recording import Declared, Program, declare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from infra.__main__ import declare as program

# What came back, by type: the outputs that the program goes on with.
_OUTPUTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "aws:ec2/vpc:Vpc": lambda made: {"id": made["Vpc"]["VpcId"]},
    "aws:ec2/subnet:Subnet": lambda made: {"id": made["Subnet"]["SubnetId"]},
    "aws:ec2/securityGroup:SecurityGroup": lambda made: {"id": made["GroupId"]},
    "aws:ec2/routeTable:RouteTable": lambda made: {"id": made["RouteTable"]["RouteTableId"]},
    "aws:ec2/internetGateway:InternetGateway": lambda made: {"id": made["InternetGateway"]["InternetGatewayId"]},
    "aws:ec2/eip:Eip": lambda made: {"id": made["AllocationId"]},
    "aws:ec2/natGateway:NatGateway": lambda made: {"id": made["NatGateway"]["NatGatewayId"]},
    "aws:ec2/launchTemplate:LaunchTemplate": lambda made: {"id": made["LaunchTemplate"]["LaunchTemplateId"]},
    "aws:kms/key:Key": lambda made: {"id": made["KeyMetadata"]["KeyId"], "arn": made["KeyMetadata"]["Arn"]},
    "aws:iam/role:Role": lambda made: {"arn": made["Role"]["Arn"]},
    "aws:ecr/repository:Repository": lambda made: {"repositoryUrl": made["repository"]["repositoryUri"]},
    "aws:secretsmanager/secret:Secret": lambda made: {"id": made["ARN"], "arn": made["ARN"]},
    "aws:msk/cluster:Cluster": lambda made: {"arn": made["ClusterArn"]},
    "aws:lb/loadBalancer:LoadBalancer": lambda made: {
        "arn": made["LoadBalancers"][0]["LoadBalancerArn"],
        "dnsName": made["LoadBalancers"][0]["DNSName"],
    },
    "aws:lb/targetGroup:TargetGroup": lambda made: {"arn": made["TargetGroups"][0]["TargetGroupArn"]},
}
# What moto 5.2 has not, or not as AWS has it.
_LACKING = {
    "aws:msk/configuration:Configuration": "no configurations",
    "aws:msk/singleScramSecretAssociation:SingleScramSecretAssociation": "no SCRAM",
    "aws:mskconnect/customPlugin:CustomPlugin": "no MSK Connect",
    "aws:mskconnect/workerConfiguration:WorkerConfiguration": "no MSK Connect",
    "aws:mskconnect/connector:Connector": "no MSK Connect",
    "aws:appautoscaling/target:Target": "does not know brokers' disks",
    "aws:appautoscaling/policy:Policy": "does not know brokers' disks",
    "aws:eks/addon:Addon": "no add-ons",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": "no pod identities",
    "aws:autoscaling/attachment:Attachment": "the group is the node group's, which nobody starts here",
}


class Account:
    """An account on a moto server.

    Args:
        endpoint: the server.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self.made: list[str] = []

    def client(self, service: str) -> Any:
        """Return a client of a service."""
        if service not in self._clients:
            self._clients[service] = boto3.client(  # pyright: ignore[reportCallIssue, reportUnknownMemberType]
                service,  # pyright: ignore[reportArgumentType]
                endpoint_url=self._endpoint,
                region_name=REGION,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=Config(retries={"max_attempts": 0}),
            )
        return self._clients[service]

    def __call__(self, kind: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Make a resource, and return what the program goes on with."""
        expected = answer(kind, name, inputs)
        if not kind.startswith("aws:") or kind in WITHOUT_CALL or kind in _LACKING or kind not in CALLS:
            return expected
        given = dict(inputs)
        if kind in AUTONAMED:
            given.setdefault(AUTONAMED[kind], expected[AUTONAMED[kind]])
        call = CALLS[kind]
        resource = Declared(type=kind, name=name, inputs=given, secrets=frozenset(), after=frozenset(), parent="")
        if given.get("securityGroupId") == answer_of_control_plane() or (
            given.get("referencedSecurityGroupId") == answer_of_control_plane()
        ):
            # EKS makes this group itself, and moto's EKS does not.
            return expected
        try:
            made = self._operation(call.service, call.operation)(**params(resource))
        except ClientError as error:
            if kind == "aws:s3/bucketObjectv2:BucketObjectv2" and "(403)" in str(error):
                # The server speaks plain HTTP, which the bucket's policy refuses as soon as it is there.
                self.made.append(kind)
                return expected
            raise AssertionError(f"{kind} {name}: {error}") from error
        self.made.append(kind)
        return {**expected, **_OUTPUTS.get(kind, lambda _made: {})(made)}

    def _operation(self, service: str, operation: str) -> Callable[..., dict[str, Any]]:
        client = self.client(service)
        names = {name: method for method, name in client.meta.method_to_api_mapping.items()}
        return getattr(client, names[operation])


def answer_of_control_plane() -> str:
    """Return the group that EKS would make for the control plane."""
    made = answer("aws:eks/cluster:Cluster", "cflight-trial", {"name": "cflight-trial", "vpcConfig": {}})
    return made["vpcConfig"]["clusterSecurityGroupId"]


@pytest.fixture(scope="module")
def account(sink_plugin: None) -> Iterator[tuple[Account, Program]]:
    """The account after the stack was made in it."""
    del sink_plugin
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = Account(f"http://{host}:{port}")
        config = {
            "target": "aws",
            "topics": TOPICS,
            "aws": {
                "images": {"services": DIGEST},
                "buckets": {"accessLogs": True},
                "cluster": {"create": {"privateCidrs": [OFFICE]}},
            },
        }
        declared = declare(
            program, stack="trial", config={f"cflight:{key}": value for key, value in config.items()}, outputs=made
        )
        yield made, declared
    finally:
        server.stop()
        monkeypatch.undo()


def test_all_that_moto_has_was_made(account: tuple[Account, Program]) -> None:
    made, declared = account
    wanted = {one.type for one in declared if one.type in CALLS} - _LACKING.keys()
    assert set(made.made) == wanted
    assert {"aws:msk/cluster:Cluster", "aws:eks/cluster:Cluster", "aws:ecr/repository:Repository"} <= wanted


def test_buckets_are_closed_encrypted_and_versioned(account: tuple[Account, Program]) -> None:
    s3 = account[0].client("s3")
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert len(names) == 4
    for name in names:
        assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
        algorithm = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if name.startswith("access-logs") else "aws:kms")
        (ownership,) = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
        assert ownership["ObjectOwnership"] == "BucketOwnerEnforced"
        assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=name)["Policy"]
        logged = s3.get_bucket_logging(Bucket=name).get("LoggingEnabled")
        assert (logged is None) == name.startswith("access-logs")


def test_buckets_refuse_what_comes_without_tls(account: tuple[Account, Program]) -> None:
    s3 = account[0].client("s3")  # over plain HTTP, as the server speaks nothing else
    for bucket in s3.list_buckets()["Buckets"]:
        with pytest.raises(ClientError, match="403"):
            s3.put_object(Bucket=bucket["Name"], Key="key", Body=b"")


def test_brokers_are_encrypted_and_ask_for_a_login(account: tuple[Account, Program]) -> None:
    kafka = account[0].client("kafka")
    (found,) = kafka.list_clusters()["ClusterInfoList"]
    assert found["ClusterName"] == "cflight-trial-standard"
    cluster = kafka.describe_cluster_v2(ClusterArn=found["ClusterArn"])["ClusterInfo"]["Provisioned"]
    assert cluster["NumberOfBrokerNodes"] == 3
    assert cluster["EncryptionInfo"]["EncryptionInTransit"] == {"ClientBroker": "TLS", "InCluster": True}
    assert cluster["EncryptionInfo"]["EncryptionAtRest"]["DataVolumeKMSKeyId"].startswith("arn:aws:kms:")


def test_groups_have_only_the_declared_edges(account: tuple[Account, Program]) -> None:
    groups = account[0].client("ec2").describe_security_groups()["SecurityGroups"]
    (brokers,) = [group for group in groups if "-brokers-" in group["GroupName"]]
    assert {rule["FromPort"] for rule in brokers["IpPermissions"]} == {9096, 9098}
    assert all(rule["IpRanges"] == [] for rule in brokers["IpPermissions"])


def test_roles_have_one_policy_each(account: tuple[Account, Program]) -> None:
    iam = account[0].client("iam")
    roles = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    assert {"cflight-trial-transform-0123abc", "cflight-trial-topics-0123abc"} <= roles
    for role in roles:
        inline = iam.list_role_policies(RoleName=role)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert bool(inline) != bool(attached), role
        for name in inline:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            assert json.dumps(document).count('"Effect": "Allow"') == len(document["Statement"])


def test_images_are_immutable_and_scanned(account: tuple[Account, Program]) -> None:
    (repository,) = account[0].client("ecr").describe_repositories()["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["encryptionConfiguration"]["encryptionType"] == "KMS"


def test_the_cluster_is_private(account: tuple[Account, Program]) -> None:
    cluster = account[0].client("eks").describe_cluster(name="cflight-trial")["cluster"]
    assert cluster["resourcesVpcConfig"]["endpointPublicAccess"] is False
    assert cluster["resourcesVpcConfig"]["endpointPrivateAccess"] is True
