"""Turns the terms of a filter into what the database and the search index are asked, in one plan for both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, Connection, Row, and_, cast, func, not_, or_, select

from webapp.history.facets import is_known, values_with
from webapp.history.index import Clause
from webapp.history.models import TaskRun
from webapp.history.tokens import (
    ARGS,
    ERROR,
    RESULT,
    begins_a_word,
    keyword_token,
    needs_recheck,
    query_tokens,
    text_tokens,
)
from webapp.runs.ids import first_id
from webapp.runs.states import FAILURE, GROUPS, LIVE, OTHER, STATES, SUCCESS, phases_of
from webapp.search.query import BOOLEANS, Filter, Term
from webapp.text import NAME_MAX

runs = TaskRun.__table__

PHASES: Final = frozenset({LIVE, SUCCESS, FAILURE, OTHER})
ID_MAX: Final = 2**63 - 1
NAMES_MAX: Final = 500
"""Most names that are parameters of their own."""
_COLUMNS: Final = {"state": runs.c.state, "task": runs.c.name, "worker": runs.c.worker, "queue": runs.c.queue}
_PLACES: Final = {"args": (ARGS,), "result": (RESULT,), "error": (ERROR,), "text": (ARGS, RESULT, ERROR)}
_TEXT_OF: Final[dict[str, Callable[[Any], str | None]]] = {
    ARGS: lambda row: f"{row.args or ''} {row.kwargs or ''}".strip(),
    RESULT: attrgetter("result"),
    ERROR: attrgetter("exception"),
}

Check = Callable[[Row[Any]], bool]


@dataclass(slots=True)
class SearchPlan:
    """What is asked: settled runs are found by ``conditions``, live ones by ``predicates`` on their rows.

    ``checks`` are what only the texts of live runs tell. ``spellings`` are what the index cannot tell of settled ones:
    that words stand together, or go on beyond the letters that are kept.
    Ids lie between ``low`` and ``high``, both exclusive. ``problems`` are what was asked for and makes no sense here.
    """

    phases: frozenset[int] = PHASES
    conditions: list[Clause] = field(default_factory=list)
    predicates: list[ColumnElement[bool]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    spellings: list[Check] = field(default_factory=list)
    low: int = -1
    high: int = ID_MAX
    task_id: str = ""
    nothing: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def by_phase(self) -> bool:
        """Say whether phases and times are all that is asked, for which the table's own indexes are enough."""
        return not (self.conditions or self.predicates or self.checks or self.task_id)

    @property
    def look(self) -> bool:
        """Say whether what the index finds must be looked at."""
        return bool(self.spellings)

    def fits(self, row: Row[Any]) -> bool:
        """Say whether the texts of a live run are what is asked for."""
        return all(check(row) for check in self.checks)

    def spelled(self, row: Row[Any]) -> bool:
        """Say the same of a settled run that the index has found."""
        return all(check(row) for check in self.spellings)


def build_plan(connection: Connection, wanted: Filter, now: float) -> SearchPlan:
    """Return the plan of a filter; names that no run has ever had mean that nothing is found.

    To leave out what no run has ever had is probably a mistake, and so a problem: all runs are found.
    """
    plan = SearchPlan()
    start, end = wanted.times(now)
    if start is not None:
        plan.low = first_id(start) - 1
    if end is not None:
        plan.high = first_id(end)
    for term in wanted.terms:
        if term.field == "state":
            _add_state(plan, connection, term)
        elif term.field in _COLUMNS:
            _add_name(plan, connection, term)
        elif term.field in ("origin", "retried"):
            _add_flag(plan, term)
        elif term.field == "id":
            # A run has one id, so two are nobody's.
            plan.nothing |= plan.task_id not in ("", term.value[:NAME_MAX])
            plan.task_id = term.value[:NAME_MAX]
        elif term.field == "root":
            plan.conditions.append(Clause(((keyword_token("root", term.value),),), term.negated, named=True))
            same = runs.c.root_id == term.value
            plan.predicates.append(or_(runs.c.root_id.is_(None), not_(same)) if term.negated else same)
        elif term.field in _PLACES:
            _add_text(plan, term)
    plan.nothing |= not plan.phases
    return plan


def _add_state(plan: SearchPlan, connection: Connection, term: Term) -> None:
    """A group narrows the phases alone; a state narrows them too, and is asked for besides."""
    phases: set[int] = set()
    states: set[str] = set()
    names = term.value.lower().split(",")
    known = {state.lower(): state for state in (*STATES, *values_with(connection, "state", names))}
    for name in names:
        if name in GROUPS:
            phases.add(GROUPS[name][0])
        else:
            states.add(known.get(name, name.upper()))
            if term.negated and name not in known:
                plan.problems.append(_left_out("state", name))
    if term.negated:
        plan.phases -= phases
    else:
        plan.phases &= phases.union(*(phases_of(state) for state in states))
    if not states:
        return
    whole = () if term.negated else tuple((keyword_token("phase", str(number)),) for number in sorted(phases))
    plan.conditions.append(
        Clause((*whole, *((keyword_token("state", state),) for state in sorted(states))), term.negated)
    )
    named = runs.c.state.in_(states)
    plan.predicates.append(not_(named) if term.negated else or_(named, runs.c.phase.in_(phases)))


def _add_name(plan: SearchPlan, connection: Connection, term: Term) -> None:
    # Between quotes it was chosen from a list, or typed as a whole; it may be the last part of another name, or have a
    # comma.
    typed = [term.value] if term.quoted else [text for text in term.value.split(",") if text]
    known = [] if term.quoted else values_with(connection, term.field, typed)
    found: set[str] = set()
    for text in typed:
        names = {text} if term.quoted and is_known(connection, term.field, text) else matching_names(known, text)
        if term.negated and not names:
            plan.problems.append(_left_out(term.field, text))
        found |= names
    if not found:
        plan.nothing |= not term.negated
        return
    names_ = sorted(found)
    plan.conditions.append(
        Clause(tuple((keyword_token(term.field, name),) for name in names_), term.negated, named=True)
    )
    column = _COLUMNS[term.field]
    named = _is_among(connection, column, names_)
    plan.predicates.append(or_(column.is_(None), not_(named)) if term.negated else named)


def _left_out(kind: str, text: str) -> str:
    return f"No run has had a {kind} {text!r}, so -{kind}:{text} leaves nothing out."


def _is_among(connection: Connection, column: ColumnElement[str], names: list[str]) -> ColumnElement[bool]:
    """Return the condition that a column has one of the names, of which there may be more than a parameter for each."""
    if len(names) <= NAMES_MAX:
        return column.in_(names)
    if connection.dialect.name == "sqlite":
        return column.in_(select(func.json_each(json.dumps(names)).table_valued("value").c.value))
    return column.in_(select(func.json_array_elements_text(cast(names, JSON))))


def matching_names(known: Iterable[str], text: str) -> set[str]:
    """Return the known names that are meant: those that are what was typed or end in it, else those that contain it."""
    known = list(known)
    exact = {name for name in known if name == text or name.rpartition(".")[2] == text or name.endswith(f"@{text}")}
    return exact or {name for name in known if text.lower() in name.lower()}


def _add_flag(plan: SearchPlan, term: Term) -> None:
    if term.field == "origin":
        yes, word, column = term.value == "here", keyword_token("origin", "here"), runs.c.publish_state.is_not(None)
    else:
        yes, word = BOOLEANS[term.value.lower()] == "yes", keyword_token("retried", "yes")
        column = or_(runs.c.retries > 0, runs.c.steps.is_not(None))
    yes ^= term.negated
    plan.conditions.append(Clause(((word,),), negated=not yes, named=True))
    plan.predicates.append(column if yes else ~column if term.field == "origin" else not_retried())


def not_retried() -> ColumnElement[bool]:
    """Return the condition that a run has not been tried again; unknown counts as not."""
    return and_(or_(runs.c.retries.is_(None), runs.c.retries == 0), runs.c.steps.is_(None))


def _add_text(plan: SearchPlan, term: Term) -> None:
    places = _PLACES[term.field]
    alternatives = tuple(tuple(query_tokens(place, term.value)) for place in places)
    has_words = bool(alternatives[0])
    look = needs_recheck(term.value) or not has_words
    if has_words and not (look and term.negated):
        plan.conditions.append(Clause(alternatives, term.negated))
    plan.checks.append(_check(places, term, by_words=has_words, by_letters=look))
    if look:
        plan.spellings.append(plan.checks[-1])


def _check(places: tuple[str, ...], term: Term, by_words: bool, by_letters: bool) -> Check:
    """Return a function that says whether what was typed is in one of a row's texts, by words, by letters or both."""
    letters = term.value.lower() if by_letters else ""
    words = {place: query_tokens(place, term.value) for place in places}

    def has(row: Row[Any]) -> bool:
        for place in places:
            text = _TEXT_OF[place](row)
            if not text:
                continue
            lower = text.lower() if by_letters else ""
            if letters not in lower:
                continue
            if not by_words or begins_a_word(letters, lower) or text_tokens(place, text).issuperset(words[place]):
                return True
        return False

    return (lambda row: not has(row)) if term.negated else has
