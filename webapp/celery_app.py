"""Builds the Celery instance from the Flask app's config, and the bare producer that the web publishes with."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celery import Celery, Task, signals
from celery.app.defaults import DEFAULTS

from webapp.broker.amqp import CONFIRM_TIMEOUT
from webapp.config import CELERY_PREFIX
from webapp.runs.arguments import check_arguments
from webapp.services import provide, services_of
from webapp.worker.describe import schema_of
from webapp.worker.events import LIMIT_OPTION, StreamEvents
from webapp.worker.lease import hold

if TYPE_CHECKING:
    from flask import Flask

NAME = "webapp"
PUBLISH_TIMEOUT = 1.0
"""Seconds that connecting to, or reading from, a silent broker may take while a person waits."""


def addresses_of(celery: Celery) -> dict[str, Any]:
    """Return the settings that follow from somebody's own Celery instance."""
    return {
        "CELERY_BROKER_URL": celery.conf.broker_url,
        "CELERY_RESULT_BACKEND": celery.conf.result_backend or "disabled://",
    }


def init_celery(app: Flask, given: Celery | None = None) -> Celery:
    """Build, register and return the Celery instance of a Flask app, or register the one that is given.

    ``app.extensions["celery"]`` is the ordinary instance, as in Flask's documentation. The publisher of the services
    publishes the same messages without a result backend, which halves the cost of a publish and lets it fail within
    seconds.
    """
    describe_tasks()
    if given is not None:
        app.extensions["celery"] = given
        publisher = _publisher()
        # By their names of today: a Django site has them under others besides, which must not be mixed.
        settings = {name: given.conf[name] for name, default in DEFAULTS.items() if given.conf[name] != default}
        publisher.conf.update(settings)
        provide(app, given, _hasty(publisher))
        return given

    class ContextTask(Task):  # type: ignore[misc]  # Celery carries no type hints
        """Runs inside an app context, refuses arguments that would harm a worker, and hears of cancels it missed."""

        Request = "webapp.worker.request:CancellableRequest"

        # A task may have a parameter called self, which is then given by name.
        def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return self.run(*args, **kwargs)

        def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
            check_arguments(args, kwargs)
            return super().apply_async(args, kwargs, *rest, **options)

    celery = Celery(NAME, task_cls=ContextTask, events=StreamEvents)
    celery.config_from_object(_options(app))
    celery.conf[LIMIT_OPTION] = app.config["STREAM_MAX_MESSAGES"]
    # A Celery app is otherwise current only in the thread that made it, and shared_task in a request's
    # thread would find another one without a broker.
    celery.set_default()
    celery.loader.import_default_modules()
    app.extensions["celery"] = celery
    publisher = _publisher()
    publisher.config_from_object(_options(app))
    provide(app, celery, _hasty(publisher))
    signals.worker_init.connect(hold, weak=False)
    signals.worker_process_init.connect(_forget_connections(app), weak=False)
    return celery


def describe_tasks() -> None:
    """Let workers of this process tell how their tasks are called, whichever Celery app these belong to.

    Call it where a Celery app is made that knows nothing else of the dashboard. It costs nothing until a worker is
    asked, by ``inspect registered``, which is told every task's attribute ``vase_schema``.
    """
    # Classes of tasks need not be derived from ours, so all tasks have it.
    Task.vase_schema = property(_told)


@cache
def _told(task: Task) -> str:
    """Return how a task is called, which ``inspect registered`` tells whoever asks for ``vase_schema``."""
    return json.dumps(schema_of(task.run))


def _options(app: Flask) -> dict[str, Any]:
    """Return Celery's options by its own names: what it shows to whoever asks, it masks by them."""
    named = {name.removeprefix(CELERY_PREFIX): value for name, value in app.config.items() if name[:7] == CELERY_PREFIX}
    return {name.lower(): value for name, value in named.items()}


def _publisher() -> Celery:
    publisher = Celery(NAME, set_as_current=False)
    publisher.backend_cls = "disabled://"
    return publisher


def _hasty(publisher: Celery) -> Celery:
    """Make a publisher give up within seconds; its configuration must have been read."""
    publisher.conf.task_send_sent_event = False
    publisher.conf.broker_transport_options = {
        **publisher.conf.broker_transport_options,
        "socket_timeout": PUBLISH_TIMEOUT,
        "socket_connect_timeout": PUBLISH_TIMEOUT,
        # Else kombu goes on trying to connect for six seconds.
        "max_retries": 1,
        "interval_start": 0.05,
        "connect_retries_timeout": PUBLISH_TIMEOUT,
    }
    if urlsplit(publisher.conf.broker_url or "").scheme in ("amqp", "amqps", "pyamqp"):
        # Else RabbitMQ refuses a message after it was taken for sent.
        publisher.conf.broker_transport_options["confirm_publish"] = True
        publisher.conf.broker_transport_options["read_timeout"] = CONFIRM_TIMEOUT
        publisher.conf.broker_connection_timeout = 2 * PUBLISH_TIMEOUT
    return publisher


def _forget_connections(app: Flask) -> Any:
    def dispose(**_: Any) -> None:
        # A forked pool process inherits the parent's database connections, which two must not share.
        from webapp.extensions import db

        with app.app_context():
            db.engine.dispose(close=False)

    return dispose


def is_ours(celery: Celery) -> bool:
    """Say whether a Celery instance was built here, and not given by somebody else."""
    return bool(celery.main == NAME)


def celery_of(app: Flask) -> Celery:
    """Return the Celery instance of a Flask app."""
    return services_of(app).celery


def publisher_of(app: Flask) -> Celery:
    """Return the producer of a Flask app that has no result backend and gives up within seconds."""
    return services_of(app).publisher
