"""Customer keys: one for each kind of data, so that access to one opens no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import kms

from infra.aws.policies import key_policy

if TYPE_CHECKING:
    from infra.aws.stack import Stack


class Keys(pulumi.ComponentResource):
    """The stack's KMS keys. They are rotated every year.

    Args:
        stack: the stack.

    Attributes:
        kafka: the brokers' disks.
        secrets: SCRAM users; MSK takes no secret that has the account's default key.
        buckets: objects.
        cluster: Kubernetes' secrets, and images.
    """

    def __init__(self, stack: Stack) -> None:
        super().__init__("cflight:aws:Keys", "keys", {}, stack.within())
        self._stack = stack
        self.kafka = self._key("kafka", purpose="Disks of the brokers")
        self.secrets = self._key("secrets", purpose="SCRAM users of the brokers")
        self.buckets = self._key("buckets", purpose="Objects of the sinks")
        self.cluster = self._key("cluster", purpose="Secrets of Kubernetes, and images")
        self.register_outputs({})

    def _key(self, name: str, *, purpose: str) -> pulumi.Output[str]:
        stack = self._stack
        key = kms.Key(
            f"{stack.prefix}-{name}",
            description=f"{stack.prefix}: {purpose}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=json.dumps(key_policy(partition=stack.partition, account=stack.account)),
            tags=stack.tags(f"{name}-key"),
            opts=stack.opts(self, holds_data=True),
        )
        kms.Alias(
            f"{stack.prefix}-{name}",
            name=f"alias/{stack.prefix}-{name}",
            target_key_id=key.id,
            opts=stack.opts(self),
        )
        return key.arn
