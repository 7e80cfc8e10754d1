"""The stream services as processes of this machine: as many as a service has replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.local.artefacts import ROOT, fingerprint, python
from infra.local.parts import HOST
from infra.local.process import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.contract import Service
    from infra.local.parts import Stack
    from infra.settings import StackSettings

# Longer than a transaction: a service finishes or aborts what it has begun.
_STOP_SECONDS = 15


def instances(service: Service) -> list[str]:
    """Return the names of a service's processes."""
    return [f"{service.name}-{number}" for number in range(service.replicas)]


def service_ports(settings: StackSettings) -> list[str]:
    """Return the names of the ports that the services' processes need, whichever engine is chosen."""
    return [f"{name}-{number}" for name, service in settings.services for number in range(service.replicas)]


def run_service(
    stack: Stack, service: Service, *, registry_url: pulumi.Output[str], after: Sequence[pulumi.Resource]
) -> list[Process]:
    """Declare the processes of a service.

    Args:
        stack: the local stack.
        service: what to run.
        registry_url: the registry's Confluent-compatible API.
        after: what must be ready before.
    """
    return [
        Process(
            instance,
            folder=stack.supervisor.folder,
            stack=stack.name,
            command=[python(), "-m", f"services.{service.name}"],
            environment={
                "KAFKA_BOOTSTRAP_SERVERS": stack.address("kafka"),
                "SCHEMA_REGISTRY_URL": registry_url,
                "HTTP_HOST": HOST,
                "HTTP_PORT": stack.ports[instance].apply(str),
                "PYTHONUNBUFFERED": "1",
                **({"INSTANCE_ID": instance} if service.reads else {}),
                **service.environment,
                **{name: pulumi.Output.secret(value) for name, value in service.secrets.items()},
            },
            memory=service.memory,
            ready=stack.url(instance, "/readyz").apply(lambda url: {"url": url}),
            stop_seconds=_STOP_SECONDS,
            url=stack.url(instance),
            code=_code(service),
            opts=pulumi.ResourceOptions(parent=stack.supervisor, depends_on=list(after), deleted_with=stack.supervisor),
        )
        for instance in instances(service)
    ]


def _code(service: Service) -> str:
    services = ROOT / "services"
    return fingerprint(services / service.name, *sorted(services.glob("*.py")), services / "native" / "rows.c")
