"""Where components are put, and what they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.settings import KubernetesSettings

# What names an object's component; selectors and network policies go by these two.
NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"

Part = Literal["kafka", "controller", "connect", "registry", "ksql", "s3", "job"]
# Requests, not limits: a part may use what its neighbours leave. A Connect worker and a broker do most of the work.
_CPU: Mapping[str, str] = {
    "kafka": "500m",
    "controller": "100m",
    "connect": "500m",
    "registry": "100m",
    "ksql": "500m",
    "s3": "100m",
    "job": "50m",
}
_SERVICE_CPU = "100m"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A namespace of a cluster, and what all that is put there has in common.

    Attributes:
        stack: the stack's name; it tells the objects of two stacks in one namespace apart.
        provider: the Kubernetes provider.
        namespace: the namespace's name.
        settings: the settings of the kubernetes target.
        keep_data: whether disks stay when what uses them goes.
        protect: whether what holds data refuses to be deleted.
        after: what must be there before anything is put here, such as the namespace.
    """

    stack: str
    provider: pulumi.ProviderResource
    namespace: pulumi.Input[str]
    settings: KubernetesSettings
    keep_data: bool
    protect: bool = False
    after: Sequence[pulumi.Resource] = field(default_factory=list[pulumi.Resource])

    def selector(self, component: str) -> dict[str, str]:
        """Return the labels that a component's pods are found by."""
        return {NAME: component, INSTANCE: self.stack}

    def labels(self, component: str) -> dict[str, str]:
        """Return the labels of a component's objects."""
        return {
            **self.selector(component),
            "app.kubernetes.io/part-of": "cflight",
            "app.kubernetes.io/managed-by": "pulumi",
        }

    def metadata(
        self,
        name: pulumi.Input[str],
        *,
        component: str,
        labels: Mapping[str, pulumi.Input[str]] | None = None,
        annotations: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> ObjectMetaArgs:
        """Return the metadata of an object.

        Args:
            name: the object's name.
            component: the component that it belongs to.
            labels: further labels.
            annotations: annotations.
        """
        return ObjectMetaArgs(
            name=name,
            namespace=self.namespace,
            labels={**self.labels(component), **(labels or {})},
            annotations=dict(annotations) if annotations else None,
        )

    def options(
        self,
        *,
        parent: pulumi.Resource | None = None,
        after: Sequence[pulumi.Resource] = (),
        minutes: int | None = None,
        holds_data: bool = False,
        serves_data: bool = False,
    ) -> pulumi.ResourceOptions:
        """Return the options of a resource here.

        Args:
            parent: the component that it belongs to.
            after: what must be there before it.
            minutes: how long to wait for it; the provider's own bound if not given.
            holds_data: whether its deletion would delete data: it stays where data is kept.
            serves_data: whether data cannot be reached without it: it stays where it is protected.
        """
        stays = (holds_data and self.keep_data) or ((holds_data or serves_data) and self.protect)
        return pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            depends_on=[*self.after, *after],
            custom_timeouts=pulumi.CustomTimeouts(create=f"{minutes}m", update=f"{minutes}m") if minutes else None,
            protect=True if self.protect and (holds_data or serves_data) else None,
            retain_on_delete=True if stays else None,
        )

    def component_options(
        self, *, parent: pulumi.Resource | None = None, after: Sequence[pulumi.Resource] = ()
    ) -> pulumi.ResourceOptions:
        """Return the options of a component: its parts wait for `after`, too."""
        return pulumi.ResourceOptions(parent=parent, depends_on=list(after))

    def cpu(self, part: str) -> str:
        """Return the CPU request of a part or a service."""
        return self.settings.cpu_requests.get(part) or cpu_request(part)


def cpu_request(part: str) -> str:
    """Return the CPU request that a part or a service has if the settings give none."""
    return _CPU.get(part, _SERVICE_CPU)


def millicores(cpu: str) -> int:
    """Return a CPU quantity ("2", "250m") in thousandths of a core."""
    return int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000
