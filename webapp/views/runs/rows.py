"""The lines of the list as HTML, each rendered once for each version of its run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Flask, current_app
from markupsafe import Markup
from sqlalchemy import Connection

from webapp.history import queries
from webapp.search.finder import Key
from webapp.views.runs import presenters

KEPT: Final = 4000
"""Lines kept by each process, about a kilobyte each."""

_Key = tuple[str, int, int]


def init_app(app: Flask) -> None:
    """Give the app its store of lines."""
    app.extensions["ledger"] = {}


def lines(connection: Connection, keys: Sequence[Key], base: str) -> list[Markup]:
    """Return the lines of runs, given by their keys, in the same order.

    A run that has not changed since it was last rendered is not even read. ``base`` is the site's root.
    """
    kept: dict[_Key, Markup] = current_app.extensions["ledger"]
    wanted = [(base, row.id, row.changed) for row in keys]
    found = {key: line for key in wanted if (line := kept.get(key)) is not None}
    missing = [key[1] for key in wanted if key not in found]
    if missing:
        draw = current_app.jinja_env.get_template("_macros.html").module.line  # type: ignore[attr-defined]
        for row in queries.listed(connection, missing):
            line = draw(presenters.listed(row), base)
            found[base, row.id, row.changed] = kept[base, row.id, row.changed] = line
        for key in list(kept)[: max(len(kept) - KEPT, 0)]:
            kept.pop(key, None)
    # A run that changed between the two queries is shown as it is now; the next poll sees its new version.
    latest = {row_id: line for (_, row_id, _), line in found.items()}
    return [found.get(key) or latest.get(key[1], Markup()) for key in wanted]
