"""The live region of the list: what it shows, and the version that tells whether it changed."""

from __future__ import annotations

import time
import zlib
from typing import Any
from urllib.parse import urlencode

from flask import current_app, request, url_for
from markupsafe import Markup
from sqlalchemy import Connection

from webapp import formatting
from webapp.errors import SearchTimeoutError
from webapp.history.queries import SystemStatus
from webapp.runs.states import GROUPS, LIVE, look
from webapp.search import counts, pages
from webapp.search.counts import COUNT_CAP
from webapp.search.pages import NEW_CAP, Page
from webapp.search.planner import SearchPlan, build_plan
from webapp.search.query import Filter
from webapp.search.timeout import time_limit
from webapp.views import cache
from webapp.views.numbers import ids
from webapp.views.runs import rows


def stamp(around: SystemStatus) -> str:
    """Return what makes an unchanged poll cheap: equal stamps mean that nothing at all has changed."""
    return f"{around.version}{'r' if around.recorder_ok else 's'}"


def version_of(last: str) -> int:
    """Return the version in what a page says it has seen, 0 when that makes no sense."""
    digits = last.partition("-")[0][:-1]
    return next(iter(ids([digits])), 0)


def list_region(connection: Connection, wanted: Filter, around: SystemStatus) -> dict[str, Any]:
    """Return the template's context of the list.

    A page that is shown first fixes its ``top``: what comes later is counted, not pushed in above the rows that a
    person is looking at. A search that takes too long is stopped and says so.
    """
    base = url_for("pages.index")
    too_slow = ""
    found, totals, fresh, top = Page(), dict.fromkeys(range(4), (0, False)), 0, wanted.top
    plan = SearchPlan()
    try:
        with time_limit(connection, current_app.config["QUERY_SECONDS"]):
            plan = build_plan(connection, wanted, time.time())
            found = pages.fetch_page(connection, wanted, plan=plan)
            totals = counts.counts(connection, wanted, cache.capped_phases(wanted), plan, found.live)
            cache.note_capped_phases(wanted, totals)
            if top is None and not wanted.cursor and found.keys:
                top = pages.newest_id(connection)
            elif top is not None and not wanted.cursor:
                fresh = pages.newer_than(connection, wanted, top)
    except SearchTimeoutError as fault:
        too_slow = str(fault)
    seen = _checksum(around, found, totals, fresh)
    live = any(key.phase == LIVE for key in found.keys) or (not wanted.cursor and totals[LIVE][0] > 0)
    fixed = wanted.to_params(top=top)
    lines = rows.lines(connection, found.keys, base)
    return {
        "around": around,
        "wanted": wanted,
        "lines": Markup("".join(lines)),  # noqa: S704  # each was escaped when drawn
        "tabs": _tabs(wanted, totals, base),
        "older": _place(base, wanted, top, "before", found.older),
        "newer": _place(base, wanted, top, "after", found.newer),
        "newest": _link(base, wanted.to_params(before="", after="", top="")) if wanted.cursor else None,
        "fresh": _fresh(fresh),
        "fresh_link": _link(base, wanted.to_params(top="")),
        "window": found.window,
        "too_slow": too_slow,
        "unknown": plan.problems,
        "live": live,
        "poll": _link(url_for("fragments.runs"), {**fixed, "v": f"{stamp(around)}-{seen}"}),
        "checksum": seen,
        "news": url_for("changes.stream", since=stamp(around)) if can_wait() else "",
        "base": base,
        "fixed": list(wanted.to_params(before="", after="", sort="").items()),
        "matching": _matching(wanted, plan, totals),
        "downloads": [(kind, _link(url_for(f"downloads.{kind}"), _whole(wanted))) for kind in ("csv", "jsonl")],
    }


def can_wait() -> bool:
    """Say whether an open answer leaves a thread for others; where it does not, pages ask from time to time instead."""
    return bool(request.environ.get("wsgi.multithread")) and current_app.config["WEB_THREADS"] > 1


def _checksum(around: SystemStatus, found: Page, totals: dict[int, tuple[int, bool]], fresh: int) -> str:
    """Return a checksum of what a list shows: which runs in which version, the counts and the state of the parts."""
    shown = [(key.id, key.changed) for key in found.keys]
    vitals = (around.recorder_ok, around.broker_ok, around.workers, around.dead_letters, around.gaps)
    return f"{zlib.crc32(repr((shown, found.window, vitals, totals, fresh)).encode()):x}"


def _whole(wanted: Filter) -> dict[str, str]:
    return wanted.to_params(before="", after="", top="", sort="")


def _matching(wanted: Filter, plan: SearchPlan, totals: dict[int, tuple[int, bool]]) -> str:
    """Return how many runs the filter finds, as far as they were counted."""
    if wanted.state and wanted.state.lower() not in GROUPS:
        return ""
    found = [totals[number] for number in plan.phases]
    return formatting.count(sum(number for number, _ in found), any(more for _, more in found))


def _fresh(number: int) -> str:
    return f"{NEW_CAP}+ new" if number > NEW_CAP else f"{number} new" if number else ""


def _place(base: str, wanted: Filter, top: int | None, name: str, cursor: Any) -> str | None:
    """Return the address of a neighbouring page."""
    if cursor is None:
        return None
    return _link(base, wanted.to_params(**({"before": "", "after": "", "top": top} | {name: cursor})))


def _link(base: str, params: dict[str, Any]) -> str:
    """Return the address of the list with a filter; a tenth of the cost of ``url_for``, of which a list has many."""
    return f"{base}?{urlencode(params)}" if params else base


def _tabs(wanted: Filter, totals: dict[int, tuple[int, bool]], base: str) -> list[dict[str, Any]]:
    """Return the state filters with their counts, and the state asked for when it has no tab of its own."""
    whole = sum(number for number, _ in totals.values())
    every = (min(whole, COUNT_CAP), whole > COUNT_CAP or any(more for _, more in totals.values()))
    tabs = [("", "All", formatting.count(*every))]
    tabs += [(group, label, formatting.count(*totals[number])) for group, (number, label) in GROUPS.items()]
    if wanted.state and wanted.state not in GROUPS:
        tabs.append((wanted.state, look(wanted.state).label, ""))
    return [
        {
            "label": label,
            "count": count,
            "here": wanted.state == group,
            "link": _link(base, wanted.to_params(state=group, before="", after="", top="")),
        }
        for group, label, count in tabs
    ]
