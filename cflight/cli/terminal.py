"""Where commands print to, and what their options have in common."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console()
errors = Console(stderr=True)

StackName = Annotated[
    str, typer.Option("--stack", "-s", envvar="CFLIGHT_STACK", help="The stack: `Pulumi.<stack>.yaml` configures it.")
]
Machine = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Token = Annotated[
    str | None, typer.Option(envvar="CFLIGHT_TOKEN", help="Bearer token, if the stack's ingest asks for one.")
]


def examples(*lines: str) -> str:
    """Return a command's epilogue: what one can type.

    Args:
        lines: `command  # what it does`.
    """
    told = (line.partition("  # ") for line in lines)
    items = (f"- `{command.strip()}` {what.strip()}" for command, _, what in told)
    return "\n\n".join(("**Examples**", *items))  # the library joins what only one line end parts


def print_json(value: Any) -> None:
    """Print one JSON document on one line.

    Args:
        value: what is not JSON's own is printed as text.
    """
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def escaped(text: str) -> str:
    """Return a text in which rich finds no markup."""
    return text.replace("[", "\\[")
