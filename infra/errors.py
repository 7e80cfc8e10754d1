"""The infra branch of the exception tree.

CflightError
├── SettingsError     a stack setting is missing, unknown or has a bad value
├── SizingError       the parts do not fit the memory that there is
├── NotAvailableError something that this stack needs is not on this machine or not supported by the target
├── ResourceError     a resource could not be made, changed, read or removed
└── WaitError         something did not become ready in time
"""

from __future__ import annotations

from cflight.errors import CflightError


class SettingsError(CflightError):
    """A stack setting is missing, unknown or has a bad value."""


class SizingError(CflightError):
    """The declared parts do not fit the memory that there is."""


class NotAvailableError(CflightError):
    """Something that the stack needs is not on this machine, or the target does not offer it."""


class ResourceError(CflightError):
    """A resource could not be made, changed, read or removed."""


class WaitError(CflightError):
    """Something did not become ready in time."""
