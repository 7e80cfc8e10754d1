"""Settings that a client may send along with its statements, or SET."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.rest.errors import RestError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

STREAMS_PREFIX: Final = "ksql.streams."
_WIDTH: Final = 80

_INTEGERS: Final = frozenset(
    [
        "buffered.records.per.partition",
        "cache.max.bytes.buffering",
        "commit.interval.ms",
        "connections.max.idle.ms",
        "default.api.timeout.ms",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.min.bytes",
        "heartbeat.interval.ms",
        "linger.ms",
        "batch.size",
        "buffer.memory",
        "delivery.timeout.ms",
        "max.block.ms",
        "max.in.flight.requests.per.connection",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "max.poll.records",
        "max.request.size",
        "max.task.idle.ms",
        "max.warmup.replicas",
        "metadata.max.age.ms",
        "metrics.num.samples",
        "metrics.sample.window.ms",
        "num.standby.replicas",
        "num.stream.threads",
        "poll.ms",
        "probing.rebalance.interval.ms",
        "receive.buffer.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "repartition.purge.interval.ms",
        "replication.factor",
        "request.timeout.ms",
        "retries",
        "retry.backoff.ms",
        "rocksdb.block.cache.size",
        "send.buffer.bytes",
        "session.timeout.ms",
        "state.cleanup.delay.ms",
        "statestore.cache.max.bytes",
        "task.timeout.ms",
        "transaction.timeout.ms",
        "window.size.ms",
        "windowstore.changelog.additional.retention.ms",
    ]
)
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "auto.offset.reset": ("latest", "earliest", "none"),
    "processing.guarantee": ("at_least_once", "exactly_once", "exactly_once_beta", "exactly_once_v2"),
    "isolation.level": ("read_committed", "read_uncommitted"),
}
_OTHERS: Final = frozenset(
    [
        "acceptable.recovery.lag",
        "acks",
        "application.id",
        "application.server",
        "bootstrap.servers",
        "built.in.metrics.version",
        "check.crcs",
        "client.id",
        "client.dns.lookup",
        "client.rack",
        "compression.type",
        "default.deserialization.exception.handler",
        "default.key.serde",
        "default.production.exception.handler",
        "default.timestamp.extractor",
        "default.value.serde",
        "enable.auto.commit",
        "enable.idempotence",
        "exclude.internal.topics",
        "group.id",
        "group.instance.id",
        "interceptor.classes",
        "key.deserializer",
        "key.serializer",
        "metric.reporters",
        "metrics.recording.level",
        "partition.assignment.strategy",
        "partitioner.class",
        "rack.aware.assignment.tags",
        "rocksdb.config.setter",
        "sasl.jaas.config",
        "sasl.mechanism",
        "security.protocol",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.key.password",
        "state.dir",
        "topology.optimization",
        "transactional.id",
        "upgrade.from",
        "value.deserializer",
        "value.serializer",
    ]
)
_CLIENT: Final = _INTEGERS | _CHOICES.keys() | _OTHERS
# Settings of the server itself that are no client's business.
_DENIED: Final = frozenset({"ksql.service.id"})
_EDITABLE: Final = frozenset({"ksql.query.pull.table.scan.enabled"})
KSQL: Final = (
    "metric.reporters",
    "ksql.access.validator.enable",
    "ksql.assert.schema.default.timeout.ms",
    "ksql.assert.topic.default.timeout.ms",
    "ksql.authorization.cache.expiry.time.secs",
    "ksql.authorization.cache.max.entries",
    "ksql.cast.strings.preserve.nulls",
    "ksql.client.ip_port.configuration.enabled",
    "ksql.connect.basic.auth.credentials.file",
    "ksql.connect.basic.auth.credentials.reload",
    "ksql.connect.basic.auth.credentials.source",
    "ksql.connect.request.headers.plugin",
    "ksql.connect.request.timeout.ms",
    "ksql.connect.url",
    "ksql.connect.worker.config",
    "ksql.create.or.replace.enabled",
    "ksql.deployment.type",
    "ksql.endpoint.migrate.query",
    "ksql.error.classifier.regex",
    "ksql.extension.dir",
    "ksql.fetch.remote.hosts.max.timeout.seconds",
    "ksql.headers.columns.enabled",
    "ksql.hidden.topics",
    "ksql.insert.into.values.enabled",
    "ksql.internal.topic.min.insync.replicas",
    "ksql.internal.topic.replicas",
    "ksql.json_sr.converter.deserializer.enabled",
    "ksql.lambdas.enabled",
    "ksql.metastore.backup.location",
    "ksql.metrics.extension",
    "ksql.metrics.tags.custom",
    "ksql.nested.error.set.null",
    "ksql.new.query.planner.enabled",
    "ksql.output.topic.name.prefix",
    "ksql.persistence.default.format.key",
    "ksql.persistence.default.format.value",
    "ksql.persistence.wrap.single.values",
    "ksql.persistent.prefix",
    "ksql.properties.overrides.denylist",
    "ksql.pull.queries.enable",
    "ksql.query.cleanup.shutdown.timeout.ms",
    "ksql.query.error.max.queue.size",
    "ksql.query.persistent.active.limit",
    "ksql.query.persistent.max.bytes.buffering.total",
    "ksql.query.pull.enable.standby.reads",
    "ksql.query.pull.forwarding.timeout.ms",
    "ksql.query.pull.interpreter.enabled",
    "ksql.query.pull.limit.clause.enabled",
    "ksql.query.pull.max.allowed.offset.lag",
    "ksql.query.pull.max.concurrent.requests",
    "ksql.query.pull.max.hourly.bandwidth.megabytes",
    "ksql.query.pull.max.qps",
    "ksql.query.pull.range.scan.enabled",
    "ksql.query.pull.router.thread.pool.size",
    "ksql.query.pull.stream.enabled",
    "ksql.query.pull.table.scan.enabled",
    "ksql.query.pull.thread.pool.size",
    "ksql.query.push.v2.alos.enabled",
    "ksql.query.push.v2.catchup.consumer.msg.window",
    "ksql.query.push.v2.continuation.tokens.enabled",
    "ksql.query.push.v2.enabled",
    "ksql.query.push.v2.interpreter.enabled",
    "ksql.query.push.v2.latest.reset.age.ms",
    "ksql.query.push.v2.max.catchup.consumers",
    "ksql.query.push.v2.max.hourly.bandwidth.megabytes",
    "ksql.query.push.v2.metrics.enabled",
    "ksql.query.push.v2.new.latest.delay.ms",
    "ksql.query.push.v2.registry.installed",
    "ksql.query.retry.backoff.initial.ms",
    "ksql.query.retry.backoff.max.ms",
    "ksql.query.status.running.threshold.seconds",
    "ksql.query.transient.max.bytes.buffering.total",
    "ksql.queryanonymizer.cluster_namespace",
    "ksql.queryanonymizer.logs_enabled",
    "ksql.readonly.topics",
    "ksql.runtime.feature.shared.enabled",
    "ksql.schema.registry.url",
    "ksql.security.extension.class",
    "ksql.service.id",
    "ksql.shared.runtimes.count",
    "ksql.sink.window.change.log.additional.retention",
    "ksql.source.table.materialization.enabled",
    "ksql.streams.num.stream.threads",
    "ksql.suppress.buffer.size.bytes",
    "ksql.suppress.enabled",
    "ksql.timestamp.throw.on.invalid",
    "ksql.transient.prefix",
    "ksql.transient.query.cleanup.service.enable",
    "ksql.transient.query.cleanup.service.initial.delay.seconds",
    "ksql.transient.query.cleanup.service.period.seconds",
    "ksql.udf.collect.metrics",
    "ksql.udf.enable.security.manager",
    "ksql.udfs.enabled",
    "ksql.variable.substitution.enable",
    "ksql.websocket.connection.max.timeout.ms",
)
"""Names of ksqlDB's own settings, as SHOW PROPERTIES lists them."""


@dataclass(frozen=True, kw_only=True)
class ServerProperty:
    """A setting as SHOW PROPERTIES lists it.

    Attributes:
        name: with its prefix.
        value: as text; None where it has none.
    """

    name: str
    value: str | None

    def entry(self) -> dict[str, Any]:
        """Return it as JSON object."""
        fixed = {"ksql.streams.bootstrap.servers", "ksql.streams.num.stream.threads"}
        editable = self.name in _EDITABLE or (self.name.startswith(STREAMS_PREFIX) and self.name not in fixed)
        level = "QUERY" if self.name in _EDITABLE else "SERVER"
        return {"name": self.name, "scope": "KSQL", "value": self.value, "editable": editable, "level": level}


def bare(name: str) -> str:
    """Return the name of a setting of Kafka without ksqlDB's prefix."""
    for prefix in (STREAMS_PREFIX, "ksql."):
        if name.startswith(prefix) and name.removeprefix(prefix) in _CLIENT:
            return name.removeprefix(prefix)
    return name


def full(name: str) -> str:
    """Return the name of a setting as ksqlDB stores it."""
    return f"{STREAMS_PREFIX}{bare(name)}" if bare(name) in _CLIENT else name


def is_known(name: str) -> bool:
    """Whether ksqlDB, Kafka Streams or a Kafka client has a setting of that name."""
    plain = bare(name).removeprefix("consumer.").removeprefix("producer.").removeprefix("main.consumer.")
    return plain in _CLIENT or name in KSQL


def check_settable(name: str) -> None:
    """Check a setting that a client would send along.

    Raises:
        RestError: the server prohibits it.
    """
    if name in _DENIED:
        raise _prohibited([name])


def check_set(name: str, value: str, *, error: Callable[[str], RestError]) -> None:
    """Check a SET statement.

    Args:
        name: of the setting.
        value: of the setting.
        error: makes the error of the statement.

    Raises:
        RestError: there is no such setting, or it does not take the value.
    """
    if not is_known(name):
        raise error(f"Unknown property: {name}")
    problem = _problem(name, value)
    if problem is not None:
        raise error(problem)


def check_overrides(overrides: Mapping[str, Any], *, statement: Callable[[], str]) -> dict[str, Any]:
    """Check the settings of a request, and return them under their full names.

    Args:
        overrides: as sent.
        statement: the text of the statement that an error is about.

    Raises:
        RestError: a setting is prohibited or unknown, or does not take its value.
    """
    for name, value in overrides.items():
        problem = _problem(name, str(value))
        if problem is not None:
            raise bad_request(f"Failed to coerce type of value '{value}' for key '{name}'\n{cause(problem)}")
    denied = sorted(_DENIED & overrides.keys())
    if denied:
        raise _prohibited(denied)
    for name in overrides:
        if not is_known(name):
            message = f"Not recognizable as ksql, streams, consumer, or producer property: '{name}'"
            raise RestError(500, 50000, message, statement=statement())
    return {full(name): _typed(name, value) for name, value in overrides.items()}


def cause(message: str) -> str:
    """Return the line that says what caused an error, broken as ksqlDB breaks it."""
    return "\n\t".join(textwrap.wrap(f"Caused by: {message}", _WIDTH, break_long_words=False, break_on_hyphens=False))


def _prohibited(names: Iterable[str]) -> RestError:
    return bad_request(
        "One or more properties overrides set locally are prohibited by the KSQL server"
        f" (use UNSET to reset their default value): [{', '.join(names)}]"
    )


def _problem(name: str, value: str) -> str | None:
    plain = bare(name)
    choices = _CHOICES.get(plain)
    if choices is not None and value.lower() not in choices:
        return f"Invalid value {value} for configuration {plain}: String must be one of: {', '.join(choices)}"
    if plain in _INTEGERS and not value.strip().lstrip("+-").isdigit():
        return f"Invalid value {value} for configuration {plain}: Not a number of type {_width(plain)}"
    return None


def _width(plain: str) -> str:
    return "LONG" if plain.endswith((".ms", ".bytes", ".buffering", ".memory")) else "INT"


def _typed(name: str, value: Any) -> Any:
    return int(value) if bare(name) in _INTEGERS else value
