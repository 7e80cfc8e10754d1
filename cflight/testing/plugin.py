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

_KEPT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("cflight", "stacks to test against")
    group.addoption("--stack", metavar="NAME", help="test against this existing stack, of any target; it is left up")
    group.addoption(
        "--keep-stack", action="store_true", help="leave ephemeral stacks up for inspection, and tell where they are"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make room for what is told at the end."""
    config.stash[_KEPT] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on to xdist's controller, from one of its workers, which stacks were kept."""
    output: Any = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["cflight_kept"] = session.config.stash[_KEPT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take from an xdist worker which stacks were kept."""
    node.config.stash[_KEPT].extend(getattr(node, "workeroutput", {}).get("cflight_kept", []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell which stacks were kept, and how to look at them."""
    if config.stash[_KEPT]:
        terminalreporter.section("stacks kept")
        for command in config.stash[_KEPT]:
            terminalreporter.write_line(command)


@pytest.fixture(scope="session")
def cflight_settings() -> dict[str, Any]:
    """What the session's stack has different from `Pulumi.local.yaml`, by full key; override it in a conftest.py."""
    return {}


@pytest.fixture(scope="session")
def cflight_stacks(pytestconfig: pytest.Config) -> Iterator[StackPool]:
    """The session's stacks: `.shared(settings)` gives one that tests share, `.fresh(settings)` one of its own."""
    from cflight.testing.ephemeral import StackPool  # noqa: PLC0415

    keep = bool(pytestconfig.getoption("keep_stack"))
    kept = pytestconfig.stash[_KEPT]

    def told(step: str) -> None:
        if step.startswith("kept: "):
            kept.append(step.removeprefix("kept: "))

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
