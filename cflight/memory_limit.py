"""The memory that this process may use, and how much of it is used.

A process may be limited by its own memory cgroup or by any of that cgroup's ancestors, in the v2 or the v1
hierarchy, and never has more than the machine's physical memory. Kernel documentation: admin-guide/cgroup-v2
("memory.max") and admin-guide/cgroup-v1/memory ("memory.limit_in_bytes").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# A v1 limit file holds the largest multiple of the page size below 2**63 when there is no limit.
_V1_UNLIMITED = 1 << 62


@dataclass(frozen=True, kw_only=True)
class MemoryCgroup:
    """The memory cgroup of a process.

    Attributes:
        path: the cgroup's folder.
        mount: the folder at which its hierarchy is mounted; ancestors end there.
        version: 1 or 2.
    """

    path: Path
    mount: Path
    version: int

    def limit(self) -> int | None:
        """Return the tightest limit of this cgroup and its ancestors in bytes, or None where none is set."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        found: list[int] = []
        folder = self.path
        while True:
            value = _read_limit(folder / name)
            if value is not None:
                found.append(value)
            if folder in (self.mount, folder.parent):
                return min(found, default=None)
            folder = folder.parent

    def used(self) -> int | None:
        """Return the bytes charged to this cgroup less droppable page cache, or None if unknown."""
        name = "memory.current" if self.version == 2 else "memory.usage_in_bytes"
        try:
            charged = int((self.path / name).read_text())
            stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            return None
        droppable = int(stat.get("inactive_file" if self.version == 2 else "total_inactive_file", 0))
        return max(charged - droppable, 0)


def memory_cgroup(*, proc: Path = Path("/proc/self")) -> MemoryCgroup | None:
    """Find the memory cgroup of a process.

    Args:
        proc: the process's folder below /proc.

    Returns:
        Its cgroup, or None where no memory controller is mounted.
    """
    try:
        memberships = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
    except OSError:
        return None
    for version, kind in ((1, "cgroup"), (2, "cgroup2")):
        relative = _membership(memberships, version=version)
        mount = _mount_point(mounts, kind=kind)
        if relative is None or mount is None:
            continue
        point, root = mount
        # In a container the membership may be told from the host's root, which is not mounted here.
        inner = relative.removeprefix(root.rstrip("/")).lstrip("/")
        path = point / inner
        if not path.is_dir():
            path = point
        return MemoryCgroup(path=path, mount=point, version=version)
    return None


def physical_memory(*, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the machine's memory in bytes."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{meminfo} has no MemTotal line")


def memory_limit(*, proc: Path = Path("/proc/self"), meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the bytes that a process may use: its cgroups' tightest limit, at most the physical memory.

    Args:
        proc: the process's folder below /proc.
        meminfo: the kernel's account of physical memory.
    """
    physical = physical_memory(meminfo=meminfo)
    cgroup = memory_cgroup(proc=proc)
    limit = cgroup.limit() if cgroup else None
    return physical if limit is None else min(limit, physical)


def _read_limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    if text == "max":
        return None
    value = int(text)
    return None if value >= _V1_UNLIMITED or value <= 0 else value


def _membership(memberships: list[list[str]], *, version: int) -> str | None:
    for hierarchy, controllers, path in memberships:
        if version == 2 and hierarchy == "0":
            return path
        if version == 1 and "memory" in controllers.split(","):
            return path
    return None


def _mount_point(mounts: list[list[str]], *, kind: str) -> tuple[Path, str] | None:
    for fields in mounts:
        separator = fields.index("-")
        fs_type, options = fields[separator + 1], fields[separator + 3]
        if fs_type == kind and (kind == "cgroup2" or "memory" in options.split(",")):
            return Path(fields[4]), fields[3]
    return None
