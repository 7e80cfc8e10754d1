"""Keeps one ephemeral stack: brings it up, and takes it down when its owner ends, however that is.

`python -m cflight.testing.keeper` reads `{"name", "settings", "keep"}` as a line of JSON from standard input and writes
lines of JSON to standard output: `{"step": …}` while it works, then `{"outputs": …}` or `{"error": …}`. It takes the
stack down when standard input ends: the kernel closes it also for an owner that was killed.
$CFLIGHT_HOME must be a folder of this stack's own; it is removed in the end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import psutil

from cflight.cli.progress import EngineProgress
from cflight.cli.terminal import errors
from cflight.errors import CflightError
from cflight.leftovers import note_keeper, scrap
from cflight.stacks import Stack
from infra.local.home import home_folder

if TYPE_CHECKING:
    from pulumi.automation import EngineEvent


def keep() -> None:
    """Bring the stack up, wait for the owner's end, take it down."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the owner
    owner = os.pidfd_open(os.getppid())
    task = json.loads(sys.stdin.readline())
    note_keeper(home_folder(), keep=task["keep"])
    stack: Stack | None = None
    ended = threading.Event()
    threading.Thread(target=_watch, args=(owner, ended), daemon=True).start()
    progress = EngineProgress(console=errors, title=task["name"], preview=False, machine=True)
    try:
        stack = Stack(task["name"], base="local", config=task["settings"])
        stack.up(on_event=lambda event: _tell_step(event, progress))
        _tell({"outputs": stack.outputs(show_secrets=True)})
    except CflightError as error:
        _tell({"error": "\n".join(progress.errors) or str(error)})
    ended.wait()
    if not task["keep"]:
        _take_down(stack)
    _tell({"gone": not task["keep"]})


def _watch(owner: int, ended: threading.Event) -> None:
    # Another child of the owner may have inherited the pipe: its end is watched as well as the pipe's.
    select.select([sys.stdin, owner], [], [])
    ended.set()
    for child in psutil.Process().children():
        # An `up` in progress: the engine ends what it has begun, and writes down what there is.
        child.send_signal(signal.SIGINT)


def _take_down(stack: Stack | None) -> None:
    home = home_folder()
    try:
        if stack is not None and stack.exists():
            stack.destroy(on_event=lambda _event: None)
    except CflightError as error:
        _tell({"step": f"destroy failed, so all is ended by force: {error}"})
    scrap(home)


def _tell_step(event: EngineEvent, progress: EngineProgress) -> None:
    progress(event)
    if event.resource_pre_event and event.resource_pre_event.metadata.op.value == "create":
        _tell({"step": event.resource_pre_event.metadata.urn.rpartition("::")[2]})


def _tell(message: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The owner is gone: there is nobody to tell, and the rest must still be done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    keep()
