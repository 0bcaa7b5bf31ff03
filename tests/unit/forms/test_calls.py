"""How arguments reach their parameters: by position, by name, left out, as raw JSON, and back from a stored call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import wraps
from typing import Any, TypedDict, Unpack
from zoneinfo import ZoneInfo

import pytest

from webapp.forms.calls import fill, raw_of, read_raw
from webapp.forms.fields import Field, Form, form_of
from webapp.forms.infer import infer
from webapp.forms.parse import read
from webapp.forms.preview import preview
from webapp.worker.describe import schema_of


def form_for(function: Callable[..., Any]) -> Form:
    return form_of(json.loads(json.dumps(schema_of(function))))


def typed(**values: str) -> dict[str, list[str]]:
    return {f"p.{name}": [text] for name, text in values.items()}


def errors_of(form: Form) -> dict[str, str]:
    return {item.path: item.error for top in form.fields for item in top.walk() if item.error}


class Wanted(TypedDict, total=False):
    size: int
    name: str


def plain(a: int, b: int = 2, c: int = 3) -> None: ...
def only_position(a: int, b: int = 2, c: int = 3, /) -> None: ...
def only_name(*, a: int, b: int = 2) -> None: ...
def several(a: int, b: int = 2, *args: int, c: int = 3, **kwargs: int) -> None: ...
def anything(*args, **kwargs) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003
def nothing() -> None: ...
def unannotated(x, y=1): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def named(**options: Unpack[Wanted]) -> None: ...
def shadowed(a: int, /, **kwargs: int) -> None: ...
def odd(schema: int, json: int, self: int, cls: int, key: int, queue: int, args: int, kwargs: int) -> None: ...
def maybe(a: str | None = "x", b: list[int] | None = None, c: dict[str, int] | None = None) -> None: ...


@dataclass
class Point:
    x: int = 0
    y: int = 0


def grouped(point: Point, other: Point | None = None) -> None: ...


class Based:
    """Do what a class does."""

    def run(self, x: int, self_: int = 1) -> None: ...


def decorated(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        return function(*args, **kwargs)

    return run


CALLS: list[tuple[Callable[..., Any], dict[str, str], list[Any], dict[str, Any]]] = [
    (plain, {"a": "1"}, [1], {}),
    (plain, {"a": "1", "b": "5"}, [1, 5], {}),
    (plain, {"a": "1", "c": "5"}, [1], {"c": 5}),
    (only_position, {"a": "1", "b": "4"}, [1, 4], {}),
    (only_name, {"a": "1"}, [], {"a": 1}),
    (several, {"a": "1"}, [1], {}),
    (several, {"a": "1", "b": "2", "args": "3\n4"}, [1, 2, 3, 4], {}),
    (several, {"a": "1", "c": "9", "kwargs": "x = 1"}, [1], {"c": 9, "x": 1}),
    (anything, {"args": "[1, null]", "kwargs": '{"self": 1}'}, [1, None], {"self": 1}),
    (anything, {}, [], {}),
    (nothing, {}, [], {}),
    (unannotated, {"x": '"a"'}, ["a"], {}),
    (named, {"options.size": "1"}, [], {"size": 1}),
    (shadowed, {"a": "1", "kwargs": "a = 2"}, [1], {"a": 2}),
    (odd, dict.fromkeys("schema json self cls key queue args kwargs".split(), "1"), [1] * 8, {}),
    (grouped, {"point.x": "1"}, [{"x": 1}], {}),
    (grouped, {}, [{}], {}),
    (grouped, {"other.y": "1"}, [{}, {"y": 1}], {}),
    (Based().run, {"x": "1"}, [1], {}),
    (decorated(plain), {"a": "1"}, [1], {}),
    (decorated(Based().run), {"x": "1"}, [1], {}),
]


@pytest.mark.parametrize(("function", "values", "args", "kwargs"), CALLS)
def test_values_reach_their_parameters(
    function: Callable[..., Any], values: dict[str, str], args: list[Any], kwargs: dict[str, Any]
) -> None:
    form = form_for(function)
    reading = read(form, typed(**values))
    assert reading.ok, errors_of(reading.form)
    assert (reading.args, reading.kwargs) == (args, kwargs)
    function(*args, **kwargs)
    assert fill(form, args, kwargs).problems == []
    assert read_raw(raw_of(args, kwargs), form) == (args, kwargs, [])


WRONG: list[tuple[Callable[..., Any], dict[str, str], dict[str, str]]] = [
    (plain, {}, {"p.a": "This is needed. Type a whole number such as 3."}),
    (only_position, {"a": "1", "c": "1"}, {"p.c": "This can only be given when b is given too. Fill in b."}),
    (several, {"a": "1", "args": "3"}, {"p.args": "This can only be given when b is given too. Fill in b."}),
    (several, {"a": "1", "kwargs": "b = 3"}, {"p.kwargs": "b has a field of its own. Give it there."}),
    (anything, {"args": "{}"}, {"p.args": "This must be a list, such as [1, 2]."}),
    (anything, {"kwargs": "[]"}, {"p.kwargs": 'This must be a dictionary, such as {"name": "Ada"}.'}),
]


@pytest.mark.parametrize(("function", "values", "errors"), WRONG)
def test_what_cannot_be_called_is_said_beside_its_field(
    function: Callable[..., Any], values: dict[str, str], errors: dict[str, str]
) -> None:
    reading = read(form_for(function), typed(**values))
    assert not reading.ok
    assert errors_of(reading.form) == errors


def test_what_was_typed_stays_in_the_fields() -> None:
    reading = read(form_for(grouped), {"p.point.x": ["one"], "s.other": ["none"]})
    point, other = reading.form.fields
    assert point.children[0].value == "one"
    assert other.state == "none"
    assert errors_of(reading.form) == {"p.point.x": "This is not a whole number. Type a whole number such as 3."}


def test_none_and_empty_are_said_explicitly() -> None:
    form = form_for(maybe)
    assert read(form, {}).args == []
    assert read(form, {"s.a": ["none"], "s.b": ["empty"], "s.c": ["none"]}).args == [None, [], None]
    assert read(form, {"s.a": ["empty"], "s.c": ["empty"]}).args == [""]
    assert read(form, {"s.a": ["empty"], "s.c": ["empty"]}).kwargs == {"c": {}}
    both = read(form, {"s.a": ["none"], "p.a": ["x"]})
    assert "Clear one of the two" in errors_of(both.form)["p.a"]
    assert "cannot be None" in errors_of(read(form_for(plain), {"s.a": ["none"]}).form)["p.a"]


def test_a_group_may_be_none_or_empty() -> None:
    form = form_for(grouped)
    assert read(form, {"s.point": ["empty"], "s.other": ["none"]}).args == [{}, None]
    assert "Clear one" in errors_of(read(form, {"s.point": ["empty"], "p.point.x": ["1"]}).form)["p.point"]


def test_unknown_names_and_names_of_others() -> None:
    reading = read(form_for(plain), {"p.a": ["1"], "p.z": ["1"], "csrf_token": ["t"]})
    assert reading.errors == ['This task has no field "z".']
    assert read(form_for(plain), {"p.a": ["1"], "csrf_token": ["t"]}).ok


def test_a_value_given_twice_is_said() -> None:
    assert "more than once" in errors_of(read(form_for(plain), {"p.a": ["1", "2"]}).form)["p.a"]


def test_a_time_without_a_zone_is_taken_in_the_given_one() -> None:
    schema = {
        "version": 1,
        "parameters": [
            {
                "name": "at",
                "kind": "keyword-only",
                "required": True,
                "schema": {"type": "string", "format": "date-time"},
            }
        ],
    }
    sent = read(form_of(schema), typed(at="2026-07-01T12:00"), ZoneInfo("Europe/Berlin")).kwargs["at"]
    assert sent == {"__type__": "datetime", "__value__": "2026-07-01T12:00:00+02:00"}
    kept = read(form_of(schema), typed(at="2026-07-01T12:00-05:00"), ZoneInfo("Europe/Berlin")).kwargs["at"]
    assert kept["__value__"] == "2026-07-01T12:00:00-05:00"


RAW: list[tuple[str, str]] = [
    ("[]", "must be a dictionary with the keys args and kwargs"),
    ('{"args": {}}', "args must be a list"),
    ('{"args": [1], "rest": 1}', "keys args and kwargs"),
    ('{"args": [1], "args": [2]}', '"args" is given twice'),
    ('{"args": [NaN]}', "finite"),
    ('{"args": [1, 2, 3, 4]}', "takes 3 arguments by position; this call has 4"),
    ('{"args": [1], "kwargs": {"a": 1}}', "a is given twice"),
    ('{"args": [1], "kwargs": {"z": 1}}', 'no parameter "z"'),
    ("{}", "a is missing"),
    ('{"args": ["x"]}', "a: This is not a whole number"),
    ('{"args": [{"__type__": "complex", "__value__": 1}]}', "__type__ that workers know"),
    ('{"args": [{"__type__": "date", "__value__": "x"}]}', "is not a date"),
    ('{"args": [{"__type__": "date", "__value__": "2026-03-01", "more": 1}]}', "no other key"),
    ('{"args": [{"__type__": "uuid", "__value__": {"int": 1}}]}', "is not a uuid"),
    ('{"args": [{"__type__": "decimal", "__value__": "1e999999"}]}', "is not a decimal"),
    ('{"kwargs": {"__type__": "date", "__value__": "2026-03-01"}}', "kwargs a dictionary"),
    ('{"args": [' + "[" * 70 + "]" * 70 + "]}", "deeper"),
    ('{"args": ["' + "x" * 300_000 + '"]}', "can be sent"),
    ("{'args': [1]}", "not JSON"),
]


@pytest.mark.parametrize(("text", "message"), RAW, ids=[text[:40] for text, _ in RAW])
def test_raw_json_is_checked(text: str, message: str) -> None:
    assert message in " ".join(read_raw(text, form_for(plain))[2])


def test_raw_json_is_sent_as_it_is_written() -> None:
    def task(day: date, seconds: int | None = None) -> None: ...

    task.__annotations__ = {"day": date, "seconds": int | None}
    form = form_for(task)
    tag = '{"__type__": "date", "__value__": "2026-03-01"}'
    assert read_raw('{"args": [' + tag + ", null]}", form)[2] == []
    assert read_raw('{"args": ["2026-03-01"]}', form)[2] == [
        f"day: this would not arrive as date such as 2026-03-01. Write {tag}."
    ]


def test_raw_json_without_a_known_signature_is_only_checked_for_harm() -> None:
    form = form_of(None)
    assert form.raw_only
    assert read(form, {}).errors
    assert read_raw('{"args": [1], "kwargs": {"x": 1}}', form) == ([1], {"x": 1}, [])
    assert fill(form, [1], {}).problems == []


def test_a_stored_call_that_no_longer_fits_is_explained() -> None:
    filled = fill(form_for(plain), ["x", 2, 3, 4], {"old": 1, "b": 2})
    assert filled.form.fields[0].value == "x"
    assert "whole number" in filled.form.fields[0].error
    assert filled.problems == [
        "The task takes 3 arguments by position; this call has 4.",
        'The task has no parameter "old" that is given by name.',
        "b is given twice, by position and by name.",
        "a: This is not a whole number. Type a whole number such as 3.",
    ]
    gone = fill(form_for(grouped), [{"x": 1, "z": 2}], {})
    assert gone.problems == ['point: It has no field "z" any more.']


def test_the_preview_is_the_python_call() -> None:
    options = {"queue": "x", "countdown": 5}
    assert preview("proj.divide", [1, 2], {}, options) == "divide.apply_async(args=[1, 2], queue='x', countdown=5)"
    assert preview("no name", [], {"a": True}, {}) == "app.send_task('no name', kwargs={'a': True})"
    tag = {"__type__": "date", "__value__": "2026-03-01"}
    assert preview("divide", [], {"d": [tag]}, {}) == "divide.apply_async(kwargs={'d': [datetime.date(2026, 3, 1)]})"


def test_a_schema_is_guessed_from_past_calls() -> None:
    day = {"__type__": "date", "__value__": "2026-03-01"}
    schema = infer([([1, "a"], {"x": 1, "d": {"k": 1}}), ([2.5], {"x": None, "day": day, "d": {"k": 2}})])
    form = form_of(schema)
    assert form.guessed
    kinds = {item.name: (item.kind, item.required) for item in form.fields}
    assert kinds == {
        "argument_1": ("number", True),
        "argument_2": ("text", False),
        "d": ("group", False),
        "day": ("date", False),
        "x": ("integer", False),
    }
    reading = read(form, {"p.argument_1": ["3"], "p.day": ["2026-03-01"], "p.d.k": ["4"]})
    assert reading.ok
    assert (reading.args, reading.kwargs) == ([3], {"d": {"k": 4}, "day": day})
    assert form_of(infer([])).raw_only


def test_every_name_of_an_input_is_unique() -> None:
    def names(items: tuple[Field, ...]) -> list[str]:
        return [path for top in items for item in top.walk() for path in (item.path, item.state_path)]

    for function in (plain, grouped, odd, several):
        found = names(form_for(function).fields)
        assert len(found) == len(set(found))
