"""A broker and service processes for the services' integration tests."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bench import outputs
from bench.broker import Broker
from bench.processes import ServiceProcess
from bench.topics import create_topics
from infra.errors import NotAvailableError
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from bench.load import Batch

MIB = 1024 * 1024
ALL_TOPICS = (
    contracts.EVENT_LOG,
    contracts.EVENT_LOG_DLQ,
    contracts.PAYLOAD,
    contracts.INCOMING,
    contracts.INCOMING_DLQ,
    contracts.COMPRESSED,
    contracts.CHEAPEST,
)
# Short, so that what is killed is soon taken over; the broker allows no session below 6 s.
QUICK = {"SESSION_TIMEOUT_MS": "6000", "TRANSACTION_TIMEOUT_MS": "6000"}


class Stack:
    """Kafka, the registry and services on them."""

    def __init__(self, broker: Broker, exits: ExitStack) -> None:
        self.broker = broker
        self._exits = exits
        self._started: list[ServiceProcess] = []

    def start(
        self, service: str, environment: Mapping[str, str] | None = None, *, memory: int = 128 * MIB
    ) -> ServiceProcess:
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": self.broker.schema_registry_url,
            **(environment or {}),
        }
        started = ServiceProcess(f"services.{service}", environment=variables, memory=memory)
        self._started.append(started)
        return self._exits.enter_context(started)

    @contextmanager
    def supervising(self, services: dict[str, ServiceProcess], environment: Mapping[str, str]) -> Generator[None]:
        """Start a service again when it has given up on its Kafka library, as whoever supervises it would."""
        done = threading.Event()
        wrong: list[str] = []

        def watch() -> None:
            while not done.wait(0.2):
                for name, service in list(services.items()):
                    if service.exit_code == os.EX_SOFTWARE:
                        services[name] = self.start(name, environment)
                    elif service.exit_code is not None:
                        wrong.append(f"{name} ended with {service.exit_code}: {service.log()[-1000:]}")
                        return

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        assert not wrong

    def logs(self) -> str:
        """Return the ends of the logs of all services that still run, for the report of a failed test."""
        running = [service for service in self._started if service.running]
        return "\n".join(f"--- {service.module} {service.pid}\n{service.log()[-4000:]}" for service in running)

    def produce(self, topic: str, values: list[bytes], *, partitions: int) -> None:
        producer = Producer({"bootstrap.servers": self.broker.bootstrap_servers, "message.max.bytes": 20 * MIB})
        for number, value in enumerate(values):
            producer.produce(topic, value=value, partition=number % partitions)
        assert producer.flush(30) == 0

    def wait_committed(self, group: str, topic: str, *, seconds: float = 120) -> None:
        """Wait until a group has read all that is in a topic now."""
        ends: dict[int, int] = {}
        for _ in outputs.next_offsets(outputs.read(self.broker.bootstrap_servers, topic), ends):
            pass
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap_servers, "group.id": group})
        deadline = time.monotonic() + seconds
        partitions = [TopicPartition(topic, partition) for partition in ends]
        committed: dict[int, int] = {}
        while time.monotonic() < deadline:
            try:
                committed = {part.partition: part.offset for part in consumer.committed(partitions, 10)}
            except KafkaException:
                time.sleep(0.2)
                continue
            if all(committed[partition] >= end for partition, end in ends.items()):
                consumer.close()
                return
            time.sleep(0.1)
        pytest.fail(f"{group} committed {committed} of {ends}")

    def count(self, topic: str) -> int:
        return sum(1 for _ in outputs.read(self.broker.bootstrap_servers, topic))

    def verify_all(self, by_body: dict[bytes, Batch], *, with_quotes: bool = True) -> None:
        """Check that each record of the event log led to all that it should, exactly once."""
        servers = self.broker.bootstrap_servers
        logged = [by_body[message.value() or b""] for message in outputs.read(servers, contracts.EVENT_LOG)]
        rows = outputs.verify_rows(outputs.read(servers, contracts.INCOMING))
        outputs.verify_against_load(rows, logged)
        outputs.verify_bundles(outputs.read(servers, contracts.PAYLOAD), rows)
        refused = Counter(message.value() for message in outputs.read(servers, contracts.EVENT_LOG_DLQ))
        assert refused == Counter(batch.body for batch in logged if not batch.readable)
        places: Counter[tuple[object, ...]] = Counter()
        for message in outputs.read(servers, contracts.INCOMING_DLQ):
            headers = dict(message.headers() or [])
            places[
                headers[contracts.HEADER_PARTITION], headers[contracts.HEADER_OFFSET], headers[contracts.HEADER_LINE]
            ] += 1
        assert places.total() == sum(batch.bad_rows for batch in logged)
        assert set(places.values()) <= {1}
        if with_quotes:
            outputs.verify_cheapest(outputs.read(servers, contracts.CHEAPEST), rows)
            outputs.verify_bundles(outputs.read(servers, contracts.COMPRESSED), rows, compressed=True)


@contextmanager
def running_stack(*, partitions: int) -> Generator[Stack]:
    """Run a broker with all topics; skip the test where the local parts are not installed."""
    try:
        broker = Broker()
    except NotAvailableError as error:
        pytest.skip(str(error))
    with broker, ExitStack() as exits:
        stack = Stack(broker, exits)
        create_topics(broker.bootstrap_servers, ALL_TOPICS, partitions=partitions)
        try:
            yield stack
        finally:
            sys.stdout.write(stack.logs())


def post(client: httpx.Client, url: str, body: bytes) -> dict[str, object] | None:
    """Post a body; None if the service is away or busy."""
    try:
        answer = client.post(f"{url}/batches", content=body)
    except httpx.TransportError:
        return None
    if answer.status_code == 202:
        return answer.json()
    assert answer.status_code in {429, 503}, answer.text
    return None
