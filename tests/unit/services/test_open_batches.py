"""Batches of which not all rows are read: answers once complete, and goes on after a restart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cheapest.layout import Quote
from services.cheapest.open_batches import OpenBatches, TooManyOpenBatchesError


def quote(price: float, row_id: str = "") -> Quote:
    return Quote(price=price, row_id=row_id or f"row of {price}")


def test_a_counted_batch_is_answered_once_when_complete() -> None:
    batches = OpenBatches()
    assert batches.add("a", quote=quote(5), rows=2, expected=4) == []
    assert batches.add("b", quote=quote(1), rows=1, expected=1) == [("b", quote(1))]
    assert batches.add("a", quote=quote(5, "later"), rows=1, expected=None) == []
    assert batches.pause() == []
    assert batches.add("a", quote=quote(4), rows=1, expected=None) == [("a", quote(4))]
    assert batches.state() == ""


def test_the_first_row_wins_a_tie_across_reads() -> None:
    batches = OpenBatches()
    batches.add("a", quote=quote(5, "first"), rows=1, expected=2)
    assert batches.add("a", quote=quote(5, "second"), rows=1, expected=None) == [("a", quote(5, "first"))]


def test_a_batch_without_a_count_is_answered_at_pauses_and_when_cheaper() -> None:
    batches = OpenBatches()
    batches.add("a", quote=quote(5), rows=1, expected=None)
    assert batches.pause() == [("a", quote(5))]
    assert batches.pause() == []
    batches.add("a", quote=quote(6), rows=1, expected=None)
    assert batches.pause() == []
    batches.add("a", quote=quote(4), rows=1, expected=None)
    assert batches.pause() == [("a", quote(4))]


def test_uncounted_batches_are_forgotten_with_an_answer() -> None:
    batches = OpenBatches()
    answers = [answer for n in range(40) for answer in batches.add(str(n), quote=quote(n), rows=1, expected=None)]
    assert answers == [(str(n), quote(n)) for n in range(24)]
    assert len(batches.state()) <= 4096


@given(st.integers(0, 2**32), st.integers(1, 8), st.lists(st.integers(0, 60), max_size=5))
def test_restarts_change_no_answer(seed: int, writers: int, restarts: list[int]) -> None:
    """Batches of several writers, interleaved as in a partition, with the state carried over at some places."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    left: list[list[tuple[str, Quote, int, int | None]]] = []
    wanted: dict[str, Quote] = {}
    for writer in range(writers):
        runs: list[tuple[str, Quote, int, int | None]] = []
        for number in range(3):
            batch_id = f"{writer}-{number}"
            quotes = [quote(chance.randint(1, 9), f"{batch_id}-{n}") for n in range(chance.randint(1, 4))]
            wanted[batch_id] = min(quotes, key=lambda one: one.price)
            runs += [(batch_id, one, 1, len(quotes) if n == 0 else None) for n, one in enumerate(quotes)]
        left.append(runs)
    batches = OpenBatches()
    answers: list[tuple[str, Quote]] = []
    step = 0
    while any(left):
        batch_id, one, rows, expected = chance.choice([runs for runs in left if runs]).pop(0)
        answers += batches.add(batch_id, quote=one, rows=rows, expected=expected)
        if step in restarts:
            batches = OpenBatches(batches.state(), next_offset=step)
        step += 1
    assert dict(answers) == wanted
    assert len(answers) == len(wanted)
    assert batches.state() == ""


def test_enough_writers_fit_into_a_partitions_metadata() -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    batches = OpenBatches()
    for _ in range(50):
        ids = chance.randbytes(32).hex()
        batches.add(
            ids[:32], quote=Quote(price=chance.randint(1, 10**6) / 100, row_id=ids[32:]), rows=7, expected=20_000
        )
        assert 0 < len(batches.state()) <= 4096
    for _ in range(200):
        ids = chance.randbytes(32).hex()
        batches.add(ids[:32], quote=Quote(price=1.0, row_id=ids[32:]), rows=7, expected=20_000)
    with pytest.raises(TooManyOpenBatchesError):
        batches.state()
