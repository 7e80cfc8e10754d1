"""From a declared resource to the API call that makes it, in the words of botocore's service models.

An argument whose name differs from the API's in more than case and plural is in `renamed`; one that a later call sets
is in `later`, with that call. Any other argument that the call does not know is an error: nothing is left unchecked.
"""

# botocore's models are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import base64
import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.validate import ParamValidator

from tests.program.aws_account import AUTONAMED, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.program.recording import Declared

Params = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """How a resource is made.

    Attributes:
        service: the service, as botocore names it.
        operation: the operation.
        renamed: API names of arguments, by argument.
        later: arguments that another call sets, with its name.
        build: makes the parameters from the inputs, where the shapes differ.
    """

    service: str
    operation: str
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    later: Mapping[str, str] = field(default_factory=dict[str, str])
    build: Callable[[Params], Params] | None = None


def _rule(inputs: Params) -> Params:
    permission: Params = {
        "IpProtocol": inputs["ipProtocol"],
        "FromPort": inputs["fromPort"],
        "ToPort": inputs["toPort"],
    }
    why = {"Description": inputs["description"]}
    if "referencedSecurityGroupId" in inputs:
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **why}]
    if "cidrIpv4" in inputs:
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **why}]
    if "prefixListId" in inputs:
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **why}]
    return {"GroupId": inputs["securityGroupId"], "IpPermissions": [permission]}


def _flow_log(inputs: Params) -> Params:
    return {
        "ResourceIds": [inputs["vpcId"]],
        "ResourceType": "VPC",
        "TrafficType": inputs["trafficType"],
        "LogDestinationType": inputs["logDestinationType"],
        "LogDestination": inputs["logDestination"],
        "DeliverLogsPermissionArn": inputs["iamRoleArn"],
        "MaxAggregationInterval": inputs["maxAggregationInterval"],
    }


def _launch_template(inputs: Params) -> Params:
    mappings = [
        {
            "DeviceName": one["deviceName"],
            "Ebs": {
                "VolumeSize": one["ebs"]["volumeSize"],
                "VolumeType": one["ebs"]["volumeType"],
                "Encrypted": one["ebs"]["encrypted"] == "true",
                "DeleteOnTermination": one["ebs"]["deleteOnTermination"] == "true",
            },
        }
        for one in inputs["blockDeviceMappings"]
    ]
    metadata = {key[0].upper() + key[1:]: value for key, value in inputs["metadataOptions"].items()}
    return {
        "LaunchTemplateName": inputs["name"],
        "LaunchTemplateData": {
            "SecurityGroupIds": inputs["vpcSecurityGroupIds"],
            "BlockDeviceMappings": mappings,
            "MetadataOptions": metadata,
            "TagSpecifications": [
                {
                    "ResourceType": one["resourceType"],
                    "Tags": [{"Key": key, "Value": value} for key, value in one["tags"].items()],
                }
                for one in inputs["tagSpecifications"]
            ],
        },
    }


def _serverless(inputs: Params) -> Params:
    return {
        "clusterName": inputs["clusterName"],
        "tags": inputs["tags"],
        "serverless": {
            "vpcConfigs": inputs["vpcConfigs"],
            "clientAuthentication": {"sasl": {"iam": inputs["clientAuthentication"]["sasl"]["iam"]}},
        },
    }


def _lifecycle(inputs: Params) -> Params:
    def api(value: Any) -> Any:
        if isinstance(value, dict):
            given = cast("Params", value)
            return {_api_name(key): api(one) for key, one in given.items()}
        return [api(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value

    names = {"id": "ID"}

    def _api_name(key: str) -> str:
        return names.get(key, key[0].upper() + key[1:])

    return {"Bucket": inputs["bucket"], "LifecycleConfiguration": {"Rules": api(inputs["rules"])}}


def _encryption(inputs: Params) -> Params:
    rules: list[Params] = []
    for rule in inputs["rules"]:
        default = rule["applyServerSideEncryptionByDefault"]
        by_default = {"SSEAlgorithm": default["sseAlgorithm"]}
        if "kmsMasterKeyId" in default:
            by_default["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        made: Params = {"ApplyServerSideEncryptionByDefault": by_default}
        if "bucketKeyEnabled" in rule:
            made["BucketKeyEnabled"] = rule["bucketKeyEnabled"]
        rules.append(made)
    return {"Bucket": inputs["bucket"], "ServerSideEncryptionConfiguration": {"Rules": rules}}


def _bucket(inputs: Params) -> Params:
    return {"Bucket": inputs["bucket"], "CreateBucketConfiguration": {"LocationConstraint": REGION}}


def _public_access(inputs: Params) -> Params:
    flags = {key[0].upper() + key[1:]: value for key, value in inputs.items() if key != "bucket"}
    return {"Bucket": inputs["bucket"], "PublicAccessBlockConfiguration": flags}


def _listener(inputs: Params) -> Params:
    made: Params = {
        "LoadBalancerArn": inputs["loadBalancerArn"],
        "Port": inputs["port"],
        "Protocol": inputs["protocol"],
        "DefaultActions": [
            {"Type": one["type"], "TargetGroupArn": one["targetGroupArn"]} for one in inputs["defaultActions"]
        ],
    }
    if "certificateArn" in inputs:
        made |= {"Certificates": [{"CertificateArn": inputs["certificateArn"]}], "SslPolicy": inputs["sslPolicy"]}
    return made


def _target_group(inputs: Params) -> Params:
    health = inputs["healthCheck"]
    return {
        "Name": inputs["name"],
        "Protocol": inputs["protocol"],
        "Port": inputs["port"],
        "VpcId": inputs["vpcId"],
        "TargetType": inputs["targetType"],
        "HealthCheckProtocol": health["protocol"],
        "HealthCheckPort": health["port"],
        "HealthCheckIntervalSeconds": health["interval"],
    }


def _load_balancer(inputs: Params) -> Params:
    return {
        "Name": inputs["name"],
        "Type": inputs["loadBalancerType"],
        "Scheme": "internal" if inputs["internal"] else "internet-facing",
        "Subnets": inputs["subnets"],
        "SecurityGroups": inputs["securityGroups"],
    }


def _connector(inputs: Params) -> Params:
    cluster = inputs["kafkaCluster"]["apacheKafkaCluster"]
    logs = inputs["logDelivery"]["workerLogDelivery"]["cloudwatchLogs"]
    capacity = dict(inputs["capacity"])
    if "autoscaling" in capacity:
        capacity["autoScaling"] = capacity.pop("autoscaling")
    return {
        "connectorName": inputs["name"],
        "connectorDescription": inputs["description"],
        "kafkaConnectVersion": inputs["kafkaconnectVersion"],
        "capacity": capacity,
        "connectorConfiguration": inputs["connectorConfiguration"],
        "kafkaCluster": {
            "apacheKafkaCluster": {"bootstrapServers": cluster["bootstrapServers"], "vpc": cluster["vpc"]}
        },
        "kafkaClusterClientAuthentication": inputs["kafkaClusterClientAuthentication"],
        "kafkaClusterEncryptionInTransit": inputs["kafkaClusterEncryptionInTransit"],
        "plugins": [
            {
                "customPlugin": {
                    "customPluginArn": one["customPlugin"]["arn"],
                    "revision": one["customPlugin"]["revision"],
                }
            }
            for one in inputs["plugins"]
        ],
        "serviceExecutionRoleArn": inputs["serviceExecutionRoleArn"],
        "workerConfiguration": {
            "workerConfigurationArn": inputs["workerConfiguration"]["arn"],
            "revision": inputs["workerConfiguration"]["revision"],
        },
        "logDelivery": {"workerLogDelivery": {"cloudWatchLogs": logs}},
        "tags": inputs["tags"],
    }


def _add_on(inputs: Params) -> Params:
    made = {key: inputs[key] for key in ("clusterName", "addonName", "tags")}
    made["resolveConflicts"] = inputs["resolveConflictsOnCreate"]
    if "configurationValues" in inputs:
        made["configurationValues"] = inputs["configurationValues"]
    return made


def _msk_cluster(inputs: Params) -> Params:
    encryption = inputs["encryptionInfo"]
    made = {key: value for key, value in inputs.items() if key not in {"encryptionInfo", "tags"}}
    sasl = inputs["clientAuthentication"]["sasl"]
    made["clientAuthentication"] = {
        "sasl": {"scram": {"enabled": sasl["scram"]}, "iam": {"enabled": sasl["iam"]}},
        "unauthenticated": {"enabled": inputs["clientAuthentication"]["unauthenticated"]},
    }
    made["encryptionInfo"] = {
        "encryptionAtRest": {"dataVolumeKMSKeyId": encryption["encryptionAtRestKmsKeyArn"]},
        "encryptionInTransit": encryption["encryptionInTransit"],
    }
    logs = inputs["loggingInfo"]["brokerLogs"]["cloudwatchLogs"]
    made["loggingInfo"] = {"brokerLogs": {"cloudWatchLogs": logs}}
    return {**_capitalised(made), "Tags": inputs["tags"]}


def _capitalised(value: Any) -> Any:
    # The Kafka model capitalises its members; on the wire they begin with a small letter.
    if isinstance(value, dict):
        given = cast("Params", value)
        special = {"dataVolumeKMSKeyId": "DataVolumeKMSKeyId"}
        return {
            special.get(key, key[0].upper() + key[1:]): (one if key == "tags" else _capitalised(one))
            for key, one in given.items()
        }
    return [_capitalised(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


_EC2, _S3, _EKS = "ec2", "s3", "eks"
CALLS: Mapping[str, Call] = {
    "aws:ec2/vpc:Vpc": Call(
        service=_EC2,
        operation="CreateVpc",
        later={"enableDnsSupport": "ModifyVpcAttribute", "enableDnsHostnames": "ModifyVpcAttribute"},
    ),
    "aws:ec2/subnet:Subnet": Call(
        service=_EC2, operation="CreateSubnet", later={"mapPublicIpOnLaunch": "ModifySubnetAttribute"}
    ),
    "aws:ec2/securityGroup:SecurityGroup": Call(
        service=_EC2, operation="CreateSecurityGroup", renamed={"name": "GroupName"}
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Call(
        service=_EC2, operation="AuthorizeSecurityGroupIngress", build=_rule
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Call(
        service=_EC2, operation="AuthorizeSecurityGroupEgress", build=_rule
    ),
    "aws:ec2/routeTable:RouteTable": Call(service=_EC2, operation="CreateRouteTable"),
    "aws:ec2/route:Route": Call(service=_EC2, operation="CreateRoute"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Call(service=_EC2, operation="AssociateRouteTable"),
    "aws:ec2/internetGateway:InternetGateway": Call(
        service=_EC2, operation="CreateInternetGateway", later={"vpcId": "AttachInternetGateway"}
    ),
    "aws:ec2/eip:Eip": Call(service=_EC2, operation="AllocateAddress"),
    "aws:ec2/natGateway:NatGateway": Call(service=_EC2, operation="CreateNatGateway"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Call(service=_EC2, operation="CreateVpcEndpoint"),
    "aws:ec2/flowLog:FlowLog": Call(service=_EC2, operation="CreateFlowLogs", build=_flow_log),
    "aws:ec2/launchTemplate:LaunchTemplate": Call(
        service=_EC2, operation="CreateLaunchTemplate", build=_launch_template
    ),
    "aws:iam/role:Role": Call(
        service="iam",
        operation="CreateRole",
        renamed={"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
    ),
    "aws:iam/rolePolicy:RolePolicy": Call(
        service="iam",
        operation="PutRolePolicy",
        renamed={"name": "PolicyName", "role": "RoleName", "policy": "PolicyDocument"},
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Call(
        service="iam", operation="AttachRolePolicy", renamed={"role": "RoleName"}
    ),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": Call(
        service="iam", operation="CreateOpenIDConnectProvider", renamed={"clientIdLists": "ClientIDList"}
    ),
    "aws:kms/key:Key": Call(
        service="kms",
        operation="CreateKey",
        later={"enableKeyRotation": "EnableKeyRotation", "deletionWindowInDays": "ScheduleKeyDeletion"},
    ),
    "aws:kms/alias:Alias": Call(service="kms", operation="CreateAlias", renamed={"name": "AliasName"}),
    "aws:s3/bucket:Bucket": Call(service=_S3, operation="CreateBucket", build=_bucket),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": Call(
        service=_S3, operation="PutPublicAccessBlock", build=_public_access
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": Call(
        service=_S3,
        operation="PutBucketOwnershipControls",
        build=lambda inputs: {
            "Bucket": inputs["bucket"],
            "OwnershipControls": {"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]},
        },
    ),
    "aws:s3/bucketVersioning:BucketVersioning": Call(
        service=_S3,
        operation="PutBucketVersioning",
        build=lambda inputs: {
            "Bucket": inputs["bucket"],
            "VersioningConfiguration": {"Status": inputs["versioningConfiguration"]["status"]},
        },
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Call(
        service=_S3, operation="PutBucketEncryption", build=_encryption
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": Call(
        service=_S3, operation="PutBucketLifecycleConfiguration", build=_lifecycle
    ),
    "aws:s3/bucketLogging:BucketLogging": Call(
        service=_S3,
        operation="PutBucketLogging",
        build=lambda inputs: {
            "Bucket": inputs["bucket"],
            "BucketLoggingStatus": {
                "LoggingEnabled": {"TargetBucket": inputs["targetBucket"], "TargetPrefix": inputs["targetPrefix"]}
            },
        },
    ),
    "aws:s3/bucketPolicy:BucketPolicy": Call(service=_S3, operation="PutBucketPolicy"),
    "aws:s3/bucketObjectv2:BucketObjectv2": Call(
        service=_S3,
        operation="PutObject",
        build=lambda inputs: {
            "Bucket": inputs["bucket"],
            "Key": inputs["key"],
            "ContentType": inputs["contentType"],
            "Body": b"PK",
        },
    ),
    "aws:cloudwatch/logGroup:LogGroup": Call(
        service="logs",
        operation="CreateLogGroup",
        renamed={"name": "logGroupName"},
        later={"retentionInDays": "PutRetentionPolicy"},
    ),
    "aws:ecr/repository:Repository": Call(
        service="ecr",
        operation="CreateRepository",
        renamed={"name": "repositoryName", "encryptionConfigurations": "encryptionConfiguration"},
        later={"forceDelete": "DeleteRepository"},
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": Call(
        service="ecr",
        operation="PutLifecyclePolicy",
        renamed={"repository": "repositoryName", "policy": "lifecyclePolicyText"},
    ),
    "aws:eks/cluster:Cluster": Call(
        service=_EKS,
        operation="CreateCluster",
        build=lambda inputs: {
            "name": inputs["name"],
            "version": inputs["version"],
            "roleArn": inputs["roleArn"],
            "resourcesVpcConfig": {
                key: value for key, value in inputs["vpcConfig"].items() if key != "clusterSecurityGroupId"
            },
            "accessConfig": inputs["accessConfig"],
            "encryptionConfig": [inputs["encryptionConfig"]],
            "logging": {"clusterLogging": [{"types": inputs["enabledClusterLogTypes"], "enabled": True}]},
            "deletionProtection": inputs["deletionProtection"],
            "tags": inputs["tags"],
        },
    ),
    "aws:eks/nodeGroup:NodeGroup": Call(
        service=_EKS,
        operation="CreateNodegroup",
        renamed={"nodeGroupName": "nodegroupName", "nodeRoleArn": "nodeRole", "subnetIds": "subnets"},
    ),
    "aws:eks/addon:Addon": Call(service=_EKS, operation="CreateAddon", build=_add_on),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": Call(
        service=_EKS, operation="CreatePodIdentityAssociation"
    ),
    "aws:eks/accessEntry:AccessEntry": Call(service=_EKS, operation="CreateAccessEntry"),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": Call(service=_EKS, operation="AssociateAccessPolicy"),
    "aws:msk/configuration:Configuration": Call(
        service="kafka",
        operation="CreateConfiguration",
        build=lambda inputs: {
            "Name": inputs["name"],
            "Description": inputs["description"],
            "KafkaVersions": inputs["kafkaVersions"],
            "ServerProperties": inputs["serverProperties"].encode(),
        },
    ),
    "aws:msk/cluster:Cluster": Call(
        service="kafka",
        operation="CreateCluster",
        build=_msk_cluster,
    ),
    "aws:msk/serverlessCluster:ServerlessCluster": Call(
        service="kafka", operation="CreateClusterV2", build=lambda inputs: _capitalised(_serverless(inputs))
    ),
    "aws:msk/singleScramSecretAssociation:SingleScramSecretAssociation": Call(
        service="kafka",
        operation="BatchAssociateScramSecret",
        build=lambda inputs: {"ClusterArn": inputs["clusterArn"], "SecretArnList": [inputs["secretArn"]]},
    ),
    "aws:mskconnect/customPlugin:CustomPlugin": Call(
        service="kafkaconnect",
        operation="CreateCustomPlugin",
        build=lambda inputs: {
            "name": inputs["name"],
            "description": inputs["description"],
            "contentType": inputs["contentType"],
            "location": {"s3Location": inputs["location"]["s3"]},
            "tags": inputs["tags"],
        },
    ),
    "aws:mskconnect/workerConfiguration:WorkerConfiguration": Call(
        service="kafkaconnect", operation="CreateWorkerConfiguration"
    ),
    "aws:mskconnect/connector:Connector": Call(service="kafkaconnect", operation="CreateConnector", build=_connector),
    "aws:secretsmanager/secret:Secret": Call(
        service="secretsmanager", operation="CreateSecret", later={"recoveryWindowInDays": "DeleteSecret"}
    ),
    "aws:secretsmanager/secretVersion:SecretVersion": Call(service="secretsmanager", operation="PutSecretValue"),
    "aws:appautoscaling/target:Target": Call(service="application-autoscaling", operation="RegisterScalableTarget"),
    "aws:appautoscaling/policy:Policy": Call(
        service="application-autoscaling", operation="PutScalingPolicy", renamed={"name": "PolicyName"}
    ),
    "aws:lb/loadBalancer:LoadBalancer": Call(service="elbv2", operation="CreateLoadBalancer", build=_load_balancer),
    "aws:lb/targetGroup:TargetGroup": Call(service="elbv2", operation="CreateTargetGroup", build=_target_group),
    "aws:lb/listener:Listener": Call(service="elbv2", operation="CreateListener", build=_listener),
    "aws:autoscaling/attachment:Attachment": Call(
        service="autoscaling",
        operation="AttachLoadBalancerTargetGroups",
        build=lambda inputs: {
            "AutoScalingGroupName": inputs["autoscalingGroupName"],
            "TargetGroupARNs": [inputs["lbTargetGroupArn"]],
        },
    ),
}
"""By type."""

WITHOUT_CALL = {
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "AWS makes it with the VPC; the provider takes its rules away",
}
"""Types that no call makes, and why."""


def _whole(value: Any) -> Any:
    # The engine's protocol knows no integers.
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in cast("Params", value).items()}
    if isinstance(value, list):
        return [_whole(one) for one in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def params(resource: Declared) -> Params:
    """Return the parameters of the call that makes a resource.

    Args:
        resource: the resource.

    Raises:
        AssertionError: an argument is unknown to the call.
    """
    call = CALLS[resource.type]
    inputs: Params = _whole(dict(resource.inputs))
    if resource.type in AUTONAMED:
        inputs = {AUTONAMED[resource.type]: f"{resource.name}-0123abc", **inputs}
    if call.build is not None:
        return call.build(inputs)
    shape = _model(call.service).operation_model(call.operation).input_shape
    made: Params = {}
    for key, value in inputs.items():
        if key in call.later:
            assert call.later[key] in _model(call.service).operation_names, f"{call.service} has no {call.later[key]}"
        elif key == "tags":
            made |= _tags(shape, value)
        else:
            made |= _member(shape, key, value, call=call, where=f"{resource.type} {resource.name}")
    return made


def _tags(shape: Any, tags: Mapping[str, str]) -> Params:
    for name in ("Tags", "tags"):
        member = shape.members.get(name)
        if member is not None and member.type_name == "map":
            return {name: dict(tags)}
        if member is not None:
            keys = sorted(member.member.members, key=str.lower)[:2]  # Key and Value, TagKey and TagValue
            return {name: [dict(zip(keys, pair, strict=True)) for pair in tags.items()]}
    # EC2's goes with the kind of the resource, and where a call takes none, another one tags.
    return {}


def _member(shape: Any, key: str, value: Any, *, call: Call, where: str) -> Params:
    members = {name.lower(): name for name in shape.members}
    wanted = call.renamed.get(key, key).lower()
    name = next((members[one] for one in (wanted, f"{wanted}s", wanted.removesuffix("s")) if one in members), None)
    assert name is not None, f"{where}: {call.operation} has no {key}; it has {sorted(shape.members)}"
    return {name: _value(shape.members[name], value, call=call, where=f"{where}.{key}")}


def _value(shape: Any, value: Any, *, call: Call, where: str) -> Any:
    if shape.type_name == "structure":
        given = value[0] if isinstance(value, list) else value
        assert isinstance(given, dict), f"{where}: {given!r} is no structure"
        made: Params = {}
        for key, one in cast("Params", given).items():
            made |= _member(shape, key, one, call=call, where=where)
        return made
    if shape.type_name == "list":
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        return [_value(shape.member, one, call=call, where=where) for one in items]
    if shape.type_name == "blob":
        return value.encode() if isinstance(value, str) else value
    if shape.type_name == "double":
        return float(value)
    return value


def problems(resource: Declared) -> list[str]:
    """Return what the API's model has against the call that makes a resource.

    Args:
        resource: the resource.
    """
    call = CALLS[resource.type]
    shape = _model(call.service).operation_model(call.operation).input_shape
    given = params(resource)
    report = ParamValidator().validate(given, shape).generate_report()
    return [*([report] if report else []), *_constraints(shape, given, call.operation)]


def _constraints(shape: Any, value: Any, where: str) -> list[str]:  # noqa: C901 - one branch a kind of shape
    # Enumerations, patterns and the greatest lengths, which botocore itself leaves to the service.
    found: list[str] = []
    if shape.type_name == "structure":
        for name, one in value.items():
            if name in shape.members:
                found += _constraints(shape.members[name], one, f"{where}.{name}")
    elif shape.type_name == "list":
        for one in value:
            found += _constraints(shape.member, one, where)
        found += _bounds(shape, len(value), where)
    elif shape.type_name == "map":
        for name, one in value.items():
            found += _constraints(shape.key, name, where) + _constraints(shape.value, one, f"{where}.{name}")
        found += _bounds(shape, len(value), where)
    elif shape.type_name == "string":
        text = str(value)
        if getattr(shape, "enum", None) and text not in shape.enum:
            found.append(f"{where}: {text!r} is none of {shape.enum}")
        pattern = shape.metadata.get("pattern")
        if pattern is not None and not _matches(pattern, text):
            found.append(f"{where}: {text!r} does not match {pattern}")
        found += _bounds(shape, len(text), where)
    elif shape.type_name in {"integer", "long", "float", "double"}:
        found += _bounds(shape, value, where)
    return found


def _bounds(shape: Any, size: float, where: str) -> list[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        return [f"{where}: {size} is less than {low}"]
    return [f"{where}: {size} is more than {high}"] if high is not None and size > high else []


def _matches(pattern: str, text: str) -> bool:
    # The models' patterns are Java's, where classes of characters have other names; what we name is ASCII.
    classes = {
        r"\p{L}": "A-Za-z",
        r"\p{Z}": " ",
        r"\p{N}": "0-9",
        r"\p{ASCII}": r"\x00-\x7f",
        r"\p{Graph}": r"\x21-\x7e",
        r"\p{Print}": r"[\x20-\x7e]",
        # A pair of surrogates is one character here.
        r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",
    }
    for java, python in classes.items():
        pattern = pattern.replace(java, python)
    # Some models anchor their patterns, some mean them so.
    return re.fullmatch(pattern, text, flags=re.DOTALL) is not None


def decoded_properties(resource: Declared) -> str:
    """Return a worker configuration's properties."""
    return base64.b64decode(resource.inputs["propertiesFileContent"]).decode()
