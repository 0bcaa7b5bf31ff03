"""Completes what is typed into the search box: names of fields, and the values that runs have had."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from webapp import formatting
from webapp.history.facets import CAP, values_with
from webapp.runs.states import GROUPS, STATES
from webapp.search.query import ORIGINS, QUERY_MAX, SPANS, TERM_FIELDS

OPTIONS_MAX: Final = 20
HINTS: Final = (
    "state",
    "task",
    "worker",
    "queue",
    "args",
    "result",
    "error",
    "since",
    "until",
    "from",
    "retried",
    "id",
)


def completions(connection: Connection, typed: str) -> list[tuple[str, str]]:
    """Return whole texts for the box, each with a label, that complete the last condition typed."""
    before, last = _last(typed[:QUERY_MAX])
    minus = "-" if last.startswith("-") else ""
    name, colon, value = last.removeprefix("-").partition(":")
    name = name.lower()
    if not colon:
        found = [f"{hint}:" for hint in HINTS if name and hint.startswith(name)]
    else:
        wanted = value.replace('"', "").lower()
        values = _values(connection, TERM_FIELDS.get(name, ""), wanted)
        begins = [one for one in values if one.lower().startswith(wanted) and one.lower() != wanted]
        holds = [one for one in values if wanted in one.lower() and not one.lower().startswith(wanted)]
        found = [f"{name}:{_quoted(one)}" for one in dict.fromkeys(begins + holds) if '"' not in one]
    return [(f"{before}{minus}{one}", one) for one in found[:OPTIONS_MAX]]


def _last(typed: str) -> tuple[str, str]:
    """Part what is typed before its last condition; a space between quotes parts nothing."""
    begin, quoted = 0, False
    for place, letter in enumerate(typed):
        quoted ^= letter == '"'
        if letter.isspace() and not quoted:
            begin = place + 1
    return typed[:begin], typed[begin:]


def _quoted(value: str) -> str:
    """Return a value as it must be typed."""
    return f'"{value}"' if _parts_it(value) else value


def _parts_it(value: str) -> bool:
    return "," in value or any(letter.isspace() for letter in value)


def _values(connection: Connection, field: str, typed: str) -> list[str]:
    if field == "state":
        known = values_with(connection, "state", [typed], CAP)
        return [*GROUPS, *sorted({state.lower() for state in (*STATES, *known)} - set(GROUPS))]
    if field == "task":
        names = values_with(connection, "task", [typed], CAP)
        # Between quotes only the whole name counts.
        return sorted({short for name in names if not _parts_it(short := formatting.short_name(name))}) + names
    if field in ("worker", "queue"):
        return values_with(connection, field, [typed], CAP)
    fixed = {"origin": ORIGINS, "retried": ("yes", "no"), "since": tuple(SPANS), "until": tuple(SPANS)}
    return list(fixed.get(field, ()))
