"""Dead letters: what was refused, with why and where from in its headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services import contracts, metrics

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from services.errors import Reason

# Headers must leave room for the value that they explain.
_MAX_MESSAGE_CHARACTERS = 1000


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a refused record was read.

    Attributes:
        service: which service read it.
        topic: from which topic.
        partition: from which partition.
        offset: at which offset.
    """

    service: str
    topic: str
    partition: int
    offset: int


def headers(
    *, source: Source, reason: Reason, what: str, line: int | None = None
) -> list[tuple[str, str | bytes | None]]:
    """Return a dead letter's headers.

    Args:
        source: where the record was read.
        reason: why it was refused, one of few.
        what: why, for a person.
        line: the line of the batch, where a row was refused.
    """
    fields = [
        (contracts.HEADER_REASON, reason.value),
        (contracts.HEADER_MESSAGE, what[:_MAX_MESSAGE_CHARACTERS]),
        (contracts.HEADER_SERVICE, source.service),
        (contracts.HEADER_TOPIC, source.topic),
        (contracts.HEADER_PARTITION, str(source.partition)),
        (contracts.HEADER_OFFSET, str(source.offset)),
    ]
    if line is not None:
        fields.append((contracts.HEADER_LINE, str(line)))
    return [(name, value.encode()) for name, value in fields]


def refuse(
    producer: Producer,
    *,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    kind: str,
    source: Source,
    reason: Reason,
    what: str,
) -> None:
    """Produce one dead letter.

    Args:
        producer: writes it.
        topic: the dead-letter topic.
        key: the refused record's key.
        value: its value, byte for byte.
        kind: `batch` or `row`, for the metrics.
        source: where it was read.
        reason: why it was refused, one of few.
        what: why, for a person.
    """
    producer.produce(topic, value=value, key=key, headers=headers(source=source, reason=reason, what=what))
    metrics.REJECTED.labels(kind=kind, reason=reason.value).inc()
