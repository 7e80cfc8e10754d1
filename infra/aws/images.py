"""The image repository in ECR, and the services' image in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import ecr

if TYPE_CHECKING:
    from infra.aws.keys import Keys
    from infra.aws.stack import Stack

_KEPT_IMAGES = 30
_UNTAGGED_DAYS = 7


class Images(pulumi.ComponentResource):
    """The stack's image repository.

    Args:
        stack: the stack.
        keys: its keys.

    Attributes:
        repository: where the services' image is pushed to.
        services: the services' image by digest; None until there is one.
    """

    def __init__(self, stack: Stack, *, keys: Keys) -> None:
        super().__init__("cflight:aws:Images", "images", {}, stack.within())
        made = ecr.Repository(
            f"{stack.prefix}-services",
            name=f"{stack.prefix}/services",
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[
                ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=keys.cluster)
            ],
            force_delete=not stack.settings.keep_data,
            tags=stack.tags("services"),
            opts=stack.opts(self),
        )
        ecr.LifecyclePolicy(
            f"{stack.prefix}-services",
            repository=made.name,
            policy=json.dumps(lifecycle()),
            opts=stack.opts(self),
        )
        digest = stack.aws.images.services
        self.repository = made.repository_url
        self.services = None if digest is None else made.repository_url.apply(lambda url: f"{url}@{digest}")
        self.register_outputs({"repository": self.repository})


def lifecycle() -> dict[str, object]:
    """Return which images a repository forgets."""
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": "Layers of interrupted or replaced pushes",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": _UNTAGGED_DAYS,
                },
                "action": {"type": "expire"},
            },
            {
                "rulePriority": 2,
                "description": f"All but the newest {_KEPT_IMAGES}",
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEPT_IMAGES},
                "action": {"type": "expire"},
            },
        ]
    }
