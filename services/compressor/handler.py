"""What compressor does with one bundle."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from isal import isal_zlib

from services import contracts, metrics
from services.dead_letters import Source, refuse
from services.errors import Reason
from services.exactly_once import position

if TYPE_CHECKING:
    from confluent_kafka import Message

    from services.compressor.settings import CompressorSettings
    from services.exactly_once import Poison, Transaction

SERVICE = "compressor"
_GZIP_WINDOW_BITS = 31
_LAST_ISAL_LEVEL = 3


def gzip(text: bytes, *, level: int) -> bytes:
    """Return the gzip of a text: one member, no name, no time, so that the same text gives the same bytes.

    Args:
        text: the text.
        level: 0 to 3 are ISA-L's levels, 4 to 9 are zlib's.
    """
    if level <= _LAST_ISAL_LEVEL:
        return isal_zlib.compress(text, level, _GZIP_WINDOW_BITS)  # pyright: ignore[reportUnknownMemberType]
    return zlib.compress(text, level, _GZIP_WINDOW_BITS)


class CompressorHandler:
    """Compresses bundles.

    Args:
        settings: topics and level.
        queue_bytes: how many bytes may wait to be sent, unless one message alone is longer.
        queue_messages: how many messages may wait to be sent.
    """

    def __init__(self, settings: CompressorSettings, *, queue_bytes: int, queue_messages: int) -> None:
        self._settings = settings
        self._queue_bytes = queue_bytes
        self._queue_messages = queue_messages
        self._queued_bytes = 0

    def handle(self, message: Message, transaction: Transaction) -> None:
        """See `services.messages.Handler`."""
        bundle = message.value()
        if not bundle:
            self._refuse(message, transaction, reason=Reason.EMPTY, what="the bundle is empty")
            return
        compressed = gzip(bundle, level=self._settings.gzip_level)
        limit = self._settings.max_message_bytes - contracts.HEADROOM_BYTES
        if len(compressed) > limit:
            what = f"the bundle has {len(compressed)} bytes when compressed; {limit} are allowed"
            self._refuse(message, transaction, reason=Reason.BUNDLE_TOO_LONG, what=what)
            return
        del bundle
        self._make_room_for(compressed, transaction)
        transaction.producer.produce(self._settings.compressed_topic, value=compressed, key=message.key())
        metrics.BYTES_OUT.inc(len(compressed))

    def refuse(self, message: Message, transaction: Transaction, *, poison: Poison) -> None:
        """See `services.messages.Handler`."""
        self._refuse(message, transaction, reason=poison.reason, what=poison.what)

    def close(self) -> None:
        """Nothing is kept of the clients."""

    def _make_room_for(self, compressed: bytes, transaction: Transaction) -> None:
        transaction.make_room(most=self._queue_messages - 1)
        if not len(transaction.producer):
            self._queued_bytes = 0
        self._queued_bytes += len(compressed)
        if self._queued_bytes > self._queue_bytes:
            transaction.make_room(most=0)
            self._queued_bytes = len(compressed)

    def _refuse(self, message: Message, transaction: Transaction, *, reason: Reason, what: str) -> None:
        transaction.make_room(most=0)
        topic, partition, offset = position(message)
        refuse(
            transaction.producer,
            topic=self._settings.dead_letter_topic,
            key=message.key(),
            value=message.value(),
            kind="batch",
            source=Source(service=SERVICE, topic=topic, partition=partition, offset=offset),
            reason=reason,
            what=what,
        )
