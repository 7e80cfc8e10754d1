"""Starts a part: limits its memory, notes the start, and becomes the part (`python -m infra.local.launch FOLDER`).

The supervisor runs this in place of the part, so that secrets stay out of its configuration and out of argument
lists: they are in the part's `spec.json`, which only the owner can read.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from infra.local.cgroup import enforce

_PR_SET_PDEATHSIG = 1
# In a folder that is discarded as long as its process was never ready.
READY_MARK = ".was-ready"
_INHERITED = ("PATH", "HOME", "LANG", "TZ", "JAVA_HOME", "SSL_CERT_FILE")


def launch(folder: Path) -> None:
    """Become the part whose `spec.json` is in the folder; never returns.

    Args:
        folder: the part's folder.
    """
    supervisor = os.getppid()
    _die_with_parent(supervisor)
    spec = json.loads((folder / "spec.json").read_text())
    enforcement = enforce(spec["cgroup"], limit=spec["memory"])
    if spec["discard"] and not (folder / spec["discard"] / READY_MARK).exists():
        shutil.rmtree(folder / spec["discard"], ignore_errors=True)
        (folder / spec["discard"]).mkdir()
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | spec["environment"]
    if spec["prepare"] and not (folder / spec["prepared"]).exists():
        subprocess.run(spec["prepare"], check=True, env=environment, cwd=folder)
    start = {
        "time": time.time(),
        "pid": os.getpid(),
        "ticks": start_ticks(os.getpid()),
        "enforcement": enforcement.how,
        "cgroup": str(enforcement.cgroup.path) if enforcement.cgroup else None,
    }
    with (folder / "starts.jsonl").open("a") as starts:
        starts.write("\n" + json.dumps(start) + "\n")  # the line before may be torn: the disk was full
    command = [*enforcement.prefix, *spec["command"]]
    os.chdir(folder)
    os.execvpe(command[0], command, environment)


def start_ticks(pid: int) -> int | None:
    """Return when a process was started, in ticks since boot, or None if it is gone: tells reused pids apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def _die_with_parent(parent: int) -> None:
    # A part without its supervisor would hold its port, unwatched: the new supervisor starts it afresh instead.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the supervisor has gone")


if __name__ == "__main__":
    launch(Path(sys.argv[1]))
