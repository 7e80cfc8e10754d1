"""The pytest plug-in `cflight`: fixtures with whole stacks (docs/testing.md).

It is loaded into every pytest run where this package is installed: what is heavy is imported when it is used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cflight.testing.ephemeral import StackPool
    from cflight.testing.stack import RunningStack


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("cflight", "stacks to test against")
    group.addoption("--stack", metavar="NAME", help="test against this existing stack, of any target; it is left up")
    group.addoption(
        "--keep-stack", action="store_true", help="leave ephemeral stacks up for inspection, and tell where they are"
    )


@pytest.fixture(scope="session")
def cflight_settings() -> dict[str, Any]:
    """What the session's stack has different from `Pulumi.local.yaml`, by full key; override it in a conftest.py."""
    return {}


@pytest.fixture(scope="session")
def cflight_stacks(pytestconfig: pytest.Config) -> Iterator[StackPool]:
    """The session's stacks: `.shared(settings)` gives one that tests share, `.fresh(settings)` one of its own."""
    from cflight.testing.ephemeral import StackPool  # noqa: PLC0415

    reporter: Any = pytestconfig.pluginmanager.getplugin("terminalreporter")
    keep = bool(pytestconfig.getoption("keep_stack"))

    def told(step: str) -> None:
        if reporter is not None and keep and step.startswith(("stack ", "kept: ")):
            reporter.ensure_newline()
            reporter.write_line(f"cflight: {step}")

    pool = StackPool(keep=keep, existing=_existing(pytestconfig.getoption("stack")), on_step=told)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="session")
def cflight_stack(cflight_stacks: StackPool, cflight_settings: dict[str, Any]) -> RunningStack:
    """A whole stack, up for the session: ephemeral, or the one that `--stack` names."""
    return cflight_stacks.shared(cflight_settings)


def _existing(name: str | None) -> RunningStack | None:
    if name is None:
        return None
    from cflight.endpoints import Endpoints  # noqa: PLC0415
    from cflight.stacks import Stack  # noqa: PLC0415
    from cflight.testing.stack import RunningStack  # noqa: PLC0415

    endpoints = Endpoints.from_outputs(Stack(name).outputs(show_secrets=True), stack=name)
    return RunningStack(name=name, endpoints=endpoints, token=os.environ.get("CFLIGHT_TOKEN"))
