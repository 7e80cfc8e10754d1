"""The Strimzi operator: installed here as a Helm release, or found in the cluster; and what its resources share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from infra.memory import MIB, format_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from infra.kubernetes.place import Place

API = "kafka.strimzi.io/v1"
CLUSTER_LABEL = "strimzi.io/cluster"
OPERATOR_MEMORY = 384 * MIB
_CHART = "strimzi-kafka-operator"
# Its images are large, and a first start of many brokers takes a while.
_RELEASE_SECONDS = 600


def operator(place: Place, *, restricted: bool) -> list[pulumi.Resource]:
    """Declare the operator if it is to be installed.

    Args:
        place: where it is put; it watches this namespace.
        restricted: whether the pods that it makes are to meet the restricted Pod Security Standard of themselves.

    Returns:
        What must be there before Strimzi's resources; nothing if the operator is found in the cluster.
    """
    settings = place.settings.strimzi
    if settings.operator == "found":
        return []
    oci = settings.repository.startswith("oci://")
    memory = format_memory(OPERATOR_MEMORY)
    return [
        Release(
            "strimzi",
            name="strimzi",
            chart=f"{settings.repository}/{_CHART}" if oci else _CHART,
            repository_opts=None if oci else RepositoryOptsArgs(repo=settings.repository),
            version=settings.version,
            namespace=place.namespace,
            values={
                "resources": {
                    "requests": {"memory": memory, "cpu": "200m"},
                    "limits": {"memory": memory},
                },
                "extraEnvs": [{"name": "STRIMZI_POD_SECURITY_PROVIDER_CLASS", "value": "restricted"}]
                if restricted
                else [],
            },
            cleanup_on_fail=True,
            timeout=_RELEASE_SECONDS,
            opts=place.options(),
        )
    ]


def resource(
    name: str,
    *,
    kind: str,
    spec: Mapping[str, Any],
    place: Place,
    component: str,
    minutes: int | None = None,
    cluster: str | None = None,
    annotations: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions,
) -> CustomResource:
    """Declare a resource of Strimzi's.

    Args:
        name: its name.
        kind: its kind.
        spec: what it says.
        place: where it is put.
        component: the component that it belongs to.
        minutes: how long to wait for the operator to report it ready; None: not at all.
        cluster: the Kafka or Connect cluster that it is for.
        annotations: further annotations.
        opts: the resource's options.
    """
    waits = {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": str(minutes * 60)} if minutes else {}
    return CustomResource(
        name,
        api_version=API,
        kind=kind,
        metadata=place.metadata(
            name,
            component=component,
            labels={CLUSTER_LABEL: cluster} if cluster else None,
            annotations={**waits, **(annotations or {})},
        ),
        spec=dict(spec),
        opts=opts,
    )


def resources(*, memory: int, cpu: str) -> dict[str, Any]:
    """Return a container's request and limit.

    Args:
        memory: bytes, request and limit.
        cpu: the request.
    """
    size = format_memory(memory)
    return {"requests": {"memory": size, "cpu": cpu}, "limits": {"memory": size}}


def container_template() -> dict[str, Any]:
    """Return the template of a container that meets the restricted Pod Security Standard, whoever runs the operator."""
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    }


def spread(labels: Mapping[str, str], *, zones: str | None) -> Sequence[dict[str, Any]]:
    """Return what spreads pods over racks and nodes.

    Args:
        labels: the labels of the pods.
        zones: the node label of the racks; None: there are none.
    """
    keys = [key for key in (zones, "kubernetes.io/hostname") if key]
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(labels)},
        }
        for key in keys
    ]
