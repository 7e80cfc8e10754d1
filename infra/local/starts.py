"""The record of a part's starts, which its launcher writes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a part.

    Attributes:
        time: seconds since the epoch.
        pid: the process.
        ticks: its start time in clock ticks since boot, which tells it from a later process with its pid.
        enforcement: how its memory limit is enforced, for people.
        cgroup: its memory cgroup, if it has one of its own.
    """

    time: float
    pid: int
    ticks: int | None
    enforcement: str
    cgroup: Path | None


def read_starts(part: Path) -> list[Start]:
    """Return a part's starts since it was last changed, the first one first.

    Args:
        part: the part's folder.
    """
    try:
        lines = (part / "starts.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    records: list[dict[str, object]] = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):  # torn: the disk was full
            records.append(json.loads(line))
    return [_start(record) for record in records]


def last_start(part: Path) -> Start | None:
    """Return a part's last start, or None when it was never started."""
    starts = read_starts(part)
    return starts[-1] if starts else None


def _start(record: dict[str, object]) -> Start:
    fields = dict(record)
    fields["cgroup"] = Path(str(record["cgroup"])) if record["cgroup"] else None
    return Start(**fields)  # type: ignore[arg-type]
