"""A submission is begun once by our own workers, however often its message was sent.

Whoever sends a message may be halted or killed in the middle, so that nobody knows whether it was delivered; then it is
looked for and, not found, sent again. Both may arrive. A message that a broker delivers again is another matter: it is
the same one, by its delivery tag, and is run as Celery means it.
"""

from __future__ import annotations

from typing import Any, Final

from webapp.broker.redis import is_redis, plain
from webapp.broker.redis_keys import BEGUN, keys_of_channel

HEADER: Final = "vase_submission"
"""Carries the task id of the submission. Celery hands headers on to a retry, so that is told apart by its number."""
REMEMBERED: Final = 24 * 3600
"""Seconds for which the broker remembers that a submission was taken; a copy is sent within seconds of the first."""
DROPPED: Final = "task-copy-dropped"
"""The event by which a worker tells of a copy that it dropped."""
IGNORED: Final = "task-ignored"
"""The event by which a worker of ours tells that a task raised ``Ignore``, of which Celery sends none."""


def is_copy(message: Any) -> bool:
    """Note that this worker takes a submission, and say whether another message of it was taken before.

    False where the message is none of ours and where the broker is not Redis. Raises what the broker's driver raises.
    """
    headers, channel = message.headers or {}, message.channel
    task_id = headers.get("id")
    first = not headers.get("retries") and not headers.get("replaced_task_nesting")
    if not task_id or headers.get(HEADER) != task_id or not first or not is_redis(channel):
        return False
    key, tag = keys_of_channel(channel).key(BEGUN + task_id), str(message.delivery_tag)
    pipeline = plain(channel).pipeline(transaction=False)
    pipeline.set(key, tag, nx=True, ex=REMEMBERED)
    pipeline.get(key)
    taken_by = pipeline.execute()[1]
    return taken_by is not None and _text(taken_by) != tag


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
