"""Waiting that is bounded, shown and can be interrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.errors import WaitError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

POLL_SECONDS = 0.05
REPORT_SECONDS = 1.0


class Progress:
    """Tells the user what an operation waits for, and the operation when to give up.

    Args:
        report: shows a line to the user; called at most once a second while waiting.
        cancelled: set when the user has interrupted the run.
    """

    def __init__(self, *, report: Callable[[str], None], cancelled: threading.Event) -> None:
        self._report = report
        self._cancelled = cancelled

    def say(self, text: str) -> None:
        """Show the user what is being done."""
        self._report(text)

    def wait(self, what: str, probe: Callable[[], str | None], *, seconds: float) -> None:
        """Wait until a probe is content.

        Args:
            what: what is waited for, for messages: "Kafka to answer at 127.0.0.1:9092".
            probe: returns None when content, else its last answer.
            seconds: the longest time to wait.

        Raises:
            WaitError: the time is over or the run was interrupted; it holds the probe's last answer.
        """
        start = time.monotonic()
        reported = start
        while True:
            answer = probe()
            if answer is None:
                return
            now = time.monotonic()
            if now - start > seconds:
                raise WaitError(f"waited {now - start:.0f} s for {what}; last answer: {answer}")
            if now - reported >= REPORT_SECONDS:
                reported = now
                self._report(f"waiting for {what} ({now - start:.0f} s of {seconds:.0f} s): {answer}")
            if self._cancelled.wait(POLL_SECONDS):
                raise WaitError(f"interrupted while waiting for {what}; last answer: {answer}")
