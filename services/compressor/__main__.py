"""cflight-compressor: bundles to gzip."""

from __future__ import annotations

from services.compressor.handler import SERVICE, CompressorHandler
from services.compressor.settings import CompressorSettings
from services.messages import MessageWork
from services.service import prepare

PURPOSE = "Compresses the bundle of each batch with gzip, exactly once."

_QUEUE_MESSAGES = 10_000


def main() -> None:
    """Run the service until SIGTERM."""
    service, settings = prepare(CompressorSettings, name=SERVICE, purpose=PURPOSE)
    handler = CompressorHandler(
        settings, queue_bytes=service.memory.share(0.1, least=2 * 1024 * 1024), queue_messages=_QUEUE_MESSAGES
    )
    service.run(
        lambda: MessageWork(handler),
        topic=settings.payload_topic,
        prefetch=0.1,
        prefetch_messages=100,
        queue_messages=_QUEUE_MESSAGES,
    )


if __name__ == "__main__":
    main()
