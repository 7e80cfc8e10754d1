"""The schema registry's Confluent-compatible API, as far as the services need it.

`POST /subjects/<subject>/versions` answers with the id of an equal schema that is already there, or registers it: both
the look-up and the registration. Failures to reach the registry pass; its refusals do not.
"""

from __future__ import annotations

import base64
import json
import logging
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, cast

from services.errors import RegistryError

if TYPE_CHECKING:
    from services.settings import RegistrySettings

log = logging.getLogger(__name__)

_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_TIMEOUT_SECONDS = 5.0
# The registry's answers that a later attempt may change: time-outs, overload and its own troubles.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class RegistryAwayError(RegistryError):
    """The registry cannot be reached for now; try again."""


class Registry:
    """A client of the registry.

    Args:
        settings: where it is.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._url = settings.schema_registry_url.rstrip("/")
        self._headers = {"Content-Type": _CONTENT_TYPE, "Accept": _CONTENT_TYPE}
        if settings.schema_registry_username and settings.schema_registry_password:
            login = f"{settings.schema_registry_username}:{settings.schema_registry_password.get_secret_value()}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        context = None
        if self._url.startswith("https:"):
            context = ssl.create_default_context(cafile=settings.schema_registry_ca_location)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def schema_id(self, subject: str, schema: str) -> int:
        """Return a schema's id, registering the schema if it is not there.

        Args:
            subject: the subject, `<topic>-value`.
            schema: the Avro schema as JSON.

        Raises:
            RegistryAwayError: if the registry cannot be reached for now.
            RegistryError: if it refuses.
        """
        path = f"/subjects/{urllib.parse.quote(subject, safe='')}/versions"
        return int(self._call(path, {"schema": schema, "schemaType": "AVRO"})["id"])

    def schema(self, schema_id: int) -> str | None:
        """Return the schema of an id as JSON, or None if the registry has no Avro schema of this id.

        Args:
            schema_id: the id.

        Raises:
            RegistryAwayError: if the registry cannot be reached for now.
            RegistryError: if it refuses for another reason.
        """
        try:
            answer = self._call(f"/schemas/ids/{schema_id}", None)
        except _NotFoundError:
            return None
        return str(answer["schema"]) if answer.get("schemaType", "AVRO") == "AVRO" else None

    def _call(self, path: str, content: object) -> dict[str, Any]:
        body = None if content is None else json.dumps(content).encode()
        # The settings allow http and https only.
        request = urllib.request.Request(self._url + path, data=body, headers=self._headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                answer: Any = json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read(2000).decode(errors="replace").strip()
            kind = (
                _NotFoundError if error.code == 404 else RegistryAwayError if error.code in _PASSING else RegistryError
            )
            raise kind(f"answered {error.code}: {text}", where=self._url + path) from None
        except (OSError, ValueError) as error:
            raise RegistryAwayError(f"cannot be reached: {error}", where=self._url + path) from None
        if not isinstance(answer, dict):
            raise RegistryAwayError(f"answered {str(answer)[:200]!r}, not an object", where=self._url + path)
        return cast("dict[str, Any]", answer)


class _NotFoundError(RegistryError):
    """404."""
