"""From the setting `target` to the platform."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, get_args

from infra.settings import Target

if TYPE_CHECKING:
    from infra.contract import Platform
    from infra.settings import StackSettings


def platform(*, stack: str, settings: StackSettings) -> Platform:
    """Return the platform of a stack's target, with its parts declared.

    A target is imported when it is chosen: the others' SDKs take seconds to load.

    Args:
        stack: the stack's name.
        settings: its settings.

    Raises:
        NotAvailableError: the target cannot be had.
    """
    if settings.target == "local":
        from infra.local.target import LocalPlatform  # noqa: PLC0415

        return LocalPlatform(stack=stack, settings=settings)
    if settings.target == "aws":
        from infra.aws.target import AwsPlatform  # noqa: PLC0415

        return AwsPlatform(stack=stack, settings=settings)
    from infra.kubernetes.target import KubernetesPlatform  # noqa: PLC0415

    return KubernetesPlatform(stack=stack, settings=settings)


def preload(target: str) -> None:
    """Import what the platform of a target needs, if there is such a target.

    Args:
        target: the setting `target`.
    """
    if target in get_args(Target):
        importlib.import_module(f"infra.{target}.target")
