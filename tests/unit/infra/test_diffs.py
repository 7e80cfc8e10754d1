"""What a changed declaration means for a resource: nothing, an update, or a replacement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.local.ports import PortsHandler
from infra.provider.handler import Change
from infra.resources.bucket import BucketHandler, BucketInputs
from infra.resources.schema import SchemaHandler, SchemaInputs
from infra.resources.secret import SecretHandler
from infra.resources.topic import TopicHandler, TopicInputs

TOPIC: dict[str, Any] = {
    "bootstrap_servers": "127.0.0.1:9092",
    "topic": "flights",
    "partitions": 4,
    "replication_factor": 1,
    "configs": {"retention.ms": "1000"},
    "client": {},
}
SCHEMA: dict[str, Any] = {
    "registry_url": "http://127.0.0.1:1/apis/ccompat/v7",
    "subject": "flights-value",
    "definition": '{"type": "string"}',
    "compatibility": "BACKWARD",
}
BUCKET: dict[str, Any] = {
    "bucket": "flights.bucket",
    "endpoint": "http://127.0.0.1:1",
    "region": "us-east-1",
    "access_key": "a",
    "secret_key": "s",
    "keep_objects": False,
}


def topic(**changes: object) -> Change:
    return TopicHandler().diff("flights", old=TOPIC, new=TOPIC | changes, outputs={})


def test_the_same_topic_is_no_change() -> None:
    assert topic() == Change()


def test_more_partitions_are_an_update() -> None:
    assert topic(partitions=8) == Change(changed=["partitions"])


def test_fewer_partitions_are_a_replacement() -> None:
    assert topic(partitions=2) == Change(changed=["partitions"], replaces=["partitions"])


def test_partitions_that_are_not_known_yet_are_an_update() -> None:
    assert topic(partitions="04da6b54-80e4-46f7-96ec-b56ff0331ba9").replaces == []


def test_another_replication_factor_is_a_replacement() -> None:
    assert topic(replication_factor=3).replaces == ["replication_factor"]


def test_configs_are_an_update() -> None:
    assert topic(configs={}) == Change(changed=["configs"])


def test_where_the_brokers_are_is_no_change() -> None:
    assert topic(bootstrap_servers="elsewhere:9092", client={"security.protocol": "SSL"}) == Change()


@pytest.mark.parametrize("name", [".", ".."])
def test_names_that_kafka_refuses_are_refused(name: str) -> None:
    assert [
        failure.name for failure in TopicHandler().validate(TopicInputs.model_validate(TOPIC | {"topic": name}))
    ] == ["topic"]


def schema(**changes: object) -> Change:
    return SchemaHandler().diff("flights-value", old=SCHEMA, new=SCHEMA | changes, outputs={})


def test_how_a_schema_is_written_is_no_change() -> None:
    assert schema(definition=json.dumps({"type": "string"}, indent=4)) == Change()


def test_another_schema_is_an_update() -> None:
    assert schema(definition='"int"') == Change(changed=["definition"])


def test_another_compatibility_is_an_update() -> None:
    assert schema(compatibility="NONE") == Change(changed=["compatibility"])


def test_another_subject_is_a_replacement() -> None:
    assert schema(subject="other-value").replaces == ["subject"]


def test_where_the_registry_is_is_no_change() -> None:
    assert schema(registry_url="http://elsewhere") == Change()


def test_a_registry_that_is_away_does_not_stop_a_preview() -> None:
    assert not list(SchemaHandler().validate(SchemaInputs.model_validate(SCHEMA)))


def bucket(**changes: object) -> Change:
    return BucketHandler().diff("flights.bucket", old=BUCKET, new=BUCKET | changes, outputs={})


def test_who_asks_for_a_bucket_is_no_change() -> None:
    assert bucket(endpoint="http://elsewhere", access_key="b", secret_key="t") == Change()


def test_another_name_is_another_bucket() -> None:
    assert bucket(bucket="other").replaces == ["bucket"]


@pytest.mark.parametrize("name", ["UPPER", "a", "-a-b", "a..b", "192.168.0.1", "xn--abc", "a_b", "x" * 64])
def test_names_that_s3_refuses_are_refused(name: str) -> None:
    assert [
        failure.name for failure in BucketHandler().validate(BucketInputs.model_validate(BUCKET | {"bucket": name}))
    ] == ["bucket"]


@pytest.mark.parametrize("name", ["cflight.bucket", "flightbatch.bucket", "abc", "x" * 63])
def test_names_that_s3_takes_are_taken(name: str) -> None:
    assert not list(BucketHandler().validate(BucketInputs.model_validate(BUCKET | {"bucket": name})))


def test_more_ports_are_an_update_and_another_purpose_is_another_secret() -> None:
    old: dict[str, Any] = {"folder": "/x", "names": ["a"]}
    assert PortsHandler().diff("/x", old=old, new=old | {"names": ["a", "b"]}, outputs={}) == Change(changed=["names"])
    assert SecretHandler().diff("p", old={"purpose": "p"}, new={"purpose": "q"}, outputs={}).replaces == ["purpose"]
