"""Pods under the restricted Pod Security Standard, and what belongs to them.

Every component that runs pods of its own declares them here: ServiceAccount, ConfigMaps, Secret, NetworkPolicy, and a
pod template that rolls when any of its configuration changes. Secrets are never a value in a pod's environment: they
are mounted as files that `<NAME>_FILE` names, or, for programs that read no files, referred to by key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pulumi
from pulumi_kubernetes.apps.v1 import (
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicyArgs,
    StatefulSetSpecArgs,
)
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ConfigMap,
    ConfigMapEnvSourceArgs,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    EnvFromSourceArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    HTTPGetActionArgs,
    KeyToPathArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    LocalObjectReferenceArgs,
    PersistentVolumeClaimArgs,
    PersistentVolumeClaimSpecArgs,
    PodSecurityContextArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ProjectedVolumeSourceArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    Secret,
    SecretKeySelectorArgs,
    SecretProjectionArgs,
    SecurityContextArgs,
    Service,
    ServiceAccount,
    ServicePortArgs,
    ServiceSpecArgs,
    SleepActionArgs,
    TopologySpreadConstraintArgs,
    VolumeArgs,
    VolumeMountArgs,
    VolumeProjectionArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from infra.kubernetes.access import SECRETS_FOLDER, SecretKey
from infra.kubernetes.network import network_policy
from infra.memory import format_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.kubernetes.network import Peer
    from infra.kubernetes.place import Place
    from infra.memory import JvmMemory

FILES_FOLDER = "/etc/cflight/files"
CHECKSUM = "cflight.io/checksum"
# Nobody on any node.
_USER = 10001
_ZONE, _NODE = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A page that answers 200 when all is well.

    Attributes:
        path: the page.
        port: the port's name.
        period: seconds between two looks.
        failures: looks in a row that must fail.
    """

    path: str
    port: str = "http"
    period: int = 10
    failures: int = 3

    def args(self) -> ProbeArgs:
        """Return the probe in Kubernetes's form."""
        return ProbeArgs(
            http_get=HTTPGetActionArgs(path=self.path, port=self.port),
            period_seconds=self.period,
            failure_threshold=self.failures,
            timeout_seconds=5,
        )


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A component's container, and what it may reach.

    Attributes:
        name: the component's name; the objects' names begin with it.
        image: the image.
        memory: its memory in bytes, request and limit.
        cpu: its CPU request.
        command: what to run; empty: the image's own.
        arguments: arguments of the command, or of the image's own.
        environment: variables; none of them secret.
        secrets: secret values, by variable; a Secret is made of them, and `<NAME>_FILE` tells where one is.
        existing_secrets: the same for values in Secrets that are there already.
        secret_variables: variables whose values are in Secrets, for programs that read no files.
        secret_files: further values in Secrets, by the file name in SECRETS_FOLDER.
        rolls_with: further values whose change must reach the pods.
        files: texts, by the file name in FILES_FOLDER.
        ports: ports by name.
        startup: tells that it has started.
        liveness: tells that it is not hung.
        readiness: tells that it can serve.
        ingress: who may reach it; None: no policy of its own says so.
        egress: what it may reach.
        writable: small folders in memory that it may write to, besides /tmp, which is on the node's disk.
        volume: name and folder of a disk that is mounted; the stateful set claims it.
        grace_seconds: how long it may take to end.
        drain_seconds: how long it goes on before it is told to end, so that no client is still sent to it.
        user: the user's id.
        group: the group's id.
        labels: further labels of the pods.
    """

    name: str
    image: pulumi.Input[str]
    memory: int
    cpu: str
    command: Sequence[pulumi.Input[str]] = ()
    arguments: Sequence[pulumi.Input[str]] = ()
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    existing_secrets: Mapping[str, SecretKey] = field(default_factory=dict[str, SecretKey])
    secret_variables: Mapping[str, SecretKey] = field(default_factory=dict[str, SecretKey])
    secret_files: Mapping[str, SecretKey] = field(default_factory=dict[str, SecretKey])
    rolls_with: Sequence[pulumi.Input[str]] = ()
    files: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None
    ingress: Sequence[Peer] | None = ()
    egress: Sequence[Peer] = ()
    writable: Sequence[str] = ()
    volume: tuple[str, str] | None = None
    grace_seconds: int = 30
    drain_seconds: int = 0
    user: int = _USER
    group: int = _USER
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Pods:
    """What a workload's pods are made from.

    Attributes:
        template: the pod template.
        needs: the objects that pods of it need.
        labels: the labels that the pods are found by.
    """

    template: PodTemplateSpecArgs
    needs: Sequence[pulumi.Resource]
    labels: Mapping[str, str]


def declare_pods(
    workload: Workload,
    *,
    place: Place,
    parent: pulumi.Resource,
    restart: Literal["Always", "Never"] = "Always",
    spread: bool = True,
) -> Pods:
    """Declare what belongs to a workload's pods, and return what they are made from.

    Args:
        workload: the workload.
        place: where it is put.
        parent: its component.
        restart: whether its container is started again when it ends.
        spread: whether its pods are spread over zones and nodes.
    """
    name = workload.name
    options = place.options(parent=parent)
    account = ServiceAccount(
        name,
        metadata=place.metadata(name, component=name),
        automount_service_account_token=False,
        opts=options,
    )
    needs: list[pulumi.Resource] = [account]
    secrets = dict(workload.existing_secrets)
    if workload.secrets:
        secret = Secret(
            f"{name}-secrets",
            metadata=place.metadata(f"{name}-secrets", component=name),
            string_data={key: pulumi.Output.secret(value) for key, value in workload.secrets.items()},
            opts=options,
        )
        needs.append(secret)
        secrets |= {key: SecretKey(secret=f"{name}-secrets", key=key) for key in workload.secrets}
    environment = {
        **workload.environment,
        **{f"{variable}_FILE": f"{SECRETS_FOLDER}/{variable}" for variable in secrets},
    }
    if environment:
        needs.append(ConfigMap(name, metadata=place.metadata(name, component=name), data=environment, opts=options))
    if workload.files:
        files = place.metadata(f"{name}-files", component=name)
        needs.append(ConfigMap(f"{name}-files", metadata=files, data=dict(workload.files), opts=options))
    labels = place.selector(name)
    needs.append(
        network_policy(
            name, place=place, labels=labels, ingress=workload.ingress, egress=workload.egress, parent=parent
        )
    )
    template = PodTemplateSpecArgs(
        metadata=ObjectMetaArgs(
            labels={**place.labels(name), **workload.labels},
            annotations={CHECKSUM: _checksum(environment, workload.files, workload.secrets, workload.rolls_with)},
        ),
        spec=PodSpecArgs(
            service_account_name=name,
            automount_service_account_token=False,
            enable_service_links=False,
            restart_policy=restart,
            termination_grace_period_seconds=workload.grace_seconds + workload.drain_seconds,
            image_pull_secrets=[LocalObjectReferenceArgs(name=secret)]
            if (secret := place.settings.images.pull_secret)
            else None,
            security_context=PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=workload.user,
                run_as_group=workload.group,
                fs_group=workload.group or workload.user,
                fs_group_change_policy="OnRootMismatch",
                seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
            ),
            topology_spread_constraints=spread_constraints(labels) if spread else None,
            containers=[_container(workload, environment=bool(environment), secrets=secrets)],
            volumes=_volumes(workload, secrets=secrets),
        ),
    )
    return Pods(template=template, needs=needs, labels=labels)


def container_security() -> SecurityContextArgs:
    """Return the restricted security context of a container that writes to mounted folders only."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )


def spread_constraints(labels: Mapping[str, str]) -> list[TopologySpreadConstraintArgs]:
    """Return what spreads the pods with these labels over zones and nodes, as far as there are any."""
    return [
        TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=LabelSelectorArgs(match_labels=dict(labels)),
        )
        for key in (_ZONE, _NODE)
    ]


def disruption_budget(name: str, *, place: Place, parent: pulumi.Resource) -> PodDisruptionBudget:
    """Declare that a drain takes one pod of a component at a time: a single one may go, too, or no node could drain."""
    return PodDisruptionBudget(
        name,
        metadata=place.metadata(name, component=name),
        spec=PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=LabelSelectorArgs(match_labels=place.selector(name)),
        ),
        opts=place.options(parent=parent),
    )


def cluster_service(
    name: str, *, place: Place, ports: Mapping[str, int], parent: pulumi.Resource, headless: bool = False
) -> Service:
    """Declare the name under which a component is reached in the cluster.

    Args:
        name: the component's and the service's name.
        place: where it is.
        ports: ports by name.
        parent: the component.
        headless: whether the name stands for the pods themselves, each with a name of its own.
    """
    return Service(
        name,
        # The provider would wait for pods behind it; who needs them waits for what makes them.
        metadata=place.metadata(name, component=name, annotations={"pulumi.com/skipAwait": "true"}),
        spec=ServiceSpecArgs(
            selector=place.selector(name),
            cluster_ip="None" if headless else None,
            ports=[
                ServicePortArgs(name=port, port=number, target_port=port, protocol="TCP", app_protocol="http")
                for port, number in ports.items()
            ],
        ),
        opts=place.options(parent=parent),
    )


def stateful_set(
    name: str,
    *,
    place: Place,
    pods: Pods,
    volume: str,
    storage: str,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> StatefulSet:
    """Declare a single pod with a disk that stays when the pod goes.

    Args:
        name: the component's name, and its headless service's.
        place: where it is put.
        pods: what the pod is made from.
        volume: the disk's name in the pod.
        storage: its size, as a Kubernetes quantity.
        parent: the component.
        after: what must be there before.
    """
    claim = PersistentVolumeClaimArgs(
        metadata=ObjectMetaArgs(name=volume, labels=place.labels(name)),
        spec=PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=place.settings.volumes.storage_class,
            resources=VolumeResourceRequirementsArgs(requests={"storage": storage}),
        ),
    )
    return StatefulSet(
        name,
        metadata=place.metadata(name, component=name),
        spec=StatefulSetSpecArgs(
            replicas=1,
            service_name=name,
            selector=LabelSelectorArgs(match_labels=dict(pods.labels)),
            template=pods.template,
            volume_claim_templates=[claim],
            persistent_volume_claim_retention_policy=StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                when_deleted="Retain" if place.keep_data else "Delete", when_scaled="Retain"
            ),
            revision_history_limit=3,
        ),
        opts=place.options(parent=parent, after=after),
    )


def jvm_options(memory: JvmMemory) -> str:
    """Return the options that keep a JVM within its share of the limit, and end it when it cannot go on."""
    return (
        f"-Xmx{memory.heap >> 20}m -XX:MaxDirectMemorySize={memory.direct >> 20}m -XX:+UseG1GC "
        "-XX:+ExitOnOutOfMemoryError"
    )


def _container(workload: Workload, *, environment: bool, secrets: Mapping[str, SecretKey]) -> ContainerArgs:
    memory = format_memory(workload.memory)
    mounts = [VolumeMountArgs(name="tmp", mount_path="/tmp")]  # noqa: S108 - a folder of the pod's own
    mounts += [VolumeMountArgs(name=f"writable-{n}", mount_path=path) for n, path in enumerate(workload.writable)]
    if secrets or workload.secret_files:
        mounts.append(VolumeMountArgs(name="secrets", mount_path=SECRETS_FOLDER, read_only=True))
    if workload.files:
        mounts.append(VolumeMountArgs(name="files", mount_path=FILES_FOLDER, read_only=True))
    if workload.volume:
        mounts.append(VolumeMountArgs(name=workload.volume[0], mount_path=workload.volume[1]))
    return ContainerArgs(
        name=workload.name,
        image=workload.image,
        image_pull_policy="IfNotPresent",
        command=list(workload.command) or None,
        args=list(workload.arguments) or None,
        env_from=[EnvFromSourceArgs(config_map_ref=ConfigMapEnvSourceArgs(name=workload.name))]
        if environment
        else None,
        env=[
            EnvVarArgs(
                name=name,
                value_from=EnvVarSourceArgs(secret_key_ref=SecretKeySelectorArgs(name=source.secret, key=source.key)),
            )
            for name, source in workload.secret_variables.items()
        ]
        or None,
        ports=[
            ContainerPortArgs(name=name, container_port=port, protocol="TCP") for name, port in workload.ports.items()
        ]
        or None,
        resources=ResourceRequirementsArgs(
            requests={"memory": memory, "cpu": workload.cpu},
            # A limit of CPU would throttle bursts that the node has room for; memory cannot be taken back.
            limits={"memory": memory},
        ),
        startup_probe=workload.startup.args() if workload.startup else None,
        liveness_probe=workload.liveness.args() if workload.liveness else None,
        readiness_probe=workload.readiness.args() if workload.readiness else None,
        lifecycle=LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=workload.drain_seconds)))
        if workload.drain_seconds
        else None,
        security_context=container_security(),
        # What a failed container said last becomes part of the error that `pulumi up` shows.
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=mounts,
    )


def _volumes(workload: Workload, *, secrets: Mapping[str, SecretKey]) -> list[VolumeArgs]:
    volumes = [VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs())]
    volumes += [
        VolumeArgs(name=f"writable-{n}", empty_dir=EmptyDirVolumeSourceArgs(medium="Memory", size_limit="1Mi"))
        for n, _ in enumerate(workload.writable)
    ]
    mounted = {**secrets, **workload.secret_files}
    if mounted:
        sources = [
            VolumeProjectionArgs(
                secret=SecretProjectionArgs(name=source.secret, items=[KeyToPathArgs(key=source.key, path=name)])
            )
            for name, source in mounted.items()
        ]
        projected = ProjectedVolumeSourceArgs(default_mode=0o440, sources=sources)
        volumes.append(VolumeArgs(name="secrets", projected=projected))
    if workload.files:
        source = ConfigMapVolumeSourceArgs(name=f"{workload.name}-files", default_mode=0o444)
        volumes.append(VolumeArgs(name="files", config_map=source))
    return volumes


def _checksum(*parts: Mapping[str, pulumi.Input[str]] | Sequence[pulumi.Input[str]]) -> pulumi.Output[str]:
    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    plain = [dict(part) if isinstance(part, Mapping) else list(part) for part in parts]
    # The digest of a secret is none: with it the whole template would be hidden in previews.
    return pulumi.Output.unsecret(pulumi.Output.json_dumps(plain, sort_keys=True).apply(digest))
