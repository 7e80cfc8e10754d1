"""Replicas that follow the load: a HorizontalPodAutoscaler, or KEDA on consumer lag.

A consumer group has no use for more members than there are partitions: no service that reads gets more replicas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.autoscaling.v2 import (
    CrossVersionObjectReferenceArgs,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehaviorArgs,
    HorizontalPodAutoscalerSpecArgs,
    HPAScalingRulesArgs,
    MetricIdentifierArgs,
    MetricSpecArgs,
    MetricTargetArgs,
    PodsMetricSourceArgs,
    ResourceMetricSourceArgs,
)
from pulumi_kubernetes.core.v1 import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from infra.contract import Service
    from infra.kubernetes.access import KafkaAccess
    from infra.kubernetes.place import Place

LAG_METRIC = "cflight_lag_messages"
"""The services' own gauge (services/metrics.py); an adapter must serve it as a custom metric of pods for `hpa`."""
_KEDA = "keda.sh/v1alpha1"
_AUTHENTICATION = "kafka"
# Rebalances cost more than some idle replicas: wait before taking any away.
_SCALE_DOWN_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How a service's replicas follow the load.

    Attributes:
        kind: what does it.
        most: the most replicas.
        lag: messages not yet read that one replica is for.
        cpu_percent: the CPU use that is aimed at, in % of the request.
        kafka: for KEDA: how it reaches Kafka.
    """

    kind: Literal["hpa", "keda"]
    most: int
    lag: int
    cpu_percent: int
    kafka: KafkaAccess | None = None


def most_replicas(service: Service, *, partitions: int, limit: int) -> int:
    """Return the most replicas that a scaled service may have.

    Args:
        service: the service.
        partitions: partitions of the topics that it reads.
        limit: the setting.
    """
    most = min(limit, partitions) if service.reads else limit
    return max(most, service.replicas)


def scale(
    service: Service, *, place: Place, scaling: Scaling, deployment: pulumi.Resource, parent: pulumi.Resource
) -> None:
    """Declare what scales a service. KEDA has no lag to go by where nothing is read: CPU it is then, too.

    Args:
        service: the service.
        place: where it is.
        scaling: how.
        deployment: the service's deployment.
        parent: the component.
    """
    if scaling.kind == "keda" and service.reads:
        _scaled_object(service, place=place, scaling=scaling, deployment=deployment, parent=parent)
    else:
        _autoscaler(service, place=place, scaling=scaling, deployment=deployment, parent=parent)


def trigger_authentication(
    *, place: Place, kafka: KafkaAccess, after: Sequence[pulumi.Resource]
) -> list[pulumi.Resource]:
    """Declare how KEDA logs in to Kafka, once for all services.

    Args:
        place: where it is put.
        kafka: how KEDA reaches Kafka.
        after: what must be there before.
    """
    if kafka.password is None or kafka.username is None:
        return []
    name = f"{_AUTHENTICATION}-scaler"
    login = Secret(
        name,
        metadata=place.metadata(name, component="scaler"),
        string_data={"username": kafka.username},
        opts=place.options(after=after),
    )
    references = [
        {"parameter": "username", "name": name, "key": "username"},
        {"parameter": "password", "name": kafka.password.secret, "key": kafka.password.key},
    ]
    if kafka.authority:
        references.append({"parameter": "ca", "name": kafka.authority.secret, "key": kafka.authority.key})
    authentication = CustomResource(
        _AUTHENTICATION,
        api_version=_KEDA,
        kind="TriggerAuthentication",
        metadata=place.metadata(_AUTHENTICATION, component="scaler"),
        spec={"secretTargetRef": references},
        opts=place.options(after=[login]),
    )
    return [login, authentication]


def _autoscaler(
    service: Service, *, place: Place, scaling: Scaling, deployment: pulumi.Resource, parent: pulumi.Resource
) -> None:
    metrics = [
        MetricSpecArgs(
            type="Resource",
            resource=ResourceMetricSourceArgs(
                name="cpu",
                target=MetricTargetArgs(type="Utilization", average_utilization=scaling.cpu_percent),
            ),
        )
    ]
    if service.reads:
        metrics.append(
            MetricSpecArgs(
                type="Pods",
                pods=PodsMetricSourceArgs(
                    metric=MetricIdentifierArgs(name=LAG_METRIC),
                    target=MetricTargetArgs(type="AverageValue", average_value=str(scaling.lag)),
                ),
            )
        )
    HorizontalPodAutoscaler(
        service.name,
        metadata=place.metadata(service.name, component=service.name),
        spec=HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind="Deployment", name=service.name
            ),
            min_replicas=service.replicas,
            max_replicas=scaling.most,
            metrics=metrics,
            behavior=HorizontalPodAutoscalerBehaviorArgs(
                scale_down=HPAScalingRulesArgs(stabilization_window_seconds=_SCALE_DOWN_SECONDS)
            ),
        ),
        # Without a metrics server it never becomes active: no reason to fail.
        opts=place.options(parent=parent, after=[deployment]),
    )


def _scaled_object(
    service: Service, *, place: Place, scaling: Scaling, deployment: pulumi.Resource, parent: pulumi.Resource
) -> None:
    kafka = scaling.kafka
    if kafka is None:
        raise ValueError("KEDA must be told how to reach Kafka")
    login: dict[str, pulumi.Input[str]] = {}
    if kafka.mechanism == "SCRAM-SHA-512":
        login["sasl"] = "scram_sha512"
    if kafka.protocol.endswith("SSL"):
        login["tls"] = "enable"
    triggers = [
        {
            "type": "kafka",
            "metadata": {
                # KEDA speaks the protocol of Kafka 1.0 if it is told nothing, which Kafka 4 no longer takes.
                "version": "2.8.0",
                "bootstrapServers": kafka.bootstrap_servers,
                "consumerGroup": service.name,
                "topic": topic,
                "lagThreshold": str(scaling.lag),
                "offsetResetPolicy": "earliest",
                "allowIdleConsumers": "false",
                **login,
            },
            **({"authenticationRef": {"name": _AUTHENTICATION}} if kafka.password else {}),
        }
        for topic in service.reads
    ]
    CustomResource(
        service.name,
        api_version=_KEDA,
        kind="ScaledObject",
        metadata=place.metadata(service.name, component=service.name),
        spec={
            "scaleTargetRef": {"name": service.name},
            "minReplicaCount": service.replicas,
            "maxReplicaCount": scaling.most,
            "cooldownPeriod": _SCALE_DOWN_SECONDS,
            "triggers": triggers,
        },
        opts=place.options(parent=parent, after=[deployment]),
    )
