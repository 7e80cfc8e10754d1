"""The server's settings, from environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class EngineSettings(BaseSettings):
    """What the server is told by its environment; each field is the variable of its name in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", secrets_dir=None)

    kafka_bootstrap_servers: Annotated[str, Field(description="Kafka's address, host:port, several with commas")]
    schema_registry_url: Annotated[
        str, Field(description="the registry's Confluent-compatible base URL; needed for AVRO")
    ] = ""
    http_host: Annotated[str, Field(description="the address to listen on")] = "127.0.0.1"
    http_port: Annotated[int, Field(description="the port to listen on", ge=1, le=65535)] = 8088
    ksql_service_id: Annotated[
        str,
        Field(
            description="names the command topic, the internal topics and the consumer groups",
            pattern=r"^[A-Za-z0-9._-]+$",
        ),
    ] = "default_"
    ksql_state_folder: Annotated[
        Path, Field(description="where queries keep their state; it can be rebuilt from Kafka")
    ] = Path("/tmp/ksql-state")  # noqa: S108 - ksqlDB's own default lies there, and it holds nothing of value
    ksql_streams_auto_offset_reset: Annotated[
        Literal["earliest", "latest"], Field(description="where new queries begin to read")
    ] = "latest"
    ksql_streams_commit_interval_ms: Annotated[
        int, Field(description="updates of one key within it are merged", ge=1)
    ] = 2000
    ksql_streams_cache_max_bytes_buffering: Annotated[
        int, Field(description="0 turns the merging off: every input makes an output", ge=0)
    ] = 10_000_000
    ksql_internal_topic_replicas: Annotated[
        int, Field(description="replicas of the command and changelog topics", ge=1)
    ] = 1
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Field(description="how to speak to Kafka")
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[str, Field(description="e.g. SCRAM-SHA-512; with SASL only")] = ""
    kafka_sasl_username: Annotated[str, Field(description="with SASL only")] = ""
    kafka_sasl_password: Annotated[SecretStr, Field(description="with SASL only")] = SecretStr("")
    kafka_sasl_password_file: Annotated[Path | None, Field(description="a file with the password")] = None
    kafka_ssl_ca_location: Annotated[str, Field(description="a file with the certificates to trust")] = ""

    def kafka(self) -> dict[str, Any]:
        """Return the settings that every Kafka client needs."""
        found: dict[str, Any] = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
            # A broker that was away is found again within a second, not within ten.
            "reconnect.backoff.max.ms": 1000,
        }
        password = self.kafka_sasl_password.get_secret_value()
        if self.kafka_sasl_password_file is not None:
            password = self.kafka_sasl_password_file.read_text(encoding="utf-8").strip()
        optional = {
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": password,
            "ssl.ca.location": self.kafka_ssl_ca_location,
        }
        return found | {name: value for name, value in optional.items() if value}
