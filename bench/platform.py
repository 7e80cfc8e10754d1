"""How long a local stack takes to come, to be looked at and to go, and what memory it holds at rest."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError

_GOALS = {"up_s": 20.0, "preview_s": 4.0, "destroy_s": 6.0, "rss_mib": 0.9 * 1024}
_LABELS = {
    "up_s": "up, from nothing to all parts ready",
    "preview_s": "preview without a change",
    "destroy_s": "destroy",
    "rss_mib": "memory of all parts at rest",
}
_MIB = 1 << 20
_SETTLE_SECONDS = 5.0


def main(
    *,
    runs: Annotated[int, typer.Option(help="How often; medians are printed.")] = 5,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON line at the end.")] = False,
) -> None:
    """Bring a whole local stack up and down and measure it, as whole processes of the command line."""
    console = Console(stderr=json_output)
    measured: list[dict[str, float]] = []
    for number in range(runs):
        measured.append(_measure())
        figures = ", ".join(f"{name} {value:.1f}" for name, value in measured[-1].items())
        console.print(f"run {number + 1} of {runs}: {figures}", highlight=False)
    medians = {name: statistics.median(run[name] for run in measured) for name in _LABELS}
    console.print(_table(medians))
    if json_output:
        sys.stdout.write(json.dumps({name: round(value, 2) for name, value in medians.items()}) + "\n")


def _measure() -> dict[str, float]:
    home = Path(tempfile.mkdtemp(prefix="cflight-", dir="/tmp"))  # short: a Unix socket lies in it
    try:
        up = _timed(home, "up")
        preview = _timed(home, "preview")
        # Not a wait for an event: at rest is what the parts are when nothing has happened for a while.
        time.sleep(_SETTLE_SECONDS)
        memory = _resident(home)
    finally:
        destroy = _timed(home, "destroy", "--yes")
        shutil.rmtree(home)
    return {"up_s": up, "preview_s": preview, "destroy_s": destroy, "rss_mib": memory}


def _timed(home: Path, *arguments: str) -> float:
    start = time.monotonic()
    _run(home, *arguments)
    return time.monotonic() - start


def _run(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "cflight.cli.app", *arguments]
    done = subprocess.run(
        command, env={**os.environ, "CFLIGHT_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"`cflight {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _resident(home: Path) -> float:
    """Return the resident memory of all parts in MiB; what processes share is counted for each of them."""
    parts: list[dict[str, Any]] = json.loads(_run(home, "status", "--json"))
    processes = [psutil.Process(part["pid"]) for part in parts]
    everyone = [one for process in processes for one in (process, *process.children(recursive=True))]
    return sum(one.memory_info().rss for one in everyone) / _MIB


def _table(medians: dict[str, float]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("figure", "median", "goal", "ratio to the goal"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, value in medians.items():
        unit = "MiB" if name.endswith("mib") else "s"
        goal = _GOALS[name]
        table.add_row(_LABELS[name], f"{value:.1f} {unit}", f"{goal:.0f} {unit}", f"{value / goal:.2f}")
    return table
