"""WHAT runs: topics, schemas, buckets, services, statements and sinks. Names no target.

A new topic, schema, sink, statement or service is one entry here (and its file), whatever the targets.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.contract import Bucket, Pipeline, Schema, Service, Sink, Statements, Topic
from infra.errors import SettingsError
from infra.sinks import check_rotation
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.settings import ServiceSettings, SinkSettings, StackSettings

_ROOT = Path(__file__).parent.parent
_HOUR_MS = 3_600_000
QUOTES = "quotes"
BATCHES = "batches"


def pipeline(settings: StackSettings) -> Pipeline:
    """Return what the stack runs.

    Args:
        settings: the stack's settings.

    Raises:
        SettingsError: the settings name a sink that there is not, or what has no effect on one.
    """
    return Pipeline(
        topics=_topics(settings),
        schemas=_schemas(settings),
        buckets=[
            Bucket(role=QUOTES, name=settings.buckets.quotes),
            Bucket(role=BATCHES, name=settings.buckets.batches),
        ],
        services=_services(settings),
        statements=_statements(settings),
        sinks=_sinks(settings),
    )


def _topics(settings: StackSettings) -> list[Topic]:
    topics = settings.topics
    data = {"retention.ms": str(topics.retention_hours * _HOUR_MS)}
    letters = {"retention.ms": str(topics.dead_letter_retention_hours * _HOUR_MS)}
    large = {"max.message.bytes": str(contracts.MAX_MESSAGE_BYTES)}

    def topic(name: str, configs: Mapping[str, str]) -> Topic:
        return Topic(
            name=name,
            partitions=topics.partitions,
            replication_factor=topics.replication_factor,
            configs={"min.insync.replicas": str(topics.min_in_sync_replicas), **configs},
        )

    return [
        topic(contracts.EVENT_LOG, letters | large),
        topic(contracts.EVENT_LOG_DLQ, letters | large),
        topic(contracts.PAYLOAD, data | large),
        topic(contracts.INCOMING, data),
        topic(contracts.INCOMING_DLQ, letters),
        topic(contracts.COMPRESSED, data | large),
        # Every batch has a key of its own: compaction alone would keep them all for ever. The retention is that of
        # what ksqlDB reads, for it takes no topic whose retention is another.
        topic(contracts.CHEAPEST, data | {"cleanup.policy": "compact,delete"}),
    ]


def _schemas(settings: StackSettings) -> list[Schema]:
    return [
        Schema(
            subject=f"{topic}-value",
            definition=json.loads(definition),
            compatibility=settings.registry.compatibility,
        )
        for topic, definition in (
            (contracts.INCOMING, contracts.ROW_SCHEMA),
            (contracts.CHEAPEST, contracts.CHEAPEST_SCHEMA),
        )
    ]


def _services(settings: StackSettings) -> list[Service]:
    services = settings.services
    token = services.ingest.token
    running = [
        Service(
            name="ingest",
            writes=[contracts.EVENT_LOG],
            public=True,
            secrets={"INGEST_TOKEN": token.get_secret_value()} if token else {},
            **_common(services.ingest),
        ),
        Service(
            name="transform",
            reads=[contracts.EVENT_LOG],
            writes=[contracts.PAYLOAD, contracts.INCOMING, contracts.INCOMING_DLQ, contracts.EVENT_LOG_DLQ],
            schemas=[f"{contracts.INCOMING}-value"],
            **_common(services.transform),
        ),
        Service(
            name="compressor",
            reads=[contracts.PAYLOAD],
            writes=[contracts.COMPRESSED, contracts.EVENT_LOG_DLQ],
            **_common(services.compressor),
        ),
    ]
    if settings.cheapest_engine == "service":
        running.append(
            Service(
                name="cheapest",
                reads=[contracts.INCOMING],
                writes=[contracts.CHEAPEST, contracts.INCOMING_DLQ],
                schemas=[f"{contracts.INCOMING}-value", f"{contracts.CHEAPEST}-value"],
                **_common(services.cheapest),
            )
        )
    return running


def _common(settings: ServiceSettings) -> dict[str, Any]:
    return {"memory": settings.memory, "replicas": settings.replicas, "environment": settings.environment}


def _statements(settings: StackSettings) -> list[Statements]:
    if settings.cheapest_engine != "ksql":
        return []
    return [
        Statements(
            folder=_ROOT / "ksql",
            reads=[contracts.INCOMING, contracts.CHEAPEST],
            writes=[contracts.CHEAPEST],
            delete_topics=settings.ksql.delete_topics,
        )
    ]


def _sinks(settings: StackSettings) -> list[Sink]:
    sinks = [_sink("cflight.sink.json", bucket=QUOTES), _sink("batchcompress.sink.json", bucket=BATCHES)]
    unknown = settings.sinks.keys() - {sink.name for sink in sinks}
    if unknown:
        raise SettingsError(
            f"there is no sink {', '.join(sorted(unknown))}",
            where="cflight:sinks",
            remedy=f"The sinks in `connectors/` are {', '.join(sink.name for sink in sinks)}.",
        )
    for sink in sinks:
        if sink.name in settings.sinks and settings.sinks[sink.name].rotate_interval_ms is not None:
            check_rotation(sink, where=f"cflight:sinks.{sink.name}.rotateIntervalMs")
    return [
        replace(sink, config={**sink.config, **_environment_of(settings.sinks[sink.name])})
        if sink.name in settings.sinks
        else sink
        for sink in sinks
    ]


def _sink(file: str, *, bucket: str) -> Sink:
    definition = json.loads((_ROOT / "connectors" / file).read_text())
    config: dict[str, str] = definition["config"]
    return Sink(name=definition["name"], config=config, bucket=bucket, reads=config["topics"].split(","))


def _environment_of(settings: SinkSettings) -> dict[str, str]:
    values = {
        "flush.size": settings.flush_size,
        "rotate.interval.ms": settings.rotate_interval_ms,
        "rotate.schedule.interval.ms": settings.rotate_schedule_interval_ms,
        "s3.part.size": settings.part_size,
        "tasks.max": settings.tasks_max,
    }
    return {name: str(value) for name, value in values.items() if value is not None}
