"""The services' Prometheus metrics. Names follow Prometheus's conventions; labels have few values."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest

from cflight.memory_limit import memory_cgroup, memory_limit

disable_created_metrics()

# The default registry adds Python's own garbage-collector metrics; nobody reads those here.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

BATCHES = Counter("cflight_batches", "Batches finished, whole or dead-lettered.", registry=REGISTRY)
ROWS = Counter("cflight_rows", "Rows passed on.", registry=REGISTRY)
BYTES_IN = Counter("cflight_in_bytes", "Bytes of messages or request bodies taken in.", registry=REGISTRY)
BYTES_OUT = Counter("cflight_out_bytes", "Bytes of message values written.", registry=REGISTRY)
REJECTED = Counter("cflight_rejected", "What was refused.", ["kind", "reason"], registry=REGISTRY)
TRANSACTIONS = Counter("cflight_transactions", "Transactions by how they ended.", ["outcome"], registry=REGISTRY)
TRANSACTION_SECONDS = Histogram(
    "cflight_transaction_seconds",
    "From the first message of a transaction until it was committed.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
LAG = Gauge("cflight_lag_messages", "Messages not yet read.", ["topic", "partition"], registry=REGISTRY)
REQUESTS = Counter("cflight_requests", "Requests by status code.", ["status"], registry=REGISTRY)
IN_FLIGHT_BYTES = Gauge(
    "cflight_in_flight_bytes", "Bytes of bodies being received or not yet acknowledged.", registry=REGISTRY
)
READY = Gauge("cflight_ready", "1 if the service is ready.", registry=REGISTRY)

_MEMORY_LIMIT = Gauge("cflight_memory_limit_bytes", "The memory that this process may use.", registry=REGISTRY)
_MEMORY_USED = Gauge("cflight_memory_used_bytes", "The memory charged to this process's cgroup.", registry=REGISTRY)
_MEMORY_LIMIT.set_function(memory_limit)


def _memory_used() -> float:
    cgroup = memory_cgroup()
    used = cgroup.used() if cgroup else None
    return float("nan") if used is None else used


_MEMORY_USED.set_function(_memory_used)


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format."""
    return generate_latest(REGISTRY)
