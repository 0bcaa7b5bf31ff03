"""Gives a run's message back to its queue because a person says so, who may know what no machine can prove."""

from __future__ import annotations

import time

from flask import Flask
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy import select, update

from webapp import formatting
from webapp.broker.redis import give_back, waiting
from webapp.celery_app import publisher_of
from webapp.errors import ActionNotAllowedError, BrokerError
from webapp.extensions import db
from webapp.history.queries import bump, runs
from webapp.runs.actions import may_give_back
from webapp.text import one_line


def give_back_by_hand(app: Flask, task_id: str) -> None:
    """Put the message of a doubted run back into its queue, although its worker may live.

    Raises ``ActionNotAllowedError``, with the reason in words, where there is no such message, and ``BrokerError``.
    """
    mine = runs.c.task_id == task_id
    with db.engine.connect() as connection:
        row = connection.execute(select(runs.c.state, runs.c.doubt).where(mine)).one_or_none()
    if row is None or not may_give_back(row.state, row.doubt):
        raise ActionNotAllowedError("Only the message of a run can be given back whose worker is probably gone.")
    try:
        tag = waiting(publisher_of(app), ()).unacked.get(task_id)
        if tag is None:
            raise ActionNotAllowedError("No worker holds a message of this run any more.")
        if not give_back(publisher_of(app), [tag], again=True):
            raise ActionNotAllowedError(
                "Which queue the message belongs to cannot be told, so it was left where it is."
            )
    except (KombuError, RedisError, OSError) as fault:
        raise BrokerError(one_line(fault)) from fault
    at = formatting.exact_time(time.time())
    said = f"Its message was given back to its queue by hand at {at}; whoever takes it runs it."
    with db.engine.begin() as connection:
        connection.execute(
            update(runs).where(mine, runs.c.state == row.state).values(doubt=said, changed=bump(connection))
        )
