"""The EKS cluster that registry, ksqlDB, jobs and services run on, or one that is there already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_aws import cloudwatch, ec2, eks, iam
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.storage.v1 import StorageClass

from infra.aws.network import HTTPS, Party
from infra.aws.policies import pod_trust, trust
from infra.errors import SettingsError
from infra.settings import NewClusterSettings

if TYPE_CHECKING:
    from infra.aws.keys import Keys
    from infra.aws.network import Network
    from infra.aws.stack import Stack
    from infra.settings import ExistingClusterSettings

_KUBELET = 10250
_DNS = 53
# What pods listen on: nothing of this platform listens below.
_PODS = range(1024, 65536)
_CSI_NAMESPACE = "kube-system"
_CSI_ACCOUNT = "ebs-csi-controller-sa"
# The storage class: not the name of EKS's own, gp2.
_DISKS = "cflight-gp3"


class Cluster(pulumi.ComponentResource):
    """The stack's EKS cluster.

    Args:
        stack: the stack.
        network: its network.
        keys: its keys.

    Attributes:
        name: the cluster's name.
        arn: its ARN.
        nodes: the nodes' security group.
        autoscaling_groups: the nodes' auto scaling groups.
        kubernetes: the provider of what runs on it.
        storage: what must be there before disks are claimed; nothing where the cluster was adopted.

    Raises:
        SettingsError: nobody but the nodes could reach the cluster.
    """

    def __init__(self, stack: Stack, *, network: Network, keys: Keys) -> None:
        super().__init__("cflight:aws:Cluster", "cluster", {}, stack.within())
        self._stack = stack
        self._network = network
        self._keys = keys
        settings = stack.aws.cluster
        check(stack)
        self._ready: list[pulumi.Resource] = []
        if settings.existing is not None:
            self._adopt(settings.existing)
        else:
            self._create(settings.create or NewClusterSettings())
        self.kubernetes = kubernetes.Provider(
            "eks",
            kubeconfig=pulumi.Output.json_dumps(self._kubeconfig()),
            # What an earlier stack has left on purpose is taken over.
            upsert_existing_objects=stack.settings.keep_data,
            # Else a change deletes them before it makes them anew, under pods that need them to start.
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._ready),
        )
        self.storage: list[pulumi.Resource] = [] if settings.existing is not None else [self._storage_class()]
        self.register_outputs({"name": self.name})

    def pod_role(
        self, name: str, *, namespace: pulumi.Input[str], service_account: str, policy: pulumi.Input[str]
    ) -> list[pulumi.Resource]:
        """Declare the role of the pods of a service account.

        Args:
            name: what the pods are.
            namespace: the service account's namespace.
            service_account: its name.
            policy: what the pods may do, as JSON.

        Returns:
            What must be there before the pods start.
        """
        stack = self._stack
        role = iam.Role(
            f"{stack.prefix}-{name}",
            assume_role_policy=pulumi.Output.all(self.arn, namespace).apply(
                lambda values: json.dumps(
                    pod_trust(cluster_arn=values[0], namespace=values[1], service_account=service_account)
                )
            ),
            tags=stack.tags(name),
            opts=stack.opts(self),
        )
        allowed = iam.RolePolicy(f"{stack.prefix}-{name}", role=role.name, policy=policy, opts=stack.opts(self))
        association = eks.PodIdentityAssociation(
            f"{stack.prefix}-{name}",
            cluster_name=self.name,
            namespace=namespace,
            service_account=service_account,
            role_arn=role.arn,
            tags=stack.tags(name),
            opts=stack.opts(self, depends_on=self._ready),
        )
        return [allowed, association]

    def _adopt(self, existing: ExistingClusterSettings) -> None:
        found = eks.get_cluster_output(
            name=existing.name, opts=pulumi.InvokeOutputOptions(provider=self._stack.provider)
        )
        self.name: pulumi.Output[str] = found.name
        self.arn: pulumi.Output[str] = found.arn
        self._endpoint: pulumi.Output[str] = found.endpoint
        self._certificate: pulumi.Output[str] = found.certificate_authorities[0].data
        self.nodes = Party(name="nodes", group=existing.node_security_group_id)
        self.autoscaling_groups: list[pulumi.Input[str]] = list(existing.autoscaling_groups)

    def _create(self, settings: NewClusterSettings) -> None:
        stack = self._stack
        logs = cloudwatch.LogGroup(
            f"{stack.prefix}-eks",
            # EKS writes to this name; made before, its records are not kept for ever.
            name=f"/aws/eks/{stack.prefix}/cluster",
            retention_in_days=settings.log_days,
            tags=stack.tags("eks-logs"),
            opts=stack.opts(self),
        )
        role = self._role("eks", trust("eks.amazonaws.com"), ["AmazonEKSClusterPolicy"])
        made = eks.Cluster(
            stack.prefix,
            name=stack.prefix,
            version=settings.version,
            role_arn=role[0].arn,
            vpc_config=eks.ClusterVpcConfigArgs(
                subnet_ids=self._network.private_subnet_ids,
                endpoint_private_access=True,
                endpoint_public_access=bool(settings.public_cidrs),
                public_access_cidrs=settings.public_cidrs or None,
            ),
            access_config=eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
            ),
            encryption_config=eks.ClusterEncryptionConfigArgs(
                provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=self._keys.cluster), resources=["secrets"]
            ),
            enabled_cluster_log_types=["api", "audit", "authenticator"],
            deletion_protection=stack.settings.protect,
            tags=stack.tags("eks"),
            opts=stack.opts(self, depends_on=[logs, *role[1]]),
        )
        self.name = made.name
        self.arn = made.arn
        self._endpoint = made.endpoint
        self._certificate = made.certificate_authority.data.apply(lambda data: data or "")
        self._identity_provider(made)
        for number, arn in enumerate(settings.admin_role_arns):
            self._administrator(f"administrator-{number}", arn)
        control_plane = made.vpc_config.cluster_security_group_id.apply(lambda group: group or "")
        self._open_nodes(Party(name="control-plane", group=control_plane), callers=settings.private_cidrs)
        self._node_group(settings)

    def _role(
        self, name: str, trusted: dict[str, object], managed: list[str]
    ) -> tuple[iam.Role, list[pulumi.Resource]]:
        stack = self._stack
        role = iam.Role(
            f"{stack.prefix}-{name}",
            assume_role_policy=json.dumps(trusted),
            tags=stack.tags(name),
            opts=stack.opts(self),
        )
        attached: list[pulumi.Resource] = [
            iam.RolePolicyAttachment(
                f"{name}-{policy.rpartition('/')[2]}",
                role=role.name,
                policy_arn=stack.managed_policy(policy),
                opts=stack.opts(self),
            )
            for policy in managed
        ]
        return role, attached

    def _identity_provider(self, cluster: eks.Cluster) -> None:
        issuer = cluster.identities[0].oidcs[0].issuer  # pyright: ignore[reportOptionalSubscript]
        iam.OpenIdConnectProvider(
            self._stack.prefix,
            url=issuer.apply(lambda url: url or ""),
            client_id_lists=["sts.amazonaws.com"],
            tags=self._stack.tags("oidc"),
            opts=self._stack.opts(self),
        )

    def _administrator(self, name: str, arn: str) -> None:
        stack = self._stack
        entry = eks.AccessEntry(
            name,
            cluster_name=self.name,
            principal_arn=arn,
            type="STANDARD",
            tags=stack.tags(name),
            opts=stack.opts(self),
        )
        eks.AccessPolicyAssociation(
            name,
            cluster_name=self.name,
            principal_arn=arn,
            policy_arn=f"arn:{stack.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            access_scope=eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
            opts=stack.opts(self, depends_on=[entry]),
        )

    def _open_nodes(self, control_plane: Party, *, callers: list[str]) -> None:
        network = self._network
        self.nodes = network.group("nodes", purpose="Nodes of the EKS cluster, and their pods", parent=self)
        network.allow(self.nodes, control_plane, ports=[HTTPS], why="Kubernetes API")
        for cidr in callers:
            caller = Party(name=f"callers-{cidr.replace('/', '-')}", cidr=cidr)
            network.allow(caller, control_plane, ports=[HTTPS], why="Kubernetes API, from elsewhere")
        for port, why in ((_KUBELET, "logs, exec and probes of the kubelet"), (HTTPS, "webhooks and metrics")):
            network.allow(control_plane, self.nodes, ports=[port], why=why)
        network.allow(self.nodes, self.nodes, ports=_PODS, why="pods among themselves")
        network.allow(self.nodes, self.nodes, ports=[_DNS], why="cluster DNS")
        network.allow(self.nodes, self.nodes, ports=[_DNS], why="cluster DNS", protocol="udp")
        network.allow_aws(self.nodes)
        if network.internet is not None:
            network.allow(self.nodes, network.internet, ports=[HTTPS], why="images of public registries")

    def _node_group(self, settings: NewClusterSettings) -> None:
        stack = self._stack
        role, attached = self._role(
            "nodes",
            trust("ec2.amazonaws.com"),
            ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"],
        )
        # The network plug-in must be there before nodes can be ready.
        before = self._addon("vpc-cni", after=[])
        agent = self._addon("eks-pod-identity-agent", after=[])
        template = ec2.LaunchTemplate(
            f"{stack.prefix}-nodes",
            vpc_security_group_ids=[] if self.nodes.group is None else [self.nodes.group],
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=settings.disk_gib,
                        volume_type="gp3",
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            # One hop: pods cannot take the node's role, only their own.
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=stack.tags("node"))
                for kind in ("instance", "volume", "network-interface")
            ],
            update_default_version=True,
            tags=stack.tags("nodes"),
            opts=stack.opts(self),
        )
        nodes = eks.NodeGroup(
            f"{stack.prefix}-nodes",
            cluster_name=self.name,
            node_role_arn=role.arn,
            subnet_ids=self._network.private_subnet_ids,
            ami_type="AL2023_x86_64_STANDARD",
            capacity_type="ON_DEMAND",
            instance_types=[settings.instance_type],
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=settings.nodes, desired_size=settings.nodes, max_size=settings.max_nodes
            ),
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
            tags=stack.tags("nodes"),
            # A cluster autoscaler may have changed their number since.
            opts=stack.opts(self, depends_on=[*attached, before, agent], ignore_changes=["scalingConfig.desiredSize"]),
        )
        self._ready = [nodes, agent]
        self.autoscaling_groups = [
            nodes.resources.apply(lambda resources: (resources[0].autoscaling_groups or [])[0].name or "")
        ]
        for name in ("kube-proxy", "coredns"):
            self._ready.append(self._addon(name, after=[nodes]))
        self._ready.append(self._addon("aws-ebs-csi-driver", after=[nodes, *self._volume_driver_role()]))

    def _volume_driver_role(self) -> list[pulumi.Resource]:
        stack = self._stack
        role = iam.Role(
            f"{stack.prefix}-volumes",
            assume_role_policy=self.arn.apply(
                lambda arn: json.dumps(
                    pod_trust(cluster_arn=arn, namespace=_CSI_NAMESPACE, service_account=_CSI_ACCOUNT)
                )
            ),
            tags=stack.tags("volumes"),
            opts=stack.opts(self),
        )
        attached = iam.RolePolicyAttachment(
            "volumes-AmazonEBSCSIDriverPolicy",
            role=role.name,
            policy_arn=stack.managed_policy("service-role/AmazonEBSCSIDriverPolicy"),
            opts=stack.opts(self),
        )
        association = eks.PodIdentityAssociation(
            f"{stack.prefix}-volumes",
            cluster_name=self.name,
            namespace=_CSI_NAMESPACE,
            service_account=_CSI_ACCOUNT,
            role_arn=role.arn,
            tags=stack.tags("volumes"),
            opts=stack.opts(self),
        )
        return [attached, association]

    def _storage_class(self) -> StorageClass:
        # EKS has made no class the default since Kubernetes 1.30, and a claim without a class would wait for ever.
        return StorageClass(
            _DISKS,
            metadata=ObjectMetaArgs(name=_DISKS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
            provisioner="ebs.csi.aws.com",
            parameters={"type": "gp3", "encrypted": "true"},
            # A disk is of one zone: that of the node which the pod was given.
            volume_binding_mode="WaitForFirstConsumer",
            allow_volume_expansion=True,
            opts=pulumi.ResourceOptions(parent=self, provider=self.kubernetes, depends_on=self._ready),
        )

    def _addon(self, name: str, *, after: list[pulumi.Resource]) -> eks.Addon:
        return eks.Addon(
            name,
            cluster_name=self.name,
            addon_name=name,
            # The components declare who may talk to whom; without this, nobody would enforce it.
            configuration_values=json.dumps({"enableNetworkPolicy": "true"}) if name == "vpc-cni" else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="PRESERVE",
            tags=self._stack.tags(name),
            opts=self._stack.opts(self, depends_on=after),
        )

    def _kubeconfig(self) -> dict[str, object]:
        # The token is fetched anew for every call: none is in the state.
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "eks",
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "aws"}}],
            "clusters": [
                {
                    "name": "eks",
                    "cluster": {"server": self._endpoint, "certificate-authority-data": self._certificate},
                }
            ],
            "users": [
                {
                    "name": "aws",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": [
                                *("--region", self._stack.region, "eks", "get-token"),
                                *("--cluster-name", self.name, "--output", "json"),
                            ],
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        }


def check(stack: Stack) -> None:
    """Refuse a new cluster that nobody could put anything on.

    Args:
        stack: the stack.

    Raises:
        SettingsError: naming the setting.
    """
    if stack.aws.cluster.existing is not None:
        return
    settings = stack.aws.cluster.create or NewClusterSettings()
    if not settings.public_cidrs and not settings.private_cidrs:
        raise SettingsError(
            "nobody but its own nodes could reach the new cluster's API server, `pulumi up` included",
            where="cflight:aws.cluster.create",
            remedy="Set publicCidrs to the internet addresses that `pulumi up` comes from, or privateCidrs to those in "
            "the VPC, or in a network that is connected to it.",
        )
