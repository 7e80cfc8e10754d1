"""`cflight doctor`: what is wrong on this machine, and how it is mended."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from cflight.cli.terminal import Machine, console, escaped, print_json
from cflight.diagnosis import Finding, examine
from cflight.leftovers import ephemeral_homes, scrap

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    *,
    mend: Annotated[bool, typer.Option("--mend", help="Remove what dead stacks have left behind.")] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="With --mend: remove also the stacks that test runs have kept.")
    ] = False,
    machine: Machine = False,
) -> None:
    """Look for what is missing, in the way, or left over on this machine, and say how to mend each.

    Looks at Java and the installed parts, memory cgroups, memory, disk, the home folder, leased ports, stacks whose
    parts are down, and at what dead stacks have left: folders, processes, cgroups and port leases. Status 1 if
    something keeps stacks from running.
    """
    findings = list(examine())
    if mend:
        for finding in findings:
            if finding.mend is not None:
                finding.mend()
        if kept:
            for home, keeper in ephemeral_homes():
                if keeper is None or not keeper.alive():
                    scrap(home)
        findings = list(examine())
    if machine:
        print_json([{name: getattr(one, name) for name in ("subject", "state", "what", "remedy")} for one in findings])
    else:
        _tell(findings)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _tell(findings: list[Finding]) -> None:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        remedy = f"\n[bold]{escaped(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(f"[{_COLOURS[finding.state]}]{finding.state}[/]", finding.subject, escaped(finding.what) + remedy)
    console.print(table)
