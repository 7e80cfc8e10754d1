"""The connector resource against a real worker: made, seen, mended and removed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # pyright: ignore[reportPrivateImportUsage]

from golden.connect import ConnectWorker
from golden.sink_servers import ACCESS_KEY, SinkServers, sink_servers
from infra.errors import ResourceError
from infra.provider.handler import IncompleteError
from infra.provider.progress import Progress
from infra.resources.connector import ConnectorHandler, ConnectorInputs
from infra.sinks import for_embedded_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.integration

NAME = "quotes.sink"
HANDLER = ConnectorHandler()


@pytest.fixture(scope="module")
def servers() -> Iterator[SinkServers]:
    with sink_servers() as running:
        admin = AdminClient({"bootstrap.servers": running.bootstrap_servers})
        admin.create_topics([NewTopic("quotes", 2, 1)])["quotes"].result(30)
        yield running


@pytest.fixture
def worker(servers: SinkServers) -> Iterator[ConnectWorker]:
    client = ConnectWorker(servers.connect_url)
    yield client
    client.delete(NAME)


@pytest.fixture(autouse=True)
def bucket(servers: SinkServers) -> Any:
    s3: Any = boto3.client(
        "s3",
        endpoint_url=servers.s3_endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=servers.s3_secret_key,
        region_name="us-east-1",
    )
    if "quotes" not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="quotes")
    return s3


@pytest.fixture
def progress() -> Progress:
    return Progress(report=lambda _: None, cancelled=threading.Event())


def inputs(
    servers: SinkServers,
    changes: Mapping[str, str] | None = None,
    *,
    state: str = "RUNNING",
    delete_offsets: bool = False,
) -> ConnectorInputs:
    config = {
        "connector.class": "io.confluent.connect.s3.S3SinkConnector",
        "tasks.max": "2",
        "topics": "quotes",
        "s3.bucket.name": "quotes",
        "s3.region": "us-east-1",
        "store.url": servers.s3_endpoint,
        "aws.access.key.id": ACCESS_KEY,
        "storage.class": "io.confluent.connect.s3.storage.S3Storage",
        "format.class": "io.confluent.connect.s3.format.bytearray.ByteArrayFormat",
        "flush.size": "1",
        **(changes or {}),
    }
    return ConnectorInputs(
        connect_url=servers.connect_url,
        connector=NAME,
        config=for_embedded_plugin(config),
        secrets={"aws.secret.access.key": servers.s3_secret_key},
        state=state,  # pyright: ignore[reportArgumentType]
        delete_offsets=delete_offsets,
    )


def drift(declared: ConnectorInputs) -> set[str]:
    """Return the inputs that a refresh finds changed."""
    state = HANDLER.read(NAME, inputs=declared, outputs={})
    assert state is not None
    change = HANDLER.diff(NAME, old=state.inputs, new=declared.model_dump(), outputs={})
    return set(change.changed)


def states(worker: ConnectWorker) -> list[str]:
    status = worker.status(NAME)
    assert status is not None
    return [status["connector"]["state"], *(task["state"] for task in status["tasks"])]


@pytest.mark.usefixtures("worker")
def test_every_bad_property_is_named(servers: SinkServers) -> None:
    failures = {
        failure.name: failure.reason
        for failure in HANDLER.validate(inputs(servers, {"s3.part.size": "1", "flush.size": "many"}))
    }
    assert "at least: 5242880" in failures["config.s3.part.size"]
    assert "Not a number" in failures["config.flush.size"]
    assert not list(HANDLER.validate(inputs(servers)))


def test_an_unknown_plugin_is_named(servers: SinkServers) -> None:
    (failure,) = HANDLER.validate(inputs(servers, {"connector.class": "com.example.Nope"}))
    assert failure.name == "config.connector.class"
    assert "com.example.Nope" in failure.reason


def test_a_worker_that_cannot_be_reached_is_not_asked(servers: SinkServers) -> None:
    away = inputs(servers).model_copy(update={"connect_url": "http://127.0.0.1:1"})
    assert not list(HANDLER.validate(away))
    with pytest.raises(ResourceError, match="does not answer"):
        HANDLER.read(NAME, inputs=away, outputs={})


def test_making_it_again_changes_nothing(servers: SinkServers, worker: ConnectWorker, progress: Progress) -> None:
    declared = inputs(servers)
    HANDLER.create(declared, progress=progress)
    assert states(worker) == ["RUNNING", "RUNNING", "RUNNING"]
    assert drift(declared) == set()
    HANDLER.create(declared, progress=progress)
    assert drift(declared) == set()


def test_drift_is_seen_and_mended(servers: SinkServers, worker: ConnectWorker, progress: Progress) -> None:
    declared = inputs(servers)
    HANDLER.create(declared, progress=progress)

    def mend() -> None:
        HANDLER.update(NAME, old={}, new=declared, outputs={}, progress=progress)
        assert drift(declared) == set()
        assert states(worker) == ["RUNNING", "RUNNING", "RUNNING"]

    changed = {**declared.whole_config(), "flush.size": "7"}
    worker.put_config(NAME, changed).raise_for_status()
    assert drift(declared) == {"config"}
    mend()
    worker.request("PUT", f"/connectors/{NAME}/pause").raise_for_status()
    progress.wait("it to pause", lambda: None if "PAUSED" in states(worker) else "no", seconds=30)
    assert drift(declared) == {"state"}
    mend()
    worker.stop(NAME)
    assert drift(declared) == {"state"}
    mend()
    worker.delete(NAME)
    assert HANDLER.read(NAME, inputs=declared, outputs={}) is None
    HANDLER.create(declared, progress=progress)
    assert drift(declared) == set()


def test_the_secret_is_no_difference_but_a_new_one_is(
    servers: SinkServers, worker: ConnectWorker, progress: Progress
) -> None:
    declared = inputs(servers)
    HANDLER.create(declared, progress=progress)
    state = HANDLER.read(NAME, inputs=declared, outputs={})
    assert state is not None
    assert "aws.secret.access.key" not in state.inputs["config"]
    worker.put_config(NAME, {**declared.whole_config(), "aws.secret.access.key": "other"}).raise_for_status()
    assert drift(declared) == {"secrets"}


def test_a_failed_task_tells_why_and_is_mended(
    servers: SinkServers, worker: ConnectWorker, progress: Progress, bucket: Any
) -> None:
    declared = inputs(servers, {"s3.bucket.name": "comes-later"})
    with pytest.raises(IncompleteError, match="Non-existent S3 bucket: comes-later"):
        HANDLER.create(declared, progress=progress)
    assert drift(declared) == {"state"}
    bucket.create_bucket(Bucket="comes-later")
    HANDLER.update(NAME, old={}, new=declared, outputs={}, progress=progress)
    assert states(worker) == ["RUNNING", "RUNNING", "RUNNING"]


@pytest.mark.parametrize("state", ["PAUSED", "STOPPED"])
def test_it_can_be_made_without_running(
    servers: SinkServers, worker: ConnectWorker, progress: Progress, state: str
) -> None:
    declared = inputs(servers, state=state)
    HANDLER.create(declared, progress=progress)
    assert set(states(worker)) == {state}
    assert drift(declared) == set()
    HANDLER.update(NAME, old={}, new=inputs(servers), outputs={}, progress=progress)
    assert states(worker) == ["RUNNING", "RUNNING", "RUNNING"]


@pytest.mark.parametrize("delete_offsets", [True, False])
def test_deleting_it_may_forget_its_offsets(
    servers: SinkServers, progress: Progress, bucket: Any, *, delete_offsets: bool
) -> None:
    for entry in bucket.list_objects_v2(Bucket="quotes").get("Contents", []):
        bucket.delete_object(Bucket="quotes", Key=entry["Key"])
    declared = inputs(servers, delete_offsets=delete_offsets)
    HANDLER.create(declared, progress=progress)
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "log_level": 0})
    producer.produce("quotes", b"one")
    producer.flush(30)
    progress.wait(
        "an object", lambda: None if bucket.list_objects_v2(Bucket="quotes")["KeyCount"] else "none", seconds=60
    )
    HANDLER.delete(NAME, inputs=declared, outputs={}, progress=progress)
    assert HANDLER.read(NAME, inputs=declared, outputs={}) is None
    HANDLER.delete(NAME, inputs=declared, outputs={}, progress=progress)
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    # A client that has not asked for the brokers yet finds no groups.
    admin.list_topics(timeout=30)
    groups = admin.list_consumer_groups().result(30)
    left = {group.group_id for group in groups.valid}
    assert (f"connect-{NAME}" in left) is not delete_offsets
