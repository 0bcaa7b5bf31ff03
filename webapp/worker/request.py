"""A request of Celery's workers that is dropped where it was cancelled while its worker was away, or sent twice.

Commands: ``ZCARD`` and ``ZSCORE`` for each message, while there are cancels, else once a second; those of
``submissions``.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

from celery.exceptions import Ignore
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_tasks
from redis.exceptions import NoPermissionError

from webapp.broker.redis import is_redis, plain
from webapp.broker.redis_keys import CANCELLED, keys_of_channel
from webapp.worker.lease import own, took
from webapp.worker.submissions import DROPPED, IGNORED, is_copy

log = logging.getLogger(__name__)

REPLACED: Final = "Replaced by new task"
"""With what Celery's ``Task.replace`` raises ``Ignore``."""
REFUSED: Final = 60.0
"""Seconds for which a worker that may not read the set does not try to."""
LOOKED: Final = 1.0
"""Seconds for which a worker takes the set to be as empty as it was. Who is cancelled meanwhile, it is told at once."""


class CancellableRequest(Request):  # type: ignore[misc]  # Celery carries no type hints
    """Celery's request, which is marked as revoked when it was cancelled while its worker was away."""

    _empty_until = _refused_until = 0.0
    expires: Any

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        redelivered = (message.delivery_info or {}).get("redelivered") or (message.headers or {}).get("redelivered")
        self._vase_tag = None if redelivered else str(message.delivery_tag)
        told: dict[str, Any] = {"redelivered": True} if redelivered else {"tag": self._vase_tag}
        if isinstance(group := (message.headers or {}).get("group"), str):
            told["group_id"] = group
        took(self.id, told)
        self._vase_copy = False
        try:
            if time.monotonic() >= CancellableRequest._refused_until:
                self._vase_copy = is_copy(message)
                if self._was_cancelled(message.channel):
                    revoked_tasks.add(self.id)
        except NoPermissionError as fault:
            if not CancellableRequest._refused_until:
                log.warning("The broker's user may not read what was cancelled or sent twice: %s", fault)
            CancellableRequest._refused_until = time.monotonic() + REFUSED
        # A service to the dashboard; whatever happens to it is no concern of the task.
        except Exception as fault:  # noqa: BLE001
            log.warning("It could not be asked whether %s was cancelled or sent twice: %s", self.id, fault)
        if self._vase_copy and not self.expires:
            # Celery asks whether a message is to be dropped only where it may have expired or is revoked by its id,
            # which is that of the first copy as well.
            self.expires = datetime.max.replace(tzinfo=UTC)

    def revoked(self) -> bool:
        """Say whether the message is to be dropped, and drop it: a second copy of a submission is."""
        if not self._vase_copy:
            return bool(super().revoked())
        log.info("A second copy of %s[%s] was dropped.", self.name, self.id)
        self.acknowledge()
        self.send_event(DROPPED)
        return True

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Tell of a task that raised ``Ignore``, of which Celery sends no event; what it replaced itself by goes on."""
        done = super().on_failure(exc_info, send_failed_event, return_ok)
        fault = getattr(exc_info, "exception", None)
        fault = getattr(fault, "exc", fault)
        if isinstance(fault, Ignore) and str(fault) != REPLACED:
            self.send_event(IGNORED)
        return done

    def info(self, safe: bool = False) -> dict[str, Any]:
        """Return what a worker tells of a request, with the life that has it and the message that it came by."""
        lease = own()
        more = {"life": lease.token, "tag": self._vase_tag} if lease else {}
        return {**super().info(safe), **more}

    def _was_cancelled(self, channel: Any) -> bool:
        now = time.monotonic()
        if now < CancellableRequest._empty_until or not is_redis(channel):
            return False
        key = keys_of_channel(channel).key(CANCELLED)
        pipeline = plain(channel).pipeline(transaction=False)
        pipeline.zcard(key)
        pipeline.zscore(key, self.id)
        size, score = pipeline.execute()
        if not size:
            CancellableRequest._empty_until = now + LOOKED
        return score is not None
