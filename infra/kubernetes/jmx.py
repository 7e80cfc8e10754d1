"""Which JMX metrics Kafka and Connect offer Prometheus, and under which names: those that alerts and dashboards need.

Each is a rule of the Prometheus JMX exporter. Its patterns see a bean as `domain<key=value, …><>attribute: value`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KAFKA, CONNECT = "kafka-metrics", "connect-metrics"
"""The ConfigMaps that hold the rules."""
KEY = "rules.yaml"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of the exporter.

    Attributes:
        pattern: regular expression for beans and attributes.
        name: the metric's name; `$1` … are the pattern's groups.
        kind: GAUGE or COUNTER.
        labels: labels, with the pattern's groups.
        value: the value, where it is not the attribute's.
    """

    pattern: str
    name: str
    kind: str = "GAUGE"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    value: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as the exporter reads it."""
        rule: dict[str, Any] = {"pattern": self.pattern, "name": self.name, "type": self.kind}
        if self.labels:
            rule["labels"] = dict(self.labels)
        if self.value:
            rule["value"] = self.value
        return rule


_KAFKA = (
    Rule(
        pattern=r"kafka.server<type=BrokerTopicMetrics, name=(\w+)PerSec, topic=(.+)><>Count",
        name="kafka_server_brokertopicmetrics_$1_total",
        kind="COUNTER",
        labels={"topic": "$2"},
    ),
    Rule(
        pattern=r"kafka.server<type=ReplicaManager, name=(\w+)><>Value",
        name="kafka_server_replicamanager_$1",
    ),
    Rule(
        pattern=r"kafka.controller<type=KafkaController, name=(\w+)><>Value",
        name="kafka_controller_kafkacontroller_$1",
    ),
    Rule(
        pattern=r"kafka.log<type=LogManager, name=OfflineLogDirectoryCount><>Value",
        name="kafka_log_logmanager_offlinelogdirectorycount",
    ),
    Rule(
        pattern=r"kafka.network<type=RequestMetrics, name=TotalTimeMs, request=(Produce|FetchConsumer)>"
        r"<>(\d+)thPercentile",
        name="kafka_network_requestmetrics_totaltimems",
        labels={"request": "$1", "quantile": "0.$2"},
    ),
    Rule(
        pattern=r"kafka.network<type=RequestMetrics, name=RequestsPerSec, request=(\w+), version=(\d+)><>Count",
        name="kafka_network_requestmetrics_requests_total",
        kind="COUNTER",
        labels={"request": "$1", "version": "$2"},
    ),
    Rule(
        pattern=r"kafka.server<type=KafkaRequestHandlerPool, name=RequestHandlerAvgIdlePercent><>OneMinuteRate",
        name="kafka_server_requesthandler_idle_ratio",
    ),
)
_CONNECT = (
    Rule(
        pattern=r"kafka.connect<type=connect-worker-metrics, connector=(.+)><>connector-(\w+)-task-count",
        name="kafka_connect_worker_connector_tasks",
        labels={"connector": "$1", "state": "$2"},
    ),
    Rule(
        pattern=r"kafka.connect<type=connector-metrics, connector=(.+)><>status: (.+)",
        name="kafka_connect_connector_status",
        labels={"connector": "$1", "status": "$2"},
        value="1",
    ),
    Rule(
        pattern=r"kafka.connect<type=sink-task-metrics, connector=(.+), task=(.+)><>sink-record-(\w+)-total",
        name="kafka_connect_sink_records_$3_total",
        kind="COUNTER",
        labels={"connector": "$1", "task": "$2"},
    ),
    Rule(
        pattern=r"kafka.connect<type=sink-task-metrics, connector=(.+), task=(.+)><>put-batch-(avg|max)-time-ms",
        name="kafka_connect_sink_put_batch_ms",
        labels={"connector": "$1", "task": "$2", "stat": "$3"},
    ),
    Rule(
        pattern=r"kafka.connect<type=task-error-metrics, connector=(.+), task=(.+)><>total-(record-failures|retries)",
        name="kafka_connect_task_$3_total",
        kind="COUNTER",
        labels={"connector": "$1", "task": "$2"},
    ),
    Rule(
        pattern=r"kafka.connect<type=connect-worker-rebalance-metrics><>completed-rebalances-total",
        name="kafka_connect_worker_rebalances_total",
        kind="COUNTER",
    ),
)


def kafka_rules() -> str:
    """Return the exporter's configuration for brokers and controllers."""
    return _configuration(_KAFKA)


def connect_rules() -> str:
    """Return the exporter's configuration for Connect workers."""
    return _configuration(_CONNECT)


def metric_names() -> set[str]:
    """Return the metrics' names, or their beginnings where a name has a part of the bean's in it."""
    return {rule.name.partition("$")[0].lower() for rule in (*_KAFKA, *_CONNECT)}


def reference(config_map: str) -> dict[str, Any]:
    """Return the `metricsConfig` of a Strimzi resource.

    Args:
        config_map: KAFKA or CONNECT.
    """
    return {
        "type": "jmxPrometheusExporter",
        "valueFrom": {"configMapKeyRef": {"name": config_map, "key": KEY}},
    }


def _configuration(rules: Sequence[Rule]) -> str:
    # JSON is YAML.
    return json.dumps({"lowercaseOutputName": True, "rules": [rule.as_dict() for rule in rules]}, indent=2)
