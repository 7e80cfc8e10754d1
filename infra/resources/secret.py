"""A random secret."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pulumi

from infra.provider.handler import Handler, Inputs, Properties, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.provider.progress import Progress

_BYTES = 30


class SecretInputs(Inputs):
    """What a secret is declared with."""

    purpose: str


class Secret(pulumi.CustomResource):
    """A random value that stays the same for the life of the stack and is a secret in its state.

    Args:
        name: the resource's name.
        purpose: what it is for; a new purpose is a new secret.
        opts: the resource's options.
    """

    value: pulumi.Output[str]

    def __init__(self, name: str, *, purpose: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "cflight:random:Secret",
            name,
            {"purpose": purpose, "value": None},
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=["value"])),
        )


class SecretHandler(Handler[SecretInputs]):
    """Makes random secrets."""

    model = SecretInputs
    replace_on = frozenset({"purpose"})

    def resource_id(self, inputs: SecretInputs) -> str:
        """A secret's id is its purpose."""
        return inputs.purpose

    def create(self, inputs: SecretInputs, *, progress: Progress) -> Properties:
        """Draw a value."""
        del inputs, progress
        return {"value": secrets.token_urlsafe(_BYTES)}

    def read(self, resource_id: str, *, inputs: SecretInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return it as it was: it exists in the state only."""
        del resource_id
        return State(inputs=inputs.model_dump(), outputs={"value": outputs["value"]})

    def delete(self, resource_id: str, *, inputs: SecretInputs, outputs: Properties, progress: Progress) -> None:
        """Forget it with the state."""
        del resource_id, inputs, outputs, progress
