"""The batches of a partition of which not all rows are read yet.

Transform writes a batch's row count with its first row, so a batch is complete when so many are read. A partition has
at most one incomplete batch for each instance of transform, since an instance writes batch after batch. What is known
of them is so little that it travels with the committed offset (as its metadata): after a restart reading goes on where
it stopped.

Rows that somebody else wrote have no count. Their batch's answer is given when reading pauses, and again if a cheaper
row comes; of such batches a partition remembers the last few.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from services.cheapest.layout import Quote
from services.errors import CflightError

# The broker's default offset.metadata.max.bytes is 4096.
_MOST_STATE_BYTES = 4096
_MOST_UNCOUNTED = 16


class TooManyOpenBatchesError(CflightError):
    """More batches are open than the offset's metadata can hold."""


@dataclass(kw_only=True)
class OpenBatch:
    """A batch in work.

    Attributes:
        rows: how many rows it has, or None where nobody said.
        seen: how many of them are read.
        quote: the cheapest so far.
        answered: whether its answer is given, for a batch without a count.
    """

    rows: int | None
    seen: int
    quote: Quote
    answered: bool = False


class OpenBatches:
    """The open batches of one partition.

    Args:
        state: what `state` returned when the partition was left.
        next_offset: the offset to read next.

    Attributes:
        next_offset: the offset to read next.
    """

    def __init__(self, state: str = "", *, next_offset: int = 0) -> None:
        self.next_offset = next_offset
        self._open: dict[str, OpenBatch] = {}
        if state:
            entries: list[list[Any]] = json.loads(zlib.decompress(base64.b85decode(state)))
            for batch_id, rows, seen, price, row_id, answered in entries:
                quote = Quote(price=price, row_id=row_id)
                self._open[batch_id] = OpenBatch(rows=rows, seen=seen, quote=quote, answered=bool(answered))

    def state(self) -> str:
        """Return all that is known, as text for the committed offset's metadata.

        Raises:
            TooManyOpenBatchesError: if it does not fit there.
        """
        if not self._open:
            return ""
        entries = [
            [batch_id, batch.rows, batch.seen, batch.quote.price, batch.quote.row_id, int(batch.answered)]
            for batch_id, batch in self._open.items()
        ]
        state = base64.b85encode(zlib.compress(json.dumps(entries, separators=(",", ":")).encode(), 6)).decode()
        if len(state) > _MOST_STATE_BYTES:
            raise TooManyOpenBatchesError(
                f"{len(entries)} batches are open in one partition",
                remedy="Give the topic more partitions: each instance of transform has one open batch in a partition",
            )
        return state

    def add(self, batch_id: str, *, quote: Quote, rows: int, expected: int | None) -> list[tuple[str, Quote]]:
        """Add rows of one batch.

        Args:
            batch_id: the batch.
            quote: the first cheapest of the rows.
            rows: how many they are.
            expected: the batch's row count, where its first row is among them and says so.

        Returns:
            The answers that are final now: batches and their cheapest quotes.
        """
        batch = self._open.get(batch_id)
        if batch is None or expected is not None:
            batch = self._open[batch_id] = OpenBatch(rows=expected, seen=rows, quote=quote)
        else:
            batch.seen += rows
            if quote.price < batch.quote.price:
                batch.quote = quote
                batch.answered = False
        if batch.rows is not None:
            return [self._close(batch_id)] if batch.seen >= batch.rows else []
        return self._forget_oldest()

    def pause(self) -> list[tuple[str, Quote]]:
        """Return the answers of batches without a count, since no more rows come for now."""
        answers: list[tuple[str, Quote]] = []
        for batch_id, batch in self._open.items():
            if batch.rows is None and not batch.answered:
                batch.answered = True
                answers.append((batch_id, batch.quote))
        return answers

    def _forget_oldest(self) -> list[tuple[str, Quote]]:
        uncounted = [batch_id for batch_id, batch in self._open.items() if batch.rows is None]
        if len(uncounted) <= _MOST_UNCOUNTED:
            return []
        answered = self._open[uncounted[0]].answered
        answer = self._close(uncounted[0])
        return [] if answered else [answer]

    def _close(self, batch_id: str) -> tuple[str, Quote]:
        return batch_id, self._open.pop(batch_id).quote
