"""`cflight send`: batches from files or from the generator, over HTTP."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cflight.cli.terminal import Machine, StackName, Token, console, escaped, print_json
from cflight.endpoints import Endpoints
from cflight.stacks import Stack
from cflight.traffic.fares import generated
from cflight.traffic.files import FileError, found, from_files
from cflight.traffic.sender import Accepted, Refused, Sender, SendError
from cflight.traffic.statistics import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cflight.traffic.batch import Batch

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        help="CSV files, gzipped CSV files, or folders of them; none: generated batches.", show_default=False
    ),
]
Batches = Annotated[int, typer.Option(min=1, help="How many batches to generate.")]
Rows = Annotated[
    int, typer.Option(min=1, max=20_000, help="Rows of a batch: of files exactly, of generated ones at most.")
]
Seed = Annotated[int, typer.Option(help="The same seed generates the same batches.")]
BadShare = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Share of the generated batches that have something wrong.")
]
Concurrency = Annotated[int, typer.Option(min=1, max=256, help="Requests at once.")]
Rate = Annotated[float | None, typer.Option(min=0.01, help="Batches a second at most.", show_default=False)]
_INTERRUPTED = 130
_SHOWN = 10


def send(
    paths: Paths = None,
    stack: StackName = "local",
    *,
    batches: Batches = 20,
    rows: Rows = 1000,
    seed: Seed = 1,
    bad_share: BadShare = 0.0,
    concurrency: Concurrency = 8,
    rate: Rate = None,
    give_up: Annotated[float, typer.Option(min=1, help="Seconds for which one batch is tried.")] = 60.0,
    url: Annotated[str | None, typer.Option(help="Where to post, instead of a stack's ingest.")] = None,
    token: Token = None,
    machine: Machine = False,
) -> None:
    """Post batches to a stack's ingest, and tell where Kafka has put each.

    A `.csv` file is cut into batches and gzipped; a `.gz` file is one batch and goes as it is; `-` is standard input. A
    batch that ingest has no room for, or that gets no answer, is sent again: after as long as the server's Retry-After
    says, else after a growing pause. Status 1 if a batch was refused.
    """
    target = url or Endpoints.from_outputs(Stack(stack).outputs(show_secrets=True), stack=stack).ingest_url
    source, total = chosen(paths, batches=batches, rows=rows, seed=seed, bad_share=bad_share)
    sender = Sender(target, token=token, concurrency=concurrency, rate=rate, give_up_seconds=give_up)
    results: list[Accepted | Refused] = []
    retries: Counter[str] = Counter()
    interrupted = False
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="yellow"),
        console=console,
        disable=machine or not console.is_terminal,
    )
    with shown:
        task = shown.add_task("sending", total=total, note="")

        def retried(_batch: Batch, why: str) -> None:
            retries[why] += 1
            shown.update(task, note=f"again: {escaped(why)}")

        def ended(result: Accepted | Refused) -> None:
            results.append(result)
            shown.advance(task)

        try:
            sender.send(source, on_result=ended, on_retry=retried)
        except KeyboardInterrupt:
            interrupted = True
    _report(summary(results, retries=retries), results, machine=machine)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if not results:
        raise SendError("there was nothing to send: the input is empty")
    if any(isinstance(result, Refused) for result in results):
        raise typer.Exit(1)


def chosen(
    paths: list[Path] | None, *, batches: int, rows: int, seed: int, bad_share: float
) -> tuple[Iterator[Batch], int | None]:
    """Return the batches that the command line asks for, and how many they are if that is known.

    Args:
        paths: files and folders; none for generated batches.
        batches: how many to generate.
        rows: of a batch.
        seed: of the generator.
        bad_share: of the generator.

    Raises:
        FileError: a path cannot be sent.
    """
    if not paths:
        fewest = min(3, rows)
        return generated(seed=seed, count=batches, fewest=fewest, most=rows, bad_share=bad_share), batches
    if Path("-") in paths:
        if len(paths) > 1:
            raise FileError("standard input goes alone", where="-")
        return from_files([Path("/dev/stdin")], rows=rows), None
    files = found(paths)
    whole = all(file.suffix == ".gz" for file in files)
    return from_files(files, rows=rows), len(files) if whole else None


def summary(results: Iterable[Accepted | Refused], *, retries: Counter[str]) -> dict[str, Any]:
    """Return what has become of sent batches, as figures.

    Args:
        results: the batches' ends.
        retries: how often something was sent again, by why.
    """
    ended = list(results)
    accepted = [result for result in ended if isinstance(result, Accepted)]
    refused = [result for result in ended if isinstance(result, Refused)]
    seconds = [one.accepted_at - one.sent_at for one in accepted]
    span = max(one.accepted_at for one in accepted) - min(one.sent_at for one in accepted) if accepted else 0.0
    return {
        "accepted": len(accepted),
        "refused": dict(Counter(one.why for one in refused)),
        "retries": dict(retries),
        "bytes": sum(len(one.batch.body) for one in accepted),
        "seconds": round(span, 3),
        "batches_per_second": round(len(accepted) / span, 1) if span else None,
        "accept_ms": {f"p{p}": round(percentile(seconds, p) * 1000, 1) for p in (50, 99)} if seconds else None,
    }


def _report(figures: dict[str, Any], results: list[Accepted | Refused], *, machine: bool) -> None:
    if machine:
        places = [
            {
                "name": one.batch.name,
                "topic": one.position.topic,
                "partition": one.position.partition,
                "offset": one.position.offset,
                "attempts": one.attempts,
            }
            for one in results
            if isinstance(one, Accepted)
        ]
        print_json({**figures, "batches": places})
        return
    console.print(
        f"{figures['accepted']} batches accepted, {figures['bytes'] / 1000:.1f} kB, in {figures['seconds']:.1f} s",
        highlight=False,
    )
    if figures["accept_ms"]:
        times = ", ".join(f"{name} {value:.0f} ms" for name, value in figures["accept_ms"].items())
        console.print(f"accepted after {times}", highlight=False)
    for why, count in figures["retries"].items():
        console.print(f"sent again {count} times: {why}", style="yellow", markup=False, highlight=False)
    refused = [one for one in results if isinstance(one, Refused)]
    for one in itertools.islice(refused, _SHOWN):
        console.print(f"refused: {one.batch.name}: {one.why}", style="red", markup=False, highlight=False)
    if len(refused) > _SHOWN:
        console.print(f"refused: {len(refused) - _SHOWN} more", style="red", highlight=False)
    sys.stdout.flush()
