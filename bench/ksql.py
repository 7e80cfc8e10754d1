"""The embedded KSQL engine with the project's statements: rows per second and per CPU-second, under a memory limit.

The table that it makes is compared with the first cheapest row of every batch, as the row-by-row service gives it.
"""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import io
import json
import math
import random
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import fastavro
import httpx
import typer
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.progress import Progress

from bench import outputs
from bench.broker import Broker
from bench.errors import BenchError
from bench.load import FEWEST_ROWS, MOST_ROWS
from bench.outputs import BatchRows
from bench.processes import ServiceProcess
from ksql.client import KsqlClient
from ksql.registrar import Registrar
from ksql.statements import read_folder
from services import contracts

_MIB = 1024 * 1024
_STATEMENTS = Path(__file__).parent.parent / "ksql"
_DEADLINE_SECONDS = 600
_ID_DIGITS = 32


@dataclass(kw_only=True)
class Load:
    """What was written to the incoming topic.

    Attributes:
        rows: how many rows.
        batches: the first cheapest row of every batch.
        ends: the offset after the last row, by partition.
    """

    rows: int = 0
    batches: dict[str, BatchRows] = field(default_factory=dict[str, BatchRows])
    ends: dict[int, int] = field(default_factory=dict[int, int])


def main(
    *,
    json_output: Annotated[bool, typer.Option("--json", help="print the figures as one JSON object")] = False,
    rows: Annotated[int, typer.Option(help="the rows of the load")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="of the load")] = 1,
    partitions: Annotated[int, typer.Option(help="of the incoming topic")] = 4,
    memory: Annotated[int, typer.Option(help="hard limit of the engine in MiB, 0 for none")] = 256,
) -> None:
    """Measure the project's table on the embedded engine, and check it."""
    console = Console(stderr=True, quiet=json_output and not sys.stderr.isatty())
    with Broker() as broker:
        _topics(broker.bootstrap_servers, partitions)
        load = _produce(broker, rows=rows, seed=seed, console=console)
        figures = _measure(broker, load, memory=memory * _MIB, console=console)
        _verify(broker.bootstrap_servers, load)
    if json_output:
        typer.echo(json.dumps(figures, indent=1))
    else:
        Console().print("  ".join(f"{name} {value:,.{1 if value < 1000 else 0}f}" for name, value in figures.items()))


def _topics(servers: str, partitions: int) -> None:
    settings = {"retention.ms": "-1", "max.message.bytes": str(contracts.MAX_MESSAGE_BYTES)}
    topic = NewTopic(contracts.INCOMING, num_partitions=partitions, replication_factor=1, config=settings)
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics([topic]).values():
        future.result()


def _produce(broker: Broker, *, rows: int, seed: int, console: Console) -> Load:
    answer = httpx.post(
        f"{broker.schema_registry_url}/subjects/{contracts.INCOMING}-value/versions",
        json={"schema": contracts.ROW_SCHEMA},
        timeout=30,
    )
    header = b"\0" + int(answer.raise_for_status().json()["id"]).to_bytes(4, "big")
    schema: Any = fastavro.parse_schema(json.loads(contracts.ROW_SCHEMA))
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    load = Load()
    settings: dict[str, Any] = {
        "bootstrap.servers": broker.bootstrap_servers,
        "partitioner": contracts.PARTITIONER,
        "linger.ms": 20,
        "queue.buffering.max.messages": 500_000,
    }
    producer = Producer(settings)

    def delivered(error: object, message: Any) -> None:
        if error is not None:
            raise BenchError(f"the load cannot be written: {error}")
        load.ends[message.partition()] = max(load.ends.get(message.partition(), 0), message.offset() + 1)

    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("writing the load", total=rows)
        while load.rows < rows:
            batch_id = f"{chance.getrandbits(128):0{_ID_DIGITS}x}"
            expected = load.batches[batch_id] = BatchRows()
            count = round(math.exp(chance.uniform(math.log(FEWEST_ROWS), math.log(MOST_ROWS))))
            for _ in range(count):
                record = _row(chance, batch_id)
                if record["gbpprice"] < expected.cheapest[0]:
                    expected.cheapest = (record["gbpprice"], record["uuid"])
                buffer = io.BytesIO(header)
                buffer.seek(len(header))
                fastavro.schemaless_writer(buffer, schema, record)
                while True:
                    try:
                        producer.produce(
                            contracts.INCOMING, key=batch_id, value=buffer.getvalue(), on_delivery=delivered
                        )
                    except BufferError:
                        producer.poll(0.1)
                    else:
                        break
            load.rows += count
            progress.advance(task, count)
        if producer.flush(60):
            raise BenchError("the load cannot be written")
    return load


def _row(chance: random.Random, batch_id: str) -> dict[str, Any]:
    return {
        "depiata": chance.choice(("LHR", "CDG", "JFK")),
        "arriata": chance.choice(("IST", "DXB", "SIN")),
        "searchdate": "2020-08-01",
        # Few different prices, so that many batches have their lowest more than once.
        "gbpprice": chance.randrange(2000, 90000) / 100,
        "paxclass": "Y",
        "uuid": f"{chance.getrandbits(128):0{_ID_DIGITS}x}",
        "batchuuid": batch_id,
        "timestamp": "2020-08-01T09:00:00",
    }


def _measure(broker: Broker, load: Load, *, memory: int, console: Console) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="cflight-bench-", ignore_cleanup_errors=True) as folder:
        port = _free_port()
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": broker.schema_registry_url,
            "KSQL_STATE_FOLDER": folder,
            "HTTP_PORT": str(port),
        }
        with ServiceProcess("ksql.engine", environment=environment, memory=memory) as engine:
            client = KsqlClient(url=f"http://127.0.0.1:{port}")
            with console.status("starting the engine"):
                client.wait_until_ready(seconds=60)
            cpu, started = engine.cpu_seconds(), time.monotonic()
            Registrar(client=client, statements=read_folder(_STATEMENTS)).apply()
            (query,) = client.queries()
            group = client.explain(query["id"])["consumerGroupId"]
            finished = _wait(broker.bootstrap_servers, group=group, load=load, engine=engine, console=console)
            seconds, cpu = finished - started, engine.cpu_seconds() - cpu
            figures = {
                "rows": float(load.rows),
                "batches": float(len(load.batches)),
                "rows_per_s": load.rows / seconds,
                "rows_per_cpu_s": load.rows / cpu,
                "rss_mib": engine.peak_mib(),
            }
            client.close()
            engine.stop()
    return figures


def _wait(servers: str, *, group: str, load: Load, engine: ServiceProcess, console: Console) -> float:
    admin = AdminClient({"bootstrap.servers": servers})
    places = [TopicPartition(contracts.INCOMING, partition) for partition in load.ends]
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("the engine is working", total=sum(load.ends.values()))
        while time.monotonic() < deadline:
            (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
            found = {place.partition: max(place.offset, 0) for place in future.result(30).topic_partitions}
            progress.update(task, completed=sum(found.values()))
            if all(found.get(partition, 0) >= end for partition, end in load.ends.items()):
                return time.monotonic()
            if not engine.running:
                raise BenchError(f"ended:\n{engine.log()[-2000:]}", where="ksql.engine")
            time.sleep(0.05)
    raise BenchError(f"does not get done:\n{engine.log()[-2000:]}", where="ksql.engine")


def _verify(servers: str, load: Load) -> None:
    schema: Any = fastavro.parse_schema(json.loads(contracts.CHEAPEST_SCHEMA))
    latest: dict[str, tuple[float, str]] = {}
    for message in outputs.read(servers, contracts.CHEAPEST):
        record: Any = fastavro.schemaless_reader(io.BytesIO((message.value() or b"")[5:]), schema, None)
        batch_id = (message.key() or b"").decode()
        if record["BATCHUUID"] != batch_id:
            raise BenchError(f"the quote of {batch_id} says that it is of {record['BATCHUUID']}")
        latest[batch_id] = (record["CHEAPEST_QUOTE"], record["UUID"])
    expected = {batch_id: batch.cheapest for batch_id, batch in load.batches.items()}
    wrong = {batch_id for batch_id in expected.keys() | latest.keys() if expected.get(batch_id) != latest.get(batch_id)}
    if wrong:
        one = min(wrong)
        raise BenchError(f"{len(wrong)} quotes are wrong: {one} is {latest.get(one)}, not {expected.get(one)}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
