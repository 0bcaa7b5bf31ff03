"""A large call is checked in little time, comes back whole, and one that takes too much work is refused in words."""

from __future__ import annotations

import json
from enum import IntEnum
from time import process_time
from typing import Any

import pytest

from tests.unit.forms.test_hostile import published
from tests.unit.forms.test_kinds import takes
from webapp.forms.calls import fill, raw_of, read_raw
from webapp.forms.fields import form_of
from webapp.forms.parse import read
from webapp.runs.arguments import SIZE_MAX
from webapp.worker.describe import schema_of

Many = IntEnum("Many", {f"NUMBER_{n}": n for n in range(400)})  # type: ignore[misc]
MIXED = [1, 2.5, "ab", None]
SECONDS_MAX = 5
"""Far more than any of these takes, and far less than it took when each item was looked at anew."""

LARGE: list[tuple[Any, list[Any]]] = [
    (list[int | float | str | None], MIXED * 10_500),
    (list[list[int | None] | list[str]], [[1, None], ["a"]] * 10_000),
    (list[Many], list(range(399, 0, -1)) * 120),
]


@pytest.mark.parametrize(("annotation", "value"), LARGE, ids=["of four types", "of lists", "of choices"])
def test_a_large_call_takes_little_time(annotation: Any, value: list[Any]) -> None:
    form = form_of(schema_of(takes(annotation)))
    text = json.dumps(value)
    assert len(text) > SIZE_MAX * 0.6
    begun = process_time()
    assert read(form, {"p.value": [text]}).args == [value]
    assert read(form, {"p.value": ["\n".join(map(json.dumps, value))]}).args == [value]
    assert fill(form, [value], {}).problems == []
    assert read_raw(raw_of([value], {}), form) == ([value], {}, [])
    assert process_time() - begun < SECONDS_MAX


def test_a_choice_of_very_many_is_found_at_once() -> None:
    form = form_of(published({"type": "array", "items": {"enum": list(range(10_000))}}))
    begun = process_time()
    assert read(form, {"p.a": [json.dumps([9_999] * 40_000)]}).ok
    assert process_time() - begun < SECONDS_MAX


def test_work_without_end_is_refused_and_raw_json_is_not_sent_to_itself() -> None:
    same = {"type": "array", "items": {"$ref": "#/$defs/A"}}
    form = form_of(published({"$ref": "#/$defs/A"}, {"A": {"anyOf": [same, {**same, "minItems": 0}]}}))
    text = "[" * 40 + "1" + "]" * 40
    assert "Use raw JSON." in read(form, {"p.a": [text]}).form.fields[0].error
    errors = read_raw(f'{{"kwargs": {{"a": {text}}}}}', form)[2]
    assert errors == ["a: This is too intricate to be checked here. Give less in one call."]


def test_many_values_that_fit_only_the_last_choice_take_bounded_time() -> None:
    numbers = [{"type": "array", "items": {"type": "integer", "minimum": n}} for n in range(40)]
    form = form_of(published({"type": "array", "items": {"anyOf": [*numbers, {"type": "array"}]}}))
    begun = process_time()
    read(form, {"p.a": [json.dumps([["a"]] * 40_000)]})
    assert process_time() - begun < SECONDS_MAX
