"""The embedded sink writes what the Confluent sink wrote, and the replay would tell if it did not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
SHARED = Path(os.environ.get("CFLIGHT_SHARED", ROOT.parent / "shared"))
CASES = SHARED / "golden" / "s3-sink"

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no recorded cases in {CASES}")


def replay(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [ROOT / "scripts" / "golden", "s3-sink", folder, "--json"], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@needs_cases
def test_every_recorded_case_is_reproduced() -> None:
    assert replay(CASES) == {"passed": len(list(CASES.glob("*.json"))), "failed": []}


@needs_cases
def test_differences_are_found(tmp_path: Path) -> None:
    def spoil(name: str, change: Any) -> None:
        case = json.loads((CASES / f"{name}.json").read_text())
        change(case)
        (tmp_path / f"{name}.json").write_text(json.dumps(case))

    def another_key(case: Any) -> None:
        case["objects"][0]["key"] += "x"

    def another_record(case: Any) -> None:
        case["objects"][0]["avro"]["records"][0]["BATCHUUID"] = "other"

    def another_offset(case: Any) -> None:
        case["committed_offsets_after_stop"]["offsets"][0]["offset"]["kafka_offset"] += 1

    def another_trace(case: Any) -> None:
        task = case["connector_status"]["tasks"][0]
        task["trace"] = task["trace"].replace("No writer found", "Some writer found")

    def another_letter(case: Any) -> None:
        case["dlq"][0]["value_b64"] = "AA=="

    def another_answer(case: Any) -> None:
        case["create_response"]["body"]["message"] = "No."

    def another_default(case: Any) -> None:
        next(key for key in case["keys"] if key["name"] == "file.delim")["default_value"] = "-"

    changes = {
        "json-gzip": another_key,
        "cflight-sink": another_record,
        "json-flush3-leftover": another_offset,
        "smt-regexrouter": another_trace,
        "poison-json-dlq": another_letter,
        "avro-format-with-s3-gzip": another_answer,
        "config-keys": another_default,
    }
    for name, change in changes.items():
        spoil(name, change)
    assert replay(tmp_path) == {"passed": 0, "failed": sorted(changes)}


def test_a_folder_without_cases_is_an_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "golden", "s3-sink", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there are no cases" in done.stderr
    assert "Traceback" not in done.stderr
