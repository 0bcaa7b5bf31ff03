"""The same task that Vase ships, by other people."""

import os
import time

from celery import shared_task


@shared_task
def divide(x: float, y: float) -> float:
    """Wait a little, then divide x by y."""
    time.sleep(float(os.environ.get("DIVIDE_SECONDS", "5")))
    return x / y
