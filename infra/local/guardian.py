"""Starts again what nobody else does (`python -m infra.local.guardian FOLDER`): the supervisor, failed connectors.

The supervisor in turn restarts the guardian, so either can be killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

from cflight.loopback import bypass_proxies
from infra.local.auto_restart import auto_restart


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
    bypass_proxies()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    threading.Thread(target=auto_restart, args=(Path(sys.argv[1]).parent,), daemon=True).start()
    guard(Path(sys.argv[1]))
