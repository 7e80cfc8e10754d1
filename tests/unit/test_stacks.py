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


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of its own for stack files; the home is beside it."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "Pulumi.yaml").write_text((stacks.ROOT / "Pulumi.yaml").read_text())
    monkeypatch.setattr(stacks, "ROOT", root)
    monkeypatch.setenv("CFLIGHT_HOME", str(tmp_path / "home"))
    return root


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("config: [", "cannot be read"),
        ("just text", "no mapping"),
        ("config: [1]", "`config` is no mapping"),
        ("config:\n  a: \x00", "cannot be read"),
    ],
)
def test_a_stack_file_that_makes_no_sense_is_named(tree: Path, text: str, why: str) -> None:
    (tree / "Pulumi.local.yaml").write_text(text)
    with pytest.raises(stacks.StackError, match=why) as caught:
        stacks.Stack("local")
    assert "Pulumi.local.yaml" in str(caught.value)


def test_a_home_that_is_a_file_is_named(tree: Path, tmp_path: Path) -> None:
    (tree / "Pulumi.local.yaml").write_text("config:\n  cflight:target: local\n")
    (tmp_path / "home").touch()
    with pytest.raises(stacks.StackError, match="CFLIGHT_HOME"):
        stacks.Stack("local")


def test_secrets_that_were_set_with_plain_pulumi_keep_their_salt(tree: Path, tmp_path: Path) -> None:
    file = tree / "Pulumi.local.yaml"
    secret = {"cflight:services": {"ingest": {"token": {"secure": "v1:x"}}}}
    file.write_text(json.dumps({"encryptionsalt": "v1:of the tree", "config": {"cflight:target": "local", **secret}}))
    own = tmp_path / "home" / "workspaces" / "local" / "Pulumi.local.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"encryptionsalt": "v1:of an earlier run"}))
    stacks.Stack("local")
    assert "v1:of the tree" in own.read_text()
    file.write_text(json.dumps({"config": {"cflight:target": "local"}}))
    stacks.Stack("local")
    assert "v1:of the tree" in own.read_text()  # the state's secrets still have it
