"""The account notices everything that can be wrong with a batch: a check that never fails would prove nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cflight.observe.ledger import Audit, Book
from cflight.observe.objects import StoredObject
from cflight.observe.topics import Record
from cflight.traffic.batch import batch_of
from cflight.traffic.sender import Accepted, Position
from services import contracts
from services.transform.ids import identify

QUOTES, BATCHES = "quotes.bucket", "batches.bucket"
LINES = ["LHR,IST,2020-08-01,169.99,Y", "LHR,IST,2020-08-02,89.50,Y", "rubbish", '"LHR","IST",2020-08-03,89.50,Y']
GOOD = [LINES[0], LINES[1], "LHR,IST,2020-08-03,89.50,Y"]
IDENTITY = identify(topic=contracts.EVENT_LOG, partition=0, offset=5, timestamp_ms=1_596_240_000_000)
BATCH = batch_of("".join(f"{line}\n" for line in LINES).encode(), name="one")
ACCEPTED = Accepted(batch=BATCH, position=Position(contracts.EVENT_LOG, 0, 5), sent_at=0.0, accepted_at=1.0, attempts=1)
IDS = [IDENTITY.row_ids(3)[at : at + 32] for at in (0, 32, 64)]
ENRICHED = [f"{line},{row_id},{IDENTITY.batch},{IDENTITY.timestamp}" for line, row_id in zip(GOOD, IDS, strict=True)]
QUOTE = {"BATCHUUID": IDENTITY.batch, "CHEAPEST_QUOTE": 89.5, "UUID": IDS[1]}


def record(topic: str, value: Any, *, offset: int = 0, key: str | None = IDENTITY.batch, **headers: str) -> Record:
    return Record(
        topic=topic, partition=0, offset=offset, timestamp=1_596_240_000.0, arrived=0.0, key=key, value=value,
        headers={name.replace("_", "."): text for name, text in headers.items()},
    )  # fmt: skip


def stored(bucket: str, number: int = 0) -> StoredObject:
    return StoredObject(bucket=bucket, key=f"{bucket}-{number}", size=1, modified=0.0)


INPUT = record(contracts.EVENT_LOG, BATCH.body, offset=5, key=None)
ROWS = [record(contracts.INCOMING, {"uuid": row_id}, offset=at) for at, row_id in enumerate(IDS)]
REJECT = record(contracts.INCOMING_DLQ, b"rubbish", error_reason="fields", error_message="1 field", source_line="3")
BUNDLE = record(contracts.PAYLOAD, b"")
COMPRESSED = record(contracts.COMPRESSED, b"")
QUOTED = record(contracts.CHEAPEST, QUOTE)
RECORDS = [INPUT, *ROWS, REJECT, BUNDLE, COMPRESSED, QUOTED]
OBJECTS: list[tuple[StoredObject, list[Any]]] = [(stored(BATCHES), ENRICHED), (stored(QUOTES), [QUOTE])]
WHOLE_REFUSAL = record(
    contracts.EVENT_LOG_DLQ, BATCH.body, error_reason="corrupt", error_message="no gzip",
    source_topic=contracts.EVENT_LOG, source_partition="0", source_offset="5",
)  # fmt: skip


def audit(
    records: list[Record], objects: list[tuple[StoredObject, list[Any]]], *, refines: bool = False, only: bool = False
) -> Audit:
    book = Book(quotes_bucket=QUOTES, refines=refines)
    for found, content in objects:
        book.take_object(found, content)
    for one in records:
        book.take(one)
    return book.audit([ACCEPTED], only=only, whole=True)


def test_a_batch_that_is_all_there() -> None:
    whole = audit(RECORDS, OBJECTS)
    [account] = whole.accounts.values()
    assert whole.missing() == whole.faults() == []
    assert (account.rows, account.quote, account.refused) == (3, 89.5, False)
    assert [(reject.line, reject.reason) for reject in account.rejects] == [(3, "fields")]
    assert [one.key for one in account.batch_objects + account.quote_objects] == ["batches.bucket-0", "quotes.bucket-0"]


def test_a_batch_that_was_refused_whole() -> None:
    whole = audit([INPUT, WHOLE_REFUSAL], [])
    assert whole.missing() == whole.faults() == []
    assert [account.refused for account in whole.accounts.values()] == [True]


@given(st.data())
def test_whatever_is_lost_is_missed(data: st.DataObject) -> None:
    kept = list(RECORDS) + list(OBJECTS)
    kept.pop(data.draw(st.integers(1, len(kept) - 1)))  # anything but the input itself
    whole = audit([one for one in kept if isinstance(one, Record)], [one for one in kept if isinstance(one, tuple)])
    assert whole.missing() or whole.faults()


@given(st.integers(1, len(RECORDS) - 1), st.booleans())
def test_whatever_comes_twice_is_a_fault(at: int, refines: bool) -> None:  # noqa: FBT001
    whole = audit([*RECORDS, RECORDS[at]], OBJECTS, refines=refines)
    assert whole.missing() or whole.faults()


@pytest.mark.parametrize("at", [0, 1])
def test_an_object_that_comes_twice_is_a_fault(at: int) -> None:
    found, content = OBJECTS[at]
    assert audit(RECORDS, [*OBJECTS, (replace(found, key="again"), content)]).faults()


@pytest.mark.parametrize(
    "wrong",
    [
        {**QUOTE, "CHEAPEST_QUOTE": 169.99},
        {**QUOTE, "CHEAPEST_QUOTE": 1.0},
        {**QUOTE, "UUID": IDS[0]},
        {**QUOTE, "CHEAPEST_QUOTE": None},
    ],
)
def test_a_wrong_quote_is_a_fault(wrong: dict[str, Any]) -> None:
    records = [one if one is not QUOTED else record(contracts.CHEAPEST, wrong) for one in RECORDS]
    assert audit(records, [OBJECTS[0], (stored(QUOTES), [wrong])]).faults()


def test_either_of_two_equally_cheap_rows_may_be_named() -> None:
    other = {**QUOTE, "UUID": IDS[2]}
    records = [one if one is not QUOTED else record(contracts.CHEAPEST, other) for one in RECORDS]
    assert audit(records, [OBJECTS[0], (stored(QUOTES), [other])]).faults() == []


def test_a_table_may_refine_its_answer_and_the_service_may_not() -> None:
    first = {**QUOTE, "CHEAPEST_QUOTE": 169.99, "UUID": IDS[0]}
    records = [*RECORDS[:-1], record(contracts.CHEAPEST, first), replace(QUOTED, offset=1)]
    objects = [OBJECTS[0], (stored(QUOTES), [first]), (stored(QUOTES, 1), [QUOTE])]
    assert audit(records, objects, refines=True).faults() == []
    assert audit(records, objects, refines=False).faults()


@pytest.mark.parametrize(
    "lines",
    [
        [ENRICHED[1], ENRICHED[0], ENRICHED[2]],
        ENRICHED[:2],
        [ENRICHED[0].replace("169.99", "169.98"), *ENRICHED[1:]],
        [line.replace(IDS[0], "0" * 32) for line in ENRICHED],
    ],
    ids=["order", "a row lost", "a price changed", "other ids"],
)
def test_an_object_with_other_rows_is_a_fault(lines: list[str]) -> None:
    assert audit(RECORDS, [(stored(BATCHES), lines), OBJECTS[1]]).faults()


def test_an_event_log_with_other_bytes_is_a_fault() -> None:
    assert audit([replace(INPUT, value=BATCH.body + b"?"), *RECORDS[1:]], OBJECTS).faults()


def test_what_nobody_sent_is_a_fault_unless_others_send_too() -> None:
    strange = record(contracts.INCOMING, {"uuid": "f" * 32}, key="e" * 32)
    assert audit([*RECORDS, strange], OBJECTS).faults()
    assert audit([*RECORDS, strange], OBJECTS, only=True).faults() == []


def test_an_accepted_batch_that_is_not_in_the_event_log_is_missing() -> None:
    assert audit([], []).missing()


def test_a_batch_that_came_out_although_it_was_refused_is_a_fault() -> None:
    assert audit([*RECORDS, WHOLE_REFUSAL], OBJECTS).faults()
    assert audit([INPUT, WHOLE_REFUSAL, WHOLE_REFUSAL], []).faults()


def test_an_unreadable_batch_must_be_dead_lettered() -> None:
    assert audit([replace(INPUT, value=b"PK")], []).missing()


def test_a_claim_without_an_offset_is_any_record_of_its_bytes() -> None:
    book = Book(quotes_bucket=QUOTES, refines=False)
    for found, content in OBJECTS:
        book.take_object(found, content)
    for one in RECORDS:
        book.take(one)
    unknown = replace(ACCEPTED, position=Position(contracts.EVENT_LOG, 0, None))
    assert book.audit([unknown], only=False, whole=True).missing() == []
    assert [account.batch_id for account in book.audit([unknown], only=True, whole=True).claimed] == [IDENTITY.batch]
    # One record cannot be what two clients were told of.
    assert book.audit([unknown, ACCEPTED], only=False, whole=True).missing()
    assert book.audit([unknown, unknown], only=False, whole=True).missing()
