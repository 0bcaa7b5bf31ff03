"""The edge: pages, fragments, probes and the answers when something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def register_views(app: Flask) -> None:
    """Register every blueprint and error handler."""
    from webapp import fmt
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
        numbers,
        pages,
        present,
        probes,
        status,
        tasks,
    )

    app.url_map.converters["int"] = numbers.IdConverter
    for module in (pages, fragments, changes, downloads, probes, status, actions, tasks, bulk):
        app.register_blueprint(module.blueprint)
    app.jinja_env.globals["badge_of"] = present.badge_of
    app.jinja_env.filters |= {
        "run_path": present.run_path,
        "short_name": fmt.short_name,
        "duration": fmt.duration,
    }
    assets.init_app(app)
    ledger.init_app(app)
    drawn.init_app(app)
    changes.init_app(app)
    downloads.init_app(app)
    faults.init_app(app)
