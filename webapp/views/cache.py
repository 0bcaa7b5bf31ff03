"""What has been looked up and drawn once serves everybody who asks for it, until something changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flask import Flask, current_app, render_template

from webapp.extensions import db
from webapp.history import queries
from webapp.history.queries import SystemStatus
from webapp.search.counts import COUNT_CAP
from webapp.search.query import Filter

FRESH: Final = 0.05
"""Seconds for which the state of the environment is not asked for again, however many pages poll."""
KEPT: Final = 64
"""Regions kept by each process, some 30 KB each."""
STILL_MANY: Final = 60.0
"""Seconds for which a count that went beyond its cap is taken to do so still; only pruning could change it."""


@dataclass(slots=True)
class Region:
    """A region's template context and, once somebody needed it, its HTML."""

    context: dict[str, Any]
    html: bytes = b""

    def render(self, template: str) -> bytes:
        """Return the region's fragment."""
        self.html = self.html or render_template(template, **self.context).encode()
        return self.html


@dataclass(slots=True)
class RenderCache:
    """The process's store. Threads may do the same work twice; none waits for another."""

    environment: SystemStatus | None = None
    asked_at: float = 0.0
    regions: dict[Hashable, Region] = field(default_factory=dict)
    many: dict[Hashable, tuple[float, frozenset[int]]] = field(default_factory=dict)


def init_app(app: Flask) -> None:
    """Give the app its store."""
    app.extensions["drawn"] = RenderCache()


def system_status(at_least: int = 0) -> SystemStatus:
    """Return the state of the parts, at most ``FRESH`` seconds old and of no version before ``at_least``.

    A page that another process has already told of a newer version is thus never led back to an older one.
    """
    store: RenderCache = current_app.extensions["drawn"]
    now = time.monotonic()
    known = store.environment
    if known is None or known.version < at_least or now - store.asked_at > FRESH:
        with db.engine.connect() as connection:
            known = store.environment = queries.system_status(connection)
        store.asked_at = now
    return known


def region(key: Hashable, make: Callable[[], dict[str, Any]]) -> Region:
    """Return the region that goes by ``key``, made at most once while it is among the last ``KEPT``.

    The key must hold everything that the region depends on, the version of the table first of all.
    """
    store: RenderCache = current_app.extensions["drawn"]
    known = store.regions.get(key)
    if known is None:
        known = store.regions[key] = Region(make())
        for old in list(store.regions)[: max(len(store.regions) - KEPT, 0)]:
            store.regions.pop(old, None)
    return known


def capped_phases(wanted: Filter) -> frozenset[int]:
    """Return the phases of which a filter has lately been seen to have more runs than are counted."""
    store: RenderCache = current_app.extensions["drawn"]
    until, phases = store.many.get(_counted(wanted), (0.0, frozenset()))
    return phases if time.monotonic() < until else frozenset()


def note_capped_phases(wanted: Filter, totals: dict[int, tuple[int, bool]]) -> None:
    """Note which phases went beyond the cap."""
    store: RenderCache = current_app.extensions["drawn"]
    if not capped_phases(wanted):
        phases = frozenset(number for number, (count, more) in totals.items() if more and count == COUNT_CAP)
        store.many[_counted(wanted)] = (time.monotonic() + STILL_MANY, phases)
        for old in list(store.many)[: max(len(store.many) - KEPT, 0)]:
            store.many.pop(old, None)


def _counted(wanted: Filter) -> Hashable:
    return replace(wanted, state="", sort="", cursor=None, top=None)
