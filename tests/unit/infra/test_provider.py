"""The provider's server, spoken to as the engine does."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import struct_pb2
from google.rpc import status_pb2  # pyright: ignore[reportMissingTypeStubs]
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from infra.errors import ResourceError, WaitError
from infra.provider import handlers, server
from infra.provider.handler import Failure, Handler, IncompleteError, Inputs, Properties, State
from infra.provider.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

URN = "urn:pulumi:stack::cflight::cflight:local:Supervisor$cflight:test:Box::box"


class BoxInputs(Inputs):
    size: int
    label: str = ""


class BoxHandler(Handler[BoxInputs]):
    """A resource whose label says how it shall behave."""

    model = BoxInputs
    replace_on = frozenset({"size"})

    def validate(self, inputs: BoxInputs) -> Iterable[Failure]:
        if inputs.size > 9:
            yield Failure("size", "is too large")

    def resource_id(self, inputs: BoxInputs) -> str:
        return f"box-{inputs.size}"

    def create(self, inputs: BoxInputs, *, progress: Progress) -> Properties:
        if inputs.label == "mistake":
            raise ResourceError("the shelf is full", where="shelf 3", remedy="Tidy up.")
        if inputs.label == "half":
            raise IncompleteError("the lid is missing", outputs={"weight": 1})
        if inputs.label == "defect":
            raise RuntimeError("boom")
        if inputs.label == "wait":
            progress.wait("the lid", lambda: "still open", seconds=60)
        return {"weight": 7}

    def read(self, resource_id: str, *, inputs: BoxInputs, outputs: Mapping[str, Any]) -> State | None:
        if inputs.label == "gone" or not resource_id:
            return None
        return State(inputs={"size": 5, "label": inputs.label}, outputs={"weight": outputs.get("weight")})

    def delete(self, resource_id: str, *, inputs: BoxInputs, outputs: Properties, progress: Progress) -> None:
        del progress
        assert (resource_id, outputs["weight"]) == (f"box-{inputs.size}", 7)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(handlers.HANDLERS, "cflight:test:Box", f"{__name__}:BoxHandler")
    service = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(server.Provider(None), service)
    port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    service.stop(None).wait()


def struct(**values: Any) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def test_good_inputs_pass(engine: Any) -> None:
    answer = engine.Check(provider_pb2.CheckRequest(urn=URN, news=struct(size=3, label="a")))
    assert not answer.failures
    assert dict(answer.inputs) == {"size": 3, "label": "a"}


@pytest.mark.parametrize(
    ("inputs", "name", "reason"),
    [
        ({"size": "big"}, "size", "'big'"),
        ({"size": 12}, "size", "too large"),
        ({}, "size", "required"),
        ({"size": 1, "colour": "red"}, "colour", "red"),
    ],
)
def test_a_bad_input_is_named(engine: Any, inputs: dict[str, Any], name: str, reason: str) -> None:
    failures = engine.Check(provider_pb2.CheckRequest(urn=URN, news=struct(**inputs))).failures
    assert [failure.property for failure in failures] == [name]
    assert reason in failures[0].reason


def test_inputs_that_are_not_known_yet_are_tolerated(engine: Any) -> None:
    answer = engine.Check(provider_pb2.CheckRequest(urn=URN, news=struct(size=UNKNOWN, label="a")))
    assert not answer.failures
    bad = engine.Check(provider_pb2.CheckRequest(urn=URN, news=struct(size=UNKNOWN, label=3)))
    assert [failure.property for failure in bad.failures] == ["label"]


def test_a_diff_is_classified(engine: Any) -> None:
    def diff(**new: Any) -> Any:
        old = struct(size=3, label="a")
        return engine.Diff(provider_pb2.DiffRequest(urn=URN, id="box-3", olds=old, old_inputs=old, news=struct(**new)))

    assert diff(size=3, label="a").changes == provider_pb2.DiffResponse.DIFF_NONE
    update = diff(size=3, label="b")
    assert (list(update.diffs), list(update.replaces)) == (["label"], [])
    replacement = diff(size=4, label="a")
    assert (list(replacement.diffs), list(replacement.replaces)) == (["size"], ["size"])


def test_create_returns_id_inputs_and_outputs(engine: Any) -> None:
    answer = engine.Create(provider_pb2.CreateRequest(urn=URN, properties=struct(size=3, label="a")))
    assert answer.id == "box-3"
    assert dict(answer.properties) == {"size": 3, "label": "a", "weight": 7}


def refusal(engine: Any, label: str) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        engine.Create(provider_pb2.CreateRequest(urn=URN, properties=struct(size=3, label=label)))
    return caught.value


def test_a_mistake_is_a_message_without_a_traceback(engine: Any) -> None:
    assert refusal(engine, "mistake").details() == "shelf 3: the shelf is full. Tidy up."


def test_a_defect_says_that_it_is_one(engine: Any) -> None:
    details = refusal(engine, "defect").details()
    assert details.startswith("RuntimeError: boom. This is a defect of cflight")
    assert "Traceback" not in details


def test_what_is_half_made_is_kept_in_the_state(engine: Any) -> None:
    error = refusal(engine, "half")
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    (detail,) = status_pb2.Status.FromString(packed).details
    failed = provider_pb2.ErrorResourceInitFailed()
    assert detail.Unpack(failed)
    assert failed.id == "box-3"
    assert list(failed.reasons) == ["the lid is missing"]
    assert dict(failed.properties) == {"size": 3, "label": "half", "weight": 1}


def test_cancel_ends_waiting(engine: Any) -> None:
    timer = threading.Timer(0.3, lambda: engine.Cancel(provider_pb2.ReadRequest()))
    timer.start()
    assert "interrupted while waiting for the lid; last answer: still open" in refusal(engine, "wait").details()
    timer.join()


def test_read_tells_what_is_really_there(engine: Any) -> None:
    answer = engine.Read(provider_pb2.ReadRequest(urn=URN, id="box-3", properties=struct(size=3, weight=7)))
    assert dict(answer.inputs) == {"size": 5}
    assert dict(answer.properties)["weight"] == 7
    gone = engine.Read(provider_pb2.ReadRequest(urn=URN, id="box-3", properties=struct(size=3, label="gone")))
    assert gone.id == ""


def test_delete_gets_the_inputs(engine: Any) -> None:
    engine.Delete(provider_pb2.DeleteRequest(urn=URN, id="box-3", properties=struct(size=3, label="", weight=7)))


def test_a_type_that_there_is_not_is_told(engine: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.Check(provider_pb2.CheckRequest(urn="urn:pulumi:s::p::cflight:no:Such::x", news=struct()))
    assert "no resource type cflight:no:Such" in str(caught.value)


def test_waiting_is_bounded_and_reports() -> None:
    said: list[str] = []
    progress = Progress(report=said.append, cancelled=threading.Event())
    with pytest.raises(WaitError, match="for the lid; last answer: still open"):
        progress.wait("the lid", lambda: "still open", seconds=1.2)
    assert any("waiting for the lid" in line and "still open" in line for line in said)
