"""Values that are easily typed or read as others: dates, names of values, single lines, choices that are alike."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, TypedDict, Unpack

import pytest
import typing_extensions
from pydantic import BaseModel

from tests.unit.forms.test_kinds import takes
from webapp.forms.calls import fill, raw_of, read_raw, submitted_of
from webapp.forms.fields import Form, form_of
from webapp.forms.json_values import write
from webapp.forms.parse import read
from webapp.worker.describe import schema_of


class Row(BaseModel):
    a: int


@dataclass
class Dated:
    a: int
    b: int = field(default=1, init=False)


class Level(IntEnum):
    LOW = 1
    HIGH = 2
    TOP = 2


class State(Enum):
    IN_PROGRESS = "in-progress"
    BROKEN = "two\nlines"
    NOTHING = None


class Inner(TypedDict):
    size: int


class Node(TypedDict, total=False):
    name: str
    left: Node
    right: Node
    above: Node
    below: Node
    others: list[Node]


class Outer(typing_extensions.TypedDict):
    """What holds another."""

    inner: Inner
    maybe: typing_extensions.NotRequired[list[Inner]]


class Wanted(TypedDict):
    size: int
    name: typing_extensions.NotRequired[str]


def form_for(annotation: Any) -> Form:
    return form_of(json.loads(json.dumps(schema_of(takes(annotation)))))


ARRIVES: list[tuple[Any, str, Any]] = [
    (datetime | date, "2024-01-01", write(date(2024, 1, 1))),
    (datetime | date, "2024-01-01 00:00Z", write(datetime.fromisoformat("2024-01-01T00:00+00:00"))),
    (int | date | None, "20240101", 20240101),
    (dict[bool, int], "true = 1\nfalse = 2", {"true": 1, "false": 2}),
    (dict[Literal["a", None], int], "null = 1", {"null": 1}),
    (list[list[int]], "[1, 2]", [[1, 2]]),
    (list[list[int]], "[[1, 2]]", [[1, 2]]),
    (list[dict[str, int]], '{"a": 1}', [{"a": 1}]),
    (list[Row], '{"a": 1}', [{"a": 1}]),
    (list[int | str], '"1"', ["1"]),
    (Literal["a", "a "], "a ", "a "),
    (Literal["a", "a "], " a", "a"),
    (State, "two\r\nlines", "two\nlines"),
    (Level, "2", 2),
    (list[Literal["a", "a "]], 'a\n"a "', ["a", "a "]),
    (list[Literal["1", 1]], '"1"\n1', ["1", 1]),
    (int | Literal["a", "a "], "a ", "a "),
    (timedelta | bytes, "base64:MQ==", write(b"1")),
    (timedelta | bytes, "5 min", 300),
    (dict[date, list[date]], '2024-01-01 = ["2024-01-02"]', {"2024-01-01": [write(date(2024, 1, 2))]}),
    (dict[tuple[int, int], str], "1,2 = a", {"1,2": "a"}),
    (typing.LiteralString, "a", "a"),
]


def test_raw_json_may_say_which_of_two_types_is_meant() -> None:
    form = form_for(date | str | bytes)
    for value in ("2024-01-01", write(date(2024, 1, 1)), write(b"2024-01-01")):
        assert read_raw(raw_of([value], {}), form) == ([value], {}, [])
    assert read_raw(raw_of([write(Decimal(1))], {}), form)[2] != []
    assert read_raw(raw_of([write(b"1")], {}), form_for(dict[str, Any]))[2] != []


@pytest.mark.parametrize(("annotation", "text", "value"), ARRIVES, ids=lambda part: repr(part)[:40])
def test_it_arrives_as_what_it_is(annotation: Any, text: str, value: Any) -> None:
    form = form_for(annotation)
    reading = read(form, {"p.value": [text]})
    assert (reading.args, reading.form.fields[0].error) == ([value], "")
    filled = fill(form, [value], {})
    assert filled.problems == []
    assert read(form, submitted_of(*filled.form.fields)).args == [value]
    assert read_raw(raw_of([value], {}), form) == ([value], {}, [])


WRONG: list[tuple[Any, str, str]] = [
    (dict[bool, int], "yes = 1", "The key yes is wrong. This is none of the choices"),
    (list[list[int]], '["a"]', "At [0]: This must be a list"),
    (list[list[int]], '[[1], ["a"]]', "At [1][0]"),
    (list[Row], '{"b": 1}', "This must be a list"),
    (list[Any], "{}", "This must be a list"),
    (Literal["a", "a "], "b", "none of the choices"),
]


@pytest.mark.parametrize(("annotation", "text", "message"), WRONG, ids=lambda part: repr(part)[:40])
def test_what_is_neither_is_still_refused(annotation: Any, text: str, message: str) -> None:
    assert message in read(form_for(annotation), {"p.value": [text]}).form.fields[0].error


def test_a_choice_shows_the_names_of_its_values() -> None:
    def task(level: Level = Level.HIGH, state: State = State.NOTHING, levels: list[Level] | None = None) -> None: ...

    task.__annotations__ = {"level": Level, "state": State, "levels": list[Level] | None}
    level, state, levels = form_of(schema_of(task)).fields
    assert [(option.text, option.label) for option in level.options] == [("1", "1 (LOW)"), ("2", "2 (HIGH)")]
    assert [option.label for option in state.options] == ["in-progress", "two\nlines (BROKEN)"]
    assert level.default == "2 (HIGH)"
    assert "1 (LOW), 2 (HIGH)" in levels.type_text


def test_a_choice_of_an_older_worker_has_no_names() -> None:
    parameter = {"name": "a", "kind": "keyword-only", "required": True, "schema": {"enum": [1, 2], "title": "Level"}}
    form = form_of({"version": 1, "parameters": [parameter], "$defs": {}})
    assert [option.label for option in form.fields[0].options] == ["1", "2"]


def test_a_choice_with_a_line_break_stays_chosen() -> None:
    item = read(form_for(State), {"p.value": ["two\r\nlines"]}).form.fields[0]
    assert item.value in [option.text for option in item.options]


def test_keywords_that_are_needed_are_asked_for() -> None:
    def task(**options: Unpack[Wanted]) -> None: ...

    task.__annotations__ = {"options": Unpack[Wanted]}
    form = form_of(schema_of(task))
    reading = read(form, {})
    assert not reading.ok
    assert "This is needed" in reading.form.fields[0].children[0].error
    assert read(form, {"p.options.size": ["1"]}).kwargs == {"size": 1}
    assert read_raw("{}", form)[2] == ["options is missing."]
    assert read_raw('{"kwargs": {"size": 1}}', form)[2] == []


def test_what_a_dataclass_makes_by_itself_has_no_field() -> None:
    assert [child.name for child in form_for(Dated).fields[0].children] == ["a"]


def test_starred_arguments_are_asked_for_one_by_one() -> None:
    def task(*pair: *tuple[int, str]) -> None: ...

    task.__annotations__ = {"pair": Unpack[tuple[int, str]]}
    form = form_of(schema_of(task))
    assert read(form, {"p.pair": ['[1, "a"]']}).args == [1, "a"]
    assert "exactly 2 items" in read(form, {"p.pair": ["[1]"]}).form.fields[0].error
    assert "This is needed" in read(form, {}).form.fields[0].error
    task.__annotations__ = {"pair": next(iter(tuple[int, ...]))}
    assert read(form_of(schema_of(task)), {"p.pair": ["1\n2"]}).args == [1, 2]


DICTIONARIES: list[tuple[Any, Mapping[str, str], Any]] = [
    (Outer, {"inner.size": "1", "maybe": '{"size": 2}'}, {"inner": {"size": 1}, "maybe": [{"size": 2}]}),
    (Node, {"name": "a", "left": '{"left": {"name": "b"}}'}, {"name": "a", "left": {"left": {"name": "b"}}}),
]


@pytest.mark.parametrize(("annotation", "typed", "value"), DICTIONARIES, ids=["of another kind", "of itself"])
def test_a_dictionary_of_dictionaries_has_fields(annotation: Any, typed: Mapping[str, str], value: Any) -> None:
    form = form_for(annotation)
    assert form.fields[0].kind == "group"
    assert read(form, {f"p.value.{path}": [text] for path, text in typed.items()}).args == [value]
    assert fill(form, [value], {}).problems == []
