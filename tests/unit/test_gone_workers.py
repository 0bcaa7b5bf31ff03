"""Which worker processes count as gone, and what is said of runs that they had."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from webapp.queues import Waiting
from webapp.recorder.repair import SPEECHLESS, _verdict
from webapp.recorder.workers import Lost, Workers

NOW = 1_000_000.0


def event(kind: str, at: float, pid: int = 1) -> dict[str, Any]:
    return {"type": f"worker-{kind}", "hostname": "w@box", "pid": pid, "freq": 2, "timestamp": at}


def heard(*events: dict[str, Any]) -> Workers:
    workers = Workers()
    for one in events:
        workers.hear(one, one["timestamp"])
    return workers


def test_a_process_that_comes_up_under_the_id_of_the_one_before_replaces_it() -> None:
    """In a container every worker is the first process."""
    workers = heard(event("online", NOW), event("heartbeat", NOW + 2), event("online", NOW + 3))
    assert workers.take_silent(NOW + 4) == [Lost("w@box", NOW + 3, replaced=True, same=True)]
    assert workers.take_silent(NOW + 4) == []
    assert not workers.lives_since("w@box", NOW + 1)


def test_the_same_word_heard_twice_is_no_restart() -> None:
    workers = heard(event("online", NOW), event("online", NOW))
    assert workers.take_silent(NOW + 1) == []


def test_a_worker_without_a_heartbeat_is_known_while_it_answers() -> None:
    workers = Workers()
    workers.answered("w@box", NOW, 90)
    workers.answered("w@box", NOW + 60, 90)
    assert (list(workers.online()), workers.take_silent(NOW + 140)) == (["w@box"], [])
    assert workers.take_silent(NOW + 151)[0].hostname == "w@box"


def test_an_answer_adds_nothing_to_a_worker_that_is_heard() -> None:
    workers = heard(event("online", NOW))
    workers.answered("w@box", NOW, 90)
    assert len(workers.signs) == 1


def row(**values: Any) -> Any:
    about = {"task_id": "t", "state": "STARTED", "queue": "celery", "worker": "w@box", "worker_at": NOW + 1}
    return SimpleNamespace(**about | {"state_at": time.time() - 60, "sent_at": NOW, "created_at": NOW} | values)


@pytest.mark.parametrize(
    ("workers", "answer", "solo", "state"),
    [
        (Workers(), None, [], "LOST"),
        (Workers(), {"t"}, [], None),
        (Workers(), set(), [], "UNCERTAIN"),
        (Workers(), None, ["w@box"], "UNCERTAIN"),
        (heard(event("online", NOW)), None, [], None),
        (heard(event("online", NOW)), {"t"}, [], None),
        (heard(event("online", NOW)), set(), [], "UNCERTAIN"),
        (heard(event("online", NOW + 5)), set(), [], "LOST"),
    ],
    ids="gone unheard-has-it unheard-has-not solo lives has-it has-not successor".split(),
)
def test_what_is_said_of_a_run_follows_from_what_its_worker_says(
    workers: Workers, answer: set[str] | None, solo: list[str], state: str | None
) -> None:
    verdict = _verdict(row(), workers, Waiting(), {"w@box": answer}, solo)
    assert (verdict and verdict[0]) == state


def test_a_run_does_not_go_on_for_ever_at_a_worker_that_answers_no_question() -> None:
    long_ago = time.time() - SPEECHLESS - 1
    verdict = _verdict(row(state_at=long_ago), heard(event("online", NOW)), Waiting(), {"w@box": None}, [])
    assert verdict is not None
    assert verdict[0] == "UNCERTAIN"
