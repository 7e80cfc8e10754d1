"""Replays recorded runs of the Confluent S3 sink against the embedded one, in a real Connect worker.

Every case gets its topics, its bucket and its connector, and leaves nothing to the next. Compared are the objects
(keys; bytes, or what is in them where bytes are random or a matter of the compressor), the answers of the worker,
the state of connector and tasks with the first line and the causes of a trace, the dead letters, and the offsets
that are committed when the connector stops.
"""

# The cases are JSON of many shapes, and confluent-kafka's types are only partly annotated.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import boto3
import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from golden.avro import encode, written
from golden.connect import ConnectWorker, offset_of
from golden.errors import CasesError
from golden.report import Report
from golden.sink_servers import ACCESS_KEY, sink_servers
from infra.sinks import embedded_names, for_embedded_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from golden.sink_servers import SinkServers

_PATIENCE_SECONDS = 60.0
_SETTLE_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_NO_BUCKET = "Non-existent S3 bucket"
# Ids that a store gives to a request, in messages of the AWS SDK.
_REQUEST_IDS = re.compile(r",? ?(?:Extended )?Request ID: [^,)]*|,? ?SDK Attempt Count: \d+")
_VOLATILE_HEADERS = {"__connect.errors.exception.stacktrace"}
_VOLATILE_KEYS = {"connector.plugin.version"}


def run(folder: Path) -> Report:
    """Replay the cases of a folder.

    Args:
        folder: one JSON file a case.

    Returns:
        What differed.

    Raises:
        CasesError: there are no cases in the folder.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise CasesError("there are no cases", where=str(folder), remedy="Give a folder of *.json files.")
    report = Report()
    with sink_servers() as servers:
        for file in files:
            case = json.loads(file.read_text(encoding="utf-8"))
            report.add(case.get("name", file.stem), Replay(servers=servers, case=case).run())
    return report


@dataclass(kw_only=True)
class Replay:
    """One case.

    Attributes:
        servers: where it is replayed.
        case: as recorded.
        differences: what was not as recorded, so far.
    """

    servers: SinkServers
    case: dict[str, Any]
    differences: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._worker = ConnectWorker(self.servers.connect_url)
        self._s3: S3Client = boto3.client(
            "s3",
            endpoint_url=self.servers.s3_endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=self.servers.s3_secret_key,
            region_name="us-east-1",
        )
        self._admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers, "log_level": 0})

    def run(self) -> list[str]:
        """Replay it and return the differences."""
        try:
            if "exchanges" in self.case:
                self._exchanges()
            elif "keys" in self.case:
                self._config_keys()
            elif "runs" in self.case:
                self._runs()
            else:
                self._connector_case()
        except Exception as error:  # noqa: BLE001 - a case that cannot be replayed is one that differs
            self.differences.append(f"{type(error).__name__}: {error}")
        finally:
            self._clear()
        return self.differences

    # -- kinds of cases

    def _connector_case(self) -> None:
        case = self.case
        records = case["records"]
        first = case["midway"]["after_records"] if "midway" in case else len(records)
        self._make_topics(case["topics"])
        self._make_bucket(case["connector"], recorded=case.get("connector_status"))
        self._produce(records[:first])
        answer = self._register(case["connector"])
        self._compare_answer(answer, case["create_response"])
        if case.get("connector_status") is None:
            return
        if "midway" in case:
            self._midway(case["midway"])
            self._produce(records[first:])
        name = case["connector"]["name"]
        bucket = case["connector"]["s3.bucket.name"]
        self._await_end(name, bucket, recorded=case)
        self._compare_status(self._worker.status(name), case["connector_status"])
        if "dlq" in case:
            self._compare_dead_letters(case["connector"], case["dlq"])
        self._worker.stop(name)
        self._compare_objects(bucket, case.get("objects") or [])
        recorded = case.get("committed_offsets_after_stop") or {}
        if "offsets" in recorded:
            expected = sorted(offset_of(entry) for entry in recorded["offsets"])
            self._compare("committed offsets", self._worker.offsets(name), expected)

    def _midway(self, midway: dict[str, Any]) -> None:
        name = self.case["connector"]["name"]
        bucket = self.case["connector"]["s3.bucket.name"]
        self._wait(lambda: set(self._keys(bucket)) >= set(midway["objects"]), what="the objects midway")
        self._compare("objects midway", self._keys(bucket), sorted(midway["objects"]))
        action = str(midway.get("action", "SIGKILL")).lower()
        if "task" in action and "restart" in action:
            path = f"/connectors/{name}/restart?includeTasks=true"
            self._worker.request("POST", path).raise_for_status()
            return
        self.servers.stop("connect", kill="kill" in action)
        self.servers.start("connect")
        self.servers.wait_for_worker()

    def _exchanges(self) -> None:
        for exchange in self.case["exchanges"]:
            where = exchange["case"]
            body = for_embedded_plugin(self._filled(exchange["request_body"]))
            answer = self._worker.request(exchange["method"], _translated(exchange["path"]), body)
            self._compare(f"{where}: status", answer.status_code, exchange["status"])
            found = _with_confluent_names(answer.json())
            if "configs" in found:
                found = {
                    "name": found["name"],
                    "error_count": found["error_count"],
                    "configs_with_errors": _errors(found),
                }
            expected = exchange["response"]
            if "configs_with_errors" in expected:
                expected = {
                    **expected,
                    "configs_with_errors": sorted(expected["configs_with_errors"], key=lambda entry: entry["name"]),
                }
            self._compare(where, found, self._filled(expected))
            if "put_connector_response" in exchange:
                answer = self._worker.put_config("validate-me", {**body, "name": "validate-me"})
                self._compare_answer(answer, exchange["put_connector_response"], where=f"{where}: PUT config")
                self._worker.delete("validate-me")

    def _config_keys(self) -> None:
        answer = self._worker.request("GET", f"/connector-plugins/{_translated(self.case['plugin'])}/config")
        found = {entry["name"]: entry for entry in _with_confluent_names(answer.json())}
        for expected in self.case["keys"]:
            name = expected["name"]
            actual = found.get(name)
            if actual is None:
                self.differences.append(f"there is no key {name}")
                continue
            compared = ["type", "required", *([] if name in _VOLATILE_KEYS else ["default_value"])]
            self._compare(name, {key: actual[key] for key in compared}, {key: expected[key] for key in compared})

    def _runs(self) -> None:
        self._make_topics(self.case["topics"])
        self._produce(self.case["records"])
        for recorded in self.case["runs"]:
            config = recorded["connector"]
            name, bucket = config["name"], config["s3.bucket.name"]
            if bucket:
                self._make_bucket(config, recorded=recorded.get("connector_status"))
            answer = self._register(config)
            where = f"{recorded['case']}: "
            self._compare(f"{where}status of PUT config", answer.status_code, recorded["create_status"])
            if recorded.get("connector_status") is not None:
                self._await_end(name, bucket, recorded=recorded)
                self._compare_status(self._worker.status(name), recorded["connector_status"], where=where)
            keys = [entry["key"] for entry in recorded["objects"]]
            self._compare(f"{where}objects", self._keys(bucket), sorted(keys))
            self._worker.delete(name)
            self._empty(bucket)

    # -- doing

    def _filled(self, value: Any) -> Any:
        text = json.dumps(value)
        places = {
            "s3_endpoint": self.servers.s3_endpoint,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": self.servers.s3_secret_key,
            "schema_registry_url": self.servers.schema_registry_url,
            "bootstrap": self.servers.bootstrap_servers,
        }
        for name, place in places.items():
            text = text.replace(f"${{{name}}}", place)
        return json.loads(text)

    def _register(self, config: Mapping[str, str]) -> Any:
        filled = for_embedded_plugin(self._filled(config))
        return self._worker.put_config(config["name"], filled)

    def _make_topics(self, topics: Sequence[Mapping[str, Any]]) -> None:
        new = [
            NewTopic(topic["name"], topic["partitions"], 1, config={"retention.ms": "-1", **topic.get("config", {})})
            for topic in topics
        ]
        for future in self._admin.create_topics(new).values():
            future.result(30)

    def _make_bucket(self, config: Mapping[str, str], *, recorded: Mapping[str, Any] | None) -> None:
        bucket = config["s3.bucket.name"]
        missing = recorded is not None and _NO_BUCKET in json.dumps(recorded)
        if not missing and bucket not in {entry.get("Name") for entry in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=bucket)

    def _produce(self, records: Sequence[Mapping[str, Any]]) -> None:
        producer = Producer({
            "bootstrap.servers": self.servers.bootstrap_servers,
            "message.max.bytes": 16 << 20,
            "linger.ms": 0,
        })  # fmt: skip
        for record in records:
            producer.produce(
                record["topic"],
                key=self._bytes(record, "key"),
                value=self._bytes(record, "value"),
                partition=record["partition"],
                timestamp=record["timestamp"],
                headers=[(name, _unbase64(value)) for name, value in record.get("headers") or []],
            )
            # One after the other: the order of production is that of the schemas' registration, too.
            if producer.flush(30):
                raise TimeoutError("Kafka took no record within 30 s")

    def _bytes(self, record: Mapping[str, Any], part: str) -> bytes | None:
        avro = record.get("avro") if part == "value" else record.get("key_avro")
        if avro is not None:
            subject = f"{record['topic']}-{part}"
            return encode(avro, url=self.servers.schema_registry_url, subject=subject)
        if part == "value" and "value_generator" in record:
            generator = record["value_generator"]
            digest = hashlib.sha256(str(generator["i"]).encode()).digest()
            return (digest * (generator["size"] // len(digest) + 1))[: generator["size"]]
        return _unbase64(record.get(f"{part}_b64"))

    def _await_end(self, name: str, bucket: str, *, recorded: Mapping[str, Any]) -> None:
        expected = recorded["connector_status"]
        states = [expected["connector"]["state"], *(task["state"] for task in expected["tasks"])]
        keys = {entry["key"] for entry in recorded.get("objects") or []}

        def ended() -> bool:
            status = self._worker.status(name)
            if status is None:
                return False
            found = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
            return found == states and keys <= set(self._keys(bucket))

        try:
            self._wait(ended, what=f"states {states} and objects {sorted(keys)}")
        except TimeoutError as error:
            self.differences.append(str(error))
        if "FAILED" not in states and not keys:
            # Nothing tells when a sink that writes nothing has read everything.
            time.sleep(_SETTLE_SECONDS)

    def _wait(self, done: Callable[[], bool], *, what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {_PATIENCE_SECONDS:.0f} s for {what}")
            time.sleep(_LOOK_SECONDS)

    def _keys(self, bucket: str) -> list[str]:
        if bucket not in {entry.get("Name") for entry in self._s3.list_buckets()["Buckets"]}:
            return []
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(entry.get("Key", "") for page in pages for entry in page.get("Contents", []))

    def _empty(self, bucket: str) -> None:
        for key in self._keys(bucket):
            self._s3.delete_object(Bucket=bucket, Key=key)

    def _clear(self) -> None:
        for name in self._worker.request("GET", "/connectors").json():
            self._worker.delete(name)
        for bucket in self._s3.list_buckets()["Buckets"]:
            self._empty(bucket.get("Name", ""))
            self._s3.delete_bucket(Bucket=bucket.get("Name", ""))
        mine = [topic for topic in self._admin.list_topics(timeout=30).topics if not _is_internal(topic)]
        if mine:
            for future in self._admin.delete_topics(mine).values():
                future.result(30)

    # -- comparing

    def _compare(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.differences.append(f"{what}: {_short(found)} instead of {_short(expected)}")

    def _compare_answer(self, answer: Any, recorded: Mapping[str, Any], *, where: str = "PUT config") -> None:
        status = answer.status_code
        # A connector that is left over from an earlier case is replaced: that is no difference.
        self._compare(f"{where}: status", status, recorded["status"])
        if "body" in recorded:
            found = _with_confluent_names(answer.json())
            self._compare(f"{where}: answer", _without_plugins(found), _without_plugins(self._filled(recorded["body"])))

    def _compare_status(self, found: Any, recorded: Mapping[str, Any], *, where: str = "") -> None:
        if found is None:
            self.differences.append(f"{where}there is no connector")
            return
        self._compare(f"{where}type", found["type"], recorded["type"])
        self._compare(f"{where}connector", _state(found["connector"]), _state(recorded["connector"]))
        tasks = [_state(task) for task in found["tasks"]]
        self._compare(f"{where}tasks", tasks, [_state(task) for task in recorded["tasks"]])

    def _compare_dead_letters(self, config: Mapping[str, str], recorded: Sequence[Mapping[str, Any]]) -> None:
        topic = config["errors.deadletterqueue.topic.name"]
        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            found[:] = self._read(topic)
            return len(found) >= len(recorded)

        self._wait(all_there, what=f"{len(recorded)} dead letters in {topic}")
        expected = [
            {
                "key": _unbase64(record.get("key_b64")),
                "value": _unbase64(record.get("value_b64")),
                "headers": _headers((name, _unbase64(value)) for name, value in record["headers"]),
            }
            for record in sorted(recorded, key=lambda record: (record["partition"], record["offset"]))
        ]
        self._compare("dead letters", found, expected)

    def _read(self, topic: str) -> list[dict[str, Any]]:
        consumer = Consumer({
            "bootstrap.servers": self.servers.bootstrap_servers,
            "group.id": "golden",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        })  # fmt: skip
        try:
            metadata = consumer.list_topics(timeout=30).topics.get(topic)
            if metadata is None:
                return []
            records: list[dict[str, Any]] = []
            for partition in sorted(metadata.partitions):
                consumer.assign([TopicPartition(topic, partition, 0)])
                while (message := consumer.poll(10)) is not None and message.error() is None:
                    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
                    records.append({
                        "key": message.key(),
                        "value": message.value(),
                        "headers": _headers(headers),
                    })  # fmt: skip
            return records
        finally:
            consumer.close()

    def _compare_objects(self, bucket: str, recorded: Sequence[Mapping[str, Any]]) -> None:
        keys = self._keys(bucket)
        self._compare("objects", keys, sorted(entry["key"] for entry in recorded))
        for expected in recorded:
            if expected["key"] in keys:
                self._compare_object(bucket, expected)

    def _compare_object(self, bucket: str, expected: Mapping[str, Any]) -> None:
        key = expected["key"]
        answer = self._s3.get_object(Bucket=bucket, Key=key)
        content = answer["Body"].read()
        self._compare(f"{key}: content type", answer.get("ContentType"), expected.get("content_type"))
        self._compare(
            f"{key}: content encoding", answer.get("ContentEncoding") or None, expected.get("content_encoding")
        )
        self._compare(f"{key}: metadata", answer.get("Metadata"), expected.get("user_metadata", {}))
        if "tags" in expected:
            tags = {tag["Key"]: tag["Value"] for tag in self._s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
            self._compare(f"{key}: tags", tags, _tags(expected["tags"]))
        if expected.get("avro") is not None:
            self._compare_avro(key, content, expected["avro"])
        elif "content_sha256" in expected:
            self._compare(f"{key}: sha256", hashlib.sha256(content).hexdigest(), expected["content_sha256"])
        elif expected.get("gunzipped_b64") is not None:
            self._compare_gzip(key, content, expected)
        else:
            self._compare(key, content, _unbase64(expected["content_b64"]))

    def _compare_avro(self, key: str, content: bytes, expected: Mapping[str, Any]) -> None:
        reader = fastavro.reader(io.BytesIO(content))
        metadata = cast("dict[str, str]", reader.metadata)
        schema_text = metadata["avro.schema"]
        self._compare(f"{key}: schema", json.loads(schema_text), expected["schema"])
        self._compare(f"{key}: schema's text", schema_text, expected["schema_text"])
        self._compare(f"{key}: codec", metadata.get("avro.codec", "null"), expected["codec"])
        self._compare(f"{key}: metadata", sorted(metadata), sorted(expected["metadata_keys"]))
        self._compare(f"{key}: records", [written(record) for record in reader], expected["records"])

    def _compare_gzip(self, key: str, content: bytes, expected: Mapping[str, Any]) -> None:
        if not any("gzip" in place for place in self.case.get("volatile", [])):
            self._compare(key, content, _unbase64(expected["content_b64"]))
        try:
            plain = gzip.decompress(content)
        except (OSError, EOFError) as error:
            self.differences.append(f"{key}: is not gzip: {error}")
            return
        self._compare(f"{key}: contents", plain, _unbase64(expected["gunzipped_b64"]))


def _state(part: Mapping[str, Any]) -> dict[str, Any]:
    trace = _with_confluent_names(part.get("trace"))
    lines = trace.splitlines() if isinstance(trace, str) else []
    told = lines[:1] + [line for line in lines[1:] if line.startswith("Caused by:")]
    return {"id": part.get("id"), "state": part["state"], "trace": [_REQUEST_IDS.sub("", line) for line in told]}


def _errors(validation: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = [entry["value"] for entry in validation["configs"]]
    return sorted(
        (
            {"name": value["name"], "value": value["value"], "errors": value["errors"]}
            for value in values
            if value["errors"]
        ),
        key=lambda entry: entry["name"],
    )


def _headers(pairs: Any) -> list[tuple[str, Any]]:
    return [
        (name, _with_confluent_names(value.decode()) if name.startswith("__connect.errors.") else value)
        for name, value in pairs
        if name not in _VOLATILE_HEADERS
    ]


def _tags(tags: Any) -> dict[str, str]:
    if isinstance(tags, dict):
        return cast("dict[str, str]", tags)
    return {tag["Key"]: tag["Value"] for tag in tags}


def _with_confluent_names(value: Any) -> Any:
    text = json.dumps(value)
    for confluent, embedded in embedded_names().items():
        text = text.replace(embedded, confluent)
    return json.loads(text)


def _translated(text: str) -> str:
    # A path or a class name: the longer names first, as one may begin like another.
    for confluent, embedded in sorted(embedded_names().items(), key=lambda names: -len(names[0])):
        text = text.replace(confluent, embedded)
    return text


def _without_plugins(body: Any) -> Any:
    # Which other plug-ins a worker has is its own affair.
    if isinstance(body, dict) and isinstance(body.get("message"), str):  # pyright: ignore[reportUnknownMemberType]
        message = cast("dict[str, str]", body)["message"].partition("available connectors are:")[0]
        return {**cast("dict[str, Any]", body), "message": message}
    return body


def _is_internal(topic: str) -> bool:
    return topic.startswith(("__", "connect."))


def _unbase64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 800 else f"{text[:800]}…"
