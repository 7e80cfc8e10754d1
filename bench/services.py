"""The stream services: rows and bytes per second and per CPU-second, exactly-once, under a hard memory limit."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench import baseline, outputs
from bench.broker import Broker
from bench.errors import BenchError
from bench.load import Batch, batches
from bench.processes import ServiceProcess
from bench.topics import create_topics
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Generator

_MIB = 1024 * 1024
_DEADLINE_SECONDS = 600
_INGEST_SECONDS = 4.0
_CONNECTIONS = 16
_IDLE_STARTS = 3

Figures = dict[str, float]


class _Bench:
    """One run on one broker."""

    def __init__(
        self, *, servers: str, registry: str, partitions: int, instances: int, memory: int, console: Console
    ) -> None:
        self.servers = servers
        self._environment = {"KAFKA_BOOTSTRAP_SERVERS": servers, "SCHEMA_REGISTRY_URL": registry}
        self._partitions = partitions
        self._instances = instances
        self._memory = memory
        self.console = console

    def create_topics(self) -> None:
        """Make all topics anew."""
        names = [
            contracts.EVENT_LOG,
            contracts.EVENT_LOG_DLQ,
            contracts.PAYLOAD,
            contracts.INCOMING,
            contracts.INCOMING_DLQ,
            contracts.COMPRESSED,
            contracts.CHEAPEST,
            baseline.PAYLOAD,
            baseline.INCOMING,
        ]
        create_topics(self.servers, names, partitions=self._partitions)

    def produce(self, load: list[Batch]) -> dict[int, int]:
        """Write the load to the event log, and return the offset after each partition's last record."""
        ends: dict[int, int] = {}
        producer = Producer(
            {
                "bootstrap.servers": self.servers,
                "enable.idempotence": True,
                "message.max.bytes": contracts.MAX_MESSAGE_BYTES,
            }
        )
        for number, batch in enumerate(load):
            while True:
                try:
                    producer.produce(contracts.EVENT_LOG, value=batch.body, partition=number % self._partitions)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
            ends[number % self._partitions] = number // self._partitions + 1
        if producer.flush(60):
            raise BenchError("the load cannot be written")
        return ends

    def measure(self, module: str, *, group: str, topic: str, ends: dict[int, int]) -> Figures:
        """Run a consuming service until its group has committed up to the ends.

        Returns:
            `seconds` from ready to done, `cpu_seconds` beyond an idle start's, `rss_mib`: the largest instance's peak.
        """
        idle = self._idle_cpu(module, topic=topic)
        with contextlib.ExitStack() as stack:
            services = [stack.enter_context(self._start(module)) for _ in range(self._instances)]
            started = self._wait_started(services)
            finished = self._wait_committed(services, group=group, topic=topic, ends=ends)
            cpu = sum(service.cpu_seconds() for service in services)
            rss = max(service.peak_mib() for service in services)
            for service in services:
                service.stop()
        return {"seconds": finished - started, "cpu_seconds": cpu - idle * self._instances, "rss_mib": rss}

    def start(self, module: str, **environment: str) -> ServiceProcess:
        """Start a service."""
        return ServiceProcess(module, environment={**self._environment, **environment}, memory=self._memory)

    def _start(self, module: str) -> ServiceProcess:
        return self.start(module)

    def _idle_cpu(self, module: str, *, topic: str) -> float:
        """Return what starting takes, from an instance that has nothing to read."""
        if module == baseline.__name__:
            return 0.3  # imports only: it has no health port to wait for
        idle_topic = f"idle.{module}"
        create_topics(self.servers, [idle_topic], partitions=1)
        variable = {
            contracts.EVENT_LOG: "EVENT_LOG_TOPIC",
            contracts.INCOMING: "INCOMING_TOPIC",
            contracts.PAYLOAD: "PAYLOAD_TOPIC",
        }[topic]
        needed: list[float] = []
        for _ in range(_IDLE_STARTS):
            with self.start(module, **{variable: idle_topic}) as service:
                service.wait_ready()
                needed.append(service.cpu_seconds())
                service.stop()
        return statistics.median(needed)

    def _wait_started(self, services: list[ServiceProcess]) -> float:
        """Wait until one has partitions, and return when that was."""
        if services[0].module == baseline.__name__:
            return time.monotonic()
        while not any(service.is_ready() for service in services):
            time.sleep(0.01)
        return time.monotonic()

    def _wait_committed(self, services: list[ServiceProcess], *, group: str, topic: str, ends: dict[int, int]) -> float:
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": group, "log_level": 0})
        partitions = [TopicPartition(topic, partition) for partition in ends]
        deadline = time.monotonic() + _DEADLINE_SECONDS
        with self.console.status(f"{group} is working") as status:
            while time.monotonic() < deadline:
                try:
                    committed = {part.partition: part.offset for part in consumer.committed(partitions, 30)}
                except KafkaException:  # the group's coordinator is not there yet
                    time.sleep(0.1)
                    continue
                if all(committed[partition] >= end for partition, end in ends.items()):
                    consumer.close()
                    return time.monotonic()
                left = sum(end - max(committed[partition], 0) for partition, end in ends.items())
                status.update(f"{group} is working, {left} messages to go")
                if not all(service.running for service in services):
                    raise BenchError(f"ended:\n{services[0].log()[-2000:]}", where=group)
                time.sleep(0.02)
        raise BenchError("does not get done", where=group)


def main(
    *,
    json_output: Annotated[bool, typer.Option("--json", help="print the figures as one JSON object")] = False,
    rows: Annotated[int, typer.Option(help="the rows of the load")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="of the load")] = 1,
    bad_share: Annotated[float, typer.Option(help="the share of bad batches")] = 0.0,
    partitions: Annotated[int, typer.Option(help="of every topic")] = 1,
    instances: Annotated[int, typer.Option(help="of every consuming service")] = 1,
    memory: Annotated[int, typer.Option(help="hard limit of every instance in MiB, 0 for none")] = 128,
    with_baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="run the simple transform, too")
    ] = True,
) -> None:
    """Measure the stream services, and check all that they write."""
    console = Console(stderr=True, quiet=json_output and not sys.stderr.isatty())
    with console.status("making the load"):
        load = batches(seed=seed, rows=rows, bad_share=bad_share)
    with _broker(console) as (servers, registry):
        bench = _Bench(
            servers=servers,
            registry=registry,
            partitions=partitions,
            instances=instances,
            memory=memory * _MIB,
            console=console,
        )
        bench.create_topics()
        figures = _measure_all(bench, load, with_baseline=with_baseline and not bad_share)
    if json_output:
        typer.echo(json.dumps(figures, indent=1))
    else:
        _print(figures, rows=sum(batch.rows for batch in load), count=len(load))


@contextlib.contextmanager
def _broker(console: Console) -> Generator[tuple[str, str]]:
    servers, registry = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("SCHEMA_REGISTRY_URL")
    if servers and registry:
        yield servers, registry
        return
    with console.status("starting Kafka and the registry"):
        broker = Broker()
        broker.__enter__()
    try:
        yield broker.bootstrap_servers, broker.schema_registry_url
    finally:
        broker.__exit__(None, None, None)


def _measure_all(bench: _Bench, load: list[Batch], *, with_baseline: bool) -> dict[str, Figures]:
    good_rows = sum(batch.rows for batch in load)
    figures: dict[str, Figures] = {}
    ends = bench.produce(load)
    if with_baseline:
        measured = bench.measure("bench.baseline", group=baseline.GROUP, topic=contracts.EVENT_LOG, ends=ends)
        figures["baseline"] = _rates(measured, rows=good_rows)
        found = sum(1 for _ in outputs.read(bench.servers, baseline.INCOMING))
        if found != good_rows:
            raise BenchError(f"{good_rows} rows went in, {found} came out", where="baseline")
    measured = bench.measure("services.transform", group="transform", topic=contracts.EVENT_LOG, ends=ends)
    figures["transform"] = _rates(measured, rows=good_rows)

    incoming_ends: dict[int, int] = {}
    payload_ends: dict[int, int] = {}
    with bench.console.status("checking rows and bundles"):
        rows = outputs.verify_rows(outputs.next_offsets(outputs.read(bench.servers, contracts.INCOMING), incoming_ends))
        outputs.verify_against_load(rows, load)
        bundle_bytes = outputs.verify_bundles(
            outputs.next_offsets(outputs.read(bench.servers, contracts.PAYLOAD), payload_ends), rows
        )
        _verify_dead_letters(bench, load)

    measured = bench.measure("services.cheapest", group="cheapest", topic=contracts.INCOMING, ends=incoming_ends)
    figures["cheapest"] = _rates(measured, rows=good_rows)
    measured = bench.measure("services.compressor", group="compressor", topic=contracts.PAYLOAD, ends=payload_ends)
    figures["compressor"] = {
        "mb_per_s": bundle_bytes / 1e6 / measured["seconds"],
        "mb_per_cpu_s": bundle_bytes / 1e6 / measured["cpu_seconds"],
        "rss_mib": measured["rss_mib"],
    }
    with bench.console.status("checking quotes and gzip"):
        outputs.verify_cheapest(outputs.read(bench.servers, contracts.CHEAPEST), rows)
        outputs.verify_bundles(outputs.read(bench.servers, contracts.COMPRESSED), rows, compressed=True)
    figures["ingest"] = _measure_ingest(bench)
    if with_baseline:
        figures["transform"]["times_baseline"] = (
            figures["transform"]["rows_per_cpu_s"] / figures["baseline"]["rows_per_cpu_s"]
        )
    return figures


def _verify_dead_letters(bench: _Bench, load: list[Batch]) -> None:
    expected = (sum(not batch.readable for batch in load), sum(batch.bad_rows for batch in load))
    found = tuple(
        sum(1 for _ in outputs.read(bench.servers, topic))
        for topic in (contracts.EVENT_LOG_DLQ, contracts.INCOMING_DLQ)
    )
    if found != expected:
        raise BenchError(f"{found} batches and rows are dead-lettered instead of {expected}")


def _rates(measured: Figures, *, rows: int) -> Figures:
    return {
        "rows_per_s": rows / measured["seconds"],
        "rows_per_cpu_s": rows / measured["cpu_seconds"],
        "rss_mib": measured["rss_mib"],
    }


def _measure_ingest(bench: _Bench) -> Figures:
    large = [
        gzip.compress(_text(chance_rows, seed=seed), 1, mtime=0)
        for seed, chance_rows in enumerate((12_000, 20_000, 30_000, 40_000, 60_000))
    ]
    small = [batch.body for batch in batches(seed=7, rows=90, fewest=3, most=3)]
    figures: Figures = {}
    with bench.start("services.ingest") as service:
        service.wait_ready()
        for name, bodies, rate in (("large", large, "mb_per_s"), ("small", small, "requests_per_s")):
            with bench.console.status(f"ingest takes {name} bodies"):
                cpu = service.cpu_seconds()
                result = _post(service, bodies)
                cpu = service.cpu_seconds() - cpu
            figures[rate] = (
                result["bytes"] / 1e6 / result["seconds"] if name == "large" else result["requests"] / result["seconds"]
            )
            figures[f"{name}_cpu_share"] = cpu / result["seconds"]
            _verify_acknowledged(bench, result["acknowledged"])
        figures["rss_mib"] = service.peak_mib()
        service.stop()
    return figures


def _text(rows: int, *, seed: int) -> bytes:
    return b"".join(gzip.decompress(batch.body) for batch in batches(seed=seed, rows=rows, fewest=rows, most=rows))


def _post(service: ServiceProcess, bodies: list[bytes]) -> dict[str, Any]:
    host, port = service.address().split(":")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(number) for number in range(len(bodies))]
        for file, body in zip(files, bodies, strict=True):
            file.write_bytes(body)
        task = {
            "host": host,
            "port": int(port),
            "files": [str(file) for file in files],
            "connections": _CONNECTIONS,
            "seconds": _INGEST_SECONDS,
            "seed": 1,
        }
        done = subprocess.run(
            [sys.executable, "-m", "bench.http_client"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"the client failed:\n{done.stderr[-2000:]}\n{service.log()[-2000:]}", where="ingest")
    return json.loads(done.stdout)


def _verify_acknowledged(bench: _Bench, acknowledged: list[tuple[int, int, int]]) -> None:
    left = {(partition, offset): checksum for partition, offset, checksum in acknowledged}
    with bench.console.status("checking the event log"):
        for message in outputs.read(bench.servers, contracts.EVENT_LOG):
            checksum = left.pop((message.partition() or 0, message.offset() or 0), None)
            if checksum is not None and zlib.crc32(message.value() or b"") != checksum:
                raise BenchError(f"another body is at {message.partition()}/{message.offset()}", where="ingest")
    if left:
        raise BenchError(f"{len(left)} acknowledged bodies are missing", where="ingest")


def _print(figures: dict[str, Figures], *, rows: int, count: int) -> None:
    table = Table(title=f"{rows:,} rows in {count:,} batches, exactly once")
    table.add_column("service")
    table.add_column("figures")
    for service, values in figures.items():
        table.add_row(
            service, "  ".join(f"{name} {value:,.{1 if value < 1000 else 0}f}" for name, value in values.items())
        )
    Console().print(table)
