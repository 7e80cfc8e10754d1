"""Puts itself under a hard memory limit and becomes a command: `python -m bench.limited CGROUP BYTES COMMAND…`."""

from __future__ import annotations

import os
import sys

from infra.local.cgroup import enforce


def become(name: str, limit: int, command: list[str]) -> None:
    """Become the command; never returns.

    Args:
        name: the cgroup's path below its parent.
        limit: bytes.
        command: program and arguments.
    """
    enforcement = enforce(name, limit=limit)
    full = [*enforcement.prefix, *command]
    os.execvp(full[0], full)


if __name__ == "__main__":
    become(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
