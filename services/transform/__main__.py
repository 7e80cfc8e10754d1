"""cflight-transform: batches to bundles and rows."""

from __future__ import annotations

from services import contracts
from services.messages import MessageWork
from services.native import load
from services.registry import Registry
from services.service import prepare
from services.transform.handler import SERVICE, TransformHandler
from services.transform.settings import TransformSettings
from services.transform.writer import NativeRowWriter, PythonRowWriter

PURPOSE = "Turns gzip batches of flight searches into one bundle a batch and one Avro message a row, exactly once."

# A row message's payload, key and librdkafka's bookkeeping.
_ROW_BYTES = 512


def main() -> None:
    """Run the service until SIGTERM."""
    service, settings = prepare(TransformSettings, name=SERVICE, purpose=PURPOSE)
    schema_id = service.schema_id(Registry(settings), topic=settings.incoming_topic, schema=contracts.ROW_SCHEMA)
    if schema_id is None:
        return
    queue_messages = min(service.memory.share(0.2, least=8 * 1024 * 1024) // _ROW_BYTES, 100_000)
    native = load() if settings.native_rows else None

    def work() -> MessageWork:
        writer = (
            PythonRowWriter(topic=settings.incoming_topic, schema_id=schema_id, queue_messages=queue_messages)
            if native is None
            else NativeRowWriter(
                native, topic=settings.incoming_topic, schema_id=schema_id, queue_messages=queue_messages
            )
        )
        queue_bytes = service.memory.share(0.15, least=4 * 1024 * 1024)
        return MessageWork(
            TransformHandler(settings, writer=writer, queue_messages=queue_messages, queue_bytes=queue_bytes)
        )

    service.run(
        work,
        topic=settings.event_log_topic,
        prefetch=0.1,
        prefetch_messages=1000,
        queue_messages=queue_messages,
    )


if __name__ == "__main__":
    main()
