"""The stack's configuration: typed, validated and documented here, and nowhere else.

Every key lies in the namespace `cflight`. `python -m infra.settings` prints the reference (docs/settings.md).
"""

from __future__ import annotations

import difflib
import json
import sys
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from infra.errors import SettingsError
from infra.memory import MIB, Memory, format_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

NAMESPACE = "cflight"

Compatibility = Literal[
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
]
MEMORY = "Hard memory limit; heaps and buffers are derived from it."


class Section(BaseModel):
    """A group of settings: one key of the stack's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)


class KafkaSettings(Section):
    """The brokers."""

    memory: Memory = Field(default=512 * MIB, description=MEMORY)


class RegistrySettings(Section):
    """The schema registry."""

    memory: Memory = Field(default=384 * MIB, description=MEMORY)
    compatibility: Compatibility = Field(
        default="BACKWARD", description="How a new version of a schema must fit the versions before it."
    )


class ConnectSettings(Section):
    """The Kafka Connect workers."""

    memory: Memory = Field(default=512 * MIB, description=MEMORY)
    plugin_path: str | None = Field(
        default=None,
        description="Folder that holds the real Confluent S3 sink's folder, as Connect's `plugin.path`; without it, "
        "the embedded plug-in is used.",
    )


class KsqlSettings(Section):
    """The ksqlDB server."""

    server: Literal["embedded", "confluent", "external"] = Field(
        default="embedded",
        description="`embedded`: the engine of this project, for development and tests; `confluent`: starts the "
        "server of a Confluent Platform folder; `external`: uses the server at `url`.",
    )
    url: str | None = Field(default=None, description="The server's URL; only with `server: external`.")
    confluent_home: str | None = Field(
        default=None, description="The Confluent Platform's folder; only with `server: confluent`."
    )
    memory: Memory = Field(default=512 * MIB, description=MEMORY)
    delete_topics: bool = Field(
        default=False, description="Whether removing a statement deletes the topic that it writes."
    )

    @model_validator(mode="after")
    def _needs(self) -> KsqlSettings:
        for server, name in (("external", "url"), ("confluent", "confluent_home")):
            given = getattr(self, name) is not None
            if given != (self.server == server):
                raise ValueError(f"server: {self.server} and {to_camel(name)} do not go together")
        return self


class S3Settings(Section):
    """The S3 store, where the target runs one."""

    memory: Memory = Field(default=256 * MIB, description=MEMORY)
    region: str = Field(default="us-east-1", description="The region that clients and sinks are told.")


class BucketSettings(Section):
    """The buckets' names."""

    quotes: str = Field(default="cflight.bucket", description="The bucket of the cheapest quotes.")
    batches: str = Field(default="flightbatch.bucket", description="The bucket of the archived batches.")


class TopicSettings(Section):
    """The topics of the pipeline."""

    partitions: int = Field(default=4, ge=1, le=4096, description="Partitions of every topic.")
    replication_factor: int = Field(default=1, ge=1, le=9, description="Replicas of every partition.")
    min_in_sync_replicas: int = Field(
        default=1, ge=1, le=9, description="Replicas that must have a record before it is acknowledged."
    )
    retention_hours: int = Field(default=168, ge=1, description="How long records of the pipeline are kept.")
    dead_letter_retention_hours: int = Field(
        default=336, ge=1, description="How long dead letters and the event log are kept."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TopicSettings:
        if self.min_in_sync_replicas > self.replication_factor:
            raise ValueError(
                f"minInSyncReplicas {self.min_in_sync_replicas} is more than replicationFactor "
                f"{self.replication_factor}: nothing could be written"
            )
        return self


class ServiceSettings(Section):
    """A stream service."""

    memory: Memory = Field(default=128 * MIB, description=MEMORY)
    replicas: int = Field(default=1, ge=1, description="Instances; more than there are partitions stay idle.")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Further environment variables (docs/services.md lists them)."
    )


class IngestSettings(ServiceSettings):
    """The HTTP service that takes the batches."""

    token: SecretStr | None = Field(
        default=None, description="The bearer token that clients must send; a secret. None: no token is asked for."
    )


class ServicesSettings(Section):
    """The stream services."""

    ingest: IngestSettings = Field(default=IngestSettings(), description="Takes batches over HTTP.")
    transform: ServiceSettings = Field(default=ServiceSettings(), description="Enriches the rows of a batch.")
    cheapest: ServiceSettings = Field(
        default=ServiceSettings(), description="Finds a batch's cheapest quote (with `cheapestEngine: service`)."
    )
    compressor: ServiceSettings = Field(default=ServiceSettings(), description="Compresses the enriched batches.")


class SinkSettings(Section):
    """What an environment changes of a sink in `connectors/`; what is not set stays as the JSON has it."""

    flush_size: int | None = Field(default=None, ge=1, description="Records of a file.")
    rotate_interval_ms: int | None = Field(default=None, ge=1, description="Longest span of record time of a file.")
    rotate_schedule_interval_ms: int | None = Field(
        default=None, ge=1, description="Longest wall-clock age of a file (not exactly-once)."
    )
    part_size: Memory | None = Field(default=None, description="Size of the parts of an upload; 5Mi at least.")
    tasks_max: int | None = Field(default=None, ge=1, description="Tasks that share the topics' partitions.")


class StackSettings(Section):
    """Every setting of a stack."""

    target: Literal["local", "kubernetes", "aws"] = Field(description="Where the platform runs.")
    cheapest_engine: Literal["ksql", "service"] = Field(
        default="ksql", description="What finds the cheapest quote of a batch; both write the same records."
    )
    protect: bool = Field(default=False, description="Whether what holds data (topics, buckets) refuses to be deleted.")
    keep_data: bool = Field(default=False, description="Whether `destroy` leaves data behind for the next `up`.")
    kafka: KafkaSettings = Field(default=KafkaSettings(), description=KafkaSettings.__doc__)
    registry: RegistrySettings = Field(default=RegistrySettings(), description=RegistrySettings.__doc__)
    connect: ConnectSettings = Field(default=ConnectSettings(), description=ConnectSettings.__doc__)
    ksql: KsqlSettings = Field(default=KsqlSettings(), description=KsqlSettings.__doc__)
    s3: S3Settings = Field(default=S3Settings(), description=S3Settings.__doc__)
    buckets: BucketSettings = Field(default=BucketSettings(), description=BucketSettings.__doc__)
    topics: TopicSettings = Field(default=TopicSettings(), description=TopicSettings.__doc__)
    services: ServicesSettings = Field(default=ServicesSettings(), description=ServicesSettings.__doc__)
    sinks: dict[str, SinkSettings] = Field(
        default_factory=dict, description="By the name of a sink in `connectors/`: what this environment changes of it."
    )


def load_settings(config: Mapping[str, str]) -> StackSettings:
    """Read and validate a stack's configuration.

    Args:
        config: all configuration of the stack by full key; structured values as JSON text, as Pulumi gives them.
            Keys of other namespaces are left to their owners.

    Returns:
        The settings.

    Raises:
        SettingsError: a key, type or value is wrong; the message lists all that are, each with its remedy.
    """
    raw: dict[str, Any] = {}
    for key, text in config.items():
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE:
            raw[name] = _structured(text)
    try:
        return StackSettings.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
        raise SettingsError("\n".join(problems)) from None


def _structured(text: str) -> Any:
    # Pulumi hands structured values over as JSON text; a plain value that looks like JSON ("4", "true") is meant so.
    try:
        return json.loads(text)
    except ValueError:
        return text


def _problem(item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    key = f"{NAMESPACE}:{'.'.join(path)}"
    if item["type"] == "extra_forbidden":
        known = _fields_at(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
        return f"{key}: there is no such setting (its value is {item['input']!r}). {hint}"
    if item["type"] == "missing":
        return f"{key}: is not set. Set it with `pulumi config set --path {key} …`."
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{key}: {item['input']!r}: {message}. Change it with `pulumi config set --path {key} …`."


def _fields_at(path: list[str]) -> list[str]:
    model: type[Section] | None = StackSettings
    for part in path:
        fields = {} if model is None else {field.alias or name: field for name, field in model.model_fields.items()}
        if part in fields:
            model = _section(fields[part])
    return sorted(field.alias or name for name, field in model.model_fields.items()) if model else []


def _section(field: FieldInfo) -> type[Section] | None:
    candidates = [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)


def reference() -> str:
    """Return the reference of all settings as Markdown."""
    lines = [
        "# Settings",
        "",
        "Generated by `python -m infra.settings > docs/settings.md`; edit `infra/settings.py`, not this page.",
        "",
        "Set one with `pulumi config set --path cflight:kafka.memory 1Gi`, or in `Pulumi.<stack>.yaml`. A key that is",
        "not listed here, or a value of the wrong type, is refused in preview.",
        "",
        "| key | type | default | what it does |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{NAMESPACE}:{key}` | {kind} | {default} | {text} |" for key, kind, default, text in _rows()]
    return "\n".join([*lines, ""])


def _rows(model: type[Section] = StackSettings, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        section = _section(field)
        if section is None:
            yield key, _type_name(field), _default_text(field), field.description or ""
        elif get_origin(field.annotation) is dict:
            yield key, "map", "", field.description or ""
            yield from _rows(section, f"{key}.<name>.")
        else:
            yield from _rows(section, f"{key}.")


def _type_name(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if _is_memory(field):
        return "memory size"
    if get_origin(annotation) in {Union, types.UnionType}:
        annotation = next(item for item in get_args(annotation) if item is not type(None))
    if _is_memory_type(annotation):
        return "memory size"
    if get_origin(annotation) is Literal:
        return " \\| ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is dict:
        return "map of strings"
    names = {str: "string", int: "whole number", bool: "true or false", SecretStr: "secret string"}
    return names[annotation]


def _is_memory(field: FieldInfo) -> bool:
    return any(item in get_args(Memory)[1:] for item in field.metadata)


def _is_memory_type(annotation: Any) -> bool:
    return get_args(annotation) == get_args(Memory)


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if _is_memory(field):
        return f"`{format_memory(value)}`"
    if isinstance(value, dict):
        return ""
    return f"`{json.dumps(value) if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
