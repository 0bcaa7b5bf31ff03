"""Guards over templates and static files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.support import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
STATIC = ROOT / "static"
CHECKSUMS = {"htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_holds_no_inline_script_or_style(path: Path) -> None:
    pattern = r"<script(?![^>]*\ssrc=)|<style|\sstyle\s*=|\son\w+\s*=|hx-on|javascript:|js:"
    assert re.findall(pattern, path.read_text(), re.IGNORECASE) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_switches_no_escaping_off(path: Path) -> None:
    assert re.findall(r"\|\s*safe|autoescape\s+false", path.read_text()) == []


@pytest.mark.parametrize("path", [p for p in TEMPLATES if not p.name.startswith("_")], ids=name_of)
def test_a_page_has_a_title(path: Path) -> None:
    assert "{% block title %}" in path.read_text()


@pytest.mark.parametrize("path", [p for p in TEMPLATES if p.name != "_macros.html"], ids=name_of)
def test_only_the_macros_write_pollers(path: Path) -> None:
    assert "every " not in re.findall(r'hx-trigger="([^"]*)"', path.read_text())
    assert 'class="badge"' not in path.read_text()


@pytest.mark.parametrize("path", sorted((STATIC / "vendor").iterdir()), ids=name_of)
def test_a_vendored_file_is_the_one_that_was_published(path: Path) -> None:
    assert hashlib.sha256(path.read_bytes()).hexdigest() == CHECKSUMS[path.name]


def test_style_sheet_and_script_stay_small() -> None:
    assert (STATIC / "app.css").stat().st_size <= 20 * 1024
    assert len((STATIC / "app.js").read_text().splitlines()) <= 100


def test_style_sheets_and_scripts_together_have_at_most_80_kilobytes() -> None:
    files = [*STATIC.rglob("*.css"), *STATIC.rglob("*.js")]
    assert sum(path.stat().st_size for path in files) <= 80 * 1024


@pytest.mark.parametrize("path", [STATIC / "app.css", STATIC / "app.js"], ids=name_of)
def test_lines_can_be_read(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if len(line) > 160] == []
