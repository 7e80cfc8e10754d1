"""Who may do what: every IAM document that the target declares."""

# parliament is untyped.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from services import contracts
from tests.program.aws_account import ACCOUNT, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.program.recording import Program

with warnings.catch_warnings():
    # It asks setuptools for its own files, in a way that setuptools would like to see no longer.
    warnings.simplefilter("ignore")
    import parliament

CLUSTER = f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/cflight-trial-standard/11111111-2222-3333-4444-555555555555-5"

# The only wildcards, each with its reason.
ALLOWED_ACTIONS = {
    # A key's policy that did not let the account administer it would lock everyone out.
    "kms:*": "key policy",
    # Refused to everyone, without TLS.
    "s3:*": "deny",
}
ALLOWED_RESOURCES = {
    "*": "in a key's policy: this key",
    "topic/*/__amazon_msk_connect_*": "MSK Connect's own topics, whose names hold an id that it makes",
    "group/*/__amazon_msk_connect_*": "and its own group",
    "transactional-id/*-*": "an instance's transactional id begins with its service's name",
    "log-group:*:*": "streams of one log group",
    "bucket/*": "objects of one bucket, or of a prefix in it",
}


def policies(program: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all documents by where they are: identity policies, trust policies, key policies, bucket policies."""
    for one in program:
        for argument in ("policy", "assumeRolePolicy"):
            if one.type.startswith(("aws:iam/", "aws:kms/", "aws:s3/")) and argument in one.inputs:
                yield f"{one.type.rpartition(':')[2]} {one.name} {argument}", json.loads(one.inputs[argument])


def identity_policies(program: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in program:
        if one.type == "aws:iam/rolePolicy:RolePolicy":
            yield one.name, json.loads(one.inputs["policy"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_parliament_finds_nothing(aws_programs: dict[str, Program]) -> None:
    found: dict[str, list[str]] = {}
    for program in aws_programs.values():
        for name, document in identity_policies(program):
            analysed = parliament.analyze_policy_string(json.dumps(document))
            # What is allowed of them is said above, and checked below.
            issues = [str(one) for one in analysed.findings if one.issue != "RESOURCE_STAR"]
            if issues:
                found[name] = issues
    assert not found


def test_parliament_would_find_something() -> None:
    bad = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "kafka-cluster:Fly", "Resource": CLUSTER}],
    }
    assert parliament.analyze_policy_string(json.dumps(bad)).findings


def test_no_wildcard_beyond_the_listed_ones(aws_programs: dict[str, Program]) -> None:
    stars: list[str] = []
    for program in aws_programs.values():
        for where, document in policies(program):
            for statement in document["Statement"]:
                for action in _list(statement["Action"]):
                    if "*" in action and action not in ALLOWED_ACTIONS:
                        stars.append(f"{where}: {action}")
                    if action == "s3:*":
                        assert statement["Effect"] == "Deny", where
                    if action == "kms:*":
                        assert where.startswith("Key "), where
                stars += [
                    f"{where}: {resource}"
                    for resource in _list(statement.get("Resource", []))
                    if "*" in resource and not _is_allowed(where, resource)
                ]
    assert not stars


def _is_allowed(where: str, resource: str) -> bool:
    if resource == "*":
        return where.startswith("Key ")
    kind = resource.split(":")[2]
    if kind == "s3":
        return resource.endswith("/*") and resource.count("*") == 1
    if kind == "logs":
        return resource.endswith(":*") and resource.count("*") == 1
    kafka, name = resource.split(":")[5].split("/", maxsplit=1)[0], resource.rpartition("/")[2]
    if kafka in {"topic", "group"}:
        return name == "__amazon_msk_connect_*"
    return kafka == "transactional-id" and name.endswith("-*") and name.count("*") == 1


def test_every_trust_names_who_and_for_whom(aws_programs: dict[str, Program]) -> None:
    for program in aws_programs.values():
        for where, document in policies(program):
            if not where.endswith("assumeRolePolicy"):
                continue
            (statement,) = document["Statement"]
            service = statement["Principal"]["Service"]
            condition = statement.get("Condition", {})
            if service == "pods.eks.amazonaws.com":
                tags = condition["StringEquals"]
                assert tags["aws:RequestTag/eks-cluster-arn"].startswith(f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/")
                assert set(tags) >= {
                    "aws:RequestTag/kubernetes-namespace",
                    "aws:RequestTag/kubernetes-service-account",
                }
            elif service in {"kafkaconnect.amazonaws.com", "vpc-flow-logs.amazonaws.com"}:
                assert condition["StringEquals"]["aws:SourceAccount"] == ACCOUNT
            else:
                # These act for the account whose role it is, and tell no other.
                assert service in {"eks.amazonaws.com", "ec2.amazonaws.com"}


def _by_action(document: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for statement in document["Statement"]:
        for action in _list(statement["Action"]):
            found.setdefault(action.removeprefix("kafka-cluster:"), set()).update(_list(statement["Resource"]))
    return found


def _kafka(kind: str, *names: str) -> set[str]:
    return {f"{CLUSTER.replace(':cluster/', f':{kind}/')}/{name}" for name in names}


def test_transform_gets_its_topics_and_group_and_no_others(aws_programs: dict[str, Program]) -> None:
    allowed = _by_action(dict(identity_policies(aws_programs["standard"]))["cflight-trial-transform"])
    writes = (contracts.PAYLOAD, contracts.INCOMING, contracts.INCOMING_DLQ, contracts.EVENT_LOG_DLQ)
    assert allowed == {
        "Connect": {CLUSTER},
        "WriteDataIdempotently": {CLUSTER},
        "DescribeTopic": _kafka("topic", contracts.EVENT_LOG, *writes),
        "ReadData": _kafka("topic", contracts.EVENT_LOG),
        "DescribeGroup": _kafka("group", "transform"),
        "AlterGroup": _kafka("group", "transform"),
        "WriteData": _kafka("topic", *writes),
        "DescribeTransactionalId": _kafka("transactional-id", "transform-*"),
        "AlterTransactionalId": _kafka("transactional-id", "transform-*"),
    }


def test_ingest_only_writes_the_event_log(aws_programs: dict[str, Program]) -> None:
    allowed = _by_action(dict(identity_policies(aws_programs["standard"]))["cflight-trial-ingest"])
    assert allowed == {
        "Connect": {CLUSTER},
        "WriteDataIdempotently": {CLUSTER},
        "DescribeTopic": _kafka("topic", contracts.EVENT_LOG),
        "WriteData": _kafka("topic", contracts.EVENT_LOG),
    }


@pytest.mark.parametrize("service", ["ingest", "transform", "compressor", "cheapest"])
def test_every_service_has_a_role_of_its_own(aws_programs: dict[str, Program], service: str) -> None:
    program = aws_programs["express"]
    association = program.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", f"cflight-express-{service}")
    assert association.inputs["serviceAccount"] == service
    assert association.inputs["namespace"] == "cflight"
    assert f"role/cflight-express-{service}-" in association.inputs["roleArn"]
    (pods,) = [one for one in program if one.type == "kubernetes:apps/v1:Deployment" and one.name == service]
    assert pods.inputs["spec"]["template"]["spec"]["serviceAccountName"] == service
    # A pod that starts before its identity is there would never get one.
    assert association.name in pods.after


def test_a_sink_reads_its_topic_and_writes_its_prefix(aws_programs: dict[str, Program]) -> None:
    documents = dict(identity_policies(aws_programs["standard"]))
    allowed = _by_action(documents["cflight-trial-sink-cflight-sink"])
    bucket = f"arn:aws:s3:::cflight-bucket-trial-{ACCOUNT}"
    own = "__amazon_msk_connect_*"
    assert allowed["ReadData"] == _kafka("topic", contracts.CHEAPEST, own)
    assert allowed["WriteData"] == allowed["CreateTopic"] == _kafka("topic", own)
    assert allowed["AlterGroup"] == _kafka("group", own, "connect-cflight-trial-cflight-sink")
    assert allowed["s3:PutObject"] == {f"{bucket}/topics/{contracts.CHEAPEST}/*"}
    assert allowed["s3:ListBucket"] == {bucket}
    assert "s3:DeleteObject" not in allowed
    assert "s3:GetObject" not in allowed
    (key,) = allowed["kms:GenerateDataKey"]
    conditions = [
        one["Condition"] for one in documents["cflight-trial-sink-cflight-sink"]["Statement"] if "Condition" in one
    ]
    assert conditions == [{"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}]
    encryption = aws_programs["standard"].one(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration", "quotes"
    )
    default = encryption.inputs["rules"][0]["applyServerSideEncryptionByDefault"]
    assert default == {"kmsMasterKeyId": key, "sseAlgorithm": "aws:kms"}


def test_the_topics_job_alters_only_the_platforms_topics(aws_programs: dict[str, Program]) -> None:
    allowed = _by_action(dict(identity_policies(aws_programs["standard"]))["cflight-trial-topics"])
    storage = ("kafkasql-journal", "kafkasql-snapshots", "registry-events")
    topics = _kafka(
        "topic",
        *storage,
        contracts.EVENT_LOG,
        contracts.EVENT_LOG_DLQ,
        contracts.PAYLOAD,
        contracts.INCOMING,
        contracts.INCOMING_DLQ,
        contracts.COMPRESSED,
        contracts.CHEAPEST,
    )
    assert allowed["CreateTopic"] == allowed["AlterTopic"] == topics
    assert allowed["AlterCluster"] == {CLUSTER}
    # It never deletes a topic, nor looks into one.
    assert not allowed.keys() & {"DeleteTopic", "ReadData", "WriteData"}


def test_buckets_refuse_what_comes_without_tls(aws_programs: dict[str, Program]) -> None:
    program = aws_programs["express"]
    buckets = program.of("aws:s3/bucket:Bucket")
    documents = {one.name: json.loads(one.inputs["policy"]) for one in program if one.type.endswith(":BucketPolicy")}
    assert documents.keys() == buckets.keys() == {"quotes", "batches", "artefacts", "access-logs"}
    for name, document in documents.items():
        arn = f"arn:aws:s3:::{buckets[name].inputs['bucket']}"
        by_sid = {one["Sid"]: one for one in document["Statement"]}
        for sid, condition in (
            ("OnlyTls", {"Bool": {"aws:SecureTransport": "false"}}),
            ("OnlyTls12", {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        ):
            assert by_sid[sid]["Effect"] == "Deny"
            assert by_sid[sid]["Principal"] == {"AWS": "*"}
            assert by_sid[sid]["Resource"] == [arn, f"{arn}/*"]
            assert by_sid[sid]["Condition"] == condition
        allows = [one for one in document["Statement"] if one["Effect"] == "Allow"]
        assert [one["Sid"] for one in allows] == (["AccessLogs"] if name == "access-logs" else [])
