"""An Avro schema of a subject, over the registry's Confluent-compatible API."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
import pulumi

from infra.errors import ResourceError
from infra.provider.handler import Change, Failure, Handler, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.provider.progress import Progress

_REQUEST_SECONDS = 10.0
_JSON = "application/vnd.schemaregistry.v1+json"


class SchemaInputs(Inputs):
    """What a schema is declared with."""

    registry_url: str
    subject: str
    definition: str
    compatibility: str


class Schema(pulumi.CustomResource):
    """The newest version of a subject's Avro schema.

    Args:
        name: the resource's name.
        registry_url: the registry's Confluent-compatible API.
        subject: `<topic>-value` or `<topic>-key`.
        definition: the schema; a change registers a new version.
        compatibility: how the next version must fit this one.
        opts: the resource's options.
    """

    schema_id: pulumi.Output[int]
    version: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        registry_url: pulumi.Input[str],
        subject: str,
        definition: Mapping[str, Any],
        compatibility: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "cflight:registry:Schema",
            name,
            {
                "registry_url": registry_url,
                "subject": subject,
                "definition": json.dumps(definition),
                "compatibility": compatibility,
                "schema_id": None,
                "version": None,
            },
            opts,
        )


class SchemaHandler(Handler[SchemaInputs]):
    """Registers, reads and removes schemas."""

    model = SchemaInputs
    replace_on = frozenset({"subject"})

    def validate(self, inputs: SchemaInputs) -> Iterable[Failure]:
        """Refuse a schema that does not fit the versions before it, as far as the registry can be asked now."""
        try:
            answer = httpx.post(
                f"{inputs.registry_url}/compatibility/subjects/{inputs.subject}/versions/latest",
                json={"schema": inputs.definition},
                headers={"Content-Type": _JSON},
                timeout=_REQUEST_SECONDS,
            )
        except httpx.TransportError:
            return
        if answer.is_success and answer.json().get("is_compatible") is False:
            yield Failure(
                "definition",
                f"the new schema of {inputs.subject} is not {inputs.compatibility} compatible with the registered one. "
                "Give new fields a default, or set `cflight:registry.compatibility` to NONE for this change.",
            )
        elif answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            yield Failure("definition", f"the registry refuses the schema: {answer.json().get('message')}")

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Where the registry is, and how the schema is written, are no properties of it."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        changed = [name for name in change.changed if name != "registry_url"]
        if "definition" in changed and _same(old.get("definition"), new.get("definition")):
            changed.remove("definition")
        return Change(changed=changed, replaces=change.replaces)

    def resource_id(self, inputs: SchemaInputs) -> str:
        """A schema's id is its subject."""
        return inputs.subject

    def create(self, inputs: SchemaInputs, *, progress: Progress) -> Properties:
        """Register the schema (the same one again is no new version) and set the subject's compatibility."""
        del progress
        registered = _call(inputs, "POST", f"/subjects/{inputs.subject}/versions", {"schema": inputs.definition})
        _call(inputs, "PUT", f"/config/{inputs.subject}", {"compatibility": inputs.compatibility})
        found = _call(inputs, "POST", f"/subjects/{inputs.subject}", {"schema": inputs.definition})
        return {"schema_id": registered["id"], "version": found["version"]}

    def read(self, resource_id: str, *, inputs: SchemaInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return the subject's newest schema and its compatibility."""
        del outputs
        latest = _call(inputs, "GET", f"/subjects/{resource_id}/versions/latest", missing_ok=True)
        if latest is None:
            return None
        config = _call(inputs, "GET", f"/config/{resource_id}", missing_ok=True)
        same = _same(latest["schema"], inputs.definition)
        return State(
            inputs=inputs.model_dump()
            | {
                # Registries reformat: only another schema is drift.
                "definition": inputs.definition if same else latest["schema"],
                "compatibility": config["compatibilityLevel"] if config else "unset",
            },
            outputs={"schema_id": latest["id"], "version": latest["version"]},
        )

    def update(
        self, resource_id: str, *, old: Properties, new: SchemaInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Register the new version."""
        del resource_id, old, outputs
        return self.create(new, progress=progress)

    def delete(self, resource_id: str, *, inputs: SchemaInputs, outputs: Properties, progress: Progress) -> None:
        """Remove the subject with all its versions, for good."""
        del outputs, progress
        for permanent in ("", "?permanent=true"):
            _call(inputs, "DELETE", f"/subjects/{resource_id}{permanent}", missing_ok=True)


def _call(
    inputs: SchemaInputs, method: str, path: str, body: Mapping[str, Any] | None = None, *, missing_ok: bool = False
) -> Any:
    try:
        answer = httpx.request(
            method,
            f"{inputs.registry_url}{path}",
            json=body,
            headers={"Content-Type": _JSON} if body else {},
            timeout=_REQUEST_SECONDS,
        )
    except httpx.TransportError as error:
        raise ResourceError(
            f"the registry does not answer: {error}",
            where=inputs.registry_url,
            remedy="Check that it is up (`cflight status`).",
        ) from error
    if answer.status_code == HTTPStatus.NOT_FOUND and missing_ok:
        return None
    if answer.is_error:
        raise ResourceError(
            f"the registry refused {method} {path} with {answer.status_code}: {answer.text}", where=inputs.subject
        )
    return answer.json()


def _same(one: Any, other: Any) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except (TypeError, ValueError):
        return one == other
