"""The stream services: the kubernetes target's Deployments, on EKS, each with a role of its own.

A service logs in to Kafka with the identity of its pods: IAM lets it do what the pipeline says of it, and no password
exists that could leak.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.aws.balancer import Balancer, BalancerArgs
from infra.aws.network import HTTPS, Party
from infra.aws.policies import kafka_client
from infra.kubernetes.network import Peer
from infra.kubernetes.observability import scrapers
from infra.kubernetes.services import StreamService, StreamServiceArgs, existing_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from infra.aws.cluster import Cluster
    from infra.aws.kafka import Kafka
    from infra.aws.network import Network
    from infra.aws.stack import Stack
    from infra.contract import Service
    from infra.kubernetes.access import HttpAccess, KafkaAccess
    from infra.kubernetes.place import Place
    from infra.kubernetes.scaling import Scaling

_NODE_PORT = 30880
_HTTP = 80


def run(
    service: Service,
    *,
    network: Network,
    cluster: Cluster,
    kafka: Kafka,
    access: KafkaAccess,
    registry: HttpAccess,
    place: Place,
    scaling: Scaling | None,
    image: pulumi.Input[str],
    after: Sequence[pulumi.Resource],
) -> StreamService:
    """Declare a service.

    Args:
        service: the service.
        network: the stack's network.
        cluster: the EKS cluster, which gives it its role.
        kafka: the brokers.
        access: how it reaches them.
        registry: how it reaches the registry.
        place: where it runs.
        scaling: how its replicas follow the load; None: they do not.
        image: the services' image.
        after: what must be there before.
    """
    role = cluster.pod_role(
        service.name,
        namespace=place.namespace,
        # The component gives a service's pods the service account of its name.
        service_account=service.name,
        policy=kafka.arn.apply(
            lambda arn: json.dumps(
                kafka_client(
                    arn,
                    service=service.name,
                    reads=service.reads,
                    writes=service.writes,
                    transactional=bool(service.reads and service.writes),
                )
            )
        ),
    )
    limited = {"MAX_MESSAGE_BYTES": str(kafka.message_bytes), **service.environment}
    balancers = [Peer(addresses=[network.cidr], ports=[service.http_port])]
    return StreamService(
        place=place,
        args=StreamServiceArgs(
            service=replace(service, environment=limited),
            kafka=access,
            registry=registry,
            scaling=scaling,
            image=image,
            existing_secrets=existing_secrets(service, given=place.settings.existing_secrets),
            # Nodes pass connections on with addresses of their own.
            clients=balancers,
            scrapers=scrapers(place, ports=[service.http_port]),
        ),
        after=[*role, *after],
    )


def entrance(stack: Stack, service: Service, *, network: Network, cluster: Cluster, place: Place) -> Balancer:
    """Declare the load balancer of a service that clients outside the platform call.

    Args:
        stack: the stack.
        service: the service.
        network: its network.
        cluster: the EKS cluster that it runs in.
        place: where it runs.
    """
    settings = stack.aws.ingest
    port = HTTPS if settings.certificate_arn else _HTTP
    balancer = Balancer(
        stack,
        BalancerArgs(
            component=service.name,
            pod_port=service.http_port,
            node_port=_NODE_PORT,
            port=port,
            certificate=settings.certificate_arn,
            internet=settings.internet,
        ),
        network=network,
        cluster=cluster,
        place=place,
    )
    for number, cidr in enumerate(settings.cidrs or [network.cidr]):
        network.allow(Party(name=f"clients-{number}", cidr=cidr), balancer.party, ports=[port], why="batches")
    return balancer
