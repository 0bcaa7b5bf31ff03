"""Times, durations and calls as a person reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from webapp.forms import preview
from webapp.text import clean


def utc(timestamp: float) -> datetime:
    """Return seconds since the epoch as an aware UTC time; times out of range become the nearest end."""
    return datetime.fromtimestamp(min(max(timestamp, 0.0), 253402300799.0), UTC)


def spellings(timestamp: float) -> tuple[str, str, str]:
    """Return a time as ``iso``, ``short_time`` and ``exact_time`` spell it; formatting once is a tenth of the cost."""
    at = utc(timestamp)
    text = at.isoformat(timespec="milliseconds")
    date, clock = text[:10], text[11:23]
    return f"{date}T{clock}Z", f"{_MONTHS[at.month - 1]} {date[8:]} {clock[:8]}", f"{date} {clock} UTC"


_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def iso(timestamp: float) -> str:
    """Return ``2026-11-23T14:32:20.174Z``, what a ``<time datetime>`` wants."""
    return spellings(timestamp)[0]


def short_time(timestamp: float) -> str:
    """Return ``Nov 23 14:32:20``, the list's text until the browser writes it in the viewer's own zone."""
    return spellings(timestamp)[1]


def exact_time(timestamp: float) -> str:
    """Return ``2026-11-23 14:32:20.174 UTC``."""
    return spellings(timestamp)[2]


def duration(seconds: float | None) -> str:
    """Return a duration in the unit a person would use: ``3 ms``, ``5.01 s``, ``2 min 5 s``, ``3 h 10 min``."""
    if seconds is None:
        return "–"
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def count(number: int, more: bool) -> str:
    """Return ``1,234``, or ``10,000+`` where there may be more than were counted."""
    return f"{number:,}+" if more else f"{number:,}"


def short_name(name: str) -> str:
    """Return the last part of a dotted task name."""
    return name.rpartition(".")[2] or name


def arguments(args: str | None, kwargs: str | None, exact: bool) -> str:
    """Return a call's arguments as one line: ``1, 2, chance=0.7``.

    ``args`` and ``kwargs`` are JSON when ``exact``, else the shortened ``repr`` that an event carries.
    """
    if exact:
        try:
            parts = [python(value) for value in json.loads(args or "[]")]
            named = {} if kwargs in (None, "", "{}") else json.loads(kwargs)
            return ", ".join(parts + [f"{clean(str(key))}={python(value)}" for key, value in named.items()])
        except (ValueError, TypeError, AttributeError, RecursionError):
            # Cut, or nested deeper than can be read: the text itself is the best there is.
            return f"{args or ''} {kwargs or ''}".strip()
    parts = [_unwrap(args or ""), "" if kwargs in (None, "", "{}") else f"**{kwargs}"]
    return ", ".join(part for part in parts if part)


def _unwrap(text: str) -> str:
    if text[:1] in "([" and text[-1:] in ")]":
        return text[1:-1].removesuffix(",")
    return text


def python(value: Any) -> str:
    """Return a JSON value as Python writes it, which is how a task's author thinks of it.

    Dates, decimals and the like, which travel as dictionaries of two keys, are written as what they are.
    """
    text = repr(value)
    return clean(preview.python(value) if "__type__" in text else text)
