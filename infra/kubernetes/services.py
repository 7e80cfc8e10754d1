"""A stream service as a Deployment.

Where Kafka and the registry are comes as `KafkaAccess` (SCRAM, or IAM with the pod's identity: the ServiceAccount has
the service's name) and `HttpAccess`. A service without a registry in its `schemas` gets none, and may not reach it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from infra.kubernetes.access import HttpAccess, KafkaAccess, SecretKey
from infra.kubernetes.scaling import Scaling, scale
from infra.kubernetes.workload import Probe, Workload, cluster_service, declare_pods, disruption_budget
from services.settings import ConsumerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.contract import Service
    from infra.kubernetes.network import Peer
    from infra.kubernetes.place import Place

# librdkafka's calls at the end of a transaction are given up after this; the rest is for what follows.
_COMMIT_SECONDS = 30
_MARGIN_SECONDS = 15
# How long load balancers may still send requests to a pod that is to end.
_DRAIN_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class StreamServiceArgs:
    """What a service's deployment is told.

    Attributes:
        service: the service.
        kafka: how it reaches Kafka.
        registry: how it reaches the registry.
        scaling: how its replicas follow the load; None: they do not.
        image: another image than the settings' one.
        existing_secrets: secrets that are there already, by variable.
        clients: who calls it, if it is public.
        scrapers: who reads its metrics.
    """

    service: Service
    kafka: KafkaAccess
    registry: HttpAccess
    scaling: Scaling | None = None
    image: pulumi.Input[str] | None = None
    existing_secrets: Mapping[str, SecretKey] = field(default_factory=dict[str, SecretKey])
    clients: Sequence[Peer] = ()
    scrapers: Sequence[Peer] = ()


def existing_secrets(service: Service, *, given: Mapping[str, str]) -> dict[str, SecretKey]:
    """Return the Secrets that hold a service's variables.

    Args:
        service: the service.
        given: where each is, as the settings have it: `{"service.VARIABLE": "secret/key"}`.

    Returns:
        By variable.
    """
    found: dict[str, SecretKey] = {}
    for place, source in given.items():
        name, _, variable = place.partition(".")
        secret, _, key = source.partition("/")
        if name == service.name:
            found[variable] = SecretKey(secret=secret, key=key)
    return found


class StreamService(pulumi.ComponentResource):
    """A stream service.

    Args:
        place: where it is put.
        args: what it is told.
        after: what must be there before it.

    Attributes:
        ready: the resource that is made when its pods are ready.
    """

    ready: pulumi.Resource

    def __init__(self, *, place: Place, args: StreamServiceArgs, after: Sequence[pulumi.Resource] = ()) -> None:
        service = args.service
        name = service.name
        super().__init__("cflight:kubernetes:StreamService", name, None, place.component_options(after=after))
        pods = declare_pods(_workload(place, args), place=place, parent=self)
        disruption_budget(name, place=place, parent=self)
        if service.public:
            cluster_service(name, place=place, ports={"http": service.http_port}, parent=self)
        self.ready = Deployment(
            name,
            metadata=place.metadata(name, component=name),
            spec=DeploymentSpecArgs(
                # With scaling, another one sets the number, and an update must leave it alone.
                replicas=None if args.scaling else service.replicas,
                selector=LabelSelectorArgs(match_labels=dict(pods.labels)),
                template=pods.template,
                strategy=_strategy(service),
                min_ready_seconds=5,
                progress_deadline_seconds=600,
                revision_history_limit=3,
            ),
            opts=place.options(parent=self, after=[*pods.needs, *after]),
        )
        if args.scaling:
            scale(service, place=place, scaling=args.scaling, deployment=self.ready, parent=self)
        self.register_outputs({})


def grace_seconds(service: Service) -> int:
    """Return how long a service may take to end: longer than its transactions live, and than their commit may take.

    Args:
        service: the service; `TRANSACTION_TIMEOUT_MS` in its environment counts.
    """
    default: int = ConsumerSettings.model_fields["transaction_timeout_ms"].default
    timeout_ms = int(service.environment.get("TRANSACTION_TIMEOUT_MS", default))
    return -(-timeout_ms // 1000) + _COMMIT_SECONDS + _MARGIN_SECONDS


def _strategy(service: Service) -> DeploymentStrategyArgs:
    # Clients must find a pod at any time; a consumer that comes before another goes would only move partitions twice.
    surge = 1 if service.public else 0
    return DeploymentStrategyArgs(
        type="RollingUpdate",
        rolling_update=RollingUpdateDeploymentArgs(max_surge=surge, max_unavailable=1 - surge),
    )


def _workload(place: Place, args: StreamServiceArgs) -> Workload:
    service, kafka = args.service, args.kafka
    environment: dict[str, pulumi.Input[str]] = {
        **kafka.environment(),
        "HTTP_HOST": "0.0.0.0",  # noqa: S104 - the network policy says who reaches the pod
        "HTTP_PORT": str(service.http_port),
        "PYTHONUNBUFFERED": "1",
        **service.environment,
    }
    if service.schemas:
        environment["SCHEMA_REGISTRY_URL"] = args.registry.url
    clients = list(args.clients) if service.public else []
    return Workload(
        name=service.name,
        image=args.image or place.settings.images.services,
        memory=service.memory,
        cpu=place.cpu(service.name),
        command=[f"cflight-{service.name}"],
        environment=environment,
        secrets=service.secrets,
        existing_secrets={**kafka.secrets(), **args.existing_secrets},
        secret_files=kafka.files(),
        ports={"http": service.http_port},
        startup=Probe(path="/healthz", period=2, failures=60),
        liveness=Probe(path="/healthz", failures=6),
        readiness=Probe(path="/readyz", period=5),
        ingress=[*clients, *args.scrapers],
        egress=[*kafka.brokers, *(args.registry.servers if service.schemas else ())],
        grace_seconds=grace_seconds(service),
        drain_seconds=_DRAIN_SECONDS if service.public else 0,
    )
