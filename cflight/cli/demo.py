"""`cflight demo`: the main job, from an empty machine to the account of every batch."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cflight.cli.lifecycle import engine
from cflight.cli.send import BadShare, Batches, Concurrency, Paths, Rate, Rows, Seed, chosen, summary
from cflight.cli.status import parts_table
from cflight.cli.terminal import Machine, StackName, Token, console, print_json
from cflight.endpoints import Endpoints
from cflight.errors import CflightError
from cflight.observe.latency import Follower, written_at
from cflight.observe.ledger import Account, Audit, Ledger
from cflight.stacks import Stack
from cflight.traffic.sender import Accepted, Refused, Sender
from cflight.traffic.statistics import percentile
from infra.local.status import PartStatus, parts_status
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cflight.observe.objects import StoredObject
    from cflight.traffic.batch import Batch

_LOOK_SECONDS = 0.2
_SHOWN = 15
_ID_DIGITS = 32


@dataclass
class _Sending:
    """What the sending thread has done so far."""

    results: list[Accepted | Refused] = field(default_factory=list["Accepted | Refused"])
    retries: Counter[str] = field(default_factory=Counter[str])
    failure: BaseException | None = None
    done: bool = False

    @property
    def accepted(self) -> list[Accepted]:
        return [result for result in list(self.results) if isinstance(result, Accepted)]

    @property
    def refused(self) -> list[Refused]:
        return [result for result in list(self.results) if isinstance(result, Refused)]


def demo(
    paths: Paths = None,
    stack: StackName = "local",
    *,
    batches: Batches = 40,
    rows: Rows = 2000,
    seed: Seed = 1,
    bad_share: BadShare = 0.2,
    concurrency: Concurrency = 8,
    rate: Rate = None,
    token: Token = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without anything new after which what is missing counts as lost.")
    ] = 60.0,
    machine: Machine = False,
) -> None:
    """Bring a stack up, send it batches, and account for every one of them.

    The batches come from the generator, or from your CSV files. You see how many were accepted, how many rows were
    enriched, what was rejected and why, the cheapest quote of each batch, checked against the input, the objects in
    both buckets, the memory of every part against its limit, and how long it took from end to end. Status 1 if anything
    is missing or wrong.
    """
    started = time.monotonic()
    if not machine:
        console.print(f"Brings up the stack {stack} (about 20 s where it is not up yet), then sends batches.")
    source, total = chosen(paths, batches=batches, rows=rows, seed=seed, bad_share=bad_share)
    made = Stack(stack)
    with engine("up", stack, machine=machine) as progress:
        made.up(on_event=progress)
    up_seconds = time.monotonic() - started
    endpoints = Endpoints.from_outputs(made.outputs(show_secrets=True), stack=stack)
    ledger = Ledger(endpoints, from_now=True)
    sender = Sender(endpoints.ingest_url, token=token, concurrency=concurrency, rate=rate)
    sending = _Sending()
    with Follower(endpoints, contracts.CHEAPEST) as follower:
        audit = _follow(
            ledger, sending, _start(sender, source, sending), total=total, patience=patience, machine=machine
        )
        quoted = {key: record.arrived for key, record in follower.first().items()}
    ledger.close()
    if sending.failure is not None:
        raise sending.failure
    outcome = _Outcome(
        audit=audit,
        sending=sending,
        objects=_of(audit, ledger.objects),
        parts=parts_status(endpoints.folder) if endpoints.folder else [],
        latencies=_latencies(audit, sending, quoted=quoted, endpoints=endpoints),
        up_seconds=up_seconds,
        seconds=time.monotonic() - started,
    )
    if machine:
        print_json(_document(outcome))
    else:
        _tell(outcome)
    if not outcome.well:
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """All that the summary tells."""

    audit: Audit
    sending: _Sending
    objects: list[StoredObject]
    parts: list[PartStatus]
    latencies: dict[str, list[float]]
    up_seconds: float
    seconds: float

    @property
    def accounts(self) -> list[Account]:
        return list(self.audit.accounts.values())

    @property
    def problems(self) -> list[str]:
        refused = [f"{one.batch.name} was refused: {one.why}" for one in self.sending.refused]
        down = [f"the part {part.name} is {part.state.lower()}" for part in self.parts if part.state != "RUNNING"]
        killed = [f"the part {part.name} was killed for its memory" for part in self.parts if part.oom_kills]
        nothing = [] if self.accounts else ["no batch was accepted"]
        return refused + self.audit.missing() + self.audit.faults() + down + killed + nothing

    @property
    def well(self) -> bool:
        return not self.problems


def _start(sender: Sender, source: Iterator[Batch], sending: _Sending) -> threading.Thread:
    def run() -> None:
        try:
            sender.send(
                source,
                on_result=sending.results.append,
                on_retry=lambda _batch, why: sending.retries.update([why]),
            )
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            sending.failure = error
        sending.done = True

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _follow(
    ledger: Ledger, sending: _Sending, thread: threading.Thread, *, total: int | None, patience: float, machine: bool
) -> Audit:
    live = Live(Text("sending …"), console=console, auto_refresh=False, transient=True)
    shown = console.is_terminal and not machine
    last: object = None
    changed = told = time.monotonic()
    if shown:
        live.start()
    try:
        while True:
            done = sending.done  # before looking: what is accepted later is for the next look
            trouble = _update(ledger)
            audit = ledger.audit(sending.accepted, only=True)
            missing = audit.missing()
            now = time.monotonic()
            seen = (len(sending.results), len(missing), ledger.rows_seen(), len(ledger.objects))
            if seen != last:
                last, changed = seen, now
            if shown:
                live.update(_progress(audit, sending, total=total, waited=now - changed, trouble=trouble), refresh=True)
            elif not machine and now - told > 5:
                told = now
                console.print(_line(audit, sending, total=total), highlight=False)
            if done and ((not missing and not trouble) or now - changed > patience):
                thread.join()
                return audit
            time.sleep(_LOOK_SECONDS)
    finally:
        if shown:
            live.stop()


def _update(ledger: Ledger) -> str:
    try:
        ledger.update()
    except CflightError as error:
        return str(error)  # a part is being restarted: asked again at the next look
    return ""


def _line(audit: Audit, sending: _Sending, *, total: int | None) -> str:
    accounts = audit.accounts.values()
    return (
        f"accepted {len(sending.accepted)}{f' of {total}' if total else ''} batches, "
        f"enriched {sum(one.rows for one in accounts)} rows, quotes {sum(one.quote is not None for one in accounts)}, "
        f"waiting for {len(audit.missing())} things"
    )


def _progress(audit: Audit, sending: _Sending, *, total: int | None, waited: float, trouble: str) -> Group:
    lines = [Text(_line(audit, sending, total=total), style="bold")]
    missing = audit.missing()
    lines += [Text(f"  waiting for {what}", style="dim") for what in missing[:3]]
    if waited > 3 and missing:
        lines.append(Text(f"  nothing new for {waited:.0f} s", style="yellow"))
    lines += [Text(f"  sent again: {why}", style="yellow") for why in sending.retries]
    if trouble:
        lines.append(Text(f"  {trouble}", style="yellow"))
    return Group(*lines)


def _of(audit: Audit, objects: list[StoredObject]) -> list[StoredObject]:
    mine = {
        (stored.bucket, stored.key)
        for one in audit.accounts.values()
        for stored in (*one.batch_objects, *one.quote_objects)
    }
    return [stored for stored in objects if (stored.bucket, stored.key) in mine]


def _latencies(
    audit: Audit, sending: _Sending, *, quoted: dict[str, float], endpoints: Endpoints
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"accept": [], "quote": [], "batch object": [], "quote object": []}
    for accepted, account in zip(sending.accepted, audit.claimed, strict=True):
        times["accept"].append(accepted.accepted_at - accepted.sent_at)
        if account.batch_id in quoted:
            times["quote"].append(quoted[account.batch_id] - accepted.accepted_at)
        for name, objects in (("batch object", account.batch_objects), ("quote object", account.quote_objects)):
            if objects:
                first = min(written_at(stored, folder=endpoints.folder) for stored in objects)
                times[name].append(first - accepted.accepted_at)
    return {name: found for name, found in times.items() if found}


def _document(outcome: _Outcome) -> dict[str, Any]:
    return {
        "ok": outcome.well,
        "problems": outcome.problems,
        "up_s": round(outcome.up_seconds, 2),
        "total_s": round(outcome.seconds, 2),
        "sent": summary(outcome.sending.results, retries=outcome.sending.retries),
        "rows": sum(one.rows for one in outcome.accounts),
        "rejected_rows": dict(_reasons(outcome, whole=False)),
        "rejected_batches": dict(_reasons(outcome, whole=True)),
        "latency_ms": {
            name: {f"p{p}": round(percentile(found, p) * 1000) for p in (50, 99)}
            for name, found in outcome.latencies.items()
        },
        "batches": [
            _batch_document(accepted, account)
            for accepted, account in zip(outcome.sending.accepted, outcome.audit.claimed, strict=True)
        ],
        "objects": [dataclasses.asdict(stored) for stored in outcome.objects],
        "parts": [dataclasses.asdict(part) for part in outcome.parts],
    }


def _batch_document(accepted: Accepted, account: Account) -> dict[str, Any]:
    return {
        "name": accepted.batch.name,
        "batch": account.batch_id,
        "rows": account.rows,
        "rejects": [dataclasses.asdict(reject) for reject in account.rejects],
        "quote": account.quote,
        "checked": not account.missing and not account.wrong,
    }


def _reasons(outcome: _Outcome, *, whole: bool) -> Counter[str]:
    return Counter(
        reject.reason for one in outcome.accounts for reject in one.rejects if (reject.line is None) == whole
    )


def _tell(outcome: _Outcome) -> None:
    console.print(_quotes(outcome))
    rejected = [one for one in outcome.accounts if one.refused]
    figures = _table()
    figures.add_row(
        "batches accepted", str(len(outcome.sending.accepted)), _told(outcome.sending.retries, "sent again")
    )
    figures.add_row("batches rejected", str(len(rejected)), _told(_reasons(outcome, whole=True)))
    figures.add_row("rows enriched", f"{sum(one.rows for one in outcome.accounts):,}", "")
    rows = _reasons(outcome, whole=False)
    figures.add_row("rows rejected", str(rows.total()), _told(rows))
    quotes = [one for one in outcome.accounts if one.quote is not None]
    figures.add_row("quotes", str(len(quotes)), "each is the lowest price of its batch's good rows")
    for bucket in sorted({stored.bucket for stored in outcome.objects}):
        sizes = [stored.size for stored in outcome.objects if stored.bucket == bucket]
        figures.add_row(f"objects in {bucket}", str(len(sizes)), f"{sum(sizes) / 1000:,.1f} kB")
    for name, found in outcome.latencies.items():
        what = "request → accepted" if name == "accept" else f"accepted → {name}"
        figures.add_row(
            what,
            f"{percentile(found, 50) * 1000:,.0f} ms",
            f"half of them; 99 %: {percentile(found, 99) * 1000:,.0f} ms",
        )
    console.print(figures)
    if outcome.parts:
        console.print(parts_table(outcome.parts))
    problems = outcome.problems
    for problem in problems[:_SHOWN]:
        console.print(f"missing or wrong: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if len(problems) > _SHOWN:
        console.print(f"missing or wrong: {len(problems) - _SHOWN} more (--json has all)", style="red", highlight=False)
    told = f"{outcome.seconds:.0f} s, of which the stack took {outcome.up_seconds:.0f} s to come up"
    if problems:
        console.print(f"Not all is there. It took {told}.", style="bold red", highlight=False)
    else:
        console.print(f"All is there, once. It took {told}.", style="bold green", highlight=False)


def _quotes(outcome: _Outcome) -> Table:
    table = _table("batch", "rows", "rejected", "cheapest quote", "checked", "sent as")
    shown = zip(outcome.sending.accepted[:_SHOWN], outcome.audit.claimed[:_SHOWN], strict=True)
    for accepted, account in shown:
        good = not account.missing and not account.wrong
        whole = next((reject.reason for reject in account.rejects if reject.line is None), None)
        table.add_row(
            account.batch_id,
            str(account.rows),
            f"all: {whole}" if whole else str(len(account.rejects) or ""),
            "-" if account.quote is None else f"£{account.quote:,.2f}",
            "[green]yes[/]" if good else "[red]no[/]",
            accepted.batch.name.replace("[", "\\["),
        )
    if len(outcome.sending.accepted) > _SHOWN:
        table.add_row(f"… and {len(outcome.sending.accepted) - _SHOWN} more", "", "", "", "", "")
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=bool(headings))
    for at, heading in enumerate(headings or ("what", "how many", "more")):
        right = at == 1 or (headings and at in {2, 3})
        table.add_column(
            heading, justify="right" if right else "left", min_width=_ID_DIGITS if heading == "batch" else None
        )
    return table


def _told(counts: Counter[str], what: str = "") -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    return f"{what}: {told}" if what and told else told
