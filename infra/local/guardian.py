"""Watches the supervisor and starts it again when it was killed (`python -m infra.local.guardian FOLDER`).

The supervisor in turn restarts the guardian, so either can be killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path


def guard(folder: Path) -> None:
    """Wait for the supervisor's end and start it again, unless it is being stopped.

    Args:
        folder: the supervisor's folder, with `supervisord.conf`.
    """
    # Not our parent's pid: if the supervisor is dead already, our parent is another process.
    supervisor = int((folder / "supervisord.pid").read_text())
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(supervisor)], [], [])
    if (folder / "stopping").exists() or not (folder / "supervisord.conf").exists():
        return
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    with (folder / "guardian.log").open("ab") as log:  # our own output went to the supervisor that has died
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
