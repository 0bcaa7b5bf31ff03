"""Many events while the recorder is slow, away or killed: nothing within the stream's cap is lost."""

from __future__ import annotations

import json
import random
import signal
import threading
import time

import pytest

from tests.faults import events
from tests.faults.conftest import Experiment
from tests.support import wait_until
from webapp.broker.redis_keys import STREAM
from webapp.worker.events import FIELD

RUNS = 25_000
"""Runs of a flood, of four events each."""


@pytest.mark.slow
def test_a_flood_with_the_recorder_paused(experiment: Experiment) -> None:
    checker = experiment(f"{4 * RUNS:,} events, the recorder stopped for 15 s among them", "redis", "recorder")
    flood = threading.Thread(target=events.flood, args=(checker, RUNS))
    flood.start()
    time.sleep(3)
    checker.stack.send_signal("recorder", signal.SIGSTOP)
    time.sleep(15)
    checker.stack.send_signal("recorder", signal.SIGCONT)
    flood.join()
    assert checker.settle(180) == {"SUCCESS": RUNS}


@pytest.mark.slow
def test_a_flood_with_the_recorder_killed_twenty_times(experiment: Experiment) -> None:
    checker = experiment(f"{4 * RUNS:,} events, kill -9 of the recorder twenty times", "redis", "recorder")
    flood = threading.Thread(target=events.flood, args=(checker, RUNS))
    flood.start()
    for _ in range(20):
        time.sleep(random.uniform(0.1, 1.0))
        checker.stack.stop("recorder", number=signal.SIGKILL)
        checker.stack.start("recorder")
    flood.join()
    assert checker.settle(180) == {"SUCCESS": RUNS}


@pytest.mark.slow
def test_beyond_the_cap_there_is_a_gap_and_it_is_shown(experiment: Experiment) -> None:
    """What has a stored result is known all the same."""
    tried = "10,000 messages for a stream of 2,000, no recorder"
    checker = experiment(tried, "redis", "recorder", "web", STREAM_MAX_MESSAGES="2000")
    wait_until(lambda: checker.redis.exists(STREAM), "the recorder has begun to read")
    time.sleep(2.5)  # it has looked at the stream's count of what was dropped
    checker.stack.stop("recorder", number=signal.SIGKILL)
    runs = events.flood(checker, 2_500, buffered=False)
    events.store_results(checker, runs[:500])
    checker.stack.start("recorder")
    wait_until(lambda: checker.states()["SUCCESS"] >= 500 + 1_900 // 4, "what the stream and the results tell is known")
    checker.settle(beyond_cap=True)
    missing = wait_until(lambda: checker.stack.query("SELECT sum(messages) FROM vase_gaps")[0][0], "the gap is noted")
    assert 8_000 - 200 <= missing <= 8_000
    page = checker.stack.get("/")[1]
    assert "Events of some times are missing" in page
    assert 'href="/recording"' in page
    assert "The stream was full" in checker.stack.get("/recording")[1]


def test_events_shuffled_and_doubled(experiment: Experiment) -> None:
    checker = experiment("the events of 300 runs, shuffled and doubled", "redis", "recorder")
    now = time.time()
    runs = [events.run_of(number) for number in range(300)]
    for events_of_run in runs:
        for step, event in enumerate(events_of_run):
            event["timestamp"] = now - 1 + step / 10
    events.witness(checker, runs)
    told = [event for events_of_run in runs for event in events_of_run] * 2
    random.Random(1).shuffle(told)
    with events.dispatcher(checker) as sender:
        events.send(sender, told)
    assert checker.settle() == {"SUCCESS": 300}
    spans = checker.stack.query("SELECT DISTINCT started_at - sent_at, received_at - sent_at FROM vase_task_runs")
    assert all(abs(started - 0.2) < 1e-3 and abs(received - 0.1) < 1e-3 for started, received in spans)


def test_a_worker_whose_clock_is_two_hours_ahead(experiment: Experiment) -> None:
    """One of its runs ends, one has only its result to tell of its end, one falls silent."""
    checker = experiment("events of a worker whose clock is 2 h ahead", "redis", "recorder", DOUBT_SECONDS="4")
    ahead = time.time() + 7200
    runs = [events.run_of(number, timestamp=ahead) for number in range(3)]
    events.witness(checker, runs[:2])
    checker.attempted.add(runs[2][0]["uuid"])
    with events.dispatcher(checker) as sender:
        events.send(sender, runs[0] + runs[1][:3] + runs[2][:3])
    events.store_results(checker, runs[1:2])
    assert checker.settle() == {"SUCCESS": 2, "UNCERTAIN": 1}
    assert checker.stack.query("SELECT count(*) FROM vase_task_runs WHERE created_at > ?", time.time()) == [(0,)]


def test_hostile_events_among_good_ones(experiment: Experiment) -> None:
    """Some make no sense at all, others say senseless things about the good runs."""
    checker = experiment("300 malformed, huge and hostile messages among 200 good runs", "redis", "recorder")
    runs = [events.run_of(number) for number in range(200)]
    events.witness(checker, runs)
    deep = "[" * 100_000 + "]" * 100_000
    malformed = ["{", '"' + "9" * 5000 + '"', deep, "\xff\x00", "null", "[[[]]]", '{"uuid": 7}', "9" * 5000]
    hostile = [
        {"type": "task-received", "timestamp": 1e308, "clock": 2**200, "args": "x" * 3_000_000},
        {"type": "task-retried", "exception": "\x00\ud800" * 9000, "traceback": {"a": []}, "hostname": "\x00" * 999},
        {"type": "task-received", "timestamp": True, "retries": -(10**400), "name": ["<script>"], "args": {}},
        {"type": "task-started", "timestamp": "now", "eta": 7, "root_id": "r" * 9999, "hostname": None},
    ]
    with events.dispatcher(checker, buffered=False) as sender:
        for number, events_of_run in enumerate(runs):
            events.send(sender, events_of_run[:2])
            checker.redis.xadd(STREAM, {FIELD: malformed[number % len(malformed)]})
            if number % 2:
                event = hostile[number // 2 % len(hostile)] | {"uuid": events_of_run[0]["uuid"]}
                checker.redis.xadd(STREAM, {FIELD: json.dumps([event])})
            events.send(sender, events_of_run[2:])
    assert checker.settle() == {"SUCCESS": 200}
    assert checker.stack.query("SELECT count(*) FROM vase_dead_letters") == [(0,)]
