"""The errors of a replay.

CflightError
└── CasesError  the folder of cases cannot be used
"""

from __future__ import annotations

from cflight.errors import CflightError


class CasesError(CflightError):
    """The folder of cases cannot be used."""
