"""What the local parts have in common: whose stack they are in, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    from infra.local.ports import Ports
    from infra.local.supervisor import Supervisor
    from infra.settings import StackSettings

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The local stack that a part belongs to.

    Attributes:
        name: the stack's name.
        settings: its settings.
        supervisor: owns its processes.
        ports: its ports, by purpose.
    """

    name: str
    settings: StackSettings
    supervisor: Supervisor
    ports: Ports

    def address(self, port: str) -> pulumi.Output[str]:
        """Return host:port."""
        return pulumi.Output.format("{0}:{1}", HOST, self.ports[port])

    def url(self, port: str, path: str = "") -> pulumi.Output[str]:
        """Return the URL of a port and a path."""
        return pulumi.Output.format("http://{0}:{1}{2}", HOST, self.ports[port], path)
