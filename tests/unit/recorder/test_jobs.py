"""The recorder's threads wait: for the time of a job, or for the bell."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from flask import Flask

from tests.support import wait_until
from webapp.extensions import db
from webapp.history.queries import bump
from webapp.recorder.errors import complain
from webapp.recorder.jobs import Job, work
from webapp.recorder.news import Bell

HOUR = 3600.0


def fails() -> None:
    raise KeyError("nobody foresaw this")


def test_a_job_rests_until_its_time_and_hurries_while_it_has_more_to_do() -> None:
    answers = [True, False]
    job = Job(lambda: answers.pop(0), slow=HOUR, fast=0.0)
    job.turn()
    assert job.due_at == job.done_at
    job.turn()
    assert job.due_at == job.done_at + HOUR


def test_news_hastens_a_job_that_cares_and_no_other() -> None:
    cares, rests = Job(lambda: None, HOUR, 0.5), Job(lambda: None, HOUR)
    for job in (cares, rests):
        job.turn()
        job.hasten()
    assert cares.due_at == cares.done_at + 0.5
    assert rests.due_at == rests.done_at + HOUR


def test_a_job_that_fails_is_tried_again_ever_more_seldom() -> None:
    job = Job(fails, slow=0.1, fast=0.1)
    pauses = []
    for _ in range(8):
        job.turn()
        job.hasten()
        pauses.append(round(job.due_at - job.done_at))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_one_fault_is_logged_whole_only_once(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("test")
    for number in range(50):
        try:
            raise ValueError(number)
        except ValueError as fault:
            complain(log, fault)
    assert [record.getMessage() for record in caplog.records] == ["Unforeseen"]
    assert caplog.records[0].exc_info


def test_a_change_of_the_database_rings_the_bell_of_a_thread_that_rests(app: Flask) -> None:
    stopping, done = threading.Event(), []
    bell = Bell(stopping)
    engine = db.engine
    jobs = [Job(lambda: done.append(None), slow=HOUR, fast=0.0)]
    threads = [
        threading.Thread(target=bell.watch, args=(engine,)),
        threading.Thread(target=work, args=(jobs, bell, stopping)),
    ]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: bell.rung == 1 and len(done) >= 1, "the first look was taken")
        wait_until(lambda: jobs[0].due_at > time.monotonic() + 1, "the job rests")
        before = len(done)
        with engine.begin() as connection:
            bump(connection)
        wait_until(lambda: len(done) > before, "the job was done again")
    finally:
        stopping.set()
        bell.ring()
        for thread in threads:
            thread.join()
