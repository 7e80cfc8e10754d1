"""The Pulumi program: reads the settings, makes the target's platform, puts the pipeline on it."""

import pulumi
from pulumi.runtime.config import CONFIG

from cflight.errors import CflightError
from infra.pipeline import pipeline
from infra.settings import load_settings
from infra.targets import platform


def declare() -> None:
    """Declare all resources of the current stack, and its outputs.

    Raises:
        pulumi.RunError: for a user's mistake: the engine shows its message without a traceback.
    """
    try:
        settings = load_settings(CONFIG.get())
        target = platform(stack=pulumi.get_stack(), settings=settings)
        target.deploy(pipeline(settings))
    except CflightError as error:
        raise pulumi.RunError(str(error)) from None
    for name, value in target.outputs().items():
        pulumi.export(name, value)


if __name__ == "__main__":
    declare()
