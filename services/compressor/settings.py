"""compressor's settings."""

from __future__ import annotations

from pydantic import Field

from services import contracts
from services.settings import ConsumerSettings, Topic


class CompressorSettings(ConsumerSettings):
    """What compressor can be told."""

    payload_topic: Topic = Field(default=contracts.PAYLOAD, description="Read: a bundle a batch.")
    compressed_topic: Topic = Field(default=contracts.COMPRESSED, description="Written: gzip of the bundle.")
    dead_letter_topic: Topic = Field(
        default=contracts.EVENT_LOG_DLQ, description="Written: bundles that cannot be compressed."
    )
    gzip_level: int = Field(
        default=1,
        ge=0,
        le=9,
        description="How hard to compress: 0 to 3 are ISA-L's levels, fast; 4 to 9 are zlib's, smaller and slower.",
    )
