"""Runs a recorder: one thread hears and writes, the other keeps up everything around it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from flask import Flask

from webapp.celery_app import celery_of
from webapp.extensions import db
from webapp.recorder.away import DATABASE_AWAY
from webapp.recorder.hearing import EventRecorder
from webapp.recorder.signs import hostnames_online, say_goodbye
from webapp.recorder.upkeep import Upkeep

log = logging.getLogger(__name__)

SOCKET_TIMEOUT: Final = 2.0
"""Seconds that reading a result may take; a hung Redis must not hold the recorder for Celery's two minutes."""


def record(app: Flask, stopping: threading.Event) -> None:
    """Record until ``stopping`` is set. Call it inside an app context."""
    engine = db.engine
    celery_of(app).conf.update(redis_socket_timeout=SOCKET_TIMEOUT, redis_socket_connect_timeout=SOCKET_TIMEOUT)
    recorder = EventRecorder(app, engine, stopping)
    for hostname in hostnames_online(engine):
        recorder.workers.expect(hostname, time.time())
    upkeep = threading.Thread(target=_keep_up, args=(app, Upkeep(app, engine, recorder)), name="upkeep", daemon=True)
    upkeep.start()
    try:
        recorder.run()
    finally:
        stopping.set()
        upkeep.join(timeout=5)
        try:
            say_goodbye(engine)
        except DATABASE_AWAY as fault:
            log.warning("The database is away: %s", fault.orig)


def _keep_up(app: Flask, upkeep: Upkeep) -> None:
    # An app context belongs to one thread, so this one needs its own.
    with app.app_context():
        upkeep.run()
