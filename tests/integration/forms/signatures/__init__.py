"""Tasks of many signatures for a worker to load, each with what a person types into its form and what then arrives."""

from __future__ import annotations

from typing import Final

NAMES: Final = "scalars containers models records parameters making written".split()
MODULES: Final = tuple(f"{__name__}.{name}" for name in NAMES)
