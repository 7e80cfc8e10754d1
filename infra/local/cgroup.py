"""Hard memory limits for processes, by whatever this machine lets us write.

In this order: a v1 memory cgroup below our own, a v2 cgroup beside our own (root, or a delegated tree), a transient
systemd scope of the user, and else none: the limit is advisory, and `status` says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cflight.memory_limit import MemoryCgroup, memory_cgroup

if TYPE_CHECKING:
    from pathlib import Path

_SCOPE_PROBE_SECONDS = 5
_EMPTY_SECONDS = 3


@dataclass(frozen=True, kw_only=True)
class Enforcement:
    """How the limit of a process is enforced.

    Attributes:
        how: for people: "cgroup v1", "cgroup v2", "systemd scope" or "advisory".
        cgroup: the cgroup that the process is in, if one was made.
        prefix: the command that the process must be started with, if it is a systemd scope.
    """

    how: str
    cgroup: MemoryCgroup | None = None
    prefix: tuple[str, ...] = ()


def stack_cgroup(stack: str, *, folder: str) -> str:
    """Return the name of a stack's cgroup; stacks of the same name may lie in different folders.

    Args:
        stack: the stack's name.
        folder: its folder.
    """
    return f"cflight-{stack}-{hashlib.sha256(folder.encode()).hexdigest()[:8]}"


def enforce(name: str, *, limit: int, own: MemoryCgroup | None = None) -> Enforcement:
    """Put this process under a hard memory limit, to be kept across `exec`.

    Args:
        name: the cgroup's path below its parent: "cflight-<stack>/<part>".
        limit: bytes.
        own: the cgroup of this process; found if not given.

    Returns:
        How the limit is enforced from now on, or must be by the command's prefix.
    """
    own = own or memory_cgroup()
    if own is not None:
        folder = (_base(own.path) if own.version == 1 else _base_v2(own)) / name
        try:
            _enter_v1(folder, limit) if own.version == 1 else _enter_v2(folder, limit)
        except OSError:
            remove(folder)  # not ours to write: the next way
        else:
            cgroup = MemoryCgroup(path=folder, mount=own.mount, version=own.version)
            return Enforcement(how=f"cgroup v{own.version}", cgroup=cgroup)
    if _user_scopes():
        unit = f"{name.replace('/', '-')}-{os.getpid()}"
        properties = ("-p", f"MemoryMax={limit}", "-p", "MemorySwapMax=0")
        return Enforcement(
            how="systemd scope",
            prefix=("systemd-run", "--user", "--scope", "--quiet", f"--unit={unit}", *properties, "--"),
        )
    return Enforcement(how="advisory")


def oom_kills(cgroup: Path) -> int:
    """Return how often the kernel has killed a process of a cgroup for its memory."""
    for name in ("memory.events", "memory.oom_control"):
        try:
            lines = (cgroup / name).read_text().splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def remove(cgroup: Path) -> None:
    """Remove a cgroup whose processes have ended, and the stack's above it once that is empty, too."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while cgroup.exists():
        try:
            cgroup.rmdir()
        except FileNotFoundError:
            break
        except OSError:
            # The kernel takes a moment to let go of ended processes.
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
    with contextlib.suppress(OSError):  # other parts are in it
        cgroup.parent.rmdir()


def _enter_v1(folder: Path, limit: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "memory.limit_in_bytes", limit, or_else=folder / "memory.memsw.limit_in_bytes")
    swap = folder / "memory.memsw.limit_in_bytes"
    if swap.exists():
        swap.write_text(str(limit))
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def _base_v2(own: MemoryCgroup) -> Path:
    # A v2 cgroup with processes cannot have children with controllers: ours become its siblings.
    base = _base(own.path)
    return base if base == own.mount or base != own.path else base.parent


def _enter_v2(folder: Path, limit: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for level in (folder.parent.parent, folder.parent):
        if "memory" not in (level / "cgroup.subtree_control").read_text().split():
            (level / "cgroup.subtree_control").write_text("+memory")
    (folder / "memory.max").write_text(str(limit))
    if (folder / "memory.swap.max").exists():
        (folder / "memory.swap.max").write_text("0")
    if (folder / "memory.oom.group").exists():
        (folder / "memory.oom.group").write_text("1")
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def _base(own: Path) -> Path:
    # A stack that is brought up from inside another one's part must not nest below that part.
    for level in (own, *own.parents):
        if level.name.startswith("cflight-"):
            return level.parent
    return own


def _write(file: Path, value: int, *, or_else: Path) -> None:
    # v1 keeps limit <= memsw.limit: when the limit grows, memsw must grow first.
    try:
        file.write_text(str(value))
    except OSError:
        or_else.write_text(str(value))
        file.write_text(str(value))


def _user_scopes() -> bool:
    if shutil.which("systemd-run") is None or not os.environ.get("XDG_RUNTIME_DIR"):
        return False
    probe = ["systemd-run", "--user", "--scope", "--quiet", "-p", "MemoryMax=64M", "true"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=_SCOPE_PROBE_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
