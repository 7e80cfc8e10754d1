"""Every argument against the provider's own names and types, and every call against the API's model."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.program.aws_calls import CALLS, WITHOUT_CALL, problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.program.recording import Declared, Program

_ARGUMENTS = Path(os.environ.get("CFLIGHT_SHARED") or Path(__file__).parents[3] / "shared") / "aws-arguments"
# Where Pulumi's names of a service or a resource are others than those of the published definitions.
_FILES = {
    "aws:cloudwatch/logGroup:LogGroup": "cloudwatchlogs.Group",
    "aws:s3/bucketObjectv2:BucketObjectv2": "s3.Object",
    "aws:msk/": "kafka",
    "aws:mskconnect/": "kafkaconnect",
    "aws:vpc/": "ec2",
}
# The definitions take the name of the thing itself for the name of their object, and leave it out.
_OWN_NAMES = {
    "name",
    "bucket",
    "role",
    "repository",
    "nodeGroupName",
    "clusterName",
    "addonName",
    "resourceId",
    "scalableDimension",
    "serviceNamespace",
    "policyArn",
    "principalArn",
}
# What the definitions leave to objects of their own, or, being secret, to a reference; the API's models know all of it.
_ELSEWHERE = {
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"routeTableIds", "subnetIds", "securityGroupIds"},
    "aws:secretsmanager/secretVersion:SecretVersion": {"secretString"},
    # Pulumi's own: an asset in place of a path.
    "aws:s3/bucketObjectv2:BucketObjectv2": {"source"},
}
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _declared(*programs: Program) -> list[Declared]:
    return [one for program in programs for one in program if one.type.startswith("aws:")]


def test_every_resource_fits_the_api_that_makes_it(aws_programs: dict[str, Program]) -> None:
    found = {
        f"{one.type} {one.name}": wrong
        for one in _declared(*aws_programs.values())
        if one.type not in WITHOUT_CALL and (wrong := problems(one))
    }
    assert not found


def test_the_api_check_finds_what_is_wrong(aws_programs: dict[str, Program]) -> None:
    """A check that never fails checks nothing."""
    program = aws_programs["standard"]

    def spoiled(kind: str, resource: str, /, **changes: Any) -> list[str]:
        one = program.one(kind, resource)
        return problems(replace(one, inputs={**one.inputs, **changes}))

    cluster = "aws:msk/cluster:Cluster", "cflight-trial"
    assert any("PER_MOON" in text for text in spoiled(*cluster, enhancedMonitoring="PER_MOON"))
    assert spoiled(*cluster, clusterName="c" * 65)
    assert spoiled(*cluster, numberOfBrokerNodes=0)
    with pytest.raises(AssertionError, match="has no colour"):
        spoiled("aws:ec2/subnet:Subnet", "cflight-trial-private-0", colour="blue")
    assert spoiled("aws:kms/alias:Alias", "cflight-trial-kafka", name="alias/no spaces")
    assert spoiled("aws:iam/role:Role", "cflight-trial-transform", name="r" * 65)


def test_every_type_has_a_call_or_a_reason(aws_programs: dict[str, Program]) -> None:
    kinds = {one.type for one in _declared(*aws_programs.values())}
    assert kinds <= CALLS.keys() | WITHOUT_CALL.keys()
    assert set(CALLS) - kinds == set(), "a call of nothing that the target declares"


def test_every_argument_is_one_of_the_providers(aws_programs: dict[str, Program]) -> None:
    if not _ARGUMENTS.is_dir():
        pytest.skip("the definitions of the provider's arguments are not here ($CFLIGHT_SHARED/aws-arguments)")
    wrong: list[str] = []
    undefined: set[str] = set()
    for one in _declared(*aws_programs.values()):
        file = _file(one.type)
        if file is None:
            undefined.add(one.type)
            continue
        known = json.loads(file.read_text())
        extra = _ELSEWHERE.get(one.type, set())
        given = {key: value for key, value in one.inputs.items() if key not in extra}
        wrong += [f"{one.type} {one.name}{text}" for text in _mismatches(known, given, top=True)]
    assert not wrong, "\n".join(wrong)
    # Of these there is no definition; the API's models hold them all the same.
    assert undefined == {
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "aws:lb/loadBalancer:LoadBalancer",
        "aws:lb/targetGroup:TargetGroup",
        "aws:lb/listener:Listener",
        "aws:autoscaling/attachment:Attachment",
    }


def _file(kind: str) -> Path | None:
    module, resource = kind.split(":")[1].split("/", maxsplit=1)[0], kind.rpartition(":")[2]
    service = _FILES.get(f"aws:{module}/", module)
    name = _FILES.get(kind, f"{service}.{resource}").lower()
    return next((file for file in _ARGUMENTS.glob("*.json") if file.stem.lower() == name), None)


def _mismatches(  # noqa: C901 - one branch a kind of definition
    known: dict[str, Any], given: Any, *, top: bool = False
) -> Iterator[str]:
    kind = known.get("type")
    if kind is None:
        return
    if kind == "object" and "properties" in known:
        value = cast("Any", given[0] if isinstance(given, list) and len(cast("list[Any]", given)) == 1 else given)
        if not isinstance(value, dict):
            yield f" is {type(value).__name__}, not an object"
            return
        for key, one in cast("dict[str, Any]", value).items():
            name = _same(key, known["properties"])
            if name is None:
                if not (top and key in _OWN_NAMES):
                    yield f".{key} is no argument; there are {sorted(known['properties'])}"
                continue
            yield from (f".{key}{text}" for text in _mismatches(known["properties"][name], one))
    elif kind == "array":
        # A list of at most one is no list in Pulumi.
        items = cast("list[Any]", given) if isinstance(given, list) else [given]
        for item in items:
            yield from (f"[]{text}" for text in _mismatches(known.get("items", {}), item))
    elif kind == "object":
        if not isinstance(given, dict):
            yield f" is {type(given).__name__}, not a map"
    elif not isinstance(given, _KINDS[kind]) or (isinstance(given, bool) and kind == "number"):
        yield f" is {type(given).__name__}, not {kind}"


def _same(key: str, names: dict[str, Any]) -> str | None:
    lower = {name.lower(): name for name in names}
    wanted = key.lower()
    forms = (wanted, f"{wanted}s", wanted.removesuffix("s"), wanted.removesuffix("es"), f"{wanted[:-3]}y")
    return next((lower[form] for form in forms if form in lower), None)
