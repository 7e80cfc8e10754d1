"""cheapest's settings."""

from __future__ import annotations

from pydantic import Field

from services import contracts
from services.settings import ConsumerSettings, RegistrySettings, RowSettings, Topic


class CheapestSettings(ConsumerSettings, RegistrySettings, RowSettings):
    """What cheapest can be told."""

    incoming_topic: Topic = Field(default=contracts.INCOMING, description="Read: an Avro message a row.")
    incoming_dlq_topic: Topic = Field(default=contracts.INCOMING_DLQ, description="Written: rows that cannot be read.")
    cheapest_topic: Topic = Field(default=contracts.CHEAPEST, description="Written: the cheapest quote of each batch.")
