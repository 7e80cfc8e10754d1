"""cflight-cheapest: rows to the cheapest quote of each batch."""

from __future__ import annotations

from services import contracts
from services.cheapest.layout import RowDecoder
from services.cheapest.reader import NativeRowReader, PythonRowReader
from services.cheapest.settings import CheapestSettings
from services.cheapest.work import QUEUE_MESSAGES, SERVICE, CheapestWork
from services.contracts import wire_prefix
from services.native import load
from services.registry import Registry
from services.service import prepare

PURPOSE = "Finds the cheapest quote of each batch among its rows, exactly once: an alternative to the KSQL table."


def main() -> None:
    """Run the service until SIGTERM."""
    service, settings = prepare(CheapestSettings, name=SERVICE, purpose=PURPOSE)
    registry = Registry(settings)
    row_schema_id = service.schema_id(registry, topic=settings.incoming_topic, schema=contracts.ROW_SCHEMA)
    cheapest_schema_id = service.schema_id(registry, topic=settings.cheapest_topic, schema=contracts.CHEAPEST_SCHEMA)
    if row_schema_id is None or cheapest_schema_id is None:
        return
    native = load() if settings.native_rows else None
    prefix = wire_prefix(row_schema_id)

    def work() -> CheapestWork:
        reader = (
            PythonRowReader(prefix=prefix)
            if native is None
            else NativeRowReader(native, topic=settings.incoming_topic, prefix=prefix)
        )
        decoder = RowDecoder(registry, schema_id=row_schema_id)
        return CheapestWork(settings, reader=reader, decoder=decoder, cheapest_schema_id=cheapest_schema_id)

    service.run(
        work,
        topic=settings.incoming_topic,
        prefetch=0.06,
        prefetch_messages=10_000,
        queue_messages=QUEUE_MESSAGES,
    )


if __name__ == "__main__":
    main()
