"""What is registered by a job in the cluster, as neither registry nor ksqlDB can be reached from outside.

Targets give these jobs to a pipeline as its schemas and statements, wherever Kafka is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra.kubernetes.job import Job, JobArgs
from infra.kubernetes.kafka import resource_name
from infra.kubernetes.workload import FILES_FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from infra.contract import Schema, Statements
    from infra.kubernetes.access import HttpAccess
    from infra.kubernetes.place import Place

STATEMENTS = "statements"


def schema_job_name(schema: Schema) -> str:
    """Return the name of a schema's job, which the registry must let in."""
    return f"schema-{resource_name(schema.subject)}".replace(".", "-")


def schema_job(
    schema: Schema,
    *,
    place: Place,
    registry: HttpAccess,
    after: Sequence[pulumi.Resource],
    image: pulumi.Input[str] | None = None,
) -> pulumi.Resource:
    """Declare the job that registers a schema.

    Args:
        schema: the schema.
        place: where the job runs.
        registry: how it reaches the registry.
        after: what must be there before it.
        image: another image than the settings' one.

    Returns:
        The resource that is made when the schema is registered.
    """
    content = {"subject": schema.subject, "definition": schema.definition, "compatibility": schema.compatibility}
    job = Job(
        schema_job_name(schema),
        place=place,
        args=JobArgs(
            command=["cflight-schemas", f"{FILES_FOLDER}/schemas.json", "--registry", registry.url],
            image=image,
            files={"schemas.json": json.dumps([content], indent=1)},
            egress=registry.servers,
        ),
        after=after,
    )
    return job.done


def statements_job(
    statements: Statements,
    *,
    place: Place,
    ksql: HttpAccess,
    after: Sequence[pulumi.Resource],
    image: pulumi.Input[str] | None = None,
) -> pulumi.Resource:
    """Declare the job that brings a ksqlDB server to what a folder of statements says.

    Args:
        statements: the folder.
        place: where the job runs.
        ksql: how it reaches the server.
        after: what must be there before it.
        image: another image than the settings' one.

    Returns:
        The resource that is made when the server is there.
    """
    files = {file.name: file.read_text() for file in sorted(statements.folder.glob("*.sql"))}
    command: list[pulumi.Input[str]] = ["cflight-ksql-statements", "apply", FILES_FOLDER, "--server", ksql.url]
    command += ["--wait", "120", *(["--delete-topics"] if statements.delete_topics else [])]
    job = Job(
        STATEMENTS,
        place=place,
        args=JobArgs(command=command, image=image, files=files, egress=ksql.servers),
        after=after,
    )
    return job.done
