"""What every part of an AWS stack is declared with: names, tags, provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.settings import AwsSettings, StackSettings

ZONES = 3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack on AWS.

    Attributes:
        name: the stack's name.
        settings: its settings.
        account: the account's id.
        provider: the AWS provider, which refuses any other account.
    """

    name: str
    settings: StackSettings
    account: str
    provider: pulumi.ProviderResource

    @property
    def aws(self) -> AwsSettings:
        """The settings of this target."""
        return self.settings.aws

    @property
    def prefix(self) -> str:
        """What the names of all that is made begin with."""
        return f"cflight-{self.name}"

    @property
    def region(self) -> str:
        """The region that all is in."""
        return self.aws.region

    @property
    def partition(self) -> str:
        """The first part of ARNs: regions of China and of the US government have their own."""
        for start, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
            if self.region.startswith(start):
                return partition
        return "aws"

    @property
    def dns_suffix(self) -> str:
        """The domain of the services' endpoints."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @property
    def zones(self) -> list[str]:
        """The three availability zones of a network that the stack makes."""
        create = self.aws.network.create
        return (create.zones if create else []) or [f"{self.region}{letter}" for letter in "abc"]

    def tags(self, name: str) -> dict[str, str]:
        """Return the tags of a resource.

        Args:
            name: what it is, for its tag `Name`.
        """
        own = {"Name": f"{self.prefix}-{name}", "project": "cflight", "stack": self.name, "managed-by": "pulumi"}
        return {**self.aws.tags, **own}

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN of this account and region.

        Args:
            service: the service's namespace, such as "kafka".
            resource: the resource part.
        """
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def managed_policy(self, name: str) -> str:
        """Return the ARN of a policy that AWS keeps."""
        return f"arn:{self.partition}:iam::aws:policy/{name}"

    def opts(
        self,
        parent: pulumi.Resource,
        *,
        depends_on: Sequence[pulumi.Resource] = (),
        holds_data: bool = False,
        delete_before_replace: bool | None = None,
        replace_on_changes: list[str] | None = None,
        ignore_changes: list[str] | None = None,
    ) -> pulumi.ResourceOptions:
        """Return a resource's options.

        Args:
            parent: the component that it belongs to.
            depends_on: what must be there before.
            holds_data: whether it is protected where the stack's setting `protect` asks for that.
            delete_before_replace: whether it must go before another of its name is made.
            replace_on_changes: properties whose change makes a new one.
            ignore_changes: properties that others change.
        """
        return pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            depends_on=list(depends_on),
            protect=holds_data and self.settings.protect,
            delete_before_replace=delete_before_replace,
            replace_on_changes=replace_on_changes,
            ignore_changes=ignore_changes,
        )

    def within(self, parent: pulumi.Resource | None = None) -> pulumi.ResourceOptions:
        """Return the options of a component."""
        return pulumi.ResourceOptions(parent=parent, providers=[self.provider])
