"""A client of a ksqlDB server's REST API."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from ksql.errors import KsqlError, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_ACCEPT = "application/vnd.ksql.v1+json"
# Replacing a running query takes a real server 10 to 20 s, in which it refuses other statements.
_COMMAND_SECONDS = 90.0
_BUSY = ("Timeout while waiting for command topic consumer", "Timed out while waiting for a previous command")


class RefusedError(KsqlError):
    """The server refused a statement.

    Args:
        what: the server's message.
        code: ksqlDB's error code.
        statement: the text that the server names.
    """

    def __init__(self, what: str, *, code: int, statement: str = "") -> None:
        super().__init__(what, statement=statement)
        self.code = code


@dataclass(kw_only=True)
class KsqlClient:
    """A ksqlDB server.

    Args:
        url: its base URL.
        username: for basic authentication; empty where the server asks for none.
        password: for basic authentication.
        timeout: seconds that one request may take.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 60.0
    _client: httpx.Client = field(init=False, repr=False)
    _last_command: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        self._client = httpx.Client(
            base_url=self.url,
            timeout=self.timeout,
            auth=(self.username, self.password) if self.username else None,
            headers={"Accept": _ACCEPT, "Content-Type": _ACCEPT},
        )

    def wait_until_ready(self, *, seconds: float) -> None:
        """Wait until the server runs.

        Args:
            seconds: how long at most.

        Raises:
            ServerError: it did not; with its last answer.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self._client.get("/info")
                last = answer.text
                if answer.is_success and answer.json()["KsqlServerInfo"].get("serverStatus", "RUNNING") == "RUNNING":
                    return
            except httpx.TransportError as error:
                last = str(error)
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the ksqlDB server is not ready after {seconds:.0f} s, last answer: {last}", where=self.url
                )
            time.sleep(0.2)

    def execute(self, text: str, *, properties: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Carry out statements, and wait until what they change is done.

        Args:
            text: statements.
            properties: settings to carry them out with.

        Returns:
            The server's entities.

        Raises:
            RefusedError: the server refuses a statement.
            ServerError: it does not answer, or is not done in time.
        """
        deadline = time.monotonic() + _COMMAND_SECONDS
        while True:
            body: dict[str, Any] = {"ksql": text, "streamsProperties": dict(properties or {})}
            if self._last_command >= 0:
                body["commandSequenceNumber"] = self._last_command
            answer = self._post("/ksql", body)
            if answer.is_success:
                entities: list[dict[str, Any]] = answer.json()
                for entity in entities:
                    self._finish(entity, deadline)
                return entities
            error = _refusal(answer)
            if not error.message.startswith(_BUSY) or time.monotonic() > deadline:
                raise error
            time.sleep(1.0)

    def describe(self, name: str) -> dict[str, Any] | None:
        """Return the description of a stream or table, or None where there is none.

        Args:
            name: case-sensitive.
        """
        try:
            (entity,) = self.execute(f"DESCRIBE {quoted(name)};")
        except RefusedError as error:
            if "Could not find STREAM/TABLE" in error.message:
                return None
            raise
        return entity["sourceDescription"]

    def explain(self, text: str) -> dict[str, Any]:
        """Return the description of a query that is not there yet, or of a running one.

        Args:
            text: a statement that runs a query, or the id of a query.

        Raises:
            RefusedError: the statement cannot be carried out.
        """
        (entity,) = self.execute(f"EXPLAIN {text.rstrip().rstrip(';')};")
        return entity["queryDescription"]

    def queries(self) -> list[dict[str, Any]]:
        """Return all persistent queries."""
        (entity,) = self.execute("SHOW QUERIES;")
        return [query for query in entity["queries"] if query.get("queryType", "PERSISTENT") == "PERSISTENT"]

    def sources(self) -> dict[str, str]:
        """Return the names of all streams and tables, with STREAM or TABLE."""
        streams, tables = self.execute("SHOW STREAMS; SHOW TABLES;")
        return {entry["name"]: entry["type"] for entry in (*streams["streams"], *tables["tables"])}

    def types(self) -> dict[str, Any]:
        """Return all named types."""
        (entity,) = self.execute("SHOW TYPES;")
        return entity["types"]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> KsqlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, entity: dict[str, Any], deadline: float) -> None:
        number = entity.get("commandSequenceNumber")
        if number is not None:
            self._last_command = max(self._last_command, int(number))
        status = entity.get("commandStatus")
        while status is not None and status["status"] not in {"SUCCESS", "ERROR"}:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the command {entity['commandId']} is not done after {_COMMAND_SECONDS:.0f} s,"
                    f" last status: {status['status']} {status['message']}",
                    where=self.url,
                )
            time.sleep(0.3)
            status = entity["commandStatus"] = self._get(f"/status/{quote(entity['commandId'])}").json()
        if status is not None and status["status"] == "ERROR":
            raise RefusedError(status["message"], code=0, statement=entity.get("statementText", ""))

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return self._client.post(path, json=body)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._client.get(path)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.TransportError) -> ServerError:
        return ServerError(
            f"the ksqlDB server does not answer: {error or type(error).__name__}",
            where=self.url,
            remedy="Is it running, and is the URL right?",
        )


def quoted(name: str) -> str:
    """Return a name as an identifier that keeps its case."""
    return "`" + name.replace("`", "``") + "`"


def _refusal(answer: httpx.Response) -> RefusedError:
    try:
        body = answer.json()
        return RefusedError(str(body["message"]), code=int(body["error_code"]), statement=body.get("statementText", ""))
    except (ValueError, KeyError, TypeError):
        return RefusedError(f"HTTP {answer.status_code}: {answer.text[:500]}", code=answer.status_code)
