"""Ports of a local stack: free ones, chosen once and kept in the state."""

from __future__ import annotations

import os
import random
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from infra.errors import ResourceError
from infra.provider.handler import Handler, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.provider.progress import Progress

# Below the kernel's range for outgoing connections (32768), so that none of them takes a port before its owner does.
_RANGE = range(20000, 32000)


class PortsInputs(Inputs):
    """What the ports are declared with."""

    folder: str
    names: list[str]


class Ports(pulumi.CustomResource):
    """Ports on 127.0.0.1 that no other stack has.

    Args:
        name: the resource's name.
        folder: the stack's folder, whose owner they are leased to.
        names: what they are for.
        opts: the resource's options.
    """

    ports: pulumi.Output[dict[str, int]]

    def __init__(
        self, name: str, *, folder: str, names: Sequence[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("cflight:local:Ports", name, {"folder": folder, "names": list(names), "ports": None}, opts)

    def __getitem__(self, name: str) -> pulumi.Output[int]:
        """Return the port with that name."""
        return self.ports.apply(lambda ports: int(ports[name]))


class PortsHandler(Handler[PortsInputs]):
    """Leases ports and gives them back."""

    model = PortsInputs
    replace_on = frozenset({"folder"})

    def resource_id(self, inputs: PortsInputs) -> str:
        """The ports' id is their stack's folder."""
        return inputs.folder

    def create(self, inputs: PortsInputs, *, progress: Progress) -> Properties:
        """Lease free ports."""
        del progress
        return {"ports": {name: _lease(inputs.folder) for name in inputs.names}}

    def read(self, resource_id: str, *, inputs: PortsInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return the leases as they were: nobody else can change them."""
        del resource_id
        return State(inputs=inputs.model_dump(), outputs={"ports": outputs["ports"]})

    def update(
        self, resource_id: str, *, old: Properties, new: PortsInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Keep the ports of names that stay, lease new ones, give back the others."""
        del resource_id, old, progress
        before: dict[str, int] = outputs["ports"]
        for name in before.keys() - set(new.names):
            _release(before[name], owner=new.folder)
        return {"ports": {name: before.get(name) or _lease(new.folder) for name in new.names}}

    def delete(self, resource_id: str, *, inputs: PortsInputs, outputs: Properties, progress: Progress) -> None:
        """Give the ports back."""
        del resource_id, progress
        for port in outputs["ports"].values():
            _release(port, owner=inputs.folder)


def leases_folder() -> Path:
    """Return the folder of this user's leases: one for all stacks, wherever their own folders are."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/cflight-{os.getuid()}") / "cflight-ports"  # noqa: S108 - see _own


def _lease(owner: str) -> int:
    folder = leases_folder()
    for level in (folder.parent, folder):
        _own(level)
    for port in random.sample(_RANGE, k=len(_RANGE)):
        lease = folder / str(port)
        try:
            with lease.open("x") as stream:
                stream.write(owner)
        except FileExistsError:
            if not _abandoned(lease):
                continue
            lease.write_text(owner)
        if _free(port):
            return port
        lease.unlink()
    raise ResourceError(
        f"no port from {_RANGE.start} to {_RANGE.stop - 1} is free",
        where=str(folder),
        remedy="Run `cflight doctor`: it shows leases of stacks that are gone.",
    )


def _own(folder: Path) -> None:
    """Make a folder that only this user can write to.

    Raises:
        ResourceError: it is there and somebody else's.
    """
    folder.mkdir(exist_ok=True, mode=0o700)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise ResourceError(
            "is not this user's folder",
            where=str(folder),
            remedy="Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
        )


def _release(port: int, *, owner: str) -> None:
    lease = leases_folder() / str(port)
    if lease.exists() and lease.read_text() == owner:
        lease.unlink()


def _abandoned(lease: Path) -> bool:
    owner = lease.read_text()
    return bool(owner) and not Path(owner).exists()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
