"""Completes what is typed into the search box: names of fields, and the values that runs have had."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from webapp import fmt
from webapp.filters import ORIGINS, QUERY_MAX, SPANS, TERM_FIELDS
from webapp.known import known_values
from webapp.states import GROUPS, STATES

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
    typed = typed[:QUERY_MAX]
    before, space, last = typed.rpartition(" ")
    minus = "-" if last.startswith("-") else ""
    name, colon, value = last.removeprefix("-").partition(":")
    if not colon:
        found = [f"{hint}:" for hint in HINTS if name and hint.startswith(name.lower())]
    else:
        wanted = value.lower()
        values = _values(connection, TERM_FIELDS.get(name, ""))
        found = [f"{name}:{one}" for one in values if one.lower().startswith(wanted) and one.lower() != wanted]
        found += [f"{name}:{one}" for one in values if wanted in one.lower() and not one.lower().startswith(wanted)]
    return [(f"{before}{space}{minus}{one}", one) for one in found[:OPTIONS_MAX]]


def _values(connection: Connection, field: str) -> list[str]:
    if field == "state":
        known = known_values(connection, "state")
        return [*GROUPS, *sorted({state.lower() for state in (*STATES, *known)} - set(GROUPS))]
    if field == "task":
        names = known_values(connection, "task")
        return sorted({fmt.short_name(name) for name in names}) + names
    if field in ("worker", "queue"):
        return known_values(connection, field)
    fixed = {"origin": ORIGINS, "retried": ("yes", "no"), "since": tuple(SPANS), "until": tuple(SPANS)}
    return list(fixed.get(field, ()))
