"""What S3 sinks ask of the worker that runs them: the classes of the plug-in, and memory."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = (
    Path(__file__).parent.parent
    / "connectors/s3-sink/src/main/resources/io/github/cflight/connect/s3/confluent-names.properties"
)


@functools.cache
def embedded_names() -> dict[str, str]:
    """Return the embedded plug-in's class for every Confluent class that it stands for."""
    lines = [line.strip() for line in _NAMES.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {confluent.strip(): embedded.strip() for confluent, _, embedded in pairs}


def for_embedded_plugin(config: Mapping[str, str]) -> dict[str, str]:
    """Return a sink's configuration for a worker with the embedded plug-in.

    A worker finds connectors and converters by their class names itself, so those are translated here; the plug-in
    takes the Confluent names of all other classes.

    Args:
        config: the configuration with the Confluent names.
    """
    names = embedded_names()
    resolved_by_worker = {"connector.class", "key.converter", "value.converter", "header.converter"}
    return {key: names.get(value, value) if key in resolved_by_worker else value for key, value in config.items()}
