"""The services' settings: environment variables, typed and validated at one place, and documented from it.

Every field of a settings class is an environment variable of the same name in capitals. A secret may also be given as a
file's path in `<NAME>_FILE`. An empty variable counts as not set.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)

from services import contracts
from services.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_QUANTITY = re.compile(r"(\d+)\s*(|k|M|G|Ki|Mi|Gi)B?")


def parse_bytes(value: object) -> object:
    """Return the bytes that a quantity like `16Mi` means; pydantic judges whatever is no quantity.

    Args:
        value: digits with an optional unit: k, M, G (powers of 1000) or Ki, Mi, Gi (powers of 1024).
    """
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    return int(match[1]) * _UNITS[match[2]]


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Port = Annotated[int, Field(ge=0, le=65535)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class KafkaSettings(BaseModel):
    """How to reach Kafka. Names and meanings are those of librdkafka."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = Field(
        min_length=1, description="Brokers to start from, `host:port`, separated by commas."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        default=None, description="How to log in. `OAUTHBEARER` means AWS IAM and needs `KAFKA_IAM_REGION`."
    )
    kafka_sasl_username: str | None = Field(default=None, description="User name for PLAIN and SCRAM.")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="Password for PLAIN and SCRAM.")
    kafka_ssl_ca_location: FilePath | None = Field(
        default=None, description="File of the certificates that the brokers' are checked against; else the system's."
    )
    kafka_iam_region: str | None = Field(default=None, description="AWS region of the MSK cluster, for OAUTHBEARER.")

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        sasl = self.kafka_security_protocol.startswith("SASL_")
        if sasl and self.kafka_sasl_mechanism is None:
            raise ValueError(
                "KAFKA_SASL_MECHANISM: must be set where KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT or SASL_SSL"
            )
        if self.kafka_sasl_mechanism == "OAUTHBEARER" and not self.kafka_iam_region:
            raise ValueError("KAFKA_IAM_REGION: must be set where KAFKA_SASL_MECHANISM is OAUTHBEARER")
        if self.kafka_sasl_mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: must be set where KAFKA_SASL_MECHANISM is "
                f"{self.kafka_sasl_mechanism}"
            )
        return self


class ServiceSettings(KafkaSettings):
    """What every service can be told."""

    http_host: str = Field(default="127.0.0.1", description="Address that the HTTP port is bound to.")
    http_port: Port = Field(
        default=0,
        description="Port of `/healthz`, `/readyz` and `/metrics`; 0 takes a free one, which the start line tells.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )
    max_message_bytes: Bytes = Field(
        default=contracts.MAX_MESSAGE_BYTES,
        ge=1024 * 1024,
        le=256 * 1024 * 1024,
        description="The longest message of the payload topics; the topics' `max.message.bytes`.",
    )


class RegistrySettings(BaseModel):
    """How to reach the schema registry."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_registry_url: str = Field(
        pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
        description="Base URL of the registry's Confluent-compatible API, e.g. `http://127.0.0.1:8081/apis/ccompat/v7`.",
    )
    schema_registry_username: str | None = Field(
        default=None, description="User name, where the registry asks for one."
    )
    schema_registry_password: SecretStr | None = Field(
        default=None, description="Password, where the registry asks for one."
    )
    schema_registry_ca_location: FilePath | None = Field(
        default=None, description="File of the certificates that the registry's is checked against; else the system's."
    )


class RowSettings(BaseModel):
    """What the services that go row by row can be told."""

    native_rows: bool = Field(
        default=True, description="Use the native code where it is built; `false`: handle rows in Python."
    )


class ConsumerSettings(ServiceSettings):
    """What every service that reads a topic can be told."""

    instance_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="This instance's name among those of its group, the same after a restart: then it takes its "
        "partitions and its open transaction over at once. Without it, others take over after `SESSION_TIMEOUT_MS`.",
    )
    consumer_group: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9._-]{1,249}$", description="The consumer group; else the service's name."
    )
    session_timeout_ms: int = Field(
        default=10_000,
        ge=1_000,
        le=300_000,
        description="An instance that is silent for so long has died; others take its partitions.",
    )
    transaction_ms: int = Field(
        default=100, ge=1, le=5_000, description="A transaction is committed after about so long."
    )
    transaction_timeout_ms: int = Field(
        default=15_000, ge=1_000, le=900_000, description="The broker aborts a transaction that is open for so long."
    )
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = Field(
        default="lz4", description="Kafka's compression of what the service writes."
    )


_Model = TypeVar("_Model", bound=BaseModel)


def load(model: type[_Model], *, environ: Mapping[str, str]) -> _Model:
    """Read a service's settings.

    Args:
        model: the settings' class.
        environ: the environment variables.

    Returns:
        The settings.

    Raises:
        SettingsError: naming every variable that is missing or wrong.
    """
    values: dict[str, str] = {}
    for name, field in model.model_fields.items():
        variable = name.upper()
        value = _secret(variable, environ=environ) if _is_secret(field.annotation) else environ.get(variable)
        if value:
            values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(_explain(detail) for detail in error.errors())
        raise SettingsError(wrong, where="environment", remedy="--help lists all variables") from None


def rows_of_help(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield each variable's name, default (empty if there is none) and description.

    Args:
        model: the settings' class.
    """
    for name, field in model.model_fields.items():
        variable = f"{name.upper()}, {name.upper()}_FILE" if _is_secret(field.annotation) else name.upper()
        default = "required" if field.is_required() else "" if field.default is None else str(field.default)
        yield variable, default, field.description or ""


def help_text(model: type[BaseModel], *, program: str, purpose: str) -> str:
    """Return what `--help` prints.

    Args:
        model: the settings' class.
        program: the program's name.
        purpose: what it does, a sentence.
    """
    lines = [f"usage: {program} [--help]", "", purpose, "", "Environment variables:"]
    for variable, default, description in rows_of_help(model):
        note = f" ({default})" if default == "required" else f" (default: {default})" if default else ""
        lines.append(f"  {variable}{note}\n      {description}")
    return "\n".join(lines)


def load_or_exit(
    model: type[_Model], *, program: str, purpose: str, environ: Mapping[str, str], arguments: list[str]
) -> _Model:
    """Read a program's settings, or print help or what is wrong and exit.

    Args:
        model: the settings' class.
        program: the program's name.
        purpose: what it does, a sentence.
        environ: the environment variables.
        arguments: the command line's; only `--help` is known.
    """
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(help_text(model, program=program, purpose=purpose) + "\n")
        raise SystemExit(0)
    if arguments:
        sys.stderr.write(
            f"{program}: {arguments[0]!r} is not known. Settings are environment variables: see {program} --help\n"
        )
        raise SystemExit(2)
    try:
        return load(model, environ=environ)
    except SettingsError as error:
        sys.stderr.write(f"{program}: {error}\n")
        raise SystemExit(2) from None


def _is_secret(annotation: Any) -> bool:
    return annotation == SecretStr | None


def _secret(variable: str, *, environ: Mapping[str, str]) -> str | None:
    path = environ.get(f"{variable}_FILE")
    if not path:
        return environ.get(variable)
    if environ.get(variable):
        raise SettingsError("is set twice", where=f"{variable}, {variable}_FILE", remedy="Set one of them")
    try:
        return Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", where=f"{variable}_FILE") from None


def _explain(detail: Any) -> str:
    location = cast("tuple[str, ...]", detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    variable = str(location[0]).upper()
    if detail["type"] == "missing":
        return f"{variable} is not set"
    return f"{variable}={detail['input']!r}: {message}"
