from __future__ import annotations
import signal, time, os, subprocess
import pytest


def test_it(experiment):
    checker = experiment("Redis out of memory for 8 s", "redis", "worker", "recorder", DOUBT_SECONDS="9")
    begun = checker.submit_many("late", 2, 3.0)
    checker.started(*begun)
    checker.submit_many("early", 4, 1.0)
    checker.redis.config_set("maxmemory-policy", "noeviction")
    checker.redis.config_set("maxmemory", 1)
    time.sleep(8)
    checker.redis.config_set("maxmemory", 0)
    time.sleep(30)
    print(checker.redis.hkeys("unacked"), checker.redis.keys("*"))
    ids = [r[0] for r in checker.stack.query("select task_id from task_runs where state in ('RECEIVED','STARTED')")]
    from webapp.celery_app import publisher_of
    from webapp.queues import waiting

    p = publisher_of(checker.app)
    print(waiting(p, {"celery"}))
    print(p.control.inspect(timeout=1).query_task(ids))
    print(p.control.inspect(timeout=1).active())
    print(p.control.inspect(timeout=1).registered("rate_limit"))
    print(checker.states())
    print(checker.stack.query("select state, worker, queue, eta, state_at, name from task_runs"), time.time())
    os.kill(checker.stack.parts["recorder"].pid, signal.SIGUSR1)
    print(checker.stack.log("recorder"))
    raise AssertionError
