"""Metrics, alerts and dashboards for the Prometheus operator and Grafana: all or nothing, by one setting.

The services' metrics have the names of services/metrics.py, Kafka's and Connect's those of jmx.py, consumer groups'
those of Strimzi's Kafka exporter, containers' those of the kubelet and of kube-state-metrics.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import ConfigMap

from infra.kubernetes import connect
from infra.kubernetes.dashboards import dashboards
from infra.kubernetes.kafka import CLUSTER
from infra.kubernetes.network import Peer
from infra.kubernetes.place import INSTANCE
from infra.kubernetes.place import NAME as NAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from infra.contract import Pipeline
    from infra.kubernetes.place import Place

COMPONENT = "observability"
_API = "monitoring.coreos.com/v1"
_STRIMZI_PORT = "tcp-prometheus"
# Grafana's sidecar looks for this label.
_DASHBOARD = {"grafana_dashboard": "1"}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert.

    Attributes:
        name: its name.
        expression: PromQL; it fires for every series that this has.
        minutes: how long that must be so.
        severity: how bad it is.
        summary: what is wrong, with the series' labels.
        remedy: what to do.
    """

    name: str
    expression: str
    minutes: int
    severity: str
    summary: str
    remedy: str

    def rule(self) -> dict[str, Any]:
        """Return the alert as a rule of Prometheus."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": f"{self.minutes}m",
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.remedy},
        }


def scrapers(place: Place, *, ports: Sequence[int]) -> list[Peer]:
    """Return who reads metrics; nobody if nothing is observed.

    Args:
        place: where the metrics are.
        ports: their ports.
    """
    settings = place.settings.observability
    return [Peer(namespace=settings.namespace, ports=ports)] if settings.enabled else []


def observe(pipeline: Pipeline, *, place: Place, after: Sequence[pulumi.Resource]) -> None:
    """Declare monitors, alerts and dashboards, if the settings ask for them.

    Args:
        pipeline: what is observed.
        place: where it is.
        after: what must be there before.
    """
    settings = place.settings.observability
    if not settings.enabled:
        return
    services = [service.name for service in pipeline.services]
    _monitor(
        "services",
        place=place,
        selector={
            "matchLabels": {INSTANCE: place.stack},
            "matchExpressions": [{"key": NAME_LABEL, "operator": "In", "values": [*services, "registry"]}],
        },
        port="http",
        labels={f"__meta_kubernetes_pod_label_{NAME_LABEL.translate(_UNDERSCORES)}": "service"},
        after=after,
    )
    _monitor(
        "strimzi",
        place=place,
        selector={
            "matchExpressions": [
                {"key": "strimzi.io/cluster", "operator": "In", "values": [CLUSTER, connect.CLUSTER]},
            ]
        },
        port=_STRIMZI_PORT,
        labels={
            "__meta_kubernetes_pod_label_strimzi_io_kind": "strimzi_kind",
            "__meta_kubernetes_pod_label_strimzi_io_name": "strimzi_name",
        },
        after=after,
    )
    CustomResource(
        "cflight",
        api_version=_API,
        kind="PrometheusRule",
        metadata=place.metadata("cflight", component=COMPONENT, labels=settings.labels),
        spec={
            "groups": [
                {"name": "cflight", "rules": [alert.rule() for alert in alerts(pipeline, place=place)]},
            ]
        },
        opts=place.options(after=after),
    )
    for name, dashboard in dashboards(pipeline, namespace=place.settings.namespace).items():
        ConfigMap(
            f"dashboard-{name}",
            metadata=place.metadata(f"dashboard-{name}", component=COMPONENT, labels=_DASHBOARD),
            data={f"cflight-{name}.json": json.dumps(dashboard, indent=1, sort_keys=True)},
            opts=place.options(after=after),
        )


def alerts(pipeline: Pipeline, *, place: Place) -> list[Alert]:
    """Return the alerts.

    Args:
        pipeline: what is observed.
        place: where it is.
    """
    here = f'namespace="{place.settings.namespace}"'
    lag = place.settings.observability.lag_messages
    groups = [service.name for service in pipeline.services if service.reads]
    groups += [f"connect-{sink.name}" for sink in pipeline.sinks]
    group_pattern = "|".join(group.replace(".", "\\\\.") for group in groups)
    consumers = "|".join(service.name for service in pipeline.services if service.reads)
    return [
        Alert(
            name="ConsumerLag",
            expression="sum by (consumergroup, topic) "
            f'(kafka_consumergroup_lag{{{here},consumergroup=~"{group_pattern}"}}) > {lag}',
            minutes=10,
            severity="warning",
            summary="{{ $labels.consumergroup }} is {{ $value }} messages behind on {{ $labels.topic }}",
            remedy="Is it running? If it is busy, raise its replicas (at most the partitions) or its memory.",
        ),
        Alert(
            name="ServiceLag",
            expression=f"sum by (service, topic) (cflight_lag_messages{{{here}}}) > {lag}",
            minutes=10,
            severity="warning",
            summary="{{ $labels.service }} is {{ $value }} messages behind on {{ $labels.topic }}",
            remedy="Is it ready? If it is busy, raise its replicas (at most the partitions).",
        ),
        Alert(
            name="Rejects",
            expression=f"sum by (service, kind, reason) (rate(cflight_rejected_total{{{here}}}[10m])) > 0.1",
            minutes=10,
            severity="warning",
            summary="{{ $labels.service }} rejects {{ $labels.kind }}: {{ $labels.reason }}",
            remedy="Look at the dead-letter topics: their headers say what was wrong and where it came from.",
        ),
        Alert(
            name="AbortedTransactions",
            expression=f'sum by (service) (rate(cflight_transactions_total{{{here},outcome="aborted"}}[10m])) > 0.05',
            minutes=10,
            severity="warning",
            summary="{{ $labels.service }} aborts transactions",
            remedy="Its log says why; brokers that restart are a passing cause.",
        ),
        Alert(
            name="ConnectorFailed",
            expression=f'max by (connector) (kafka_connect_worker_connector_tasks{{{here},state="failed"}}) > 0',
            minutes=2,
            severity="critical",
            summary="tasks of {{ $labels.connector }} have failed",
            remedy="`kubectl get kafkaconnector {{ $labels.connector }} -o yaml` shows the trace.",
        ),
        Alert(
            name="MemoryNearLimit",
            expression="max by (pod, service) "
            f"(cflight_memory_used_bytes{{{here}}} / cflight_memory_limit_bytes{{{here}}}) > 0.85",
            minutes=10,
            severity="warning",
            summary="{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its memory",
            remedy="Raise `cflight:services.<service>.memory`.",
        ),
        Alert(
            name="ContainerMemoryNearLimit",
            expression=f'max by (pod, container) (container_memory_working_set_bytes{{{here},container!=""}}) '
            "/ on (pod, container) max by (pod, container) "
            f'(kube_pod_container_resource_limits{{{here},resource="memory"}}) > 0.85',
            minutes=10,
            severity="warning",
            summary="{{ $labels.container }} in {{ $labels.pod }} uses {{ $value | humanizePercentage }} of its memory",
            remedy="Raise the part's memory in the stack's settings. A broker's page cache is not counted here.",
        ),
        Alert(
            name="OutOfMemory",
            expression=f"max by (pod, container) (kube_pod_container_status_last_terminated_reason{{{here},"
            'reason="OOMKilled"}) > 0',
            minutes=0,
            severity="critical",
            summary="{{ $labels.container }} in {{ $labels.pod }} was killed for want of memory",
            remedy="Raise the part's memory in the stack's settings.",
        ),
        Alert(
            name="NoBatches",
            expression=f'sum(rate(cflight_batches_total{{{here},service=~"{consumers}"}}[30m])) == 0 '
            f'or absent(cflight_batches_total{{{here},service=~"{consumers}"}})',
            minutes=30,
            severity="warning",
            summary="no batch has been finished for half an hour",
            remedy="Do partners send any? Is ingest reached, and are the services ready?",
        ),
        Alert(
            name="ServiceNotReady",
            expression=f"min by (service, pod) (cflight_ready{{{here}}}) == 0",
            minutes=10,
            severity="critical",
            summary="{{ $labels.pod }} is not ready",
            remedy="Its page /readyz says what it waits for.",
        ),
        Alert(
            name="UnderReplicatedPartitions",
            expression=f"sum(kafka_server_replicamanager_underreplicatedpartitions{{{here}}}) > 0",
            minutes=10,
            severity="warning",
            summary="{{ $value }} partitions have fewer replicas in sync than they should",
            remedy="Is a broker down, or its disk full?",
        ),
        Alert(
            name="OfflinePartitions",
            expression=f"max(kafka_controller_kafkacontroller_offlinepartitionscount{{{here}}}) > 0",
            minutes=1,
            severity="critical",
            summary="{{ $value }} partitions have no leader",
            remedy="Brokers are down: nothing can be written to these partitions.",
        ),
    ]


# Prometheus writes labels' names with underscores.
_UNDERSCORES = str.maketrans("./-", "___")


def _monitor(
    name: str,
    *,
    place: Place,
    selector: Mapping[str, Any],
    port: str,
    labels: Mapping[str, str],
    after: Sequence[pulumi.Resource],
) -> None:
    CustomResource(
        name,
        api_version=_API,
        kind="PodMonitor",
        metadata=place.metadata(name, component=COMPONENT, labels=place.settings.observability.labels),
        spec={
            "selector": dict(selector),
            "podMetricsEndpoints": [
                {
                    "port": port,
                    "path": "/metrics",
                    "interval": "30s",
                    "relabelings": [
                        {"action": "replace", "sourceLabels": [source], "targetLabel": target}
                        for source, target in labels.items()
                    ],
                }
            ],
        },
        opts=place.options(after=after),
    )
