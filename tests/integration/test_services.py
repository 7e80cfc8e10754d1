"""The services on a real broker and registry that come, go, and refuse; and under hard memory limits."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,  # pyright: ignore[reportPrivateImportUsage]
    ConfigEntry,  # pyright: ignore[reportPrivateImportUsage]
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)
from services_stack import MIB, QUICK, Stack, post, running_stack

from bench import avro, outputs
from bench.load import batches
from services import contracts
from services.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.processes import ServiceProcess

pytestmark = pytest.mark.integration

GOOD = b"LHR,IST,2020-08-01,169.99,Y\n"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with running_stack(partitions=2) as running:
        yield running


def waiting_for(service: ServiceProcess) -> dict[str, str]:
    try:
        with urllib.request.urlopen(f"http://{service.address()}/readyz", timeout=5) as answer:
            return json.load(answer)["waiting_for"]
    except urllib.error.HTTPError as error:
        return json.load(error)["waiting_for"]


def wait_until(what: str, condition: Any, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen in {seconds} s")
        time.sleep(0.05)


def reasons(stack: Stack, topic: str) -> list[str]:
    found: list[str] = []
    for message in outputs.read(stack.broker.bootstrap_servers, topic):
        value = dict(message.headers() or [])[contracts.HEADER_REASON]
        assert isinstance(value, bytes)
        found.append(value.decode())
    return found


@pytest.mark.parametrize("native", ["true", "false"])
def test_two_instances_share_the_work_of_each_service(stack: Stack, native: str) -> None:
    load = batches(seed=2, rows=60_000, bad_share=0.3, most=3_000)
    services = [
        stack.start(name, {"NATIVE_ROWS": native}) for name in ("transform", "cheapest", "compressor") for _ in range(2)
    ]
    for service in services:
        service.wait_ready()
    stack.produce(contracts.EVENT_LOG, [batch.body for batch in load], partitions=2)
    stack.wait_committed("transform", contracts.EVENT_LOG)
    stack.wait_committed("cheapest", contracts.INCOMING)
    stack.wait_committed("compressor", contracts.PAYLOAD)
    worked = [service.metric("cflight_in_bytes_total") + service.metric("cflight_rows_total") for service in services]
    assert all(worked), worked
    wait_until("no lag", lambda: all(service.metric("cflight_lag_messages") <= 4 for service in services))
    for service in services:
        service.stop()
    stack.verify_all({batch.body: batch for batch in load})


def test_broker_and_registry_may_come_late_and_go(stack: Stack) -> None:
    load = batches(seed=3, rows=150_000, most=3_000)
    stack.broker.stop_registry()
    services = {name: stack.start(name, QUICK) for name in ("ingest", "transform", "cheapest", "compressor")}
    services["compressor"].wait_ready()
    for name in ("transform", "cheapest"):
        wait_until("waiting for the registry", lambda name=name: "registry" in waiting_for(services[name]))
    stack.broker.start_registry()
    for service in services.values():
        service.wait_ready()
    ingest = services["ingest"]
    url = f"http://{ingest.address()}"
    with stack.supervising(services, QUICK), httpx.Client(timeout=30, trust_env=False) as client:
        for number, batch in enumerate(load):
            if number in {len(load) // 3, 2 * len(load) // 3}:
                stack.broker.stop_kafka(kill=number > len(load) // 2)
                wait_until("ingest is not ready", lambda: waiting_for(ingest))
                assert client.post(f"{url}/batches", content=batch.body).status_code == 503
                stack.broker.start_kafka()
            wait_until("a body is taken", lambda batch=batch: post(client, url, batch.body) is not None)
        stack.wait_committed("transform", contracts.EVENT_LOG)
        stack.wait_committed("cheapest", contracts.INCOMING)
        stack.wait_committed("compressor", contracts.PAYLOAD)
    for service in services.values():
        wait_until("ready again", lambda service=service: not waiting_for(service))
        service.stop()
    stack.verify_all({batch.body: batch for batch in load})


def test_what_the_broker_refuses_blocks_nothing(stack: Stack) -> None:
    admin: Any = AdminClient({"bootstrap.servers": stack.broker.bootstrap_servers})
    entry = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, contracts.INCOMING_DLQ, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    bad_row = gzip.compress(GOOD + b"%r\n" % os.urandom(40_000) + GOOD)
    transform = stack.start("transform", {"COMPRESSION": "none"})
    stack.produce(
        contracts.EVENT_LOG, [*([gzip.compress(GOOD)] * 5), bad_row, *([gzip.compress(GOOD)] * 5)], partitions=1
    )
    stack.wait_committed("transform", contracts.EVENT_LOG)
    transform.stop()
    assert reasons(stack, contracts.EVENT_LOG_DLQ) == [Reason.REFUSED_BY_BROKER.value]
    [letter] = outputs.read(stack.broker.bootstrap_servers, contracts.EVENT_LOG_DLQ)
    assert letter.value() == bad_row
    assert stack.count(contracts.INCOMING) == stack.count(contracts.PAYLOAD) == 10
    assert stack.count(contracts.INCOMING_DLQ) == 0


def test_rows_of_others_are_answered_and_rubbish_is_dead_lettered(stack: Stack) -> None:
    schema = {
        "type": "record",
        "name": "Other",
        "fields": [
            {"name": name, "type": ["null", kind]} for name, kind in (("GBPPRICE", "double"), ("UUID", "string"))
        ],
    }
    registered = httpx.post(
        f"{stack.broker.schema_registry_url}/subjects/other-value/versions",
        json={"schema": json.dumps(schema)},
        trust_env=False,
    ).json()

    def row(price: float | None, row_id: str) -> bytes:
        record = {"GBPPRICE": price, "UUID": row_id}
        return contracts.wire_prefix(registered["id"]) + avro.encode(record, schema=json.dumps(schema))

    producer = Producer({"bootstrap.servers": stack.broker.bootstrap_servers})
    for key, value in (
        ("b1", row(5, "u1")),
        ("b2", row(9, "u2")),
        ("b1", row(4, "u3")),
        ("b2", row(9, "u4")),
        ("b1", row(4, "u5")),
        ("b3", b"rubbish"),
        ("b3", contracts.wire_prefix(999_999) + b"x"),
        ("b3", row(None, "u6")),
        (None, row(1, "u7")),
        (b"\xff", row(1, "u8")),
        ("b4", None),
    ):
        producer.produce(contracts.INCOMING, value=value, key=key, partition=0)
    producer.flush()
    cheapest = stack.start("cheapest")
    stack.wait_committed("cheapest", contracts.INCOMING)

    def answers() -> dict[str, tuple[float, str]]:
        found: dict[str, tuple[float, str]] = {}
        for message in outputs.read(stack.broker.bootstrap_servers, contracts.CHEAPEST):
            record = avro.decode(message.value(), schema=contracts.CHEAPEST_SCHEMA)
            found[record["BATCHUUID"]] = (record["CHEAPEST_QUOTE"], record["UUID"])
        return found

    wait_until("both are answered", lambda: answers() == {"b1": (4.0, "u3"), "b2": (9.0, "u2")})
    # A cheaper row that comes later, after a kill, changes the answer: what was known travelled with the offset.
    os.kill(cheapest.pid, signal.SIGKILL)
    cheapest = stack.start("cheapest", QUICK)
    for price, row_id in ((8.0, "u9"), (8.5, "u10")):
        producer.produce(contracts.INCOMING, value=row(price, row_id), key="b2", partition=0)
    producer.flush()
    wait_until("the answer changes", lambda: answers() == {"b1": (4.0, "u3"), "b2": (8.0, "u9")})
    cheapest.stop()
    assert sorted(reasons(stack, contracts.INCOMING_DLQ)) == sorted(
        ["not-avro", "unknown-schema", "price", "no-key", "no-key", "not-avro"]
    )


def test_no_service_runs_out_of_128_mib(stack: Stack) -> None:
    load = batches(seed=4, rows=800_000, fewest=20_000, most=20_000)
    large = {
        rows: gzip.compress(b"".join(b"LHR,IST,2020-08-01,%d.%02d,Y\n" % (20 + n % 3000, n % 100) for n in range(rows)))
        for rows in (140_000, 200_000)
    }
    services = {name: stack.start(name, memory=128 * MIB) for name in ("ingest", "transform", "cheapest", "compressor")}
    for service in services.values():
        service.wait_ready()
        assert service.metric("cflight_memory_limit_bytes") == 128 * MIB
    url = f"http://{services['ingest'].address()}"
    with httpx.Client(timeout=60, trust_env=False) as client:
        for body in [*(batch.body for batch in load), *large.values()]:
            wait_until("a body is taken", lambda body=body: post(client, url, body) is not None)
    stack.wait_committed("transform", contracts.EVENT_LOG)
    stack.wait_committed("cheapest", contracts.INCOMING)
    stack.wait_committed("compressor", contracts.PAYLOAD)
    for service in services.values():
        assert service.peak_mib() < 128
        service.stop()
    assert reasons(stack, contracts.EVENT_LOG_DLQ) == [Reason.BUNDLE_TOO_LONG.value]
    assert stack.count(contracts.INCOMING) == sum(batch.rows for batch in load) + 140_000
    assert stack.count(contracts.COMPRESSED) == stack.count(contracts.CHEAPEST) == len(load) + 1
