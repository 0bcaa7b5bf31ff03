"""The errors that say nothing about a row or a run: the other side is away, and the work is tried again."""

from __future__ import annotations

from typing import Final

from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from webapp.errors import BrokerError

DATABASE_AWAY: Final = (OperationalError, InterfaceError)
BROKER_AWAY: Final = (BrokerDown, RedisError, OSError, BrokerError)
