"""Runs a Pulumi program against a monitor that makes nothing and notes everything."""

# The SDK's mocks are only partly annotated.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from google.protobuf import struct_pb2
from pulumi.runtime import mocks
from pulumi.runtime.config import CONFIG
from pulumi.runtime.stack import run_pulumi_func

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# How the protocol marks a secret among property values.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A resource that the program declares.

    Attributes:
        type: its type token.
        name: its name.
        inputs: its inputs, secrets unwrapped.
        secrets: names of the inputs that hold a secret.
        after: names of the resources that it depends on.
        parent: name of its parent.
        options: `protect`, `retain_on_delete`, `deleted_with` (a name), `replace_on_changes`,
            `delete_before_replace`, `additional_secrets`.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]
    secrets: frozenset[str]
    after: frozenset[str]
    parent: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Program:
    """What a program declares.

    Args:
        declared: its resources, in the order of their registration.
    """

    def __init__(self, declared: list[Declared]) -> None:
        self.declared = declared

    def __iter__(self) -> Iterator[Declared]:
        """Iterate over all resources."""
        return iter(self.declared)

    def of(self, kind: str) -> dict[str, Declared]:
        """Return the resources of a type by name."""
        return {one.name: one for one in self.declared if one.type == kind}

    def one(self, kind: str, name: str) -> Declared:
        """Return the resource with that type and name."""
        found = self.of(kind)
        assert name in found, f"no {kind} {name}; there are {sorted(found)}"
        return found[name]


class _Mocks(mocks.Mocks):
    def __init__(self, outputs: Callable[[str, str, dict[str, Any]], dict[str, Any]]) -> None:
        self._outputs = outputs

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = cast("dict[str, Any]", _unwrapped(args.inputs))
        made = self._outputs(args.typ, args.name, inputs)
        return made.get("id", f"{args.name}-id"), {**cast("dict[str, Any]", args.inputs), **made}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return self._outputs(args.token, "", cast("dict[str, Any]", args.args)), []


class _Monitor(mocks.MockMonitor):
    def __init__(self, outputs: Callable[[str, str, dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(_Mocks(outputs))
        self.declared: list[Declared] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        answer = super().RegisterResource(request)
        for name in request.additionalSecretOutputs:  # as the engine does
            if name not in answer.object.fields:
                continue
            value = answer.object.fields[name]
            secret = struct_pb2.Struct(fields={_SIGNATURE: struct_pb2.Value(string_value=_SECRET), "value": value})
            answer.object.fields[name].CopyFrom(struct_pb2.Value(struct_value=secret))
        if request.type != "pulumi:pulumi:Stack":
            self.declared.append(
                Declared(
                    type=request.type,
                    name=request.name,
                    inputs=_unwrapped(mocks.rpc.deserialize_properties(request.object, keep_unknowns=True)),
                    secrets=frozenset(name for name, value in request.object.fields.items() if _holds_secret(value)),
                    after=frozenset(_name(urn) for urn in request.dependencies),
                    parent=_name(request.parent),
                    options={
                        "protect": request.protect,
                        "retain_on_delete": request.retainOnDelete,
                        "deleted_with": _name(request.deletedWith),
                        "replace_on_changes": list(request.replaceOnChanges),
                        "delete_before_replace": request.deleteBeforeReplace,
                        "additional_secrets": list(request.additionalSecretOutputs),
                    },
                )
            )
        return answer


def declare(
    program: Callable[[], None],
    *,
    stack: str,
    config: Mapping[str, object],
    outputs: Callable[[str, str, dict[str, Any]], dict[str, Any]] = lambda _type, _name, _inputs: {},
) -> Program:
    """Run a program and return what it declares.

    Args:
        program: the program.
        stack: the stack's name.
        config: the stack's configuration by full key; structured values as Python values.
        outputs: the outputs, beside the inputs, of a resource by type, name and inputs; and the results of functions.

    Raises:
        Exception: whatever the program raises.
    """
    monitor = _Monitor(outputs)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}

    async def run() -> None:
        mocks.set_mocks(monitor.mocks, project="cflight", stack=stack, preview=False, monitor=monitor)
        CONFIG.set(texts)
        await run_pulumi_func(program)

    asyncio.run(run())
    return Program(monitor.declared)


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _holds_secret(value: Any) -> bool:
    if value.WhichOneof("kind") == "struct_value":
        fields = value.struct_value.fields
        return (_SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET) or any(
            _holds_secret(one) for one in fields.values()
        )
    if value.WhichOneof("kind") == "list_value":
        return any(_holds_secret(one) for one in value.list_value.values)
    return False


def _unwrapped(value: Any) -> Any:
    if mocks.rpc.is_rpc_secret(value):
        return _unwrapped(mocks.rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {name: _unwrapped(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_unwrapped(one) for one in cast("list[Any]", value)]
    return value
