"""S3 buckets: private, encrypted with the stack's key, versioned, reached over TLS only."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import s3

from infra.aws.policies import access_logs, document, tls_only
from infra.errors import SettingsError

if TYPE_CHECKING:
    from infra.aws.keys import Keys
    from infra.aws.policies import Statement
    from infra.aws.stack import Stack

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_ABANDONED_UPLOAD_DAYS = 7


class Buckets(pulumi.ComponentResource):
    """Makes the stack's buckets.

    Args:
        stack: the stack.
        keys: its keys.
    """

    def __init__(self, stack: Stack, *, keys: Keys) -> None:
        super().__init__("cflight:aws:Buckets", "buckets", {}, stack.within())
        self._stack = stack
        self._keys = keys
        self._log_bucket: s3.Bucket | None = None
        # S3 checks that it may write there when a bucket's log is switched on.
        self._logs_ready: list[pulumi.Resource] = []
        if stack.aws.buckets.access_logs:
            self._log_bucket = self._logs()
        self.register_outputs({})

    def bucket(self, role: str, *, name: str, expires: bool = True) -> s3.Bucket:
        """Declare a bucket.

        Args:
            role: what it is for.
            name: its name in the pipeline; the stack and the account are added, as names are global.
            expires: whether its objects grow old by the settings; else they stay as long as they are current.
        """
        stack = self._stack
        made = self._plain(role, name=name)
        s3.BucketServerSideEncryptionConfiguration(
            role,
            bucket=made.bucket,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="aws:kms", kms_master_key_id=self._keys.buckets
                    ),
                    # One data key for many objects: a request to KMS for every object costs more than the object.
                    bucket_key_enabled=True,
                )
            ],
            opts=stack.opts(self),
        )
        s3.BucketLifecycleConfiguration(
            role, bucket=made.bucket, rules=self._lifecycle(expires=expires), opts=stack.opts(self)
        )
        if self._log_bucket is not None:
            s3.BucketLogging(
                role,
                bucket=made.bucket,
                target_bucket=self._log_bucket.bucket,
                target_prefix=f"{role}/",
                opts=stack.opts(self, depends_on=self._logs_ready),
            )
        self._policy(role, made, [])
        return made

    def _logs(self) -> s3.Bucket:
        stack = self._stack
        made = self._plain("access-logs", name="access-logs")
        s3.BucketServerSideEncryptionConfiguration(
            "access-logs",
            bucket=made.bucket,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    # S3 delivers access logs only to buckets with keys of its own.
                    apply_server_side_encryption_by_default=s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            ],
            opts=stack.opts(self),
        )
        s3.BucketLifecycleConfiguration(
            "access-logs", bucket=made.bucket, rules=self._lifecycle(expires=True), opts=stack.opts(self)
        )
        arn = f"arn:{stack.partition}:s3:::"
        allowed = access_logs(
            arn + bucket_name("access-logs", stack=stack),
            account=stack.account,
            sources=[f"{arn}*-{stack.name}-{stack.account}"],
        )
        self._logs_ready.append(self._policy("access-logs", made, [allowed]))
        return made

    def _plain(self, role: str, *, name: str) -> s3.Bucket:
        stack = self._stack
        made = s3.Bucket(
            role,
            bucket=bucket_name(name, stack=stack),
            force_destroy=not stack.settings.keep_data,
            tags=stack.tags(role),
            opts=stack.opts(self, holds_data=True),
        )
        s3.BucketPublicAccessBlock(
            role,
            bucket=made.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=stack.opts(self),
        )
        s3.BucketOwnershipControls(
            role,
            bucket=made.bucket,
            rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=stack.opts(self),
        )
        s3.BucketVersioning(
            role,
            bucket=made.bucket,
            versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=stack.opts(self),
        )
        return made

    def _policy(self, role: str, bucket: s3.Bucket, statements: list[Statement]) -> s3.BucketPolicy:
        return s3.BucketPolicy(
            role,
            bucket=bucket.bucket,
            policy=bucket.arn.apply(lambda arn: json.dumps(document(*tls_only(arn), *statements))),
            opts=self._stack.opts(self),
        )

    def _lifecycle(self, *, expires: bool) -> list[s3.BucketLifecycleConfigurationRuleArgs]:
        settings = self._stack.aws.buckets
        everything = s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="")
        rules = [
            s3.BucketLifecycleConfigurationRuleArgs(
                id="leftovers",
                status="Enabled",
                filter=everything,
                abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                    days_after_initiation=_ABANDONED_UPLOAD_DAYS
                ),
                noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                    noncurrent_days=settings.noncurrent_days
                ),
            )
        ]
        ages = (settings.transition_days, settings.expiry_days)
        if not expires or ages == (None, None):
            return rules
        age = s3.BucketLifecycleConfigurationRuleArgs(
            id="age",
            status="Enabled",
            filter=everything,
            transitions=None
            if settings.transition_days is None
            else [
                s3.BucketLifecycleConfigurationRuleTransitionArgs(
                    days=settings.transition_days, storage_class=settings.transition_class
                )
            ],
            expiration=None
            if settings.expiry_days is None
            else s3.BucketLifecycleConfigurationRuleExpirationArgs(days=settings.expiry_days),
        )
        return [*rules, age]


def bucket_name(name: str, *, stack: Stack) -> str:
    """Return a bucket's global name.

    Dots go: a name with dots fits no wildcard certificate, so that TLS to it fails.

    Args:
        name: its name in the pipeline.
        stack: the stack.

    Raises:
        SettingsError: S3 takes no such name.
    """
    full = f"{name.replace('.', '-')}-{stack.name}-{stack.account}".lower()
    if not _NAME.fullmatch(full) or full.startswith(_RESERVED_STARTS):
        raise SettingsError(
            f"S3 takes no bucket name {full!r}",
            where="cflight:buckets",
            remedy="A name has 3 to 63 lower-case letters, digits and hyphens, with stack and account.",
        )
    return full
