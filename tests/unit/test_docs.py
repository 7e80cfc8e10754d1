"""What the docs quote is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_the_example_of_testing_is_the_one_that_is_tested() -> None:
    source = (ROOT / "tests" / "integration" / "test_example.py").read_text()
    example = source.partition("# [example]\n")[2].partition("# [/example]")[0]
    assert f"```python\n{example.strip()}\n```" in (ROOT / "docs" / "testing.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
