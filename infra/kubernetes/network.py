"""Who may talk to whom: a NetworkPolicy for each component, with exactly its edges."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, LabelSelectorRequirementArgs
from pulumi_kubernetes.networking.v1 import (
    IPBlockArgs,
    NetworkPolicy,
    NetworkPolicyEgressRuleArgs,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)

from infra.kubernetes.place import INSTANCE, NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from infra.kubernetes.place import Place

# The label that Kubernetes itself puts on every namespace.
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_DNS_PORT = 53


@dataclass(frozen=True, kw_only=True)
class Peer:
    """The other end of an edge, and the ports of the edge's target.

    Exactly one of `components`, `labels`, `addresses` and `namespace` alone says who; `namespace` beside `labels` says
    where.

    Attributes:
        ports: the target's TCP ports; empty: any.
        components: components of the same place, by name.
        labels: labels of pods.
        namespace: the namespace of the pods, if another one; alone: all pods in it.
        addresses: CIDR blocks.
    """

    ports: Sequence[int]
    components: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    namespace: str | None = None
    addresses: Sequence[str] = ()

    def selectors(self, place: Place) -> list[NetworkPolicyPeerArgs]:
        """Return the peer in the form of NetworkPolicy."""
        if self.addresses:
            return [NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr=cidr)) for cidr in self.addresses]
        where = LabelSelectorArgs(match_labels={_NAMESPACE_NAME: self.namespace}) if self.namespace else None
        if self.components:
            who = LabelSelectorArgs(
                match_labels={INSTANCE: place.stack},
                match_expressions=[
                    LabelSelectorRequirementArgs(key=NAME, operator="In", values=sorted(set(self.components)))
                ],
            )
        else:
            who = LabelSelectorArgs(match_labels=dict(self.labels)) if self.labels else None
        return [NetworkPolicyPeerArgs(pod_selector=who, namespace_selector=where)]


def network_policy(
    name: str,
    *,
    place: Place,
    labels: Mapping[str, str],
    ingress: Sequence[Peer] | None,
    egress: Sequence[Peer],
    parent: pulumi.Resource,
    component: str | None = None,
) -> NetworkPolicy:
    """Declare what the pods of a component may be reached from, and what they may reach. Kubelets may probe always.

    Args:
        name: the policy's name.
        place: where it is.
        labels: labels of the pods.
        ingress: who may reach them; None: this policy does not say, another one does.
        egress: what they may reach, besides the cluster's DNS.
        parent: the component.
        component: its name, if not the policy's.
    """
    types = ["Egress"] if ingress is None else ["Ingress", "Egress"]
    return NetworkPolicy(
        name,
        metadata=place.metadata(name, component=component or name),
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(match_labels=dict(labels)),
            policy_types=types,
            ingress=None
            if ingress is None
            else [
                NetworkPolicyIngressRuleArgs(from_=peer.selectors(place), ports=_ports(peer.ports)) for peer in ingress
            ],
            egress=[
                _dns(),
                *(NetworkPolicyEgressRuleArgs(to=peer.selectors(place), ports=_ports(peer.ports)) for peer in egress),
            ],
        ),
        opts=place.options(parent=parent),
    )


def endpoint_peer(endpoint: str) -> Peer:
    """Return who answers at a URL, as far as a network policy can say it.

    Args:
        endpoint: the URL. A name of a service in the cluster (`<service>.<namespace>.svc…`) stands for that namespace,
            an address for itself, any other name for all addresses, as policies know no names.
    """
    url = urlsplit(endpoint)
    host = url.hostname or ""
    parts = host.split(".")
    if len(parts) > 2 and parts[2] == "svc":
        # Policies see the pods' ports, which need not be the service's.
        return Peer(namespace=parts[1], ports=[])
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Peer(addresses=["0.0.0.0/0", "::/0"], ports=[port])
    return Peer(addresses=[f"{address}/{address.max_prefixlen}"], ports=[port])


def _ports(ports: Sequence[int]) -> list[NetworkPolicyPortArgs] | None:
    return None if not ports else [NetworkPolicyPortArgs(port=port, protocol="TCP") for port in ports]


def _dns() -> NetworkPolicyEgressRuleArgs:
    return NetworkPolicyEgressRuleArgs(
        to=[
            NetworkPolicyPeerArgs(
                namespace_selector=LabelSelectorArgs(match_labels={_NAMESPACE_NAME: "kube-system"}),
                pod_selector=LabelSelectorArgs(match_labels={"k8s-app": "kube-dns"}),
            )
        ],
        ports=[NetworkPolicyPortArgs(port=_DNS_PORT, protocol=protocol) for protocol in ("UDP", "TCP")],
    )
