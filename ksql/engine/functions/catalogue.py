"""All functions of the engine."""

from __future__ import annotations

from ksql.engine.functions import aggregates, scalars, tables
from ksql.engine.functions.registry import SCALARS, Registry

MODULES = (aggregates, scalars, tables)


def all_functions() -> Registry:
    """The registry with every function; importing their modules has filled it."""
    return SCALARS
