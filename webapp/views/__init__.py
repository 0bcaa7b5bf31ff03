"""The edge: pages, fragments, probes and the answers when something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def register_views(app: Flask) -> None:
    """Register every blueprint and error handler."""
    from webapp.views import (
        actions,
        assets,
        bulk,
        changes,
        downloads,
        drawn,
        faults,
        fragments,
        ledger,
        pages,
        probes,
        status,
        tasks,
    )

    for module in (pages, fragments, changes, downloads, probes, status, actions, tasks, bulk):
        app.register_blueprint(module.blueprint)
    assets.init_app(app)
    ledger.init_app(app)
    drawn.init_app(app)
    faults.init_app(app)
