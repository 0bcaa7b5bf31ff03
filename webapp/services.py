"""What one app shares among its threads, in one typed place: ``services_of(app)``."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from cachetools import FIFOCache, TTLCache
from celery import Celery
from flask import Flask
from markupsafe import Markup

from webapp.broker.circuit_breaker import CircuitBreaker
from webapp.history.facets import FacetRecorder
from webapp.history.queries import SystemStatus

REGIONS_MAX: Final = 64
"""Regions that are kept, some 30 KB each."""
ROWS_MAX: Final = 4000
"""Rows of lists that are kept, about a kilobyte each."""
CAPPED_SECONDS: Final = 60.0
"""Seconds for which a count that went beyond its cap is taken to do so still; only pruning could change it."""


@dataclass(slots=True)
class RenderCache:
    """What was rendered, until something changes. ``lock`` is held to look up and to keep, and for nothing else."""

    status: SystemStatus | None = None
    status_at: float = 0.0
    regions: FIFOCache[Hashable, Any] = field(default_factory=lambda: FIFOCache(REGIONS_MAX))
    rows: FIFOCache[tuple[str, int, int], Markup] = field(default_factory=lambda: FIFOCache(ROWS_MAX))
    capped: TTLCache[Hashable, frozenset[int]] = field(default_factory=lambda: TTLCache(REGIONS_MAX, CAPPED_SECONDS))
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Services:
    """The services of one app. ``publisher`` has no result backend and gives up within seconds.

    ``viewers`` are the places for open answers, ``exports`` those for downloads.
    """

    celery: Celery
    publisher: Celery
    viewers: threading.BoundedSemaphore
    exports: threading.BoundedSemaphore
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    facets: FacetRecorder = field(default_factory=FacetRecorder)
    rendered: RenderCache = field(default_factory=RenderCache)


def provide(app: Flask, celery: Celery, publisher: Celery) -> None:
    """Give an app its services.

    Whoever reads an answer slowly holds a thread, so half of a process's threads are never given to open answers, none
    where there is but one, and three quarters never to downloads. In somebody's site, whose server may have few, there
    are no places for open answers unless WEB_THREADS says how many it has.
    """
    threads = app.config["WEB_THREADS"]
    viewers, exports = threading.BoundedSemaphore(threads // 2), threading.BoundedSemaphore(max(threads // 4, 1))
    app.extensions["vase"] = Services(celery, publisher, viewers, exports)


def services_of(app: Flask) -> Services:
    """Return the services of an app."""
    return cast("Services", app.extensions["vase"])
