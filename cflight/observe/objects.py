"""Reads the objects of a stack's buckets, whatever its sinks wrote them as."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastavro
from botocore.exceptions import BotoCoreError, ClientError

from cflight.errors import CflightError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from cflight.endpoints import Endpoints


class BucketError(CflightError):
    """A bucket or object cannot be read."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object in a bucket.

    Attributes:
        bucket: the bucket.
        key: the object's key.
        size: bytes.
        modified: when it was written, in seconds since the epoch.
    """

    bucket: str
    key: str
    size: int
    modified: float


class Buckets:
    """Reads the buckets of a stack.

    Args:
        endpoints: the stack's.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        # Half of the time in which a command starts that never looks into a bucket.
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        self.client: S3Client = boto3.client(  # pyright: ignore[reportUnknownMemberType]
            "s3",
            endpoint_url=endpoints.s3_endpoint,
            region_name=endpoints.s3_region,
            aws_access_key_id=endpoints.s3_access_key,
            aws_secret_access_key=endpoints.s3_secret_key.get_secret_value() if endpoints.s3_secret_key else None,
            config=Config(
                s3={"addressing_style": "path"} if endpoints.s3_endpoint else {},
                proxies={},
                retries={"max_attempts": 3, "mode": "standard"},
            ),
        )

    def objects(self, bucket: str, *, prefix: str = "") -> list[StoredObject]:
        """Return the objects of a bucket, by key.

        Args:
            bucket: the bucket's name.
            prefix: what their keys begin with.

        Raises:
            BucketError: the bucket cannot be listed.
        """
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [
                StoredObject(
                    bucket=bucket,
                    key=item.get("Key", ""),
                    size=item.get("Size", 0),
                    modified=item["LastModified"].timestamp() if "LastModified" in item else 0.0,
                )
                for page in pages
                for item in page.get("Contents", [])
            ]
        except (BotoCoreError, ClientError) as error:
            raise BucketError(f"cannot be listed: {error}", where=f"s3://{bucket}/{prefix}") from None

    def read(self, stored: StoredObject) -> bytes:
        """Return an object's bytes.

        Args:
            stored: the object.

        Raises:
            BucketError: it cannot be read.
        """
        try:
            return self.client.get_object(Bucket=stored.bucket, Key=stored.key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise BucketError(f"cannot be read: {error}", where=f"s3://{stored.bucket}/{stored.key}") from None

    def records(self, stored: StoredObject) -> list[Any]:
        """Return what an object holds: Avro records, JSON values, or lines of text without their ends.

        Args:
            stored: the object; its key's ending says what it holds.

        Raises:
            BucketError: it cannot be read, or is not what its key says.
        """
        body = self.read(stored)
        name = stored.key.lower()
        try:
            if name.endswith(".avro"):
                return list(fastavro.reader(io.BytesIO(body)))
            if name.endswith(".gz"):
                body, name = gzip.decompress(body), name.removesuffix(".gz")
            lines = body.decode().splitlines()
            return [json.loads(line) for line in lines] if name.endswith(".json") else lines
        except (ValueError, EOFError, OSError) as error:
            raise BucketError(
                f"is not what its name says: {error}", where=f"s3://{stored.bucket}/{stored.key}"
            ) from None
