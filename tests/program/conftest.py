"""What program tests of a target share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.aws import plugin
from tests.program.aws_account import aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.program.recording import Program

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
ADOPTED_NETWORK = {
    "vpcId": "vpc-0a1b2c3d4e5f60718",
    "privateSubnetIds": [f"subnet-0a1b2c3d4e5f6071{number}" for number in range(3)],
}
ADOPTED_CLUSTER = {"name": "shared", "nodeSecurityGroupId": "sg-0a1b2c3d4e5f60718", "autoscalingGroups": ["nodes"]}


@pytest.fixture(scope="session")
def sink_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A plug-in where the bootstrap would have built it."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        folder = cache / "s3-sink-trial"
        folder.mkdir()
        patch.setattr(plugin, "sink_folder", lambda: folder)
        patch.setattr(plugin, "cache_folder", lambda: cache)
        (folder / "s3-sink.jar").write_bytes(b"PK")
        yield


@pytest.fixture(scope="session")
def aws_programs(sink_plugin: None) -> dict[str, Program]:
    """Stacks on AWS that between them declare everything that the target can."""
    del sink_plugin
    return {
        "standard": aws(),
        "express": aws(
            stack="express",
            cheapestEngine="service",
            protect=True,
            aws={
                "network": {"create": {"natGateways": 3}},
                "cluster": {
                    "create": {"publicCidrs": ["192.0.2.0/24"], "adminRoleArns": ["arn:aws:iam::123456789012:role/ops"]}
                },
                "kafka": {"kind": "express", "brokerType": "express.m7g.4xlarge", "brokers": 6},
                "connect": {"sinks": {"cflight.sink": {"mcus": 2, "workers": 1, "maxWorkers": 4}}},
                "buckets": {"transitionDays": 30, "expiryDays": 365, "accessLogs": True},
                "ingest": {"internet": True, "certificateArn": CERTIFICATE, "cidrs": ["198.51.100.0/24"]},
                "images": {"services": f"sha256:{'cd' * 32}"},
            },
        ),
        "serverless": aws(
            stack="adopted",
            cheapestEngine="service",
            topics={
                "replicationFactor": 3,
                "minInSyncReplicas": 2,
                "retentionHours": 24,
                "deadLetterRetentionHours": 24,
            },
            aws={
                "accountId": "123456789012",
                "network": {"existing": ADOPTED_NETWORK},
                "cluster": {"existing": ADOPTED_CLUSTER},
                "kafka": {"kind": "serverless"},
                "registryUrl": "https://registry.example.com/apis/ccompat/v7",
                "images": {"services": f"sha256:{'cd' * 32}"},
            },
        ),
        "isolated": aws(
            stack="isolated",
            aws={
                "network": {"create": {"natGateways": 0}},
                "kafka": {"brokerType": "kafka.m7g.4xlarge", "throughputMibPerSecond": 500},
                "images": {},
            },
        ),
    }
