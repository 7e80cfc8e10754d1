"""The embedded S3 sink loses nothing and writes nothing twice, whatever happens to it."""

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from golden.connect import ConnectWorker
from golden.sink_servers import ACCESS_KEY, SinkServers, sink_servers
from infra.sinks import for_embedded_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

PARTITIONS = 3
_KEY = re.compile(r"topics/(?P<topic>[^/]+)/partition=(?P<partition>\d+)/\1\+\2\+(?P<offset>\d{10})\.bin")


@pytest.fixture(scope="module")
def servers() -> Iterator[SinkServers]:
    with sink_servers() as running:
        yield running


class Sink:
    """A sink with a topic and a bucket of its own."""

    def __init__(self, servers: SinkServers, name: str, **config: str) -> None:
        self.servers = servers
        self.name = name
        self.worker = ConnectWorker(servers.connect_url)
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=servers.s3_endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=servers.s3_secret_key,
            region_name="us-east-1",
        )
        self.s3.create_bucket(Bucket=name)
        admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
        topic = NewTopic(name, PARTITIONS, 1, config={"max.message.bytes": str(16 << 20)})
        admin.create_topics([topic])[name].result(30)
        self.producer = Producer({
            "bootstrap.servers": servers.bootstrap_servers,
            "message.max.bytes": 16 << 20,
            "log_level": 0,
        })  # fmt: skip
        self.sent: dict[int, list[bytes]] = {partition: [] for partition in range(PARTITIONS)}
        self.config = {
            "connector.class": "io.confluent.connect.s3.S3SinkConnector",
            "tasks.max": "1",
            "topics": name,
            "s3.bucket.name": name,
            "s3.region": "us-east-1",
            "store.url": servers.s3_endpoint,
            "aws.access.key.id": ACCESS_KEY,
            "aws.secret.access.key": servers.s3_secret_key,
            "s3.part.size": "5242880",
            "storage.class": "io.confluent.connect.s3.storage.S3Storage",
            "format.class": "io.confluent.connect.s3.format.bytearray.ByteArrayFormat",
            "format.bytearray.separator": "\n",
            "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "consumer.override.session.timeout.ms": "6000",
            **config,
        }

    def register(self, **changes: str) -> None:
        self.config |= changes
        self.worker.put_config(self.name, for_embedded_plugin(self.config)).raise_for_status()

    def send(self, count: int, *, size: int = 200) -> None:
        """Send records to every partition, each with its place in it."""
        for partition, sent in self.sent.items():
            for _ in range(count):
                value = f"{partition}:{len(sent)}:".encode().ljust(size, b"x")
                self.producer.produce(self.name, value, partition=partition)
                sent.append(value)
        assert self.producer.flush(60) == 0

    def objects(self) -> dict[str, bytes]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: self.s3.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}

    def stored(self) -> dict[int, list[bytes]]:
        """Return the records in the store in the order of their offsets; a record stored twice is there twice."""
        records: dict[int, list[tuple[int, list[bytes]]]] = {partition: [] for partition in range(PARTITIONS)}
        for key, content in self.objects().items():
            place = _KEY.fullmatch(key)
            assert place, key
            lines = content.split(b"\n")[:-1]
            records[int(place["partition"])].append((int(place["offset"]), lines))
        return {
            partition: [line for _, lines in sorted(files) for line in lines] for partition, files in records.items()
        }

    def states(self) -> list[str]:
        status = self.worker.status(self.name)
        return [task["state"] for task in status["tasks"]] if status else []

    def trace(self) -> str:
        status = self.worker.status(self.name)
        return "".join(task.get("trace", "") for task in status["tasks"]) if status else ""


def eventually(check: Callable[[], bool], what: Callable[[], object], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def count(records: dict[int, list[bytes]]) -> int:
    return sum(len(lines) for lines in records.values())


@pytest.mark.parametrize(("name", "size", "per_round"), [("small-files", 200, 50), ("multipart", 1_500_000, 10)])
def test_nothing_is_lost_or_doubled(servers: SinkServers, name: str, size: int, per_round: int) -> None:
    sink = Sink(servers, name, **{"flush.size": "5"})
    sink.register()

    def worker_dies() -> None:
        servers.stop("connect", kill=True)
        servers.start("connect")

    def store_dies() -> None:
        servers.stop("s3", kill=True)
        servers.start("s3")

    def tasks_move() -> None:
        servers.wait_for_worker()
        sink.register(**{"tasks.max": "3" if sink.config["tasks.max"] == "1" else "1"})

    for happens in (worker_dies, store_dies, tasks_move, store_dies, worker_dies, tasks_move):
        before = count(sink.stored())
        sink.send(per_round, size=size)
        eventually(lambda before=before: count(sink.stored()) > before, sink.trace)
        happens()
        servers.wait_for_store()
    servers.wait_for_worker()
    eventually(lambda: count(sink.stored()) >= count(sink.sent), sink.trace)
    assert sink.stored() == sink.sent
    assert set(sink.states()) == {"RUNNING"}
    # Replayed files have the same bytes: what has been read once stays true.
    before = sink.objects()
    sink.worker.stop(sink.name)
    assert sink.objects() == before
    assert [offset for _, _, offset in sink.worker.offsets(sink.name)] == [per_round * 6] * PARTITIONS


def test_a_failed_task_tells_why_and_goes_on_where_it_was(servers: SinkServers) -> None:
    sink = Sink(servers, "outage", **{"flush.size": "2", "s3.part.retries": "1", "retry.backoff.ms": "100"})
    sink.register()
    sink.send(4)
    eventually(lambda: count(sink.stored()) == count(sink.sent), sink.trace)
    servers.stop("s3", kill=True)
    sink.send(4)
    eventually(lambda: "FAILED" in sink.states(), sink.states)
    assert "Cannot write s3://outage/topics/outage/partition=" in sink.trace()
    servers.start("s3")
    servers.wait_for_store()
    sink.worker.request("POST", f"/connectors/{sink.name}/restart?includeTasks=true&onlyFailed=true")
    eventually(lambda: count(sink.stored()) >= count(sink.sent), sink.trace)
    assert sink.stored() == sink.sent


def test_the_store_may_be_away_for_a_while(servers: SinkServers) -> None:
    sink = Sink(servers, "pause", **{"flush.size": "1"})
    sink.register()
    sink.send(1)
    eventually(lambda: count(sink.stored()) == count(sink.sent), sink.trace)
    servers.stop("s3", kill=True)
    sink.send(30)
    log = servers.folder / "connect" / "log.txt"
    seen = log.stat().st_size

    def tried() -> bool:
        return b"trying again" in log.read_bytes()[seen:]

    eventually(tried, lambda: "the task never tried")
    servers.start("s3")
    servers.wait_for_store()
    eventually(lambda: count(sink.stored()) >= count(sink.sent), sink.trace)
    assert sink.stored() == sink.sent
    assert sink.states() == ["RUNNING"]


def test_what_a_format_refuses_becomes_a_dead_letter(servers: SinkServers) -> None:
    sink = Sink(
        servers,
        "refused",
        **{
            "flush.size": "1",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "true",
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": "refused.dlq",
            "errors.deadletterqueue.topic.replication.factor": "1",
            "errors.deadletterqueue.context.headers.enable": "true",
        },
    )
    sink.register()
    good = json.dumps({"schema": {"type": "bytes"}, "payload": "Z29vZA=="})
    bad = json.dumps({"schema": {"type": "string"}, "payload": "no bytes"})
    for value in (good, bad, good):
        sink.producer.produce(sink.name, value, partition=0)
    sink.producer.flush(30)
    eventually(lambda: len(sink.objects()) == 2, sink.trace)
    assert set(sink.objects()) == {f"topics/refused/partition=0/refused+0+{offset:010d}.bin" for offset in (0, 2)}
    letter = first_record(servers, "refused.dlq")
    assert letter[0] == bad.encode()
    assert b"STRING" in letter[1]["__connect.errors.exception.message"]


def first_record(servers: SinkServers, topic: str) -> tuple[bytes, dict[str, bytes]]:
    consumer = Consumer({
        "bootstrap.servers": servers.bootstrap_servers,
        "group.id": "test",
        "auto.offset.reset": "earliest",
        "log_level": 0,
    })  # fmt: skip
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                headers: Any = dict(message.headers() or [])
                return message.value() or b"", headers
        raise AssertionError(f"nothing in {topic}")
    finally:
        consumer.close()


def test_stopping_leaves_no_process_and_no_folder() -> None:
    with sink_servers() as running:
        folder = running.folder
        pids = [running.pid(part) for part in ("kafka", "registry", "s3", "connect")]
    assert not folder.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
