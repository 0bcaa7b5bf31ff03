"""Tells an idle page that something has changed, so that it need not ask: one open answer, no polling."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Final

from flask import Blueprint, Response, current_app, request, stream_with_context
from sqlalchemy.exc import SQLAlchemyError

from webapp.extensions import db
from webapp.history import queries
from webapp.services import services_of
from webapp.views import cache
from webapp.views.errors import told
from webapp.views.runs import list as runs_list

blueprint = Blueprint("changes", __name__)

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.5
SPEAK_EVERY: Final = 5.0
"""Seconds between signs of life; only by writing does the server notice that a reader has gone."""
LAST: Final = 50.0
"""Seconds after which the browser is left to connect anew, so that a restart need not wait for it."""


@blueprint.get("/changes")
def stream() -> Response:
    """Answer server-sent events: one named ``change`` as soon as the stamp is not ``since``, then end.

    Each open answer holds a thread, so half of them stay free; when no place is left, 204 tells the browser to stop
    asking, and the page asks for itself every few seconds instead.
    """
    places = services_of(current_app).viewers
    if not (runs_list.can_wait() and places.acquire(blocking=False)):
        return Response(status=204)
    answer = Response(stream_with_context(_events(request.args.get("since", ""))), mimetype="text/event-stream")
    answer.call_on_close(places.release)
    return answer


def _events(since: str) -> Iterator[str]:
    end = time.monotonic() + LAST
    spoken = 0.0
    engine = db.engine
    while (now := time.monotonic()) < end:
        try:
            with engine.connect() as connection:
                stamp = runs_list.stamp(queries.system_status(connection))
        except SQLAlchemyError as fault:
            # The browser connects anew by itself, as it does when the server goes away.
            log.error("The database failed: %s", told(fault))
            return
        if stamp != since:
            # By then no process goes by an older look, so the page that asks at this word gets the news.
            time.sleep(cache.FRESH)
            yield f"retry: 1000\nevent: change\ndata: {stamp}\n\n"
            return
        if now - spoken > SPEAK_EVERY:
            spoken = now
            yield ": still here\n\n"
        time.sleep(LOOK_EVERY)
