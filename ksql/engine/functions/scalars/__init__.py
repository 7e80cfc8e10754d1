"""Scalar functions, a module for each kind; importing this package registers them."""

from __future__ import annotations

from ksql.engine.functions.scalars import (
    collections,
    dates,
    jsons,
    lambdas,
    numbers,
    strings,
    urls,
)

MODULES = (collections, dates, jsons, lambdas, numbers, strings, urls)
