"""The merge is a join: order, repetition and grouping of observations do not matter, in Python and in the table."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from webapp.extensions import db
from webapp.history.queries import runs
from webapp.history.writer import facts_of_row, write
from webapp.recorder.event_facts import STATES_OF_EVENTS, facts_of
from webapp.recorder.result_facts import facts_of_stored
from webapp.runs.merge import SUBMITTED, Facts, merge

pytestmark = pytest.mark.database

# Each says that the run is its own parent, as a retry does: what begins an execution is told apart elsewhere.
# Few distinct values, so that ties and contradictions are common.
TIMES = st.sampled_from([1000.0, 1000.5, 1001.0, 1002.25])
TEXTS = st.sampled_from(["", "a", "b", "x" * 300, "\x00\ud800<script>"])
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(sorted(STATES_OF_EVENTS)),
        "uuid": st.just("one"),
        "parent_id": st.just("one"),
        "timestamp": TIMES,
        "clock": st.integers(0, 3),
        "hostname": st.sampled_from(["w1@h", "w2@h"]),
    },
    optional={
        "name": TEXTS,
        "args": TEXTS,
        "kwargs": TEXTS,
        "result": TEXTS,
        "exception": TEXTS,
        "traceback": TEXTS,
        "runtime": st.sampled_from([0.5, 1.5]),
        "retries": st.integers(0, 2),
        "queue": TEXTS,
        "eta": TEXTS,
    },
).map(lambda event: facts_of(event, 1000.0, 4096))
STORED = st.sampled_from(
    [
        b'{"status": "SUCCESS", "result": 0.5, "date_done": "1970-01-01T00:16:41", "name": "a"}',
        b'{"status": "FAILURE", "result": {"exc_type": "E", "exc_message": ["m"]}, "date_done": "1970-01-01T00:16:40"}',
        b'{"status": "PROGRESS", "result": {"current": 1, "total": 4}}',
    ]
).map(lambda stored: facts_of_stored(stored, 1001.5, 4096))
OBSERVATIONS = st.lists(st.one_of(EVENTS, STORED).filter(bool), min_size=1, max_size=8)


def joined(observations: list[Facts]) -> Facts:
    return functools.reduce(merge, observations)


@given(OBSERVATIONS, st.randoms(use_true_random=False))
def test_the_order_of_observations_does_not_matter(observations: list[Facts], chance: random.Random) -> None:
    shuffled = list(observations)
    chance.shuffle(shuffled)
    assert joined(shuffled) == joined(observations)


@given(OBSERVATIONS, st.randoms(use_true_random=False))
def test_repeating_observations_does_not_matter(observations: list[Facts], chance: random.Random) -> None:
    repeated = observations + chance.choices(observations, k=5)
    chance.shuffle(repeated)
    assert joined(repeated) == joined(observations)


@given(OBSERVATIONS, st.integers(0, 8))
def test_the_grouping_of_observations_does_not_matter(observations: list[Facts], cut: int) -> None:
    parts = [part for part in (observations[:cut], observations[cut:]) if part]
    assert joined([joined(part) for part in parts]) == joined(observations)


@given(OBSERVATIONS)
def test_a_ready_run_never_becomes_live_again(observations: list[Facts]) -> None:
    ranks = [facts["key"][0] for facts in observations]
    assert joined(observations)["key"][0] == max(ranks)


def test_steps_are_bounded_and_keep_the_earliest() -> None:
    many = [{"key": (10, float(n), 0, "RETRY"), "steps": frozenset({(float(n), "retried", "")})} for n in range(300)]
    steps = joined(many)["steps"]  # type: ignore[arg-type]
    assert sorted(at for at, _, _ in steps) == [float(n) for n in range(100)]


def row_after(batches: list[list[Facts]]) -> dict[str, Any]:
    """Write batches of observations of one run into an empty table and return what the row keeps."""
    with db.engine.begin() as connection:
        connection.execute(delete(runs))
    for batch in batches:
        write(db.engine, {"one": joined(batch)})
    with db.engine.connect() as connection:
        row = connection.execute(select(runs)).one()
    kept = dict(row._mapping)
    for name in ("id", "changed"):
        kept.pop(name)
    return kept


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(observations=OBSERVATIONS, chance=st.randoms(use_true_random=False))
def test_any_order_repetition_and_batching_leads_to_the_same_row(
    app: Flask, observations: list[Facts], chance: random.Random
) -> None:
    repeated = observations + chance.choices(observations, k=3)
    chance.shuffle(repeated)
    cut = chance.randrange(len(repeated) + 1)
    batches = [part for part in (repeated[:cut], repeated[cut:]) if part]
    assert row_after(batches) == row_after([[facts] for facts in observations])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(observations=OBSERVATIONS)
def test_a_row_keeps_every_fact(app: Flask, observations: list[Facts]) -> None:
    row_after([observations])
    with db.engine.connect() as connection:
        kept = facts_of_row(connection.execute(select(runs)).one())
    # An empty text and no text are the same to a page.
    assert {k: v for k, v in kept.items() if v != ""} == {k: v for k, v in joined(observations).items() if v != ""}


def test_writing_what_is_known_changes_nothing(app: Flask, tmp_path: Path) -> None:
    facts = facts_of({"type": "task-started", "timestamp": 1000.0, "hostname": "w@h"}, 1000.0, 4096)
    assert facts is not None
    assert [write(db.engine, {"one": facts}), write(db.engine, {"one": facts})] == [1, 0]


@pytest.mark.parametrize("state", ["RECEIVED", "STARTED", "PROGRESS"])
def test_a_worker_whose_clock_is_behind_still_wins_over_pending(state: str) -> None:
    pending: Facts = {"key": (0, 9000.0, 0, "PENDING")}
    event: Facts = {"key": (10, 1800.0, 5, state)}
    assert joined([event, pending])["key"][3] == state


def test_name_and_arguments_win_or_lose_together() -> None:
    """A task that replaces itself has another name and other arguments under the same task id."""
    about = {"status": "SUCCESS", "date_done": "1970-01-01T00:16:41"}
    replaced = facts_of_stored(json.dumps({**about, "name": "a.second", "args": [5], "kwargs": {}}), 1001.5, 4096)
    event = {"type": "task-received", "timestamp": 1000.0, "hostname": "w@h", "name": "z.first", "args": "(2,)"}
    first = facts_of({**event, "kwargs": "{}"}, 1000.0, 4096)
    submitted: Facts = {"key": (0, 999.0, 0, "PENDING"), "arguments": (SUBMITTED, "[2]", "{}", "z.first")}
    assert first is not None
    assert replaced is not None
    assert joined([first, replaced])["arguments"][1:] == ("[5]", "{}", "a.second")
    assert joined([replaced, submitted, first])["arguments"][1:] == ("[2]", "{}", "z.first")


def test_a_name_is_kept_where_nothing_is_known_of_the_arguments(app: Flask) -> None:
    started = facts_of({"type": "task-started", "timestamp": 1000.0, "hostname": "w@h", "name": "a"}, 1000.0, 4096)
    assert started is not None
    assert row_after([[started]])["name"] == "a"
