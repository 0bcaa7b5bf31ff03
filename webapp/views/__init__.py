"""The edge: pages, fragments, probes and the answers when something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def register_views(app: Flask) -> None:
    """Register every blueprint and error handler."""
    from webapp import formatting
    from webapp.views import assets, bulk, errors, health, numbers, recording
    from webapp.views.runs import actions, export, fragments, live, pages, presenters
    from webapp.views.tasks import pages as tasks_pages

    app.url_map.converters["int"] = numbers.IdConverter
    for module in (pages, fragments, live, export, health, recording, actions, tasks_pages, bulk):
        app.register_blueprint(module.blueprint)
    app.jinja_env.globals["badge_of"] = presenters.badge_of
    app.jinja_env.filters |= {
        "run_path": presenters.run_path,
        "short_name": formatting.short_name,
        "duration": formatting.duration,
    }
    assets.init_app(app)
    errors.init_app(app)
