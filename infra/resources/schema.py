"""An Avro schema of a subject, over the registry's Confluent-compatible API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi

from infra.provider.handler import Change, Failure, Handler, Inputs, Properties, State
from infra.resources.registry_api import call, incompatibility, register, same_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.provider.progress import Progress


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
        reason = incompatibility(
            inputs.registry_url,
            subject=inputs.subject,
            definition=inputs.definition,
            compatibility=inputs.compatibility,
        )
        if reason is not None:
            yield Failure("definition", reason)

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Where the registry is, and how the schema is written, are no properties of it."""
        change = super().diff(resource_id, old=old, new=new, outputs=outputs)
        changed = [name for name in change.changed if name != "registry_url"]
        if "definition" in changed and same_schema(old.get("definition"), new.get("definition")):
            changed.remove("definition")
        return Change(changed=changed, replaces=change.replaces)

    def resource_id(self, inputs: SchemaInputs) -> str:
        """A schema's id is its subject."""
        return inputs.subject

    def create(self, inputs: SchemaInputs, *, progress: Progress) -> Properties:
        """Register the schema (the same one again is no new version) and set the subject's compatibility."""
        del progress
        schema_id, version = register(
            inputs.registry_url,
            subject=inputs.subject,
            definition=inputs.definition,
            compatibility=inputs.compatibility,
        )
        return {"schema_id": schema_id, "version": version}

    def read(self, resource_id: str, *, inputs: SchemaInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return the subject's newest schema and its compatibility."""
        del outputs
        url = inputs.registry_url
        latest = call(url, "GET", f"/subjects/{resource_id}/versions/latest", subject=resource_id, missing_ok=True)
        if latest is None:
            return None
        config = call(url, "GET", f"/config/{resource_id}", subject=resource_id, missing_ok=True)
        same = same_schema(latest["schema"], inputs.definition)
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
            path = f"/subjects/{resource_id}{permanent}"
            call(inputs.registry_url, "DELETE", path, subject=resource_id, missing_ok=True)
