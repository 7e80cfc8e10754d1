"""cflight-schemas: registers schemas from inside the cluster, where the registry can be reached.

The command line: cflight-schemas FILE --registry URL. The file is a JSON list of objects with `subject`, `definition`
(the schema) and `compatibility` (how the next version must fit). Run it again after a failure, and it goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infra.errors import ResourceError, SettingsError, WaitError
from infra.resources.registry_api import incompatibility, register

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WAIT_SECONDS = 120.0
_POLL_SECONDS = 1.0


class Schema(BaseModel):
    """A schema that is to be registered.

    Attributes:
        subject: its subject.
        definition: the schema.
        compatibility: how the next version must fit it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str
    definition: dict[str, Any]
    compatibility: str


def apply(schemas: Sequence[Schema], *, registry: str, say: Callable[[str], None]) -> None:
    """Register schemas.

    Args:
        schemas: the schemas.
        registry: the registry's Confluent-compatible API.
        say: is told what was done.

    Raises:
        ResourceError: the registry refuses one.
    """
    for schema in schemas:
        wanted = {
            "subject": schema.subject,
            "definition": json.dumps(schema.definition),
            "compatibility": schema.compatibility,
        }
        reason = incompatibility(registry, **wanted)
        if reason is not None:
            raise ResourceError(reason, where=schema.subject)
        schema_id, version = register(registry, **wanted)
        say(f"{schema.subject}: version {version}, id {schema_id}, {schema.compatibility}")


def wait_until_ready(registry: str, *, seconds: float = _WAIT_SECONDS) -> None:
    """Wait until the registry answers.

    Args:
        registry: its API.
        seconds: the longest time to wait.

    Raises:
        WaitError: it does not; with its last answer.
    """
    start = time.monotonic()
    while True:
        try:
            answer = httpx.get(f"{registry}/subjects", timeout=5)
        except httpx.TransportError as error:
            last = str(error)
        else:
            if answer.is_success:
                return
            last = f"{answer.status_code}: {answer.text[:200]}"
        if time.monotonic() - start > seconds:
            raise WaitError(f"waited {seconds:.0f} s for the registry; last answer: {last}", where=registry)
        time.sleep(_POLL_SECONDS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends with a message and status 1.

    Args:
        arguments: the command line's; the process's own without them.
    """
    parser = argparse.ArgumentParser(prog="cflight-schemas", description="Registers schemas.")
    parser.add_argument("file", type=Path, help="a JSON list of subject, definition and compatibility")
    parser.add_argument("--registry", required=True, help="the registry's Confluent-compatible API")
    parser.add_argument("--wait", type=float, default=_WAIT_SECONDS, help="seconds to wait for the registry")
    options = parser.parse_args(arguments)
    try:
        schemas = _read(options.file)
        wait_until_ready(options.registry, seconds=options.wait)
        apply(schemas, registry=options.registry, say=lambda text: print(text, flush=True))
    except (ResourceError, SettingsError, WaitError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None


def _read(file: Path) -> list[Schema]:
    try:
        return TypeAdapter(list[Schema]).validate_json(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"cannot be read: {error}", where=str(file)) from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"is no list of schemas: {place}: {problem['msg']}", where=str(file)) from None


if __name__ == "__main__":
    main()
