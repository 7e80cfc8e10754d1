"""Stacks through Pulumi's Automation API: what `pulumi up` does, without a language host.

The program runs inside this process. A stack of the local target has its state in Pulumi's file backend below
$CFLIGHT_HOME and its configuration in a workspace folder there, so that the tree stays as it is; stacks of other
targets use the tree's own files and whatever backend the user is logged in to.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import yaml
from pulumi import automation

from cflight.errors import CflightError
from infra.__main__ import declare
from infra.local.artefacts import ROOT
from infra.local.home import home_folder, passphrase_file, write_private
from infra.targets import preload

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLOCK_SLACK_SECONDS = 2.0
# What a stack's file says of how the secrets in it are encrypted.
_ENCRYPTION = frozenset({"encryptionsalt", "encryptedkey", "secretsprovider"})
OnEvent = Callable[[automation.EngineEvent], None]


class StackError(CflightError):
    """A stack could not be brought to its declaration."""


@dataclass(frozen=True)
class Changes:
    """What an operation did, or what a preview says it would do: number of resources by kind of change.

    Attributes:
        counts: by Pulumi's operation: create, update, replace, delete, same, read, refresh, …
    """

    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    def changed(self) -> int:
        """Return how many resources are not as they were."""
        return sum(count for operation, count in self.counts.items() if operation not in {"same", "read", "refresh"})


class Stack:
    """A stack of this project.

    Args:
        name: the stack's name; `Pulumi.<name>.yaml` holds its configuration.
        base: the stack whose configuration it starts from, if it has no file of its own.
        config: settings on top of the file's, by full key; structured values as Python values.

    Raises:
        StackError: there is no configuration, or no Pulumi engine.
    """

    def __init__(self, name: str, *, base: str | None = None, config: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._settings = _configuration(name, base=base) | dict(config or {})
        self._known_outputs: automation.OutputMap | None = None
        self._target = str(self._settings.get("cflight:target"))
        self.local = self._target == "local"
        self._folder = _workspace(name, self._settings) if self.local else ROOT

    def exists(self) -> bool:
        """Tell whether the backend knows the stack."""
        return any(summary.name == self.name for summary in self._open_workspace().list_stacks())

    def up(self, *, on_event: OnEvent, refresh: bool = False) -> Changes:
        """Bring the stack to its declaration.

        Args:
            on_event: called with the engine's events.
            refresh: whether to look first at what is really there.

        Raises:
            StackError: something failed.
        """
        self._preload()
        stack = self._select(create=True)
        result = _run(lambda: stack.up(on_event=on_event, refresh=refresh, show_secrets=False))
        self._known_outputs = result.outputs
        return Changes(dict(result.summary.resource_changes or {}))

    def preview(self, *, on_event: OnEvent, refresh: bool = False) -> Changes:
        """Return what `up` would do.

        Raises:
            StackError: a setting is wrong, or a resource was refused.
        """
        self._preload()
        # Pulumi asks for a stack, also to say what it would make: one that was not there is taken away again.
        made = False
        try:
            stack = self._select(create=False)
        except StackError as error:
            if not isinstance(error.__cause__, automation.StackNotFoundError):
                raise
            stack, made = self._select(create=True), True
        try:
            result = _run(lambda: stack.preview(on_event=on_event, refresh=refresh))
        finally:
            if made:
                _run(lambda: stack.workspace.remove_stack(self.name, preserve_config=True))
        return Changes({str(getattr(kind, "value", kind)): count for kind, count in result.change_summary.items()})

    def refresh(self, *, on_event: OnEvent) -> Changes:
        """Bring the state to what is really there.

        Raises:
            StackError: something could not be read.
        """
        stack = self._select(create=False)
        result = _run(lambda: stack.refresh(on_event=on_event, show_secrets=False))
        return Changes(dict(result.summary.resource_changes or {}))

    def destroy(self, *, on_event: OnEvent) -> Changes:
        """Remove all that the stack has, and the stack.

        Raises:
            StackError: something could not be removed.
        """
        stack = self._select(create=False)
        result = _run(lambda: stack.destroy(on_event=on_event, show_secrets=False))
        if self.local:
            _run(lambda: stack.workspace.remove_stack(self.name))
            shutil.rmtree(self._folder, ignore_errors=True)
        return Changes(dict(result.summary.resource_changes or {}))

    def cancel(self) -> None:
        """Give up the lock that a run which was killed has left."""
        _run(self._select(create=False).cancel)

    def outputs(self, *, show_secrets: bool) -> dict[str, Any]:
        """Return the stack's outputs.

        Args:
            show_secrets: whether secrets come in clear text, or as "[secret]".

        Raises:
            StackError: there is no such stack.
        """
        found = self._known_outputs
        if found is None:
            found = self._known_outputs = _run(self._select(create=False).outputs)
        return {
            name: "[secret]" if output.secret and not show_secrets else output.value for name, output in found.items()
        }

    def _preload(self) -> None:
        # While the engine starts: a target's libraries take as long to load.
        threading.Thread(target=preload, args=(self._target,), daemon=True).start()

    def _select(self, *, create: bool) -> automation.Stack:
        workspace = self._open_workspace()
        if self.local:
            _free_dead_locks(self.name)
        select = automation.Stack.create_or_select if create else automation.Stack.select
        return _run(lambda: select(self.name, workspace))

    def _open_workspace(self) -> automation.LocalWorkspace:
        prefix = Path(sys.prefix)
        engine = automation.PulumiCommand(root=str(prefix)) if (prefix / "bin" / "pulumi").exists() else None
        return automation.LocalWorkspace(
            work_dir=str(self._folder),
            program=declare,
            env_vars=_environment(local=self.local),
            pulumi_command=engine,
        )


def _configuration(name: str, *, base: str | None) -> dict[str, Any]:
    # The last is of a stack that was made from a base.
    files = [ROOT / f"Pulumi.{name}.yaml", *([ROOT / f"Pulumi.{base}.yaml"] if base else ()), _workspace_file(name)]
    for file in files:
        if file.exists():
            config: Any = _loaded(file).get("config") or {}
            if not isinstance(config, dict):
                raise StackError("`config` is no mapping of settings", where=str(file), remedy="See docs/settings.md.")
            return dict(cast("dict[str, Any]", config))
    known = ", ".join(sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml")))
    raise StackError(
        f"there is no stack {name}: no file Pulumi.{name}.yaml", remedy=f"Write one, or choose one of: {known}."
    )


def _free_dead_locks(name: str) -> None:
    # A lock of the file backend says who holds it. One whose engine was killed would have to be cancelled by hand.
    for lock in (home_folder() / "state" / ".pulumi" / "locks").glob(f"**/{name}/*.json"):
        try:
            holder = json.loads(lock.read_text())
            taken = datetime.fromisoformat(holder["timestamp"]).timestamp()
            dead = holder["hostname"] == socket.gethostname() and not _was_running(holder["pid"], at=taken)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written, or taken off, at this moment
        if dead:
            lock.unlink(missing_ok=True)


def _was_running(pid: int, *, at: float) -> bool:
    try:
        return psutil.Process(pid).create_time() <= at + _CLOCK_SLACK_SECONDS
    except psutil.Error:
        return False


def _workspace_file(name: str) -> Path:
    return home_folder() / "workspaces" / name / f"Pulumi.{name}.yaml"


def _workspace(name: str, settings: Mapping[str, Any]) -> Path:
    file = _workspace_file(name)
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (home_folder() / "state").mkdir(exist_ok=True)
    except OSError as error:
        raise StackError(
            f"cannot be used: {error.strerror}", where=str(home_folder()), remedy="Set CFLIGHT_HOME to another folder."
        ) from error
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project["main"] = str(ROOT / "infra")
    for plugin in project["plugins"]["providers"]:
        plugin["path"] = str(Path(sys.executable).parent)
    _write_changed(folder / "Pulumi.yaml", project)
    # The engine keeps the salt of the stack's secrets in this file; secrets that were set with plain Pulumi have the
    # salt of the tree's.
    kept = {key: value for key, value in _loaded(file).items() if key != "config"}
    given = {key: value for key, value in _loaded(ROOT / file.name).items() if key in _ENCRYPTION}
    _write_changed(file, {**kept, **given, "config": dict(settings)})
    return folder


def _write_changed(file: Path, content: Mapping[str, Any]) -> None:
    # Another run may be reading it, or the engine writing it.
    if _loaded(file) != content:
        write_private(file, yaml.safe_dump(dict(content), sort_keys=False))


def _loaded(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        content: Any = yaml.safe_load(file.read_text()) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StackError(f"cannot be read: {error}", where=str(file), remedy="See docs/settings.md.") from error
    if not isinstance(content, dict):
        raise StackError("is no mapping with a `config`", where=str(file), remedy="See docs/settings.md.")
    return cast("dict[str, Any]", content)


def _environment(*, local: bool) -> dict[str, str]:
    programs = Path(sys.executable).parent
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_SKIP_CHECKPOINTS": "false",
    }
    if local:
        environment["PULUMI_BACKEND_URL"] = os.environ.get("PULUMI_BACKEND_URL", f"file://{home_folder() / 'state'}")
        if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & os.environ.keys():
            environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file())
    return environment


def _run(operation: Callable[[], Any]) -> Any:
    try:
        return operation()
    except automation.StackNotFoundError as error:
        raise StackError("there is no such stack yet", remedy="Make it with `cflight up`.") from error
    except automation.ConcurrentUpdateError as error:
        raise StackError(
            "another run is changing this stack, or one was killed while it did",
            remedy="Wait for it; if none runs anywhere, `cflight cancel` frees the stack.",
        ) from error
    except automation.CommandError as error:
        raise StackError(str(error)) from error
    except FileNotFoundError as error:
        raise StackError("the Pulumi engine is not installed", remedy="Run `scripts/bootstrap`.") from error
