"""Looks for what is wrong on this machine, and says how each thing is mended."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from cflight.leftovers import abandoned_leases, command_line, ephemeral_homes, processes, scrap, scrap_stack
from cflight.memory_limit import memory_cgroup, memory_limit
from infra.errors import NotAvailableError
from infra.local.artefacts import cache_folder, class_archives, go_binary, java, jvm_folder, sink_folder
from infra.local.cgroup import remove, stack_cgroup
from infra.local.home import home_folder
from infra.local.ports import leases_folder
from infra.local.starts import last_start
from infra.local.status import parts_status
from infra.memory import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

State = Literal["ok", "warning", "problem"]
_JAVA_OLDEST = 17
_LEAST_DISK_MIB = 2048
_LEAST_MEMORY_MIB = 2048
_LONGEST_HOME = 60
_PROBE_BYTES = 64 * MIB
_BOOTSTRAP = "Run `scripts/bootstrap`."


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what.
        state: how it is; a stack does not run with a problem.
        what: what was seen.
        remedy: what to do about it.
        mend: does it, where a program may: it removes what a dead stack has left.
    """

    subject: str
    state: State
    what: str
    remedy: str = ""
    mend: Callable[[], None] | None = None


def examine() -> Iterator[Finding]:
    """Yield what is found, thing by thing."""
    yield _java()
    yield from _artefacts()
    yield _cgroups()
    yield _memory()
    yield from _disk()
    yield _home()
    yield from _leases()
    yield from _stacks()
    yield from _ephemeral()
    yield from _orphans()


def _java() -> Finding:
    try:
        program = java()
        told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    except (NotAvailableError, OSError) as error:
        return Finding(subject="Java", state="problem", what=str(error), remedy=getattr(error, "remedy", ""))
    version = re.search(r'version "(\d+)[^"]*"', told)
    if version is None or int(version[1]) < _JAVA_OLDEST:
        return Finding(
            subject="Java",
            state="problem",
            what=f"{program} is not version {_JAVA_OLDEST} or newer: {told.strip()[:100]}",
            remedy="Install a JDK: `apt-get install openjdk-17-jdk-headless`, or set JAVA_HOME.",
        )
    return Finding(subject="Java", state="ok", what=f"{version[0].removeprefix('version ')} at {program}")


def _artefacts() -> Iterator[Finding]:
    engine = Path(sys.prefix) / "bin" / "pulumi"
    parts = {
        "Pulumi engine": engine if engine.exists() else Path(shutil.which("pulumi") or engine),
        "Kafka, Connect, registry": jvm_folder(),
        "class archives": class_archives(),
        "S3 store": go_binary("versitygw"),
        "S3 sink plug-in": sink_folder(),
    }
    for subject, path in parts.items():
        if path.exists():
            yield Finding(subject=subject, state="ok", what=str(path))
        else:
            yield Finding(subject=subject, state="problem", what="is not installed", remedy=_BOOTSTRAP)


def _cgroups() -> Finding:
    # In a process of its own: it enters the cgroup that it makes.
    probe = (
        "from infra.local.cgroup import enforce; "
        f"made = enforce('cflight-doctor/{os.getpid()}', limit={_PROBE_BYTES}); "
        "print(made.how, made.cgroup.path if made.cgroup else '', sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    how, _, path = done.stdout.strip().partition("\n")
    if path:
        remove(Path(path))
    if how and how != "advisory":
        return Finding(subject="memory limits", state="ok", what=f"are enforced: {how}")
    return Finding(
        subject="memory limits",
        state="warning",
        what="are advisory: no memory cgroup can be written " + done.stderr.strip()[-200:],
        remedy="Run as root, in a user session of systemd, or in a container with a writable cgroup "
        "(`docker run --cgroupns=private --privileged`).",
    )


def _memory() -> Finding:
    free = min(psutil.virtual_memory().available, memory_limit()) // MIB
    told = f"{free} MiB free, {memory_limit() // MIB} MiB in all"
    if free >= _LEAST_MEMORY_MIB:
        return Finding(subject="memory", state="ok", what=told)
    return Finding(
        subject="memory",
        state="warning",
        what=told,
        remedy="End other programs; preview refuses a stack whose limits do not fit the machine.",
    )


def _disk() -> Iterator[Finding]:
    for subject, folder in (("disk of the stacks", home_folder()), ("disk of the cache", cache_folder())):
        there = next(level for level in (folder, *folder.parents) if level.exists())
        free = shutil.disk_usage(there).free // MIB
        yield Finding(
            subject=subject,
            state="ok" if free >= _LEAST_DISK_MIB else "warning",
            what=f"{free} MiB free at {folder}",
            remedy=""
            if free >= _LEAST_DISK_MIB
            else "Free some, or put CFLIGHT_HOME and CFLIGHT_CACHE elsewhere; "
            "`uv cache clean`, `go clean -cache` and old folders in the cache can go.",
        )


def _home() -> Finding:
    home = home_folder()
    there = next(level for level in (home, *home.parents) if level.exists())
    if not os.access(there, os.W_OK):
        return Finding(
            subject="home",
            state="problem",
            what=f"{there} cannot be written",
            remedy="Set CFLIGHT_HOME to a folder of yours.",
        )
    if len(str(home)) > _LONGEST_HOME:
        return Finding(
            subject="home",
            state="warning",
            what=f"{home} is long: the path of a supervisor's socket may have 91 characters",
            remedy="Set CFLIGHT_HOME to a shorter folder.",
        )
    return Finding(subject="home", state="ok", what=str(home))


def _leases() -> Iterator[Finding]:
    folder = leases_folder()
    leased = {int(lease.name): lease for lease in folder.iterdir() if lease.name.isdigit()} if folder.is_dir() else {}
    abandoned = abandoned_leases()
    for lease in abandoned:
        yield Finding(
            subject="ports",
            state="warning",
            what=f"port {lease.name} is leased to {_read(lease)}, which is gone",
            remedy=f"Remove {lease}.",
            mend=lambda lease=lease: lease.unlink(missing_ok=True),
        )
    strangers = _strangers(leased)
    yield from strangers
    if not abandoned and not strangers:
        yield Finding(subject="ports", state="ok", what=f"{len(leased)} leased, none taken by others")


def _strangers(leased: dict[int, Path]) -> list[Finding]:
    found: list[Finding] = []
    for connection in psutil.net_connections(kind="tcp"):
        port = connection.laddr.port if connection.laddr else 0
        if connection.status != psutil.CONN_LISTEN or port not in leased or not connection.pid:
            continue
        owner = Path(_read(leased[port]))
        if owner.exists() and connection.pid not in _pids_of(owner):
            found.append(
                Finding(
                    subject="ports",
                    state="problem",
                    what=f"port {port} of {owner.name} is taken by process {connection.pid}: "
                    f"{' '.join(command_line(psutil.Process(connection.pid)))[:100]}",
                    remedy="End that process, or destroy the stack and bring it up again: it then gets other ports.",
                )
            )
    return found


def _pids_of(stack: Path) -> set[int]:
    pids: set[int] = set()
    for part in (stack / "parts").glob("*"):
        start = last_start(part)
        if start is not None and psutil.pid_exists(start.pid):
            process = psutil.Process(start.pid)
            pids |= {start.pid, *(child.pid for child in process.children(recursive=True))}
    return pids


def _stacks() -> Iterator[Finding]:
    home = home_folder()
    for folder in sorted((home / "stacks").glob("*")):
        name = folder.name
        known = any((home / "state" / ".pulumi" / "stacks").glob(f"*/{name}.json"))
        if not known and "PULUMI_BACKEND_URL" not in os.environ:
            yield Finding(
                subject=f"stack {name}",
                state="warning",
                what=f"{folder} has a stack that Pulumi's state does not know",
                remedy=f"Remove it with `cflight doctor --mend`, or take it up with `cflight up -s {name}`.",
                mend=lambda folder=folder: scrap_stack(folder),
            )
            continue
        down = [part.name for part in parts_status(folder) if part.state != "RUNNING"]
        if down:
            yield Finding(
                subject=f"stack {name}",
                state="warning",
                what=f"not running: {', '.join(down)}",
                remedy=f"`cflight up -s {name}` starts them; `cflight logs {down[0]} -s {name}` says why they ended.",
            )
        else:
            yield Finding(subject=f"stack {name}", state="ok", what=f"runs in {folder}")


def _ephemeral() -> Iterator[Finding]:
    for home, keeper in ephemeral_homes():
        if keeper is not None and keeper.alive():
            yield Finding(subject="ephemeral stack", state="ok", what=f"{home}, kept by process {keeper.pid}")
        elif keeper is not None and keeper.keep:
            yield Finding(
                subject="ephemeral stack",
                state="ok",
                what=f"{home}, kept for inspection",
                remedy=f"When you are done: `cflight doctor --mend --kept`, or `CFLIGHT_HOME={home} cflight destroy`.",
            )
        else:
            yield Finding(
                subject="ephemeral stack",
                state="warning",
                what=f"{home} was left by a test run whose keeper was killed",
                remedy="Remove it with `cflight doctor --mend`.",
                mend=lambda home=home: scrap(home),
            )


def _orphans() -> Iterator[Finding]:
    """Yield supervisors and cgroups of stacks whose folders are gone."""
    for process in processes():
        arguments = command_line(process)
        configuration = next((Path(one) for one in arguments if one.endswith("/supervisor/supervisord.conf")), None)
        if configuration is not None and not configuration.exists():
            yield Finding(
                subject="processes",
                state="warning",
                what=f"supervisor {process.pid} of {configuration.parent.parent}, which is gone, still runs",
                remedy=f"`kill -9 {process.pid}`: its parts end with it.",
                mend=process.kill,
            )
    own = memory_cgroup()
    if own is None:
        return
    stacks = _stack_cgroups()
    for parent in dict.fromkeys((own.path, own.path.parent)):
        for folder in sorted(parent.glob("cflight-*")):
            levels = [*folder.glob("*/"), folder]
            if not _members(levels) and folder.name not in stacks:
                yield Finding(
                    subject="cgroups",
                    state="warning",
                    what=f"{folder} is empty and of no stack in {home_folder()}",
                    remedy=f"`find {folder} -depth -type d -exec rmdir {{}} +`",
                    mend=lambda levels=levels: _remove_cgroups(levels),
                )


def _members(levels: Iterable[Path]) -> str:
    return "".join(_read(level / "cgroup.procs").strip() for level in levels)


def _remove_cgroups(levels: Iterable[Path]) -> None:
    for level in levels:
        if level.exists():
            level.rmdir()


def _stack_cgroups() -> set[str]:
    homes = [home_folder(), *(home for home, _ in ephemeral_homes())]
    folders = (folder for home in homes for folder in (home / "stacks").glob("*"))
    return {stack_cgroup(folder.name, folder=str(folder)) for folder in folders}


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
