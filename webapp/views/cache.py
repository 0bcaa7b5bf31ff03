"""What has been looked up and drawn once serves everybody who asks for it, until something changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import current_app, render_template

from webapp.extensions import db
from webapp.history import queries
from webapp.history.queries import SystemStatus
from webapp.search.counts import COUNT_CAP
from webapp.search.query import Filter
from webapp.services import services_of

FRESH: Final = 0.05
"""Seconds for which the state of the environment is not asked for again, however many pages poll."""


@dataclass(slots=True)
class Region:
    """A region's template context and, once somebody needed it, its HTML."""

    context: dict[str, Any]
    html: bytes = b""

    def render(self, template: str) -> bytes:
        """Return the region's fragment."""
        self.html = self.html or render_template(template, **self.context).encode()
        return self.html


def system_status(at_least: int = 0) -> SystemStatus:
    """Return the state of the parts, at most ``FRESH`` seconds old and of no version before ``at_least``.

    A page that another process has already told of a newer version is thus never led back to an older one.
    """
    cached = services_of(current_app).rendered
    now = time.monotonic()
    status = cached.status
    if status is None or status.version < at_least or now - cached.status_at > FRESH:
        with db.engine.connect() as connection:
            status = cached.status = queries.system_status(connection)
        cached.status_at = now
    return status


def region(key: Hashable, make: Callable[[], dict[str, Any]]) -> Region:
    """Return the region that goes by ``key``, made at most once while it is among the last ones.

    The key must hold everything that the region depends on, the version of the table first of all.
    """
    cached = services_of(current_app).rendered
    with cached.lock:
        made: Region | None = cached.regions.get(key)
    if made is None:
        made = Region(make())
        with cached.lock:
            cached.regions[key] = made
    return made


def capped_phases(wanted: Filter) -> frozenset[int]:
    """Return the phases of which a filter has lately been seen to have more runs than are counted."""
    cached = services_of(current_app).rendered
    with cached.lock:
        return cached.capped.get(_counted(wanted), frozenset())


def note_capped_phases(wanted: Filter, totals: dict[int, tuple[int, bool]]) -> None:
    """Note which phases went beyond the cap."""
    if not capped_phases(wanted):
        cached = services_of(current_app).rendered
        with cached.lock:
            cached.capped[_counted(wanted)] = frozenset(
                phase for phase, (count, more) in totals.items() if more and count == COUNT_CAP
            )


def _counted(wanted: Filter) -> Hashable:
    return replace(wanted, state="", sort="", cursor=None, top=None)
