"""`cflight status` and `logs`: the parts of a local stack."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cflight.cli.terminal import Machine, StackName, console, print_json
from cflight.stacks import StackError
from infra.local.home import part_folder, stack_folder
from infra.local.status import PartStatus, parts_status
from infra.memory import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def status(stack: StackName = "local", *, machine: Machine = False) -> None:
    """Show each part of a local stack: state, pid, memory used and limit, restarts, URL. Status 1 if one is down."""
    parts = parts_status(_folder(stack))
    if machine:
        print_json([dataclasses.asdict(part) for part in parts])
    else:
        console.print(parts_table(parts))
        if any(part.enforcement == "advisory" for part in parts):
            console.print("Memory limits are advisory here: no memory cgroup can be written.", style="yellow")
    if any(part.state != "RUNNING" for part in parts):
        raise typer.Exit(1)


def logs(
    part: Annotated[str, typer.Argument(help="The part, as `cflight status` names it.")],
    stack: StackName = "local",
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines to begin with.")] = 50,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Wait for more.")] = True,
    machine: Annotated[
        bool, typer.Option("--json", help="Print each line as a JSON string, and do not wait for more.")
    ] = False,
) -> None:
    """Print and follow a part's log."""
    folder = part_folder(_folder(stack), part)
    if not (folder / "log").exists():
        parts = ", ".join(sorted(log.parent.name for log in folder.parent.glob("*/log"))) or "none"
        raise StackError(f"there is no part {part} in the stack {stack}", remedy=f"There are: {parts}.")
    command = ["tail", "-n", str(lines), *(["-F"] if follow and not machine else []), str(folder / "log")]
    if machine:
        done = subprocess.run(command, check=True, capture_output=True)
        for line in done.stdout.decode(errors="replace").splitlines():
            print_json({"part": part, "line": line})
        return
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def parts_table(parts: Iterable[PartStatus]) -> Table:
    """Return how parts are, as a table.

    Args:
        parts: the parts.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("part", "state", "pid", "memory", "limit", "restarts", "url"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"pid", "memory", "limit"} else "left")
    for part in parts:
        restarts = str(part.restarts) + (f" ({part.oom_kills} out of memory)" if part.oom_kills else "")
        table.add_row(
            part.name,
            f"[{'green' if part.state == 'RUNNING' else 'red'}]{part.state.lower()}[/]",
            str(part.pid or "-"),
            "-" if part.memory_used is None else f"{part.memory_used / MIB:.0f} MiB",
            f"{part.memory_limit / MIB:.0f} MiB" + (" (advisory)" if part.enforcement == "advisory" else ""),
            restarts,
            part.url,
        )
    return table


def _folder(stack: str) -> Path:
    folder = stack_folder(stack)
    if not folder.exists():
        raise StackError(f"the stack {stack} is not up on this machine", where=str(folder), remedy="Run `cflight up`.")
    return folder
