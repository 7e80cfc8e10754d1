"""Making cgroups, on folders that look like the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cflight.memory_limit import MemoryCgroup
from infra.local import cgroup

LIMIT = 128 << 20


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def kernel_v2(folder: Path, *, controllers: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    return folder


def test_v2_becomes_a_sibling_of_our_own_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_v2(tmp_path / "slice", controllers="cpu memory")
    own = kernel_v2(tmp_path / "slice" / "shell.scope", controllers="")
    made = kernel_files(monkeypatch)
    enforcement = cgroup.enforce("cflight-s/kafka", limit=LIMIT, own=MemoryCgroup(path=own, mount=tmp_path, version=2))
    folder = tmp_path / "slice" / "cflight-s" / "kafka"
    assert enforcement.how == "cgroup v2"
    assert enforcement.cgroup is not None
    assert enforcement.cgroup.path == folder
    assert made[folder / "memory.max"] == str(LIMIT)
    assert made[folder / "cgroup.procs"] == str(os.getpid())
    assert made[folder.parent / "cgroup.subtree_control"] == "+memory"


def test_v1_lies_below_our_own_cgroup(tmp_path: Path) -> None:
    own = tmp_path / "user"
    own.mkdir()
    enforcement = cgroup.enforce("cflight-s/kafka", limit=LIMIT, own=MemoryCgroup(path=own, mount=tmp_path, version=1))
    folder = own / "cflight-s" / "kafka"
    assert enforcement.how == "cgroup v1"
    assert (folder / "memory.limit_in_bytes").read_text() == str(LIMIT)
    assert (folder / "cgroup.procs").read_text() == str(os.getpid())


def test_a_stack_inside_of_a_stack_does_not_nest(tmp_path: Path) -> None:
    own = tmp_path / "user" / "cflight-outer" / "tests"
    own.mkdir(parents=True)
    enforcement = cgroup.enforce("cflight-s/kafka", limit=LIMIT, own=MemoryCgroup(path=own, mount=tmp_path, version=1))
    assert enforcement.cgroup is not None
    assert enforcement.cgroup.path == tmp_path / "user" / "cflight-s" / "kafka"


def test_where_nothing_can_be_written_the_limit_is_advisory(tmp_path: Path) -> None:
    # A file where the cgroup's folder would have to be: mkdir fails as it does on a read-only hierarchy.
    (tmp_path / "own").write_text("")
    own = MemoryCgroup(path=tmp_path / "own", mount=tmp_path, version=1)
    enforcement = cgroup.enforce("cflight-s/kafka", limit=LIMIT, own=own)
    assert enforcement.how == "advisory"
    assert enforcement.cgroup is None


def test_what_was_made_on_the_way_to_a_failure_is_removed(tmp_path: Path) -> None:
    own = kernel_v2(tmp_path / "slice" / "shell.scope", controllers="")
    (tmp_path / "slice" / "cgroup.subtree_control").mkdir()  # cannot be read or written
    enforcement = cgroup.enforce("cflight-s/kafka", limit=LIMIT, own=MemoryCgroup(path=own, mount=tmp_path, version=2))
    assert enforcement.how == "advisory"
    assert not (tmp_path / "slice" / "cflight-s").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("memory.events", "low 0\noom 3\noom_kill 2\n"), ("memory.oom_control", "under_oom 0\noom_kill 2\n")],
)
def test_kills_are_counted(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert cgroup.oom_kills(tmp_path) == 2


def kernel_files(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    """Let new folders have the files that the kernel puts there, and note what is written."""
    written: dict[Path, str] = {}
    mkdir, write_text = Path.mkdir, Path.write_text

    def make(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002
        mkdir(self, mode, parents, exist_ok)
        for level in (self, self.parent):
            control = level / "cgroup.subtree_control"
            if not control.exists():
                write_text(control, "")

    def note(self: Path, data: str, *args: str, **kwargs: str) -> int:
        written[self] = data
        return write_text(self, data, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "write_text", note)
    return written
