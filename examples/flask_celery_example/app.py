"""A Flask site with Celery, as Flask's documentation shows it, that mounts the dashboard into itself."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

from celery import Celery, Task, shared_task
from flask import Flask


def celery_init_app(app: Flask) -> Celery:
    """Build the site's own Celery app."""

    class FlaskTask(Task):  # type: ignore[misc]  # Celery carries no type hints
        """Runs inside an app context."""

        def __call__(self, *args: object, **kwargs: object) -> Any:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


@shared_task  # type: ignore[untyped-decorator]  # Celery carries no type hints
def price(amount: int, each: Decimal = Decimal("9.90")) -> str:
    """Return what so many things cost.

    Args:
        amount: How many.
        each: The price of one.
    """
    return str(amount * each)


def create_site() -> Flask:
    """Build the site, whose front page is its own."""
    site = Flask(__name__)
    broker = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
    site.config["CELERY"] = {"broker_url": broker, "result_backend": broker, "task_track_started": True}
    celery_init_app(site)

    @site.get("/")
    def front() -> str:
        return "This is the site itself."

    return site


app = create_site()
celery = app.extensions["celery"]

# The three lines that mount the dashboard.
from werkzeug.middleware.dispatcher import DispatcherMiddleware  # noqa: E402

from webapp import create_app  # noqa: E402

app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/celery": create_app(celery=celery)})  # type: ignore[method-assign]
