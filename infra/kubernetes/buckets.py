"""The S3 store: any endpoint, or versitygw in the cluster."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.core.v1 import Secret

from infra.kubernetes.access import SecretKey
from infra.kubernetes.connect import S3Access
from infra.kubernetes.network import Peer, endpoint_peer
from infra.kubernetes.workload import (
    Probe,
    Workload,
    cluster_service,
    declare_pods,
    disruption_budget,
    stateful_set,
)
from infra.memory import format_memory
from infra.resources.bucket import Bucket
from infra.resources.secret import Secret as RandomSecret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra import contract
    from infra.kubernetes.place import Place

NAME = "s3"
PORT = 7070
ACCESS_KEY, SECRET_KEY = "accessKey", "secretKey"
_CREDENTIALS = "s3-credentials"
_ACCOUNT = "cflight"
_FOLDER = "/data"
_HEALTH = "/-/healthy"
# What the runtime does not count stays free, and the collector works harder near this.
_SOFT_LIMIT = 0.8


@dataclass(frozen=True, kw_only=True)
class StoreArgs:
    """What an S3 store is told.

    Attributes:
        buckets: the buckets that it shall have.
        memory: versitygw's memory limit in bytes.
        region: the region that clients are told.
        clients: labels of the pods that may use versitygw.
    """

    buckets: Sequence[contract.Bucket]
    memory: int
    region: str
    clients: Mapping[str, str]


class ObjectStore(pulumi.ComponentResource):
    """The S3 store.

    Args:
        place: where it is put.
        args: what it is told.
        after: what must be there before it.

    Attributes:
        access: how sinks reach it.
        ready: the resources that must be there before a sink writes.
    """

    access: S3Access
    ready: Sequence[pulumi.Resource]

    def __init__(self, *, place: Place, args: StoreArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        super().__init__("cflight:kubernetes:ObjectStore", NAME, None, place.component_options(after=after))
        settings = place.settings.s3
        self._place = place
        self._args = args
        self._access_key: pulumi.Input[str] = settings.access_key or _ACCOUNT
        self._secret_key = self._draw_secret() if settings.existing_secret is None else None
        ready: list[pulumi.Resource] = []
        if self._secret_key is not None:
            ready.append(self._credentials(self._secret_key))
        if settings.endpoint is None:
            endpoint = pulumi.Output.concat(f"http://{NAME}.", place.namespace, f".svc:{PORT}")
            servers = [Peer(components=[NAME], ports=[PORT])]
            ready.append(self._gateway(after=[*ready, *after]))
        else:
            endpoint, servers = settings.endpoint, [endpoint_peer(settings.endpoint)]
        secret = settings.existing_secret or _CREDENTIALS
        self.access = S3Access(
            endpoint=endpoint,
            region=args.region,
            access_key=SecretKey(secret=secret, key=ACCESS_KEY),
            secret_key=SecretKey(secret=secret, key=SECRET_KEY),
            servers=servers,
        )
        self.ready = ready
        self.register_outputs({})

    def bucket(self, bucket: contract.Bucket) -> pulumi.Resource:
        """Declare a bucket. versitygw finds its own at its start; with an existing Secret, buckets must be there.

        Args:
            bucket: the bucket.
        """
        settings = self._place.settings.s3
        if settings.endpoint is None or self._secret_key is None:
            return self
        return Bucket(
            bucket.role,
            bucket=bucket.name,
            endpoint=settings.endpoint,
            region=self._args.region,
            access_key=self._access_key,
            secret_key=self._secret_key,
            keep_objects=self._place.keep_data,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=self._place.protect or None,
                retain_on_delete=self._place.keep_data or self._place.protect or None,
            ),
        )

    def _draw_secret(self) -> pulumi.Output[str]:
        given = self._place.settings.s3.secret_key
        if given is not None:
            return pulumi.Output.secret(given.get_secret_value())
        drawn = RandomSecret(
            "s3-secret", purpose="secret access key of the S3 store", opts=pulumi.ResourceOptions(parent=self)
        )
        return drawn.value

    def _credentials(self, secret_key: pulumi.Output[str]) -> Secret:
        return Secret(
            _CREDENTIALS,
            metadata=self._place.metadata(_CREDENTIALS, component=NAME),
            string_data={ACCESS_KEY: self._access_key, SECRET_KEY: secret_key},
            opts=self._place.options(parent=self),
        )

    def _gateway(self, *, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        place = self._place
        pods = declare_pods(self._workload(), place=place, parent=self)
        disruption_budget(NAME, place=place, parent=self)
        service = cluster_service(NAME, place=place, ports={"http": PORT}, parent=self, headless=True)
        return stateful_set(
            NAME,
            place=place,
            pods=pods,
            volume="objects",
            storage=format_memory(place.settings.volumes.s3),
            parent=self,
            after=[*pods.needs, service, *after],
        )

    def _workload(self) -> Workload:
        place, args = self._place, self._args
        objects = f"{_FOLDER}/objects"
        folders = " ".join(shlex.quote(f"{objects}/{bucket.name}") for bucket in args.buckets)
        start = (
            # A folder in the store's root is a bucket.
            f"mkdir -p {_FOLDER}/metadata {folders}\n"
            f"exec versitygw --port :{PORT} --region {shlex.quote(args.region)} --health {_HEALTH} --quiet "
            f"posix --sidecar {_FOLDER}/metadata {objects}\n"
        )
        return Workload(
            name=NAME,
            image=place.settings.images.s3,
            memory=args.memory,
            cpu=place.cpu(NAME),
            command=["sh", "-ec", start],
            environment={"GOMEMLIMIT": str(int(args.memory * _SOFT_LIMIT))},
            secret_variables={
                "ROOT_ACCESS_KEY": SecretKey(secret=_CREDENTIALS, key=ACCESS_KEY),
                "ROOT_SECRET_KEY": SecretKey(secret=_CREDENTIALS, key=SECRET_KEY),
            },
            rolls_with=[self._access_key, *([self._secret_key] if self._secret_key is not None else [])],
            ports={"http": PORT},
            startup=Probe(path=_HEALTH, period=2, failures=30),
            liveness=Probe(path=_HEALTH, failures=6),
            readiness=Probe(path=_HEALTH),
            ingress=[Peer(labels=args.clients, ports=[PORT])],
            volume=("objects", _FOLDER),
        )
