"""The outcome of a replay."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Report:
    """Which cases gave what was recorded.

    Attributes:
        passed: names of the cases without a difference.
        failures: the differences of each other case, in words.
    """

    passed: list[str] = field(default_factory=list[str])
    failures: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, case: str, differences: list[str]) -> None:
        """Enter one case.

        Args:
            case: its name.
            differences: what was not as recorded; empty when all was.
        """
        if differences:
            self.failures[case] = differences
        else:
            self.passed.append(case)

    def as_json(self) -> str:
        """Return ``{"passed": count, "failed": [names]}``."""
        return json.dumps({"passed": len(self.passed), "failed": sorted(self.failures)})

    def as_text(self) -> str:
        """Return a line for each difference and a line with the counts."""
        lines = [f"{case}: {text}" for case, texts in sorted(self.failures.items()) for text in texts]
        return "\n".join([*lines, f"{len(self.passed)} passed, {len(self.failures)} failed"])
