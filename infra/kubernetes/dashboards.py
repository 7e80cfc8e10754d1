"""Grafana dashboards, generated: the pipeline's, the brokers' and Connect's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.contract import Pipeline

_WIDTH, _HEIGHT = 8, 8
_COLUMNS = 24 // _WIDTH
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A graph.

    Attributes:
        title: what it shows.
        unit: the unit of its values, as Grafana names it.
        queries: PromQL by legend; `{{label}}` in a legend is the series' label.
        threshold: where values begin to be bad; None: nowhere.
    """

    title: str
    unit: str
    queries: Mapping[str, str]
    threshold: float | None = None

    def as_dict(self, number: int) -> dict[str, Any]:
        """Return the graph as Grafana reads it.

        Args:
            number: its place on the dashboard, from 0.
        """
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.threshold is not None:
            steps.append({"color": "red", "value": self.threshold})
        return {
            "id": number + 1,
            "type": "timeseries",
            "title": self.title,
            "datasource": _SOURCE,
            "gridPos": {
                "h": _HEIGHT,
                "w": _WIDTH,
                "x": number % _COLUMNS * _WIDTH,
                "y": number // _COLUMNS * _HEIGHT,
            },
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit,
                    "min": 0,
                    "thresholds": {"mode": "absolute", "steps": steps},
                    "custom": {
                        "fillOpacity": 10,
                        "thresholdsStyle": {"mode": "off" if self.threshold is None else "line"},
                    },
                },
                "overrides": [],
            },
            "targets": [
                {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
                for at, (legend, query) in enumerate(self.queries.items())
            ],
        }


def dashboards(pipeline: Pipeline, *, namespace: str) -> dict[str, dict[str, Any]]:
    """Return the dashboards by name.

    Args:
        pipeline: what is shown.
        namespace: where it runs.
    """
    here = f'namespace="{namespace}"'
    groups = [service.name for service in pipeline.services if service.reads]
    groups += [f"connect-{sink.name}" for sink in pipeline.sinks]
    return {
        "pipeline": _dashboard("Pipeline", panels=_pipeline(here, groups), uid=f"cflight-{namespace}-pipeline"),
        "kafka": _dashboard("Kafka", panels=_kafka(here), uid=f"cflight-{namespace}-kafka"),
        "connect": _dashboard("Connect", panels=_connect(here), uid=f"cflight-{namespace}-connect"),
    }


def _pipeline(here: str, groups: Sequence[str]) -> list[Panel]:
    pattern = "|".join(group.replace(".", "\\\\.") for group in groups)
    return [
        Panel(
            title="Requests",
            unit="reqps",
            queries={"{{status}}": f"sum by (status) (rate(cflight_requests_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Batches finished",
            unit="cps",
            queries={"{{service}}": f"sum by (service) (rate(cflight_batches_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Rows",
            unit="cps",
            queries={"{{service}}": f"sum by (service) (rate(cflight_rows_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Taken in and written",
            unit="Bps",
            queries={
                "{{service}} in": f"sum by (service) (rate(cflight_in_bytes_total{{{here}}}[$__rate_interval]))",
                "{{service}} out": f"sum by (service) (rate(cflight_out_bytes_total{{{here}}}[$__rate_interval]))",
            },
        ),
        Panel(
            title="Rejected",
            unit="cps",
            queries={
                "{{service}} {{kind}} {{reason}}": "sum by (service, kind, reason) "
                f"(rate(cflight_rejected_total{{{here}}}[$__rate_interval]))"
            },
        ),
        Panel(
            title="Lag of consumer groups",
            unit="short",
            queries={
                "{{consumergroup}} {{topic}}": "sum by (consumergroup, topic) "
                f'(kafka_consumergroup_lag{{{here},consumergroup=~"{pattern}"}})'
            },
        ),
        Panel(
            title="Lag as the services see it",
            unit="short",
            queries={"{{service}} {{topic}}": f"sum by (service, topic) (cflight_lag_messages{{{here}}})"},
        ),
        Panel(
            title="Transactions",
            unit="cps",
            queries={
                "{{service}} {{outcome}}": "sum by (service, outcome) "
                f"(rate(cflight_transactions_total{{{here}}}[$__rate_interval]))"
            },
        ),
        Panel(
            title="Time of a transaction, 99 %",
            unit="s",
            queries={
                "{{service}}": "histogram_quantile(0.99, sum by (service, le) "
                f"(rate(cflight_transaction_seconds_bucket{{{here}}}[$__rate_interval])))"
            },
        ),
        Panel(
            title="Memory, part of the limit",
            unit="percentunit",
            queries={"{{pod}}": f"cflight_memory_used_bytes{{{here}}} / cflight_memory_limit_bytes{{{here}}}"},
            threshold=0.85,
        ),
        Panel(
            title="In flight in ingest",
            unit="bytes",
            queries={"{{pod}}": f"cflight_in_flight_bytes{{{here}}}"},
        ),
        Panel(title="Ready", unit="short", queries={"{{service}}": f"sum by (service) (cflight_ready{{{here}}})"}),
    ]


def _kafka(here: str) -> list[Panel]:
    metrics = "kafka_server_brokertopicmetrics"
    return [
        Panel(
            title="Messages in",
            unit="cps",
            queries={"{{topic}}": f"sum by (topic) (rate({metrics}_messagesin_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Bytes in",
            unit="Bps",
            queries={"{{topic}}": f"sum by (topic) (rate({metrics}_bytesin_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Bytes out",
            unit="Bps",
            queries={"{{topic}}": f"sum by (topic) (rate({metrics}_bytesout_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Partitions without all replicas, below the least in sync, without a leader",
            unit="short",
            queries={
                "under-replicated": f"sum(kafka_server_replicamanager_underreplicatedpartitions{{{here}}})",
                "under min ISR": f"sum(kafka_server_replicamanager_underminisrpartitioncount{{{here}}})",
                "offline": f"max(kafka_controller_kafkacontroller_offlinepartitionscount{{{here}}})",
            },
            threshold=1,
        ),
        Panel(
            title="Leaders",
            unit="short",
            queries={"{{pod}}": f"kafka_server_replicamanager_leadercount{{{here}}}"},
        ),
        Panel(
            title="Time of a request, 99 %",
            unit="ms",
            queries={
                "{{pod}} {{request}}": f'kafka_network_requestmetrics_totaltimems{{{here},quantile="0.99"}}',
            },
        ),
        Panel(
            title="Idle request handlers",
            unit="percentunit",
            queries={"{{pod}}": f"kafka_server_requesthandler_idle_ratio{{{here}}}"},
        ),
        Panel(
            title="Heap",
            unit="bytes",
            queries={"{{pod}}": f'jvm_memory_used_bytes{{{here},area="heap",strimzi_kind="Kafka"}}'},
        ),
        Panel(
            title="Disk used",
            unit="percentunit",
            queries={
                "{{persistentvolumeclaim}}": f"kubelet_volume_stats_used_bytes{{{here}}} "
                f"/ kubelet_volume_stats_capacity_bytes{{{here}}}"
            },
            threshold=0.8,
        ),
    ]


def _connect(here: str) -> list[Panel]:
    sink = "kafka_connect_sink_records"
    return [
        Panel(
            title="Tasks",
            unit="short",
            queries={
                "{{connector}} {{state}}": "max by (connector, state) "
                f'(kafka_connect_worker_connector_tasks{{{here},state=~"running|failed|paused"}})'
            },
        ),
        Panel(
            title="Records read",
            unit="cps",
            queries={"{{connector}}": f"sum by (connector) (rate({sink}_read_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Records handed to the sink",
            unit="cps",
            queries={"{{connector}}": f"sum by (connector) (rate({sink}_send_total{{{here}}}[$__rate_interval]))"},
        ),
        Panel(
            title="Time of a put",
            unit="ms",
            queries={"{{connector}} {{stat}}": f"max by (connector, stat) (kafka_connect_sink_put_batch_ms{{{here}}})"},
        ),
        Panel(
            title="Failures",
            unit="cps",
            queries={
                "{{connector}}": "sum by (connector) "
                f"(rate(kafka_connect_task_record_failures_total{{{here}}}[$__rate_interval]))"
            },
        ),
        Panel(
            title="Heap",
            unit="bytes",
            queries={"{{pod}}": f'jvm_memory_used_bytes{{{here},area="heap",strimzi_kind="KafkaConnect"}}'},
        ),
    ]


def _dashboard(title: str, *, panels: Sequence[Panel], uid: str) -> dict[str, Any]:
    return {
        "uid": uid[:40],
        "title": f"cflight: {title}",
        "tags": ["cflight"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus", "hide": 0}
            ]
        },
        "panels": [panel.as_dict(number) for number, panel in enumerate(panels)],
    }
