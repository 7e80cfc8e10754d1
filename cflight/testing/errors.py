"""What can go wrong in the test kit.

CflightError
├── KeeperError      an ephemeral stack did not come up
└── ConditionError   what a test waited for did not happen
"""

from __future__ import annotations

from cflight.errors import CflightError


class KeeperError(CflightError):
    """An ephemeral stack did not come up, or could not be taken down."""


class ConditionError(CflightError, AssertionError):
    """What a test waited for did not happen in time: the test has failed."""
