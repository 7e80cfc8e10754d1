"""The embedded S3 sink: gzip batches from a topic to S3, an object each, beside what boto3 puts into the same store."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false

from __future__ import annotations

import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import psutil
import typer
from botocore.config import Config
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError
from golden.connect import ConnectWorker
from golden.sink_servers import ACCESS_KEY, sink_servers
from infra.memory import MIB
from infra.sinks import for_embedded_plugin

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from golden.sink_servers import SinkServers

_SINK = Path(__file__).parent.parent / "connectors" / "batchcompress.sink.json"
_TOPIC = "batch.compressed"
_BUCKET = "flightbatch.bucket"
_REFERENCE = "reference"
_PARTITIONS = 4
_THREADS = 8
_SIZE = 600_000
_WARM_UP = 1000
_CHECKED = 50
_DEADLINE_SECONDS = 600.0
_MB = 1e6
_TARGET_MB_PER_SECOND = 100.0
_TARGET_RATIO = 0.6
_TARGET_RESIDENT_MB = 300.0


def main(
    *,
    json_output: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
    objects: Annotated[int, typer.Option(help="objects of 600 kB")] = 2000,
    memory: Annotated[int, typer.Option(help="the worker's memory in MiB")] = 288,
) -> None:
    """Measure the sink's throughput with flush.size 1 and 600 kB payloads, and the worker's memory."""
    console = Console(stderr=True)
    with (
        console.status("starting Kafka, the store and the worker") as status,
        sink_servers(worker_memory=memory * MIB) as servers,
    ):
        figures = _Run(servers, objects=objects, tell=status.update).measure()
    if json_output:
        typer.echo(json.dumps(figures))
        return
    table = Table(title=f"{objects} objects of {_SIZE / 1000:.0f} kB, flush.size 1")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else str(value))
    Console().print(table)


class _Run:
    """One run on servers of its own."""

    def __init__(self, servers: SinkServers, *, objects: int, tell: Any) -> None:
        self._servers = servers
        self._objects = objects
        self._tell = tell
        self._payload = os.urandom(_SIZE)
        self._s3: S3Client = boto3.client(
            "s3",
            endpoint_url=servers.s3_endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=servers.s3_secret_key,
            region_name="us-east-1",
            config=Config(max_pool_connections=_THREADS),
        )
        self._producer = Producer({
            "bootstrap.servers": servers.bootstrap_servers,
            "message.max.bytes": 16 << 20,
            "queue.buffering.max.kbytes": 64 << 10,
            "log_level": 0,
        })  # fmt: skip
        self._sent = 0

    def measure(self) -> dict[str, float | bool]:
        """Run it.

        Raises:
            BenchError: an object is missing or is not what was sent.
        """
        for bucket in (_BUCKET, _REFERENCE):
            self._s3.create_bucket(Bucket=bucket)
        topic = NewTopic(_TOPIC, _PARTITIONS, 1, config={"max.message.bytes": str(16 << 20)})
        admin = AdminClient({"bootstrap.servers": self._servers.bootstrap_servers})
        admin.create_topics([topic])[_TOPIC].result(30)
        worker = ConnectWorker(self._servers.connect_url)
        with _PeakMemory(self._servers.pid("connect")) as peak:
            # A worker runs for months: what its first seconds cost is no measure of it.
            self._tell("warming up")
            self._produce(_WARM_UP)
            worker.put_config("bench", self._config()).raise_for_status()
            self._await_objects(worker)
            self._tell("boto3, before")
            before = self._boto3()
            worker.request("PUT", "/connectors/bench/pause").raise_for_status()
            self._await_pause(worker)
            self._tell("filling the topic")
            self._produce(self._objects)
            self._tell("the sink")
            start = time.monotonic()
            worker.request("PUT", "/connectors/bench/resume").raise_for_status()
            self._await_objects(worker)
            sink = self._objects * _SIZE / _MB / (time.monotonic() - start)
            self._tell("boto3, after")
            after = self._boto3()
        self._check()
        reference = (before + after) / 2
        return {
            "sink_mb_per_second": sink,
            "boto3_8_threads_mb_per_second": reference,
            "ratio": sink / reference,
            "worker_peak_resident_mb": peak.bytes / _MB,
            "throughput_reached": sink >= min(_TARGET_MB_PER_SECOND, _TARGET_RATIO * reference),
            "memory_reached": peak.bytes / _MB <= _TARGET_RESIDENT_MB,
        }

    def _config(self) -> dict[str, str]:
        config = json.loads(_SINK.read_text())["config"]
        return for_embedded_plugin({
            **config,
            "store.url": self._servers.s3_endpoint,
            "aws.access.key.id": ACCESS_KEY,
            "aws.secret.access.key": self._servers.s3_secret_key,
        })  # fmt: skip

    def _produce(self, count: int) -> None:
        for _ in range(count):
            while True:
                try:
                    self._producer.produce(_TOPIC, self._payload, partition=self._sent % _PARTITIONS)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._sent += 1
        if self._producer.flush(_DEADLINE_SECONDS):
            raise BenchError("Kafka did not take the records")

    def _boto3(self) -> float:
        start = time.monotonic()
        with ThreadPoolExecutor(_THREADS) as threads:
            for future in [threads.submit(self._put, number) for number in range(self._objects)]:
                future.result()
        return self._objects * _SIZE / _MB / (time.monotonic() - start)

    def _put(self, number: int) -> None:
        self._s3.put_object(Bucket=_REFERENCE, Key=f"batches/{number:010d}", Body=self._payload)

    def _await_objects(self, worker: ConnectWorker) -> None:
        # Looking into the store's folder costs it nothing; asking it would.
        folder = self._servers.folder / "s3" / "objects" / _BUCKET / "topics" / _TOPIC
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while sum(len(list(partition.iterdir())) for partition in folder.glob("partition=*")) < self._sent:
            if time.monotonic() > deadline:
                raise BenchError(f"the sink did not write {self._sent} objects: {worker.status('bench')}")
            time.sleep(0.05)

    def _await_pause(self, worker: ConnectWorker) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while {task["state"] for task in (worker.status("bench") or {"tasks": []})["tasks"]} != {"PAUSED"}:
            if time.monotonic() > deadline:
                raise BenchError("the sink did not pause")
            time.sleep(0.05)

    def _check(self) -> None:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET)
        sizes = {entry.get("Key", ""): entry.get("Size") for page in pages for entry in page.get("Contents", [])}
        if len(sizes) != self._sent or set(sizes.values()) != {_SIZE}:
            raise BenchError(f"{len(sizes)} objects of {set(sizes.values())} bytes, not {self._sent} of {_SIZE}")
        for key in random.Random(0).sample(sorted(sizes), _CHECKED):  # noqa: S311 - which ones does not matter
            if self._s3.get_object(Bucket=_BUCKET, Key=key)["Body"].read() != self._payload:
                raise BenchError(f"{key} is not what was sent")


class _PeakMemory:
    """The largest resident memory of a process while the context lasts."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.bytes = max(self.bytes, self._process.memory_info().rss)
