"""What is written down of a part's starts, also when the disk was full."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra.local.starts import last_start, read_starts

if TYPE_CHECKING:
    from pathlib import Path


def record(pid: int) -> str:
    return json.dumps({"time": 1.0, "pid": pid, "ticks": None, "enforcement": "advisory", "cgroup": None})


def test_a_part_that_was_never_started_has_no_starts(tmp_path: Path) -> None:
    assert last_start(tmp_path) is None


def test_a_torn_line_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "starts.jsonl").write_text(f"\n{record(1)}\n\n{record(2)[:40]}\n{record(3)}\n\n{record(4)[:10]}")
    assert [start.pid for start in read_starts(tmp_path)] == [1, 3]
