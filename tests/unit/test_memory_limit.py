"""Reading one's own memory limit from folders that look like the kernel's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from cflight.memory_limit import memory_cgroup, memory_limit, physical_memory

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
PHYSICAL = 1024 * MIB
V1_UNLIMITED = 9223372036854771712


@dataclass
class Machine:
    """A /proc and a cgroup mount below a temporary folder."""

    root: Path

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    @property
    def meminfo(self) -> Path:
        return self.root / "meminfo"

    def set(self, *, cgroup: str, mount: str) -> None:
        self.proc.mkdir()
        (self.proc / "cgroup").write_text(cgroup)
        (self.proc / "mountinfo").write_text(mount)
        self.meminfo.write_text(f"MemTotal: {PHYSICAL // 1024} kB\nMemFree: 1 kB\n")

    def v2(self, limits: dict[str, str], *, member: str = "/", root: str = "/") -> None:
        mount = self.root / "cgroup"
        for path, limit in limits.items():
            folder = mount / path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "memory.max").write_text(f"{limit}\n")
        self.set(cgroup=f"0::{member}\n", mount=f"30 23 0:26 {root} {mount} rw - cgroup2 cgroup2 rw,nsdelegate\n")

    def v1(self, limits: dict[str, int], *, member: str = "/", root: str = "/") -> None:
        mount = self.root / "memory"
        for path, limit in limits.items():
            folder = mount / path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        self.set(
            cgroup=f"5:cpu,cpuacct:/elsewhere\n4:memory:{member}\n0::/\n",
            mount=f"31 23 0:27 / {self.root}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
            f"32 23 0:28 {root} {mount} rw - cgroup cgroup rw,memory\n",
        )

    def limit(self) -> int:
        return memory_limit(proc=self.proc, meminfo=self.meminfo)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_v2_limit(machine: Machine) -> None:
    machine.v2({".": "max", "box": str(128 * MIB)}, member="/box")
    assert machine.limit() == 128 * MIB


def test_v2_without_a_limit_is_physical_memory(machine: Machine) -> None:
    machine.v2({".": "max", "box": "max"}, member="/box")
    assert machine.limit() == PHYSICAL


def test_v2_the_tightest_ancestor_counts(machine: Machine) -> None:
    machine.v2({".": "max", "a": str(64 * MIB), "a/b": str(256 * MIB), "a/b/c": "max"}, member="/a/b/c")
    assert machine.limit() == 64 * MIB


def test_v2_in_a_container_the_mount_is_the_own_cgroup(machine: Machine) -> None:
    machine.v2({".": str(96 * MIB)}, member="/kubepods/pod1/container", root="/kubepods/pod1/container")
    assert machine.limit() == 96 * MIB


def test_v2_in_a_cgroup_namespace(machine: Machine) -> None:
    machine.v2({".": str(96 * MIB)}, member="/")
    assert machine.limit() == 96 * MIB


def test_v1_limit(machine: Machine) -> None:
    machine.v1({".": V1_UNLIMITED, "box": 128 * MIB}, member="/box")
    assert machine.limit() == 128 * MIB


def test_v1_without_a_limit_is_physical_memory(machine: Machine) -> None:
    machine.v1({".": V1_UNLIMITED, "box": V1_UNLIMITED}, member="/box")
    assert machine.limit() == PHYSICAL


def test_v1_the_tightest_ancestor_counts(machine: Machine) -> None:
    machine.v1({".": V1_UNLIMITED, "a": 32 * MIB, "a/b": 256 * MIB}, member="/a/b")
    assert machine.limit() == 32 * MIB


def test_v1_in_a_container(machine: Machine) -> None:
    machine.v1({".": 48 * MIB}, member="/docker/abc", root="/docker/abc")
    assert machine.limit() == 48 * MIB


def test_more_than_physical_memory_is_physical_memory(machine: Machine) -> None:
    machine.v2({".": str(PHYSICAL * 4)})
    assert machine.limit() == PHYSICAL


def test_without_cgroups_it_is_physical_memory(machine: Machine) -> None:
    machine.set(cgroup="", mount="1 1 0:1 / / rw - ext4 /dev/vda rw\n")
    assert memory_cgroup(proc=machine.proc) is None
    assert machine.limit() == PHYSICAL


def test_use_leaves_out_page_cache_that_can_be_dropped(machine: Machine) -> None:
    machine.v2({"box": "max"}, member="/box")
    box = machine.root / "cgroup" / "box"
    (box / "memory.current").write_text(f"{100 * MIB}\n")
    (box / "memory.stat").write_text(f"anon {60 * MIB}\ninactive_file {30 * MIB}\n")
    cgroup = memory_cgroup(proc=machine.proc)
    assert cgroup is not None
    assert cgroup.used() == 70 * MIB


def test_this_machine_has_memory() -> None:
    assert 0 < memory_limit() <= physical_memory()
