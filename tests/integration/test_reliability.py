"""What happens when parts die, stop or run out of disk: every accepted batch arrives once, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cflight.observe.ledger import Audit, Ledger
from cflight.testing.errors import ConditionError
from cflight.traffic.fares import generated
from cflight.traffic.sender import Accepted, Refused
from infra.local.supervisor import SupervisorClient

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from cflight.testing.ephemeral import StackPool
    from cflight.testing.stack import RunningStack
    from cflight.traffic.batch import Batch

pytestmark = pytest.mark.integration

RECOVERY_SECONDS = 240
OUTAGE_SECONDS = 60
DISK_MIB = 192


class Load:
    """Batches that are sent without a break, and the account of them."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.ledger = Ledger(stack.endpoints, from_now=False)
        self.accepted: list[Accepted] = []
        self.refused: list[Refused] = []
        self._ended = threading.Event()
        sender = stack.sender(rate=5, give_up_seconds=RECOVERY_SECONDS)
        self._thread = threading.Thread(target=lambda: sender.send(self._batches(), on_result=self._note))

    def _batches(self) -> Iterator[Batch]:
        for batch in generated(seed=7, most=60, bad_share=0.2):
            if self._ended.is_set():
                return
            yield batch

    def _note(self, result: Accepted | Refused) -> None:
        (self.accepted if isinstance(result, Accepted) else self.refused).append(result)  # type: ignore[arg-type]

    @contextmanager
    def running(self) -> Generator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def audit(self) -> Audit:
        self.ledger.update()
        return self.ledger.audit(list(self.accepted))

    def flows(self, what: str) -> None:
        """Wait until a batch that was accepted from now on is through to both buckets."""
        before = len(self.accepted)

        def through() -> bool:
            later = self.accepted[before:]
            if not later:
                return False
            self.ledger.update()
            accounts = self.ledger.audit(later, only=True).accounts.values()
            return any(account.quote_objects and not account.missing for account in accounts)

        self.stack.wait_for(f"batches to arrive {what}", through, seconds=RECOVERY_SECONDS)

    def check(self) -> None:
        """Wait until everything that went in has come out; nothing may have come out twice, or wrong."""
        assert not self.refused
        assert len(self.accepted) > 20

        def settled() -> bool:
            audit = self.audit()
            if audit.missing():
                raise ConditionError(f"{len(audit.missing())} missing: {audit.missing()[:3]}")
            return True

        self.stack.wait_for("every batch to arrive", settled, seconds=RECOVERY_SECONDS)
        assert self.audit().faults() == []
        self.ledger.close()


@pytest.mark.parametrize("engine", ["service", "ksql"])
def test_every_part_can_be_killed_under_load(cflight_stacks: StackPool, engine: str) -> None:
    with cflight_stacks.fresh({"cflight:cheapestEngine": engine}) as stack:
        load = Load(stack)
        with load.running():
            load.flows("at the start")
            for part in sorted(stack.parts()):
                before = stack.kill(part)
                stack.wait_for(
                    f"{part} to be started again",
                    lambda part=part, before=before: stack.parts()[part].pid not in {0, before.pid},
                    seconds=RECOVERY_SECONDS,
                )
                load.flows(f"after {part} was killed")
            _kill_supervisor(stack)
            load.flows("after the supervisor was killed")
        load.check()


def test_the_store_may_be_down_for_a_minute(cflight_stacks: StackPool) -> None:
    with cflight_stacks.fresh({"cflight:cheapestEngine": "service"}) as stack:
        load = Load(stack)
        supervisor = SupervisorClient(stack.folder)
        with load.running():
            load.flows("at the start")
            supervisor.stop("s3")
            sent = len(load.accepted)
            threading.Event().wait(OUTAGE_SECONDS)
            assert len(load.accepted) > sent  # what is upstream goes on
            supervisor.start("s3", stop_seconds=10)
            load.flows("after the store is back")
        load.check()


def test_a_hanging_store_is_no_loss(cflight_stacks: StackPool) -> None:
    with cflight_stacks.fresh({"cflight:cheapestEngine": "service"}) as stack:
        load = Load(stack)
        with load.running():
            load.flows("at the start")
            store = psutil.Process(stack.parts()["s3"].pid)
            store.send_signal(signal.SIGSTOP)
            threading.Event().wait(OUTAGE_SECONDS)
            store.send_signal(signal.SIGCONT)
            load.flows("after the store answers again")
        load.check()


def test_a_full_disk_is_no_loss(cflight_stacks: StackPool) -> None:
    with _small_disk() as disk, cflight_stacks.fresh({"cflight:cheapestEngine": "service"}, folder=disk) as stack:
        load = Load(stack)
        with load.running():
            load.flows("at the start")
            ballast = disk / "ballast"
            _fill(ballast)
            stack.wait_for("the disk to be full", lambda: psutil.disk_usage(str(disk)).free < 64 * 1024)
            threading.Event().wait(OUTAGE_SECONDS / 2)
            ballast.unlink()
            load.flows("after there is room again")
        load.check()


def _kill_supervisor(stack: RunningStack) -> None:
    pid = int((stack.folder / "supervisor" / "supervisord.pid").read_text())
    before = {name: part.pid for name, part in stack.parts().items()}
    os.kill(pid, signal.SIGKILL)

    def all_again() -> bool:
        parts = stack.parts()
        return all(part.state == "RUNNING" and part.pid not in {0, before[name]} for name, part in parts.items())

    stack.wait_for("the guardian to start the supervisor again", all_again, seconds=RECOVERY_SECONDS)


@contextmanager
def _small_disk() -> Generator[Path]:
    disk = Path(tempfile.mkdtemp(prefix="cfd-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "cflight-test", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        disk.rmdir()
        pytest.skip(f"a disk of its own cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def _fill(file: Path) -> None:
    block = bytes(64 * 1024)
    with file.open("wb", buffering=0) as stream:
        try:
            while stream.write(block) == len(block):
                pass
        except OSError:
            pass  # full
