"""transform's settings."""

from __future__ import annotations

from pydantic import Field

from services import contracts
from services.settings import Bytes, ConsumerSettings, RegistrySettings, RowSettings, Topic


class TransformSettings(ConsumerSettings, RegistrySettings, RowSettings):
    """What transform can be told."""

    event_log_topic: Topic = Field(default=contracts.EVENT_LOG, description="Read: gzip batches.")
    event_log_dlq_topic: Topic = Field(
        default=contracts.EVENT_LOG_DLQ, description="Written: batches that cannot be read."
    )
    payload_topic: Topic = Field(default=contracts.PAYLOAD, description="Written: a bundle a batch.")
    incoming_topic: Topic = Field(default=contracts.INCOMING, description="Written: an Avro message a row.")
    incoming_dlq_topic: Topic = Field(default=contracts.INCOMING_DLQ, description="Written: rows that cannot be read.")
    max_text_bytes: Bytes = Field(
        default=contracts.MAX_MESSAGE_BYTES,
        ge=1024,
        le=1024**3,
        description="The longest text of a batch. No batch is expanded further.",
    )
    max_batch_lines: int = Field(default=250_000, ge=1, description="The most lines of a batch.")
