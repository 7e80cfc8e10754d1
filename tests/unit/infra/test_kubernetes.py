"""The pure parts of the kubernetes target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from infra.contract import Service, Sink, Statements
from infra.errors import SettingsError
from infra.kubernetes.acls import Acl, Operation, connect_acls, ksql_acls, registry_acls, scaler_acls, service_acls
from infra.kubernetes.connect import plugins
from infra.kubernetes.kafka import internal_replicas, resource_name
from infra.kubernetes.network import Peer, endpoint_peer
from infra.kubernetes.place import millicores
from infra.kubernetes.scaling import most_replicas
from infra.kubernetes.services import grace_seconds
from infra.pipeline import pipeline
from infra.settings import StackSettings, load_settings
from services.cheapest.settings import CheapestSettings
from services.compressor.settings import CompressorSettings
from services.ingest.settings import IngestSettings
from services.transform.settings import TransformSettings

MODELS = {
    "ingest": IngestSettings,
    "transform": TransformSettings,
    "cheapest": CheapestSettings,
    "compressor": CompressorSettings,
}


def settings(**values: Any) -> StackSettings:
    return StackSettings.model_validate({"target": "kubernetes", **values})


def service(**values: Any) -> Service:
    return Service(name="transform", memory=1, replicas=1, **values)


@pytest.mark.parametrize("engine", ["ksql", "service"])
def test_the_pipeline_names_every_topic_that_a_service_touches(engine: str) -> None:
    # A topic that is missing here is one that the brokers would refuse the service.
    for declared in pipeline(settings(cheapestEngine=engine)).services:
        fields = MODELS[declared.name].model_fields
        touched = {field.default for name, field in fields.items() if name.endswith("_topic")}
        assert touched == {*declared.reads, *declared.writes}, declared.name
        assert bool(declared.schemas) == ("schema_registry_url" in fields), declared.name
        assert {name.lower() for name in declared.secrets} <= fields.keys()


def test_ingests_token_has_the_name_that_ingest_reads() -> None:
    declared = pipeline(settings(services={"ingest": {"token": "t"}})).services[0]
    assert {name.lower() for name in declared.secrets} == {"ingest_token"} <= IngestSettings.model_fields.keys()


def test_a_producer_without_a_group_has_no_transactions() -> None:
    assert service_acls(Service(name="ingest", memory=1, replicas=1, writes=["t"])) == [
        Acl(resource="topic", name="t", operations=["Write", "Describe"])
    ]


def test_transactional_ids_begin_with_the_services_name() -> None:
    acls = service_acls(service(reads=["a"], writes=["b"]))
    assert Acl(resource="transactionalId", name="transform-", prefix=True, operations=["Write", "Describe"]) in acls


def test_acls_name_operations_that_strimzi_knows() -> None:
    statements = [Statements(folder=Path(), reads=["a"], writes=["b"], delete_topics=True)]
    sinks = [Sink(name="s", config={}, bucket="b", reads=["a"])]
    everything = [
        *service_acls(service(reads=["a"], writes=["b"])),
        *registry_acls(),
        *connect_acls(group="connect", internal_topics=["c"], sinks=sinks),
        *ksql_acls(statements),
        *scaler_acls([service(reads=["a"])]),
    ]
    known = set(get_args(Operation))
    assert all(operation in known for acl in everything for operation in acl.operations)
    assert any("Delete" in acl.operations for acl in ksql_acls(statements) if acl.name == "b")


def test_only_statements_that_may_delete_topics_can() -> None:
    statements = [Statements(folder=Path(), reads=["a"], writes=["b"], delete_topics=False)]
    assert not any("Delete" in acl.operations for acl in ksql_acls(statements))


@pytest.mark.parametrize("name", ["cflight.incoming", "a", "batch-1.x"])
def test_names_that_kubernetes_takes_stay(name: str) -> None:
    assert resource_name(name) == name


def test_names_that_differ_stay_different() -> None:
    names = ["CHEAPEST_FLIGHT", "cheapest_flight", "cheapest-flight", "CHEAPEST-FLIGHT", "_cheapest_flight"]
    assert len({resource_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("endpoint", "peer"),
    [
        ("http://minio.storage.svc:9000", Peer(namespace="storage", ports=[])),
        ("https://minio.storage.svc.cluster.local", Peer(namespace="storage", ports=[])),
        ("https://10.1.2.3", Peer(addresses=["10.1.2.3/32"], ports=[443])),
        ("http://[fd00::1]:9000", Peer(addresses=["fd00::1/128"], ports=[9000])),
        ("https://s3.eu-west-1.amazonaws.com", Peer(addresses=["0.0.0.0/0", "::/0"], ports=[443])),
        ("http://s3.example.com", Peer(addresses=["0.0.0.0/0", "::/0"], ports=[80])),
    ],
)
def test_who_answers_at_a_url(endpoint: str, peer: Peer) -> None:
    assert endpoint_peer(endpoint) == peer


@pytest.mark.parametrize(("brokers", "replicas"), [(1, (1, 1)), (2, (2, 1)), (3, (3, 2)), (9, (3, 2))])
def test_internal_topics_survive_a_broker_where_there_are_enough(brokers: int, replicas: tuple[int, int]) -> None:
    assert internal_replicas(brokers) == replicas


def test_consumers_are_never_more_than_partitions() -> None:
    assert most_replicas(service(reads=["a"]), partitions=4, limit=10) == 4
    assert most_replicas(service(reads=["a"]), partitions=40, limit=10) == 10
    assert most_replicas(service(), partitions=4, limit=10) == 10


def test_cpu_quantities() -> None:
    assert millicores("250m") == 250
    assert millicores("2") == 2000


def test_grace_is_longer_than_a_transaction_and_its_commit() -> None:
    assert grace_seconds(service()) > 15 + 30
    assert grace_seconds(service(environment={"TRANSACTION_TIMEOUT_MS": "120500"})) > 121 + 30


def test_plugins_are_files_with_digests() -> None:
    assert plugins({"s3": "https://a/x.zip#sha512=ab https://a/y.tar.gz"}) == [
        {
            "name": "s3",
            "artifacts": [
                {"type": "zip", "url": "https://a/x.zip", "sha512sum": "ab"},
                {"type": "tgz", "url": "https://a/y.tar.gz"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"connect": {"image": "a", "buildImage": "b", "plugins": {"x": "y"}}}, "image and buildImage are both given"),
        ({"connect": {"buildImage": "b"}}, "buildImage and plugins go together"),
        ({"s3": {"endpoint": "https://s3"}}, "an endpoint needs accessKey and secretKey"),
        ({"s3": {"accessKey": "a"}}, "accessKey and secretKey go together"),
        ({"ingest": {"kind": "ingress"}}, "needs a host"),
        ({"images": {"services": "cflight@sha256:abc"}}, "should match pattern"),
        ({"cpuRequests": {"kafka": "1.5"}}, "should match pattern"),
        ({"existingSecrets": {"ingest": "a/b"}}, "write `ingest.TOKEN: secret/key`"),
    ],
)
def test_contradictions_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings({"cflight:target": "kubernetes", "cflight:kubernetes": json.dumps(section)})


def test_a_section_that_is_wrong_keeps_its_secrets() -> None:
    section = '{"s3": {"secretKey": "hush-hush"}}'
    with pytest.raises(SettingsError) as error:
        load_settings({"cflight:target": "kubernetes", "cflight:kubernetes": section})
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(("target", "kept"), [("local", False), ("kubernetes", True), ("aws", True)])
def test_data_is_kept_where_it_cannot_be_made_again(target: str, kept: bool) -> None:  # noqa: FBT001
    assert load_settings({"cflight:target": target}).keep_data is kept
    assert load_settings({"cflight:target": target, "cflight:keepData": "false"}).keep_data is False
