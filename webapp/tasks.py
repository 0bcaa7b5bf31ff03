"""The tasks that Vase ships: one that divides, one that shows progress, one that fails and tries again."""

from __future__ import annotations

import random
import time
from typing import Any

from celery import Task, shared_task
from flask import current_app


@shared_task(acks_late=True)  # type: ignore[untyped-decorator]  # Celery carries no type hints
def divide(x: float, y: float) -> float:
    """Wait ``DIVIDE_SECONDS``, then divide x by y."""
    time.sleep(current_app.config["DIVIDE_SECONDS"])
    return x / y


@shared_task(bind=True, acks_late=True)  # type: ignore[untyped-decorator]
def divide_many(self: Task, pairs: list[list[float]], seconds: float = 1.0) -> list[float]:
    """Divide each pair of a list, ``seconds`` apart, and report how far it is."""
    quotients = []
    for current, (x, y) in enumerate(pairs):
        self.update_state(state="PROGRESS", meta={"current": current, "total": len(pairs)})
        time.sleep(seconds)
        quotients.append(x / y)
    self.update_state(state="PROGRESS", meta={"current": len(pairs), "total": len(pairs)})
    return quotients


@shared_task(  # type: ignore[untyped-decorator]
    bind=True,
    acks_late=True,
    autoretry_for=(ConnectionError,),
    retry_backoff=1,
    retry_backoff_max=30,
    retry_jitter=True,
    max_retries=5,
)
def unreliable_divide(self: Task, x: float, y: float, chance: float = 0.5) -> dict[str, Any]:
    """Divide x by y over a line that fails with the given chance, and try again with growing pauses."""
    if random.random() < chance:  # noqa: S311  # nothing secret hangs on it
        raise ConnectionError(f"The line dropped on attempt {self.request.retries + 1}")
    return {"quotient": x / y, "attempts": self.request.retries + 1}
