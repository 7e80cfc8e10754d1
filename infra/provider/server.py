"""The provider's gRPC server, which the Pulumi engine starts as `pulumi-resource-cflight ENGINE_ADDRESS`.

Protocol: pulumi/provider.proto. Secrets are not asked for (`acceptSecrets` is false), so the engine keeps track of
them: an output that has the name of a secret input is secret in the state, too.
"""

# grpc and the generated protocol modules are only partly annotated.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from concurrent import futures
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from google.rpc import code_pb2, status_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN
from pydantic import ValidationError

from cflight.errors import CflightError
from cflight.loopback import bypass_proxies
from infra.provider.handler import Failure, Handler, IncompleteError, Inputs, Properties
from infra.provider.handlers import HANDLERS
from infra.provider.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

# More than any stack has resources that can be made at the same time: they mostly wait.
_THREADS = 32
# librdkafka messages and gzipped batches never pass here, but schemas and statements can be large.
_MESSAGE_BYTES = 64 << 20

# For what is still being done when the engine asks the provider to end.
_FINISH_SECONDS = 30.0

ResultT = TypeVar("ResultT")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Dispatches the engine's requests to the handlers.

    Args:
        engine: the engine's address, host:port, or None when there is no engine to report to.
    """

    def __init__(self, engine: str | None) -> None:
        self._cancelled = threading.Event()
        self._engine = None
        if engine:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine))

    def Handshake(self, request: Any, context: Any) -> Any:
        """Agree on the protocol's optional features."""
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """Return the plug-in's version."""
        return plugin_pb2.PluginInfo(version="0.1.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        """Accept any provider configuration: there is none."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Report no change of the provider's configuration: there is none."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        """Take no configuration: every resource carries the addresses that it needs."""
        return provider_pb2.ConfigureResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        """End all waiting: the user has interrupted the run."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def Check(self, request: Any, context: Any) -> Any:
        """Validate the inputs of a resource."""
        news = _to_python(request.news)

        def check() -> Any:
            failures = _check(_handler(request.urn), news)
            return provider_pb2.CheckResponse(
                inputs=request.news,
                failures=[provider_pb2.CheckFailure(property=f.name, reason=f.reason) for f in failures],
            )

        return self._answer(request, context, check)

    def Diff(self, request: Any, context: Any) -> Any:
        """Classify what changes between the inputs last applied and those declared now."""

        def diff() -> Any:
            new = _to_python(request.news)
            old = _to_python(request.old_inputs)
            change = _handler(request.urn).diff(request.id, old=old, new=new, outputs=_to_python(request.olds))
            kinds = provider_pb2.DiffResponse
            return provider_pb2.DiffResponse(
                changes=kinds.DIFF_SOME if change.changed else kinds.DIFF_NONE,
                diffs=change.changed,
                replaces=change.replaces,
                deleteBeforeReplace=change.delete_first,
            )

        return self._answer(request, context, diff)

    def Create(self, request: Any, context: Any) -> Any:
        """Make a resource; in a preview, tell what is known of it."""
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        handler = _handler(request.urn)
        properties = _to_python(request.properties)
        inputs = handler.model.model_validate(properties)

        def create() -> Any:
            outputs = handler.create(inputs, progress=self._progress(request.urn))
            return provider_pb2.CreateResponse(
                id=handler.resource_id(inputs), properties=_to_struct(properties | outputs)
            )

        return self._answer(request, context, create, incomplete=(handler, inputs, properties))

    def Read(self, request: Any, context: Any) -> Any:
        """Return a resource as it really is."""

        def read() -> Any:
            handler = _handler(request.urn)
            properties = _to_python(request.properties)
            declared = _to_python(request.inputs) or {
                name: value for name, value in properties.items() if name in handler.model.model_fields
            }
            inputs = handler.model.model_validate(declared)
            state = handler.read(request.id, inputs=inputs, outputs=properties)
            if state is None:
                return provider_pb2.ReadResponse()
            found = declared | _drift(state.inputs, inputs=inputs)
            return provider_pb2.ReadResponse(
                id=request.id, inputs=_to_struct(found), properties=_to_struct(found | state.outputs)
            )

        return self._answer(request, context, read)

    def Update(self, request: Any, context: Any) -> Any:
        """Change a resource in place; in a preview, tell what is known of it."""
        if request.preview:
            return provider_pb2.UpdateResponse(properties=request.news)
        handler = _handler(request.urn)
        properties = _to_python(request.news)
        inputs = handler.model.model_validate(properties)

        def update() -> Any:
            outputs = handler.update(
                request.id,
                old=_to_python(request.old_inputs),
                new=inputs,
                outputs=_to_python(request.olds),
                progress=self._progress(request.urn),
            )
            return provider_pb2.UpdateResponse(properties=_to_struct(properties | outputs))

        return self._answer(request, context, update, incomplete=(handler, inputs, properties))

    def Delete(self, request: Any, context: Any) -> Any:
        """Remove a resource."""

        def delete() -> Any:
            handler = _handler(request.urn)
            outputs = _to_python(request.properties)
            inputs = _to_python(request.old_inputs) or {
                name: value for name, value in outputs.items() if name in handler.model.model_fields
            }
            handler.delete(
                request.id,
                inputs=handler.model.model_validate(inputs),
                outputs=outputs,
                progress=self._progress(request.urn),
            )
            return empty_pb2.Empty()

        return self._answer(request, context, delete)

    def _progress(self, urn: str) -> Progress:
        return Progress(report=lambda text: self._log(text, urn=urn), cancelled=self._cancelled)

    def _log(self, text: str, *, urn: str, severity: int = engine_pb2.INFO, ephemeral: bool = True) -> None:
        if self._engine is None:
            return
        message = engine_pb2.LogRequest(severity=cast("Any", severity), message=text, urn=urn, ephemeral=ephemeral)
        self._engine.Log(message)

    def _answer(
        self,
        request: Any,
        context: Any,
        operation: Callable[[], ResultT],
        *,
        incomplete: tuple[Handler[Any], Inputs, Properties] | None = None,
    ) -> ResultT:
        try:
            return operation()
        except IncompleteError as error:
            if incomplete is None:
                _abort(context, str(error))
            handler, inputs, properties = incomplete
            _abort_incomplete(
                context,
                resource_id=getattr(request, "id", "") or handler.resource_id(inputs),
                properties=properties,
                error=error,
            )
        except CflightError as error:
            _abort(context, str(error))
        except Exception as error:  # noqa: BLE001 - the last resort; the log has the trace
            self._log(traceback.format_exc(), urn=request.urn, severity=engine_pb2.DEBUG, ephemeral=False)
            _abort(
                context,
                f"{type(error).__name__}: {error}. This is a defect of cflight; "
                "run again with `--debug` for the place, and report it.",
            )


@cache
def _handler_of(token: str) -> Handler[Any]:
    if token not in HANDLERS:
        raise CflightError(f"the provider has no resource type {token}", remedy="Update cflight.")
    module, _, name = HANDLERS[token].partition(":")
    return getattr(importlib.import_module(module), name)()


def _handler(urn: str) -> Handler[Any]:
    # urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME
    return _handler_of(urn.split("::")[2].rpartition("$")[2])


def _check(handler: Handler[Any], news: Properties) -> list[Failure]:
    unknown = {name for name, value in news.items() if _has_unknown(value)}
    known = {name: value for name, value in news.items() if name not in unknown}
    try:
        inputs = handler.model.model_validate(known)
    except ValidationError as error:
        return [
            Failure(".".join(map(str, item["loc"])), _told(item))
            for item in error.errors()
            if not (item["type"] == "missing" and item["loc"][0] in unknown)
        ]
    return [] if unknown else list(handler.validate(inputs))


def _told(error: ErrorDetails) -> str:
    # Only what was given at the top and by a name that is no secret's: it ends up in logs.
    name = str(error["loc"][0]) if error["loc"] else ""
    shown = len(error["loc"]) == 1 and "secret" not in name and isinstance(error["input"], (str, int, float))
    return f"{error['msg']}, not {error['input']!r}" if shown else error["msg"]


def _drift(found: Properties, *, inputs: Inputs) -> Properties:
    """Return what was found otherwise than declared; defaults that nobody has written down are no drift."""
    expected = inputs.model_dump()
    return {name: value for name, value in found.items() if value != expected.get(name)}


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(item) for item in cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return any(_has_unknown(item) for item in cast("list[Any]", value))
    return value == UNKNOWN


def _to_python(struct: struct_pb2.Struct) -> Properties:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _to_python(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _to_struct(properties: Properties) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update({name: value for name, value in properties.items() if value is not None})
    return struct


def _abort(context: Any, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort returns never")


def _abort_incomplete(context: Any, *, resource_id: str, properties: Properties, error: IncompleteError) -> NoReturn:
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=resource_id,
            properties=_to_struct(properties | error.outputs),
            inputs=_to_struct(properties),
            reasons=[str(error)],
        )
    )
    status = status_pb2.Status(code=code_pb2.UNKNOWN, message=str(error), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _abort(context, str(error))


def main() -> None:
    """Serve until the engine ends the process."""
    bypass_proxies()
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS),
        options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(arguments[0] if arguments else None), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        # The engine runs this process in a group of its own, asks it to end with SIGINT, and kills it 5 s later.
        server.stop(grace=_FINISH_SECONDS).wait()


if __name__ == "__main__":
    main()
