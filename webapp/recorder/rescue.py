"""Gives back to their queues the messages that a worker of ours had taken and not acknowledged when it ended.

Only what is proved is given back: the worker itself said that it took this very message, nobody has given it back
since, and no process of that worker lives. Nothing of anybody else's worker is ever given back here; Redis does that
after its visibility timeout, an hour by default, and so does whoever presses the button on a run's page.
"""

from __future__ import annotations

import logging

from celery import Celery

from webapp.broker.redis import give_back
from webapp.recorder.deliveries import Deliveries
from webapp.recorder.worker_registry import Ended
from webapp.worker.lease import has_ended

log = logging.getLogger(__name__)


def rescue(celery: Celery, held: Deliveries, ended: Ended) -> int:
    """Return how many messages of a worker went back to their queues; raises what the broker's driver raises.

    The proof is asked for once more, here, where it counts.
    """
    if not has_ended(ended.lease):
        return 0
    tags = {taken.tag: task_id for task_id, taken in held.by(ended.lease.token).items() if taken.tag}
    given = give_back(celery, tags)
    for tag in given:
        held.taken.pop(tags[tag], None)
    if given:
        log.warning("Worker %s has ended; %d of its messages went back to their queues.", ended.hostname, len(given))
    return len(given)
