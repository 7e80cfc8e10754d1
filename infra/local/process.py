"""A process of the local target, as a Pulumi resource."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import BaseModel, Field

from infra.errors import ResourceError, WaitError
from infra.local.cgroup import stack_cgroup
from infra.local.home import part_folder, write_private
from infra.local.launch import READY_MARK
from infra.local.starts import read_starts
from infra.local.supervisor import SupervisorClient
from infra.provider.handler import Change, Handler, IncompleteError, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.provider.progress import Progress

# A part that has ended this often while it was waited for will not come up.
_GIVE_UP_STARTS = 4
_LOG_TAIL_LINES = 12
_PROBE_SECONDS = 2.0


class Ready(BaseModel):
    """When a process is ready: exactly one of the first three is given.

    Attributes:
        url: answers with a status below 300.
        address: host:port, accepts connections.
        brokers: host:port of Kafka, which lists itself as a broker: before, it takes connections but no topics.
        seconds: the longest time until then.
    """

    url: str | None = None
    address: str | None = None
    brokers: str | None = None
    seconds: float = 60.0


class ProcessInputs(Inputs):
    """What a process is declared with."""

    folder: str
    stack: str
    part: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    command: list[str] = Field(min_length=1)
    environment: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    prepare: list[str] = Field(default_factory=list)
    prepared: str = ""
    discard: str = ""
    memory: int = Field(ge=1)
    ready: Ready
    stop_seconds: int = 10
    url: str = ""
    code: str = ""


class Process(pulumi.CustomResource):
    """A process under the stack's supervisor, made when it is ready.

    Args:
        name: the resource's name, and the part's.
        folder: the stack's folder, from its supervisor.
        stack: the stack's name.
        command: program and arguments; they can be seen by anyone on the machine, so no secrets. Paths may be
            relative to the part's folder.
        environment: its environment variables; secrets may be here.
        files: files to write into the part's folder before the start, by relative path; secrets may be here.
        prepare: a command to run before the start as long as the file `prepared` is not there.
        prepared: see `prepare`.
        discard: a folder below the part's to empty before a start as long as the process was never ready: for parts
            that cannot take up what they had half made when they were killed.
        memory: hard limit in bytes.
        ready: `{"url": …}`, `{"address": …}` or `{"brokers": …}`: what must answer before others may use it.
        stop_seconds: how long it may take to stop cleanly before it is killed.
        url: where users find it; for status.
        code: fingerprint of the code that it runs, if that can change under it: a new one restarts it.
        opts: the resource's options.
    """

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        folder: pulumi.Input[str],
        stack: str,
        command: pulumi.Input[list[Any]],
        memory: int,
        ready: pulumi.Input[Mapping[str, Any]],
        environment: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        files: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        prepare: list[str] | None = None,
        prepared: str = "",
        discard: str = "",
        stop_seconds: int = 10,
        url: pulumi.Input[str] = "",
        code: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "cflight:local:Process",
            name,
            {
                "folder": folder,
                "stack": stack,
                "part": name,
                "command": command,
                "memory": memory,
                "ready": ready,
                "environment": environment or {},
                "files": files or {},
                "prepare": prepare or [],
                "prepared": prepared,
                "discard": discard,
                "stop_seconds": stop_seconds,
                "url": url,
                "code": code,
            },
            opts,
        )


class ProcessHandler(Handler[ProcessInputs]):
    """Starts, watches and stops processes through the stack's supervisor."""

    model = ProcessInputs
    replace_on = frozenset({"folder", "stack", "part"})

    def resource_id(self, inputs: ProcessInputs) -> str:
        """A process's id is its stack's and its part's name."""
        return f"{inputs.stack}/{inputs.part}"

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """A process that does not run is a change, also without a refresh."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        if change.changed:
            return change
        client = SupervisorClient(Path(outputs["folder"]))
        return Change() if _state(client, outputs["part"]) in {"RUNNING", "STARTING"} else Change(changed=["state"])

    def create(self, inputs: ProcessInputs, *, progress: Progress) -> Properties:
        """Write the part's files, start it and wait until it is ready."""
        folder = part_folder(Path(inputs.folder), inputs.part)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for relative, text in inputs.files.items():
            file = folder / relative
            file.parent.mkdir(parents=True, exist_ok=True)
            write_private(file, text)
        spec = inputs.model_dump(include={"command", "environment", "memory", "prepare", "prepared", "discard", "url"})
        cgroup = f"{stack_cgroup(inputs.stack, folder=inputs.folder)}/{inputs.part}"
        write_private(folder / "spec.json", json.dumps(spec | {"cgroup": cgroup}))
        client = SupervisorClient(Path(inputs.folder))
        client.remove(inputs.part, keep_files=True)
        (folder / "starts.jsonl").unlink(missing_ok=True)
        client.start(inputs.part, stop_seconds=inputs.stop_seconds)
        return self._await(inputs, client=client, progress=progress)

    def read(self, resource_id: str, *, inputs: ProcessInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return whether it runs, and as which process: a new pid tells that it was killed or crashed."""
        del resource_id, outputs
        stack = Path(inputs.folder)
        if not (part_folder(stack, inputs.part) / "spec.json").exists():
            return None
        return State(inputs=inputs.model_dump(), outputs=_observed(SupervisorClient(stack), stack, inputs.part))

    def update(
        self, resource_id: str, *, old: Properties, new: ProcessInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Restart it with the new inputs."""
        del resource_id, old, outputs
        return self.create(new, progress=progress)

    def delete(self, resource_id: str, *, inputs: ProcessInputs, outputs: Properties, progress: Progress) -> None:
        """Stop it. Its files go with the stack's folder, or here when only this part leaves the stack."""
        del resource_id, outputs
        progress.say("stopping")
        SupervisorClient(Path(inputs.folder)).remove(inputs.part, keep_files=False)

    def _await(self, inputs: ProcessInputs, *, client: SupervisorClient, progress: Progress) -> Properties:
        stack = Path(inputs.folder)
        folder = part_folder(stack, inputs.part)
        where = inputs.ready.url or inputs.ready.address or inputs.ready.brokers

        def look() -> str | None:
            answer = probe(inputs.ready)
            if answer is None:
                return None
            state = _state(client, inputs.part)
            starts = len(read_starts(folder))
            if state in {"FATAL", "DOWN"} or starts >= _GIVE_UP_STARTS:
                raise ResourceError(f"{inputs.part} is {state} after {starts} starts")
            return answer

        try:
            progress.wait(f"{inputs.part} to answer at {where}", look, seconds=inputs.ready.seconds)
        except (WaitError, ResourceError) as error:
            raise IncompleteError(
                f"{error}\nThe end of its log ({folder / 'log'}):\n{_tail(folder / 'log')}",
                outputs=_observed(client, stack, inputs.part),
            ) from error
        if inputs.discard:
            (folder / inputs.discard / READY_MARK).touch()
        return _observed(client, stack, inputs.part)


def _state(client: SupervisorClient, part: str) -> str:
    info = client.processes().get(part)
    return info.state if info else "DOWN"


def _observed(client: SupervisorClient, stack: Path, part: str) -> Properties:
    info = client.processes().get(part)
    starts = read_starts(part_folder(stack, part))
    return {
        "state": info.state if info else "DOWN",
        "pid": info.pid if info else 0,
        "limit": starts[-1].enforcement if starts else "unknown",
    }


def probe(ready: Ready) -> str | None:
    """Return None when a process is ready, else what it answers.

    Args:
        ready: where to ask.
    """
    try:
        if ready.url:
            with urllib.request.urlopen(ready.url, timeout=_PROBE_SECONDS) as response:  # noqa: S310 - our own URL
                return None if response.status < 300 else f"status {response.status}"
        if ready.brokers:
            return _brokerless(ready.brokers)
        host, _, port = (ready.address or "").rpartition(":")
        socket.create_connection((host, int(port)), timeout=_PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        return f"status {error.code}: {error.read(200).decode(errors='replace').strip()}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def _brokerless(address: str) -> str | None:
    try:
        known = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=_PROBE_SECONDS).brokers
    except KafkaException as error:
        return error.args[0].str()
    return None if known else "it is not registered with the controller yet"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:]) or "(empty)"
