"""The registry's client: finds or registers, and tells what passes from what does not."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from services.errors import RegistryError
from services.registry import Registry, RegistryAwayError
from services.settings import RegistrySettings, load
from tests.unit.services.registry_server import RegistryServer, running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with running_registry({5: '"string"'}) as running:
        yield running


def client(url: str, **more: str) -> Registry:
    return Registry(load(RegistrySettings, environ={"SCHEMA_REGISTRY_URL": url, **more}))


def test_a_schema_is_registered_or_found_by_one_request(server: RegistryServer) -> None:
    assert client(f"{server.url}/").schema_id("a/b-value", '"string"') == 5
    assert server.requests == [
        ("POST", "/subjects/a%2Fb-value/versions", {"schema": '"string"', "schemaType": "AVRO"}, None)
    ]


def test_a_schema_is_looked_up_by_id(server: RegistryServer) -> None:
    assert client(server.url).schema(5) == '"string"'
    assert client(server.url).schema(6) is None
    server.script = [(200, {"schema": "message M {}", "schemaType": "PROTOBUF"})]
    assert client(server.url).schema(5) is None


def test_the_login_is_sent(server: RegistryServer) -> None:
    login = {"SCHEMA_REGISTRY_USERNAME": "u", "SCHEMA_REGISTRY_PASSWORD": "p:w"}
    client(server.url, **login).schema(5)
    assert server.requests[0][3] == "Basic " + base64.b64encode(b"u:p:w").decode()


@pytest.mark.parametrize(
    "answer", [(503, {}), (429, {}), (500, {"error_code": 50001}), (200, b"<html>"), (200, []), (200, b"")]
)
def test_trouble_that_passes_is_told_as_such(server: RegistryServer, answer: tuple[int, object]) -> None:
    server.script = [answer]
    with pytest.raises(RegistryAwayError):
        client(server.url).schema_id("a-value", '"string"')


@pytest.mark.parametrize("status", [401, 403, 409, 422])
def test_a_refusal_says_what_the_registry_said(server: RegistryServer, status: int) -> None:
    server.script = [(status, {"error_code": status, "message": "incompatible"})]
    with pytest.raises(RegistryError, match="incompatible") as error:
        client(server.url).schema_id("a-value", '"string"')
    assert not isinstance(error.value, RegistryAwayError)
    assert server.url in error.value.where


def test_nobody_there_passes() -> None:
    with running_registry({}) as gone:
        url = gone.url
    with pytest.raises(RegistryAwayError):
        client(url).schema_id("a-value", '"string"')
