"""`cflight`: brings stacks up, looks at them and takes them down."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from cflight.cli.progress import EngineProgress
from cflight.errors import CflightError
from cflight.stacks import Changes, Stack, StackError
from infra.local.home import part_folder, stack_folder
from infra.local.status import PartStatus, parts_status
from infra.memory import MIB

if TYPE_CHECKING:
    from collections.abc import Generator

app = typer.Typer(
    name="cflight",
    help="A streaming platform for live flight searches as one Pulumi stack.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)

StackName = Annotated[
    str, typer.Option("--stack", "-s", envvar="CFLIGHT_STACK", help="The stack: `Pulumi.<stack>.yaml` configures it.")
]
Machine = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Look first at what is really there.")]


@app.command()
def up(stack: StackName = "local", *, refresh: Refresh = False, machine: Machine = False) -> None:
    """Bring a stack to its declaration: make what is missing, change what differs, mend what is broken."""
    with _engine("up", stack, machine=machine) as progress:
        changes = Stack(stack).up(on_event=progress, refresh=refresh)
    _report(changes, stack=stack, verb="up", machine=machine)


@app.command()
def preview(stack: StackName = "local", *, refresh: Refresh = False, machine: Machine = False) -> None:
    """Tell what `up` would do."""
    with _engine("preview", stack, machine=machine, dry=True) as progress:
        changes = Stack(stack).preview(on_event=progress, refresh=refresh)
    _report(changes, stack=stack, verb="preview", machine=machine)


@app.command()
def refresh(stack: StackName = "local", *, machine: Machine = False) -> None:
    """Look at what is really there: processes, topics, schemas, connectors, buckets. `up` then mends what differs."""
    with _engine("refresh", stack, machine=machine) as progress:
        changes = Stack(stack).refresh(on_event=progress)
    _report(changes, stack=stack, verb="refresh", machine=machine)


@app.command()
def destroy(
    stack: StackName = "local",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    machine: Machine = False,
) -> None:
    """Remove a stack with its processes and files; data is kept where `cflight:keepData` says so."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Remove the stack {stack} and all that it holds?", abort=True)
    with _engine("destroy", stack, machine=machine) as progress:
        changes = Stack(stack).destroy(on_event=progress)
    _report(changes, stack=stack, verb="destroy", machine=machine)


@app.command()
def cancel(stack: StackName = "local") -> None:
    """Free a stack whose last run was killed."""
    Stack(stack).cancel()


@app.command()
def outputs(
    stack: StackName = "local",
    *,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print secrets in clear text.")] = False,
    machine: Machine = False,
) -> None:
    """Print what a user of the stack needs: addresses, names, folders."""
    found = Stack(stack).outputs(show_secrets=show_secrets)
    if machine:
        _print_json(found)
        return
    width = max(map(len, found), default=0)
    for name, value in sorted(found.items()):
        console.print(f"{name:{width}}  {value}", soft_wrap=True, highlight=False, markup=False)


@app.command()
def status(stack: StackName = "local", *, machine: Machine = False) -> None:
    """Show each part of a local stack: state, pid, memory used and limit, restarts, URL. Status 1 if one is down."""
    folder = stack_folder(stack)
    if not folder.exists():
        raise StackError(f"the stack {stack} is not up on this machine", where=str(folder), remedy="Run `cflight up`.")
    parts = parts_status(folder)
    if machine:
        _print_json([dataclasses.asdict(part) for part in parts])
    else:
        console.print(_status_table(parts))
        if any(part.enforcement == "advisory" for part in parts):
            console.print("Memory limits are advisory here: no memory cgroup can be written.", style="yellow")
    if any(part.state != "RUNNING" for part in parts):
        raise typer.Exit(1)


@app.command()
def logs(
    part: Annotated[str, typer.Argument(help="The part, as `cflight status` names it.")],
    stack: StackName = "local",
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines to begin with.")] = 50,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Wait for more.")] = True,
) -> None:
    """Print and follow a part's log."""
    folder = part_folder(stack_folder(stack), part)
    if not (folder / "log").exists():
        parts = ", ".join(sorted(log.parent.name for log in folder.parent.glob("*/log"))) or "none"
        raise StackError(f"there is no part {part} in the stack {stack}", remedy=f"There are: {parts}.")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(folder / "log")]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def main() -> None:
    """Run the command line; a user's mistake ends with a message and status 1, never with a traceback."""
    try:
        app()
    except CflightError as error:
        errors.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)


@contextmanager
def _engine(verb: str, stack: str, *, machine: bool, dry: bool = False) -> Generator[EngineProgress]:
    progress = EngineProgress(console=console, title=f"{verb} {stack}", preview=dry, machine=machine)
    with _interruptible(), progress:
        try:
            yield progress
        except StackError:
            if not progress.errors:
                raise
            raise StackError("\n".join(progress.errors)) from None


@contextmanager
def _interruptible() -> Generator[None]:
    # The engine must live to the end of an interrupted run, or its lock and state are left behind: the first Ctrl-C
    # goes to it alone, and it ends what is in progress.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        errors.print("interrupted: waiting for what is in progress to end", style="yellow")
        if not _in_foreground():  # a terminal has told the engine already
            for child in psutil.Process().children():
                child.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


def _report(changes: Changes, *, stack: str, verb: str, machine: bool) -> None:
    if machine:
        _print_json({"stack": stack, "operation": verb, "changes": dict(changes.counts)})
        return
    told = ", ".join(f"{count} {kind}" for kind, count in changes.counts.items()) or "nothing"
    console.print(f"{verb} {stack}: {told}", highlight=False)


def _status_table(parts: list[PartStatus]) -> Table:
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


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
