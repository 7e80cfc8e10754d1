"""The pipeline on the kubernetes target: every resource that it declares."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pulumi
import pytest
from pulumi import automation

from infra.__main__ import declare as program
from infra.kubernetes import jmx
from infra.kubernetes.job import Job, JobArgs
from infra.kubernetes.kafka import resource_name
from infra.pipeline import pipeline
from infra.settings import load_settings
from services import contracts, metrics
from services.settings import ConsumerSettings, load
from services.transform.settings import TransformSettings
from tests.program.kubernetes_cluster import (
    DEV,
    ROOT,
    STRIMZI,
    VERSIONS,
    cluster,
    component,
    everything,
    manifest,
    manifests,
    problems_of_builtin,
    problems_of_strimzi,
    strimzi_crds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.program.recording import Program

CORE, APPS = "kubernetes:core/v1:", "kubernetes:apps/v1:"
DEPLOYMENT, STATEFUL_SET = f"{APPS}Deployment", f"{APPS}StatefulSet"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
JOB = "kubernetes:batch/v1:Job"
SERVICES = {"ingest", "transform", "compressor"}
# By the key that refers, the kind of what is referred to.
REFERENCES = {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "configMap": "ConfigMap",
    "secretKeyRef": "Secret",
    "secret": "Secret",
    "secretName": "Secret",
    "pushSecret": "Secret",
    "serviceAccountName": "ServiceAccount",
    "authenticationRef": "TriggerAuthentication",
}
# Whose schemas neither Kubernetes nor shared/strimzi-crds has.
OTHERS = ("monitoring.coreos.com/", "keda.sh/", "gateway.networking.k8s.io/")


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    return everything()


@pytest.fixture(scope="module")
def dev(programs: dict[str, Program]) -> Program:
    return programs["dev"]


@pytest.fixture(scope="module")
def given(programs: dict[str, Program]) -> Program:
    return programs["given"]


@pytest.fixture(scope="module")
def bare(programs: dict[str, Program]) -> Program:
    return programs["bare"]


def spec(declared: Program, kind: str, name: str) -> dict[str, Any]:
    return manifest(declared.one(kind, name))["spec"]


def pods(declared: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pod templates of everything that runs pods of its own."""
    for kind in (DEPLOYMENT, STATEFUL_SET, JOB):
        for name, one in declared.of(kind).items():
            yield name, manifest(one)["spec"]["template"]


# --- what Kubernetes and Strimzi take ---


@pytest.mark.parametrize("version", VERSIONS)
def test_every_builtin_manifest_is_valid(programs: dict[str, Program], version: str) -> None:
    checked = 0
    for stack, declared in programs.items():
        for label, subject in manifests(declared):
            if subject["apiVersion"].startswith(("kafka.strimzi.io/", *OTHERS)):
                continue
            assert problems_of_builtin(subject, version=version) is None, f"{stack}: {label}"
            checked += 1
    assert checked > 150


def test_every_strimzi_resource_is_valid(programs: dict[str, Program]) -> None:
    if strimzi_crds() is None:
        pytest.skip("Strimzi's CRDs are not here: set CFLIGHT_SHARED to the folder that has strimzi-crds")
    kinds: set[str] = set()
    for stack, declared in programs.items():
        for label, subject in manifests(declared):
            if subject["apiVersion"].startswith("kafka.strimzi.io/"):
                assert problems_of_strimzi(subject) == [], f"{stack}: {label}"
                kinds.add(subject["kind"])
    assert kinds == {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "KafkaConnect", "KafkaConnector"}


def test_the_validators_refuse_what_is_wrong(dev: Program) -> None:
    deployment = manifest(dev.one(DEPLOYMENT, "transform"))
    deployment["spec"]["template"]["spec"]["restart"] = "Always"
    assert "restart" in (problems_of_builtin(deployment, version=VERSIONS[0]) or "")
    if strimzi_crds() is not None:
        kafka = manifest(dev.one(f"{STRIMZI}Kafka", "cflight"))
        kafka["spec"]["kafka"]["replicas"] = 3
        assert any("replicas" in problem for problem in problems_of_strimzi(kafka))


def test_names_are_unique_and_kubernetes_takes_them(programs: dict[str, Program]) -> None:
    for declared in programs.values():
        seen: set[tuple[str, str]] = set()
        for _, subject in manifests(declared):
            name = subject["metadata"]["name"]
            assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name)
            assert (subject["kind"], name) not in seen
            seen.add((subject["kind"], name))
            if subject["kind"] != "Namespace":
                assert subject["metadata"]["namespace"] == "cflight-dev"


def test_what_another_resource_refers_to_is_declared(programs: dict[str, Program]) -> None:
    made_by_operators = {"cflight-cluster-ca-cert"}
    existing = {"minio", "partners", "images", "connect-push"}
    for stack, declared in programs.items():
        have: dict[str, set[str]] = {"Secret": made_by_operators | existing, "ConfigMap": set()}
        for _, subject in manifests(declared):
            have.setdefault(subject["kind"], set()).add(subject["metadata"]["name"])
            if subject["kind"] == "KafkaUser":
                have["Secret"].add(f"kafka-user-{subject['metadata']['name']}")
        for label, subject in manifests(declared):
            for kind, name in references(subject):
                assert name in have.get(kind, set()), f"{stack}: {label} needs {kind} {name}"


def references(subject: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and name of the objects that an object refers to."""
    if isinstance(subject, list):
        for one in cast("list[Any]", subject):
            yield from references(one)
    elif isinstance(subject, dict):
        for key, value in cast("dict[str, Any]", subject).items():
            kind = REFERENCES.get(key)
            name = value if isinstance(value, str) else (value.get("name") or value.get("secretName")) if kind else None
            # The certificate of an Ingress may be issued later.
            if kind and name and "hosts" not in subject:
                yield kind, str(name)
            else:
                yield from references(value)


# --- the platform's parts ---


def test_the_operator_is_installed_or_found(dev: Program, given: Program, bare: Program) -> None:
    release = dev.one("kubernetes:helm.sh/v3:Release", "strimzi").inputs
    assert release["chart"] == "oci://quay.io/strimzi-helm/strimzi-kafka-operator"
    assert release["version"] == "1.2.0"
    assert release["namespace"] == "cflight-dev"
    assert not given.of("kubernetes:helm.sh/v3:Release")
    assert bare.one("kubernetes:helm.sh/v3:Release", "strimzi").inputs["repositoryOpts"] == {
        "repo": "https://strimzi.io/charts/"
    }


def test_kafka_has_pools_with_roles_racks_and_disks(dev: Program, given: Program, bare: Program) -> None:
    (name, pool) = next(iter(dev.of(f"{STRIMZI}KafkaNodePool").items()))
    brokers = manifest(pool)["spec"]
    assert name == "brokers"
    assert brokers["roles"] == ["broker", "controller"]
    assert brokers["replicas"] == 3
    assert brokers["storage"]["volumes"] == [
        {"id": 0, "type": "persistent-claim", "size": "20Gi", "deleteClaim": False, "kraftMetadata": "shared"}
    ]
    assert brokers["resources"]["limits"] == {"memory": "2Gi"}
    assert brokers["resources"]["requests"]["memory"] == "2Gi"
    assert brokers["jvmOptions"]["-Xmx"] == "1024m"

    pools = {name: manifest(one)["spec"] for name, one in given.of(f"{STRIMZI}KafkaNodePool").items()}
    assert {name: pool["roles"] for name, pool in pools.items()} == {
        "brokers": ["broker"],
        "controllers": ["controller"],
    }
    assert pools["controllers"]["storage"]["volumes"][0]["class"] == "fast"
    assert spec(bare, f"{STRIMZI}KafkaNodePool", "brokers")["storage"]["volumes"][0]["deleteClaim"] is True

    assert spec(dev, f"{STRIMZI}Kafka", "cflight")["kafka"]["rack"] == {"topologyKey": "topology.kubernetes.io/zone"}
    assert "rack" not in spec(bare, f"{STRIMZI}Kafka", "cflight")["kafka"]
    assert spec(given, f"{STRIMZI}Kafka", "cflight")["kafka"]["version"] == "4.3.1"


def test_kafka_listens_with_tls_and_logins_only(dev: Program) -> None:
    kafka = spec(dev, f"{STRIMZI}Kafka", "cflight")["kafka"]
    assert [(one["name"], one["port"], one["tls"], one["authentication"]["type"]) for one in kafka["listeners"]] == [
        ("tls", 9093, True, "tls"),
        ("scram", 9094, True, "scram-sha-512"),
    ]
    assert kafka["authorization"] == {"type": "simple"}
    assert kafka["config"]["auto.create.topics.enable"] is False
    assert kafka["config"]["min.insync.replicas"] == 2


def test_topics_have_kafkas_names_under_names_for_kubernetes(dev: Program) -> None:
    topics = [manifest(one) for one in dev.of(f"{STRIMZI}KafkaTopic").values()]
    by_name = {one["spec"]["topicName"]: one for one in topics}
    settings = load_settings({f"cflight:{key}": json.dumps(value) for key, value in DEV.items()})
    for topic in pipeline(settings).topics:
        declared = by_name[topic.name]["spec"]
        assert declared["partitions"] == 6
        assert declared["replicas"] == 3
        assert declared["config"] == topic.configs
    cheapest = by_name[contracts.CHEAPEST]["metadata"]
    assert re.fullmatch(r"cheapest-flight-[0-9a-f]{6}", cheapest["name"])
    assert cheapest["labels"]["strimzi.io/cluster"] == "cflight"
    assert by_name.keys() - {topic.name for topic in pipeline(settings).topics} == {
        "kafkasql-journal",
        "kafkasql-snapshots",
        "registry-events",
        "connect.configs",
        "connect.offsets",
        "connect.status",
    }


def rights(declared: Program, user: str) -> set[tuple[str, str, bool, str]]:
    acls = spec(declared, f"{STRIMZI}KafkaUser", user)["authorization"]["acls"]
    return {
        (
            acl["resource"]["type"],
            acl["resource"].get("name", ""),
            acl["resource"].get("patternType") == "prefix",
            operation,
        )
        for acl in acls
        for operation in acl["operations"]
    }


def test_a_service_may_do_what_its_edges_need_and_no_more(dev: Program) -> None:
    assert rights(dev, "ingest") == {
        ("topic", contracts.EVENT_LOG, False, "Write"),
        ("topic", contracts.EVENT_LOG, False, "Describe"),
    }
    written = {contracts.PAYLOAD, contracts.INCOMING, contracts.INCOMING_DLQ, contracts.EVENT_LOG_DLQ}
    assert rights(dev, "transform") == {
        ("topic", contracts.EVENT_LOG, False, "Read"),
        ("topic", contracts.EVENT_LOG, False, "Describe"),
        *(("topic", topic, False, operation) for topic in written for operation in ("Write", "Describe")),
        ("group", "transform", False, "Read"),
        ("group", "transform", False, "Describe"),
        ("transactionalId", "transform-", True, "Write"),
        ("transactionalId", "transform-", True, "Describe"),
    }


def test_users_of_the_parts(dev: Program, given: Program) -> None:
    users = {name: manifest(one)["spec"] for name, one in dev.of(f"{STRIMZI}KafkaUser").items()}
    assert users.keys() == SERVICES | {"registry", "connect", "ksql"}
    assert {name: user["authentication"]["type"] for name, user in users.items()} == {
        name: "tls" if name == "connect" else "scram-sha-512" for name in users
    }
    assert ("group", "connect-cflight.sink", False, "Read") in rights(dev, "connect")
    assert ("topic", contracts.COMPRESSED, False, "Read") in rights(dev, "connect")
    assert not any(
        name == contracts.COMPRESSED and operation == "Write" for _, name, _, operation in rights(dev, "connect")
    )
    assert ("topic", "_confluent-ksql-cflight", True, "All") in rights(dev, "ksql")
    assert ("topic", contracts.CHEAPEST, False, "Write") in rights(dev, "ksql")
    for name in users:
        broad = {(kind, resource) for kind, resource, _, operation in rights(dev, name) if operation == "All"}
        assert all(resource.startswith("_confluent-ksql-") for _, resource in broad)
        assert not any(resource in {"*", ""} for kind, resource, _, _ in rights(dev, name) if kind != "cluster")
    assert {operation for *_, operation in rights(given, "scaler")} == {"Describe"}
    assert "ksql" not in given.of(f"{STRIMZI}KafkaUser")


def test_connect_gets_its_image_built_or_given(dev: Program, given: Program) -> None:
    built = spec(dev, f"{STRIMZI}KafkaConnect", "sinks")
    assert built["build"]["output"] == {
        "type": "docker",
        "image": "ghcr.io/cflight/connect-dev:1",
        "pushSecret": "connect-push",
    }
    assert {plugin["name"] for plugin in built["build"]["plugins"]} == {"s3-sink", "avro-converter"}
    assert built["groupId"] == "connect"
    assert built["config"]["consumer.isolation.level"] == "read_committed"
    assert built["jvmOptions"]["-Xmx"] == "1536m"
    annotations = manifest(dev.one(f"{STRIMZI}KafkaConnect", "sinks"))["metadata"]["annotations"]
    assert annotations["strimzi.io/use-connector-resources"] == "true"
    assert "build" not in spec(given, f"{STRIMZI}KafkaConnect", "sinks")
    assert spec(given, f"{STRIMZI}KafkaConnect", "sinks")["image"].startswith("registry.example.com/connect@sha256:")


def test_sinks_are_connectors_with_credentials_by_reference(dev: Program, given: Program, bare: Program) -> None:
    sinks = dev.of(f"{STRIMZI}KafkaConnector")
    assert sinks.keys() == {"cflight.sink", "batchcompress.sink"}
    for name, one in sinks.items():
        subject = manifest(one)
        assert subject["metadata"]["labels"]["strimzi.io/cluster"] == "sinks"
        assert subject["spec"]["autoRestart"]["enabled"] is True
        assert subject["spec"]["class"] == "io.confluent.connect.s3.S3SinkConnector"
        config = subject["spec"]["config"]
        assert config["aws.secret.access.key"] == "${directory:/mnt/s3:secretKey}"
        assert config["store.url"] == "http://s3.cflight-dev.svc:7070"
        assert not {"name", "connector.class", "tasks.max"} & config.keys()
        assert ("value.converter.schema.registry.url" in config) == (name == "cflight.sink")
    embedded = spec(given, f"{STRIMZI}KafkaConnector", "cflight.sink")
    assert embedded["class"] == "io.github.cflight.connect.s3.S3SinkConnector"
    assert embedded["config"]["value.converter"] == "io.github.cflight.connect.avro.AvroConverter"
    assert embedded["config"]["s3.bucket.name"] == "cflight.bucket"
    connect = spec(bare, f"{STRIMZI}KafkaConnect", "sinks")["template"]["pod"]["volumes"]
    assert connect == [{"name": "s3", "secret": {"secretName": "minio"}}]


def test_what_does_not_fill_a_file_is_archived_all_the_same(dev: Program) -> None:
    for one in dev.of(f"{STRIMZI}KafkaConnector").values():
        config = manifest(one)["spec"]["config"]
        assert int(config["flush.size"]) > 1
        assert int(config["rotate.schedule.interval.ms"]) == 60000
        # Both plug-ins refuse the one without the other.
        assert config["timezone"] == "UTC"


def test_buckets_are_folders_of_versitygw_or_of_an_endpoint(dev: Program, given: Program, bare: Program) -> None:
    store = spec(dev, STATEFUL_SET, "s3")
    (container,) = store["template"]["spec"]["containers"]
    assert (
        "mkdir -p /data/metadata /data/objects/cflight.bucket /data/objects/flightbatch.bucket"
        in container["command"][2]
    )
    assert store["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert store["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert not dev.of("cflight:s3:Bucket")

    buckets = given.of("cflight:s3:Bucket")
    assert {one.inputs["bucket"] for one in buckets.values()} == {"cflight.bucket", "flightbatch.bucket"}
    assert all(one.options["protect"] and one.options["retain_on_delete"] for one in buckets.values())
    assert all(one.inputs["endpoint"] == "https://s3.example.com" for one in buckets.values())
    assert not given.of(STATEFUL_SET)
    assert not bare.of("cflight:s3:Bucket")


def test_the_registry_keeps_schemas_in_kafka(dev: Program) -> None:
    files = manifest(dev.one(f"{CORE}ConfigMap", "registry-files"))["data"]["application.properties"]
    assert "apicurio.storage.kind=kafkasql\n" in files
    assert "apicurio.kafkasql.bootstrap.servers=cflight-kafka-bootstrap.cflight-dev.svc:9094\n" in files
    assert 'password="${KAFKA_PASSWORD}"' in files
    (container,) = spec(dev, DEPLOYMENT, "registry")["template"]["spec"]["containers"]
    assert container["env"] == [
        {
            "name": "KAFKA_PASSWORD",
            "valueFrom": {"secretKeyRef": {"name": "kafka-user-registry", "key": "password"}},
        }
    ]
    assert container["resources"]["limits"] == {"memory": "512Mi"}
    environment = manifest(dev.one(f"{CORE}ConfigMap", "registry"))["data"]
    assert "-Xmx256m" in environment["JAVA_TOOL_OPTIONS"]
    # Two collectors, and the JVM does not start.
    collectors = re.findall(
        r"-XX:\+Use\w+GC", f"{environment['JAVA_TOOL_OPTIONS']} {environment['GC_CONTAINER_OPTIONS']}"
    )
    assert len(collectors) == 2
    assert len(set(collectors)) == 1


def test_ksqldb_divides_its_limit_and_keeps_its_state(dev: Program, given: Program, bare: Program) -> None:
    server = spec(dev, STATEFUL_SET, "ksql")
    (container,) = server["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    assert "-Xmx819m" in manifest(dev.one(f"{CORE}ConfigMap", "ksql"))["data"]["KSQL_HEAP_OPTS"]
    properties = manifest(dev.one(f"{CORE}ConfigMap", "ksql-files"))["data"]["ksql-server.properties"]
    assert f"ksql.plugins.rocksdb.cache.size={512 << 20}\n" in properties
    assert "ksql.streams.processing.guarantee=exactly_once_v2\n" in properties
    assert "sasl.jaas.config" not in properties
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/var/lib/ksql"}
    assert server["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"
    assert "ksql" not in given.of(STATEFUL_SET)
    assert "ksql" not in bare.of(STATEFUL_SET)
    assert (
        "http://ksql.elsewhere.svc:8088"
        in spec(bare, JOB, "statements")["template"]["spec"]["containers"][0]["command"]
    )


def test_a_job_in_the_cluster_registers_the_statements(dev: Program) -> None:
    job = spec(dev, JOB, "statements")
    (container,) = job["template"]["spec"]["containers"]
    assert container["command"][:3] == ["cflight-ksql-statements", "apply", "/etc/cflight/files"]
    assert container["command"][3:5] == ["--server", "http://ksql.cflight-dev.svc:8088"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    # One that failed is made anew by the next `up`.
    annotations = manifest(dev.one(JOB, "statements"))["metadata"]["annotations"]
    assert annotations == {"pulumi.com/replaceUnready": "true"}
    files = manifest(dev.one(f"{CORE}ConfigMap", "statements-files"))["data"]
    assert "CREATE TABLE CHEAPEST_FLIGHT" in files["cflight.sql"]
    assert {"ksql", "cheapest-flight-" + resource_name(contracts.CHEAPEST)[-6:]} <= dev.one(JOB, "statements").after


def test_a_job_runs_again_when_its_files_change() -> None:
    def checksum(text: str) -> str:
        declared = component(
            lambda place: Job("tidy", place=place, args=JobArgs(command=["true"], egress=[], files={"a": text}))
        )
        return spec(declared, JOB, "tidy")["template"]["metadata"]["annotations"]["cflight.io/checksum"]

    assert checksum("one") == checksum("one")
    assert checksum("one") != checksum("two")


def test_schemas_are_registered_by_jobs(dev: Program) -> None:
    (container,) = spec(dev, JOB, "schema-cflight-incoming-value")["template"]["spec"]["containers"]
    assert container["command"] == [
        "cflight-schemas",
        "/etc/cflight/files/schemas.json",
        "--registry",
        "http://registry.cflight-dev.svc:8080/apis/ccompat/v7",
    ]
    content = manifest(dev.one(f"{CORE}ConfigMap", "schema-cflight-incoming-value-files"))["data"]["schemas.json"]
    assert json.loads(content) == [
        {
            "subject": f"{contracts.INCOMING}-value",
            "definition": json.loads(contracts.ROW_SCHEMA),
            "compatibility": "BACKWARD",
        }
    ]


# --- the services ---


def test_services_request_what_they_are_limited_to(dev: Program) -> None:
    assert dev.of(DEPLOYMENT).keys() == SERVICES | {"registry"}
    for name in SERVICES:
        deployment = spec(dev, DEPLOYMENT, name)
        (container,) = deployment["template"]["spec"]["containers"]
        assert deployment["replicas"] == 2
        assert container["resources"]["limits"] == {"memory": "256Mi"}
        assert container["resources"]["requests"]["memory"] == "256Mi"
        assert container["command"] == [f"cflight-{name}"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
        keys = {one["topologyKey"] for one in deployment["template"]["spec"]["topologySpreadConstraints"]}
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        budget = spec(dev, "kubernetes:policy/v1:PodDisruptionBudget", name)
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"] == deployment["selector"]["matchLabels"]
        assert name in dev.of(f"{CORE}ServiceAccount")


def test_services_are_told_where_everything_is(dev: Program) -> None:
    transform = manifest(dev.one(f"{CORE}ConfigMap", "transform"))["data"]
    assert transform == {
        "KAFKA_BOOTSTRAP_SERVERS": "cflight-kafka-bootstrap.cflight-dev.svc:9094",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": "transform",
        "KAFKA_SASL_PASSWORD_FILE": "/etc/cflight/secrets/KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_CA_LOCATION": "/etc/cflight/secrets/kafka-ca.crt",
        "SCHEMA_REGISTRY_URL": "http://registry.cflight-dev.svc:8080/apis/ccompat/v7",
        "HTTP_HOST": "0.0.0.0",  # noqa: S104 - in a pod of its own
        "HTTP_PORT": "8080",
        "PYTHONUNBUFFERED": "1",
    }
    assert "SCHEMA_REGISTRY_URL" not in manifest(dev.one(f"{CORE}ConfigMap", "compressor"))["data"]


def test_the_services_take_their_environment(dev: Program, tmp_path: Path) -> None:
    environment: dict[str, str] = dict(manifest(dev.one(f"{CORE}ConfigMap", "transform"))["data"])
    password = tmp_path / "password"
    password.write_text("hush")
    environment["KAFKA_SASL_PASSWORD_FILE"] = str(password)
    # What the pod mounts is not here, and the settings want a file that is.
    environment["KAFKA_SSL_CA_LOCATION"] = str(password)
    settings = load(TransformSettings, environ=environment)
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == "hush"
    assert settings.http_host == "0.0.0.0"  # noqa: S104 - what is compared


def test_services_end_later_than_their_transactions() -> None:
    default: int = ConsumerSettings.model_fields["transaction_timeout_ms"].default
    patient = cluster(services={"transform": {"environment": {"TRANSACTION_TIMEOUT_MS": "60000"}}})
    for name, timeout_ms in (("compressor", default), ("transform", 60_000)):
        grace = spec(patient, DEPLOYMENT, name)["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace * 1000 > timeout_ms + 30_000


def test_a_change_of_configuration_or_of_a_secret_rolls_the_pods(dev: Program) -> None:
    def checksum(declared: Program, name: str) -> str:
        return spec(declared, DEPLOYMENT, name)["template"]["metadata"]["annotations"]["cflight.io/checksum"]

    again = cluster()
    louder = cluster(services={"transform": {"environment": {"LOG_LEVEL": "debug"}}})
    tokens = [cluster(services={"ingest": {"token": token}}) for token in ("one", "two")]
    for name in SERVICES:
        assert checksum(again, name) == checksum(dev, name)
    assert checksum(louder, "transform") != checksum(dev, "transform")
    assert checksum(louder, "compressor") == checksum(dev, "compressor")
    assert checksum(tokens[0], "ingest") != checksum(tokens[1], "ingest")


def test_pods_meet_the_restricted_standard(programs: dict[str, Program]) -> None:
    for declared in programs.values():
        for name, template in pods(declared):
            pod = template["spec"]
            assert pod["automountServiceAccountToken"] is False, name
            assert pod["serviceAccountName"] in declared.of(f"{CORE}ServiceAccount")
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] > 0
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for volume in pod["volumes"]:
                assert volume.keys() <= {"name", "emptyDir", "configMap", "projected"}
            for container in pod["containers"]:
                context = container["securityContext"]
                assert context["allowPrivilegeEscalation"] is False
                assert context["readOnlyRootFilesystem"] is True
                assert context["capabilities"] == {"drop": ["ALL"]}
                assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_the_namespace_enforces_the_standard_that_its_pods_meet(dev: Program, given: Program, bare: Program) -> None:
    label = "pod-security.kubernetes.io/enforce"
    restricted = {"name": "STRIMZI_POD_SECURITY_PROVIDER_CLASS", "value": "restricted"}
    assert manifest(dev.one(f"{CORE}Namespace", "cflight-dev"))["metadata"]["labels"][label] == "baseline"
    assert manifest(given.one(f"{CORE}Namespace", "cflight-dev"))["metadata"]["labels"][label] == "restricted"
    assert not bare.of(f"{CORE}Namespace")
    image: dict[str, Any] = {"image": "i", "buildImage": None, "pushSecret": None, "plugins": {}}
    release = cluster(kubernetes={"connect": image}).one("kubernetes:helm.sh/v3:Release", "strimzi")
    assert release.inputs["values"]["extraEnvs"] == [restricted]
    for kind, path in (("Kafka", ("entityOperator", "template")), ("KafkaConnect", ("template",))):
        for one in given.of(f"{STRIMZI}{kind}").values():
            templates: Any = manifest(one)["spec"]
            for key in path:
                templates = templates[key]
            for name, template in templates.items():
                if name.endswith("Container"):
                    assert template["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_images_are_those_of_the_settings(given: Program) -> None:
    digest = f"@sha256:{'ab' * 32}"
    images = {name: template["spec"]["containers"][0]["image"] for name, template in pods(given)}
    assert images.pop("registry") == "quay.io/apicurio/apicurio-registry:3.0.9"
    assert set(images.values()) == {f"registry.example.com/cflight:1.2{digest}"}
    assert all(template["spec"]["imagePullSecrets"] == [{"name": "images"}] for _, template in pods(given))


# --- the network ---


def peers(policy: Mapping[str, Any], direction: str) -> set[tuple[str, int]]:
    """Return who is let through, with the port; DNS left out."""
    found: set[tuple[str, int]] = set()
    side = {"ingress": "from", "egress": "to"}[direction]
    for rule in policy[direction]:
        for peer in rule[side]:
            for port in rule.get("ports", [{"port": 0}]):
                if port["port"] != 53:
                    found |= {(who, port["port"]) for who in who_is(peer)}
    return found


def who_is(peer: Mapping[str, Any]) -> set[str]:
    if "ipBlock" in peer:
        return {peer["ipBlock"]["cidr"]}
    labels = dict(peer.get("podSelector", {}).get("matchLabels", {}))
    expressions = peer.get("podSelector", {}).get("matchExpressions", [])
    if expressions:
        return set(expressions[0]["values"])
    if "strimzi.io/cluster" in labels:
        return {f"strimzi:{labels['strimzi.io/cluster']}"}
    return {f"namespace:{peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}"}


def test_who_may_talk_to_whom_is_exactly_the_pipeline(dev: Program) -> None:
    kafka, monitoring = ("strimzi:cflight", 9094), ("namespace:monitoring", 8080)
    registry = ("registry", 8080)
    expected: dict[str, tuple[set[tuple[str, int]], set[tuple[str, int]]]] = {
        "ingest": ({("namespace:ingress-nginx", 8080), monitoring}, {kafka}),
        "transform": ({monitoring}, {kafka, registry}),
        "compressor": ({monitoring}, {kafka}),
        "registry": (
            {
                monitoring,
                ("transform", 8080),
                ("ksql", 8080),
                ("schema-cflight-incoming-value", 8080),
                (f"schema-{resource_name(contracts.CHEAPEST + '-value')}", 8080),
                ("strimzi:sinks", 8080),
            },
            {kafka},
        ),
        "ksql": ({("statements", 8088)}, {kafka, registry}),
        "s3": ({("strimzi:sinks", 7070)}, set()),
        "statements": (set(), {("ksql", 8088)}),
        "schema-cflight-incoming-value": (set(), {registry}),
        f"schema-{resource_name(contracts.CHEAPEST + '-value')}": (set(), {registry}),
    }
    policies = {name: manifest(one)["spec"] for name, one in dev.of(POLICY).items()}
    connect = policies.pop("connect")
    assert {name: (peers(one, "ingress"), peers(one, "egress")) for name, one in policies.items()} == expected
    assert all(set(one["policyTypes"]) == {"Ingress", "Egress"} for one in policies.values())

    assert connect["policyTypes"] == ["Egress"]
    api_server = {(cidr, port) for cidr in ("0.0.0.0/0", "::/0") for port in (443, 6443)}
    assert peers(connect, "egress") == {
        ("strimzi:cflight", 9093),
        ("strimzi:sinks", 8083),
        registry,
        ("s3", 7070),
        *api_server,
    }
    listeners = spec(dev, f"{STRIMZI}Kafka", "cflight")["kafka"]["listeners"]
    allowed = {one["name"]: {who for peer in one["networkPolicyPeers"] for who in who_is(peer)} for one in listeners}
    assert allowed == {"tls": {"strimzi:sinks"}, "scram": SERVICES | {"registry", "ksql"}}


def test_policies_select_the_pods_that_they_are_for(programs: dict[str, Program]) -> None:
    for declared in programs.values():
        labels = {name: template["metadata"]["labels"] for name, template in pods(declared)}
        for name, one in declared.of(POLICY).items():
            selector = manifest(one)["spec"]["podSelector"]["matchLabels"]
            if name == "connect":
                assert selector == {"strimzi.io/cluster": "sinks", "strimzi.io/kind": "KafkaConnect"}
            else:
                assert selector.items() <= labels[name].items()


def test_stores_elsewhere_are_reached_where_they_are(given: Program, bare: Program) -> None:
    assert ("0.0.0.0/0", 443) in peers(spec(given, POLICY, "connect"), "egress")
    assert ("namespace:storage", 0) in peers(spec(bare, POLICY, "connect"), "egress")
    assert peers(spec(bare, POLICY, "statements"), "egress") == {("namespace:elsewhere", 0)}


def test_the_way_in_has_tls(dev: Program, given: Program, bare: Program) -> None:
    way = spec(dev, "kubernetes:networking.k8s.io/v1:Ingress", "ingest")
    assert way["tls"] == [{"hosts": ["ingest.dev.example.com"], "secretName": "ingest-tls"}]
    assert way["ingressClassName"] == "nginx"
    (rule,) = way["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "ingest", "port": {"name": "http"}}
    annotations = manifest(dev.one("kubernetes:networking.k8s.io/v1:Ingress", "ingest"))["metadata"]["annotations"]
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert dev.one(f"{CORE}Service", "ingest")

    gateway = spec(given, "kubernetes:gateway.networking.k8s.io/v1:Gateway", "ingest")
    (listener,) = gateway["listeners"]
    assert listener["protocol"] == "HTTPS"
    assert listener["tls"]["certificateRefs"] == [{"kind": "Secret", "name": "ingest-tls"}]
    route = spec(given, "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute", "ingest")
    assert route["parentRefs"] == [{"name": "ingest", "sectionName": "https"}]
    assert route["rules"][0]["backendRefs"] == [{"name": "ingest", "port": 8080}]
    assert not bare.of("kubernetes:networking.k8s.io/v1:Ingress")


# --- secrets ---


def test_secrets_are_nowhere_but_in_secrets(given: Program) -> None:
    hidden = ("t0ken-of-partners", "s3cret-s3cret")
    found: set[str] = set()
    for one in given:
        for secret in hidden:
            if secret in json.dumps(one.inputs) or base64.b64encode(secret.encode()).decode() in json.dumps(one.inputs):
                assert one.type in {f"{CORE}Secret", "cflight:s3:Bucket"}, f"{one.type} {one.name}"
                holder = "stringData" if one.type.endswith("Secret") else "secret_key"
                assert holder in one.secrets
                found.add(secret)
    assert found == set(hidden)


def test_tokens_come_as_files(given: Program, bare: Program) -> None:
    sources = {
        "given": ("ingest-secrets", "INGEST_TOKEN", given),
        "bare": ("partners", "token", bare),
    }
    for secret, key, declared in sources.values():
        variables = manifest(declared.one(f"{CORE}ConfigMap", "ingest"))["data"]
        assert variables["INGEST_TOKEN_FILE"] == "/etc/cflight/secrets/INGEST_TOKEN"
        volumes = spec(declared, DEPLOYMENT, "ingest")["template"]["spec"]["volumes"]
        (projected,) = (one["projected"] for one in volumes if "projected" in one)
        assert {"secret": {"name": secret, "items": [{"key": key, "path": "INGEST_TOKEN"}]}} in projected["sources"]


# --- scaling ---


def test_keda_scales_by_lag_up_to_the_partitions(given: Program) -> None:
    scaled = given.of("kubernetes:keda.sh/v1alpha1:ScaledObject")
    assert scaled.keys() == {"transform", "cheapest", "compressor"}
    for name, one in scaled.items():
        subject = manifest(one)["spec"]
        assert subject["maxReplicaCount"] == 6
        (trigger,) = subject["triggers"]
        assert trigger["metadata"]["consumerGroup"] == name
        assert trigger["metadata"]["sasl"] == "scram_sha512"
        assert trigger["metadata"]["tls"] == "enable"
        assert trigger["metadata"]["version"] == "2.8.0"
        assert "replicas" not in spec(given, DEPLOYMENT, name)
    authentication = spec(given, "kubernetes:keda.sh/v1alpha1:TriggerAuthentication", "kafka")
    assert {one["parameter"] for one in authentication["secretTargetRef"]} == {"username", "password", "ca"}
    scram = spec(given, f"{STRIMZI}Kafka", "cflight")["kafka"]["listeners"][1]["networkPolicyPeers"]
    assert "namespace:keda" in {who for peer in scram for who in who_is(peer)}
    # Nothing to lag behind on: CPU.
    assert given.of("kubernetes:autoscaling/v2:HorizontalPodAutoscaler").keys() == {"ingest"}
    assert spec(given, "kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "ingest")["maxReplicas"] == 20


def test_the_autoscaler_goes_by_cpu_and_lag(bare: Program) -> None:
    scalers = bare.of("kubernetes:autoscaling/v2:HorizontalPodAutoscaler")
    assert scalers.keys() == SERVICES
    transform = manifest(scalers["transform"])["spec"]
    assert (transform["minReplicas"], transform["maxReplicas"]) == (2, 3)
    assert [one["type"] for one in transform["metrics"]] == ["Resource", "Pods"]
    assert transform["metrics"][1]["pods"]["metric"]["name"] == "cflight_lag_messages"
    assert [one["type"] for one in manifest(scalers["ingest"])["spec"]["metrics"]] == ["Resource"]


# --- observability ---


def test_observability_is_all_or_nothing(dev: Program, bare: Program) -> None:
    kinds = {"PodMonitor", "PrometheusRule"}
    assert {subject["kind"] for _, subject in manifests(dev)} >= kinds
    assert not {subject["kind"] for _, subject in manifests(bare)} & kinds
    assert not [name for name in bare.of(f"{CORE}ConfigMap") if "metrics" in name or "dashboard" in name]
    assert spec(dev, f"{STRIMZI}Kafka", "cflight")["kafka"]["metricsConfig"]["type"] == "jmxPrometheusExporter"
    assert spec(dev, f"{STRIMZI}KafkaConnect", "sinks")["metricsConfig"]["type"] == "jmxPrometheusExporter"
    for path in ("metricsConfig",):
        assert path not in spec(bare, f"{STRIMZI}Kafka", "cflight")["kafka"]
        assert path not in spec(bare, f"{STRIMZI}KafkaConnect", "sinks")
    assert "kafkaExporter" not in spec(bare, f"{STRIMZI}Kafka", "cflight")
    assert "namespace:monitoring" not in {who for who, _ in peers(spec(bare, POLICY, "transform"), "ingress")}
    for monitor in dev.of("kubernetes:monitoring.coreos.com/v1:PodMonitor").values():
        assert manifest(monitor)["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_brokers_and_connect_workers_are_scraped(dev: Program) -> None:
    selector = spec(dev, "kubernetes:monitoring.coreos.com/v1:PodMonitor", "strimzi")["selector"]
    (expression,) = selector["matchExpressions"]
    assert selector.keys() == {"matchExpressions"}
    assert (expression["key"], expression["operator"]) == ("strimzi.io/cluster", "In")
    # Strimzi labels pods with the name of the resource that they belong to.
    clusters = [name for kind in ("Kafka", "KafkaConnect") for name in dev.of(f"{STRIMZI}{kind}")]
    assert len(clusters) == 2
    assert set(expression["values"]) == set(clusters)


def queries(declared: Program) -> Iterator[str]:
    for group in spec(declared, "kubernetes:monitoring.coreos.com/v1:PrometheusRule", "cflight")["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for name, one in declared.of(f"{CORE}ConfigMap").items():
        if name.startswith("dashboard-"):
            (text,) = manifest(one)["data"].values()
            for panel in json.loads(text)["panels"]:
                yield from (target["expr"] for target in panel["targets"])


def test_alerts_and_dashboards_ask_for_metrics_that_there_are(dev: Program) -> None:
    services = {
        line.split()[2] if line.startswith("# TYPE") else "" for line in metrics.exposition().decode().splitlines()
    }
    suffixed = {f"{name}{suffix}" for name in services for suffix in ("", "_bucket", "_total")}
    others = (
        "kafka_consumergroup_lag",
        "container_memory_working_set_bytes",
        "kube_pod_container_",
        "kubelet_volume_stats_",
        "jvm_memory_used_bytes",
        *jmx.metric_names(),
    )
    asked = {name for query in queries(dev) for name in re.findall(r"([a-z_]+)\{", query)}
    assert len(asked) > 20
    for name in asked:
        assert name in suffixed or name.startswith(others), name


def test_alerts_cover_what_can_go_wrong(dev: Program) -> None:
    rules = spec(dev, "kubernetes:monitoring.coreos.com/v1:PrometheusRule", "cflight")["groups"][0]["rules"]
    names = {rule["alert"] for rule in rules}
    assert names >= {"ConsumerLag", "Rejects", "ConnectorFailed", "MemoryNearLimit", "NoBatches", "OfflinePartitions"}
    by_name = {rule["alert"]: rule for rule in rules}
    assert by_name["MemoryNearLimit"]["expr"].endswith("> 0.85")
    assert "connect-cflight" in by_name["ConsumerLag"]["expr"]
    for rule in rules:
        assert 'namespace="cflight-dev"' in rule["expr"]
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


# --- what stays, and what goes first ---


def test_connectors_and_topics_go_before_the_operator_and_the_namespace(dev: Program) -> None:
    # What is made after something is deleted before it.
    release = dev.one("kubernetes:helm.sh/v3:Release", "strimzi")
    assert "cflight-dev" in release.after
    assert dev.one(f"{STRIMZI}Kafka", "cflight").after >= {"strimzi", "brokers"}
    assert "strimzi" in dev.one(f"{STRIMZI}KafkaNodePool", "brokers").after
    for kind in ("KafkaTopic", "KafkaUser"):
        for one in dev.of(f"{STRIMZI}{kind}").values():
            assert "cflight" in one.after
    connect = dev.one(f"{STRIMZI}KafkaConnect", "sinks")
    assert connect.after >= {"connect", "connect.configs", "connect.offsets", "connect.status", "s3"}
    for sink in dev.of(f"{STRIMZI}KafkaConnector").values():
        assert "sinks" in sink.after
    for one in dev:
        if one.type.startswith("kubernetes:") and one.name != "cflight-dev":
            assert "cflight-dev" in one.after, f"{one.type} {one.name}"


def test_parts_come_after_what_they_need(dev: Program) -> None:
    assert dev.one(DEPLOYMENT, "registry").after >= {"registry", "kafkasql-journal", "kafkasql-snapshots"}
    assert dev.one(STATEFUL_SET, "ksql").after >= {"ksql", "registry"}
    assert "registry" in dev.one(JOB, "schema-cflight-incoming-value").after
    assert dev.one(DEPLOYMENT, "transform").after >= {
        "transform",
        contracts.EVENT_LOG,
        contracts.PAYLOAD,
        "schema-cflight-incoming-value",
    }


def test_data_is_kept_unless_asked(dev: Program, bare: Program) -> None:
    for declared, kept in ((dev, True), (bare, False)):
        for topic in declared.of(f"{STRIMZI}KafkaTopic").values():
            assert topic.options["retain_on_delete"] is kept
            assert not topic.options["protect"]
        assert not declared.one(f"{STRIMZI}Kafka", "cflight").options["retain_on_delete"]
    assert dev.one(f"{CORE}Namespace", "cflight-dev").options["retain_on_delete"]
    container = spec(dev, f"{STRIMZI}Kafka", "cflight")["entityOperator"]["template"]["topicOperatorContainer"]
    assert {"name": "STRIMZI_USE_FINALIZERS", "value": "false"} in container["env"]
    assert dev.one("pulumi:providers:kubernetes", "kubernetes").inputs["upsertExistingObjects"] == "true"


def test_prod_protects_what_holds_data(given: Program) -> None:
    held = [
        *given.of(f"{STRIMZI}KafkaTopic").values(),
        *given.of(f"{STRIMZI}KafkaNodePool").values(),
        given.one(f"{STRIMZI}Kafka", "cflight"),
        given.one(f"{CORE}Namespace", "cflight-dev"),
    ]
    assert all(one.options["protect"] and one.options["retain_on_delete"] for one in held)
    assert not given.one(DEPLOYMENT, "transform").options["protect"]


def test_everything_is_declared_with_the_provider_of_the_stack(given: Program) -> None:
    provider = given.one("pulumi:providers:kubernetes", "kubernetes")
    assert provider.inputs["context"] == "somewhere"
    # Else a changed one is deleted first, and pods that start meanwhile cannot.
    assert provider.inputs["enableConfigMapMutable"] == "true"
    assert provider.inputs["enableSecretMutable"] == "true"


# --- what does not fit ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kubernetes": {"memory": "8Gi"}}, r"the parts need 3 kafka 6Gi .*cflight:kubernetes\.memory"),
        ({"kubernetes": {"cpu": "1"}}, r"the parts request 3 kafka 1500m .* the cluster has 1000m"),
        ({"connect": {"memory": "192Mi"}}, r"cflight:connect\.memory: .*open files .* heap of a worker"),
        (
            {"services": {"transform": {"replicas": 9}}},
            r"services\.transform\.replicas: .* 9 replicas for 6 partitions",
        ),
        (
            {"sinks": {"cflight.sink": {"rotateIntervalMs": 60000}}},
            r"sinks\.cflight\.sink\.rotateIntervalMs: .* DefaultPartitioner, which is not time-based",
        ),
        ({"topics": {"replicationFactor": 4}}, r"replicationFactor: .* 4 replicas .* there are 3"),
        ({"topics": {"minInSyncReplicas": 3}}, r"minInSyncReplicas: .* 3 of 3 replicas .* Set it to 2"),
        ({"ksql": {"memory": "512Mi"}}, r"ksql\.memory: .*1Gi at least.*pulumi config set"),
        ({"kubernetes": {"existingSecrets": {"egress.TOKEN": "a/b"}}}, r"there is no service egress"),
        (
            {
                "services": {"ingest": {"token": "t"}},
                "kubernetes": {"existingSecrets": {"ingest.INGEST_TOKEN": "a/b"}},
            },
            r"INGEST_TOKEN is given twice",
        ),
        ({"kubernetes": {"connect": {"plugins": {"x": "https://example.com/plugin"}}}}, r"no ZIP, TGZ or JAR file"),
        ({"kubernetes": {"connect": {"plugins": {"x": "https://a/b.zip#md5=1"}}}}, r"no SHA-512 digest"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError) as error:
        cluster(**settings)
    assert re.search(message, str(error.value), re.DOTALL), str(error.value)


def test_the_dev_stack_fits_the_cluster_that_it_declares(dev: Program) -> None:
    assert DEV["kubernetes"]["memory"] == "18Gi"
    assert dev.of(DEPLOYMENT)


def test_outputs_say_where_everything_is() -> None:
    exported: dict[str, Any] = {}

    def note(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(lambda known: exported.update({name: known}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi, "export", note)
        cluster()
    assert exported["ingestUrl"] == "https://ingest.dev.example.com/batches"
    assert exported["bootstrapServers"] == "cflight-kafka-bootstrap.cflight-dev.svc:9094"
    assert exported["schemaRegistryUrl"] == "http://registry.cflight-dev.svc:8080/apis/ccompat/v7"
    assert exported["ksqlUrl"] == "http://ksql.cflight-dev.svc:8088"
    assert exported["buckets"] == {"quotes": "cflight.bucket", "batches": "flightbatch.bucket"}


def test_preview_of_dev_works_without_a_cluster(tmp_path: Path) -> None:
    plugins = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi")) / "plugins"
    if shutil.which("pulumi") is None or not list(plugins.glob("resource-kubernetes-v*")):
        pytest.skip("needs pulumi and its kubernetes provider: `pulumi plugin install resource kubernetes`")
    summary = preview(tmp_path, **{"cflight:kubernetes.strimzi.operator": "found"})
    assert summary["create"] > 90


def preview(folder: Path, **settings: str) -> dict[str, int]:
    """Preview the dev stack with the real engine and no cluster; return how many there are of each operation."""
    shutil.copy(ROOT / "Pulumi.dev.yaml", folder)
    stack = automation.create_or_select_stack(
        "dev",
        project_name="cflight",
        program=program,
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(folder),
            project_settings=automation.ProjectSettings(
                name="cflight", runtime="python", backend=automation.ProjectBackend(url=f"file://{folder}")
            ),
            env_vars={
                "KUBECONFIG": os.devnull,
                "PULUMI_CONFIG_PASSPHRASE": "none",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
        ),
    )
    for key, value in settings.items():
        stack.set_config(key, automation.ConfigValue(value), path=True)
    return {str(kind): count for kind, count in stack.preview().change_summary.items()}
