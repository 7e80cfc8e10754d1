"""This machine's own addresses and the proxies of the environment."""

from __future__ import annotations

import os

_OWN = "127.0.0.1,localhost"


def bypass_proxies() -> None:
    """Have this process and its children ask 127.0.0.1 itself, whatever HTTP_PROXY says."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    bypassed = f"{given},{_OWN}" if given else _OWN
    # Libraries differ in which of the two they read.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = bypassed
