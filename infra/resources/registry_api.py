"""The schema registry's Confluent-compatible API, as far as schemas are declared over it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUEST_SECONDS = 10.0
_JSON = "application/vnd.schemaregistry.v1+json"


def incompatibility(url: str, *, subject: str, definition: str, compatibility: str) -> str | None:
    """Return why a schema cannot follow the versions before it; None if it can, or the registry cannot be asked now.

    Args:
        url: the registry's API.
        subject: the subject.
        definition: the schema as JSON.
        compatibility: how it must fit, for the message.
    """
    try:
        answer = httpx.post(
            f"{url}/compatibility/subjects/{subject}/versions/latest",
            json={"schema": definition},
            headers={"Content-Type": _JSON},
            timeout=_REQUEST_SECONDS,
        )
    except httpx.TransportError:
        return None
    if answer.is_success and answer.json().get("is_compatible") is False:
        return (
            f"the new schema of {subject} is not {compatibility} compatible with the registered one. "
            "Give new fields a default, or set `cflight:registry.compatibility` to NONE for this change."
        )
    if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        return f"the registry refuses the schema: {answer.json().get('message')}"
    return None


def register(url: str, *, subject: str, definition: str, compatibility: str) -> tuple[int, int]:
    """Register a schema (the same one again is no new version), and say how the next version must fit it.

    Args:
        url: the registry's API.
        subject: the subject.
        definition: the schema as JSON.
        compatibility: how the next version must fit.

    Returns:
        The schema's id and its version.

    Raises:
        ResourceError: the registry does not answer, or refuses.
    """
    registered = call(url, "POST", f"/subjects/{subject}/versions", subject=subject, body={"schema": definition})
    call(url, "PUT", f"/config/{subject}", subject=subject, body={"compatibility": compatibility})
    found = call(url, "POST", f"/subjects/{subject}", subject=subject, body={"schema": definition})
    return int(registered["id"]), int(found["version"])


def call(
    url: str,
    method: str,
    path: str,
    *,
    subject: str,
    body: Mapping[str, Any] | None = None,
    missing_ok: bool = False,
) -> Any:
    """Send a request and return the answer; None for what is not there, if that is no error.

    Args:
        url: the registry's API.
        method: the HTTP method.
        path: the path below the API.
        subject: what it is about, for messages.
        body: the content.
        missing_ok: whether 404 is no error.

    Raises:
        ResourceError: the registry does not answer, or refuses.
    """
    try:
        answer = httpx.request(
            method,
            f"{url}{path}",
            json=body,
            headers={"Content-Type": _JSON} if body else {},
            timeout=_REQUEST_SECONDS,
        )
    except httpx.TransportError as error:
        raise ResourceError(
            f"the registry does not answer: {error}",
            where=url,
            remedy="Check that it is up (`cflight status`).",
        ) from error
    if answer.status_code == HTTPStatus.NOT_FOUND and missing_ok:
        return None
    if answer.is_error:
        raise ResourceError(
            f"the registry refused {method} {path} with {answer.status_code}: {answer.text}", where=subject
        )
    return answer.json()


def same_schema(one: Any, other: Any) -> bool:
    """Say whether two texts are the same schema: registries write them in ways of their own.

    Args:
        one: a schema as JSON.
        other: another one.
    """
    try:
        return bool(json.loads(one) == json.loads(other))
    except (TypeError, ValueError):
        return bool(one == other)
