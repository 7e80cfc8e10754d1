"""Whether what is declared fits together and into the cluster: refused in preview, with the sum and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.errors import SizingError
from infra.kubernetes import connect, kafka
from infra.kubernetes.place import cpu_request, millicores
from infra.kubernetes.scaling import most_replicas
from infra.kubernetes.strimzi import OPERATOR_MEMORY
from infra.memory import GIB, check_fit, connect_memory, format_memory
from infra.sinks import check_heap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.contract import Pipeline, Service
    from infra.settings import KubernetesSettings, StackSettings

# ksqlDB's classes alone take a heap of 200 MiB; with less than this it collects garbage all the time.
_LEAST_KSQL = GIB


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a part asks of the cluster.

    Attributes:
        pods: its pods, at most.
        memory: bytes of each.
        cpu: thousandths of a core of each.
    """

    pods: int
    memory: int
    cpu: int


def check(pipeline: Pipeline, *, settings: StackSettings) -> None:
    """Refuse what does not fit.

    Args:
        pipeline: what is to run.
        settings: the stack's settings.

    Raises:
        SizingError: something does not fit; with a remedy.
    """
    target = settings.kubernetes
    _check_replication(settings)
    for service in pipeline.services:
        _check_replicas(service, settings=settings)
    if pipeline.statements and settings.ksql.server != "external" and settings.ksql.memory < _LEAST_KSQL:
        raise SizingError(
            f"a ksqlDB server needs {format_memory(_LEAST_KSQL)} at least, not {format_memory(settings.ksql.memory)}",
            where="cflight:ksql.memory",
            remedy=f"Run `pulumi config set --path cflight:ksql.memory {format_memory(2 * _LEAST_KSQL)}`.",
        )
    check_heap(
        pipeline.sinks,
        partitions=settings.topics.partitions,
        workers=target.connect.replicas,
        heap=connect_memory(settings.connect.memory).heap,
        fetch=connect.FETCH_BYTES,
        where="cflight:connect.memory",
        remedy="Raise it, add workers (`cflight:kubernetes.connect.replicas`) and tasks, or lower a sink's `partSize`.",
    )
    _check_capacity(demands(pipeline, settings=settings), target=target)


def demands(pipeline: Pipeline, *, settings: StackSettings) -> dict[str, Demand]:
    """Return what each part asks of the cluster, with as many replicas as scaling may make.

    Args:
        pipeline: what is to run.
        settings: the stack's settings.
    """
    target = settings.kubernetes
    nodes = target.kafka

    def demand(part: str, pods: int, memory: int) -> Demand:
        cpu = target.cpu_requests.get(part) or cpu_request(part)
        return Demand(pods=pods, memory=memory, cpu=millicores(cpu))

    parts = {"kafka": demand("kafka", nodes.brokers, settings.kafka.memory)}
    if nodes.controllers:
        parts["controller"] = demand("controller", nodes.controllers, nodes.controller_memory)
    parts["entity operator"] = Demand(pods=1, memory=kafka.ENTITY_OPERATOR_MEMORY, cpu=100)
    if target.strimzi.operator == "install":
        parts["operator"] = Demand(pods=1, memory=OPERATOR_MEMORY, cpu=200)
    if target.observability.enabled:
        parts["kafka exporter"] = Demand(pods=1, memory=kafka.EXPORTER_MEMORY, cpu=50)
    parts["registry"] = demand("registry", target.registry_replicas, settings.registry.memory)
    parts["connect"] = demand("connect", target.connect.replicas, settings.connect.memory)
    if pipeline.statements and settings.ksql.server != "external":
        parts["ksql"] = demand("ksql", 1, settings.ksql.memory)
    if target.s3.endpoint is None:
        parts["s3"] = demand("s3", 1, settings.s3.memory)
    for service in pipeline.services:
        parts[service.name] = demand(service.name, _most(service, settings=settings), service.memory)
    return parts


def _most(service: Service, *, settings: StackSettings) -> int:
    scaling = settings.kubernetes.autoscaling
    if scaling.kind == "none":
        return service.replicas
    return most_replicas(service, partitions=settings.topics.partitions, limit=scaling.max_replicas)


def _check_replication(settings: StackSettings) -> None:
    topics, brokers = settings.topics, settings.kubernetes.kafka.brokers
    if topics.replication_factor > brokers:
        raise SizingError(
            f"topics want {topics.replication_factor} replicas on different brokers, but there are {brokers}",
            where="cflight:topics.replicationFactor",
            remedy=f"Set it to {brokers} at most, or `cflight:kubernetes.kafka.brokers` to as many.",
        )
    if 1 < topics.replication_factor == topics.min_in_sync_replicas:
        raise SizingError(
            f"with {topics.min_in_sync_replicas} of {topics.replication_factor} replicas in sync no broker may be "
            "restarted: writes would stop, so the operator refuses to roll the brokers",
            where="cflight:topics.minInSyncReplicas",
            remedy=f"Set it to {topics.replication_factor - 1}.",
        )


def _check_replicas(service: Service, *, settings: StackSettings) -> None:
    partitions = settings.topics.partitions
    if service.reads and service.replicas > partitions:
        raise SizingError(
            f"{service.name} has {service.replicas} replicas for {partitions} partitions: "
            f"{service.replicas - partitions} would stay idle",
            where=f"cflight:services.{service.name}.replicas",
            remedy=f"Set it to {partitions} at most, or raise `cflight:topics.partitions`.",
        )


def _check_capacity(parts: Mapping[str, Demand], *, target: KubernetesSettings) -> None:
    if target.memory is not None:
        check_fit(
            {_label(name, part): part.pods * part.memory for name, part in parts.items()},
            available=target.memory,
            where="the cluster (`cflight:kubernetes.memory`)",
        )
    if target.cpu is not None:
        total = sum(part.pods * part.cpu for part in parts.values())
        if total > millicores(target.cpu):
            terms = " + ".join(f"{_label(name, part)} {part.pods * part.cpu}m" for name, part in parts.items())
            raise SizingError(
                f"the parts request {terms} = {total}m of CPU, but the cluster has {millicores(target.cpu)}m for them",
                where="cflight:kubernetes.cpu",
                remedy="Lower replicas or requests (`pulumi config set --path cflight:kubernetes.cpuRequests.s3 50m`).",
            )


def _label(name: str, part: Demand) -> str:
    return name if part.pods == 1 else f"{part.pods} {name}"
