"""What a list is asked for: the filters of an address, and the conditions typed into the search box."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from webapp.text import tidy

QUERY_MAX: Final = 1000
"""Most characters of what is typed into the search box."""
TERMS_MAX: Final = 20
SORTS: Final = {"": "Newest first", "running": "Longest running", "waiting": "Longest waiting"}
SPANS: Final = {"15m": "last 15 minutes", "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days"}
TERM_FIELDS: Final = {
    "state": "state", "task": "task", "name": "task", "worker": "worker", "queue": "queue", "from": "origin",
    "retried": "retried", "args": "args", "result": "result", "error": "error", "exception": "error", "id": "id",
    "root": "root", "text": "text", "since": "since", "until": "until",
}  # fmt: skip
ORIGINS: Final = ("here", "elsewhere")
BOOLEANS: Final = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}

_SHOWABLE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?", re.ASCII)
"""What a browser's field for a date and time can show."""
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN: Final = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)", re.ASCII | re.IGNORECASE)
_TERM: Final = re.compile(r'(?P<no>-)?(?:(?P<field>[A-Za-z]+):)?(?:"(?P<quoted>[^"]*)"?|(?P<plain>[^\s"]*))')


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: ``field`` is a value of ``TERM_FIELDS``; ``quoted`` words must stand together as typed."""

    field: str
    value: str
    negated: bool = False
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after (further down than) or before the run with this id and, where sorted, this value."""

    id: int
    value: float | None = None
    up: bool = False

    def __str__(self) -> str:
        value = "" if self.value is None else f"{self.value!r}_"
        return f"{value}{self.id}"

    @classmethod
    def parse(cls, text: str | None, up: bool) -> Cursor | None:
        """Read what ``str`` wrote; None when it makes no sense."""
        value, _, number = (text or "").rpartition("_")
        try:
            cursor = cls(int(number), float(value) if value else None, up)
        except ValueError:
            return None
        finite = cursor.value is None or math.isfinite(cursor.value)
        return cursor if finite and 0 <= cursor.id < 2**63 else None


@dataclass(frozen=True, slots=True)
class Filter:
    """Everything the address of a list says. Fields hold what was typed; ``terms`` and ``problems`` follow from it."""

    q: str = ""
    state: str = ""
    task: str = ""
    worker: str = ""
    queue: str = ""
    origin: str = ""
    retried: str = ""
    since: str = ""
    start: str = ""
    end: str = ""
    zone: str = ""
    sort: str = ""
    top: int | None = None
    cursor: Cursor | None = None
    terms: tuple[Term, ...] = field(default=(), compare=False)
    problems: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> Filter:
        """Read a filter from a query string. What cannot be understood is named in ``problems`` and left out."""
        texts: dict[str, Any] = {name: (tidy(values.get(name, "")) or "").strip() for name in _TEXTS}
        texts["q"] = (tidy(values.get("q", ""), QUERY_MAX) or "").strip()
        texts["zone"] = known_zone(texts["zone"])
        for name in ("start", "end"):
            texts[name] = _showable(texts[name], zone_of(texts["zone"]))
        if texts["sort"] not in SORTS:
            texts["sort"] = ""
        top = Cursor.parse(values.get("top"), up=False)
        cursor = Cursor.parse(values.get("before"), up=False) or Cursor.parse(values.get("after"), up=True)
        if cursor and (cursor.value is None) != (texts["sort"] == ""):
            cursor = None
        wanted = cls(**texts, top=top.id if top else None, cursor=cursor)
        terms, problems = _read(wanted)
        return replace(wanted, terms=terms, problems=problems)

    @property
    def filtered(self) -> bool:
        """Say whether anything narrows the list."""
        return any(getattr(self, name) for name in _TEXTS if name not in ("sort", "zone"))

    @property
    def dated(self) -> bool:
        """Say whether a date or a time of day is part of it, which is another one in another zone."""
        typed = [self.since, self.start, self.end, *(t.value for t in self.terms if t.field in ("since", "until"))]
        return any(text and not _SPAN.fullmatch(text) for text in typed)

    def of_any_state(self) -> Filter:
        """Return the same filter but for ``state``, the tab; what the box says of the state stays, as does the rest."""
        terms, mine = list(self.terms), Term("state", self.state, quoted=True)
        if mine in terms:
            terms.remove(mine)
        return replace(self, state="", cursor=None, terms=tuple(terms))

    def to_params(self, **changed: Any) -> dict[str, str]:
        """Return the query parameters of this filter, with some of them changed; a new filter begins at its top."""
        params: dict[str, Any] = {name: getattr(self, name) for name in _TEXTS}
        params["top"] = self.top
        if self.cursor:
            params["after" if self.cursor.up else "before"] = self.cursor
        return {name: str(value) for name, value in (params | changed).items() if value not in ("", None)}

    def times(self, now: float) -> tuple[float | None, float | None]:
        """Return the earliest and the latest time (seconds UTC) that is asked for, None where there is no bound."""
        zone = zone_of(self.zone)
        starts = [moment(self.since, now, zone), moment(self.start, now, zone)]
        ends = [moment(self.end, now, zone)]
        for term in self.terms:
            if term.field in ("since", "until"):
                (starts if term.field == "since" else ends).append(moment(term.value, now, zone))
        return max((at for at in starts if at), default=None), min((at for at in ends if at), default=None)


_TEXTS: Final = tuple(f.name for f in fields(Filter) if f.type == "str")


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name, UTC where there is none of that name."""
    return ZoneInfo(name) if known_zone(name) else UTC


def known_zone(name: str) -> str:
    """Return the name of a time zone, nothing where there is none of that name."""
    try:
        return name if name and ZoneInfo(name) else ""
    except (ValueError, OSError, KeyError):
        return ""


def _showable(text: str, zone: tzinfo) -> str:
    """Return a time as its field can show it; one that the field left out would be gone at the next change there."""
    at = None if not text or _SHOWABLE.fullmatch(text) else moment(text, datetime.now(UTC).timestamp(), zone)
    if at is None:
        return text
    try:
        return datetime.fromtimestamp(at, zone).replace(tzinfo=None).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return text


def moment(text: str, now: float, zone: tzinfo) -> float | None:
    """Return ``2h`` as the time two hours ago, ``2026-11-23`` or ``2026-11-23T10:00`` as that time in the zone.

    None for anything else.
    """
    span = _SPAN.fullmatch(text)
    if span:
        return now - int(span[1]) * _SECONDS[span[2].lower()]
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def split(text: str) -> list[Term]:
    """Return the terms of what was typed; a word before a colon that is no field is part of the text."""
    terms = []
    for found in _TERM.finditer(text):
        if not found[0].strip("-"):
            continue
        name, value = found["field"], found["quoted"] if found["quoted"] is not None else found["plain"]
        # Phones begin with a capital letter.
        known = TERM_FIELDS.get(name.lower()) if name else "text"
        if known is None:
            known, value = "text", f"{name}:{value}"
        terms.append(Term(known, value, bool(found["no"]), found["quoted"] is not None))
    return terms


def _read(wanted: Filter) -> tuple[tuple[Term, ...], tuple[tuple[str, str], ...]]:
    """Return the terms of the box and of the fields beside it, and what is wrong with which field."""
    typed = split(wanted.q)
    problems = []
    if len(typed) > TERMS_MAX:
        problems.append(("q", f"Only the first {TERMS_MAX} conditions were used."))
    terms = []
    for term in typed[:TERMS_MAX]:
        problem = _problem(term)
        if problem:
            problems.append(("q", problem))
        else:
            terms.append(term)
    for name in ("state", "task", "worker", "queue", "origin", "retried"):
        value = getattr(wanted, name)
        if value:
            term = Term(name, value, quoted=True)
            if _problem(term):
                problems.append((name, _problem(term)))
            else:
                terms.append(term)
    for name in ("since", "start", "end"):
        value = getattr(wanted, name)
        if value and moment(value, 0.0, UTC) is None:
            problems.append((name, f"{value!r} is not a time. {TIME_HELP}"))
    start, end = replace(wanted, terms=tuple(terms)).times(datetime.now(UTC).timestamp())
    if start and end and start > end:
        problems.append(("end", "This ends before it begins, so nothing can fit."))
    return tuple(terms), tuple(problems)


TIME_HELP: Final = "Write a span such as 15m, 2h or 7d, or a time such as 2026-11-23 or 2026-11-23T10:00."


def _problem(term: Term) -> str:
    spelled = f"{term.field}:{term.value}"
    if not term.value:
        return (
            f"{spelled} has nothing after the colon."
            if term.field != "text"
            else "There is nothing between the quotes."
        )
    if term.field in ("since", "until"):
        if term.negated:
            return f"-{spelled} cannot be turned round; use {'until' if term.field == 'since' else 'since'}: instead."
        return "" if moment(term.value, 0.0, UTC) is not None else f"{spelled} is not a time. {TIME_HELP}"
    if term.field == "id" and term.negated:
        return f"-{spelled} cannot be turned round; leave it out to see all runs."
    if term.field == "origin" and term.value not in ORIGINS:
        return f"from:{term.value} is not known; it is from:here or from:elsewhere."
    if term.field == "retried" and term.value.lower() not in BOOLEANS:
        return f"{spelled} is not known; it is retried:yes or retried:no."
    return ""
