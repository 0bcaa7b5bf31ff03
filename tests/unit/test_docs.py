"""What the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(r"`((?:[\w.]+/)*[\w.]+\.(?:py|html|js|css|md)|(?:[\w.]+/)+)(?::[^`]*)?`")
LINKED = re.compile(r"\]\((?!https?:|#)([^)#]+)")
ELSEWHERE = {"wsgi.py", "instance/", "templates/_poll.html"}
"""Files of a reader's own, and what is made by running."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    roots = (ROOT, ROOT / "webapp", ROOT / "tests", page.parent)
    named = {name for name in NAMED.findall(page.read_text()) if name not in ELSEWHERE}
    known = {path.name for folder in ("webapp", "tests", "docs") for path in (ROOT / folder).rglob("*.*")}
    lacking = {name for name in named if not any((root / name).exists() for root in roots)}
    assert {name for name in lacking if "/" in name or name not in known} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in LINKED.findall(page.read_text()) if not (page.parent / link).exists()] == []
