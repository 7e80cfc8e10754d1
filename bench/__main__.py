"""The command line: python -m bench NAME [--json] [options of the benchmark]."""

from __future__ import annotations

import importlib
import signal
import sys

import typer

from cflight.errors import CflightError

NAMES = ("services", "platform", "sink", "e2e", "ksql")


def run(arguments: list[str]) -> None:
    """Run the benchmark that the arguments name.

    Args:
        arguments: the command line's.
    """
    name, *options = arguments or [""]
    if name not in NAMES:
        typer.echo(f"usage: scripts/bench {{{'|'.join(NAMES)}}} [--json] [--help]", err=True)
        raise SystemExit(0 if name in {"-h", "--help"} else 2)
    # SIGTERM ends a benchmark as Ctrl-C does: with all that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(importlib.import_module(f"bench.{name}").main)
    try:
        command(options, prog_name=f"scripts/bench {name}")
    except CflightError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    run(sys.argv[1:])
