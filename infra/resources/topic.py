"""A Kafka topic over the admin API."""

# confluent-kafka's admin types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from pydantic import Field

from infra.errors import ResourceError
from infra.provider.handler import Change, Failure, Handler, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.provider.progress import Progress

_REQUEST_SECONDS = 10.0
_READY_SECONDS = 30.0
_BROKERS_SECONDS = 20.0


class TopicInputs(Inputs):
    """What a topic is declared with."""

    bootstrap_servers: str
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    partitions: int = Field(ge=1)
    replication_factor: int = Field(ge=1)
    configs: dict[str, str] = Field(default_factory=dict)
    client: dict[str, str] = Field(default_factory=dict)


class Topic(pulumi.CustomResource):
    """A Kafka topic.

    Args:
        name: the resource's name.
        topic: the topic's name.
        bootstrap_servers: the brokers, host:port[,…].
        partitions: their number; it can grow in place. Keys then move to other partitions.
        replication_factor: the number of replicas; a change replaces the topic.
        configs: topic configs; one that is not named has the broker's default.
        client: further librdkafka properties, such as security ones.
        opts: the resource's options.
    """

    topic: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        topic: str,
        bootstrap_servers: pulumi.Input[str],
        partitions: int,
        replication_factor: int,
        configs: Mapping[str, str],
        client: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "cflight:kafka:Topic",
            name,
            {
                "topic": topic,
                "bootstrap_servers": bootstrap_servers,
                "partitions": partitions,
                "replication_factor": replication_factor,
                "configs": dict(configs),
                "client": dict(client or {}),
            },
            opts,
        )


class TopicHandler(Handler[TopicInputs]):
    """Makes, reads, changes and deletes topics."""

    model = TopicInputs
    replace_on = frozenset({"topic", "replication_factor"})

    def validate(self, inputs: TopicInputs) -> Iterable[Failure]:
        """Refuse names that Kafka refuses."""
        if inputs.topic in {".", ".."}:
            yield Failure("topic", f"{inputs.topic!r} is not a topic name")

    def resource_id(self, inputs: TopicInputs) -> str:
        """A topic's id is its name."""
        return inputs.topic

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Partitions can grow in place, never shrink; where the brokers are is no property of the topic."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        changed = [name for name in change.changed if name not in {"bootstrap_servers", "client"}]
        replaces = list(change.replaces)
        before, after = old.get("partitions"), new.get("partitions")
        if isinstance(before, int) and isinstance(after, int) and after < before:
            replaces.append("partitions")
        return Change(changed=changed, replaces=replaces)

    def create(self, inputs: TopicInputs, *, progress: Progress) -> Properties:
        """Make the topic; one that is there already is brought to the inputs."""
        admin = _admin(inputs)
        try:
            progress.wait(
                f"the brokers to take topic {inputs.topic}",
                lambda: _refusal(admin, inputs),
                seconds=_BROKERS_SECONDS,
            )
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _failed("make", inputs, error) from error
            found = self.read(inputs.topic, inputs=inputs, outputs={})
            if found is not None:
                return self.update(inputs.topic, old=found.inputs, new=inputs, outputs={}, progress=progress)
        progress.wait(
            f"topic {inputs.topic} to have leaders",
            lambda: _leaderless(admin, topic=inputs.topic, partitions=inputs.partitions),
            seconds=_READY_SECONDS,
        )
        return {}

    def read(self, resource_id: str, *, inputs: TopicInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return partitions, replicas and the configs set on the topic itself."""
        del outputs

        admin = _admin(inputs)
        try:
            topic = admin.list_topics(timeout=_REQUEST_SECONDS).topics.get(resource_id)
            if topic is None:
                return None
            resource = ConfigResource(ResourceType.TOPIC, resource_id)
            entries = admin.describe_configs([resource], request_timeout=_REQUEST_SECONDS)[resource].result()
        except KafkaException as error:
            raise _failed("read", inputs, error) from error
        own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        configs = {name: entry.value for name, entry in entries.items() if entry.source == own}
        replicas = {len(partition.replicas) for partition in topic.partitions.values()}
        return State(
            inputs=inputs.model_dump()
            | {
                "partitions": len(topic.partitions),
                "replication_factor": max(replicas, default=inputs.replication_factor),
                "configs": configs,
            }
        )

    def update(
        self,
        resource_id: str,
        *,
        old: Properties,
        new: TopicInputs,
        outputs: Properties,
        progress: Progress,
    ) -> Properties:
        """Add partitions and set the configs, as an incremental change of just those that differ."""
        del outputs

        admin = _admin(new)
        before: dict[str, str] = old.get("configs") or {}
        entries = [
            ConfigEntry(name, value, ConfigSource.DYNAMIC_TOPIC_CONFIG, incremental_operation=AlterConfigOpType.SET)
            for name, value in new.configs.items()
            if before.get(name) != value
        ] + [
            ConfigEntry(name, "", ConfigSource.DYNAMIC_TOPIC_CONFIG, incremental_operation=AlterConfigOpType.DELETE)
            for name in before.keys() - new.configs.keys()
        ]
        try:
            if new.partitions > int(old.get("partitions") or 0):
                grown = [NewPartitions(resource_id, new.partitions)]
                admin.create_partitions(grown, operation_timeout=_REQUEST_SECONDS)[resource_id].result()
            if entries:
                resource = ConfigResource(ResourceType.TOPIC, resource_id, incremental_configs=entries)
                admin.incremental_alter_configs([resource])[resource].result()
        except KafkaException as error:
            raise _failed("change", new, error) from error
        progress.wait(
            f"topic {new.topic} to have leaders",
            lambda: _leaderless(admin, topic=new.topic, partitions=new.partitions),
            seconds=_READY_SECONDS,
        )
        return {}

    def delete(self, resource_id: str, *, inputs: TopicInputs, outputs: Properties, progress: Progress) -> None:
        """Delete the topic and wait until its name is free again."""
        del outputs
        admin = _admin(inputs)
        try:
            admin.delete_topics([resource_id], operation_timeout=_REQUEST_SECONDS)[resource_id].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return
            raise _failed("delete", inputs, error) from error
        progress.wait(
            f"topic {resource_id} to be gone",
            lambda: _still_listed(admin, resource_id),
            seconds=_READY_SECONDS,
        )


def _admin(inputs: TopicInputs) -> AdminClient:
    # Errors come back from the calls; librdkafka's own log lines would only repeat them.
    return AdminClient({"bootstrap.servers": inputs.bootstrap_servers, "log_level": 0, **inputs.client})


def _refusal(admin: AdminClient, inputs: TopicInputs) -> str | None:
    new = NewTopic(
        inputs.topic,
        num_partitions=inputs.partitions,
        replication_factor=inputs.replication_factor,
        config=inputs.configs,
    )
    try:
        admin.create_topics([new], operation_timeout=_REQUEST_SECONDS)[inputs.topic].result()
    except KafkaException as error:
        # Also what a broker answers that has not come back to its controller yet.
        if error.args[0].code() != KafkaError.INVALID_REPLICATION_FACTOR:
            raise
        return error.args[0].str()
    return None


def _still_listed(admin: AdminClient, topic: str) -> str | None:
    try:
        return "it is still listed" if topic in admin.list_topics(timeout=5).topics else None
    except KafkaException as error:
        return error.args[0].str()


def _leaderless(admin: AdminClient, *, topic: str, partitions: int) -> str | None:
    try:
        metadata = admin.list_topics(topic, timeout=5).topics[topic]
    except KafkaException as error:
        return error.args[0].str()
    ready = sum(partition.leader >= 0 for partition in metadata.partitions.values())
    return None if ready >= partitions else f"{ready} of {partitions} partitions have one"


def _failed(action: str, inputs: TopicInputs, error: Exception) -> ResourceError:
    return ResourceError(
        f"could not {action} topic {inputs.topic}: {error.args[0].str()}",
        where=inputs.bootstrap_servers,
        remedy="Check that the brokers are up (`cflight status`) and that the settings are ones Kafka takes.",
    )
