"""The errors that say nothing about a row or a run: the other side is away, and the work is tried again."""

from __future__ import annotations

import logging
import time
import traceback
from typing import Final

from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from webapp.errors import BrokerError
from webapp.text import one_line

# PostgreSQL says InternalError where a standby takes no writes, or a connection was ended in the middle of a change.
DATABASE_AWAY: Final = (OperationalError, InterfaceError, InternalError, NoConnectionFree)
BROKER_AWAY: Final = (BrokerDown, RedisError, AMQPError, OSError, BrokerError)

SAID_AGAIN: Final = 600.0
"""Seconds after which a fault that goes on is said once more, in one line."""
SAID_MAX: Final = 1000
"""Most faults that are remembered as said."""

_said: dict[str, float] = {}


def why(fault: Exception) -> str:
    """Return in one line what the database's driver said."""
    return one_line(getattr(fault, "orig", None) or fault)


def complain(log: logging.Logger, fault: Exception) -> None:
    """Log a fault that nobody foresaw: whole for the first time, later now and then in one line."""
    frames = traceback.extract_tb(fault.__traceback__)
    last = frames[-1] if frames else None
    kind = f"{type(fault).__name__} in {last.name}, line {last.lineno}" if last else type(fault).__name__
    now, before = time.monotonic(), _said.get(kind)
    if before is not None and now - before < SAID_AGAIN:
        return
    if len(_said) >= SAID_MAX:
        _said.clear()
    _said[kind] = now
    if before is None:
        log.error("Unforeseen", exc_info=fault)
    else:
        log.error("Unforeseen, again: %s: %s", kind, one_line(fault))
