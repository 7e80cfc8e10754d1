"""The supervisor of a stack: supervisord, which owns the stack's processes and outlives the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from supervisor.xmlrpc import Faults, SupervisorTransport  # pyright: ignore[reportMissingTypeStubs]

from infra.errors import ResourceError
from infra.local import cgroup
from infra.local.home import write_private
from infra.local.launch import start_ticks
from infra.local.starts import last_start
from infra.provider.handler import Change, Handler, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.provider.progress import Progress

_START_SECONDS = 15.0
_STOP_SECONDS = 30.0
# sockaddr_un.sun_path, less the suffix that supervisord gives the socket while it makes it.
_LONGEST_SOCKET_PATH = 107 - 16

_CONFIGURATION = """\
[unix_http_server]
file={folder}/supervisor/sock
chmod=0700

[supervisord]
logfile={folder}/supervisor/supervisord.log
logfile_maxbytes=10MB
logfile_backups=1
pidfile={folder}/supervisor/supervisord.pid
childlogdir={folder}/supervisor
identifier=cflight-{stack}
nocleanup=true
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={folder}/supervisor/parts/*.conf

[program:{guardian}]
command={python} -m infra.local.guardian {folder}/supervisor
directory={root}
autorestart=true
startsecs=0
stdout_logfile={folder}/supervisor/guardian.log
redirect_stderr=true
"""
_PROGRAM = """\
[program:{part}]
command={python} -m infra.local.launch {folder}/parts/{part}
directory={root}
autostart=true
autorestart=true
startsecs=1
startretries=60
stopsignal=TERM
stopwaitsecs={stop_seconds}
stdout_logfile={folder}/parts/{part}/log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
redirect_stderr=true
"""
_ROOT = Path(__file__).parent.parent.parent
GUARDIAN = "guardian"


@dataclass(frozen=True)
class ProcessInfo:
    """What the supervisor knows of a process.

    Attributes:
        state: RUNNING, STARTING, BACKOFF, EXITED, STOPPED, FATAL, …
        pid: 0 when there is no process.
        description: for people: uptime, or why it is not running.
    """

    state: str
    pid: int
    description: str


class SupervisorClient:
    """Talks to the supervisor of a stack over its Unix socket.

    Args:
        folder: the stack's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def _rpc(self) -> Any:
        # A transport keeps its connection, and is of no use any more after one has failed: one for each call.
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._folder}/supervisor/sock")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def running(self) -> bool:
        """Tell whether the supervisor answers."""
        try:
            return self._rpc.getState()["statename"] == "RUNNING"
        except (OSError, xmlrpc.client.Error):
            return False

    def processes(self) -> dict[str, ProcessInfo]:
        """Return the stack's processes by part; none when the supervisor does not answer."""
        try:
            found: list[dict[str, Any]] = self._rpc.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return {}
        return {
            info["name"]: ProcessInfo(info["statename"], info["pid"], info["description"])
            for info in found
            if info["name"] != GUARDIAN
        }

    def start(self, part: str, *, stop_seconds: int) -> None:
        """Add a part, whose folder must hold its spec, and start it; restart it when it is there already."""
        self.remove(part, keep_files=True)
        conf = self._folder / "supervisor" / "parts" / f"{part}.conf"
        write_private(
            conf,
            _PROGRAM.format(
                part=part,
                folder=_escape(self._folder),
                root=_escape(_ROOT),
                python=sys.executable,
                stop_seconds=stop_seconds,
            ),
        )
        self._call("reloadConfig")
        self._call("addProcessGroup", part)

    def stop(self, part: str) -> None:
        """Stop a part and wait for its end."""
        self._call("stopProcessGroup", part)

    def remove(self, part: str, *, keep_files: bool) -> None:
        """Stop a part and forget it; one that is unknown is no error."""
        for call in ("stopProcessGroup", "removeProcessGroup"):
            try:
                getattr(self._rpc, call)(part)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != Faults.BAD_NAME:
                    raise ResourceError(f"the supervisor refused {call}: {fault.faultString}", where=part) from fault
            except OSError:
                break  # no supervisor, so no process of its own
        (self._folder / "supervisor" / "parts" / f"{part}.conf").unlink(missing_ok=True)
        end_leftover(self._folder / "parts" / part)
        if not keep_files:
            shutil.rmtree(self._folder / "parts" / part, ignore_errors=True)

    def shutdown(self) -> None:
        """Stop all parts and the supervisor itself."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._rpc, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise ResourceError(
                f"the supervisor refused {method}: {fault.faultString}", where=str(self._folder / "supervisor")
            ) from fault
        except OSError as error:
            raise ResourceError(
                f"the supervisor does not answer: {error}",
                where=str(self._folder / "supervisor" / "supervisord.log"),
                remedy="Run `cflight up` again: it starts the supervisor.",
            ) from error


def end_leftover(part: Path) -> None:
    """Kill what is left of a part's last start when its supervisor has not ended it, and remove its cgroup."""
    start = last_start(part)
    if start is None:
        return
    if start_ticks(start.pid) == start.ticks:
        os.kill(start.pid, signal.SIGKILL)
        _await_end(start.pid, start.ticks)
    if start.cgroup is not None:
        cgroup.remove(start.cgroup)


def _await_end(pid: int, ticks: int | None) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while start_ticks(pid) == ticks and time.monotonic() < deadline:
        time.sleep(0.02)


def _escape(path: Path) -> str:
    # supervisord expands %(name)s in its configuration.
    return str(path).replace("%", "%%")


class SupervisorInputs(Inputs):
    """What the supervisor is declared with."""

    folder: str
    stack: str
    keep_data: bool


class Supervisor(pulumi.CustomResource):
    """The supervisor of a stack's processes, and the stack's folder.

    Args:
        name: the resource's name.
        folder: the stack's folder.
        stack: the stack's name, for people who look at processes and cgroups.
        keep_data: whether deleting it leaves the parts' data.
        opts: the resource's options.
    """

    folder: pulumi.Output[str]

    def __init__(
        self, name: str, *, folder: str, stack: str, keep_data: bool, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            "cflight:local:Supervisor", name, {"folder": folder, "stack": stack, "keep_data": keep_data}, opts
        )


class SupervisorHandler(Handler[SupervisorInputs]):
    """Starts, watches and stops supervisors."""

    model = SupervisorInputs
    replace_on = frozenset({"folder", "stack"})

    def resource_id(self, inputs: SupervisorInputs) -> str:
        """A supervisor's id is its stack's folder."""
        return inputs.folder

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """A supervisor that does not answer is a change, also without a refresh."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        if not change.changed and not SupervisorClient(Path(resource_id)).running():
            return Change(changed=["running"])
        return change

    def create(self, inputs: SupervisorInputs, *, progress: Progress) -> Properties:
        """Start the supervisor; one that runs already is kept."""
        folder = Path(inputs.folder)
        own = folder / "supervisor"
        if len(str(own / "sock")) > _LONGEST_SOCKET_PATH:
            raise ResourceError(
                f"the path of the supervisor's socket is longer than {_LONGEST_SOCKET_PATH} characters",
                where=str(own / "sock"),
                remedy="Set CFLIGHT_HOME to a shorter folder.",
            )
        client = SupervisorClient(folder)
        (own / "parts").mkdir(parents=True, exist_ok=True)
        (own / "stopping").unlink(missing_ok=True)
        write_private(
            own / "supervisord.conf",
            _CONFIGURATION.format(
                folder=_escape(folder),
                stack=inputs.stack,
                root=_escape(_ROOT),
                python=sys.executable,
                guardian=GUARDIAN,
                # Said outright, or supervisord warns of it at every start.
                user="user=root\n" if os.getuid() == 0 else "",
            ),
        )
        if not client.running():
            for part in sorted((folder / "parts").glob("*")):
                end_leftover(part)
            command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(own / "supervisord.conf")]
            done = subprocess.run(
                command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                start_new_session=True, timeout=_START_SECONDS,
            )  # fmt: skip
            if done.returncode:
                raise ResourceError(
                    f"the supervisor did not start: {done.stderr.strip() or done.stdout.strip()}",
                    where=str(own / "supervisord.log"),
                )
            progress.wait(
                "the supervisor to answer", lambda: None if client.running() else "no answer", seconds=_START_SECONDS
            )
        return {"running": True}

    def read(self, resource_id: str, *, inputs: SupervisorInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return whether it runs; it is gone with its folder."""
        del outputs
        folder = Path(resource_id)
        if not (folder / "supervisor" / "supervisord.conf").exists():
            return None
        return State(inputs=inputs.model_dump(), outputs={"running": SupervisorClient(folder).running()})

    def update(
        self, resource_id: str, *, old: Properties, new: SupervisorInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Start it again where it has ended."""
        del resource_id, old, outputs
        return self.create(new, progress=progress)

    def delete(self, resource_id: str, *, inputs: SupervisorInputs, outputs: Properties, progress: Progress) -> None:
        """Stop what still runs and remove the stack's folder, or all but its parts' data."""
        del outputs
        folder = Path(resource_id)
        own = folder / "supervisor"
        client = SupervisorClient(folder)
        pid = _read_pid(own / "supervisord.pid")
        if own.exists():
            (own / "stopping").touch()
        if pid is not None and start_ticks(pid) is not None and client.running():
            if inputs.keep_data:
                client.shutdown()
            else:
                os.kill(pid, signal.SIGKILL)  # and with it all parts, at once: there is no data to be saved
            progress.wait(
                "the supervisor to end",
                lambda: f"pid {pid} still runs" if pid and start_ticks(pid) is not None else None,
                seconds=_STOP_SECONDS,
            )
        for part in sorted((folder / "parts").glob("*")):
            end_leftover(part)
            for entry in part.iterdir():
                if not (inputs.keep_data and entry.name == "data"):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            if not inputs.keep_data:
                part.rmdir()
        shutil.rmtree(own, ignore_errors=True)
        if not inputs.keep_data:
            shutil.rmtree(folder, ignore_errors=True)


def _read_pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
