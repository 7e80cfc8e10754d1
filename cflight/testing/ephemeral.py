"""Ephemeral stacks: whole local stacks with names, ports, folders and state of their own, gone with their owner."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cflight.endpoints import Endpoints
from cflight.leftovers import EPHEMERAL_PREFIX, note_keeper, scrap
from cflight.testing.errors import KeeperError
from cflight.testing.stack import RunningStack

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

# Unix sockets have short paths: the system's own temporary folder may be a long one.
_FOLDER = "/tmp"  # noqa: S108 - mkdtemp makes a folder that only its owner can use


@contextmanager
def ephemeral_stack(
    settings: Mapping[str, Any] | None = None,
    *,
    keep: bool = False,
    folder: Path | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Generator[RunningStack]:
    """Bring up a stack of the local target for as long as the context lasts, or this process lives.

    Args:
        settings: what differs from `Pulumi.local.yaml`, by full key: `{"cflight:cheapestEngine": "service"}`.
        keep: whether it stays up afterwards, for inspection; its name and folder are told by `on_step`.
        folder: where to put the stack's home; a short path.
        on_step: told what is being done.

    Yields:
        The stack, ready.

    Raises:
        KeeperError: it did not come up.
    """
    tell = on_step or _tell_nobody
    home = Path(tempfile.mkdtemp(prefix=EPHEMERAL_PREFIX, dir=folder or _FOLDER))
    note_keeper(home, keep=keep)  # until the keeper itself does
    name = f"t-{secrets.token_hex(3)}"
    log = home / "keeper.log"
    with log.open("wb") as errors:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "cflight.testing.keeper"],
            env={**os.environ, "CFLIGHT_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            text=True,
        )
    try:
        endpoints = _bring_up(
            keeper, {"name": name, "settings": dict(settings or {}), "keep": keep}, log=log, tell=tell
        )
        stack = RunningStack(name=name, endpoints=endpoints)
        tell(f"stack {name} is up in {home}")
        try:
            yield stack
        finally:
            stack.close()
    finally:
        _take_down(keeper, tell=tell)
        if not keep:
            scrap(home)  # the keeper has done so, unless it was killed
        else:
            tell(f"kept: CFLIGHT_HOME={home} cflight status --stack {name}")


def _tell_nobody(_step: str) -> None:
    pass


def _bring_up(
    keeper: subprocess.Popen[str], task: dict[str, Any], *, log: Path, tell: Callable[[str], None]
) -> Endpoints:
    if keeper.stdin is None or keeper.stdout is None:
        raise KeeperError("the keeper has no pipes")
    try:
        keeper.stdin.write(json.dumps(task) + "\n")
        keeper.stdin.flush()
    except BrokenPipeError:
        pass  # its log, below, says why it ended
    for line in keeper.stdout:
        message = json.loads(line)
        if "outputs" in message:
            return Endpoints.from_outputs(message["outputs"], stack=task["name"])
        if "error" in message:
            raise KeeperError(f"the ephemeral stack did not come up: {message['error']}", where=task["name"])
        tell(message["step"])
    raise KeeperError(
        f"the keeper of the ephemeral stack has ended:\n{log.read_text(errors='replace')[-2000:]}", where=task["name"]
    )


def _take_down(keeper: subprocess.Popen[str], *, tell: Callable[[str], None]) -> None:
    # communicate closes standard input, which is the keeper's order to take the stack down.
    output, _ = keeper.communicate()
    for line in output.splitlines():
        step = json.loads(line).get("step")
        if step:
            tell(step)


class StackPool:
    """The stacks of a test session.

    Args:
        keep: whether they stay up afterwards.
        existing: the stack that stands for all of them, if the session was pointed at one.
        on_step: told what is being done.
    """

    def __init__(
        self, *, keep: bool = False, existing: RunningStack | None = None, on_step: Callable[[str], None] | None = None
    ) -> None:
        self._keep = keep
        self._existing = existing
        self._on_step = on_step
        self._shared: dict[str, RunningStack] = {}
        self._open = ExitStack()

    def shared(self, settings: Mapping[str, Any] | None = None) -> RunningStack:
        """Return a stack with these settings, up until the session's end; the same one for the same settings.

        Args:
            settings: what differs from `Pulumi.local.yaml`, by full key.

        Raises:
            KeeperError: it did not come up.
        """
        if self._existing is not None:
            return self._existing
        key = json.dumps(dict(settings or {}), sort_keys=True)
        if key not in self._shared:
            made = ephemeral_stack(settings, keep=self._keep, on_step=self._on_step)
            self._shared[key] = self._open.enter_context(made)
        return self._shared[key]

    @contextmanager
    def fresh(
        self, settings: Mapping[str, Any] | None = None, *, folder: Path | None = None
    ) -> Generator[RunningStack]:
        """Bring up a stack that no other test sees: for tests that break things.

        Args:
            settings: what differs from `Pulumi.local.yaml`, by full key.
            folder: where to put the stack's home; a short path.

        Yields:
            The stack, ready; taken down when the context ends.

        Raises:
            KeeperError: it did not come up, or the session is pointed at an existing stack.
        """
        if self._existing is not None:
            raise KeeperError(
                "a test wants a stack of its own, but the session is pointed at an existing one",
                where=f"--stack {self._existing.name}",
            )
        with ephemeral_stack(settings, keep=self._keep, folder=folder, on_step=self._on_step) as stack:
            yield stack

    def close(self) -> None:
        """Take all down."""
        self._open.close()
