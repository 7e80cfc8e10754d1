"""Where a running stack is found: its outputs, typed."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from cflight.errors import CflightError
from services.kafka import client_config
from services.settings import KafkaSettings, load

if TYPE_CHECKING:
    from collections.abc import Mapping


class EndpointsError(CflightError):
    """A stack's outputs do not say where it is found."""


class Endpoints(BaseModel):
    """The addresses, names and credentials that a client of a stack needs; the outputs of the same names in camelCase.

    Attributes:
        bootstrap_servers: Kafka, host:port, separated by commas.
        schema_registry_url: base URL of the registry's Confluent-compatible API.
        ingest_url: where batches are posted.
        connect_url: Connect's REST API, where the target has one.
        ksql_url: the ksqlDB server, where the stack has one.
        s3_endpoint: the S3 store's URL; None for AWS's own.
        s3_region: its region.
        s3_access_key: None for the credentials of the environment.
        s3_secret_key: the same.
        quotes_bucket: bucket of the cheapest quotes.
        batches_bucket: bucket of the archived batches.
        folder: the folder of a local stack.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    bootstrap_servers: str
    schema_registry_url: str
    ingest_url: str
    connect_url: str | None = None
    ksql_url: str | None = None
    s3_endpoint: str | None = None
    s3_region: str
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    quotes_bucket: str
    batches_bucket: str
    folder: Path | None = None

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Any], *, stack: str) -> Endpoints:
        """Read a stack's outputs.

        A variable `CFLIGHT_<NAME>` of the environment (`CFLIGHT_INGEST_URL`) goes before the output of that name: what
        the parts of a cluster are called inside of it may be reached by another address from here.

        Args:
            outputs: by name, secrets in clear text.
            stack: the stack's name, for messages.

        Raises:
            EndpointsError: some are missing.
        """
        buckets: Mapping[str, str] = outputs.get("buckets", {})
        given = {f"{role}Bucket": name for role, name in buckets.items()} | dict(outputs)
        for name in cls.model_fields:
            variable = os.environ.get(f"CFLIGHT_{name.upper()}")
            if variable:
                given[to_camel(name)] = variable
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            missing = ", ".join(str(item["loc"][0]) for item in error.errors())
            raise EndpointsError(
                f"the stack {stack} has no output {missing}",
                remedy=f"Bring it up with `cflight up --stack {stack}`; or, where its target cannot know them, set "
                f"{', '.join(_variable(str(item['loc'][0])) for item in error.errors())}.",
            ) from None

    def kafka_config(self, *, client_id: str) -> dict[str, Any]:
        """Return librdkafka's configuration of a client; how to log in comes from the environment (`KAFKA_…`).

        Args:
            client_id: the client's name in the broker's logs.
        """
        environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}
        return client_config(load(KafkaSettings, environ=environ), client_id=client_id)


def _variable(output: str) -> str:
    return "CFLIGHT_" + "".join(f"_{letter}" if letter.isupper() else letter for letter in output).upper()
