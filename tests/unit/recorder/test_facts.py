"""Events and stored results become facts, whatever is in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.broker.content import is_bounded
from webapp.recorder.event_facts import STATES_OF_EVENTS, facts_of, task_id_of
from webapp.recorder.result_facts import exception_text, facts_of_stored
from webapp.runs.merge import REPR, STORED, merge
from webapp.runs.states import LIVE, OTHER, is_ready, look, phase, rank

NOW = 5000.0
MAX = 2000


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "uuid": "id", "timestamp": 1000.0, "clock": 7, "hostname": "w@h", **fields}


def test_a_started_event_says_when_and_where() -> None:
    facts = facts_of(event("task-started", pid=1), NOW, MAX)
    assert facts is not None
    assert facts["key"] == (10, 1000.0, 7, "STARTED")
    assert facts["started_at"] == 1000.0
    assert facts["worker"] == (1000.0, "w@h")
    assert facts["steps"] == {(1000.0, "started", "w@h")}


def test_a_sent_event_says_who_sent_it_and_no_worker() -> None:
    facts = facts_of(event("task-sent", name="t", args="(1,)", kwargs="{}", queue="q"), NOW, MAX)
    assert facts is not None
    assert facts["origin"] == "w@h"
    assert facts["arguments"] == (REPR, "(1,)", "{}", "t")
    assert facts["queue"] == "q"
    assert "worker" not in facts


def test_a_failed_event_keeps_exception_and_traceback() -> None:
    facts = facts_of(event("task-failed", exception="ZeroDivisionError('division by zero')", traceback="tb"), NOW, MAX)
    assert facts is not None
    assert facts["outcome"] == (20, 0, 1000.0, "", "ZeroDivisionError('division by zero')", "tb")


def test_a_message_given_back_to_its_queue_is_not_an_end() -> None:
    assert facts_of(event("task-rejected", requeue=True), NOW, MAX) is None


@pytest.mark.parametrize("timestamp", [None, "soon", float("nan"), float("inf"), -1, 1e300, True, [1]])
def test_an_impossible_timestamp_is_replaced_by_the_time_of_receipt(timestamp: Any) -> None:
    facts = facts_of(event("task-started", timestamp=timestamp), NOW, MAX)
    assert facts is not None
    assert facts["started_at"] == NOW


@pytest.mark.parametrize("uuid", [None, "", 7, ["x"], "x" * 256, {}])
def test_an_event_without_a_task_id_is_passed_over(uuid: Any) -> None:
    assert task_id_of(event("task-started", uuid=uuid)) is None


SIMPLE = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20) | st.just("\x00\ud800" * 300)
ANYTHING = SIMPLE | st.lists(SIMPLE, max_size=3) | st.dictionaries(st.text(max_size=5), SIMPLE, max_size=3)
FIELDS = (
    "timestamp clock hostname name args kwargs result exception traceback runtime retries eta expires queue root_id"
)


@given(st.sampled_from(sorted(STATES_OF_EVENTS)), st.dictionaries(st.sampled_from(FIELDS.split()), ANYTHING))
def test_no_event_whatever_raises(kind: str, fields: dict[str, Any]) -> None:
    facts = facts_of({"type": kind, **fields}, NOW, MAX)
    assert facts is not None
    assert facts["key"][0] == rank(STATES_OF_EVENTS[kind])


@given(
    st.binary(max_size=50) | st.dictionaries(st.text(max_size=9), ANYTHING).map(lambda d: __import__("json").dumps(d))
)
def test_no_stored_value_whatever_raises(stored: Any) -> None:
    facts_of_stored(stored, NOW, MAX)


def test_a_stored_success_is_exact() -> None:
    stored = '{"status": "SUCCESS", "result": {"é": [1, null]}, "date_done": "1970-01-01T00:20:00+00:00", '
    stored += '"name": "t", "args": [1, "x"], "kwargs": {"k": null}, "worker": "w@h", "queue": "q", "traceback": null}'
    facts = facts_of_stored(stored, NOW, MAX)
    assert facts is not None
    assert facts["outcome"][:4] == (50, 1, 1200.0, '{"é": [1, null]}')
    assert facts["arguments"] == (STORED, '[1, "x"]', '{"k": null}', "t")


def test_a_stored_failure_reads_like_the_exception() -> None:
    stored = {"exc_type": "ZeroDivisionError", "exc_message": ["division by zero"], "exc_module": "builtins"}
    assert exception_text(stored) == "ZeroDivisionError('division by zero')"


def test_stored_progress_is_told() -> None:
    facts = facts_of_stored('{"status": "PROGRESS", "result": {"current": 3, "total": 10}}', NOW, MAX)
    assert facts is not None
    assert facts["progress"] == (NOW, 3.0, 10.0)


@pytest.mark.parametrize("meta", ['{"current": -1, "total": 2}', '{"current": 1e400, "total": 2}', "[]", '"x"', "null"])
def test_senseless_progress_is_passed_over(meta: str) -> None:
    facts = facts_of_stored(f'{{"status": "PROGRESS", "result": {meta}}}', NOW, MAX)
    assert facts is not None
    assert "progress" not in facts


def test_a_long_result_is_cut_and_says_so() -> None:
    facts = facts_of_stored(f'{{"status": "SUCCESS", "result": "{"x" * 9000}"}}', NOW, MAX)
    assert facts is not None
    assert facts["outcome"][3].endswith("… [cut: 9,002 bytes in all]")


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"])
def test_these_states_are_final(state: str) -> None:
    assert is_ready(state)


@pytest.mark.parametrize("state", ["PENDING", "RECEIVED", "STARTED", "RETRY", "PROGRESS", "UPLOADING_FILE"])
def test_these_states_are_live(state: str) -> None:
    assert not is_ready(state)


def test_a_custom_state_is_shown_in_words() -> None:
    assert look("UPLOADING_FILE").label == "Uploading file"


def test_a_message_of_yaml_that_stands_for_too_much_is_passed_over() -> None:
    bomb: Any = "x"
    for _ in range(9):
        bomb = [bomb] * 9
    assert not is_bounded(bomb, "application/x-yaml")
    assert is_bounded([{"a": [1, 2]}, "b"], "application/x-yaml")


@pytest.mark.parametrize("state", ["SKIPPED", "DONE_BY_HAND", "PROGRESS"])
def test_a_state_of_the_apps_own_is_an_end_once_no_worker_has_the_run(state: str) -> None:
    stored = f'{{"status": "{state}", "result": {{"why": "duplicate"}}}}'
    ends = [facts_of_stored(stored, NOW, MAX, left) for left in (False, True)]
    assert [phase(facts["key"][3], facts["key"][0]) for facts in ends if facts] == [LIVE, OTHER]


def test_a_stored_end_wins_over_what_an_event_says() -> None:
    heard = facts_of(event("task-succeeded", timestamp=NOW - 1, result="1"), NOW, MAX)
    stored = facts_of_stored('{"status": "FAILURE", "result": {"exc_type": "E", "exc_message": ["m"]}}', NOW - 2, MAX)
    assert heard is not None
    assert stored is not None
    assert merge(heard, stored)["key"][3] == merge(stored, heard)["key"][3] == "FAILURE"


def test_a_task_that_no_worker_knows_is_named_by_the_fault() -> None:
    heard = facts_of(event("task-failed", exception="NotRegistered('shop.pay')"), NOW, MAX)
    stored = facts_of_stored(
        '{"status": "FAILURE", "result": {"exc_type": "NotRegistered", "exc_message": ["shop.pay"]}}', NOW, MAX
    )
    assert [facts["name"] for facts in (heard, stored) if facts] == ["shop.pay", "shop.pay"]


def test_a_run_is_never_called_by_itself() -> None:
    facts = facts_of(event("task-received", parent_id="id", root_id="id", retries=1), NOW, MAX)
    assert facts is not None
    assert "parent_id" not in facts
    assert "root_id" not in facts
