"""A Celery app of somebody else's, who knows nothing of Vase: every execution of a task is a line of a side file."""

import json
import os
import time

from celery import Celery, chain, chord, group
from celery.exceptions import Ignore

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND", os.environ["BROKER"]))
app.conf.update(json.loads(os.environ.get("CONF", "{}")))


def note(task, *args):
    """Write down that a task has begun; one write of a short line is never torn."""
    line = json.dumps({"task_id": task.request.id, "name": task.name, "args": args, "pid": os.getpid()})
    with open(os.environ["SIDE"], "a") as side:
        side.write(line + "\n")


@app.task(bind=True)
def work(self, number, seconds=0.0):
    note(self, number)
    time.sleep(seconds)
    return number


@app.task(bind=True, acks_late=True)
def late(self, number, seconds=0.0):
    """Acknowledged when it is done, so that it is delivered again should its worker die."""
    note(self, number)
    time.sleep(seconds)
    return number


@app.task(bind=True, acks_late=True)
def compute(self, number, seconds):
    """Lets nothing else run in its thread: no other greenlet, no heartbeat of a solo pool."""
    note(self, number)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))
    return number


@app.task(bind=True, acks_late=True)
def hold(self, number):
    """Lets no other thread run for some ten seconds, as a long call into C does."""
    note(self, number)
    return sum(range(400_000_000)) and number


@app.task(bind=True, ignore_result=True)
def forgotten(self, number, seconds=0.0):
    note(self, number)
    time.sleep(seconds)


@app.task(bind=True, max_retries=3)
def flaky(self, number, seconds):
    note(self, number, self.request.retries)
    if self.request.retries < 2:
        raise self.retry(countdown=seconds)
    return number


@app.task(bind=True, max_retries=1)
def slow_at_last(self, number, seconds):
    note(self, number, self.request.retries)
    if not self.request.retries:
        raise self.retry(countdown=1)
    time.sleep(seconds)
    return number


@app.task(bind=True)
def skips(self, number):
    note(self, number)
    self.update_state(state="SKIPPED", meta={"why": "duplicate"})
    raise Ignore


@app.task(bind=True)
def ignores(self, number):
    note(self, number)
    raise Ignore


@app.task(bind=True)
def replaces(self, number):
    note(self, number)
    raise self.replace(work.s(number + 100))


@app.task(bind=True)
def total(self, numbers):
    note(self, sorted(numbers))
    return sum(numbers)


@app.task(bind=True)
def plus_one(self, number):
    note(self, number)
    return number + 1


def a_chain(number):
    return chain(plus_one.s(number), plus_one.s(), plus_one.s()).apply_async()


def a_chord(*numbers):
    return chord(group(plus_one.s(number) for number in numbers))(total.s())
