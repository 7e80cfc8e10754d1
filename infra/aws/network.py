"""The network: a VPC with a private and a public subnet in each of three zones, or one that is there already.

Brokers, nodes and sink workers have private addresses only. AWS's own services are reached through endpoints in the
VPC: at the volumes of this pipeline the way through a NAT gateway would cost more than anything else (docs/aws.md).
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import cloudwatch, ec2, iam, vpc

from infra.aws.policies import allow, document, trust
from infra.aws.stack import ZONES
from infra.settings import NewNetworkSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.aws.stack import Stack
    from infra.settings import ExistingNetworkSettings

HTTPS = 443
# What nodes without a way to the internet need besides: to join the cluster, and for their pods to log in.
_WITHOUT_NAT = ("ec2", "eks", "eks-auth", "secretsmanager")
_INTERFACES = ("sts", "ecr.api", "ecr.dkr", "logs")


@dataclass(frozen=True, kw_only=True)
class Party:
    """An end of a connection: a security group, a managed prefix list, or addresses.

    Attributes:
        name: what it is, for names and descriptions.
        group: the security group's id.
        prefix_list: the prefix list's id.
        cidr: an IPv4 block.
    """

    name: str
    group: pulumi.Input[str] | None = None
    prefix_list: pulumi.Input[str] | None = None
    cidr: pulumi.Input[str] | None = None


class Network(pulumi.ComponentResource):
    """The stack's network.

    Args:
        stack: the stack.

    Attributes:
        vpc_id: the VPC.
        cidr: its addresses.
        private_subnet_ids: a private subnet in each zone.
        public_subnet_ids: a public subnet in each zone; empty where there is none.
        endpoints: the interface endpoints of AWS's services, or the VPC's addresses where it was adopted.
        s3: the addresses of S3.
        internet: everything else, where there is a way to it.
        anyone: all addresses.
    """

    def __init__(self, stack: Stack) -> None:
        super().__init__("cflight:aws:Network", "network", {}, stack.within())
        self._stack = stack
        self._edges: set[str] = set()
        settings = stack.aws.network
        self.public_subnet_ids: list[pulumi.Input[str]] = []
        self.anyone = Party(name="anyone", cidr="0.0.0.0/0")
        if settings.existing is not None:
            self._adopt(settings.existing)
        else:
            self._create(settings.create or NewNetworkSettings())
        found = ec2.get_managed_prefix_list_output(
            name=f"com.amazonaws.{stack.region}.s3", opts=pulumi.InvokeOutputOptions(provider=stack.provider)
        )
        self.s3 = Party(name="s3", prefix_list=found.id)
        self.register_outputs({"vpcId": self.vpc_id})

    def group(self, name: str, *, purpose: str, parent: pulumi.Resource | None = None) -> Party:
        """Declare a security group without rules: nothing comes in, nothing goes out.

        Args:
            name: what is in it.
            purpose: its description.
            parent: the component that it belongs to.
        """
        made = ec2.SecurityGroup(
            f"{self._stack.prefix}-{name}",
            description=purpose,
            vpc_id=self.vpc_id,
            tags=self._stack.tags(name),
            opts=self._stack.opts(parent or self),
        )
        return Party(name=name, group=made.id)

    def allow(
        self,
        source: Party,
        target: Party,
        *,
        ports: Sequence[int] | range,
        why: str,
        protocol: str = "tcp",
    ) -> None:
        """Open ports from one party to another: the way out of the one and the way into the other.

        Args:
            source: who connects.
            target: to whom.
            ports: single ports, or a range of them.
            why: the rules' description.
            protocol: tcp or udp.
        """
        spans = [(ports[0], ports[-1])] if isinstance(ports, range) else [(port, port) for port in ports]
        for first, last in spans:
            name = f"{source.name}-to-{target.name}-{protocol}-{first}"
            # Two reasons for the same edge are one rule.
            if name in self._edges:
                continue
            self._edges.add(name)
            if source.group is not None:
                vpc.SecurityGroupEgressRule(
                    f"{name}-out",
                    security_group_id=source.group,
                    referenced_security_group_id=target.group,
                    prefix_list_id=target.prefix_list,
                    cidr_ipv4=target.cidr,
                    ip_protocol=protocol,
                    from_port=first,
                    to_port=last,
                    description=why,
                    tags=self._stack.tags(name),
                    opts=self._stack.opts(self),
                )
            if target.group is not None:
                vpc.SecurityGroupIngressRule(
                    f"{name}-in",
                    security_group_id=target.group,
                    referenced_security_group_id=source.group,
                    prefix_list_id=source.prefix_list,
                    cidr_ipv4=source.cidr,
                    ip_protocol=protocol,
                    from_port=first,
                    to_port=last,
                    description=why,
                    tags=self._stack.tags(name),
                    opts=self._stack.opts(self),
                )

    def allow_aws(self, source: Party) -> None:
        """Open the ways to AWS's own services.

        Args:
            source: who calls them.
        """
        self.allow(source, self.endpoints, ports=[HTTPS], why="AWS APIs")
        self.allow(source, self.s3, ports=[HTTPS], why="S3")

    def _adopt(self, existing: ExistingNetworkSettings) -> None:
        self.vpc_id: pulumi.Input[str] = existing.vpc_id
        self.private_subnet_ids: list[pulumi.Input[str]] = list(existing.private_subnet_ids)
        self.public_subnet_ids = list(existing.public_subnet_ids)
        found = ec2.get_vpc(id=existing.vpc_id, opts=pulumi.InvokeOptions(provider=self._stack.provider))
        self.cidr = found.cidr_block
        self.endpoints = Party(name="vpc", cidr=self.cidr)
        # Whether and how the adopted network reaches the internet is its owner's affair; nodes may try.
        self.internet: Party | None = self.anyone

    def _create(self, settings: NewNetworkSettings) -> None:
        stack = self._stack
        made = ec2.Vpc(
            stack.prefix,
            cidr_block=settings.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=stack.tags("vpc"),
            opts=stack.opts(self),
        )
        self.vpc_id = made.id
        self.cidr = settings.cidr
        # Whatever is put into the default group by mistake is cut off.
        ec2.DefaultSecurityGroup(
            f"{stack.prefix}-default",
            vpc_id=made.id,
            ingress=[],
            egress=[],
            tags=stack.tags("default"),
            opts=stack.opts(self),
        )
        private, public = subnets(settings.cidr)
        tables = [self._private_table(zone) for zone in range(ZONES)]
        self.private_subnet_ids = [self._subnet("private", zone, private[zone], tables[zone]) for zone in range(ZONES)]
        gateway = ec2.InternetGateway(
            f"{stack.prefix}-internet", vpc_id=made.id, tags=stack.tags("internet"), opts=stack.opts(self)
        )
        public_table = ec2.RouteTable(
            f"{stack.prefix}-public", vpc_id=made.id, tags=stack.tags("public"), opts=stack.opts(self)
        )
        ec2.Route(
            "public-to-internet",
            route_table_id=public_table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=stack.opts(self),
        )
        self.public_subnet_ids = [self._subnet("public", zone, public[zone], public_table) for zone in range(ZONES)]
        nats = [self._nat(zone, gateway) for zone in range(settings.nat_gateways)]
        for zone, table in enumerate(tables):
            if nats:
                ec2.Route(
                    f"private-{zone}-to-internet",
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=nats[zone % len(nats)].id,
                    opts=stack.opts(self),
                )
        self.internet = self.anyone if nats else None
        self._endpoints(settings, tables)
        self._flow_log(settings)

    def _private_table(self, zone: int) -> ec2.RouteTable:
        name = f"private-{zone}"
        return ec2.RouteTable(
            f"{self._stack.prefix}-{name}",
            vpc_id=self.vpc_id,
            tags=self._stack.tags(name),
            opts=self._stack.opts(self),
        )

    def _subnet(self, kind: str, zone: int, cidr: str, table: ec2.RouteTable) -> pulumi.Output[str]:
        stack = self._stack
        name = f"{kind}-{zone}"
        # Load balancer controllers look for these tags.
        role = "kubernetes.io/role/internal-elb" if kind == "private" else "kubernetes.io/role/elb"
        subnet = ec2.Subnet(
            f"{stack.prefix}-{name}",
            vpc_id=self.vpc_id,
            cidr_block=cidr,
            availability_zone=stack.zones[zone],
            map_public_ip_on_launch=False,
            tags={**stack.tags(name), role: "1"},
            opts=stack.opts(self),
        )
        ec2.RouteTableAssociation(name, subnet_id=subnet.id, route_table_id=table.id, opts=stack.opts(self))
        return subnet.id

    def _nat(self, zone: int, gateway: ec2.InternetGateway) -> ec2.NatGateway:
        stack = self._stack
        name = f"nat-{zone}"
        address = ec2.Eip(f"{stack.prefix}-{name}", domain="vpc", tags=stack.tags(name), opts=stack.opts(self))
        return ec2.NatGateway(
            f"{stack.prefix}-{name}",
            allocation_id=address.id,
            subnet_id=self.public_subnet_ids[zone],
            connectivity_type="public",
            tags=stack.tags(name),
            opts=stack.opts(self, depends_on=[gateway]),
        )

    def _endpoints(self, settings: NewNetworkSettings, tables: list[ec2.RouteTable]) -> None:
        stack = self._stack
        if not settings.endpoints:
            self.endpoints = self.anyone
            return
        ec2.VpcEndpoint(
            f"{stack.prefix}-s3",
            vpc_id=self.vpc_id,
            service_name=f"com.amazonaws.{stack.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags=stack.tags("s3"),
            opts=stack.opts(self),
        )
        self.endpoints = self.group("endpoints", purpose="Interface endpoints of AWS services")
        for service in [*_INTERFACES, *(() if settings.nat_gateways else _WITHOUT_NAT)]:
            ec2.VpcEndpoint(
                f"{stack.prefix}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{stack.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.private_subnet_ids,
                security_group_ids=[self.endpoints.group] if self.endpoints.group is not None else [],
                tags=stack.tags(service),
                opts=stack.opts(self),
            )

    def _flow_log(self, settings: NewNetworkSettings) -> None:
        stack = self._stack
        name = f"/{stack.prefix}/refused-connections"
        log = cloudwatch.LogGroup(
            f"{stack.prefix}-refused-connections",
            name=name,
            retention_in_days=settings.flow_log_days,
            tags=stack.tags("refused-connections"),
            opts=stack.opts(self),
        )
        role = iam.Role(
            f"{stack.prefix}-flow-log",
            assume_role_policy=json.dumps(trust("vpc-flow-logs.amazonaws.com", account=stack.account)),
            tags=stack.tags("flow-log"),
            opts=stack.opts(self),
        )
        written = stack.arn("logs", f"log-group:{name}:*")
        policy = iam.RolePolicy(
            f"{stack.prefix}-flow-log",
            role=role.name,
            policy=json.dumps(
                document(allow(["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], [written]))
            ),
            opts=stack.opts(self),
        )
        ec2.FlowLog(
            f"{stack.prefix}-refused-connections",
            vpc_id=self.vpc_id,
            traffic_type="REJECT",
            log_destination_type="cloud-watch-logs",
            log_destination=log.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=600,
            tags=stack.tags("refused-connections"),
            opts=stack.opts(self, depends_on=[policy]),
        )


def subnets(cidr: str) -> tuple[list[str], list[str]]:
    """Return the blocks of the private and of the public subnets.

    Pods have addresses of the private subnets, so those get a quarter of the VPC each; load balancers and NAT
    gateways in the public ones need few.

    Args:
        cidr: the VPC's block.
    """
    quarters = list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=2))
    small = list(quarters[ZONES].subnets(prefixlen_diff=4))
    return [str(block) for block in quarters[:ZONES]], [str(block) for block in small[:ZONES]]
