"""The lines of the list as HTML, each rendered once for each version of its run."""

from __future__ import annotations

from collections.abc import Sequence

from flask import current_app
from markupsafe import Markup
from sqlalchemy import Connection

from webapp.history import queries
from webapp.search.finder import Key
from webapp.services import services_of
from webapp.views.runs import presenters


def lines(connection: Connection, keys: Sequence[Key], base: str) -> list[Markup]:
    """Return the lines of runs, given by their keys, in the same order.

    A run that has not changed since it was last rendered is not even read. ``base`` is the site's root.
    """
    cached = services_of(current_app).rendered
    wanted = [(base, row.id, row.changed) for row in keys]
    with cached.lock:
        found = {key: line for key in wanted if (line := cached.rows.get(key)) is not None}
    missing = [key[1] for key in wanted if key not in found]
    if missing:
        draw = current_app.jinja_env.get_template("_macros.html").module.line  # type: ignore[attr-defined]
        for row in queries.listed(connection, missing):
            line = draw(presenters.listed(row), base)
            found[base, row.id, row.changed] = line
        with cached.lock:
            cached.rows.update((key, found[key]) for key in found if key[1] in missing)
    # A run that changed between the two queries is shown as it is now; the next poll sees its new version.
    latest = {row_id: line for (_, row_id, _), line in found.items()}
    return [found.get(key) or latest.get(key[1], Markup()) for key in wanted]
