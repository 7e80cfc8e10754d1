"""Requests and answers in terms of ASGI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksql.engine.rest.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

JSON = "application/json"
KSQL_JSON = "application/vnd.ksql.v1+json"
DELIMITED = "application/vnd.ksqlapi.delimited.v1"
_MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request whose body can still be read.

    Args:
        scope: of ASGI.
        receive: of ASGI.
    """

    scope: HTTPScope
    receive: ASGIReceiveCallable

    @property
    def method(self) -> str:
        """GET, POST, …."""
        return self.scope["method"]

    @property
    def path(self) -> str:
        """The decoded path."""
        return self.scope["path"]

    @property
    def is_http2(self) -> bool:
        """Whether the client speaks HTTP/2."""
        return self.scope["http_version"].startswith("2")

    def accepts(self, *types: str) -> str | None:
        """Return the first of the types that the client takes, the client's first wish first; None if it takes none."""
        header = self._header(b"accept")
        if header is None:
            return types[0]
        for wish in header.split(","):
            name = wish.partition(";")[0].strip().lower()
            for known in types:
                if name in {known, "*/*", f"{known.partition('/')[0]}/*"}:
                    return known
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body as it arrives."""
        while True:
            event = await self.receive()
            if event["type"] != "http.request":
                return
            yield event["body"]
            if not event["more_body"]:
                return

    async def object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            RestError: it is none.
        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > _MAX_BODY:
                raise bad_request("Request body is too large", typed=False)
        return parse_object(bytes(body))

    async def disconnected(self) -> None:
        """Wait until the client hangs up; the body must have been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def _header(self, name: bytes) -> str | None:
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), None)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Sends one answer.

    Args:
        send: of ASGI.
    """

    send: ASGISendCallable

    async def start(self, status: int, *, content_type: str | None, location: str | None = None) -> None:
        """Send status and headers."""
        headers: list[tuple[bytes, bytes]] = []
        if content_type is not None:
            headers.append((b"content-type", content_type.encode()))
        if location is not None:
            headers.append((b"location", location.encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})

    async def write(self, text: str, *, more: bool = True) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": text.encode(), "more_body": more})

    async def whole(
        self, status: int, text: str = "", *, content_type: str | None = None, location: str | None = None
    ) -> None:
        """Send an answer in one go."""
        await self.start(status, content_type=content_type, location=location)
        await self.write(text, more=False)

    async def json(self, value: object, *, status: int = 200, typed: bool = True) -> None:
        """Send a JSON document."""
        await self.whole(status, compact(value), content_type=JSON if typed else None)


def compact(value: object) -> str:
    """Return JSON text without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a request's JSON object.

    Args:
        body: of the request.

    Raises:
        RestError: it is not JSON, or no object.
    """
    try:
        value = json.loads(body)
    except UnicodeDecodeError:
        raise bad_request("Invalid JSON in request: Invalid UTF-8", typed=False) from None
    except json.JSONDecodeError as error:
        raise bad_request(f"Invalid JSON in request: {_problem(error)}", typed=False) from None
    if not isinstance(value, dict):
        raise bad_request("Invalid JSON in request: Cannot deserialize value of type object", typed=False)
    return value  # pyright: ignore[reportUnknownVariableType]


def _problem(error: json.JSONDecodeError) -> str:
    place = (
        " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled);"
        f" line: {error.lineno}, column: {{column}}]"
    )
    if error.doc[error.pos :].strip() == "":
        end = place.format(column=len(error.doc) - error.doc.rfind("\n", 0, len(error.doc)))
        what = "Unexpected end-of-input within/between Object entries" if error.pos else "No content to map"
        return f"{what}\n{end}"
    return f"Unexpected character ({error.doc[error.pos]!r}): {error.msg}\n{place.format(column=error.colno)}"
