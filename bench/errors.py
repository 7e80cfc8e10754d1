"""What can go wrong in a benchmark."""

from __future__ import annotations

from cflight.errors import CflightError


class BenchError(CflightError):
    """A part did not do what it should while it was measured."""
