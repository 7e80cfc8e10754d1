"""What the integration tests' stacks have different from `Pulumi.local.yaml`."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def cflight_settings() -> dict[str, Any]:
    # The engine that needs least: tests of the other ask for a stack of their own.
    return {"cflight:cheapestEngine": "service"}
