"""Vase: a lightweight web dashboard for Celery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the Flask app and, from its config, the Celery instance in ``app.extensions["celery"]``.

    ``config`` overrides the environment, which overrides the defaults of ``webapp.config.SETTINGS``. Raises
    ``SettingError`` when a value cannot be used. Imports stand inside because importing any submodule runs
    this file first.
    """
    from pathlib import Path

    from flask import Flask

    from webapp import cli, extensions, security
    from webapp.celery_app import init_celery
    from webapp.config import load_settings
    from webapp.views import register_views

    root = Path(__file__).resolve().parent.parent
    settings = load_settings(root, config or {})
    app = Flask(
        "webapp",
        instance_path=settings["INSTANCE_PATH"],
        template_folder=str(root / "templates"),
        static_folder=str(root / "static"),
    )
    app.config.update(settings)
    extensions.init_app(app)
    init_celery(app)
    security.init_app(app)
    register_views(app)
    cli.init_app(app)
    return app
