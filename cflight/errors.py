"""The root of the exception tree.

CflightError                     anything that the user can mend
├── infra.errors.…               settings, platform parts, resources
├── services.errors.…            a service's settings and dependencies
└── ksql.errors.…                statements and the engine
"""

from __future__ import annotations


class CflightError(Exception):
    """An error that a user can act on; programs print it without a traceback.

    Args:
        what: what was wrong, a clause without a full stop.
        where: the place: a settings key, a file and line, a URL.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}. {remedy}" if remedy else text)
