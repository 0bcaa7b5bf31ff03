"""Hostile text made harmless: cleaned of what databases refuse and bounded in size, and nothing else."""

from __future__ import annotations

import re
from typing import Final, Protocol

NAME_MAX: Final = 255
"""Longest task id, task name, queue or host name kept, in characters."""

# NUL and lone surrogates are refused by PostgreSQL or SQLite; the other control characters and the
# bidirectional overrides can make a page show something else than what was said.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}"


def clean(value: str) -> str:
    """Return the text with every unsafe character written as an escape that Python and JSON share: ``\\u0000``."""
    return _UNSAFE.sub(_escape, value) if _UNSAFE.search(value) else value


def cut(value: str, limit: int) -> str:
    """Return the text cut to ``limit`` bytes of UTF-8, its end marked with the true size where it was cut."""
    if len(value) * 4 <= limit:
        return value
    size = len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if size <= limit:
        return value
    kept = value[:limit] if value.isascii() else value.encode(errors="surrogatepass")[:limit].decode(errors="ignore")
    return f"{kept}… [cut: {size:,} bytes in all]"


def tidy(value: object, limit: int = NAME_MAX) -> str | None:
    """Return a cleaned, bounded text for anything a task or an event says, None for None.

    Names are bounded in characters; values, with a larger limit, in bytes, and say so. It is cut before it is cleaned,
    so that the work is bounded too.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return clean(cut(text, limit)) if limit > NAME_MAX else clean(text[:limit])[:limit]


def one_line(fault: object, limit: int = 200) -> str:
    """Return what a fault says, in one line of at most so many characters."""
    return " ".join(str(fault).split())[:limit] or type(fault).__name__


class Tidy(Protocol):
    """What makes a text fit to be kept: ``tidy``, or ``bounded`` where nothing has to be cleaned."""

    def __call__(self, value: object, limit: int = NAME_MAX) -> str | None:
        """Return the text."""


def bounded(value: object, limit: int = NAME_MAX) -> str | None:
    """Return what ``tidy`` returns for a value without characters that must be cleaned away."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return cut(text, limit) if limit > NAME_MAX else text[:limit]
