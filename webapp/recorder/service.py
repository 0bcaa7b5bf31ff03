"""Runs a recorder: one thread hears pub/sub, one reads the stream, one sends what waits, one asks workers, one judges
what fell silent, one looks after live runs, and the heartbeat has one of its own."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from celery import Celery
from flask import Flask
from sqlalchemy import Engine, event

from webapp.broker.control import FAULTS, forget_replies
from webapp.celery_app import celery_of, publisher_of
from webapp.extensions import db
from webapp.recorder.errors import DATABASE_AWAY, complain, why
from webapp.recorder.health import keepalive
from webapp.recorder.heartbeat import deregister, expect_known
from webapp.recorder.jobs import work
from webapp.recorder.news import Bell
from webapp.recorder.pubsub import EventRecorder
from webapp.recorder.replies import StillClock
from webapp.recorder.scheduler import Scheduler
from webapp.recorder.stream import StreamRecorder

log = logging.getLogger(__name__)

SOCKET_TIMEOUT: Final = 2.0
"""Seconds that reading a result may take; a hung Redis must not hold the recorder for Celery's two minutes."""
BROKER_TIMEOUT: Final = 5.0
"""The same for the broker, whose answer to a reader of the stream may come after a second of silence."""
RESTART: Final = 5.0
"""Seconds after which a thread that failed begins anew."""
CACHE: Final = 1000
"""Kilobytes of the database that a connection keeps in memory; the rest is read from the system's own."""
GARBAGE_AFTER: Final = 20_000
"""Objects more than before, after which Python looks for circles among the youngest; its own default is 700."""


def record(app: Flask, stopping: threading.Event) -> None:
    """Record until ``stopping`` is set. Call it inside an app context."""
    # What lives now lives to the end, and facts about runs hold no circles: looking for some would be a tenth of all
    # that recording costs.
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 10, 100)
    engine = db.engine
    _be_modest(engine)
    _be_impatient(celery_of(app))
    for celery in (celery_of(app), publisher_of(app)):
        celery.control.mailbox.clock = StillClock()
    bell = Bell(stopping)
    recorder = EventRecorder(app, engine, stopping, bell)
    expect_known(engine, recorder.workers)
    stream = StreamRecorder(app, engine, stopping, recorder.held)
    upkeep = Scheduler(app, engine, recorder, stream)
    # The first heartbeat says how the broker is.
    upkeep.asking[0].turn()
    runs: dict[str, Callable[[], None]] = {"news": partial(bell.watch, engine), "stream": stream.run}
    runs |= {name: partial(work, jobs, bell, stopping) for name, jobs in upkeep.threads().items()}
    threads = [
        threading.Thread(target=_inside, args=(app, run, stopping), name=name, daemon=True)
        for name, run in runs.items()
    ]
    for thread in threads:
        thread.start()
    try:
        recorder.run()
    finally:
        stopping.set()
        bell.ring()
        stream.interrupt()
        for thread in threads:
            thread.join(timeout=5)
        _leave_nothing(app)
        try:
            deregister(engine)
        except DATABASE_AWAY as fault:
            log.warning("The database is away: %s", why(fault))


def _leave_nothing(app: Flask) -> None:
    try:
        forget_replies(publisher_of(app), late=0.0)
    except FAULTS as fault:
        log.debug("The broker is away: %s", fault)


def _be_modest(engine: Engine) -> None:
    """Let each connection keep a small part of the database in memory: every thread has one, which fills in time."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA cache_size=-{CACHE}"))
        engine.dispose()


def _be_impatient(celery: Celery) -> None:
    """Let no connection wait for ever for a Redis that hangs, or whose machine has vanished."""
    celery.conf.update(redis_socket_timeout=SOCKET_TIMEOUT, redis_socket_connect_timeout=SOCKET_TIMEOUT)
    celery.conf.broker_transport_options = {
        "socket_timeout": BROKER_TIMEOUT,
        "socket_connect_timeout": SOCKET_TIMEOUT,
        **keepalive(),
        **celery.conf.broker_transport_options,
    }


def _inside(app: Flask, run: Callable[[], None], stopping: threading.Event) -> None:
    # An app context belongs to one thread, so each needs its own.
    with app.app_context():
        while not stopping.is_set():
            try:
                run()
                return
            except Exception as fault:  # noqa: BLE001
                complain(log, fault)
                stopping.wait(RESTART)
