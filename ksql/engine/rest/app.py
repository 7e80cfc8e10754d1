"""The paths of the REST API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from ksql.engine.rest.errors import RestError, bad_request
from ksql.engine.rest.exchange import DELIMITED, JSON, KSQL_JSON, Reply, Request, compact, parse_object
from ksql.engine.rest.rows import row_format

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

    from ksql.engine.rest.inserts import Inserts
    from ksql.engine.runtime.streams import RowStream

_log = logging.getLogger(__name__)
_NOT_FOUND = "<html><body><h1>Resource not found</h1></body></html>"


class Server(Protocol):
    """What the paths need of the engine. Every function may block; none is called on the event loop."""

    def info(self) -> dict[str, Any]:
        """Version, cluster and service, for /info."""
        ...

    def metadata(self) -> dict[str, Any]:
        """Version and cluster, for /v1/metadata."""
        ...

    def health(self) -> dict[str, Any]:
        """What /healthcheck answers."""
        ...

    def metrics(self) -> str:
        """Prometheus text, for /metrics."""
        ...

    def statuses(self) -> dict[str, str]:
        """The status of every command by its id."""
        ...

    def status(self, command_id: str) -> dict[str, Any] | None:
        """The status of one command; None where there is no such command."""
        ...

    def check_property(self, name: str) -> None:
        """Raises RestError when a client may not set the property."""
        ...

    def execute(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry out the statements of a request to /ksql."""
        ...

    def query(self, request: dict[str, Any], *, legacy: bool) -> RowStream:
        """Begin the query of a request to /query-stream, or (legacy) to /query."""
        ...

    def close_query(self, query_id: str) -> bool:
        """End a push query; False where there is none of that id."""
        ...

    def inserts(self, request: dict[str, Any]) -> Inserts:
        """Begin to insert rows in a stream or table."""
        ...


@dataclass(frozen=True, kw_only=True)
class Application:
    """The ASGI application.

    Args:
        server: the engine.
    """

    server: Server

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # No startup or shutdown of our own; a websocket is not accepted, which closes it.
            return
        request, reply = Request(scope=scope, receive=receive), Reply(send=send)
        try:
            await self._answer(request, reply)
        except RestError as error:
            await reply.json(error.body(), status=error.status, typed=error.typed)
        except Exception as error:  # noqa: BLE001 - the outermost handler: whatever happens, the client gets an answer
            _log.exception("%s %s failed", request.method, request.path)
            body = {
                "@type": "generic_error",
                "error_code": 50000,
                "message": str(error) or type(error).__name__,
            }
            await reply.json(body, status=500)

    async def _answer(self, request: Request, reply: Reply) -> None:
        path, name = request.path, ""
        for prefix in ("/status/", "/is_valid_property/"):
            if path.startswith(prefix):
                path, name = prefix, unquote(path.removeprefix(prefix))
        gets: dict[str, Callable[[], Awaitable[None]]] = {
            "/": lambda: reply.whole(307, location="/info"),
            "/info": lambda: self._info(request, reply),
            "/v1/metadata": lambda: self._json(reply, self.server.metadata),
            "/v1/metadata/id": lambda: self._json(reply, lambda: self.server.metadata()["clusterId"]),
            "/healthcheck": lambda: self._json(reply, self.server.health),
            # Heartbeats between servers are what ksqlDB needs for it, and it is off there by default.
            "/clusterStatus": lambda: reply.whole(404, content_type=JSON),
            "/status": lambda: self._json(reply, lambda: {"commandStatuses": self.server.statuses()}),
            "/status/": lambda: self._status(name, reply),
            "/is_valid_property/": lambda: self._is_valid_property(name, reply),
            "/healthz": lambda: reply.whole(200, "ok\n", content_type="text/plain"),
            "/readyz": lambda: self._ready(reply),
            "/metrics": lambda: self._metrics(reply),
        }
        posts: dict[str, Callable[[], Awaitable[None]]] = {
            "/ksql": lambda: self._ksql(request, reply),
            "/query": lambda: self._query(request, reply, legacy=True),
            "/query-stream": lambda: self._query(request, reply, legacy=False),
            "/close-query": lambda: self._close_query(request, reply),
            "/inserts-stream": lambda: self._inserts_stream(request, reply),
        }
        known = {"GET": gets, "POST": posts}
        handler = known.get(request.method, {}).get(path)
        if handler is not None:
            await handler()
        elif path in gets or path in posts:
            await reply.whole(405)
        else:
            await reply.whole(404, _NOT_FOUND, content_type="text/html; charset=utf-8")

    async def _json(self, reply: Reply, produce: Callable[[], object]) -> None:
        await reply.json(await asyncio.to_thread(produce))

    async def _info(self, request: Request, reply: Reply) -> None:
        if request.accepts(KSQL_JSON, JSON) is None:
            await reply.whole(406)
            return
        await self._json(reply, lambda: {"KsqlServerInfo": self.server.info()})

    async def _status(self, command_id: str, reply: Reply) -> None:
        status = await asyncio.to_thread(self.server.status, command_id)
        if status is None:
            raise RestError(404, 40400, "Command not found")
        await reply.json(status)

    async def _is_valid_property(self, name: str, reply: Reply) -> None:
        await asyncio.to_thread(self.server.check_property, name)
        await reply.json(value=True)

    async def _ready(self, reply: Reply) -> None:
        healthy = (await asyncio.to_thread(self.server.health))["isHealthy"]
        await reply.whole(200 if healthy else 503, "ok\n" if healthy else "not ready\n", content_type="text/plain")

    async def _metrics(self, reply: Reply) -> None:
        text = await asyncio.to_thread(self.server.metrics)
        await reply.whole(200, text, content_type="text/plain; version=0.0.4")

    async def _ksql(self, request: Request, reply: Reply) -> None:
        if request.accepts(KSQL_JSON, JSON) is None:
            await reply.whole(406)
            return
        body = await request.object()
        await reply.json(await asyncio.to_thread(self.server.execute, body))

    async def _query(self, request: Request, reply: Reply, *, legacy: bool) -> None:
        content_type = request.accepts(DELIMITED, KSQL_JSON, JSON)
        if content_type is None:
            await reply.whole(406)
            return
        body = await request.object()
        stream = await asyncio.to_thread(self.server.query, body, legacy=legacy)
        rows = row_format(content_type, stream.columns, push=stream.push)
        gone = asyncio.create_task(request.disconnected())
        gone.add_done_callback(lambda _: stream.close())
        try:
            await reply.start(200, content_type=content_type)
            await reply.write(rows.header(stream.query_id))
            async for batch in stream.batches():
                await reply.write("".join([rows.row(row) for row in batch]))
            end = rows.failure(stream.failure) if stream.failure else rows.end(stream.final_message)
            await reply.write(end, more=False)
        finally:
            stream.close()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _close_query(self, request: Request, reply: Reply) -> None:
        query_id = str((await request.object()).get("queryId", ""))
        if not await asyncio.to_thread(self.server.close_query, query_id):
            raise bad_request(f"No query with id {query_id}", typed=False)
        await reply.whole(200)

    async def _inserts_stream(self, request: Request, reply: Reply) -> None:
        if not request.is_http2:
            raise bad_request("This endpoint is only available when using HTTP2", code=40004, typed=False)
        batches = _lines(request)
        first = await anext(batches, [b""])
        inserts = await asyncio.to_thread(self.server.inserts, inserts_target(first[0]))
        array = request.accepts(DELIMITED, JSON) == JSON
        await reply.start(200, content_type=None)
        answers: list[str] = []
        waiting = first[1:]
        go_on = True
        while go_on and waiting is not None:
            answered, go_on = await asyncio.to_thread(inserts.insert, waiting)
            texts = [compact(answer) for answer in answered]
            if array:
                answers += texts
            else:
                await reply.write("".join([f"{text}\n" for text in texts]))
            waiting = await anext(batches, None) if go_on else None
        await reply.write("[" + ",".join(answers) + "]" if array else "", more=False)


async def _lines(request: Request) -> AsyncIterator[list[bytes]]:
    """Return the lines of a body that arrive together."""
    rest = b""
    async for chunk in request.chunks():
        *whole, rest = (rest + chunk).split(b"\n")
        lines = [line for line in whole if line.strip()]
        if lines:
            yield lines
    if rest.strip():
        yield [rest]


def inserts_target(line: bytes) -> dict[str, Any]:
    """Return the first line of an inserts stream, which names the target.

    Args:
        line: JSON text.

    Raises:
        RestError: it is not a JSON object with a target.
    """
    body = parse_object(line)
    if not isinstance(body.get("target"), str):
        raise bad_request("No target in arguments", typed=False)
    return body
