from __future__ import annotations

import os
import urllib.request

import httpx
import pytest

from cflight.loopback import bypass_proxies


@pytest.mark.parametrize("given", ["", "internal.example"])
def test_this_machine_is_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, given)
    assert not urllib.request.proxy_bypass("127.0.0.1:8080")
    bypass_proxies()
    assert urllib.request.proxy_bypass("127.0.0.1:8080")
    assert not urllib.request.proxy_bypass("elsewhere.example")
    assert given in os.environ["NO_PROXY"]
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL("http://127.0.0.1:8080")) is client._transport  # pyright: ignore[reportPrivateUsage]
