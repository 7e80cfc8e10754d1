"""versitygw: the S3 API over a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from infra.local.artefacts import go_binary, require
from infra.local.home import part_folder
from infra.local.process import Process

if TYPE_CHECKING:
    from infra.local.parts import Stack
    from infra.resources.secret import Secret

PORTS = ("s3",)
ACCESS_KEY = "cflight"
_HEALTH = "/-/healthy"


def s3_store(stack: Stack, *, secret: Secret) -> Process:
    """Declare the stack's S3 store.

    Args:
        stack: the local stack.
        secret: the secret access key of its only account.
    """
    program = require(go_binary("versitygw"), what="the S3 store")
    return Process(
        "s3",
        folder=stack.supervisor.folder,
        stack=stack.name,
        command=pulumi.Output.all(stack.address("s3"), stack.supervisor.folder).apply(
            lambda values: [
                *(str(program), "--port", values[0]),
                *("--region", stack.settings.s3.region, "--health", _HEALTH, "--keep-alive", "--quiet"),
                # The store changes to the folder of the objects: a relative path would lie in there.
                *("posix", "--sidecar", f"{part_folder(Path(values[1]), 's3')}/data/metadata", "data/objects"),
            ]
        ),
        prepare=["mkdir", "-p", "data/metadata", "data/objects"],
        prepared="data/objects",
        environment={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": secret.value, "GOMEMLIMIT": _soft_limit(stack)},
        memory=stack.settings.s3.memory,
        ready=stack.url("s3", _HEALTH).apply(lambda url: {"url": url}),
        url=stack.url("s3"),
        opts=pulumi.ResourceOptions(parent=stack.supervisor, deleted_with=stack.supervisor),
    )


def _soft_limit(stack: Stack) -> str:
    # The collector works harder as the heap comes near this; the rest is for what the runtime does not count.
    return str(int(stack.settings.s3.memory * 0.8))
