"""An S3 bucket on a store that Pulumi's AWS provider does not reach: one that is not AWS."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pulumi
from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import ResourceError
from infra.provider.handler import Change, Failure, Handler, IncompleteError, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_s3 import S3Client

    from infra.provider.progress import Progress

# S3 user guide, "Bucket naming rules".
_NAME = re.compile(r"(?!xn--|sthree-)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class BucketInputs(Inputs):
    """What a bucket is declared with."""

    bucket: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str
    keep_objects: bool


class Bucket(pulumi.CustomResource):
    """A bucket of an S3-compatible store.

    Args:
        name: the resource's name.
        bucket: the bucket's name.
        endpoint: the store's URL.
        region: its region.
        access_key: an account that may make buckets.
        secret_key: its secret.
        keep_objects: whether deleting the resource refuses to delete a bucket that holds objects.
        opts: the resource's options.
    """

    bucket: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        bucket: str,
        endpoint: pulumi.Input[str],
        region: str,
        access_key: pulumi.Input[str],
        secret_key: pulumi.Input[str],
        keep_objects: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "cflight:s3:Bucket",
            name,
            {
                "bucket": bucket,
                "endpoint": endpoint,
                "region": region,
                "access_key": access_key,
                "secret_key": pulumi.Output.secret(secret_key),
                "keep_objects": keep_objects,
            },
            opts,
        )


class BucketHandler(Handler[BucketInputs]):
    """Makes, finds and removes buckets."""

    model = BucketInputs
    replace_on = frozenset({"bucket"})

    def validate(self, inputs: BucketInputs) -> Iterable[Failure]:
        """Refuse names that S3 refuses."""
        if not _NAME.fullmatch(inputs.bucket):
            yield Failure(
                "bucket",
                f"{inputs.bucket!r} is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, "
                "beginning and ending with a letter or digit",
            )

    def resource_id(self, inputs: BucketInputs) -> str:
        """A bucket's id is its name."""
        return inputs.bucket

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Where the store is and who asks are no properties of the bucket."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        access = {"endpoint", "access_key", "secret_key", "region"}
        return Change(changed=[name for name in change.changed if name not in access], replaces=change.replaces)

    def create(self, inputs: BucketInputs, *, progress: Progress) -> Properties:
        """Make the bucket; one that is ours already is taken over."""
        del progress
        try:
            _client(inputs).create_bucket(Bucket=inputs.bucket)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
                raise _failed("make", inputs, error) from error
        except BotoCoreError as error:
            raise _failed("make", inputs, error) from error
        return {}

    def read(self, resource_id: str, *, inputs: BucketInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return whether it is there."""
        del outputs
        try:
            _client(inputs).head_bucket(Bucket=resource_id)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
                return None
            raise _failed("read", inputs, error) from error
        except BotoCoreError as error:
            raise _failed("read", inputs, error) from error
        return State(inputs=inputs.model_dump())

    def update(
        self, resource_id: str, *, old: Properties, new: BucketInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Nothing of a bucket itself can change in place."""
        del resource_id, old, new, outputs, progress
        return {}

    def delete(self, resource_id: str, *, inputs: BucketInputs, outputs: Properties, progress: Progress) -> None:
        """Remove the bucket, with its objects unless they are to be kept."""
        del outputs
        client = _client(inputs)
        try:
            if not inputs.keep_objects:
                _empty(client, bucket=resource_id, progress=progress)
            client.delete_bucket(Bucket=resource_id)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "NoSuchBucket":
                return
            if code == "BucketNotEmpty":
                raise IncompleteError(
                    f"bucket {resource_id} holds objects and `keepData` is set. Empty it, or unset "
                    "`cflight:keepData`, run `pulumi up`, and destroy again."
                ) from error
            raise _failed("delete", inputs, error) from error
        except BotoCoreError as error:
            raise _failed("delete", inputs, error) from error


def _client(inputs: BucketInputs) -> S3Client:
    # Only here: it takes longer to load than all else, and the program that declares buckets needs none of it.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(  # pyright: ignore[reportUnknownMemberType]
        "s3",
        endpoint_url=inputs.endpoint,
        region_name=inputs.region,
        aws_access_key_id=inputs.access_key,
        aws_secret_access_key=inputs.secret_key,
        config=Config(connect_timeout=5, read_timeout=30, s3={"addressing_style": "path"}),
    )


def _empty(client: S3Client, *, bucket: str, progress: Progress) -> None:
    deleted = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", []) if "Key" in item]
        if keys:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item]
            deleted += len(keys)
            progress.say(f"deleted {deleted} objects")


def _failed(action: str, inputs: BucketInputs, error: Exception) -> ResourceError:
    return ResourceError(f"could not {action} bucket {inputs.bucket}: {error}", where=inputs.endpoint)
