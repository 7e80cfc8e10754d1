"""Brings a ksqlDB server to what a folder of statements says; run it again after a failure and it goes on.

The command line: python -m ksql.registrar plan|apply|delete FOLDER --server URL.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cflight.errors import CflightError
from ksql.changes import Action, Change, classify, matches
from ksql.client import KsqlClient, RefusedError, quoted
from ksql.statements import Kind, read, read_folder, readers, single

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ksql.statements import Statement

_DERIVED_ID = re.compile(r"INSERT_(.+)_[0-9A-F]{8}\Z")
_LINE = re.compile(r"(\bline |\bLine: )(\d+)")
# What a preview cannot know: topics and schemas that the same stack makes before the statements.
_LATER = re.compile(r"Topic '.*' does not exist\.|does not exist in the Schema Registry")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is to be done about one name.

    Attributes:
        name: of the stream, table, type or query.
        kind: what it is.
        action: what is to be done.
        reason: why.
        where: file and line of the statement; empty for what only the server has.
        warning: what could not be checked beforehand.
    """

    name: str
    kind: Kind
    action: Action
    reason: str = ""
    where: str = ""
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class Registrar:
    """The statements of a folder, and a server.

    Args:
        client: of the server.
        statements: in order.
        delete_topics: whether the topics of dropped streams and tables of queries are deleted as well.
    """

    client: KsqlClient
    statements: Sequence[Statement]
    delete_topics: bool = False

    def plan(self) -> list[Step]:
        """Return what is to be done for every statement, in order; then what is to be removed.

        Raises:
            RefusedError: the server would refuse a statement; with file and line.
        """
        server = ServerView.look(self.client)
        changes = {statement.name: server.change(statement) for statement in self.statements}
        replaced = [name for name, change in changes.items() if change.action is Action.REPLACE]
        for reader in readers(replaced, self.statements):
            if changes[reader.name].action not in {Action.REPLACE, Action.CREATE}:
                changes[reader.name] = Change(action=Action.REPLACE, reason="it depends on what is replaced")
        warnings = self._preview(changes)
        steps = [
            Step(
                name=statement.name,
                kind=statement.kind,
                action=changes[statement.name].action,
                reason=changes[statement.name].reason,
                where=statement.where,
                warning=warnings.get(statement.name, ""),
            )
            for statement in self.statements
        ]
        for query_id in self._outdated(server):
            reason = "its statement was changed or removed"
            steps.append(Step(name=query_id, kind=Kind.INSERT, action=Action.DELETE, reason=reason))
        return steps

    def apply(self, *, done: Callable[[Step], None] = lambda _: None) -> list[Step]:
        """Do what `plan` returns.

        Args:
            done: called after each step.

        Returns:
            The steps.

        Raises:
            RefusedError: the server refuses a statement; what was done before stays done.
        """
        steps = self.plan()
        by_name = {statement.name: statement for statement in self.statements}
        for step in reversed(steps):
            if step.action in {Action.REPLACE, Action.DELETE}:
                drop(self.client, step.name, step.kind, delete_topic=self.delete_topics)
        for step in steps:
            if step.action in {Action.CREATE, Action.REPLACE}:
                create(self.client, by_name[step.name])
            elif step.action is Action.UPDATE:
                create(self.client, by_name[step.name], replace=True)
            elif step.action is Action.RESUME:
                resume(self.client, by_name[step.name])
            done(step)
        return steps

    def delete(self, *, done: Callable[[Step], None] = lambda _: None) -> list[Step]:
        """Remove all that the statements make, readers first; what is already gone is left out.

        Args:
            done: called after each step.
        """
        server = ServerView.look(self.client)
        steps: list[Step] = []
        for query_id in self._outdated(server):
            drop(self.client, query_id, Kind.INSERT)
            steps.append(Step(name=query_id, kind=Kind.INSERT, action=Action.DELETE))
            done(steps[-1])
        for statement in reversed(self.statements):
            if server.has(statement):
                drop(
                    self.client, statement.name, statement.kind, delete_topic=self.delete_topics and statement.is_query
                )
                step = Step(name=statement.name, kind=statement.kind, action=Action.DELETE, where=statement.where)
                steps.append(step)
                done(step)
        return steps

    def _outdated(self, server: ServerView) -> list[str]:
        """Return the ids of queries that an earlier text of an INSERT INTO has left."""
        known = {statement.name for statement in self.statements}
        targets = {statement.writes for statement in self.statements}
        matches = {query_id: _DERIVED_ID.match(query_id) for query_id in server.queries if query_id not in known}
        return [query_id for query_id, match in matches.items() if match and match[1] in targets]

    def _preview(self, changes: Mapping[str, Change]) -> dict[str, str]:
        """Let the server check the statements that are to be carried out, without carrying them out."""
        waiting = [
            statement
            for statement in self.statements
            if changes[statement.name].action in {Action.CREATE, Action.UPDATE}
            and not any(changes[name].action is Action.REPLACE for name in statement.reads if name in changes)
        ]
        warnings: dict[str, str] = {}
        while waiting:
            error = check(self.client, waiting)
            if error is None:
                break
            at_fault = _at_fault(error, waiting)
            if not is_of_later(error):
                raise (
                    RefusedError(error.message, code=error.code, statement=error.statement)
                    if at_fault is None
                    else _located(error, at_fault)
                )
            if at_fault is None:
                break
            # Its topic is not there yet: neither it nor what reads it can be checked now.
            gone = {at_fault.name, *(reader.name for reader in readers([at_fault.name], waiting))}
            warnings |= dict.fromkeys(gone, f"not checked: {error.message.splitlines()[0]}")
            waiting = [statement for statement in waiting if statement.name not in gone]
        return warnings


@dataclass(frozen=True, kw_only=True)
class ServerView:
    """What a server has.

    Attributes:
        client: of the server.
        sources: streams and tables by name, with STREAM or TABLE.
        queries: persistent queries by id.
        types: named types.
    """

    client: KsqlClient
    sources: Mapping[str, str]
    queries: Mapping[str, dict[str, Any]]
    types: Mapping[str, Any]

    @staticmethod
    def look(client: KsqlClient) -> ServerView:
        """Ask the server."""
        queries = {query["id"]: query for query in client.queries()}
        return ServerView(client=client, sources=client.sources(), queries=queries, types=client.types())

    def has(self, statement: Statement) -> bool:
        """Whether there is something of the statement's name."""
        if statement.kind is Kind.INSERT:
            return statement.name in self.queries
        return statement.name in (self.types if statement.kind is Kind.TYPE else self.sources)

    def change(self, statement: Statement) -> Change:
        """Return what is to be done about one statement, for itself."""
        if not self.has(statement):
            return Change(action=Action.CREATE, reason="the server does not have it")
        if statement.kind is Kind.TYPE:
            return Change(action=Action.NONE)
        if statement.kind is Kind.INSERT:
            query = self.queries[statement.name]
            (running,) = read(query["queryString"])
            if running.normal != statement.normal:
                return Change(action=Action.REPLACE, reason="the query is another one")
            return _of_state(query)
        return self._of_source(statement)

    def _of_source(self, statement: Statement) -> Change:
        if self.sources[statement.name] != statement.kind.value:
            return Change(action=Action.REPLACE, reason=f"the server has a {self.sources[statement.name].lower()}")
        description = self.client.describe(statement.name)
        if description is None:
            return Change(action=Action.CREATE, reason="the server does not have it")
        text = description["statement"]
        if matches(statement, text) is False:
            return _to_get_there(text, statement)
        if not statement.is_query:
            return Change(action=Action.NONE)
        own = [query for query in description["writeQueries"] if query["id"].startswith(("CSAS_", "CTAS_"))]
        if not own:
            return Change(action=Action.REPLACE, reason="its query was terminated")
        return _of_state(own[0])


def create(client: KsqlClient, statement: Statement, *, replace: bool = False) -> None:
    """Carry out a statement.

    Args:
        client: of the server.
        statement: to carry out.
        replace: whether it takes the place of what is there.

    Raises:
        RefusedError: the server refuses it; with file and line.
    """
    try:
        client.execute(or_replace(statement) if replace else statement.text, properties=statement.properties)
    except RefusedError as error:
        raise _located(error, statement) from error


def drop(client: KsqlClient, name: str, kind: Kind, *, delete_topic: bool = False) -> None:
    """Remove what a statement made; nothing happens where it is already gone.

    Args:
        client: of the server.
        name: of what is removed.
        kind: what it is.
        delete_topic: whether the topic of a stream or table is deleted as well.
    """
    if kind is Kind.INSERT:
        if any(query["id"] == name for query in client.queries()):
            client.execute(f"TERMINATE {name};")
        return
    if kind is Kind.TYPE:
        client.execute(f"DROP TYPE IF EXISTS {quoted(name)};")
        return
    there = client.sources().get(name)
    if there is not None:
        suffix = " DELETE TOPIC" if delete_topic else ""
        client.execute(f"DROP {there} IF EXISTS {quoted(name)}{suffix};")


def resume(client: KsqlClient, statement: Statement) -> None:
    """Let the query of a statement go on that somebody paused."""
    for query_id in query_ids(client, statement):
        client.execute(f"RESUME {query_id};")


def query_ids(client: KsqlClient, statement: Statement) -> list[str]:
    """Return the ids of the queries that a statement started."""
    if statement.kind is Kind.INSERT:
        return [query["id"] for query in client.queries() if query["id"] == statement.name]
    return [
        query["id"]
        for query in client.queries()
        if statement.name in query["sinks"] and query["id"].startswith(("CSAS_", "CTAS_"))
    ]


def check(client: KsqlClient, statements: Sequence[Statement]) -> RefusedError | None:
    """Let the server check statements together, without carrying them out.

    A server checks a request as a whole before it does anything. So the statements are sent with one more that cannot
    be carried out: if that is the one which is refused, the others are good.

    Args:
        client: of the server.
        statements: in order; UPDATEs among them in the form that replaces.

    Returns:
        What the server says against one of them, or None.
    """
    if not statements:
        return None
    name = f"PREVIEW_{uuid.uuid4().hex.upper()}"
    known = client.sources()
    texts = [
        or_replace(entry) if entry.name in known and entry.kind is not Kind.INSERT else entry.text
        for entry in statements
    ]
    request = "\n".join([*texts, f"CREATE STREAM {name} AS SELECT * FROM {name}_SOURCE EMIT CHANGES;"])  # noqa: S608 - made up here
    properties = {key: value for statement in statements for key, value in statement.properties.items()}
    try:
        client.execute(request, properties=properties)
    except RefusedError as error:
        return None if f"{name}_SOURCE" in error.message else _relocated(error, texts, statements)
    raise CflightError("the server carried out a statement that reads nothing", where=client.url)


def is_of_later(error: RefusedError) -> bool:
    """Whether a statement is refused only for want of a topic or schema, which may be made before it is carried out."""
    return _LATER.search(error.message) is not None


def or_replace(statement: Statement) -> str:
    """Return the text of a CREATE statement in the form that takes the place of what is there."""
    return re.sub(r"(?is)\A(\s*CREATE)(\s+OR\s+REPLACE)?\b", r"\1 OR REPLACE", statement.text)


def _to_get_there(server_text: str, statement: Statement) -> Change:
    try:
        change = classify(single(server_text), statement, from_server=True)
    except CflightError:
        change = Change(action=Action.REPLACE, reason="the change cannot be judged here")
    return Change(action=change.action, reason=f"the server has another one: {change.reason}")


def _of_state(query: Mapping[str, Any]) -> Change:
    if "PAUSED" in (query.get("statusCount") or {}) or query.get("state") == "PAUSED":
        return Change(action=Action.RESUME, reason="its query is paused")
    return Change(action=Action.NONE)


def _relocated(error: RefusedError, texts: Sequence[str], statements: Sequence[Statement]) -> RefusedError:
    """Return an error of a request with the lines of the file, and about the statement at those lines."""
    match = _LINE.search(error.message)
    if match is None:
        return error
    line, start = int(match[2]), 1
    for text, statement in zip(texts, statements, strict=True):
        if line < start + text.count("\n") + 1:
            shift = statement.line - start
            message = _LINE.sub(lambda found, shift=shift: f"{found[1]}{int(found[2]) + shift}", error.message)
            return RefusedError(message, code=error.code, statement=statement.text)
        start += text.count("\n") + 1
    return error


def _at_fault(error: RefusedError, statements: Sequence[Statement]) -> Statement | None:
    for statement in statements:
        if error.statement.strip() in {statement.text.strip(), or_replace(statement).strip()}:
            return statement
    try:
        name = single(error.statement).name
    except CflightError:
        named = re.search(r"CREATE (?:OR REPLACE )?(?:STREAM|TABLE) `?([^\s`(]+)", error.message)
        name = named[1] if named else ""
    return next((statement for statement in statements if statement.name == name), None)


def _located(error: RefusedError, statement: Statement) -> RefusedError:
    located = RefusedError(error.message, code=error.code, statement=error.statement)
    located.args = (f"{statement.where}: {statement.name}: {error.message}",)
    located.where = statement.where
    return located


# --- the command line ---

_app = typer.Typer(add_completion=False, no_args_is_help=True)
_Folder = Annotated[Path, typer.Argument(help="the folder of .sql files")]
_Server = Annotated[str, typer.Option(envvar="KSQL_URL", help="the server's URL")]
_Variable = Annotated[list[str] | None, typer.Option(help="NAME=VALUE, put in place of ${NAME}; may be repeated")]
_Json = Annotated[bool, typer.Option("--json", help="print one JSON object for each step")]
_Wait = Annotated[float, typer.Option(help="seconds to wait for the server")]
_Username = Annotated[str, typer.Option(envvar="KSQL_USERNAME", help="for basic authentication")]
_DeleteTopics = Annotated[bool, typer.Option("--delete-topics", help="delete the topics of dropped queries as well")]


@_app.command("plan")
def plan_command(
    folder: _Folder,
    *,
    server: _Server = "http://127.0.0.1:8088",
    variable: _Variable = None,
    wait: _Wait = 30.0,
    username: _Username = "",
    as_json: _Json = False,
) -> None:
    """Show what apply would do; the server checks every statement that is new."""
    with _client(server, username=username, wait=wait) as client:
        steps = _registrar(client, folder, variable).plan()
        for step in steps:
            _print(step, as_json=as_json)


@_app.command("apply")
def apply_command(
    folder: _Folder,
    *,
    server: _Server = "http://127.0.0.1:8088",
    variable: _Variable = None,
    wait: _Wait = 30.0,
    username: _Username = "",
    delete_topics: _DeleteTopics = False,
    as_json: _Json = False,
) -> None:
    """Create, update, replace and resume until the server has what the folder says."""
    with _client(server, username=username, wait=wait) as client:
        registrar = _registrar(client, folder, variable, delete_topics=delete_topics)
        registrar.apply(done=lambda step: _print(step, as_json=as_json))


@_app.command("delete")
def delete_command(
    folder: _Folder,
    *,
    server: _Server = "http://127.0.0.1:8088",
    variable: _Variable = None,
    wait: _Wait = 30.0,
    username: _Username = "",
    delete_topics: _DeleteTopics = False,
    as_json: _Json = False,
) -> None:
    """Remove all that the folder's statements make."""
    with _client(server, username=username, wait=wait) as client:
        registrar = _registrar(client, folder, variable, delete_topics=delete_topics)
        registrar.delete(done=lambda step: _print(step, as_json=as_json))


def _client(url: str, *, username: str, wait: float) -> KsqlClient:
    client = KsqlClient(url=url, username=username, password=os.environ.get("KSQL_PASSWORD", ""))
    client.wait_until_ready(seconds=wait)
    return client


def _registrar(
    client: KsqlClient, folder: Path, variable: list[str] | None, *, delete_topics: bool = False
) -> Registrar:
    variables = dict(entry.split("=", 1) for entry in variable or [] if "=" in entry)
    return Registrar(client=client, statements=read_folder(folder, variables=variables), delete_topics=delete_topics)


def _print(step: Step, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: str(value) for name, value in vars(step).items()}))
        return
    note = f"  ({step.reason})" if step.reason else ""
    warning = f"  [{step.warning}]" if step.warning else ""
    Console(soft_wrap=True, highlight=False).print(
        f"{step.action:<8} {step.kind.lower():<7} {step.name}{note}{warning}", markup=False
    )


def main() -> None:
    """Run the command line; a user's mistake ends with a message and status 1."""
    try:
        _app()
    except CflightError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
