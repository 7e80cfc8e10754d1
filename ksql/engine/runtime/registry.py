"""The schema registry over its Confluent-compatible REST API."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ksql.engine.formats.protocol import RegisteredSchema
from ksql.errors import RecordError, ServerError

_SECONDS = 30.0


class Registry:
    """A client that remembers what cannot change (`ksql.engine.formats.protocol.SchemaRegistry`).

    Args:
        url: the registry's base URL; empty where there is none.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(timeout=_SECONDS)
        self._by_id: dict[int, RegisteredSchema] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def latest(self, subject: str) -> RegisteredSchema | None:
        """Return the newest schema of a subject, or None."""
        answer = self._ask("GET", f"/subjects/{_part(subject)}/versions/latest")
        return None if answer is None else _schema(answer, number=int(answer["id"]))

    def by_id(self, schema_id: int) -> RegisteredSchema:
        """Return the schema of an id.

        Raises:
            RecordError: there is none.
        """
        known = self._by_id.get(schema_id)
        if known is None:
            answer = self._ask("GET", f"/schemas/ids/{schema_id}")
            if answer is None:
                raise RecordError(f"the schema registry has no schema with id {schema_id}")
            known = self._by_id[schema_id] = _schema(answer, number=schema_id)
        return known

    def has_id(self, schema_id: int) -> bool:
        """Return whether there is a schema of that id."""
        return self._ask("GET", f"/schemas/ids/{schema_id}") is not None

    def register(self, subject: str, *, type: str, text: str) -> int:  # noqa: A002 - the registry's word
        """Register a schema, unless the subject has it, and return its id."""
        with self._lock:
            known = self._ids.get((subject, text))
        if known is not None:
            return known
        newest = self.latest(subject)
        if newest is not None and newest.type == type and _same(newest.text, text):
            # Some registries take the same schema with other white space for another version.
            return self._remember(subject, text, newest.id)
        body: dict[str, Any] = {"schema": text}
        if type != "AVRO":
            body["schemaType"] = type
        answer = self._ask("POST", f"/subjects/{_part(subject)}/versions", body)
        if answer is None:
            raise ServerError("the schema registry does not take schemas", where=self._url)
        return self._remember(subject, text, int(answer["id"]))

    def _remember(self, subject: str, text: str, number: int) -> int:
        with self._lock:
            self._ids[subject, text] = number
        return number

    def delete(self, subject: str) -> None:
        """Soft-delete a subject, if there is one."""
        self._ask("DELETE", f"/subjects/{_part(subject)}")
        with self._lock:
            self._ids = {entry: number for entry, number in self._ids.items() if entry[0] != subject}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        if not self._url:
            raise ServerError(
                "no schema registry is configured", where="SCHEMA_REGISTRY_URL", remedy="Set it, or use another format"
            )
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body)
        except httpx.TransportError as error:
            raise ServerError(f"the schema registry does not answer: {error}", where=self._url) from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.is_error:
            raise ServerError(f"the schema registry refused {method} {path}: {answer.text}", where=self._url)
        found: Any = answer.json()
        # Deleting answers with a list of versions.
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _same(one: str, other: str) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return one == other


def _part(subject: str) -> str:
    return quote(subject, safe="")


def _schema(answer: dict[str, Any], *, number: int) -> RegisteredSchema:
    return RegisteredSchema(id=number, type=answer.get("schemaType") or "AVRO", text=answer["schema"])
