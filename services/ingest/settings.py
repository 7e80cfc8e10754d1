"""ingest's settings."""

from __future__ import annotations

from pydantic import Field, SecretStr

from services import contracts
from services.settings import Port, ServiceSettings, Topic


class IngestSettings(ServiceSettings):
    """What ingest can be told."""

    http_port: Port = Field(
        default=8080, description="Port of `/batches`, `/healthz`, `/readyz` and `/metrics`; 0 takes a free one."
    )
    event_log_topic: Topic = Field(default=contracts.EVENT_LOG, description="Written: bodies, byte for byte.")
    ingest_token: SecretStr | None = Field(
        default=None, description="Where set, requests need it: `Authorization: Bearer <token>`."
    )
    delivery_timeout_ms: int = Field(
        default=10_000,
        ge=1_000,
        le=300_000,
        description="A body that Kafka has not acknowledged after so long is answered with 503.",
    )
    idle_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long a client may take for a request's head, or pause in its body."
    )
    least_bytes_per_second: int = Field(
        default=16 * 1024,
        ge=1,
        description="A client that sends its body more slowly than this, after `IDLE_TIMEOUT_SECONDS`, is cut off.",
    )
    keep_alive_seconds: int = Field(
        default=75, ge=1, le=3600, description="How long a connection may wait for its next request."
    )
    shutdown_seconds: int = Field(
        default=20, ge=1, le=600, description="How long requests in work may take to finish after SIGTERM."
    )
