"""The schema registry: the kubernetes target's, on EKS and over MSK, or one that is there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pulumi

from infra.aws.balancer import Balancer, BalancerArgs
from infra.kubernetes import registry as component
from infra.kubernetes.access import HttpAccess
from infra.kubernetes.network import Peer
from infra.kubernetes.observability import scrapers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.aws.cluster import Cluster
    from infra.aws.connect import Connect
    from infra.aws.network import Network
    from infra.aws.stack import Stack
    from infra.kubernetes.access import KafkaAccess
    from infra.kubernetes.place import Place

USER = "registry"
_NODE_PORT = 30881
_PORT = 8080


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The registry.

    Attributes:
        access: how components in the cluster reach it.
        sinks_url: how the sinks' workers, which are outside of the cluster, reach it.
        ready: what must be there before it is used.
    """

    access: HttpAccess
    sinks_url: pulumi.Input[str]
    ready: Sequence[pulumi.Resource]


def adopt(url: str, *, network: Network, connect: Connect) -> Registry:
    """Return a registry that is there already.

    Args:
        url: its Confluent-compatible API.
        network: the stack's network.
        connect: the sinks' workers, which must reach it.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    # Where its name points to is known to nobody here.
    connect.open_to(network.anyone, ports=[port], why="schema registry")
    servers = [Peer(addresses=["0.0.0.0/0"], ports=[port])]
    return Registry(access=HttpAccess(url=url, servers=servers), sinks_url=url, ready=[])


def run(
    stack: Stack,
    *,
    network: Network,
    cluster: Cluster,
    place: Place,
    kafka: KafkaAccess,
    connect: Connect,
    clients: Sequence[str],
    after: Sequence[pulumi.Resource],
) -> Registry:
    """Declare the stack's own registry, and a load balancer for the sinks' workers.

    Args:
        stack: the stack.
        network: its network.
        cluster: its EKS cluster.
        place: where the registry runs.
        kafka: how it reaches Kafka.
        connect: the sinks' workers.
        clients: the components that use it.
        after: what must be there before: the topics that are its storage.
    """
    made = component.Registry(
        place=place,
        args=component.RegistryArgs(
            kafka=kafka,
            memory=stack.settings.registry.memory,
            replicas=stack.settings.kubernetes.registry_replicas,
            clients=clients,
            # The load balancer's connections come with addresses of the nodes.
            scrapers=[
                Peer(addresses=[network.cidr], ports=[component.PORT]),
                *scrapers(place, ports=[component.PORT]),
            ],
        ),
        after=after,
    )
    balancer = Balancer(
        stack,
        BalancerArgs(component=component.NAME, pod_port=component.PORT, node_port=_NODE_PORT, port=_PORT),
        network=network,
        cluster=cluster,
        place=place,
    )
    connect.open_to(balancer.party, ports=[_PORT], why="schema registry")
    return Registry(
        access=made.access,
        sinks_url=pulumi.Output.concat("http://", balancer.host, f":{_PORT}{component.API}"),
        ready=[made.ready, *balancer.ready],
    )
