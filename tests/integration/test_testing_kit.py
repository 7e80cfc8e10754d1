"""The test kit itself: stacks go with their owner, however that ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cflight.leftovers import abandoned_leases, command_line, ephemeral_homes, processes, scrap
from cflight.memory_limit import memory_cgroup
from cflight.testing.ephemeral import ephemeral_stack
from cflight.testing.errors import KeeperError
from infra.local.status import parts_status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

DEADLINE_SECONDS = 240
CONFTEST = """
import pytest
@pytest.fixture(scope="session")
def cflight_settings():
    return {"cflight:cheapestEngine": "service"}
"""
TELLS = """
def test_{name}(cflight_stack, tmp_path):
    folder = cflight_stack.folder
    with open({file!r}, "a") as told:
        told.write(f"{{folder}}\\n")
    {then}
"""


def run_pytest(folder: Path, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(pytest_command(folder, *arguments), cwd=folder, capture_output=True, text=True, check=False)
    assert status is None or done.returncode == status, done.stdout + done.stderr
    return done


def pytest_command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]


def suite(folder: Path, **tests: str) -> Path:
    """Write a test suite whose tests tell their stack's folder and then do something; return what they write to."""
    told = folder / "told"
    (folder / "conftest.py").write_text(CONFTEST)
    for name, then in tests.items():
        (folder / f"test_{name}.py").write_text(TELLS.format(name=name, file=str(told), then=then))
    return told


def eventually(what: str, probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not probe():
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS} s for {what}"
        time.sleep(0.2)


def traces(home: Path) -> list[str]:
    """Return all that is left of a home: processes, cgroups, port leases, files."""
    left = [f"process {one.pid}: {line}" for one in processes() if str(home) in (line := " ".join(command_line(one)))]
    left += [f"lease {lease}" for lease in abandoned_leases() if lease.read_text().startswith(str(home))]
    own = memory_cgroup()
    for parent in {own.path, own.path.parent} if own else set[Path]():
        for stack in (home / "stacks").glob("*"):
            left += [str(cgroup) for cgroup in parent.glob(f"cflight-{stack.name}")]
    return left + ([str(home)] if home.exists() else [])


def home_of(stack: str) -> Path:
    return Path(stack).parent.parent


def test_a_stack_goes_with_a_pytest_that_was_killed(tmp_path: Path) -> None:
    told = suite(tmp_path, kill="import os; os.kill(os.getpid(), 9)")
    assert run_pytest(tmp_path, status=None).returncode == -signal.SIGKILL
    home = home_of(told.read_text().strip())
    eventually("the keeper to take the stack down", lambda: not traces(home))


def test_a_stack_goes_when_its_owner_is_killed_while_it_comes_up(tmp_path: Path) -> None:
    suite(tmp_path, nothing="pass")
    before = {home for home, _ in ephemeral_homes()}
    running = subprocess.Popen(
        pytest_command(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def coming() -> list[Path]:
        children = {home for home, _ in ephemeral_homes()} - before
        return [
            home for home in children if list((home / "stacks").glob("*/parts/kafka")) and _owned(home, running.pid)
        ]

    eventually("Kafka to be started", lambda: bool(coming()))
    [home] = coming()
    running.kill()
    running.wait()
    eventually("the keeper to take the stack down", lambda: not traces(home))


def test_stacks_go_after_a_failed_test_and_two_workers_have_one_each(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    meet = f"import time, pathlib; end = time.monotonic() + {DEADLINE_SECONDS}\n    " + (
        "while time.monotonic() < end and len(pathlib.Path({told!r}).read_text().split()) < 2: time.sleep(0.1)\n    "
    ).format(told=str(tmp_path / "told"))
    told = suite(tmp_path, one=meet + "assert False, 'on purpose'", two=meet)
    done = run_pytest(tmp_path, "-n", "2", status=1)
    assert re.search(r"1 failed, 1 passed", done.stdout), done.stdout
    homes = {home_of(folder) for folder in told.read_text().split()}
    assert len(homes) == 2
    assert [trace for home in homes for trace in traces(home)] == []


def test_a_stack_can_be_kept_and_tested_again(tmp_path: Path) -> None:
    told = suite(tmp_path, one="assert True")
    done = run_pytest(tmp_path, "--keep-stack")
    folder = Path(told.read_text().strip())
    home = home_of(str(folder))
    try:
        command = re.search(r"CFLIGHT_HOME=(\S+) cflight status --stack (\S+)", done.stdout)
        assert command, done.stdout
        assert (command[1], command[2]) == (str(home), folder.name)
        assert {part.state for part in parts_status(folder)} == {"RUNNING"}

        environment = {**os.environ, "CFLIGHT_HOME": str(home)}
        again = subprocess.run(
            pytest_command(tmp_path, "--stack", folder.name),
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert again.returncode == 0, again.stdout + again.stderr
        assert told.read_text().split() == [str(folder)] * 2
        assert {part.state for part in parts_status(folder)} == {"RUNNING"}  # it is not the tests' to take down

        doctor = subprocess.run(
            [str(Path(sys.executable).parent / "cflight"), "doctor"], capture_output=True, text=True, check=False
        )
        assert f"{home}, kept for inspection" in re.sub(r"\s+", " ", doctor.stdout)
    finally:
        scrap(home)
    assert traces(home) == []


def test_a_wrong_setting_is_told_and_leaves_nothing() -> None:
    before = [home for home, _ in ephemeral_homes()]
    with pytest.raises(KeeperError, match="cheapestEngin"), ephemeral_stack({"cflight:cheapestEngin": "service"}):
        pass
    assert [home for home, _ in ephemeral_homes() if home not in before and _owned(home, os.getpid())] == []


def test_a_stack_that_does_not_exist_is_told(tmp_path: Path) -> None:
    suite(tmp_path, one="pass")
    environment = {**os.environ, "CFLIGHT_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        pytest_command(tmp_path, "--stack", "nowhere"),
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "there is no stack nowhere" in done.stdout
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


def _owned(home: Path, pid: int) -> bool:
    """Tell whether a home's keeper, or whoever has made the home, is a process or its child."""
    for found, keeper in ephemeral_homes():
        if found == home and keeper is not None:
            return keeper.pid == pid or _parent(keeper.pid) == pid
    return False


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
