"""The durable way of events: workers of our app append them to a capped Redis Stream beside Celery's pub/sub.

What was appended goes out on pub/sub under a routing key that ends in ``MARK``. Flower and every other listener to all
events hear it as before; our recorder subscribes to the keys that do not end so, and Redis itself spares it the rest.

Commands, by workers of our app, for each batch of events: ``XADD``, ``XLEN``; beyond the cap ``XTRIM``, ``INCRBY``.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from celery import Celery
from celery.app.events import Events
from celery.events import EventDispatcher
from kombu.utils.json import dumps
from redis.exceptions import NoPermissionError, ResponseError

from webapp.broker.redis import is_redis, plain
from webapp.broker.redis_keys import DROPPED, STREAM, keys_of_channel
from webapp.worker.lease import own, told_of

log = logging.getLogger(__name__)

FIELD: Final = "e"
MARK: Final = "~"
UNMARKED: Final = "*[^~]"
"""The pattern of routing keys that do not end in ``MARK``, as Redis's PSUBSCRIBE understands it."""
LIMIT_OPTION: Final = "vase_stream_max"
REFUSED_SECONDS: Final = 60.0
"""Seconds for which a stream that may not be written to is left alone."""


class StreamDispatcher(EventDispatcher):  # type: ignore[misc]  # Celery carries no type hints
    """Celery's dispatcher, which also appends task events to the stream and says so in worker events."""

    durable = True
    refused_until = 0.0

    def _prepare_event(self, type: str, fields: dict[str, Any], **options: Any) -> Any:
        """Add to what a worker says of itself which process it is, and to what it took which message that was."""
        lease = own()
        if lease and type.startswith("worker-"):
            fields = {**fields, "life": lease.token, "place": lease.place}
        return super()._prepare_event(type, fields, **options)

    def send(self, type: str, **fields: Any) -> Any:
        """Send an event as Celery does; those of tasks may be kept for a moment, so what they lack is added here."""
        if type == "task-received":
            fields |= told_of(str(fields.get("uuid")))
        return super().send(type, **fields)

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> Any:
        if producer is not None and routing_key.startswith("task.") and not routing_key.endswith(MARK):
            self.durable = self._append(event, producer)
            # What the stream did not take is left to those who hear pub/sub.
            routing_key += MARK if self.durable else ""
        elif isinstance(event, dict) and routing_key.startswith("worker."):
            event["durable"] = self.durable and bool(self.app.conf.get(LIMIT_OPTION))
        return super()._publish(event, producer, routing_key, **options)

    def _append(self, event: Any, producer: Any) -> bool:
        """Append one event, or a list of them, and return whether that worked; a task must never fail by it."""
        limit = self.app.conf.get(LIMIT_OPTION)
        try:
            channel = producer.channel
            if not limit or not is_redis(channel):
                return False
            if time.monotonic() < self.refused_until:
                return False
            client, keys = plain(channel), keys_of_channel(channel)
            stream = keys.key(STREAM)
            pipeline = client.pipeline(transaction=False)
            pipeline.xadd(stream, {FIELD: dumps(event)})  # type: ignore[no-untyped-call]
            pipeline.xlen(stream)
            _, length = pipeline.execute()
            if length > limit:
                # Whole nodes of a hundred entries go at once, which costs Redis next to nothing.
                dropped = client.xtrim(stream, maxlen=limit, approximate=True)
                if dropped:
                    client.incrby(keys.key(DROPPED), dropped)
            return True
        except NoPermissionError as fault:
            if not self.refused_until:
                log.warning("The broker's user may not append to the stream; events go by pub/sub alone: %s", fault)
            self.refused_until = time.monotonic() + REFUSED_SECONDS
            return False
        # The stream is a service to the dashboard; whatever happens to it is no concern of the task.
        except Exception as fault:  # noqa: BLE001
            log.warning("An event could not be appended to the stream: %s", fault)
            return False


class StreamEvents(Events):  # type: ignore[misc]
    """What ``Celery(events=...)`` takes: the usual events, sent by the dispatcher above."""

    dispatcher_cls = StreamDispatcher


def unmarked_events(celery: Celery, channel: Any) -> str:
    """Return the routing key under which to hear the events that did not go to the stream: all, if it may not be read.

    Commands: one ``XREADGROUP``, which Redis refuses in this way or another.
    """
    patterns = is_redis(channel) and getattr(channel, "fanout_patterns", False)
    if not patterns or not celery.conf.get(LIMIT_OPTION):
        return "#"
    try:
        plain(channel).xreadgroup("nobody", "nobody", {keys_of_channel(channel).key(STREAM): ">"}, count=1)
    except NoPermissionError:
        return "#"
    except ResponseError:
        # There is no such group.
        pass
    return UNMARKED
