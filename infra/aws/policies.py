"""IAM documents: who may do what. Plain data, so that they can be linted without a stack.

Sources of the actions: AWS's service authorization reference; for Kafka the table of MSK's IAM access control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Statement = dict[str, Any]
Document = dict[str, Any]

_CONNECT = "kafka-cluster:Connect"
_DESCRIBE_TOPIC = "kafka-cluster:DescribeTopic"


def document(*statements: Statement) -> Document:
    """Return a policy of statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(
    actions: Sequence[str], resources: Sequence[str], *, when: Mapping[str, Mapping[str, Any]] | None = None
) -> Statement:
    """Return a statement of an identity's policy.

    Args:
        actions: what may be done.
        resources: on what, by ARN.
        when: the conditions, by operator and key.
    """
    statement: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": dict(when)} if when else statement


def trust(service: str, *, account: str | None = None, source_arn: str | None = None) -> Document:
    """Return who may take a role on: a service, on behalf of this account only.

    Args:
        service: the service's principal.
        account: the account that it must act for; None where the service tells no account.
        source_arn: the pattern of the resource that it must act for.
    """
    statement: Statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    condition: dict[str, Any] = {}
    if account is not None:
        condition["StringEquals"] = {"aws:SourceAccount": account}
    if source_arn is not None:
        condition["ArnLike"] = {"aws:SourceArn": source_arn}
    return document({**statement, "Condition": condition} if condition else statement)


def pod_trust(*, cluster_arn: str, namespace: str, service_account: str) -> Document:
    """Return who may take a pod's role on: EKS, for pods with this service account of this cluster.

    Args:
        cluster_arn: the EKS cluster.
        namespace: the service account's namespace.
        service_account: its name.
    """
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": cluster_arn,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": service_account,
                }
            },
        }
    )


def kafka_arn(cluster_arn: str, kind: str, name: str = "") -> str:
    """Return the ARN of something in an MSK cluster.

    Args:
        cluster_arn: the cluster's ARN, `arn:…:cluster/<name>/<uuid>`.
        kind: topic, group or transactional-id.
        name: its name; may end in `*`.
    """
    return f"{cluster_arn.replace(':cluster/', f':{kind}/', 1)}/{name}"


def kafka_client(
    cluster_arn: str, *, reads: Sequence[str] = (), writes: Sequence[str] = (), service: str, transactional: bool
) -> Document:
    """Return what a service needs of Kafka.

    Args:
        cluster_arn: the MSK cluster.
        reads: topics that it consumes, in the consumer group of its name.
        writes: topics that it produces to, idempotently.
        service: its name.
        transactional: whether it writes in transactions, whose ids begin with its name.
    """

    def topics(names: Sequence[str]) -> list[str]:
        return [kafka_arn(cluster_arn, "topic", name) for name in names]

    cluster = [_CONNECT, *(["kafka-cluster:WriteDataIdempotently"] if writes else [])]
    statements = [allow(cluster, [cluster_arn])]
    if reads:
        statements.append(allow([_DESCRIBE_TOPIC, "kafka-cluster:ReadData"], topics(reads)))
        statements.append(
            allow(
                ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"],
                [kafka_arn(cluster_arn, "group", service)],
            )
        )
    if writes:
        statements.append(allow([_DESCRIBE_TOPIC, "kafka-cluster:WriteData"], topics(writes)))
    if transactional:
        statements.append(
            allow(
                ["kafka-cluster:DescribeTransactionalId", "kafka-cluster:AlterTransactionalId"],
                [kafka_arn(cluster_arn, "transactional-id", f"{service}-*")],
            )
        )
    return document(*statements)


def kafka_admin(cluster_arn: str, *, topics: Sequence[str]) -> Document:
    """Return what the job needs that makes topics and ACLs.

    Args:
        cluster_arn: the MSK cluster.
        topics: the topics that it makes; no others.
    """
    return document(
        # ACLs are altered through the cluster.
        allow([_CONNECT, "kafka-cluster:DescribeCluster", "kafka-cluster:AlterCluster"], [cluster_arn]),
        allow(
            [
                "kafka-cluster:CreateTopic",
                _DESCRIBE_TOPIC,
                "kafka-cluster:AlterTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
                "kafka-cluster:AlterTopicDynamicConfiguration",
            ],
            [kafka_arn(cluster_arn, "topic", name) for name in topics],
        ),
    )


def sink_worker(
    *,
    cluster_arn: str,
    topics: Sequence[str],
    group: str,
    bucket_arn: str,
    prefixes: Sequence[str],
    key_arn: str,
    s3_service: str,
) -> Document:
    """Return what a sink's workers need: these topics, this group, this bucket.

    Args:
        cluster_arn: the MSK cluster.
        topics: the topics that the sink reads.
        group: the sink's consumer group.
        bucket_arn: the bucket that it writes to.
        prefixes: the parts of it, such as `topics/CHEAPEST_FLIGHT`.
        key_arn: the KMS key of the bucket.
        s3_service: S3's name as KMS sees it, `s3.<region>.amazonaws.com`.
    """
    # MSK Connect names its own topics and group after the connector and an id that only it knows.
    own = "__amazon_msk_connect_*"
    return document(
        allow([_CONNECT, "kafka-cluster:DescribeCluster"], [cluster_arn]),
        allow(
            [_DESCRIBE_TOPIC, "kafka-cluster:ReadData"],
            [kafka_arn(cluster_arn, "topic", name) for name in topics],
        ),
        allow(
            ["kafka-cluster:CreateTopic", _DESCRIBE_TOPIC, "kafka-cluster:ReadData", "kafka-cluster:WriteData"],
            [kafka_arn(cluster_arn, "topic", own)],
        ),
        allow(
            ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"],
            [kafka_arn(cluster_arn, "group", own), kafka_arn(cluster_arn, "group", group)],
        ),
        allow(["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], [bucket_arn]),
        allow(
            ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            [f"{bucket_arn}/{prefix}/*" for prefix in prefixes],
        ),
        # An upload in parts reads the data key again for every part.
        allow(["kms:GenerateDataKey", "kms:Decrypt"], [key_arn], when={"StringEquals": {"kms:ViaService": s3_service}}),
    )


def tls_only(bucket_arn: str) -> list[Statement]:
    """Return statements of a bucket's policy that refuse requests without TLS 1.2.

    Args:
        bucket_arn: the bucket.
    """
    deny: Statement = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
    }
    return [
        {**deny, "Sid": "OnlyTls", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {**deny, "Sid": "OnlyTls12", "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    ]


def access_logs(bucket_arn: str, *, account: str, sources: Sequence[str]) -> Statement:
    """Return the statement of a log bucket's policy that lets S3 write access logs.

    Args:
        bucket_arn: the log bucket.
        account: the account of the logged buckets.
        sources: the logged buckets' ARNs.
    """
    return {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"{bucket_arn}/*",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}, "ArnLike": {"aws:SourceArn": list(sources)}},
    }


def key_policy(*, partition: str, account: str, statements: Sequence[Statement] = ()) -> Document:
    """Return a KMS key's policy: the account's IAM decides who uses it.

    In a key's policy the resource "*" means this key.

    Args:
        partition: the first part of ARNs.
        account: the account.
        statements: what services besides may do.
    """
    root: Statement = {
        "Sid": "AccountDecides",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return document(root, *statements)
