"""Vase: a lightweight web dashboard for Celery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery
    from flask import Flask


def create_app(config: Mapping[str, Any] | None = None, celery: Celery | None = None) -> Flask:
    """Build the Flask app and, from its config, the Celery instance in ``app.extensions["celery"]``.

    Given somebody's own ``celery``, the dashboard is about that one, whose configuration it follows and leaves alone;
    mounted under a prefix it lives inside any other WSGI site. ``config`` overrides the environment, which overrides
    the defaults of ``webapp.config.SETTINGS``; beside somebody's own ``celery`` the environment is the site's, and only
    variables that begin with ``VASE_`` count. Raises ``SettingError`` when a value cannot be used. Imports stand
    inside because importing any submodule runs this file first.
    """
    import os
    from pathlib import Path

    from flask import Flask

    from webapp import cli, extensions, security
    from webapp.celery_app import addresses_of, init_celery
    from webapp.config import load_settings
    from webapp.views import register_views

    root = Path(__file__).resolve().parent.parent
    # Beside somebody's own site there is no Flower of ours.
    elsewhere = {"FLOWER_URL": "none"} if celery and not os.environ.get("VASE_FLOWER_URL") else {}
    if celery and not os.environ.get("VASE_WEB_THREADS"):
        # Nobody has said how many threads its server has, so none is held by a page that waits for news.
        elsewhere["WEB_THREADS"] = "1"
    given = {**elsewhere, **(config or {}), **(addresses_of(celery) if celery else {})}
    settings = load_settings(root, given, mounted=celery is not None)
    app = Flask(
        "webapp",
        instance_path=settings["INSTANCE_PATH"],
        template_folder=str(root / "templates"),
        static_folder=str(root / "static"),
    )
    app.config.update(settings)
    extensions.init_app(app)
    init_celery(app, celery)
    security.init_app(app)
    register_views(app)
    cli.init_app(app)
    return app
