"""Which worker processes are known to have ended, and what is said of runs that they had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import ROOT
from webapp.recorder.deliveries import HELD_MAX, Deliveries
from webapp.recorder.verdicts import SPEECHLESS, Seen, _verdict
from webapp.recorder.worker_registry import PROCESSES_MAX, WorkerRegistry
from webapp.worker.lease import Lease, has_ended, place

NOW = 1_000_000.0
HOLDER = """
import os, sys, time
from webapp.worker import lease
lease.hold()
child = os.fork()
if child:
    print(lease.own().token, child, flush=True)
time.sleep(60)
"""


def event(kind: str, at: float, pid: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": f"worker-{kind}", "hostname": "w@box", "pid": pid, "freq": 2, "timestamp": at} | more


def heard(*events: dict[str, Any]) -> WorkerRegistry:
    workers = WorkerRegistry()
    for one in events:
        workers.hear(one, one["timestamp"])
    return workers


@pytest.fixture
def worker() -> Iterator[tuple[subprocess.Popen[str], int, dict[str, str]]]:
    """A process that holds a lease, the id of one that it has forked, and what its events say of the lease."""
    with subprocess.Popen([sys.executable, "-c", HOLDER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        token, child = process.stdout.readline().split()
        yield process, int(child), {"life": token, "place": place()}
        for pid in (process.pid, int(child)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


needs_linux = pytest.mark.skipif(not place(), reason="only Linux has leases")


@needs_linux
def test_a_worker_has_ended_when_the_last_process_of_its_pool_has(worker: Any) -> None:
    process, child, life = worker
    workers = heard(event("heartbeat", NOW, **life))
    assert workers.take_ended() == []
    process.kill()
    process.wait()
    assert workers.take_ended() == [], "a process of its pool goes on with its task"
    os.kill(child, signal.SIGKILL)
    while not (ended := workers.take_ended()):
        time.sleep(0.01)
    assert [(one.hostname, one.pid, one.lease.token) for one in ended] == [("w@box", 1, life["life"])]
    assert workers.take_ended() == []


@needs_linux
def test_a_worker_that_is_halted_has_not_ended(worker: Any) -> None:
    process, child, life = worker
    for pid in (process.pid, child):
        os.kill(pid, signal.SIGSTOP)
    workers = heard(event("heartbeat", NOW, **life))
    workers.note_silence(NOW + 3600)
    assert (workers.take_ended(), workers.online()) == ([], {})


@pytest.mark.parametrize("where", ["", "another kernel", "/".join(reversed(place().split("/")))])
def test_nothing_is_proved_of_a_worker_of_another_place(where: str) -> None:
    assert not has_ended(Lease("nobody holds this", where))


@needs_linux
def test_a_successor_under_the_same_process_id_proves_nothing_of_the_one_before(worker: Any) -> None:
    """In a container every worker is the first process."""
    *_, life = worker
    workers = heard(event("online", NOW, **life), event("online", NOW + 9, life="next", place="elsewhere"))
    assert workers.take_ended() == []


@needs_linux
def test_the_one_before_is_found_ended_all_the_same() -> None:
    workers = heard(event("online", NOW, life="first", place=place()), event("online", NOW, life="next", place="else"))
    assert [one.lease.token for one in workers.take_ended()] == ["first"]
    assert list(workers.online()) == ["w@box"]


def test_silence_and_goodbyes_are_no_end() -> None:
    workers = heard(event("online", NOW, 1), event("online", NOW, 2), event("offline", NOW + 1, 2))
    workers.note_silence(NOW + 60)
    assert (workers.take_ended(), workers.ended, workers.online()) == ([], {}, {})


def test_a_worker_without_a_heartbeat_is_known_while_it_answers() -> None:
    workers = WorkerRegistry()
    workers.answered("w@box", NOW, 90)
    workers.answered("w@box", NOW + 60, 90)
    workers.note_silence(NOW + 140)
    assert list(workers.online()) == ["w@box"]
    workers.note_silence(NOW + 151)
    assert list(workers.online()) == []


def test_an_answer_adds_nothing_to_a_worker_that_is_heard() -> None:
    workers = heard(event("online", NOW))
    workers.answered("w@box", NOW, 90)
    assert len(workers.signs) == 1


def test_a_worker_that_answered_before_it_was_heard_is_one() -> None:
    workers = WorkerRegistry()
    workers.answered("w@box", NOW, 90)
    workers.hear(event("heartbeat", NOW + 2), NOW + 2)
    assert workers.processes() == {"w@box": 1}


def test_invented_names_neither_fill_the_memory_nor_crowd_out_a_worker_that_lives() -> None:
    workers = heard(event("online", NOW))
    for number in range(25_000):
        workers.hear(event("heartbeat", NOW) | {"hostname": f"invented-{number}"}, NOW + number / 100)
        if number % 100 == 0:
            workers.hear(event("heartbeat", NOW), NOW + number / 100)
    assert len(workers.signs) <= PROCESSES_MAX
    assert "w@box" in workers.online()


def test_what_a_worker_of_ours_took_is_its_own_until_the_run_has_ended() -> None:
    held = Deliveries()
    held.hear({"type": "task-received", "uuid": "t", "life": "a", "tag": "1"})
    held.hear({"type": "task-received", "uuid": "u", "life": "a"})
    assert {task_id: taken.tag for task_id, taken in held.by("a").items()} == {"t": "1", "u": None}
    held.hear({"type": "task-succeeded", "uuid": "t"})
    assert list(held.by("a")) == ["u"]


def test_what_another_worker_took_since_is_no_longer_of_the_first_one() -> None:
    held = Deliveries()
    held.hear({"type": "task-received", "uuid": "t", "life": "a", "tag": "1"})
    held.hear({"type": "task-received", "uuid": "t"})
    assert (held.by("a"), held.owner("t")) == ({}, None)


def test_what_is_held_is_bounded() -> None:
    held = Deliveries()
    for number in range(HELD_MAX + 10):
        held.note(str(number), "a", str(number))
    assert (len(held.taken), held.owner("0"), held.owner(str(HELD_MAX))) == (HELD_MAX, None, "a")


def row(**values: Any) -> Any:
    about = {"task_id": "t", "state": "STARTED", "queue": "celery", "worker": "w@box", "worker_at": NOW + 1}
    return SimpleNamespace(**about | {"state_at": time.time() - 60, "sent_at": NOW, "created_at": NOW} | values)


def silent() -> WorkerRegistry:
    workers = heard(event("online", NOW))
    workers.note_silence(NOW + 60)
    return workers


@pytest.mark.parametrize(
    ("workers", "answer", "solo", "state"),
    [
        (WorkerRegistry(), None, [], "UNCERTAIN"),
        (WorkerRegistry(), {"t"}, [], None),
        (silent(), None, [], "UNCERTAIN"),
        (silent(), set(), [], "UNCERTAIN"),
        (heard(event("online", NOW)), None, ["w@box"], "UNCERTAIN"),
        (heard(event("online", NOW)), None, [], None),
        (heard(event("online", NOW)), {"t"}, [], None),
        (heard(event("online", NOW)), set(), [], "UNCERTAIN"),
        (heard(event("online", NOW), event("online", NOW + 9, 2)), set(), [], "UNCERTAIN"),
        (heard(event("online", NOW), event("offline", NOW + 9)), None, [], "UNCERTAIN"),
    ],
    ids="unheard unheard-has-it silent silent-has-not solo lives has-it has-not successor goodbye".split(),
)
def test_nothing_short_of_a_proof_makes_a_run_lost(
    workers: WorkerRegistry, answer: set[str] | None, solo: list[str], state: str | None
) -> None:
    verdict = _verdict(row(), Seen(workers, Deliveries(), busy={"w@box": answer}, solo=solo))
    assert (verdict and verdict[0]) == state


@needs_linux
@pytest.mark.parametrize(
    ("unread", "queue", "state"),
    [("", "celery", "LOST"), ("secret", "celery", "LOST"), ("celery", "celery", "UNCERTAIN"), ("", None, "UNCERTAIN")],
)
def test_a_run_is_lost_when_the_worker_that_took_it_has_ended_and_its_message_is_nowhere(
    unread: str, queue: str | None, state: str
) -> None:
    workers = heard(event("online", NOW, life="gone", place=place()))
    workers.take_ended()
    held = Deliveries()
    held.note("t", "gone", "1")
    verdict = _verdict(row(queue=queue), Seen(workers, held, unread=[unread], read=["celery"]))
    assert verdict is not None
    assert verdict[0] == state


def test_a_run_does_not_go_on_for_ever_at_a_worker_that_answers_no_question() -> None:
    long_ago = time.time() - SPEECHLESS - 1
    verdict = _verdict(row(state_at=long_ago), Seen(heard(event("online", NOW)), Deliveries(), busy={"w@box": None}))
    assert verdict is not None
    assert verdict[0] == "UNCERTAIN"


def beats(workers: WorkerRegistry, *processed: int) -> None:
    for number, count in enumerate(processed):
        workers.hear(event("heartbeat", NOW + number, processed=count), NOW + number)


def test_tasks_that_a_worker_has_begun_unheard_are_noticed_by_its_own_count() -> None:
    workers = WorkerRegistry()
    beats(workers, 3, 3)
    assert not workers.unheard, "what it had begun before is none of ours"
    beats(workers, 5)
    assert not workers.unheard, "their events may be on their way"
    beats(workers, 5)
    assert workers.unheard


def test_tasks_that_were_heard_to_begin_lack_nothing() -> None:
    workers = WorkerRegistry()
    beats(workers, 3)
    for _ in range(2):
        workers.begin(event("heartbeat", NOW))
    beats(workers, 5, 5, 5)
    assert not workers.unheard


def test_what_lacks_is_looked_for_once() -> None:
    workers = WorkerRegistry()
    beats(workers, 3, 5, 5)
    workers.unheard = False
    beats(workers, 5, 5)
    assert not workers.unheard
