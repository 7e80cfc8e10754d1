"""A command that runs once in the cluster, and again whenever what it is given changes.

It reaches what a `pulumi up` from outside cannot: the registry, ksqlDB, brokers in a VPC. When it fails, the end of its
log is in the error that `pulumi up` shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.batch.v1 import Job as KubernetesJob
from pulumi_kubernetes.batch.v1 import JobSpecArgs

from infra.kubernetes.access import SecretKey
from infra.kubernetes.workload import Workload, declare_pods
from infra.memory import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.kubernetes.network import Peer
    from infra.kubernetes.place import Place

_MEMORY = 128 * MIB
# The first attempt may come too early for a part that has just become ready; a third would only repeat the second.
_RETRIES = 1
_MINUTES = 10


@dataclass(frozen=True, kw_only=True)
class JobArgs:
    """What a job is told.

    Attributes:
        command: what to run, in the services' image; `files` lie in workload.FILES_FOLDER.
        image: another image than the settings' one for services.
        files: texts by file name; a change runs the job again.
        environment: variables; none of them secret.
        existing_secrets: secrets by variable: `<NAME>_FILE` tells where one is.
        secret_files: further values in Secrets, by the file name in access.SECRETS_FOLDER.
        egress: what it may reach.
        memory: its memory limit in bytes.
    """

    command: Sequence[pulumi.Input[str]]
    egress: Sequence[Peer]
    image: pulumi.Input[str] | None = None
    files: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    existing_secrets: Mapping[str, SecretKey] = field(default_factory=dict[str, SecretKey])
    secret_files: Mapping[str, SecretKey] = field(default_factory=dict[str, SecretKey])
    memory: int = _MEMORY


class Job(pulumi.ComponentResource):
    """A command that runs once.

    Args:
        name: the job's name, and its component's for network policies.
        place: where it is put.
        args: what it is told.
        after: what must be there before it.

    Attributes:
        done: the resource that is made when the command has ended well.
    """

    done: pulumi.Resource

    def __init__(self, name: str, *, place: Place, args: JobArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        super().__init__("cflight:kubernetes:Job", name, None, place.component_options(after=after))
        workload = Workload(
            name=name,
            image=args.image or place.settings.images.services,
            memory=args.memory,
            cpu=place.cpu("job"),
            command=args.command,
            files=args.files,
            environment={"PYTHONUNBUFFERED": "1", "HOME": "/tmp", **args.environment},  # noqa: S108 - the pod's own
            existing_secrets=args.existing_secrets,
            secret_files=args.secret_files,
            egress=args.egress,
        )
        pods = declare_pods(workload, place=place, parent=self, restart="Never", spread=False)
        # A job's template cannot change: the provider deletes the old job and makes a new one.
        self.done = KubernetesJob(
            name,
            # One that has failed never becomes ready: only another can.
            metadata=place.metadata(name, component=name, annotations={"pulumi.com/replaceUnready": "true"}),
            spec=JobSpecArgs(
                template=pods.template,
                backoff_limit=_RETRIES,
                active_deadline_seconds=_MINUTES * 60,
            ),
            opts=place.options(parent=self, after=[*pods.needs, *after], minutes=_MINUTES + 1),
        )
        self.register_outputs({})
