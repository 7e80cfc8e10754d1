"""How the parts of a local stack are, from its supervisor, its cgroups and its folder."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from cflight.memory_limit import MemoryCgroup, memory_cgroup
from infra.local.cgroup import oom_kills
from infra.local.home import part_folder
from infra.local.launch import start_ticks
from infra.local.starts import Start, read_starts
from infra.local.supervisor import SupervisorClient


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """How a part is.

    Attributes:
        name: the part.
        state: RUNNING, STARTING, BACKOFF, EXITED, STOPPED, FATAL; DOWN when the supervisor does not run.
        pid: 0 when there is no process.
        uptime: seconds since its last start.
        memory_used: bytes charged to it, None when it does not run.
        memory_limit: bytes.
        enforcement: how the limit is enforced: "cgroup v1", "cgroup v2", "systemd scope" or "advisory".
        restarts: how often it was started again since it was last changed.
        oom_kills: how often the kernel has killed it for its memory.
        url: where it is found.
    """

    name: str
    state: str
    pid: int
    uptime: float
    memory_used: int | None
    memory_limit: int
    enforcement: str
    restarts: int
    oom_kills: int
    url: str


def parts_status(stack: Path) -> list[PartStatus]:
    """Return how the parts of a stack are, by name.

    Args:
        stack: the stack's folder.
    """
    processes = SupervisorClient(stack).processes()
    found: list[PartStatus] = []
    for spec_file in sorted((stack / "parts").glob("*/spec.json")):
        name = spec_file.parent.name
        spec = json.loads(spec_file.read_text())
        starts = read_starts(part_folder(stack, name))
        last = starts[-1] if starts else None
        info = processes.get(name)
        running = last is not None and start_ticks(last.pid) == last.ticks
        found.append(
            PartStatus(
                name=name,
                state=info.state if info else "DOWN",
                pid=last.pid if last and running else 0,
                uptime=time.time() - last.time if last and running else 0.0,
                memory_used=_used(last) if last and running else None,
                memory_limit=spec["memory"],
                enforcement=last.enforcement if last else "unknown",
                restarts=max(len(starts) - 1, 0),
                oom_kills=oom_kills(last.cgroup) if last and last.cgroup else 0,
                url=spec["url"],
            )
        )
    return found


def _used(start: Start) -> int | None:
    if start.cgroup is not None:
        own = memory_cgroup(proc=Path(f"/proc/{start.pid}"))
        version = own.version if own else 1
        mount = own.mount if own else start.cgroup
        return MemoryCgroup(path=start.cgroup, mount=mount, version=version).used()
    try:
        process = psutil.Process(start.pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return None
