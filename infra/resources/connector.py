"""A connector, over the REST API of Kafka Connect."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pulumi
from pydantic import Field

from infra.errors import ResourceError, WaitError
from infra.provider.handler import Change, Failure, Handler, IncompleteError, Inputs, Properties, State
from infra.provider.progress import Progress
from infra.sinks import for_embedded_plugin

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

_REQUEST_SECONDS = 30.0
# While workers rebalance they answer 409, and for a moment after a worker has gone 500.
_REBALANCE_SECONDS = 60.0
_READY_SECONDS = 90.0
_STOP_SECONDS = 60.0
# A failure that stands this long after a restart is not one from before it.
_SETTLE_SECONDS = 2.0
_TRACE_LINES = 12

RUNNING, PAUSED, STOPPED, FAILED = "RUNNING", "PAUSED", "STOPPED", "FAILED"
_ACTIONS = {RUNNING: "resume", PAUSED: "pause", STOPPED: "stop"}


class ConnectorInputs(Inputs):
    """What a connector is declared with."""

    connect_url: str
    connector: str = Field(min_length=1)
    config: dict[str, str]
    secrets: dict[str, str] = Field(default_factory=dict)
    # FAILED is what a refresh finds, never what a program declares.
    state: Literal["RUNNING", "PAUSED", "STOPPED", "FAILED"] = RUNNING
    delete_offsets: bool = False

    def whole_config(self) -> dict[str, str]:
        """Return the configuration as Connect has it."""
        return {**self.config, **self.secrets, "name": self.connector}


class Connector(pulumi.CustomResource):
    """A Kafka Connect connector, made when its tasks run.

    Args:
        name: the resource's name.
        connector: the connector's name; a change replaces it.
        connect_url: the Connect workers' REST API.
        config: its configuration.
        secrets: the part of its configuration that must not be seen.
        state: RUNNING, PAUSED (its tasks wait) or STOPPED (it has none).
        delete_offsets: whether deleting it makes Kafka forget how far it was.
        opts: the resource's options.
    """

    connector: pulumi.Output[str]
    config: pulumi.Output[Mapping[str, str]]
    state: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        connector: str,
        connect_url: pulumi.Input[str],
        config: pulumi.Input[Mapping[str, pulumi.Input[str]]],
        secrets: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        state: str = RUNNING,
        delete_offsets: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "cflight:connect:Connector",
            name,
            {
                "connector": connector,
                "connect_url": connect_url,
                "config": config,
                "secrets": pulumi.Output.secret(secrets or {}),
                "state": state,
                "delete_offsets": delete_offsets,
            },
            opts,
        )


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """Where a sink's objects go.

    Attributes:
        bucket: the bucket's name.
        region: its region.
        endpoint: the URL of an S3-compatible store; None for AWS.
        access_key: the access key; None where the worker's environment tells who it is.
        secret_key: the secret that goes with it.
    """

    bucket: pulumi.Input[str]
    region: str
    endpoint: pulumi.Input[str] | None = None
    access_key: str | None = None
    secret_key: pulumi.Input[str] | None = None


class S3SinkConnector(Connector):
    """A sink to S3, declared with the Confluent S3 sink's properties.

    Args:
        name: the resource's name.
        connector: the connector's name.
        connect_url: the Connect workers' REST API.
        config: its configuration with the Confluent class names.
        access: where the objects go; written over what the configuration says of that.
        registry_url: the schema registry for its Avro converters.
        embedded: whether the workers have the embedded plug-in; otherwise they have Confluent's.
        state: RUNNING, PAUSED or STOPPED.
        delete_offsets: whether deleting it makes Kafka forget how far it was.
        opts: the resource's options.
    """

    def __init__(
        self,
        name: str,
        *,
        connector: str,
        connect_url: pulumi.Input[str],
        config: Mapping[str, str],
        access: S3Access,
        registry_url: pulumi.Input[str],
        embedded: bool,
        state: str = RUNNING,
        delete_offsets: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        whole: dict[str, pulumi.Input[str]] = {
            **(for_embedded_plugin(config) if embedded else config),
            "s3.bucket.name": access.bucket,
            "s3.region": access.region,
        }
        if access.endpoint is not None:
            whole["store.url"] = access.endpoint
        if access.access_key is not None:
            whole["aws.access.key.id"] = access.access_key
        for converter in ("key.converter", "value.converter"):
            if config.get(converter, "").endswith(".AvroConverter"):
                whole[f"{converter}.schema.registry.url"] = registry_url
        super().__init__(
            name,
            connector=connector,
            connect_url=connect_url,
            config=whole,
            secrets={} if access.secret_key is None else {"aws.secret.access.key": access.secret_key},
            state=state,
            delete_offsets=delete_offsets,
            opts=opts,
        )


class ConnectorHandler(Handler[ConnectorInputs]):
    """Registers, reads, changes and removes connectors."""

    model = ConnectorInputs
    replace_on = frozenset({"connector"})

    def validate(self, inputs: ConnectorInputs) -> Iterable[Failure]:
        """Let a worker check the configuration, as far as one can be asked now."""
        if inputs.state == FAILED:
            yield Failure("state", "must be RUNNING, PAUSED or STOPPED")
        plugin = inputs.config.get("connector.class")
        if plugin is None:
            yield Failure("config.connector.class", "is missing: it says which plug-in the connector is made by")
            return
        try:
            with _client(inputs) as client:
                answer = client.put(f"/connector-plugins/{plugin}/config/validate", json=inputs.whole_config())
        except httpx.TransportError:
            return
        if answer.is_error:
            yield Failure("config.connector.class", _message(answer))
            return
        for entry in answer.json()["configs"]:
            value = entry["value"]
            place = "secrets" if value["name"] in inputs.secrets else "config"
            for error in value["errors"]:
                yield Failure(f"{place}.{value['name']}", error)

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Where the workers are, and what is to be done on deletion, are no properties of the connector."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        changed = [name for name in change.changed if name != "connect_url"]
        return Change(changed=changed, replaces=change.replaces)

    def resource_id(self, inputs: ConnectorInputs) -> str:
        """A connector's id is its name."""
        return inputs.connector

    def create(self, inputs: ConnectorInputs, *, progress: Progress) -> Properties:
        """Register the connector; one that is there already is brought to the inputs."""
        with _workers(inputs, progress=progress) as workers:
            found = workers.call("GET", f"/connectors/{inputs.connector}/config", missing_ok=True)
            if found is None:
                # Not PUT, as that would start a connector that is to be stopped.
                body = {"name": inputs.connector, "config": inputs.whole_config(), "initial_state": inputs.state}
                workers.call("POST", "/connectors", body)
            elif found != inputs.whole_config():
                workers.call("PUT", f"/connectors/{inputs.connector}/config", inputs.whole_config())
            _bring_to_state(workers, inputs, progress=progress)
        return {}

    def read(self, resource_id: str, *, inputs: ConnectorInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return the connector's configuration and state; FAILED when it or one of its tasks has failed."""
        del outputs
        with _workers(inputs) as workers:
            found: dict[str, str] | None = workers.call("GET", f"/connectors/{resource_id}/config", missing_ok=True)
            status = _status(workers, resource_id)
        if found is None:
            return None
        found.pop("name", None)
        return State(
            inputs=inputs.model_dump()
            | {
                "config": {name: value for name, value in found.items() if name not in inputs.secrets},
                "secrets": {name: value for name, value in found.items() if name in inputs.secrets},
                "state": _overall_state(status) or inputs.state,
            }
        )

    def update(
        self, resource_id: str, *, old: Properties, new: ConnectorInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Bring configuration and state to the inputs; failed tasks are started again."""
        del resource_id, old, outputs
        return self.create(new, progress=progress)

    def delete(self, resource_id: str, *, inputs: ConnectorInputs, outputs: Properties, progress: Progress) -> None:
        """Remove the connector, with its offsets if so declared, and wait until it is gone."""
        del outputs
        path = f"/connectors/{resource_id}"
        with _workers(inputs, progress=progress) as workers:
            if workers.call("GET", path, missing_ok=True) is None:
                return
            if inputs.delete_offsets:
                workers.call("PUT", f"{path}/stop")
                progress.wait(
                    f"connector {resource_id} to stop",
                    lambda: _not_yet(workers, resource_id, wanted=STOPPED),
                    seconds=_STOP_SECONDS,
                )
                workers.call("DELETE", f"{path}/offsets")
            workers.call("DELETE", path, missing_ok=True)
            progress.wait(
                f"connector {resource_id} to be gone",
                lambda: None if _status(workers, resource_id) is None else "it is still listed",
                seconds=_STOP_SECONDS,
            )


def _bring_to_state(workers: _Workers, inputs: ConnectorInputs, *, progress: Progress) -> None:
    name = inputs.connector
    progress.wait(
        f"connector {name} to be known",
        lambda: None if _status(workers, name) else "it has no status yet",
        seconds=_READY_SECONDS,
    )
    status = _status(workers, name)
    state = status["connector"]["state"] if status else None
    if state != inputs.state and (inputs.state != RUNNING or state in {PAUSED, STOPPED}):
        workers.call("PUT", f"/connectors/{name}/{_ACTIONS[inputs.state]}")
    watch = _Watch(workers=workers, name=name, wanted=inputs.state)
    try:
        progress.wait(f"connector {name} to be {inputs.state}", watch.look, seconds=_READY_SECONDS)
    except WaitError as error:
        raise IncompleteError(str(error)) from error


class _Watch:
    """Looks whether a connector is in the wanted state, and starts again what has failed before.

    Args:
        workers: who has it.
        name: the connector.
        wanted: RUNNING, PAUSED or STOPPED.
    """

    def __init__(self, *, workers: _Workers, name: str, wanted: str) -> None:
        self._workers = workers
        self._name = name
        self._wanted = wanted
        self._restarted: float | None = None

    def look(self) -> str | None:
        """Return None when it is, else how it is.

        Raises:
            IncompleteError: it failed, and failed again after a restart.
        """
        status = _status(self._workers, self._name)
        if status is None:
            return "it is not there"
        failed = [part for part in [status["connector"], *status["tasks"]] if part["state"] == FAILED]
        if not failed or self._wanted != RUNNING:
            return _not_yet(self._workers, self._name, wanted=self._wanted)
        if self._restarted is None:
            # This failure may be from before: of the configuration that has just been replaced, say.
            self._workers.call("POST", f"/connectors/{self._name}/restart?includeTasks=true&onlyFailed=true")
            self._restarted = time.monotonic()
        elif time.monotonic() - self._restarted > _SETTLE_SECONDS:
            part = failed[0]
            who = f"task {part['id']}" if "id" in part else "the connector"
            raise IncompleteError(f"{who} of {self._name} failed on {part['worker_id']}: {_reason(part)}")
        return "what has failed is being started again"


def _not_yet(workers: _Workers, name: str, *, wanted: str) -> str | None:
    status = _status(workers, name)
    if status is None:
        return "it is not there"
    states = [task["state"] for task in status["tasks"]]
    connector = status["connector"]["state"]
    # One that is made in the state PAUSED has no tasks before it runs for the first time.
    complete = all(state == wanted for state in states) and (bool(states) or wanted != RUNNING)
    if connector == wanted and complete:
        # A task is in the status only once it has begun.
        made: dict[str, Any] | None = workers.call("GET", f"/connectors/{name}", missing_ok=True)
        if wanted != RUNNING or (made is not None and len(states) >= len(made["tasks"])):
            return None
    return f"it is {connector}, its tasks are {', '.join(states) or 'none'}"


def _overall_state(status: dict[str, Any] | None) -> str | None:
    if status is None:
        return None
    states = {status["connector"]["state"], *(task["state"] for task in status["tasks"])}
    for state in (FAILED, STOPPED, PAUSED):
        if state in states:
            return state
    return RUNNING


def _reason(part: Mapping[str, Any]) -> str:
    trace = str(part.get("trace") or "it does not say why").strip().splitlines()
    causes = [line for line in trace[1:] if line.startswith("Caused by:")]
    frames = [line for line in trace[1:] if not line.startswith("Caused by:")]
    return "\n".join([trace[0], *causes, *frames][:_TRACE_LINES])


def _status(workers: _Workers, name: str) -> dict[str, Any] | None:
    return workers.call("GET", f"/connectors/{name}/status", missing_ok=True)


class _Workers:
    """The workers' REST API; a rebalance is waited for.

    Args:
        client: asks the workers.
        progress: shows the waiting, and ends it when the user interrupts the run.
    """

    def __init__(self, client: httpx.Client, *, progress: Progress) -> None:
        self._client = client
        self._progress = progress

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, missing_ok: bool = False) -> Any:
        """Return what the workers answer; None where there is no such thing and that is fine.

        Raises:
            ResourceError: they do not answer, or refuse.
            WaitError: they rebalance for too long, or the run was interrupted meanwhile.
        """
        answers: list[httpx.Response] = []

        def ask() -> str | None:
            answers[:] = [self._request(method, path, body)]
            return _message(answers[0]) if _rebalances(answers[0]) else None

        self._progress.wait("Kafka Connect to end its rebalance", ask, seconds=_REBALANCE_SECONDS)
        answer = answers[0]
        if answer.status_code == HTTPStatus.NOT_FOUND and missing_ok:
            return None
        if answer.is_error:
            raise ResourceError(
                f"Kafka Connect refused {method} {path} with {answer.status_code}: {_message(answer)}",
                where=str(self._client.base_url),
            )
        return answer.json() if answer.content else None

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise ResourceError(
                f"Kafka Connect does not answer: {error}",
                where=str(self._client.base_url),
                remedy="Check that a worker is up (`cflight status`).",
            ) from error


def _client(inputs: ConnectorInputs) -> httpx.Client:
    return httpx.Client(base_url=inputs.connect_url, timeout=_REQUEST_SECONDS)


@contextmanager
def _workers(inputs: ConnectorInputs, *, progress: Progress | None = None) -> Generator[_Workers]:
    unseen = Progress(report=lambda _: None, cancelled=threading.Event())
    with _client(inputs) as client:
        yield _Workers(client, progress=progress or unseen)


def _rebalances(answer: httpx.Response) -> bool:
    if answer.status_code == HTTPStatus.CONFLICT:
        return "already exists" not in answer.text
    passing = ("forward", "a rebalance is expected")
    return answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and any(text in answer.text for text in passing)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text
