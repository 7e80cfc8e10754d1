"""Replays recorded ksqlDB REST conversations against the embedded engine.

Every case runs on a Kafka and a registry that hold nothing else, against an engine process of its own. What differs
between any two recordings is put into one form on both sides before they are compared: the numbers of commands and
what is named after them, the ids of queries, wall-clock times, schema ids, statistics, host names, and the order of
lists that have none. Numbers are compared as they were written, so ``1.0E20`` is not ``1e20``.
"""

# confluent-kafka's types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import base64
import contextlib
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType
from rich.console import Console
from rich.progress import Progress

from bench.broker import Broker
from cflight.errors import CflightError
from golden.avro import decode, encode
from golden.errors import CasesError
from golden.report import Report
from ksql.testing import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNORDERED = frozenset({
    "streams", "tables", "queries", "topics", "properties", "sourceDescriptions", "queryDescriptions", "readQueries",
    "writeQueries", "tasksMetadata", "defaultProperties", "overwrittenProperties", "functions", "variables",
    "sourceConstraints",
})  # fmt: skip
_STATISTICS = frozenset({
    "statistics", "clusterStatistics", "clusterErrorStats", "lastStatsTimestamp", "queryOffsetSummaries",
})  # fmt: skip
# What a command numbered n makes is named after the odd number before it.
_NUMBERED = re.compile(r"(?i)((?:CSAS|CTAS|CST|INSERTQUERY)_(?:[A-Z]\w*?_)?)(\d+)(?!\w)")
_NUMBER = re.compile(r"(command sequence number: )(\d+)")
_EPHEMERAL = (
    (re.compile(r"\bquery_\d{6,}\b"), "query_0"),
    (re.compile(r"(transient_[\w$-]+?_)\d{6,}(_\d{13})?"), r"\g<1>0"),
    (re.compile(r"(KsqlConfig@)[0-9a-f]+"), r"\g<1>0"),
)
# All recorded records carry times of 2020; a later one is the wall clock of the recording.
_WALL_CLOCK = 1_609_459_200_000
_SETTLE_SECONDS = 15.0
_REGISTRY_TOPIC = "_schemas"
# What a server writes to its changelogs is its own affair, and so is whether it has a schema.
_INTERNAL = "_confluent-ksql-"


class Servers(Protocol):
    """Where the servers under test are."""

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's address."""
        ...

    @property
    def schema_registry_url(self) -> str:
        """The registry's Confluent-compatible base URL."""
        ...


class MismatchError(Exception):
    """A step answered something else than was recorded."""


@dataclass(kw_only=True)
class Replay:
    """One case being replayed.

    Attributes:
        case: the recorded case.
        servers: Kafka and the registry.
        engine: the server under test.
        shift: what to add to a recorded command number to get the number of the same command here.
        renamed: ids of queries as recorded, and as they are called here.
    """

    case: dict[str, Any]
    servers: Servers
    engine: EngineProcess
    shift: int = 0
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _admin: AdminClient = field(init=False)
    _listening: list[Iterator[str]] = field(default_factory=list["Iterator[str]"])

    def run(self) -> None:
        """Do every step in order.

        Raises:
            MismatchError: at the first step that answered something else.
        """
        # The first command of an empty command topic has the number 0, and each takes two.
        self._admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers})
        self.shift = -2 - int(self.case["last_command_sequence_number_before"])
        steps = [*self.case["setup"], *self.case["exchanges"]]
        kinds: dict[str, Callable[[dict[str, Any]], None]] = {
            "rest": self._rest,
            "create_topic": self._create_topic,
            "register_schema": self._register_schema,
            "produce": self._produce,
            "topic_contents": self._topic_contents,
            "topic_config": self._topic_config,
            "topics_exist": self._topics_exist,
            "registry": self._registry,
            "server_restart": self._restart,
            "opened_query": self._opened_query,
            "wait": self._wait,
        }
        with self._open:
            for number, step in enumerate(steps, start=1):
                try:
                    kinds[step["kind"]](step)
                except MismatchError as error:
                    what = step.get("request_body") or step.get("topic") or step.get("path") or ""
                    raise MismatchError(f"step {number} ({step['kind']} {_short(what)}): {error}") from error

    def expected(self, text: str) -> str:
        """Return recorded text as it should read here."""

        def renumber(match: re.Match[str]) -> str:
            return f"{match[1]}{int(match[2]) + self.shift}"

        text = _NUMBERED.sub(renumber, text)
        text = _NUMBER.sub(lambda match: f"{match[1]}{int(match[2]) + self.shift}", text)
        for before, now in (
            ("${ksql_host}", self.engine.advertised),
            ("${ksql_dir}", str(self.engine.folder)),
            ("${bootstrap}", self.servers.bootstrap_servers),
            ("${schema_registry_url}", self.servers.schema_registry_url),
            *self.renamed.items(),
        ):
            text = text.replace(before, now)
        return text

    def _rest(self, step: dict[str, Any]) -> None:
        mutates = step["path"] in {"/ksql", "/inserts-stream", "/close-query"} and not _only_reads(step)
        deadline = time.monotonic() + (0.0 if mutates else _SETTLE_SECONDS)
        while True:
            problem = self._exchange(step)
            if problem is None:
                return
            if time.monotonic() >= deadline:
                raise MismatchError(problem)
            time.sleep(0.3)

    def _exchange(self, step: dict[str, Any]) -> str | None:
        answer = self._request(step)
        if answer.status != step["status"]:
            return f"status {answer.status}, recorded {step['status']}: {answer.text[:600]}"
        for name, value in step["response_headers"].items():
            if answer.headers.get(name) != value:
                return f"header {name} {answer.headers.get(name)!r}, recorded {value!r}"
        recorded = self.expected(step["response_body"])
        return difference(
            recorded,
            answer.text,
            shift=self.shift,
            trimmed=step.get("trimmed", False),
            status_varies=any("replacements" in place for place in self.case["volatile"]),
            subset=step["path"] == "/status",
        )

    def _request(self, step: dict[str, Any]) -> _Answer:
        body = step.get("request_body")
        if isinstance(body, dict):
            body = dict(body)
            number = body.get("commandSequenceNumber")
            if isinstance(number, int) and number > 0:
                body["commandSequenceNumber"] = number + self.shift
            body = json.dumps(body)
        content = self.expected(body) if isinstance(body, str) else None
        two = step.get("http_version") == "2"
        lines = step.get("closed_by_client_after_lines")
        with (
            httpx.Client(http1=not two, http2=two, timeout=60, base_url=self.engine.url) as client,
            client.stream(
                step["method"], step["path"], content=content, headers=_only(step["request_headers"])
            ) as response,
        ):
            if lines is None:
                response.read()
                text = response.text
            else:
                source = response.iter_lines()
                text = "".join(f"{next(source)}\n" for _ in range(lines))
            return _Answer(status=response.status_code, headers=dict(response.headers), text=text)

    def _create_topic(self, step: dict[str, Any]) -> None:
        topic = NewTopic(step["name"], step["partitions"], 1, config=step.get("config", {"retention.ms": "604800000"}))
        for future in self._admin.create_topics([topic]).values():
            future.result(30)

    def _register_schema(self, step: dict[str, Any]) -> None:
        body = {"schema": step["schema"], "schemaType": step.get("schemaType", "AVRO")}
        url = f"{self.servers.schema_registry_url}/subjects/{step['subject']}/versions"
        httpx.post(url, json=body, timeout=30).raise_for_status()

    def _produce(self, step: dict[str, Any]) -> None:
        producer = Producer({"bootstrap.servers": self.servers.bootstrap_servers, "linger.ms": 0})
        topic = self.expected(step["topic"])
        failures: list[object] = []
        for record in step["records"]:
            producer.produce(
                topic,
                key=self._bytes(record, part="key", topic=topic),
                value=self._bytes(record, part="value", topic=topic),
                partition=record["partition"],
                timestamp=record["timestamp"],
                headers=[(name, _unbase64(value)) for name, value in record.get("headers") or []],
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
        if producer.flush(30) or failures:
            raise MismatchError(f"could not produce to {topic}: {failures}")
        self._let_queries_read(
            topic, partitions=max((record["partition"] for record in step["records"]), default=0) + 1
        )

    def _let_queries_read(self, topic: str, *, partitions: int) -> None:
        """Wait for the queries that run: the recorded server had read what was produced before the next step."""
        answer = httpx.post(f"{self.engine.url}/ksql", json={"ksql": "SHOW QUERIES;"}, timeout=60).json()
        running = [query["id"] for query in answer[0]["queries"] if "RUNNING" in query["statusCount"]]
        places = [TopicPartition(topic, number) for number in range(partitions)]
        ends = self._ends(places)
        deadline = time.monotonic() + _SETTLE_SECONDS
        for query_id in running:
            group = ConsumerGroupTopicPartitions(f"_confluent-ksql-golden_query_{query_id}", places)
            while time.monotonic() < deadline:
                (future,) = self._admin.list_consumer_group_offsets([group]).values()
                found = {place.partition: place.offset for place in future.result(30).topic_partitions}
                # A query that has no offset of the topic does not read it.
                if all(offset < 0 or offset >= ends[number] for number, offset in found.items()):
                    break
                time.sleep(0.1)

    def _ends(self, places: list[TopicPartition]) -> dict[int, int]:
        wanted: dict[TopicPartition, Any] = dict.fromkeys(places, OffsetSpec.latest())
        return {place.partition: future.result(30).offset for place, future in self._admin.list_offsets(wanted).items()}

    def _bytes(self, record: dict[str, Any], *, part: str, topic: str) -> bytes | None:
        avro = record.get("avro" if part == "value" else "key_avro")
        if avro is not None:
            return encode(avro, url=self.servers.schema_registry_url, subject=f"{topic}-{part}")
        return _unbase64(record.get(f"{part}_b64"))

    def _topic_contents(self, step: dict[str, Any]) -> None:
        topic = self.expected(step["topic"])
        recorded = [self._recorded(record) for record in step["records"]]
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            found = self._read(topic, partitions=step["partitions"])
            problem = _compare_records(recorded, found)
            if problem is None:
                return
            # More than was recorded will not become less by waiting.
            if time.monotonic() >= deadline or len(found) > len(recorded):
                raise MismatchError(f"{problem}\n found {found}")
            time.sleep(0.2)

    def _recorded(self, record: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {name: record[name] for name in ("partition", "offset", "timestamp")}
        for part in ("key", "value"):
            avro = record.get(f"{part}_avro")
            found[part] = avro if avro is not None else _unbase64(record[f"{part}_b64"])
        return found

    def _read(self, topic: str, *, partitions: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        settings: dict[str, Any] = {
            "bootstrap.servers": self.servers.bootstrap_servers,
            "group.id": "golden",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
            open_partitions = set(range(partitions))
            deadline = time.monotonic() + _SETTLE_SECONDS
            while open_partitions and time.monotonic() < deadline:
                message = consumer.poll(0.5)
                if message is None:
                    continue
                if message.error():
                    open_partitions.discard(message.partition() or 0)
                    continue
                found.append(
                    {
                        "partition": message.partition(),
                        "offset": message.offset(),
                        "timestamp": message.timestamp()[1],
                        "key": message.key(),
                        "value": message.value(),
                    }
                )
        finally:
            consumer.close()
        found.sort(key=lambda record: (record["partition"], record["offset"]))
        number: dict[int, int] = {}
        for record in found:
            # Commit markers take offsets of their own; what counts is the order.
            record["offset"] = number[record["partition"]] = number.get(record["partition"], -1) + 1
            for part in ("key", "value"):
                record[part] = decode(record[part], url=self.servers.schema_registry_url)
        return found

    def _topic_config(self, step: dict[str, Any]) -> None:
        resource = ConfigResource(ResourceType.TOPIC, self.expected(step["topic"]))
        (future,) = self._admin.describe_configs([resource]).values()
        entries = future.result(30)
        found = {name: entries[name].value for name in step["config"]}
        if found != step["config"]:
            raise MismatchError(f"{found}, recorded {step['config']}")

    def _topics_exist(self, step: dict[str, Any]) -> None:
        wanted = {self.expected(name): exists for name, exists in step["topics"].items()}

        def look() -> dict[str, bool]:
            names = self._admin.list_topics(timeout=30).topics
            return {name: name in names for name in wanted}

        self._eventually(look, wanted)

    def _registry(self, step: dict[str, Any]) -> None:
        wanted = {
            self.expected(name): {**entry, "schema": json.loads(entry["schema"])}
            for name, entry in step["subjects"].items()
            if not name.startswith(_INTERNAL)
        }

        def look() -> dict[str, Any]:
            base = self.servers.schema_registry_url
            found: dict[str, Any] = {}
            for subject in httpx.get(f"{base}/subjects", timeout=30).json():
                if subject.startswith(_INTERNAL):
                    continue
                latest = httpx.get(f"{base}/subjects/{subject}/versions/latest", timeout=30).json()
                found[subject] = {
                    "version": latest["version"],
                    "schemaType": latest.get("schemaType", "AVRO"),
                    "schema": json.loads(latest["schema"]),
                }
            return found

        self._eventually(look, wanted)

    def _eventually(self, look: Callable[[], object], wanted: object) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (found := look()) != wanted:
            if time.monotonic() >= deadline:
                raise MismatchError(f"found {found}, recorded {wanted}")
            time.sleep(0.2)

    def _restart(self, _: dict[str, Any]) -> None:
        self.engine.restart()

    def _opened_query(self, step: dict[str, Any]) -> None:
        client = self._open.enter_context(httpx.Client(timeout=60, base_url=self.engine.url))
        body = {"sql": self.expected(step["sql"]), "properties": step.get("properties", {})}
        headers = {"Accept": "application/vnd.ksqlapi.delimited.v1"}
        response = self._open.enter_context(client.stream("POST", "/query-stream", json=body, headers=headers))
        lines = response.iter_lines()
        text = next(lines)
        # The connection is closed with its iterator, which must therefore live on.
        self._listening.append(lines)
        recorded = json.dumps(step["header"])
        problem = difference(recorded, text, shift=self.shift)
        if problem is not None:
            raise MismatchError(problem)
        self.renamed[step["header"]["queryId"]] = json.loads(text)["queryId"]

    def _wait(self, step: dict[str, Any]) -> None:
        if "queries run" not in step["until"]:
            # The recorded wait is one of wall-clock seconds: closed windows are looked for once a second.
            time.sleep(2.0)
            return

        def states() -> set[str]:
            answer = httpx.post(f"{self.engine.url}/ksql", json={"ksql": "SHOW QUERIES;"}, timeout=60).json()
            return {query["state"] for query in answer[0]["queries"]} - {"RUNNING"}

        self._eventually(states, set())


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    headers: dict[str, str]
    text: str


def difference(
    recorded: str,
    found: str,
    *,
    shift: int = 0,
    trimmed: bool = False,
    status_varies: bool = False,
    subset: bool = False,
) -> str | None:
    """Compare two answers.

    Args:
        recorded: the body as recorded, with its names already translated.
        found: the body of the server under test.
        shift: what to add to a recorded ``commandSequenceNumber``.
        trimmed: entries were left out of the recorded lists.
        status_varies: a command may have been answered before or after it was done.
        subset: the recorded object has more entries, of earlier cases.

    Returns:
        What differs, or None.
    """
    try:
        wanted = json.loads(recorded, parse_float=str)
        actual = json.loads(found, parse_float=str)
    except ValueError:
        wanted_text, found_text = _plain(recorded), _plain(found)
        return (
            None if wanted_text == found_text else f"answered {found_text[:2000]!r}\n recorded {wanted_text[:2000]!r}"
        )
    rules = _Rules(shift=shift, trimmed=trimmed, status_varies=status_varies)
    wanted, actual = rules.canonical(wanted, recorded=True), rules.canonical(actual, recorded=False)
    if subset:
        return _subset_difference(wanted, actual)
    return _first_difference(wanted, actual, path="$", trimmed=trimmed)


@dataclass(frozen=True, kw_only=True)
class _Rules:
    shift: int
    trimmed: bool
    status_varies: bool

    def canonical(self, value: Any, *, recorded: bool, name: str = "") -> Any:
        if isinstance(value, dict):
            return self._object(value, recorded=recorded)
        if isinstance(value, list):
            entries = [
                self.canonical(entry, recorded=recorded, name=name)
                for entry in value
                if not (isinstance(entry, dict) and entry.get("name") == _REGISTRY_TOPIC)
            ]
            return (
                sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True)) if name in _UNORDERED else entries
            )
        if isinstance(value, str):
            return _plain(value)
        return value

    def _object(self, value: dict[str, Any], *, recorded: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, entry in value.items():
            if name in _STATISTICS:
                continue
            if name == "commandSequenceNumber" and recorded:
                found[name] = entry + self.shift
            elif (name == "commandStatus" and self.status_varies) or name in {"kafkaClusterId", "kafka-cluster"}:
                found[name] = "any"
            else:
                found[name] = self.canonical(entry, recorded=recorded, name=name)
        return found


def _plain(text: str) -> str:
    for pattern, replacement in _EPHEMERAL:
        text = pattern.sub(replacement, text)
    return text


def _first_difference(wanted: Any, found: Any, *, path: str, trimmed: bool) -> str | None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        if wanted.keys() != found.keys():
            return f"{path} has {sorted(found)}, recorded {sorted(wanted)}"
        pairs: Iterator[tuple[str, Any, Any]] = ((f"{path}.{name}", wanted[name], found[name]) for name in wanted)
    elif isinstance(wanted, list) and isinstance(found, list):
        if trimmed and len(found) > len(wanted):
            missing = [entry for entry in wanted if entry not in found]
            return f"{path} lacks {missing}" if missing else None
        if len(wanted) != len(found):
            return f"{path} is {_short(found)}, recorded {_short(wanted)}"
        pairs = ((f"{path}[{index}]", *pair) for index, pair in enumerate(zip(wanted, found, strict=True)))
    else:
        return None if wanted == found else f"{path} is {_short(found)}\n recorded {_short(wanted)}"
    for where, one, other in pairs:
        problem = _first_difference(one, other, path=where, trimmed=trimmed)
        if problem is not None:
            return problem
    return None


def _subset_difference(wanted: Any, found: Any) -> str | None:
    for name, entries in found.items():
        for key, value in entries.items():
            if wanted.get(name, {}).get(key) != value:
                return f"$.{name}.{key} is {value!r}, recorded {wanted.get(name, {}).get(key)!r}"
        if not entries:
            return f"$.{name} is empty"
    return None


def _compare_records(recorded: list[dict[str, Any]], found: list[dict[str, Any]]) -> str | None:
    if len(recorded) != len(found):
        return f"{len(found)} records, recorded {len(recorded)}"
    for one, other in zip(recorded, found, strict=True):
        wanted = dict(one)
        if wanted["timestamp"] > _WALL_CLOCK < other["timestamp"]:
            wanted["timestamp"] = other["timestamp"]
        if wanted != other:
            return f"record {other}\n recorded {wanted}"
    return None


def _only_reads(step: dict[str, Any]) -> bool:
    body = step.get("request_body")
    if not isinstance(body, dict):
        return False
    text = str(body.get("ksql", "")).lstrip().upper()
    return text.startswith(("SHOW", "LIST", "DESCRIBE", "EXPLAIN")) and text.count(";") == 1


def _only(headers: dict[str, str]) -> dict[str, str]:
    # Without this the client would send an Accept header where none was recorded.
    return headers if "Accept" in headers else {**headers, "Accept": "*/*"}


def _unbase64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) < 1500 else text[:1500] + "…"


def clear(servers: Servers) -> None:
    """Delete every topic, consumer group and subject, so that the next case finds empty servers.

    Args:
        servers: Kafka and the registry.
    """
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    deadline = time.monotonic() + 60
    while True:
        try:
            topics = [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]
        except KafkaException:
            # A broker that takes connections may not answer yet.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
            continue
        if not topics:
            break
        if time.monotonic() > deadline:
            raise MismatchError(f"topics still there after 60 s: {topics}")
        for future in admin.delete_topics(topics).values():
            # A topic whose deletion is already under way is unknown to the broker.
            with contextlib.suppress(KafkaException):
                future.result(30)
    groups = [group.group_id for group in admin.list_consumer_groups().result(30).valid]
    if groups:
        for future in admin.delete_consumer_groups(groups).values():
            with contextlib.suppress(KafkaException):
                future.result(30)
    base = servers.schema_registry_url
    for subject in httpx.get(f"{base}/subjects", timeout=30).json():
        httpx.delete(f"{base}/subjects/{subject}", timeout=30)
        httpx.delete(f"{base}/subjects/{subject}", params={"permanent": "true"}, timeout=30)


def load(folder: Path) -> list[dict[str, Any]]:
    """Read the cases of a folder, sorted by name."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]


def run(folder: Path) -> Report:
    """Replay the cases of a folder on servers of their own, which leave nothing behind.

    Args:
        folder: one JSON file a case.

    Returns:
        What differed.

    Raises:
        CasesError: there are no cases in the folder.
    """
    cases = load(folder)
    if not cases:
        raise CasesError("there are no cases", where=str(folder), remedy="Give a folder of *.json files.")
    # The cases' records are from 2020, and the broker's first check would delete them.
    keep = "log.retention.check.interval.ms=86400000\nlog.cleaner.backoff.ms=86400000\n"
    with Broker(properties=keep) as servers, tempfile.TemporaryDirectory(prefix="cflight-golden-") as name:
        return replay(cases, servers=servers, folder=Path(name))


def replay(cases: list[dict[str, Any]], *, servers: Servers, folder: Path) -> Report:
    """Replay cases one after the other on servers that hold nothing else.

    Args:
        cases: as recorded.
        servers: Kafka and the registry; everything in them is deleted.
        folder: for the engine's state and log.
    """
    report = Report()
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying", total=len(cases))
        for case in cases:
            progress.update(task, description=case["name"])
            report.add(case["name"], _differences(case, servers=servers, folder=folder / case["name"]))
            progress.advance(task)
    return report


def _differences(case: dict[str, Any], *, servers: Servers, folder: Path) -> list[str]:
    folder.mkdir()
    engine = EngineProcess(
        bootstrap_servers=servers.bootstrap_servers,
        schema_registry_url=servers.schema_registry_url,
        folder=folder,
        service_id="golden_",
    )
    try:
        clear(servers)
        with engine:
            Replay(case=case, servers=servers, engine=engine).run()
    except (MismatchError, CflightError, KafkaException, httpx.HTTPError) as error:
        return [str(error) or type(error).__name__]
    return []
