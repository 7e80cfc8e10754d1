"""Starts connectors and tasks that failed again, as Strimzi's operator and MSK Connect do elsewhere.

A sink's task gives up when its store is away for longer than its retries take; Connect leaves it so.
"""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_CALL_SECONDS = 10.0
# The first is long enough for `up` to see, and tell, that a new connector fails.
_FIRST_WAIT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 60.0
# A connector that ran for so long is taken to be well again.
_WELL_SECONDS = 300.0


@dataclass(kw_only=True)
class _Trouble:
    """A connector that failed: its next restart, and the wait after that; on the monotonic clock."""

    seen: float
    restart_at: float
    wait: float


class AutoRestart:
    """Restarts what failed on a Connect worker, after waits that grow from 10 to 60 seconds.

    Args:
        url: the worker's REST API.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._troubles: dict[str, _Trouble] = {}

    def look(self, now: float) -> list[str]:
        """Restart the connectors whose time has come.

        Args:
            now: seconds on the monotonic clock.

        Returns:
            The names of those.

        Raises:
            OSError: the worker does not answer, or not well.
        """
        restarted: list[str] = []
        for name, entry in self._call("GET", "/connectors?expand=status").items():
            reason = _failure(entry["status"])
            if reason is None:
                if name in self._troubles and now - self._troubles[name].seen > _WELL_SECONDS:
                    del self._troubles[name]
                continue
            trouble = self._troubles.get(name)
            if trouble is None:
                trouble = _Trouble(seen=now, restart_at=now + _FIRST_WAIT_SECONDS, wait=_FIRST_WAIT_SECONDS)
                self._troubles[name] = trouble
            trouble.seen = now
            if now < trouble.restart_at:
                continue
            path = f"/connectors/{urllib.parse.quote(name, safe='')}/restart?includeTasks=true&onlyFailed=true"
            self._call("POST", path)
            trouble.wait = min(trouble.wait * 2, _LONGEST_WAIT_SECONDS)
            trouble.restart_at = now + trouble.wait
            log.warning("%s failed, and is started again: %s", name, reason)
            restarted.append(name)
        return restarted

    def _call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self._url + path, method=method)  # noqa: S310 - our own worker
        with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as response:  # noqa: S310
            return json.loads(response.read() or b"null")


def auto_restart(stack: Path) -> None:
    """Watch the Connect worker of a stack, when it has one, for ever.

    Args:
        stack: the stack's folder.
    """
    watched: AutoRestart | None = None
    url = ""
    while True:
        time.sleep(_LOOK_SECONDS)
        try:
            found = json.loads((stack / "parts" / "connect" / "spec.json").read_text())["url"]
            if watched is None or found != url:
                watched, url = AutoRestart(found), found
            watched.look(time.monotonic())
        except FileNotFoundError:
            watched = None  # no worker, or not yet
        except (OSError, ValueError, http.client.HTTPException) as error:
            log.debug("the Connect worker does not answer: %s", error)  # it is the supervisor's to start it


def _failure(status: dict[str, Any]) -> str | None:
    """Return the first line of why a connector or one of its tasks failed; None if nothing did."""
    for part in (status["connector"], *status["tasks"]):
        if part["state"] == "FAILED":
            return str(part.get("trace", "")).partition("\n")[0]
    return None
