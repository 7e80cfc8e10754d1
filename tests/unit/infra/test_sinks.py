"""What sinks ask of a worker."""

from __future__ import annotations

import pytest

from infra.contract import Sink
from infra.errors import SettingsError, SizingError
from infra.memory import MIB
from infra.sinks import check_heap, check_rotation, embedded_names, for_embedded_plugin, sink_heap

PARTITIONERS = "io.confluent.connect.storage.partitioner."


def sink(**config: str) -> Sink:
    return Sink(name="quotes", config={"s3.part.size": str(5 * MIB), **config}, bucket="quotes", reads=["quotes"])


def test_only_what_the_worker_resolves_itself_is_translated() -> None:
    config = {
        "connector.class": "io.confluent.connect.s3.S3SinkConnector",
        "value.converter": "io.confluent.connect.avro.AvroConverter",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "format.class": "io.confluent.connect.s3.format.avro.AvroFormat",
    }
    translated = for_embedded_plugin(config)
    assert translated["connector.class"] == embedded_names()[config["connector.class"]]
    assert translated["value.converter"] == embedded_names()[config["value.converter"]]
    assert {name: translated[name] for name in ("key.converter", "format.class")} == {
        name: config[name] for name in ("key.converter", "format.class")
    }


@pytest.mark.parametrize(
    ("config", "workers", "files", "fetched"),
    [
        # Four partitions and one part on its way; fetched twice.
        ({}, 1, 5, 32),
        # Two tasks on one worker have the same files, but each its own queue and part on its way.
        ({"tasks.max": "2"}, 1, 6, 64),
        ({"tasks.max": "2"}, 2, 3, 32),
        # More tasks than partitions are none.
        ({"tasks.max": "9"}, 1, 8, 128),
        ({"partitioner.max.open.files": "3"}, 1, 13, 32),
        ({"store.kafka.keys": "true", "store.kafka.headers": "true"}, 1, 13, 32),
        ({"consumer.override.fetch.max.bytes": str(2 * MIB)}, 1, 5, 4),
    ],
)
def test_a_sink_holds_parts_and_records(config: dict[str, str], workers: int, files: int, fetched: int) -> None:
    needs = sink_heap(sink(**config), partitions=4, workers=workers, fetch=16 * MIB)
    assert needs == (files * 5 * MIB, fetched * MIB)


def test_the_confluent_default_part_is_assumed() -> None:
    plain = Sink(name="quotes", config={}, bucket="quotes", reads=["quotes"])
    assert sink_heap(plain, partitions=1, workers=1, fetch=0)[0] == 2 * 25 * MIB


def test_sinks_that_do_not_fit_are_refused_with_the_sum() -> None:
    def check(heap: int) -> None:
        check_heap([sink()], partitions=4, workers=1, heap=heap, fetch=16 * MIB, where="connect.memory", remedy="More.")

    check(157 * MIB)
    with pytest.raises(SizingError, match=r"open files 25 MiB \+ fetched records 32 MiB \+ worker 100Mi = 157 MiB"):
        check(156 * MIB)


@pytest.mark.parametrize("partitioner", ["DefaultPartitioner", "FieldPartitioner", None])
def test_rotation_by_record_time_needs_a_partitioner_that_knows_it(partitioner: str | None) -> None:
    config = {} if partitioner is None else {"partitioner.class": f"{PARTITIONERS}{partitioner}"}
    with pytest.raises(SettingsError, match=r"here: .*is not time-based.*rotateScheduleIntervalMs"):
        check_rotation(sink(**config), where="here")


@pytest.mark.parametrize("partitioner", ["TimeBasedPartitioner", "HourlyPartitioner", "DailyPartitioner"])
def test_rotation_by_record_time_of_a_time_based_sink(partitioner: str) -> None:
    check_rotation(sink(**{"partitioner.class": f"{PARTITIONERS}{partitioner}"}), where="here")
