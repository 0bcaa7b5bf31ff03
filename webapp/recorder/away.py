"""The errors that say nothing about a row or a run: the other side is away, and the work is tried again."""

from __future__ import annotations

from typing import Final

from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from webapp.errors import BrokerError
from webapp.text import one_line

# PostgreSQL says InternalError where a standby takes no writes, or a connection was ended in the middle of a change.
DATABASE_AWAY: Final = (OperationalError, InterfaceError, InternalError, NoConnectionFree)
BROKER_AWAY: Final = (BrokerDown, RedisError, OSError, BrokerError)


def why(fault: Exception) -> str:
    """Return in one line what the database's driver said."""
    return one_line(getattr(fault, "orig", None) or fault)
