"""What the provider asks of a kind of resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from cflight.errors import CflightError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.provider.progress import Progress

Properties = dict[str, Any]


class Inputs(BaseModel):
    """The inputs of a resource: what the program declares, typed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


InputsT = TypeVar("InputsT", bound=Inputs)


@dataclass(frozen=True)
class Failure:
    """An input that cannot be accepted.

    Attributes:
        name: the property at fault.
        reason: what is wrong with it and what to do.
    """

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an update would do.

    Attributes:
        changed: the properties that differ.
        replaces: those of them that only a new resource can take.
        delete_first: whether the old resource must go before the new one is made.
    """

    changed: list[str] = field(default_factory=list[str])
    replaces: list[str] = field(default_factory=list[str])
    delete_first: bool = True


@dataclass(frozen=True, kw_only=True)
class State:
    """A resource as it really is.

    Attributes:
        inputs: the inputs that would declare it as it is.
        outputs: what else is known of it.
    """

    inputs: Properties
    outputs: Properties = field(default_factory=dict[str, Any])


class IncompleteError(CflightError):
    """A resource exists but is not as it should be: it stays in the state, and the next update mends it.

    Args:
        reason: what is not right, and what to do.
        outputs: what is known of the resource.
    """

    def __init__(self, reason: str, *, outputs: Properties | None = None) -> None:
        super().__init__(reason)
        self.outputs = outputs or {}


class Handler(Generic[InputsT]):
    """The operations on one kind of resource. Operations are idempotent, so that a failed run can be run again.

    Attributes:
        model: the type of the inputs.
        replace_on: the inputs that cannot be changed in place.
    """

    model: ClassVar[type[Inputs]]
    replace_on: ClassVar[frozenset[str]] = frozenset()

    def validate(self, inputs: InputsT) -> Iterable[Failure]:
        """Return what is wrong with fully known inputs, asking the server where it can be reached."""
        del inputs
        return ()

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Return what would change.

        Args:
            resource_id: the resource's id.
            old: the inputs last applied, or as last read.
            new: the inputs declared now; a value may be UNKNOWN during a preview.
            outputs: the outputs last stored.
        """
        del resource_id, outputs
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return Change(changed=changed, replaces=[name for name in changed if name in self.replace_on])

    def resource_id(self, inputs: InputsT) -> str:
        """Return the id of the resource with these inputs; ids are a function of the inputs."""
        raise NotImplementedError

    def create(self, inputs: InputsT, *, progress: Progress) -> Properties:
        """Make the resource, or take over what an interrupted run has left of it; return its outputs."""
        raise NotImplementedError

    def read(self, resource_id: str, *, inputs: InputsT, outputs: Mapping[str, Any]) -> State | None:
        """Return the resource as it is, or None when it is gone."""
        raise NotImplementedError

    def update(
        self, resource_id: str, *, old: Properties, new: InputsT, outputs: Properties, progress: Progress
    ) -> Properties:
        """Bring the resource to the new inputs and return its outputs."""
        raise NotImplementedError

    def delete(self, resource_id: str, *, inputs: InputsT, outputs: Properties, progress: Progress) -> None:
        """Remove the resource; one that is gone already is no error."""
        raise NotImplementedError
