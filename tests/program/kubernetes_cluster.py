"""A Kubernetes cluster that answers a program as one would, and judges what is declared."""

# Neither validator is fully annotated.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema
import kubernetes_validate
import pulumi_kubernetes
import yaml

from infra.__main__ import declare as program
from infra.kubernetes.place import Place
from infra.settings import KubernetesSettings
from tests.program.recording import Declared, Program, declare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent.parent
STRIMZI = "kubernetes:kafka.strimzi.io/v1:"
_CRDS = Path(os.environ.get("CFLIGHT_SHARED", ROOT.parent / "shared")) / "strimzi-crds"
# The oldest and the newest Kubernetes that the schemas are known of and that the manifests are for.
VERSIONS = ("1.30.0", "1.34.0")
DEV: dict[str, Any] = {
    key.removeprefix("cflight:"): value
    for key, value in yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"].items()
}


def cluster(*, stack: str = "dev", **settings: Any) -> Program:
    """Run the program for the kubernetes target.

    Args:
        stack: the stack's name.
        settings: settings by key; sections are merged into those of the dev stack.
    """
    config = _merged(DEV, settings)
    return declare(
        program,
        stack=stack,
        config={f"cflight:{key}": value for key, value in config.items()},
        outputs=_outputs,
    )


def component(make: Callable[[Place], object]) -> Program:
    """Run a program that puts a component somewhere.

    Args:
        make: makes the component.
    """

    def put() -> None:
        provider = pulumi_kubernetes.Provider("kubernetes")
        make(Place(stack="s", provider=provider, namespace="n", settings=KubernetesSettings(), keep_data=False))

    return declare(put, stack="s", config={})


def everything() -> dict[str, Program]:
    """Return programs that between them declare everything that the target can."""
    digest = f"sha256:{'ab' * 32}"
    return {
        "dev": cluster(),
        "given": cluster(
            stack="given",
            cheapestEngine="service",
            protect=True,
            kubernetes={
                "context": "somewhere",
                "strimzi": {"operator": "found", "kafkaVersion": "4.3.1"},
                "kafka": {"controllers": 3},
                "connect": {
                    "image": f"registry.example.com/connect@{digest}",
                    "plugin": "embedded",
                    "buildImage": None,
                    "pushSecret": None,
                    "plugins": {},
                },
                "images": {"services": f"registry.example.com/cflight:1.2@{digest}", "pullSecret": "images"},
                "volumes": {"storageClass": "fast"},
                "s3": {"endpoint": "https://s3.example.com", "accessKey": "AK", "secretKey": "s3cret-s3cret"},
                "ingest": {"kind": "gateway", "className": "envoy", "controllerNamespace": "envoy-gateway-system"},
                "autoscaling": {"kind": "keda", "maxReplicas": 20},
                "memory": "64Gi",
                "cpu": "40",
            },
            services={"ingest": {"token": "t0ken-of-partners"}},
        ),
        "bare": cluster(
            stack="bare",
            keepData=False,
            kubernetes={
                "createNamespace": False,
                "kafka": {"rackLabel": None},
                "ingest": {"kind": "none"},
                "observability": {"enabled": False},
                "autoscaling": {"kind": "hpa", "maxReplicas": 3},
                "s3": {"endpoint": "http://minio.storage.svc:9000", "existingSecret": "minio"},
                "existingSecrets": {"ingest.INGEST_TOKEN": "partners/token"},
                "strimzi": {"repository": "https://strimzi.io/charts/"},
                "memory": None,
                "cpu": None,
            },
            ksql={"server": "external", "url": "http://ksql.elsewhere.svc:8088"},
        ),
    }


def manifests(declared: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object that is given to Kubernetes, with a label for messages."""
    for one in declared:
        if one.type.startswith("kubernetes:") and "apiVersion" in one.inputs:
            yield f"{one.inputs['kind']} {one.inputs['metadata']['name']}", manifest(one)


def manifest(declared: Declared) -> dict[str, Any]:
    """Return an object as Kubernetes gets it."""
    return json.loads(json.dumps(declared.inputs), parse_float=_whole)


def problems_of_builtin(subject: Mapping[str, Any], *, version: str) -> str | None:
    """Return what Kubernetes's own schemas say against an object; unknown fields are refused."""
    try:
        kubernetes_validate.validate(dict(subject), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return None


def strimzi_crds() -> Path | None:
    """Return the folder of Strimzi's CRDs, or None where there is none."""
    return _CRDS if _CRDS.is_dir() else None


def problems_of_strimzi(subject: Mapping[str, Any]) -> list[str]:
    """Return what Strimzi's CRDs say against a resource of its; unknown fields are refused."""
    validator = jsonschema.Draft202012Validator(_schemas()[subject["kind"]])
    body = {key: value for key, value in subject.items() if key != "metadata"}
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(_CRDS.glob("*.yaml")):
        for crd in yaml.safe_load_all(file.read_text()):
            version = next(one for one in crd["spec"]["versions"] if one["name"] == "v1")
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"].pop("metadata", None)
            found[crd["spec"]["names"]["kind"]] = _strict(schema)
    return found


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    strict: dict[str, Any] = {key: _strict(value) for key, value in cast("dict[str, Any]", schema).items()}
    if strict.pop("x-kubernetes-int-or-string", False):
        strict["type"] = ["integer", "string"]
    if (
        isinstance(strict.get("properties"), dict)
        and strict.get("type") == "object"
        and not strict.get("x-kubernetes-preserve-unknown-fields")
    ):
        strict.setdefault("additionalProperties", False)
    return strict


def _outputs(kind: str, _name: str, _inputs: dict[str, Any]) -> dict[str, Any]:
    return {"value": "drawn-s3-secret"} if kind == "cflight:random:Secret" else {}


def _whole(text: str) -> int | float:
    # The protocol's numbers are all floating.
    number = float(text)
    return int(number) if number.is_integer() else number


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        # An empty section takes the place of a full one.
        both = isinstance(before, dict) and isinstance(value, dict) and value != {}
        merged[key] = _merged(cast("Any", before), cast("Any", value)) if both else value
    return merged
