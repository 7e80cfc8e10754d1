from __future__ import annotations

import pytest

from cflight.endpoints import Endpoints, EndpointsError

OUTPUTS = {
    "bootstrapServers": "127.0.0.1:9092",
    "schemaRegistryUrl": "http://127.0.0.1:8081",
    "ingestUrl": "http://127.0.0.1:8080/batches",
    "s3Region": "eu-west-2",
    "quotesBucket": "q",
    "batchesBucket": "b",
    "s3SecretKey": "hidden",
    "somethingElse": 1,
}


def test_outputs_are_typed_and_secrets_are_not_shown() -> None:
    endpoints = Endpoints.from_outputs(OUTPUTS, stack="dev")
    assert endpoints.quotes_bucket == "q"
    assert endpoints.ksql_url is None
    assert "hidden" not in repr(endpoints)
    assert endpoints.s3_secret_key is not None
    assert endpoints.s3_secret_key.get_secret_value() == "hidden"


def test_buckets_may_come_by_role() -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if not name.endswith("Bucket")}
    endpoints = Endpoints.from_outputs({**outputs, "buckets": {"quotes": "x", "batches": "y"}}, stack="dev")
    assert (endpoints.quotes_bucket, endpoints.batches_bucket) == ("x", "y")


def test_what_is_missing_is_named_with_what_to_set() -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "ingestUrl"}
    with pytest.raises(EndpointsError, match=r"no output ingestUrl.*CFLIGHT_INGEST_URL"):
        Endpoints.from_outputs(outputs, stack="dev")


def test_the_environment_goes_before_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLIGHT_INGEST_URL", "http://127.0.0.1:1/batches")
    assert Endpoints.from_outputs(OUTPUTS, stack="dev").ingest_url == "http://127.0.0.1:1/batches"


def test_kafkas_login_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    config = Endpoints.from_outputs(OUTPUTS, stack="dev").kafka_config(client_id="test")
    assert config["bootstrap.servers"] == "127.0.0.1:9092"
    assert config["security.protocol"] == "SSL"
