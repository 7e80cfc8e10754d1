"""`cflight up`, `preview`, `refresh`, `destroy`, `cancel` and `outputs`: what Pulumi does, for one stack."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer

from cflight.cli.progress import EngineProgress
from cflight.cli.terminal import Machine, StackName, console, errors, print_json
from cflight.stacks import Changes, Stack, StackError

if TYPE_CHECKING:
    from collections.abc import Generator

Refresh = Annotated[bool, typer.Option("--refresh", help="Look first at what is really there.")]


def up(stack: StackName = "local", *, refresh: Refresh = False, machine: Machine = False) -> None:
    """Bring a stack to its declaration: make what is missing, change what differs, mend what is broken."""
    with engine("up", stack, machine=machine) as progress:
        changes = Stack(stack).up(on_event=progress, refresh=refresh)
    _report(changes, stack=stack, verb="up", machine=machine)


def preview(stack: StackName = "local", *, refresh: Refresh = False, machine: Machine = False) -> None:
    """Tell what `up` would do, and do nothing."""
    with engine("preview", stack, machine=machine, dry=True) as progress:
        changes = Stack(stack).preview(on_event=progress, refresh=refresh)
    _report(changes, stack=stack, verb="preview", machine=machine)


def refresh(stack: StackName = "local", *, machine: Machine = False) -> None:
    """Look at what is really there: processes, topics, schemas, connectors, buckets. `up` then mends what differs."""
    with engine("refresh", stack, machine=machine) as progress:
        changes = Stack(stack).refresh(on_event=progress)
    _report(changes, stack=stack, verb="refresh", machine=machine)


def destroy(
    stack: StackName = "local",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    machine: Machine = False,
) -> None:
    """Remove a stack with its processes and files; data is kept where `cflight:keepData` says so."""
    if not yes:
        if not sys.stdin.isatty():
            raise StackError("destroy asks, but there is no terminal to answer from", remedy="Pass `--yes`.")
        typer.confirm(f"Remove the stack {stack} and all that it holds?", abort=True)
    with engine("destroy", stack, machine=machine) as progress:
        changes = Stack(stack).destroy(on_event=progress)
    _report(changes, stack=stack, verb="destroy", machine=machine)


def cancel(stack: StackName = "local", *, machine: Machine = False) -> None:
    """Free a stack whose last run was killed on another machine; one of this machine is freed without asking."""
    Stack(stack).cancel()
    if machine:
        print_json({"stack": stack, "operation": "cancel"})


def outputs(
    stack: StackName = "local",
    *,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print secrets in clear text.")] = False,
    machine: Machine = False,
) -> None:
    """Print what a user of the stack needs: addresses, names, folders."""
    found = Stack(stack).outputs(show_secrets=show_secrets)
    if machine:
        print_json(found)
        return
    width = max(map(len, found), default=0)
    for name, value in sorted(found.items()):
        console.print(f"{name:{width}}  {value}", soft_wrap=True, highlight=False, markup=False)


@contextmanager
def engine(verb: str, stack: str, *, machine: bool, dry: bool = False) -> Generator[EngineProgress]:
    """Show what the engine does, and let it end well when the user interrupts it.

    Args:
        verb: what is done.
        stack: the stack's name.
        machine: whether to show nothing.
        dry: whether nothing is really changed.

    Yields:
        What takes the engine's events.

    Raises:
        StackError: the operation failed; with the messages of all resources.
    """
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
        print_json({"stack": stack, "operation": verb, "changes": dict(changes.counts)})
        return
    told = ", ".join(f"{count} {kind}" for kind, count in changes.counts.items()) or "nothing"
    console.print(f"{verb} {stack}: {told}", highlight=False)
