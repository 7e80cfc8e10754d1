"""Processes under the supervisor: limits, restarts, and what survives kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from infra.local.process import ProcessHandler, ProcessInputs, Ready
from infra.local.starts import last_start
from infra.local.status import PartStatus, parts_status
from infra.local.supervisor import SupervisorClient, SupervisorHandler, SupervisorInputs
from infra.provider.handler import IncompleteError
from infra.provider.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

MIB = 1 << 20
SERVER = """\
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()[0].close()
"""
HOG = """\
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(1.5)  # past the time within which an end counts as a failed start
hoard = []
while True:
    hoard.append(bytearray(4 << 20))
    time.sleep(0.01)
"""


@dataclass
class Trial:
    """A supervisor in a folder of its own."""

    folder: Path
    name: str
    reports: list[str] = field(default_factory=list[str])

    @property
    def progress(self) -> Progress:
        return Progress(report=self.reports.append, cancelled=threading.Event())

    @property
    def inputs(self) -> SupervisorInputs:
        return SupervisorInputs(folder=str(self.folder), stack=self.name, keep_data=False)

    def up(self) -> None:
        SupervisorHandler().create(self.inputs, progress=self.progress)

    def down(self) -> None:
        SupervisorHandler().delete(str(self.folder), inputs=self.inputs, outputs={}, progress=self.progress)

    def process(self, code: str, *, memory: int = 64 * MIB, port: int | None = None) -> ProcessInputs:
        port = port or free_port()
        return ProcessInputs(
            folder=str(self.folder),
            stack=self.name,
            part="part",
            command=[sys.executable, "-c", code, str(port)],
            memory=memory,
            ready=Ready(address=f"127.0.0.1:{port}", seconds=20),
        )

    def start(self, inputs: ProcessInputs) -> None:
        ProcessHandler().create(inputs, progress=self.progress)

    def status(self) -> PartStatus:
        (part,) = parts_status(self.folder)
        return part

    def supervisor_pid(self) -> int:
        return int((self.folder / "supervisor" / "supervisord.pid").read_text())


@pytest.fixture
def trial() -> Iterator[Trial]:
    folder = Path(tempfile.mkdtemp(prefix="cflight-", dir="/tmp"))
    trial = Trial(folder / "stack", name=folder.name.removeprefix("cflight-"))
    trial.up()
    try:
        yield trial
    finally:
        trial.down()
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(what: str, condition: Callable[[], bool], *, seconds: float = 20) -> None:
    Progress(report=lambda _: None, cancelled=threading.Event()).wait(
        what, lambda: None if condition() else "not yet", seconds=seconds
    )


def has_hard_limits(trial: Trial) -> bool:
    return trial.status().enforcement != "advisory"


def test_a_process_over_its_limit_is_killed_and_restarted(trial: Trial) -> None:
    trial.start(trial.process(HOG, memory=48 * MIB))
    if not has_hard_limits(trial):
        pytest.skip("no memory cgroup can be written here; run as root or with `systemd-run --user` at hand")
    first = trial.status()
    eventually("the process to be killed for its memory", lambda: trial.status().oom_kills >= 1)
    eventually("its restart", lambda: trial.status().pid not in {0, first.pid})
    after = trial.status()
    assert after.restarts >= 1
    assert after.memory_limit == 48 * MIB
    assert after.memory_used is not None
    assert after.memory_used <= 48 * MIB


def test_a_killed_process_comes_back_on_its_port(trial: Trial) -> None:
    inputs = trial.process(SERVER)
    trial.start(inputs)
    before = trial.status()
    os.kill(before.pid, signal.SIGKILL)
    eventually("its restart", lambda: trial.status().pid not in {0, before.pid})
    assert trial.status().restarts == 1
    state = ProcessHandler().read("x", inputs=inputs, outputs={})
    assert state is not None
    assert state.outputs["pid"] == trial.status().pid


def test_a_killed_supervisor_is_started_again_with_its_processes(trial: Trial) -> None:
    trial.start(trial.process(SERVER))
    supervisor, part = trial.supervisor_pid(), trial.status().pid
    os.kill(supervisor, signal.SIGKILL)
    eventually("a new supervisor", lambda: SupervisorClient(trial.folder).running())
    eventually("the process", lambda: trial.status().state == "RUNNING" and trial.status().pid != part)
    assert trial.supervisor_pid() != supervisor
    assert not psutil.pid_exists(part)


def test_a_killed_guardian_is_started_again(trial: Trial) -> None:
    def guardian() -> int:
        children = psutil.Process(trial.supervisor_pid()).children()
        alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        found = [child.pid for child in alive if "infra.local.guardian" in child.cmdline()]
        return found[0] if found else 0

    eventually("the guardian", lambda: guardian() != 0)
    before = guardian()
    os.kill(before, signal.SIGKILL)
    eventually("a new guardian", lambda: guardian() not in {0, before})


def test_up_recovers_when_supervisor_and_guardian_are_killed(trial: Trial) -> None:
    inputs = trial.process(SERVER)
    trial.start(inputs)
    part = trial.status().pid
    supervisor = psutil.Process(trial.supervisor_pid())
    supervisor.suspend()  # or it starts again what is killed before it
    for process in (*supervisor.children(), supervisor):
        process.kill()
    eventually("all to be dead", lambda: not supervisor.is_running() and not psutil.pid_exists(part))
    properties = inputs.model_dump()
    assert trial.status().state == "DOWN"
    change = ProcessHandler().diff("x", old=properties, new=properties, outputs=properties)
    assert change.changed == ["state"]
    trial.up()
    eventually("the process", lambda: trial.status().state == "RUNNING")


def test_the_same_declaration_is_no_change_while_it_runs(trial: Trial) -> None:
    inputs = trial.process(SERVER)
    trial.start(inputs)
    properties = inputs.model_dump()
    assert not ProcessHandler().diff("x", old=properties, new=properties, outputs=properties).changed
    assert (
        not SupervisorHandler()
        .diff(str(trial.folder), old=trial.inputs.model_dump(), new=trial.inputs.model_dump(), outputs={})
        .changed
    )


def test_a_part_that_cannot_start_says_why(trial: Trial) -> None:
    with pytest.raises(IncompleteError) as caught:
        trial.start(trial.process("raise SystemExit('the reason')"))
    assert "the reason" in str(caught.value)
    assert "after" in str(caught.value)


def test_waiting_can_be_interrupted(trial: Trial) -> None:
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    start = time.monotonic()
    with pytest.raises(IncompleteError, match="interrupted"):
        ProcessHandler().create(
            trial.process("import time; time.sleep(60)"), progress=Progress(report=print, cancelled=cancelled)
        )
    assert time.monotonic() - start < 15


def test_nothing_is_left_behind() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cflight-", dir="/tmp"))
    trial = Trial(folder / "stack", name=folder.name.removeprefix("cflight-"))
    trial.up()
    trial.start(trial.process(SERVER))
    supervisor = psutil.Process(trial.supervisor_pid())
    pids = [supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))]
    cgroup = parts_cgroup(trial)
    trial.down()
    eventually("all processes to be gone", lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert not trial.folder.exists()
    assert cgroup is None or not (cgroup.exists() or cgroup.parent.exists())
    shutil.rmtree(folder)


def test_data_is_kept_where_the_stack_says_so() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cflight-", dir="/tmp"))
    trial = Trial(folder / "stack", name=folder.name.removeprefix("cflight-"))
    trial.up()
    trial.start(trial.process(SERVER))
    (trial.folder / "parts" / "part" / "data" / "precious").write_text("x")
    keep = trial.inputs.model_copy(update={"keep_data": True})
    SupervisorHandler().delete(str(trial.folder), inputs=keep, outputs={}, progress=trial.progress)
    left = [file.relative_to(trial.folder) for file in trial.folder.rglob("*") if file.is_file()]
    assert left == [Path("parts/part/data/precious")]
    shutil.rmtree(folder)


def parts_cgroup(trial: Trial) -> Path | None:
    start = last_start(trial.folder / "parts" / "part")
    return start.cgroup if start else None
