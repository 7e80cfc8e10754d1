"""Accounts for batches: what the event log says went in, against what came out of every part behind it.

The check does not trust the pipeline's own code: the expected rows are the lines that were sent, less those that were
rejected by name, and the expected quote is the lowest price among them.
"""

from __future__ import annotations

import csv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isal import igzip

from cflight.observe.objects import Buckets, StoredObject
from cflight.observe.topics import Record, TopicLog, Topics
from services import contracts
from services.transform.ids import identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cflight.endpoints import Endpoints
    from cflight.traffic.sender import Accepted, Position

# From the pipeline's end to its beginning: read in this order, what has come out always has its source among what was
# read.
TOPICS = (
    contracts.CHEAPEST,
    contracts.COMPRESSED,
    contracts.PAYLOAD,
    contracts.INCOMING,
    contracts.INCOMING_DLQ,
    contracts.EVENT_LOG_DLQ,
    contracts.EVENT_LOG,
)
_BOM = b"\xef\xbb\xbf"
_FIELDS = 5
_READERS = 8
_PRICE, _ROW_ID, _BATCH_ID = 3, 5, 6


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A row, or a whole batch, that was dead-lettered.

    Attributes:
        line: the row's line in the batch, from 1; None for a whole batch.
        reason: one of few.
        message: why, for a person.
    """

    line: int | None
    reason: str
    message: str


@dataclass(kw_only=True)
class Account:
    """What has become of one batch of the event log.

    Attributes:
        position: where it lies in the event log: topic, partition, offset.
        batch_id: the id that it has from there on.
        rows: rows that were enriched.
        rejects: what was dead-lettered of it.
        quote: its cheapest price in GBP, as the stack's engine found it; None if there is none.
        batch_objects: objects of the batches' bucket that hold it.
        quote_objects: objects of the quotes' bucket that hold quotes of it.
        missing: what has not come out yet.
        wrong: what came out as it should not.
    """

    position: tuple[str, int, int]
    batch_id: str
    rows: int = 0
    rejects: list[Reject] = field(default_factory=list[Reject])
    quote: float | None = None
    batch_objects: list[StoredObject] = field(default_factory=list[StoredObject])
    quote_objects: list[StoredObject] = field(default_factory=list[StoredObject])
    missing: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])

    @property
    def refused(self) -> bool:
        """Whether the whole batch was dead-lettered."""
        return any(reject.line is None for reject in self.rejects)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The account of every batch.

    Attributes:
        accounts: by position in the event log.
        claimed: of what was accepted, in the order in which it was given.
        wrong: what belongs to no batch.
    """

    accounts: dict[tuple[str, int, int], Account]
    claimed: list[Account]
    wrong: list[str]

    def missing(self) -> list[str]:
        """Return what has not come out yet, a sentence each."""
        return [f"batch {_told(one)}: {what}" for one in self.accounts.values() for what in one.missing]

    def faults(self) -> list[str]:
        """Return what came out as it should not, a sentence each."""
        return [f"batch {_told(one)}: {what}" for one in self.accounts.values() for what in one.wrong] + self.wrong


@dataclass(kw_only=True)
class _Input:
    """A record of the event log."""

    batch_id: str
    body: bytes


@dataclass(kw_only=True)
class _Trace:
    """What was seen of one batch behind the event log."""

    row_ids: list[str] = field(default_factory=list[str])
    rejects: list[Reject] = field(default_factory=list[Reject])
    bundles: int = 0
    compressed: int = 0
    quotes: list[tuple[float | None, str | None]] = field(default_factory=list[tuple[float | None, str | None]])
    lines: list[tuple[StoredObject, list[str]]] = field(default_factory=list[tuple[StoredObject, list[str]]])
    stored_quotes: list[tuple[StoredObject, tuple[float | None, str | None]]] = field(
        default_factory=list[tuple[StoredObject, tuple[float | None, str | None]]]
    )


class Ledger:
    """Follows a stack's topics and buckets, and accounts for the batches of its event log.

    Args:
        endpoints: the stack's.
        from_now: whether to leave out what is there already; else all that the topics still hold is accounted for.
    """

    def __init__(self, endpoints: Endpoints, *, from_now: bool) -> None:
        self._endpoints = endpoints
        self._buckets = Buckets(endpoints)
        self._book = Book(quotes_bucket=endpoints.quotes_bucket, refines=endpoints.ksql_url is not None)
        self._whole = not from_now
        topics = Topics(endpoints)
        self._logs: list[TopicLog] = [topics.log(topic, from_now=from_now) for topic in TOPICS]
        self._seen_keys: set[tuple[str, str]] = set()
        if from_now:
            self._seen_keys = {(stored.bucket, stored.key) for stored in self._list()}
        self.objects: list[StoredObject] = []

    def update(self) -> None:
        """Read what has come since the last call.

        Raises:
            CflightError: a part does not answer; call again when it does.
        """
        new = [stored for stored in self._list() if (stored.bucket, stored.key) not in self._seen_keys]
        with ThreadPoolExecutor(_READERS) as readers:
            for stored, found in zip(new, readers.map(self._buckets.records, new), strict=True):
                self._book.take_object(stored, found)
                self._seen_keys.add((stored.bucket, stored.key))
                self.objects.append(stored)
        for log in self._logs:
            for record in log.catch_up():
                self._book.take(record)

    def rows_seen(self) -> int:
        """Return how many enriched rows have been seen."""
        return self._book.rows_seen()

    def audit(self, accepted: Iterable[Accepted], *, only: bool = False) -> Audit:
        """Account for batches with what was read so far.

        Args:
            accepted: what senders were told is accepted: each must be in the event log, as it was sent.
            only: whether to account for these alone, and not for other senders' batches.
        """
        return self._book.audit(accepted, only=only, whole=self._whole)

    def close(self) -> None:
        """Leave the brokers."""
        for log in self._logs:
            log.close()

    def _list(self) -> list[StoredObject]:
        buckets = (self._endpoints.batches_bucket, self._endpoints.quotes_bucket)
        return [stored for bucket in buckets for stored in self._buckets.objects(bucket)]


class Book:
    """What was seen, by batch.

    Args:
        quotes_bucket: the bucket of the quotes; objects of any other hold batches.
        refines: whether the engine may write several quotes of a batch, the last of which counts.
    """

    def __init__(self, *, quotes_bucket: str, refines: bool) -> None:
        self._quotes_bucket = quotes_bucket
        self._refines = refines
        self._handlers = {
            contracts.CHEAPEST: self._take_quote,
            contracts.COMPRESSED: self._take_compressed,
            contracts.PAYLOAD: self._take_bundle,
            contracts.INCOMING: self._take_row,
            contracts.INCOMING_DLQ: self._take_reject,
            contracts.EVENT_LOG_DLQ: self._take_refusal,
            contracts.EVENT_LOG: self._take_input,
        }
        self._inputs: dict[tuple[str, int, int], _Input] = {}
        self._refusals: dict[tuple[str, int, int], list[Reject]] = {}
        self._traces: dict[str, _Trace] = {}

    def take(self, record: Record) -> None:
        """Write down a record of one of the `TOPICS`.

        Args:
            record: the record.
        """
        self._handlers[record.topic](record)

    def take_object(self, stored: StoredObject, found: Iterable[Any]) -> None:
        """Write down an object.

        Args:
            stored: the object.
            found: what it holds: quotes, or enriched lines.
        """
        if stored.bucket == self._quotes_bucket:
            for quote in found:
                trace = self._trace(quote["BATCHUUID"])
                trace.stored_quotes.append((stored, (quote["CHEAPEST_QUOTE"], quote["UUID"])))
            return
        by_batch: dict[str, list[str]] = {}
        for line in found:
            by_batch.setdefault(line.split(",")[_BATCH_ID], []).append(line)
        for batch_id, lines in by_batch.items():
            self._trace(batch_id).lines.append((stored, lines))

    def rows_seen(self) -> int:
        """Return how many enriched rows have been seen."""
        return sum(len(trace.row_ids) for trace in self._traces.values())

    def audit(self, accepted: Iterable[Accepted], *, only: bool, whole: bool) -> Audit:
        """Account for batches.

        Args:
            accepted: what senders were told is accepted.
            only: whether to account for these alone.
            whole: whether the event log was read from its beginning: then nothing may have come from elsewhere.
        """
        accounts: dict[tuple[str, int, int], Account] = {}
        claimed: list[Account] = []
        for position, claim in self._positions(list(accepted)):
            account = accounts[position] = self._claim(position, claim)
            claimed.append(account)
        if not only:
            for position, given in self._inputs.items():
                if position not in accounts:
                    accounts[position] = self._account(position, given)
        strange: set[str] = set()
        if whole and not only:
            strange = self._traces.keys() - {given.batch_id for given in self._inputs.values()}
        wrong = [f"batch id {batch_id} came out, but nothing in the event log has it" for batch_id in sorted(strange)]
        return Audit(accounts=accounts, claimed=claimed, wrong=wrong)

    def _positions(self, claims: list[Accepted]) -> Iterator[tuple[tuple[str, int, int], Accepted]]:
        # A claim without an offset is any record of its bytes that no other claim is for.
        taken = {_key(claim.position) for claim in claims}
        unclaimed: dict[bytes, list[tuple[str, int, int]]] = {}
        if any(claim.position.offset is None for claim in claims):
            for position, given in self._inputs.items():
                if position not in taken:
                    unclaimed.setdefault(given.body, []).append(position)
        for number, claim in enumerate(claims):
            if claim.position.offset is not None:
                yield _key(claim.position), claim
                continue
            found = unclaimed.get(claim.batch.body)
            nowhere = (claim.position.topic, claim.position.partition, -number - 1)
            yield found.pop() if found else nowhere, claim

    def _claim(self, position: tuple[str, int, int], claim: Accepted) -> Account:
        given = self._inputs.get(position)
        if given is None:
            return Account(position=position, batch_id="", missing=["is not in the event log"])
        account = self._account(position, given)
        if given.body != claim.batch.body:
            account.wrong.append("the event log holds other bytes than were sent")
        return account

    def _account(self, position: tuple[str, int, int], given: _Input) -> Account:
        trace = self._traces.get(given.batch_id, _Trace())
        refusals = self._refusals.get(position, [])
        account = Account(
            position=position,
            batch_id=given.batch_id,
            rows=len(trace.row_ids),
            rejects=[*refusals, *sorted(trace.rejects, key=lambda reject: reject.line or 0)],
            quote=trace.quotes[-1][0] if trace.quotes else None,
            batch_objects=[stored for stored, _ in trace.lines],
            quote_objects=[stored for stored, _ in trace.stored_quotes],
        )
        if refusals:
            _check_refused(account, trace)
            return account
        try:
            lines = _lines(given.body)
        except (OSError, EOFError, ValueError) as error:
            account.missing.append(f"it cannot be read ({error}), but is not among the dead letters")
            return account
        rejected = [reject.line for reject in trace.rejects]
        if len(set(rejected)) < len(rejected):
            account.wrong.append("a row was rejected twice")
        expected = [line for number, line in lines if number not in set(rejected)]
        _check_rows(account, trace, expected)
        if expected:
            _check_quote(account, trace, expected, once=not self._refines)
        return account

    def _trace(self, batch_id: str) -> _Trace:
        return self._traces.setdefault(batch_id, _Trace())

    def _take_input(self, record: Record) -> None:
        identity = identify(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=round(record.timestamp * 1000),
        )
        position = (record.topic, record.partition, record.offset)
        self._inputs[position] = _Input(batch_id=identity.batch, body=record.value or b"")

    def _take_refusal(self, record: Record) -> None:
        source = (
            record.headers[contracts.HEADER_TOPIC],
            int(record.headers[contracts.HEADER_PARTITION]),
            int(record.headers[contracts.HEADER_OFFSET]),
        )
        self._refusals.setdefault(source, []).append(_reject(record))

    def _take_row(self, record: Record) -> None:
        self._trace(record.key or "").row_ids.append(record.value["uuid"])

    def _take_reject(self, record: Record) -> None:
        self._trace(record.key or "").rejects.append(_reject(record))

    def _take_bundle(self, record: Record) -> None:
        self._trace(record.key or "").bundles += 1

    def _take_compressed(self, record: Record) -> None:
        self._trace(record.key or "").compressed += 1

    def _take_quote(self, record: Record) -> None:
        self._trace(record.key or "").quotes.append((record.value["CHEAPEST_QUOTE"], record.value["UUID"]))


def _check_refused(account: Account, trace: _Trace) -> None:
    if len(account.rejects) > 1:
        account.wrong.append(f"it was dead-lettered {len(account.rejects)} times")
    if trace.row_ids or trace.bundles or trace.lines or trace.quotes:
        account.wrong.append("it was dead-lettered, but came out as well")


def _check_rows(account: Account, trace: _Trace, expected: list[str]) -> None:
    _expect(account, "rows in cflight.incoming", found=len(trace.row_ids), expected=len(expected))
    once = 1 if expected else 0
    _expect(account, "bundles in compress.payload", found=trace.bundles, expected=once)
    _expect(account, "bundles in batch.compressed", found=trace.compressed, expected=once)
    _expect(account, "bundles in the batches' bucket", found=len(trace.lines), expected=once)
    if len(set(trace.row_ids)) < len(trace.row_ids):
        account.wrong.append("a row's id came twice")
    for stored, lines in trace.lines:
        fields = [line.split(",") for line in lines]
        if [one[:_FIELDS] for one in fields] != [_fields(line) for line in expected]:
            account.wrong.append(f"the object {stored.key} holds other rows than were sent")
        if len(trace.row_ids) == len(expected) and [one[_ROW_ID] for one in fields] != trace.row_ids:
            account.wrong.append(f"the object {stored.key} has other ids than cflight.incoming")


def _check_quote(account: Account, trace: _Trace, expected: list[str], *, once: bool) -> None:
    if not trace.quotes:
        account.missing.append("no quote in CHEAPEST_FLIGHT")
    if not trace.quotes or len(trace.row_ids) != len(expected):
        return  # what its cheapest row is can only be said when its rows and rejects are all there
    prices = [float(_fields(line)[_PRICE]) for line in expected]
    cheapest = min(prices)
    at = {row_id for row_id, price in zip(trace.row_ids, prices, strict=True) if price == cheapest}
    if once and len(trace.quotes) > 1:
        account.wrong.append(f"{len(trace.quotes)} quotes in CHEAPEST_FLIGHT, not one")
    if trace.quotes[-1][0] != cheapest or trace.quotes[-1][1] not in at:
        # A table refines its answer: what is not right yet may still become so.
        problem = f"its quote is {trace.quotes[-1][0]}, but the cheapest of its rows is {cheapest}"
        (account.wrong if once else account.missing).append(problem)
    stored, made = Counter(quote for _, quote in trace.stored_quotes), Counter(trace.quotes)
    if made - stored:
        account.missing.append(f"{(made - stored).total()} of its quotes not in the quotes' bucket")
    if stored - made:
        account.wrong.append(f"{(stored - made).total()} quotes too many in the quotes' bucket")


def _expect(account: Account, what: str, *, found: int, expected: int) -> None:
    if found < expected:
        account.missing.append(f"{found} of {expected} {what}")
    elif found > expected:
        account.wrong.append(f"{found} {what}, not {expected}")


def _lines(body: bytes) -> list[tuple[int, str]]:
    text: bytes = igzip.decompress(body)  # pyright: ignore[reportUnknownMemberType]
    lines = text.removeprefix(_BOM).decode().replace("\r\n", "\n").split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line]


def _fields(line: str) -> list[str]:
    return next(csv.reader([line])) if '"' in line else line.split(",")


def _reject(record: Record) -> Reject:
    line = record.headers.get(contracts.HEADER_LINE)
    return Reject(
        line=int(line) if line else None,
        reason=record.headers[contracts.HEADER_REASON],
        message=record.headers[contracts.HEADER_MESSAGE],
    )


def _key(position: Position) -> tuple[str, int, int]:
    return (position.topic, position.partition, -1 if position.offset is None else position.offset)


def _told(account: Account) -> str:
    topic, partition, offset = account.position
    return f"{account.batch_id or '?'} ({topic} {partition}/{offset})"
