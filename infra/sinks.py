"""What S3 sinks ask of the worker that runs them: the classes of the plug-in, and memory."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import SettingsError, SizingError
from infra.memory import MIB, SINK_WORKER_BASE, format_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.contract import Sink

_NAMES = (
    Path(__file__).parent.parent
    / "connectors/s3-sink/src/main/resources/io/github/cflight/connect/s3/confluent-names.properties"
)


@functools.cache
def embedded_names() -> dict[str, str]:
    """Return the embedded plug-in's class for every Confluent class that it stands for."""
    lines = [line.strip() for line in _NAMES.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {confluent.strip(): embedded.strip() for confluent, _, embedded in pairs}


def for_embedded_plugin(config: Mapping[str, str]) -> dict[str, str]:
    """Return a sink's configuration for a worker with the embedded plug-in.

    A worker finds connectors and converters by their class names itself, so those are translated here; the plug-in
    takes the Confluent names of all other classes.

    Args:
        config: the configuration with the Confluent names.
    """
    names = embedded_names()
    resolved_by_worker = {"connector.class", "key.converter", "value.converter", "header.converter"}
    return {key: names.get(value, value) if key in resolved_by_worker else value for key, value in config.items()}


# The Confluent sink's own default, where a definition does not say.
_PART_SIZE = 25 * MIB


_DEFAULT_PARTITIONER = "io.confluent.connect.storage.partitioner.DefaultPartitioner"
# Of Confluent's, those that know no time; one of somebody else's may.
_TIMELESS = {_DEFAULT_PARTITIONER, "io.confluent.connect.storage.partitioner.FieldPartitioner"}


def check_rotation(sink: Sink, *, where: str) -> None:
    """Refuse to rotate by the time of records a sink whose partitioner knows none: files would wait for flush.size.

    Args:
        sink: the sink.
        where: the setting, for the message.

    Raises:
        SettingsError: the partitioner is not time-based.
    """
    partitioner = sink.config.get("partitioner.class", _DEFAULT_PARTITIONER)
    if partitioner in _TIMELESS:
        raise SettingsError(
            f"it has no effect with {partitioner.rpartition('.')[2]}, which is not time-based",
            where=where,
            remedy="Set rotateScheduleIntervalMs instead: it goes by the wall clock.",
        )


def check_heap(
    sinks: Sequence[Sink], *, partitions: int, workers: int, heap: int, fetch: int, where: str, remedy: str
) -> None:
    """Refuse sinks whose open files and fetched records do not fit the workers' heap.

    A sink keeps, for each partition that it reads and each path that records of it go to, one part of the upload in
    memory (`s3.part.size`), and each task one more on its way; and a task holds what its consumer has fetched and
    what it was given before.

    Args:
        sinks: the sinks that share the workers.
        partitions: partitions of each topic.
        workers: how many workers share the tasks.
        heap: bytes of heap of a worker.
        fetch: bytes that a consumer fetches at once (`fetch.max.bytes`) where a sink does not say.
        where: the setting of the workers' memory, for the message.
        remedy: what to do about it.

    Raises:
        SizingError: it is more than there is; the message holds the sum.
    """
    needs = {sink.name: sink_heap(sink, partitions=partitions, workers=workers, fetch=fetch) for sink in sinks}
    total = sum(files + fetched for files, fetched in needs.values()) + SINK_WORKER_BASE
    if total <= heap:
        return
    terms = [
        f"{name}: open files {files // MIB:,} MiB + fetched records {fetched // MIB:,} MiB"
        for name, (files, fetched) in needs.items()
    ]
    raise SizingError(
        f"{' + '.join(terms)} + worker {format_memory(SINK_WORKER_BASE)} = {total / MIB:,.0f} MiB, "
        f"but the heap of a worker is {heap / MIB:,.0f} MiB",
        where=where,
        remedy=remedy,
    )


def sink_heap(sink: Sink, *, partitions: int, workers: int, fetch: int) -> tuple[int, int]:
    """Return the heap that a sink needs on one of its workers: bytes of open files, bytes of fetched records.

    Args:
        sink: the sink.
        partitions: partitions of each topic that it reads.
        workers: how many workers share its tasks.
        fetch: bytes that a consumer fetches at once where the sink does not say.
    """
    tasks = min(int(sink.config.get("tasks.max", 1)), partitions * len(sink.reads))
    busiest = math.ceil(tasks / workers)
    files = math.ceil(partitions * len(sink.reads) / tasks) * busiest * _files_of_a_partition(sink.config)
    part_size = int(sink.config.get("s3.part.size", _PART_SIZE))
    fetched = int(sink.config.get("consumer.override.fetch.max.bytes", fetch))
    return (files + busiest) * part_size, busiest * 2 * fetched


def _files_of_a_partition(config: Mapping[str, str]) -> int:
    # A partition's records go to one path, or to as many as the partitioner may have open; keys and headers have
    # files of their own.
    limit = int(config.get("partitioner.max.open.files", -1))
    kinds = 1 + sum(config.get(name) == "true" for name in ("store.kafka.keys", "store.kafka.headers"))
    return (limit if limit > 0 else 1) * kinds
