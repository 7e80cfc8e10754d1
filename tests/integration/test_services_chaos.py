"""200 mixed batches while every service is killed again and again: everything arrives, exactly once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from services_stack import QUICK, Stack, post, running_stack

from bench import outputs
from bench.errors import BenchError
from bench.load import batches
from services import contracts

if TYPE_CHECKING:
    from bench.processes import ServiceProcess

pytestmark = pytest.mark.integration

# Half of the instances have names, half are strangers after a restart.
INSTANCES: dict[str, list[dict[str, str]]] = {
    "ingest": [{}],
    "transform": [{"INSTANCE_ID": "a", **QUICK}, QUICK],
    "cheapest": [{"INSTANCE_ID": "a", **QUICK}, QUICK],
    "compressor": [{"INSTANCE_ID": "a", **QUICK}, QUICK],
}


class Monkey:
    """Kills instances at random and starts them again."""

    def __init__(self, stack: Stack, *, seed: int) -> None:
        self._stack = stack
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._running = {
            (name, number): self._start(name, number) for name in INSTANCES for number in range(len(INSTANCES[name]))
        }
        self._lock = threading.Lock()
        self.kills = dict.fromkeys(INSTANCES, 0)

    def _start(self, name: str, number: int) -> ServiceProcess:
        return self._stack.start(name, INSTANCES[name][number])

    def kill(self, name: str) -> None:
        place = (name, self._chance.randrange(len(INSTANCES[name])))
        # Started, so that what is killed is at work, however slow the machine is.
        self._running[place].address()
        os.kill(self._running[place].pid, signal.SIGKILL)
        self.kills[name] += 1
        fresh = self._start(*place)
        with self._lock:
            self._running[place] = fresh

    def ingest_url(self) -> str:
        with self._lock:
            ingest = self._running["ingest", 0]
        try:
            return f"http://{ingest.address()}"
        except BenchError:
            return "http://127.0.0.1:1"  # killed meanwhile

    def stop_all(self) -> None:
        for service in self._running.values():
            service.stop()


def test_nothing_is_lost_or_doubled_when_services_are_killed() -> None:
    load = batches(seed=5, rows=2_000_000, bad_share=0.3, most=6_000)[:200]
    by_body = {batch.body: batch for batch in load}
    assert len(by_body) == len(load) == 200
    with running_stack(partitions=4) as stack:
        monkey = Monkey(stack, seed=11)
        done = threading.Event()
        acknowledged: dict[tuple[object, object], bytes] = {}

        def send() -> None:
            with httpx.Client(timeout=20, trust_env=False) as client:
                for batch in load:
                    if not batch.body.startswith(b"\x1f\x8b"):
                        # ingest refuses it; somebody else may write it.
                        stack.produce(contracts.EVENT_LOG, [batch.body], partitions=1)
                        continue
                    while (position := post(client, monkey.ingest_url(), batch.body)) is None:
                        time.sleep(0.05)
                    acknowledged[position["partition"], position["offset"]] = batch.body
                    time.sleep(0.1)
            done.set()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        chance = random.Random(3)  # noqa: S311 - repeatable on purpose
        names = list(INSTANCES)
        while not done.is_set():
            assert sender.is_alive() or done.is_set()
            for name in chance.sample(names, len(names)):
                monkey.kill(name)
                done.wait(chance.uniform(0.3, 1.5))
        sender.join()
        assert min(monkey.kills.values()) >= 3
        for group, topic in (
            ("transform", contracts.EVENT_LOG),
            ("cheapest", contracts.INCOMING),
            ("compressor", contracts.PAYLOAD),
        ):
            stack.wait_committed(group, topic)
        monkey.stop_all()
        logged = {
            (message.partition(), message.offset()): message.value()
            for message in outputs.read(stack.broker.bootstrap_servers, contracts.EVENT_LOG)
        }
        assert acknowledged.items() <= logged.items()
        stack.verify_all(by_body)
