"""A network load balancer before a component of the cluster, for who is not in the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import autoscaling, lb
from pulumi_kubernetes.core.v1 import Service, ServicePortArgs, ServiceSpecArgs

if TYPE_CHECKING:
    from infra.aws.cluster import Cluster
    from infra.aws.network import Network
    from infra.aws.stack import Stack
    from infra.kubernetes.place import Place

# TLS 1.2 and 1.3 with forward secrecy.
_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"


@dataclass(frozen=True, kw_only=True)
class BalancerArgs:
    """What a load balancer is told.

    Attributes:
        component: the component behind it.
        pod_port: the port of its pods.
        node_port: the port of the nodes under which they are reached.
        port: the port that clients use.
        certificate: the ACM certificate's ARN, for TLS; None: plain TCP.
        internet: whether it has public addresses.
    """

    component: str
    pod_port: int
    node_port: int
    port: int
    certificate: str | None = None
    internet: bool = False


class Balancer(pulumi.ComponentResource):
    """A load balancer.

    Args:
        stack: the stack.
        args: what it is told.
        network: its network.
        cluster: the cluster that the component runs in.
        place: where the component is.

    Attributes:
        party: the load balancer's security group.
        host: its DNS name.
        ready: what is there when it passes connections on.
    """

    def __init__(self, stack: Stack, args: BalancerArgs, *, network: Network, cluster: Cluster, place: Place) -> None:
        name = args.component
        super().__init__("cflight:aws:Balancer", name, {}, stack.within())
        self.party = network.group(f"{name}-balancer", purpose=f"Load balancer of {name}", parent=self)
        network.allow(self.party, cluster.nodes, ports=[args.node_port], why=f"{name} and its health")
        made = lb.LoadBalancer(
            # Their names have 32 characters at most: the stack is in the tags.
            name,
            load_balancer_type="network",
            internal=not args.internet,
            subnets=network.public_subnet_ids if args.internet else network.private_subnet_ids,
            security_groups=[] if self.party.group is None else [self.party.group],
            enable_cross_zone_load_balancing=False,
            enable_deletion_protection=False,
            tags=stack.tags(f"{name}-balancer"),
            opts=stack.opts(self),
        )
        targets = lb.TargetGroup(
            name,
            target_type="instance",
            protocol="TCP",
            port=args.node_port,
            vpc_id=network.vpc_id,
            deregistration_delay=60,
            health_check=lb.TargetGroupHealthCheckArgs(protocol="TCP", port="traffic-port", interval=10),
            tags=stack.tags(f"{name}-balancer"),
            opts=stack.opts(self),
        )
        listener = lb.Listener(
            name,
            load_balancer_arn=made.arn,
            port=args.port,
            protocol="TLS" if args.certificate else "TCP",
            certificate_arn=args.certificate,
            ssl_policy=_TLS_POLICY if args.certificate else None,
            default_actions=[lb.ListenerDefaultActionArgs(type="forward", target_group_arn=targets.arn)],
            tags=stack.tags(f"{name}-balancer"),
            opts=stack.opts(self),
        )
        attached = [
            autoscaling.Attachment(
                f"{name}-{number}",
                autoscaling_group_name=group,
                lb_target_group_arn=targets.arn,
                opts=stack.opts(self),
            )
            for number, group in enumerate(cluster.autoscaling_groups)
        ]
        nodes = Service(
            f"{name}-nodes",
            # Nothing stands behind it before the pods: waiting for them here would wait for ever.
            metadata=place.metadata(f"{name}-nodes", component=name, annotations={"pulumi.com/skipAwait": "true"}),
            spec=ServiceSpecArgs(
                type="NodePort",
                selector=place.selector(name),
                ports=[
                    ServicePortArgs(
                        name="http",
                        port=args.pod_port,
                        target_port="http",
                        node_port=args.node_port,
                        protocol="TCP",
                    )
                ],
            ),
            opts=place.options(parent=self),
        )
        self.host = made.dns_name
        self.ready: list[pulumi.Resource] = [listener, *attached, nodes]
        self.register_outputs({"host": self.host})
