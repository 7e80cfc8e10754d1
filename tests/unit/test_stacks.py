from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cflight import stacks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CFLIGHT_HOME", str(tmp_path))
    file = tmp_path / "state" / ".pulumi" / "locks" / "organization" / "cflight" / "local" / "a.json"
    file.parent.mkdir(parents=True)
    return file


def holder(*, pid: int, host: str | None = None, at: float | None = None) -> str:
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"pid": pid, "username": "me", "hostname": host or socket.gethostname(), "timestamp": moment})


def dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def free(stack: str = "local") -> None:
    stacks._free_dead_locks(stack)  # pyright: ignore[reportPrivateUsage]


def test_the_lock_of_a_dead_run_is_freed(lock: Path) -> None:
    lock.write_text(holder(pid=dead_pid()))
    free()
    assert not lock.exists()


def test_the_lock_of_a_pid_that_another_process_has_now_is_freed(lock: Path) -> None:
    lock.write_text(holder(pid=os.getpid(), at=time.time() - 1_000_000))
    free()
    assert not lock.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_lock_that_cannot_be_read_is_left(lock: Path, text: str) -> None:
    lock.write_text(text)
    free()
    assert lock.exists()


def test_the_lock_of_a_living_run_is_left(lock: Path) -> None:
    lock.write_text(holder(pid=os.getpid()))
    free()
    assert lock.exists()


def test_the_lock_of_another_machine_or_stack_is_left(lock: Path) -> None:
    lock.write_text(holder(pid=dead_pid(), host="elsewhere"))
    free()
    assert lock.exists()
    lock.write_text(holder(pid=dead_pid()))
    free("other")
    assert lock.exists()
