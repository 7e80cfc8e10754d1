"""A KSQL statement over ksqlDB's REST API: the same for the embedded engine and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pydantic import Field

from infra.errors import ResourceError
from infra.provider.handler import Change, Failure, Handler, IncompleteError, Inputs, Properties, State
from ksql import changes, registrar
from ksql.changes import Action
from ksql.client import KsqlClient, RefusedError
from ksql.errors import KsqlError, ServerError
from ksql.statements import Kind, needs, read_folder, single

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from infra.provider.progress import Progress
    from ksql.statements import Statement as Parsed

_READY_SECONDS = 60.0
_TERMINATED = "its query was terminated"
_PAUSED = "its query is paused"
# Where the server is, who asks, and where the text stands are no properties of a statement.
_NO_CHANGE = frozenset({"server_url", "username", "password", "where", "delete_topic"})


class StatementInputs(Inputs):
    """What a statement is declared with.

    `actual` is empty in every declaration; a refresh writes there what it found instead of what was declared.
    """

    server_url: str
    statement: str
    properties: dict[str, str] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict)
    delete_topic: bool = False
    username: str = ""
    password: str = ""
    where: str = ""
    actual: str = ""


class Statement(pulumi.CustomResource):
    """What one statement makes: a stream, a table, a type, or the query of an INSERT INTO.

    Args:
        name: the resource's name.
        server_url: the ksqlDB server.
        statement: its text.
        properties: the settings that it is carried out with.
        sources: the texts of the statements whose results it reads, by name, in order; when one of them must be
            replaced, so must this.
        delete_topic: whether deleting the statement deletes the topic of its query as well.
        where: file and line, for messages.
        username: for basic authentication; empty where the server asks for none.
        password: for basic authentication.
        opts: the resource's options.
    """

    statement: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        server_url: pulumi.Input[str],
        statement: str,
        properties: Mapping[str, str],
        sources: Mapping[str, pulumi.Input[str]],
        delete_topic: bool,
        where: str,
        username: str = "",
        password: pulumi.Input[str] = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "cflight:ksql:Statement",
            name,
            {
                "server_url": server_url,
                "statement": statement,
                "properties": dict(properties),
                "sources": dict(sources),
                "delete_topic": delete_topic,
                "username": username,
                "password": pulumi.Output.secret(password),
                "where": where,
                "actual": "",
            },
            opts,
        )


class Statements(pulumi.ComponentResource):
    """All statements of a folder, each a resource that comes after what it reads.

    Args:
        name: the component's name.
        folder: holds `*.sql` files.
        server_url: the ksqlDB server.
        delete_topics: whether deleting a statement deletes the topic of its query as well.
        variables: put in place of `${name}` in the texts.
        username: for basic authentication.
        password: for basic authentication.
        opts: the component's options.
    """

    def __init__(
        self,
        name: str,
        *,
        folder: Path,
        server_url: pulumi.Input[str],
        delete_topics: bool,
        variables: Mapping[str, str] | None = None,
        username: str = "",
        password: pulumi.Input[str] = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cflight:ksql:Statements", name, {}, opts)
        known: dict[str, Parsed] = {}
        self.statements: dict[str, Statement] = {}
        for statement in read_folder(folder, variables=variables):
            known[statement.name] = statement
            upstream = _upstream(statement, known)
            self.statements[statement.name] = Statement(
                f"{name}-{statement.name}",
                server_url=server_url,
                statement=statement.text,
                properties=statement.properties,
                # The texts themselves would do; as outputs they tell the engine what must go before what.
                sources={source: self.statements[source].statement for source in upstream},
                delete_topic=delete_topics and statement.is_query,
                where=statement.where,
                username=username,
                password=password,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.statements[source] for source in upstream]),
            )
        self.register_outputs({"statements": list(self.statements)})


class StatementHandler(Handler[StatementInputs]):
    """Carries statements out, sees what became of them, and takes them back."""

    model = StatementInputs

    def validate(self, inputs: StatementInputs) -> Iterable[Failure]:
        """Let the server check the statement, without carrying it out, as far as it can be asked now."""
        try:
            statement = _parsed(inputs)
        except KsqlError as error:
            yield Failure("statement", f"{inputs.where}: {error}")
            return
        try:
            with _client(inputs) as client:
                error = _refusal(client, inputs, statement)
        except ServerError:
            return
        if error is not None:
            yield Failure("statement", f"{inputs.where}: {statement.name}: {error.message}")

    def diff(self, resource_id: str, *, old: Properties, new: Properties, outputs: Properties) -> Change:
        """Formatting is no change; what ksqlDB cannot replace in place is a new resource, and so are its readers."""
        del resource_id, outputs
        changed: list[str] = []
        replaces: list[str] = []
        for name, change in _differences(old, new).items():
            if change is Action.NONE:
                continue
            changed.append(name)
            if change is Action.REPLACE:
                replaces.append(name)
        return Change(changed=changed, replaces=replaces)

    def resource_id(self, inputs: StatementInputs) -> str:
        """A statement's id is the name of what it makes."""
        return _parsed(inputs).name

    def create(self, inputs: StatementInputs, *, progress: Progress) -> Properties:
        """Carry the statement out; what an interrupted run has left is taken over or brought to it."""
        statement = _parsed(inputs)
        with _client(inputs) as client:
            client.wait_until_ready(seconds=_READY_SECONDS)
            change = registrar.ServerView.look(client).change(statement)
            progress.say(f"{statement.kind.lower()} {statement.name}: {change.action}")
            if change.action is Action.CREATE:
                registrar.create(client, statement)
            elif change.action is Action.UPDATE:
                registrar.create(client, statement, replace=True)
            elif change.action is Action.RESUME:
                registrar.resume(client, statement)
            elif change.action is Action.REPLACE:
                raise ResourceError(
                    f"the server has a {statement.name} that is none of this stack: {change.reason}",
                    where=inputs.where,
                    remedy="Drop it, or choose another name, and run `pulumi up` again.",
                )
            return _outputs(client, statement)

    def read(self, resource_id: str, *, inputs: StatementInputs, outputs: Mapping[str, Any]) -> State | None:
        """Return the statement with what somebody else did to it."""
        del resource_id, outputs
        statement = _parsed(inputs)
        with _client(inputs) as client:
            view = registrar.ServerView.look(client)
            if not view.has(statement):
                return None
            actual = _actual(client, view, statement)
            return State(inputs=inputs.model_dump() | {"actual": actual}, outputs=_outputs(client, statement))

    def update(
        self, resource_id: str, *, old: Properties, new: StatementInputs, outputs: Properties, progress: Progress
    ) -> Properties:
        """Put the new statement in the place of the old one; real servers take some seconds for it."""
        del resource_id, outputs
        statement = _parsed(new)
        with _client(new) as client:
            if old.get("actual") == _PAUSED:
                progress.say(f"resuming the query of {statement.name}")
                registrar.resume(client, statement)
            if _differences(old, new.model_dump()).get("statement", Action.NONE) is not Action.NONE or _is_text(old):
                progress.say(f"replacing {statement.name} in place")
                try:
                    registrar.create(client, statement, replace=True)
                except RefusedError as error:
                    raise IncompleteError(f"{new.where}: {statement.name} was not changed: {error.message}") from error
            return _outputs(client, statement)

    def delete(self, resource_id: str, *, inputs: StatementInputs, outputs: Properties, progress: Progress) -> None:
        """Terminate its query and drop what it made."""
        del outputs
        statement = _parsed(inputs)
        progress.say(f"dropping {resource_id}")
        with _client(inputs) as client:
            try:
                registrar.drop(client, resource_id, statement.kind, delete_topic=inputs.delete_topic)
            except RefusedError as error:
                raise ResourceError(f"could not drop {resource_id}: {error.message}", where=inputs.where) from error


def _parsed(inputs: StatementInputs) -> Parsed:
    return single(inputs.statement, properties=inputs.properties)


def _client(inputs: StatementInputs) -> KsqlClient:
    return KsqlClient(url=inputs.server_url, username=inputs.username, password=inputs.password)


def _upstream(statement: Parsed, known: Mapping[str, Parsed]) -> list[str]:
    found: set[str] = set()
    waiting = [statement]
    while waiting:
        for name in needs(waiting.pop(), known):
            if name not in found:
                found.add(name)
                waiting.append(known[name])
    return [name for name in known if name in found]


def _differences(old: Properties, new: Properties) -> dict[str, Action]:
    found: dict[str, Action] = {}
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if name in _NO_CHANGE or before == after:
            continue
        if name == "statement":
            found[name] = _classify(str(before), str(after))
        elif name == "sources":
            found[name] = _of_sources(before, after)
        elif name == "actual":
            found[name] = _of_actual(str(before or ""), str(new.get("statement") or ""))
        else:
            # The settings of a running query cannot be changed.
            found[name] = Action.REPLACE
    return found


def _classify(before: str, after: str, *, from_server: bool = False) -> Action:
    try:
        old, new = single(before), single(after)
    except KsqlError:
        return Action.REPLACE
    if old.name != new.name:
        return Action.REPLACE
    return changes.classify(old, new, from_server=from_server).action


def _of_sources(before: Any, after: Any) -> Action:
    if not isinstance(before, dict) or not isinstance(after, dict):
        # Not known yet: the engine asks what would happen if what it reads were replaced.
        return Action.REPLACE
    for name in before.keys() & after.keys():  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        if before[name] != after[name] and _classify(str(before[name]), str(after[name])) is Action.REPLACE:  # pyright: ignore[reportUnknownArgumentType]
            return Action.REPLACE
    return Action.NONE


def _of_actual(actual: str, statement: str) -> Action:
    if actual == _PAUSED:
        return Action.UPDATE
    if actual in {"", _TERMINATED}:
        return Action.REPLACE if actual else Action.NONE
    return _classify(actual, statement, from_server=True)


def _is_text(old: Properties) -> bool:
    return (old.get("actual") or "") not in {"", _PAUSED, _TERMINATED}


def _actual(client: KsqlClient, view: registrar.ServerView, statement: Parsed) -> str:
    change = view.change(statement)
    if change.action is Action.NONE:
        return ""
    if change.action is Action.RESUME:
        return _PAUSED
    if statement.kind is Kind.INSERT:
        return str(view.queries[statement.name]["queryString"])
    description = client.describe(statement.name) or {}
    text = str(description.get("statement", ""))
    return _TERMINATED if changes.matches(statement, text) is not False else text


def _outputs(client: KsqlClient, statement: Parsed) -> Properties:
    return {"query_ids": registrar.query_ids(client, statement)}


def _refusal(client: KsqlClient, inputs: StatementInputs, statement: Parsed) -> RefusedError | None:
    view = registrar.ServerView.look(client)
    change = view.change(statement)
    if change.action in {Action.NONE, Action.RESUME}:
        return None
    if change.action is Action.REPLACE:
        # It is there still, so only its query can be checked.
        return _explained(client, statement)
    missing = [entry for entry in map(single, inputs.sources.values()) if not view.has(entry)]
    error = registrar.check(client, [*missing, statement])
    if error is None or registrar.is_of_later(error) or "upgrade" in error.message:
        return None
    return error


def _explained(client: KsqlClient, statement: Parsed) -> RefusedError | None:
    if not statement.is_query:
        return None
    start = statement.text.upper().find("SELECT")
    try:
        client.explain(statement.text[start:])
    except RefusedError as error:
        return error
    return None
