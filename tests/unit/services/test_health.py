"""Health: ready when nothing is missing, alive while the loop turns."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest

from services.errors import SettingsError
from services.health import Health, serve


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_readiness_names_what_is_waited_for() -> None:
    health = Health()
    url = f"http://127.0.0.1:{serve(health, host='127.0.0.1', port=0)}"
    health.missing("kafka", "connecting")
    health.missing("registry", "refused")
    status, body = get(f"{url}/readyz")
    assert (status, json.loads(body)) == (
        503,
        {"ready": False, "waiting_for": {"kafka": "connecting", "registry": "refused"}},
    )
    health.present("kafka")
    assert get(f"{url}/readyz")[0] == 503
    health.present("registry")
    assert get(f"{url}/readyz")[0] == 200
    assert b"cflight_ready 1.0" in get(f"{url}/metrics")[1]
    assert get(f"{url}/other")[0] == 404


def test_a_loop_that_hangs_is_not_alive() -> None:
    health = Health(silence_limit=-1)
    assert health.answer("/healthz")[0] == 503
    assert Health().answer("/healthz")[0] == 200


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"HTTP_PORT={port}"):
            serve(Health(), host="127.0.0.1", port=port)
