"""Query tests that passed once must go on passing."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from golden.qtt import Outcome, run_case, run_folder

_REPOSITORY = Path(__file__).parents[3]
_SHARED = Path(os.environ.get("CFLIGHT_SHARED", _REPOSITORY.parent / "shared"))
_BASELINE = Path(__file__).with_name("qtt_baseline.txt")


def test_no_query_test_regresses() -> None:
    folder = _SHARED / "ksql-qtt"
    if not folder.is_dir():
        pytest.skip("the recorded query tests are not here; CFLIGHT_SHARED names their parent folder")
    expected = Counter(_BASELINE.read_text(encoding="utf-8").splitlines())
    results = run_folder(folder)
    passed = Counter(f"{r.file}: {r.name}" for r in results if r.outcome is Outcome.PASSED)
    lost = expected - passed
    details = [f"{r.file}: {r.name}: {r.detail}" for r in results if f"{r.file}: {r.name}" in lost]
    assert not lost, "\n".join(details)


CASE: dict[str, Any] = {
    "name": "count",
    "statements": [
        "CREATE STREAM S (K INT KEY, V INT) WITH (kafka_topic='s', value_format='JSON');",
        "CREATE TABLE T AS SELECT K, COUNT(*) AS N FROM S GROUP BY K;",
    ],
    "inputs": [
        {"topic": "s", "key": 1, "value": {"V": 5}, "timestamp": 10},
        {"topic": "s", "key": 1, "value": {"V": 6}, "timestamp": 20},
    ],
    "outputs": [
        {"topic": "T", "key": 1, "value": {"N": 1}, "timestamp": 10},
        {"topic": "T", "key": 1, "value": {"N": 2}, "timestamp": 20},
    ],
}


def test_the_runner_accepts_the_right_answer() -> None:
    assert run_case("own", CASE).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "change",
    [
        {"outputs": CASE["outputs"][:1]},
        {"outputs": [CASE["outputs"][0], {**CASE["outputs"][1], "value": {"N": 3}}]},
        {"outputs": [CASE["outputs"][0], {**CASE["outputs"][1], "timestamp": 21}]},
        {"outputs": [CASE["outputs"][0], {**CASE["outputs"][1], "key": 2}]},
        {"expectedException": {"message": "anything"}},
        {"statements": [*CASE["statements"], "SELECT NOPE FROM T;"]},
        {"post": {"sources": [{"name": "T", "type": "table", "schema": "K INT KEY, N INT"}]}},
    ],
)
def test_the_runner_notices_a_wrong_answer(change: dict[str, object]) -> None:
    assert run_case("own", {**CASE, **change}).outcome is Outcome.WRONG


def test_the_runner_tells_refusals_from_wrong_answers() -> None:
    windowed = "WITH (kafka_topic='{}', format='JSON', window_type='TUMBLING', window_size='1 SECOND');"
    statements = [
        "CREATE TABLE A (K INT PRIMARY KEY, V INT) " + windowed.format("a"),
        "CREATE TABLE B (K INT PRIMARY KEY, V INT) " + windowed.format("b"),
        "CREATE TABLE C AS SELECT * FROM A JOIN B ON A.K = B.K;",
    ]
    assert run_case("own", {"name": "refused", "statements": statements}).outcome is Outcome.REFUSED
