"""A schema registry of a few answers, for tests."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

Answer = tuple[int, Any]


class RegistryServer:
    """Answers requests in the order of its script, else from its schemas by id."""

    def __init__(self, schemas: dict[int, str]) -> None:
        self.script: list[Answer] = []
        self.requests: list[tuple[str, str, Any, str | None]] = []
        self.url = ""
        self._schemas = schemas

    def answer(self, method: str, path: str, body: Any, authorization: str | None) -> Answer:
        self.requests.append((method, path, body, authorization))
        if self.script:
            return self.script.pop(0)
        if path.startswith("/schemas/ids/"):
            schema = self._schemas.get(int(path.split("/")[3].partition("?")[0]))
            return (
                (404, {"error_code": 40403, "message": "Schema not found"})
                if schema is None
                else (200, {"schema": schema})
            )
        if method == "GET":
            return 404, {"error_code": 40401, "message": "Subject not found"}
        known = {schema: schema_id for schema_id, schema in self._schemas.items()}
        return 200, {"id": known[body["schema"]]}


@contextmanager
def running_registry(schemas: dict[int, str]) -> Generator[RegistryServer]:
    registry = RegistryServer(schemas)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = json.loads(self.rfile.read(length)) if length else None
            status, answer = registry.answer(self.command, self.path, content, self.headers.get("Authorization"))
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the base class looks for these names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
