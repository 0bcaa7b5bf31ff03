"""What a submission costs beside Celery's own ``delay()``: a form over HTTP, a committed row and the message."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Callable
from statistics import median
from urllib.parse import urlencode

from bench.common import Figure, site
from tests.support import Stack
from webapp import create_app
from webapp.tasks import divide

COUNT = 400
WARM_UP = 30


def measure() -> Figure:
    """Alternate a POST and a ``delay()`` to the same Redis, and compare their medians."""
    with site(Stack, "redis") as stack:
        app = create_app({name: stack.settings[name] for name in ("INSTANCE_PATH", "CELERY_BROKER_URL")})
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10)
        submits, delays = [], []
        for _ in range(WARM_UP + COUNT):
            submits.append(timed(lambda: post(connection)))
            with app.app_context():
                delays.append(timed(lambda: divide.delay(1.0, 2.0)))
        connection.close()
    ours, floor = (median(times[WARM_UP:]) * 1000 for times in (submits, delays))
    return Figure("submit, POST against delay()", ours, floor, "ms", 3)


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def post(connection: http.client.HTTPConnection) -> None:
    """Send the form as a browser does, each time as a run of its own."""
    body = urlencode({"x": "1", "y": "2", "key": str(uuid.uuid4())})
    connection.request("POST", "/runs", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 303:
        raise AssertionError(f"POST /runs answered {answer.status}")
