"""Finds out that a connection on which one only listens is dead: a firewall that has forgotten it says nothing, and
connections that are new work."""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from webapp.broker.redis import is_redis
from webapp.errors import BrokerError

CHECK_SECONDS: Final = 5.0
"""Seconds between two looks."""
HEALTH_SECONDS: Final = 10
"""Seconds of silence after which the broker is asked to answer on that very connection; AMQP's heartbeat, too."""
GIVE_UP: Final = 15
"""Seconds after which the system gives up what was sent and never acknowledged."""
SILENT: Final = "the connection for events has gone silent"


def keepalive() -> dict[str, Any]:
    """Return options of kombu's transport for Redis by which the system itself finds dead connections."""
    names = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": GIVE_UP * 1000}
    options = {getattr(socket, name): value for name, value in names.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}


class Health:
    """The state of one connection, asked on that connection alone; call ``check`` often.

    ``proved_at`` is when it last proved to carry something (seconds UTC). Redis answers a PING among the events. AMQP
    has heartbeats of its own.
    """

    def __init__(self, connection: Any, channel: Any) -> None:
        self._connection = connection
        self._redis = is_redis(channel)
        self._channel = channel
        self._checked_at = time.monotonic()
        self.proved_at = time.time()

    def check(self) -> None:
        """Raise ``BrokerError``, or the driver's own error, when the connection is dead."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        if not self._redis:
            if self._connection.supports_heartbeats:
                self._connection.heartbeat_check()
            self.proved_at = time.time()
            return
        subscribed = self._channel.subclient
        if subscribed.health_check_response_counter:
            raise BrokerError(SILENT)
        # Sends a PING unless something was read in the last HEALTH_SECONDS.
        subscribed.check_health()
        if not subscribed.health_check_response_counter:
            self.proved_at = time.time()
