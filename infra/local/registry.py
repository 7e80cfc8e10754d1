"""Apicurio Registry, with its Confluent-compatible API, over an H2 file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from infra.local.jvm import jvm_command
from infra.local.parts import HOST
from infra.local.process import Process
from infra.memory import registry_memory

if TYPE_CHECKING:
    from infra.local.parts import Stack

PORTS = ("registry", "registry-management")
API = "/apis/ccompat/v7"
MAIN = "io.quarkus.runner.GeneratedMain"
PROPERTIES = {"java.util.logging.manager": "org.jboss.logmanager.LogManager"}


def registry(stack: Stack) -> Process:
    """Declare the stack's schema registry.

    Args:
        stack: the local stack.
    """
    return Process(
        "registry",
        folder=stack.supervisor.folder,
        stack=stack.name,
        command=jvm_command(
            "registry",
            memory=registry_memory(stack.settings.registry.memory),
            main=MAIN,
            arguments=[],
            properties=PROPERTIES,
        ),
        environment=pulumi.Output.all(stack.ports["registry"], stack.ports["registry-management"]).apply(
            lambda ports: registry_environment(port=ports[0], management=ports[1])
        ),
        # Killed while it makes its tables, it does not start any more.
        discard="data",
        memory=stack.settings.registry.memory,
        ready=stack.url("registry", f"{API}/subjects").apply(lambda url: {"url": url, "seconds": 90}),
        url=stack.url("registry"),
        opts=pulumi.ResourceOptions(parent=stack.supervisor, deleted_with=stack.supervisor),
    )


def registry_environment(*, port: int, management: int) -> dict[str, str]:
    """Return the registry's environment variables.

    Args:
        port: of its APIs.
        management: of health and metrics.
    """
    return {
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(port),
        # Its own port for health and metrics listens on every interface by default.
        "QUARKUS_MANAGEMENT_HOST": HOST,
        "QUARKUS_MANAGEMENT_PORT": str(management),
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "h2",
        # Without WRITE_DELAY=0, H2 answers before the write is on disk and kill -9 loses schemas.
        "APICURIO_DATASOURCE_URL": "jdbc:h2:file:./data/registry;WRITE_DELAY=0",
        "APICURIO_REST_DELETION_ARTIFACT_ENABLED": "true",
        "APICURIO_REST_DELETION_ARTIFACTVERSION_ENABLED": "true",
        "APICURIO_REST_DELETION_GROUP_ENABLED": "true",
    }
