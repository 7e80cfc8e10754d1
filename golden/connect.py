"""The REST API of a Connect worker, as far as a replay needs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_NOT_FOUND = 404
_CONFLICT = 409


class ConnectWorker:
    """A worker.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request; one that meets a rebalance is sent again."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                answer = self._client.request(method, path, json=body)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if answer.status_code != _CONFLICT or time.monotonic() > deadline:
                    return answer
            time.sleep(_LOOK_SECONDS)

    def put_config(self, name: str, config: Mapping[str, str]) -> httpx.Response:
        """Register a connector."""
        return self.request("PUT", f"/connectors/{name}/config", dict(config))

    def status(self, name: str) -> dict[str, Any] | None:
        """Return a connector's status, or None while there is none."""
        answer = self.request("GET", f"/connectors/{name}/status")
        return answer.json() if answer.is_success else None

    def stop(self, name: str) -> None:
        """Stop a connector and wait until its tasks have gone, so that its offsets are final."""
        self.request("PUT", f"/connectors/{name}/stop").raise_for_status()
        self._wait(lambda: _is_stopped(self.status(name)), what=f"{name} to stop")

    def offsets(self, name: str) -> list[tuple[str, int, int]]:
        """Return topic, partition and offset of what a stopped sink regards as stored."""
        entries = self.request("GET", f"/connectors/{name}/offsets").raise_for_status().json()["offsets"]
        return sorted(offset_of(entry) for entry in entries)

    def delete(self, name: str) -> None:
        """Delete a connector with its offsets."""
        if self.request("GET", f"/connectors/{name}").status_code == _NOT_FOUND:
            return
        self.stop(name)
        self.request("DELETE", f"/connectors/{name}/offsets")
        self.request("DELETE", f"/connectors/{name}").raise_for_status()
        self._wait(lambda: self.status(name) is None, what=f"{name} to go")

    def _wait(self, done: Callable[[], bool], *, what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {_PATIENCE_SECONDS:.0f} s for {what}")
            time.sleep(_LOOK_SECONDS)


def offset_of(entry: Mapping[str, Any]) -> tuple[str, int, int]:
    """Return topic, partition and offset of one entry of an answer about offsets."""
    partition, offset = entry["partition"], entry["offset"]
    return partition["kafka_topic"], partition["kafka_partition"], offset["kafka_offset"]


def _is_stopped(status: dict[str, Any] | None) -> bool:
    return status is not None and status["connector"]["state"] == "STOPPED" and not status["tasks"]
