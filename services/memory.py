"""How a service divides the memory that it may use.

The interpreter, the libraries and librdkafka's threads take a fixed part; queues, fetches and batches in work share
what is left. The limit is the process's own, read from its cgroups.
"""

from __future__ import annotations

import ctypes
import gc
from dataclasses import dataclass

from cflight.memory_limit import memory_limit

FIXED_BYTES = 56 * 1024 * 1024
"""What an idle service takes, measured: interpreter and libraries 45 MiB, librdkafka's threads and connections the
rest."""
# More than this does not make a service faster.
_MOST_BYTES = 1024 * 1024 * 1024
_LEAST_BYTES = 16 * 1024 * 1024

# glibc's mallopt(3) parameters.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What a service may hold.

    Attributes:
        limit: the memory that the process may use, in bytes.
        free: what of it is for data, in bytes.
    """

    limit: int
    free: int

    def share(self, part: float, *, least: int) -> int:
        """Return a part of the free memory in bytes.

        Args:
            part: which, from 0 to 1.
            least: what it is at least.
        """
        return max(int(self.free * part), least)


def plan_memory(*, limit: int | None = None) -> MemoryPlan:
    """Divide the memory that this process may use.

    Args:
        limit: the bytes; without it the process's own limit is read.
    """
    limit = memory_limit() if limit is None else limit
    return MemoryPlan(limit=limit, free=min(max(limit - FIXED_BYTES, _LEAST_BYTES), _MOST_BYTES))


def tune_process() -> None:
    """Make the allocator give memory back, and the collector leave long-lived objects alone; call before threads start.

    librdkafka allocates on one thread and frees on another: with glibc's default of eight arenas a core each of them
    grows to the peak. A fixed threshold keeps large buffers out of the arenas, where they would leave holes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, 512 * 1024)
        mallopt(_M_TRIM_THRESHOLD, 4 * 1024 * 1024)
    gc.freeze()
    # Millions of messages come and go without a cycle among them.
    gc.set_threshold(100_000, 50, 50)
