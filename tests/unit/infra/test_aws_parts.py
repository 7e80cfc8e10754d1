"""The pure parts of the aws target: blocks of a network, the plug-in's ZIP, principals."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.aws.network import subnets
from infra.aws.plugin import pack, plugin_zip
from infra.aws.policies import kafka_arn
from infra.aws.register import broker_principal
from infra.errors import NotAvailableError
from infra.settings import MskConnectSettings

if TYPE_CHECKING:
    from pathlib import Path


@given(st.integers(16, 20), st.integers(0, 255))
def test_subnets_lie_in_the_vpc_and_nowhere_twice(length: int, second: int) -> None:
    block = ipaddress.ip_network(f"10.{second}.0.0/{length}")
    private, public = subnets(str(block))
    assert (len(private), len(public)) == (3, 3)
    parts = [ipaddress.ip_network(one) for one in private + public]
    assert all(isinstance(one, ipaddress.IPv4Network) and one.subnet_of(block) for one in parts)  # pyright: ignore[reportArgumentType]
    assert not any(one.overlaps(other) for one in parts for other in parts if one is not other)
    # AWS takes no smaller ones.
    assert max(one.prefixlen for one in parts) <= 28


def test_the_same_jars_make_the_same_zip(tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    for name in ("b.jar", "a.jar"):
        (jars / name).write_bytes(name.encode())
    (jars / "notes.txt").write_text("no jar")
    first = pack(jars, target=tmp_path / "one")
    os.utime(jars / "a.jar", (1, 1))
    second = pack(jars, target=tmp_path / "two")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == ["s3-sink/a.jar", "s3-sink/b.jar"]
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["jars.zip"]


def test_a_given_zip_is_known_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "given.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kafka-connect-s3-1.jar", b"")
        archive.writestr("kafka-connect-avro-converter-1.jar", b"")
    made = plugin_zip(MskConnectSettings(plugin="confluent", pluginZip=str(path)))  # pyright: ignore[reportCallIssue]
    assert made.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "given.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotAvailableError, match="is not there or is no ZIP"):
        plugin_zip(MskConnectSettings(plugin="confluent", pluginZip=str(path)))  # pyright: ignore[reportCallIssue]


def test_arns_of_what_is_in_a_cluster() -> None:
    cluster = "arn:aws:kafka:eu-west-1:123456789012:cluster/cluster/abc-1"
    assert kafka_arn(cluster, "topic", "a.b") == "arn:aws:kafka:eu-west-1:123456789012:topic/cluster/abc-1/a.b"


@pytest.mark.parametrize(
    ("servers", "principal"),
    [
        (
            "b-1.trial.ab12.c4.kafka.eu-west-1.amazonaws.com:9098,b-2.trial.ab12.c4.kafka.eu-west-1.amazonaws.com:9098",
            "User:CN=*.trial.ab12.c4.kafka.eu-west-1.amazonaws.com",
        ),
        ("127.0.0.1:9092", None),
        ("kafka.example.com:9092", None),
    ],
)
def test_the_brokers_principal(servers: str, principal: str | None) -> None:
    assert broker_principal(servers) == principal
