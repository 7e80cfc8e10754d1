"""`cflight watch`: what flows through a stack, as it flows."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cflight.cli.status import parts_table
from cflight.cli.terminal import Machine, StackName, console, errors, escaped, print_json
from cflight.endpoints import Endpoints
from cflight.errors import CflightError
from cflight.observe.flow import Flow, FlowMeter
from cflight.observe.latency import Follower
from cflight.stacks import Stack
from infra.local.status import PartStatus, parts_status
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """What one look has seen."""

    flow: Flow
    rates: dict[str, float]
    quotes: list[dict[str, Any]]
    parts: list[PartStatus]

    def document(self) -> dict[str, Any]:
        return {
            "time": datetime.fromtimestamp(self.flow.time, UTC).isoformat(timespec="milliseconds"),
            "ends": self.flow.ends,
            "rates": {topic: round(rate, 1) for topic, rate in self.rates.items()},
            "lag": self.flow.lag,
            "quotes": self.quotes,
            "parts": [dataclasses.asdict(part) for part in self.parts],
        }


def watch(
    stack: StackName = "local",
    *,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds from look to look.")] = 1.0,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many looks.", show_default=False)] = None,
    machine: Machine = False,
) -> None:
    """Show what flows: records a second, lag of every reader, newest quotes, memory of every part.

    On a terminal a live view, else a line of text for each look; with --json a line of JSON. Rates and ends are of
    Kafka's offsets, in which the marker of a transaction counts like a record.
    """
    endpoints = Endpoints.from_outputs(Stack(stack).outputs(show_secrets=True), stack=stack)
    samples = _samples(endpoints, interval=interval, count=count)
    try:
        if machine:
            for sample in samples:
                print_json(sample.document())
        elif console.is_terminal:
            _live(samples, title=stack)
        else:
            for sample in samples:
                console.print(_line(sample), soft_wrap=True, highlight=False, markup=False)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _samples(endpoints: Endpoints, *, interval: float, count: int | None) -> Iterator[_Sample]:
    meter = FlowMeter(endpoints)
    with Follower(endpoints, contracts.CHEAPEST) as follower:
        before = meter.look()
        done = 0
        while count is None or done < count:
            time.sleep(interval)
            try:
                flow = meter.look()
            except CflightError as error:
                errors.print(f"[yellow]{escaped(str(error))}[/]", soft_wrap=True)
                continue
            quotes = [
                {"batch": record.key, "quote": record.value["CHEAPEST_QUOTE"], "row": record.value["UUID"]}
                for record in follower.take()
                if record.value is not None
            ]
            parts = parts_status(endpoints.folder) if endpoints.folder else []
            yield _Sample(flow=flow, rates=flow.rates(before), quotes=quotes, parts=parts)
            before = flow
            done += 1


def _live(samples: Iterator[_Sample], *, title: str) -> None:
    newest: deque[dict[str, Any]] = deque(maxlen=_QUOTES_SHOWN)
    with Live(Text(f"looking at {title} …"), console=console, auto_refresh=False, screen=False) as live:
        for sample in samples:
            newest.extend(sample.quotes)
            live.update(Group(*_view(sample, list(newest), title=title)), refresh=True)


def _view(sample: _Sample, newest: list[dict[str, Any]], *, title: str) -> Iterator[Table | Text]:
    moment = datetime.fromtimestamp(sample.flow.time, UTC).strftime("%H:%M:%S")
    yield Text(f"{title} at {moment} UTC, Ctrl-C to end", style="bold")
    flow = _table("topic", "records", "a second", "lag of its readers")
    for topic, end in sample.flow.ends.items():
        lags = [f"{group} {topics[topic]}" for group, topics in sample.flow.lag.items() if topic in topics]
        flow.add_row(topic, f"{end:,}", f"{sample.rates[topic]:,.0f}", ", ".join(lags) or "-")
    yield flow
    if newest:
        quotes = _table("newest quotes", "GBP", "row")
        for quote in reversed(newest):
            quotes.add_row(quote["batch"], f"{quote['quote']:,.2f}", quote["row"])
        yield quotes
    if sample.parts:
        yield parts_table(sample.parts)


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(
            heading, no_wrap=True, justify="right" if heading in {"records", "a second", "GBP"} else "left"
        )
    return table


def _line(sample: _Sample) -> str:
    moment = datetime.fromtimestamp(sample.flow.time, UTC).strftime("%H:%M:%S")
    lag = {group: sum(topics.values()) for group, topics in sample.flow.lag.items()}
    behind = ", ".join(f"{group} {count}" for group, count in lag.items() if count) or "none"
    memory = sum(part.memory_used or 0 for part in sample.parts) / (1 << 20)
    down = ", ".join(part.name for part in sample.parts if part.state != "RUNNING")
    told = [
        f"{moment}Z batches/s {sample.rates[contracts.EVENT_LOG]:.0f}",
        f"rows/s {sample.rates[contracts.INCOMING]:.0f}",
        f"quotes {len(sample.quotes)}",
        f"lag: {behind}",
        *([f"memory {memory:.0f} MiB"] if sample.parts else []),
        *([f"DOWN: {down}"] if down else []),
    ]
    return "  ".join(told)
