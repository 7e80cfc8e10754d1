"""Recorded conversations with a real ksqlDB, replayed against the embedded engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from golden import ksql_rest
from infra.errors import NotAvailableError

pytestmark = pytest.mark.integration


def test_the_engine_answers_as_ksqldb_did() -> None:
    shared = Path(os.environ.get("CFLIGHT_SHARED", Path(__file__).parents[3] / "shared"))
    folder = shared / "golden" / "ksql-rest"
    if not folder.is_dir():
        pytest.skip(f"the recorded conversations are not here: {folder}")
    try:
        report = ksql_rest.run(folder)
    except NotAvailableError as error:
        pytest.skip(str(error))
    assert report.failures == {}
    assert len(report.passed) == len(list(folder.glob("*.json")))
