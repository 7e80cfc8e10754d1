"""`cflight`: brings stacks up, sends to them, looks at them and takes them down."""

from __future__ import annotations

import sys

import typer

from cflight.cli.demo import demo
from cflight.cli.doctor import doctor
from cflight.cli.lifecycle import cancel, destroy, outputs, preview, refresh, up
from cflight.cli.send import send
from cflight.cli.status import logs, status
from cflight.cli.terminal import errors, escaped, examples
from cflight.cli.watch import watch
from cflight.errors import CflightError
from cflight.loopback import bypass_proxies

app = typer.Typer(
    name="cflight",
    help="A streaming platform for live flight searches as one Pulumi stack.",
    epilog=examples(
        "cflight demo  # bring the local stack up, send batches, show what becomes of them",
        "cflight status; cflight watch  # how its parts are, and what flows",
        "cflight destroy  # remove it",
        "cflight --install-completion  # complete commands and options in this shell",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_USE, _STACKS, _TROUBLE = "Use a stack", "Bring stacks up and down", "When something is wrong"

app.command(
    rich_help_panel=_USE,
    epilog=examples(
        "cflight demo  # 40 generated batches, some with errors",
        "cflight demo searches/ a.csv  # your own files instead",
        "cflight demo --json  # the summary as JSON",
    ),
)(demo)
app.command(
    rich_help_panel=_USE,
    epilog=examples(
        "cflight send searches.csv --rows 5000  # a file, cut into batches of 5,000 rows",
        "cflight send partner.csv.gz folder/  # a batch as it is, and all files of a folder",
        "cflight send --batches 1000 --rate 20  # generated, 20 a second",
        "zcat old.gz | cflight send - --stack staging  # from a pipe, to another stack",
    ),
)(send)
app.command(
    rich_help_panel=_USE,
    epilog=examples(
        "cflight watch  # a live view; Ctrl-C ends it",
        "cflight watch --json | jq .lag  # a JSON line a second",
        "cflight watch --count 1 --json  # how it is now",
    ),
)(watch)
app.command(rich_help_panel=_USE, epilog=examples("cflight status", "cflight status --json | jq '.[].memory_used'"))(
    status
)
app.command(
    rich_help_panel=_USE,
    epilog=examples("cflight logs connect  # follow it", "cflight logs kafka -n 500 --no-follow"),
)(logs)
app.command(
    rich_help_panel=_USE,
    epilog=examples("cflight outputs", "cflight outputs --json --show-secrets | jq -r .s3SecretKey"),
)(outputs)
app.command(
    rich_help_panel=_STACKS,
    epilog=examples(
        "cflight up  # the local stack",
        "cflight up -s dev  # the stack of Pulumi.dev.yaml",
        "cflight up --refresh  # after someone has changed things by hand",
    ),
)(up)
app.command(rich_help_panel=_STACKS, epilog=examples("cflight preview", "cflight preview -s prod --json"))(preview)
app.command(rich_help_panel=_STACKS, epilog=examples("cflight refresh"))(refresh)
app.command(rich_help_panel=_STACKS, epilog=examples("cflight destroy", "cflight destroy -s dev --yes"))(destroy)
app.command(rich_help_panel=_TROUBLE, epilog=examples("cflight cancel -s dev"))(cancel)
app.command(
    rich_help_panel=_TROUBLE,
    epilog=examples(
        "cflight doctor  # what is wrong, and what to do about it",
        "cflight doctor --mend  # and remove what dead stacks have left",
    ),
)(doctor)


def main() -> None:
    """Run the command line; a user's mistake ends with a message and status 1, never with a traceback."""
    bypass_proxies()
    try:
        app()
    except CflightError as error:
        errors.print(f"[bold red]error:[/] {escaped(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
