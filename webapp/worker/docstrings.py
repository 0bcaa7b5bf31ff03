"""Finds in a docstring what it says about the whole and about each parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

DOC_MAX: Final = 4_000
"""Longest docstring kept, in characters."""
NOTE_MAX: Final = 400
"""Longest note of one parameter kept, in characters."""

_GOOGLE: Final = re.compile(r"(args|arguments|parameters|params|keyword args|keyword arguments|other parameters):")
_GOOGLE_NOTE: Final = re.compile(r"(\*{0,2}\w+)\s*(?:\([^:]*\))?\s*:\s*(.*)")
_NUMPY: Final = re.compile(r"(parameters|other parameters)")
_NUMPY_NOTE: Final = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX: Final = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*?\s)?\\?(\*{0,2}\w+)\s*:\s*(.*)")


def doc_of(function: Callable[..., Any]) -> str:
    """Return the docstring of a function, or of the class whose ``run`` it is; never an inherited one."""
    try:
        for owner in (function, type(getattr(function, "__self__", None))):
            doc = vars(owner).get("__doc__") if isinstance(owner, type) else getattr(owner, "__doc__", None)
            if isinstance(doc, str) and doc.strip() and owner is not type(None):
                return inspect.cleandoc(doc[: DOC_MAX * 4])[:DOC_MAX]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110  # A docstring may be computed by foreign code, which may even exit.
        pass
    return ""


def summary_of(doc: str) -> str:
    """Return the first paragraph on one line."""
    return " ".join(re.split(r"\n\s*\n", doc.strip(), maxsplit=1)[0].split())


def notes_of(doc: str, names: Iterable[str]) -> dict[str, str]:
    """Return what a docstring says about the parameters of these names; it may be in any of three styles."""
    lines = doc.splitlines()
    found: dict[str, str] = {}
    for notes in (_sphinx_notes(lines), _google_notes(lines), _numpy_notes(lines)):
        for name, text in notes:
            found.setdefault(name.lstrip("*"), " ".join(text.split())[:NOTE_MAX])
    return {name: found[name] for name in names if found.get(name)}


def _sphinx_notes(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the notes that look like ``:param x: Text``."""
    for index, line in enumerate(lines):
        if match := _SPHINX.match(line.strip()):
            rest = _indented(lines, index + 1, _indent(line))
            yield match[1], f"{match[2]} {' '.join(part for part in rest if not part.strip().startswith(':'))}"


def _google_notes(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the notes that look like ``x (int): Text`` below ``Args:``."""
    for index, line in enumerate(lines):
        if _GOOGLE.fullmatch(line.strip().lower()):
            block = _indented(lines, index + 1, _indent(line))
            yield from _entries(block, _GOOGLE_NOTE)


def _numpy_notes(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the notes below ``Parameters`` and a line of hyphens, where the text stands below the name."""
    for index, line in enumerate(lines[:-1]):
        if not _NUMPY.fullmatch(line.strip().lower()) or not re.fullmatch(r"-{3,}", lines[index + 1].strip()):
            continue
        depth = _indent(line)
        for at in range(index + 2, len(lines)):
            if at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip()):
                break
            match = _NUMPY_NOTE.fullmatch(lines[at].strip())
            if match and _indent(lines[at]) == depth:
                text = " ".join(_indented(lines, at + 1, depth))
                yield from ((name.strip(), text) for name in match[1].split(","))


def _entries(block: list[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    depth = min((_indent(line) for line in block if line.strip()), default=0)
    for index, line in enumerate(block):
        if _indent(line) == depth and (match := pattern.fullmatch(line.strip())):
            yield match[1], f"{match[2]} {' '.join(_indented(block, index + 1, depth))}"


def _indented(lines: list[str], start: int, depth: int) -> list[str]:
    """Return the lines from ``start`` on that stand deeper than ``depth``, blank ones between them included."""
    found: list[str] = []
    for line in lines[start:]:
        if line.strip() and _indent(line) <= depth:
            break
        found.append(line)
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
