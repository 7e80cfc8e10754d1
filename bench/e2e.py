"""The platform from end to end: how soon it is there and gone, how soon a batch is through, what it takes."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError
from cflight.leftovers import scrap, supervisors
from cflight.observe.latency import Follower, written_at
from cflight.observe.ledger import Ledger
from cflight.testing.ephemeral import ephemeral_stack
from cflight.traffic.fares import generated
from cflight.traffic.sender import Accepted
from cflight.traffic.statistics import percentile
from services import contracts

if TYPE_CHECKING:
    from cflight.testing.stack import RunningStack

_ROOT = Path(__file__).parent.parent
_MIB = 1 << 20
_SETTLE_SECONDS = 120
_WARM_UP = 40
_SIDE_BY_SIDE = 3
_SERVICE = {"cflight:cheapestEngine": "service"}
_GOALS = {
    "clone_to_summary_s": 60.0,
    "ready_s": 15.0,
    "gone_s": 5.0,
    "quote_p99_ms": 500.0,
    "object_p99_ms": 2000.0,
    "rss_mib": 1300.0,
}

Figures = dict[str, float]


def main(
    *,
    json_output: Annotated[bool, typer.Option("--json", help="print the figures as one JSON object")] = False,
    runs: Annotated[int, typer.Option(min=1, help="how often a stack is brought up; figures are medians")] = 3,
    rate: Annotated[float, typer.Option(help="batches a second")] = 20.0,
    rows: Annotated[int, typer.Option(help="of a batch")] = 1000,
    seconds: Annotated[float, typer.Option(help="for how long batches are sent")] = 30.0,
    clone: Annotated[bool, typer.Option("--clone/--no-clone", help="measure the README's first command, too")] = True,
) -> None:
    """Measure the platform from end to end; everything must have been downloaded and built before."""
    console = Console(stderr=True, quiet=json_output and not sys.stderr.isatty())
    figures: Figures = {}
    with console.status("") as status:
        if clone:
            status.update("a fresh clone's first command")
            figures["clone_to_summary_s"] = _first_command()
        ready: list[float] = []
        gone: list[float] = []
        for run in range(runs):
            status.update(f"an ephemeral stack, {run + 1} of {runs}")
            for kept, measured in zip((ready, gone), _come_and_go(), strict=True):
                kept.append(measured)
        figures |= {"ready_s": statistics.median(ready), "gone_s": statistics.median(gone)}
        status.update(f"{_SIDE_BY_SIDE} stacks side by side")
        figures["side_by_side_ready_s"] = _side_by_side()
        status.update(f"{rate:.0f} batches of {rows} rows a second, for {seconds:.0f} s")
        with ephemeral_stack(_SERVICE) as stack:
            figures |= _through(stack, rate=rate, rows=rows, count=round(rate * seconds))
    if json_output:
        typer.echo(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    else:
        Console().print(_table(figures))


def _first_command() -> float:
    folder = Path(tempfile.mkdtemp(prefix="cfb-", dir="/tmp"))
    home = folder / "h"
    try:
        started = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(folder / "clone")], check=True)
        done = subprocess.run(
            [str(folder / "clone" / "scripts" / "up"), "--json"],
            env={**os.environ, "CFLIGHT_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.monotonic() - started
        if done.returncode:
            raise BenchError(f"failed:\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}", where="scripts/up")
        return took
    finally:
        scrap(home)
        shutil.rmtree(folder, ignore_errors=True)


def _come_and_go() -> tuple[float, float]:
    started = time.monotonic()
    with ephemeral_stack(_SERVICE):
        ready = time.monotonic()
    # The stack is taken down at the context's end.
    return ready - started, time.monotonic() - ready


def _side_by_side() -> float:
    took: list[float] = []
    failures: list[BaseException] = []
    leave = threading.Event()

    def one() -> None:
        started = time.monotonic()
        try:
            with ephemeral_stack(_SERVICE):
                took.append(time.monotonic() - started)
                leave.wait()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(_SIDE_BY_SIDE)]
    for thread in threads:
        thread.start()
    while len(took) + len(failures) < len(threads):
        leave.wait(0.1)
    leave.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return max(took)


def _through(stack: RunningStack, *, rate: float, rows: int, count: int) -> Figures:
    batches = list(generated(seed=1, count=_WARM_UP + count, fewest=rows, most=rows))
    with ExitStack() as open_:
        follower = open_.enter_context(Follower(stack.endpoints, contracts.CHEAPEST))
        stack.sender(rate=rate).send(batches[:_WARM_UP])
        results = stack.sender(rate=rate).send(batches[_WARM_UP:])
        resident = _resident(stack)
        accepted = [result for result in results if isinstance(result, Accepted)]
        if len(accepted) < count:
            raise BenchError(f"{count - len(accepted)} of {count} batches were refused", where="ingest")
        ledger = Ledger(stack.endpoints, from_now=False)
        open_.callback(ledger.close)

        def all_there() -> bool:
            ledger.update()
            return not ledger.audit(accepted, only=True).missing()

        stack.wait_for("all batches to be through", all_there, seconds=_SETTLE_SECONDS)
        first = follower.first()
    audit = ledger.audit(accepted, only=True)
    if audit.faults():
        raise BenchError("; ".join(audit.faults()[:3]), where="account")
    accounts = audit.claimed
    quoted = [
        first[account.batch_id].arrived - one.accepted_at for account, one in zip(accounts, accepted, strict=True)
    ]
    stored = [
        max(written_at(found, folder=stack.folder) for found in (*account.batch_objects, *account.quote_objects))
        - one.accepted_at
        for account, one in zip(accounts, accepted, strict=True)
    ]
    accepting = [one.accepted_at - one.sent_at for one in accepted]
    return {
        "accept_p50_ms": percentile(accepting, 50) * 1000,
        "accept_p99_ms": percentile(accepting, 99) * 1000,
        "quote_p50_ms": percentile(quoted, 50) * 1000,
        "quote_p99_ms": percentile(quoted, 99) * 1000,
        "object_p50_ms": percentile(stored, 50) * 1000,
        "object_p99_ms": percentile(stored, 99) * 1000,
        "rss_mib": resident,
    }


def _resident(stack: RunningStack) -> float:
    """Return the MiB that all processes of a stack have resident, the supervisor's included."""
    pids = {part.pid for part in stack.parts().values() if part.pid}
    processes = [*map(psutil.Process, pids), *supervisors(stack.folder)]
    everyone = {one for process in processes for one in (process, *process.children(recursive=True))}
    return sum(process.memory_info().rss for process in everyone) / _MIB


def _table(figures: Figures) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in ("figure", "measured", "goal"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, value in figures.items():
        goal = _GOALS.get(name)
        table.add_row(name, f"{value:,.1f}", "" if goal is None else f"{'' if value <= goal else 'not '}≤ {goal:,.0f}")
    return table
