"""An AWS account that answers a program as AWS would: ids, ARNs, endpoints in their real forms."""

from __future__ import annotations

import hashlib
from typing import Any

from infra.__main__ import declare as program
from tests.program.recording import Program, declare

ACCOUNT = "123456789012"
REGION = "eu-west-1"
DIGEST = f"sha256:{'ab' * 32}"
_UUID = "11111111-2222-3333-4444-555555555555"
_SUFFIX = "-0123abc"
# What Pulumi names by itself: the logical name and seven random characters. By type, the argument.
AUTONAMED = {
    "aws:iam/role:Role": "name",
    "aws:iam/rolePolicy:RolePolicy": "name",
    "aws:ec2/securityGroup:SecurityGroup": "name",
    "aws:ec2/launchTemplate:LaunchTemplate": "name",
    "aws:msk/configuration:Configuration": "name",
    "aws:eks/nodeGroup:NodeGroup": "nodeGroupName",
    "aws:lb/loadBalancer:LoadBalancer": "name",
    "aws:lb/targetGroup:TargetGroup": "name",
    "aws:appautoscaling/policy:Policy": "name",
}
# How the ids of what EC2 makes begin.
_IDS = {
    "vpc:Vpc": "vpc",
    "subnet:Subnet": "subnet",
    "securityGroup:SecurityGroup": "sg",
    "defaultSecurityGroup:DefaultSecurityGroup": "sg",
    "routeTable:RouteTable": "rtb",
    "internetGateway:InternetGateway": "igw",
    "natGateway:NatGateway": "nat",
    "eip:Eip": "eipalloc",
    "launchTemplate:LaunchTemplate": "lt",
    "vpcEndpoint:VpcEndpoint": "vpce",
}


def identifier(kind: str, name: str) -> str:
    """Return the id of something of EC2's, always the same for a name."""
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:17]}"


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def answer(  # noqa: C901, PLR0912, PLR0915 - a table
    kind: str, name: str, inputs: dict[str, Any]
) -> dict[str, Any]:
    """Return what AWS would say of a resource beside its inputs, or what a function returns."""
    if kind in AUTONAMED:
        inputs = {AUTONAMED[kind]: f"{name}{_SUFFIX}", **inputs}
    resource = kind.rpartition("/")[2]
    made: dict[str, Any] = {AUTONAMED[kind]: inputs[AUTONAMED[kind]]} if kind in AUTONAMED else {}
    if kind.startswith("aws:ec2/") and resource in _IDS:
        made["id"] = identifier(_IDS[resource], name)
    match kind:
        case "aws:index/getCallerIdentity:getCallerIdentity":
            made |= {"accountId": ACCOUNT, "arn": arn("iam", "user/somebody", region=""), "id": ACCOUNT, "userId": "u"}
        case "aws:ec2/getManagedPrefixList:getManagedPrefixList":
            made |= {"id": "pl-6da54004", "name": inputs["name"]}
        case "aws:ec2/getVpc:getVpc":
            made |= {"id": inputs["id"], "cidrBlock": "10.7.0.0/16"}
        case "aws:eks/getCluster:getCluster":
            made |= _eks(inputs["name"]) | {"certificateAuthorities": [{"data": "Q0E="}], "id": inputs["name"]}
        case "aws:eks/cluster:Cluster":
            made |= _eks(inputs["name"]) | {
                "id": inputs["name"],
                "vpcConfig": {**inputs["vpcConfig"], "clusterSecurityGroupId": identifier("sg", "control-plane")},
            }
        case "aws:eks/nodeGroup:NodeGroup":
            made |= {"resources": [{"autoscalingGroups": [{"name": "eks-nodes-group"}]}]}
        case "aws:ec2/launchTemplate:LaunchTemplate":
            made |= {"latestVersion": 1, "arn": arn("ec2", f"launch-template/{made['id']}")}
        case "aws:kms/key:Key":
            made |= {"id": _UUID, "keyId": _UUID, "arn": arn("kms", f"key/{_key_id(name)}")}
        case "aws:iam/role:Role":
            made |= {"id": made["name"], "arn": arn("iam", f"role/{made['name']}", region="")}
        case "aws:s3/bucket:Bucket":
            made |= {"id": inputs["bucket"], "arn": f"arn:aws:s3:::{inputs['bucket']}"}
        case "aws:cloudwatch/logGroup:LogGroup":
            made |= {"arn": arn("logs", f"log-group:{inputs['name']}")}
        case "aws:ecr/repository:Repository":
            made |= {"repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{inputs['name']}"}
        case "aws:secretsmanager/secret:Secret":
            made |= {"id": arn("secretsmanager", f"secret:{inputs['name']}-AbCdEf")}
            made["arn"] = made["id"]
        case "aws:msk/configuration:Configuration":
            made |= {"arn": arn("kafka", f"configuration/{made['name']}/{_UUID}-1"), "latestRevision": 1}
        case "aws:msk/cluster:Cluster":
            made |= _msk(inputs["clusterName"])
            hosts = [f"b-{number}.trial.abcd12.c4.kafka.{REGION}.amazonaws.com" for number in (1, 2, 3)]
            made["bootstrapBrokersSaslIam"] = ",".join(f"{host}:9098" for host in hosts)
            made["bootstrapBrokersSaslScram"] = ",".join(f"{host}:9096" for host in hosts)
        case "aws:msk/serverlessCluster:ServerlessCluster":
            made |= _msk(inputs["clusterName"])
            made["bootstrapBrokersSaslIam"] = f"boot-abcd.c1.kafka-serverless.{REGION}.amazonaws.com:9098"
        case "aws:mskconnect/customPlugin:CustomPlugin":
            made |= {"arn": arn("kafkaconnect", f"custom-plugin/{inputs['name']}/{_UUID}-1"), "latestRevision": 1}
        case "aws:mskconnect/workerConfiguration:WorkerConfiguration":
            made |= {"arn": arn("kafkaconnect", f"worker-configuration/{inputs['name']}/{_UUID}-1")}
            made["latestRevision"] = 1
        case "aws:lb/loadBalancer:LoadBalancer":
            made |= {"arn": arn("elasticloadbalancing", f"loadbalancer/net/{made['name']}/50dc6c495c0c9188")}
            made["dnsName"] = f"{made['name']}.elb.{REGION}.amazonaws.com"
        case "aws:lb/targetGroup:TargetGroup":
            made |= {"arn": arn("elasticloadbalancing", f"targetgroup/{made['name']}/73e2d6bc24d8a067")}
        case "cflight:random:Secret":
            made |= {"value": "hush"}
        case _:
            pass
    return made


def _key_id(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _eks(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "arn": arn("eks", f"cluster/{name}"),
        "endpoint": f"https://ABCDEF.gr7.{REGION}.eks.amazonaws.com",
        "certificateAuthority": {"data": "Q0E="},
        "identities": [{"oidcs": [{"issuer": f"https://oidc.eks.{REGION}.amazonaws.com/id/ABCDEF"}]}],
    }


def _msk(name: str) -> dict[str, Any]:
    return {"arn": arn("kafka", f"cluster/{name}/{_UUID}-5")}


OFFICE = "10.9.0.0/24"
TOPICS = {"replicationFactor": 3, "minInSyncReplicas": 2}


def aws(*, stack: str = "trial", **settings: Any) -> Program:
    """Return what a stack on AWS declares.

    Args:
        stack: the stack's name.
        **settings: the stack's settings; of `aws`, the image and who administers the cluster are set unless they say
            otherwise.
    """
    merged: dict[str, Any] = {"target": "aws", "topics": TOPICS, **settings}
    administered = {"create": {"privateCidrs": [OFFICE]}}
    merged["aws"] = {"images": {"services": DIGEST}, "cluster": administered, **merged.get("aws", {})}
    return declare(
        program,
        stack=stack,
        config={f"cflight:{key}": value for key, value in merged.items()},
        outputs=answer,
    )
