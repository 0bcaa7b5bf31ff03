"""What a browser loads once: every style sheet and script, uncompressed."""

from __future__ import annotations

from bench.common import Figure
from tests.support import ROOT


def measure() -> Figure:
    """Add up all files under ``static/`` that a browser reads or runs."""
    files = [path for path in (ROOT / "static").rglob("*") if path.suffix in (".css", ".js")]
    return Figure("CSS and JavaScript", sum(path.stat().st_size for path in files) / 1000, 80, "KB")
