"""What dead local stacks have left on this machine, and how it is removed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from infra.local.launch import start_ticks
from infra.local.ports import leases_folder
from infra.local.supervisor import end_leftover

if TYPE_CHECKING:
    from collections.abc import Iterator

EPHEMERAL_PREFIX = "cft-"
_KEEPER_FILE = "keeper.json"
_END_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Who keeps an ephemeral stack's home.

    Attributes:
        pid: the keeper's process.
        ticks: when it was started, which tells it from a later process with its pid.
        keep: whether the stack is to stay for inspection when its keeper ends.
    """

    pid: int
    ticks: int | None
    keep: bool

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return start_ticks(self.pid) == self.ticks is not None


def note_keeper(home: Path, *, keep: bool) -> None:
    """Write down that this process keeps an ephemeral stack's home.

    Args:
        home: the home.
        keep: whether the stack stays when this process ends.
    """
    (home / _KEEPER_FILE).write_text(json.dumps({"pid": os.getpid(), "ticks": start_ticks(os.getpid()), "keep": keep}))


def ephemeral_homes(*, folder: Path = Path("/tmp")) -> Iterator[tuple[Path, Keeper | None]]:  # noqa: S108 - short for sockets
    """Yield this user's homes of ephemeral stacks, each with its keeper, or None if it never got one.

    Args:
        folder: where they are.
    """
    for home in sorted(folder.glob(f"{EPHEMERAL_PREFIX}*")):
        if home.is_dir() and home.stat().st_uid == os.getuid():
            try:
                yield home, Keeper(**json.loads((home / _KEEPER_FILE).read_text()))
            except (OSError, ValueError, TypeError):
                yield home, None


def abandoned_leases() -> list[Path]:
    """Return the leases of ports whose stacks' folders are gone."""
    folder = leases_folder()
    leases = sorted(folder.iterdir()) if folder.is_dir() else []
    return [lease for lease in leases if (owner := _owner(lease)) and not Path(owner).exists()]


def scrap(home: Path) -> None:
    """End all stacks of a home by force, and remove the home with all that they have outside of it.

    Args:
        home: the home; one that is gone is no error.
    """
    for folder in sorted((home / "stacks").glob("*")):
        scrap_stack(folder)
    # Leases can be older than their stack's folder.
    _release_leases(home)
    shutil.rmtree(home, ignore_errors=True)


def scrap_stack(folder: Path) -> None:
    """End the processes of a local stack by force, and remove its cgroups, port leases and folder.

    Args:
        folder: the stack's folder.
    """
    own = folder / "supervisor"
    if own.is_dir():
        (own / "stopping").touch()  # or the guardian starts the supervisor again
    end_processes(supervisors(folder))
    for part in sorted((folder / "parts").glob("*")):
        end_leftover(part)
    _release_leases(folder)
    shutil.rmtree(folder, ignore_errors=True)


def supervisors(folder: Path) -> list[psutil.Process]:
    """Return the supervisor of a stack and its guardian, as far as they run.

    Args:
        folder: the stack's folder.
    """
    mine = {str(folder / "supervisor"), str(folder / "supervisor" / "supervisord.conf")}
    return [process for process in processes() if mine & set(command_line(process))]


def processes() -> list[psutil.Process]:
    """Return this user's processes."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def command_line(process: psutil.Process) -> list[str]:
    """Return a process's arguments; none of one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def end_processes(ending: list[psutil.Process]) -> None:
    """Kill processes and wait for their end.

    Args:
        ending: the processes.
    """
    for process in ending:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(ending, timeout=_END_SECONDS)


def _release_leases(below: Path) -> None:
    folder = leases_folder()
    for lease in folder.iterdir() if folder.is_dir() else ():
        if Path(_owner(lease)).is_relative_to(below):
            lease.unlink(missing_ok=True)


def _owner(lease: Path) -> str:
    try:
        return lease.read_text()
    except OSError:
        return ""
