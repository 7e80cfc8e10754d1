"""The command line: python -m golden SUITE FOLDER [--json]."""

from __future__ import annotations

import importlib
from pathlib import Path  # noqa: TC003 (typer reads the annotation)
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cflight.errors import CflightError

if TYPE_CHECKING:
    from golden.report import Report


def main(
    suite: Annotated[Literal["s3-sink", "ksql-rest"], typer.Argument(help="which stand-in")],
    folder: Annotated[Path, typer.Argument(help="the folder of cases, one JSON file each")],
    *,
    json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Replay recorded cases and compare what comes out; exit with 1 when one differs."""
    try:
        report: Report = importlib.import_module(f"golden.{suite.replace('-', '_')}").run(folder)
    except CflightError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code=2) from None
    typer.echo(report.as_json() if json else report.as_text())
    raise typer.Exit(code=1 if report.failures else 0)


if __name__ == "__main__":
    typer.run(main)
