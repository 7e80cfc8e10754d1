"""What the engine does, as it does it: a live table on a terminal, a line a change where output is piped."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from pulumi.automation import EngineEvent
    from rich.console import Console

_VERBS = {
    "create": ("creating", "created", "green"),
    "update": ("updating", "updated", "yellow"),
    "delete": ("deleting", "deleted", "red"),
    "replace": ("replacing", "replaced", "yellow"),
    "create-replacement": ("creating anew", "created anew", "yellow"),
    "delete-replaced": ("deleting the old", "deleted the old", "red"),
    "refresh": ("looking at", "looked at", "blue"),
    "read": ("reading", "read", "blue"),
}
_QUIET = {"same", "refresh", "read", "replace"}
_REFRESHES_PER_SECOND = 8


@dataclass
class _Operation:
    label: str
    verb: tuple[str, str, str]
    start: float = field(default_factory=time.monotonic)
    message: str = ""


class EngineProgress:
    """Shows the engine's events.

    Args:
        console: where to.
        title: what is being done: "up local".
        preview: whether nothing is really changed: then lines tell what would be.
        machine: whether only machine-readable output is wanted: then nothing is shown, but errors are still kept.
    """

    def __init__(self, *, console: Console, title: str, preview: bool, machine: bool) -> None:
        self._console = console
        self._title = title
        self._preview = preview
        self._machine = machine
        self._start = time.monotonic()
        self._running: dict[str, _Operation] = {}
        self._done = 0
        self._live: Live | None = None
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._console.is_terminal and not self._machine:
            self._live = Live(
                get_renderable=self._table,
                console=self._console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to show; what was printed stays."""
        if self._live:
            self._live.stop()

    def __call__(self, event: EngineEvent) -> None:
        """Take an event of the engine."""
        if event.resource_pre_event:
            self._begin(event.resource_pre_event.metadata.urn, str(event.resource_pre_event.metadata.op.value))
        elif event.res_outputs_event:
            self._end(event.res_outputs_event.metadata.urn, str(event.res_outputs_event.metadata.op.value))
        elif event.res_op_failed_event:
            self._running.pop(event.res_op_failed_event.metadata.urn, None)
        elif event.diagnostic_event:
            message = event.diagnostic_event.message
            if event.diagnostic_event.severity == "error":
                self._fail(event.diagnostic_event.urn or "", message)
            elif event.diagnostic_event.urn in self._running:
                self._running[event.diagnostic_event.urn].message = _plain(message)

    def _begin(self, urn: str, operation: str) -> None:
        if operation in _VERBS and not _is_bookkeeping(urn):
            self._running[urn] = _Operation(label=_label(urn), verb=_VERBS[operation])
            if self._preview and operation not in _QUIET:
                self._say(
                    Text.assemble(
                        ("  would be ", "dim"), (_VERBS[operation][1], _VERBS[operation][2]), f"  {_label(urn)}"
                    )
                )

    def _end(self, urn: str, operation: str) -> None:
        running = self._running.pop(urn, None)
        self._done += 1
        if running is None or self._preview or operation in _QUIET:
            return
        seconds = f"{time.monotonic() - running.start:.1f} s"
        self._say(Text.assemble("  ", (running.verb[1], running.verb[2]), f"  {running.label}  ", (seconds, "dim")))

    def _fail(self, urn: str, message: str) -> None:
        text = _plain(message)
        for prefix in ("error: ", "1 error occurred:\n\t* ", "an unhandled error occurred: "):
            text = text.removeprefix(prefix)
        summaries = (
            "update failed",
            "preview failed",
            "destroy failed",
            "refresh failed",
            "resource monitor shut down",
        )
        if text in summaries or any(text in known for known in self.errors):
            return  # the engine sums up what it has said already
        label = f"{_label(urn)}: " if urn and not urn.endswith("::pulumi:pulumi:Stack") else ""
        self.errors.append(f"{label}{text}" if "pulumi:pulumi:Stack" not in urn else text)

    def _say(self, text: Text) -> None:
        if not self._machine:
            self._console.print(text, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        elapsed = time.monotonic() - self._start
        table.add_row(
            Text(f"{self._title}: {self._done} done, {len(self._running)} in progress, {elapsed:.0f} s", "bold")
        )
        now = time.monotonic()
        for operation in list(self._running.values()):
            line = Text.assemble(
                "  ",
                (operation.verb[0], operation.verb[2]),
                f"  {operation.label}  ",
                (f"{now - operation.start:.0f} s  {operation.message}", "dim"),
            )
            line.truncate(self._console.width, overflow="ellipsis")
            table.add_row(line)
        return table


def _is_bookkeeping(urn: str) -> bool:
    # The stack itself and its providers: nothing that the user has declared.
    return "::pulumi:" in urn


def _label(urn: str) -> str:
    # urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME
    parts = urn.split("::")
    kind = parts[2].rpartition("$")[2].rpartition(":")[2] if len(parts) > 2 else ""
    return f"{kind} {parts[-1]}"


def _plain(message: str) -> str:
    # The engine marks colours as <{%…%}>.
    result, rest = "", message
    while rest:
        text, _, tail = rest.partition("<{%")
        result += text
        rest = tail.partition("%}>")[2]
    return result.strip()
