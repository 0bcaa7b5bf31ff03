"""What people type and what tasks are given: clear messages, and nothing that harms a worker."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.errors import InvalidArgumentsError
from webapp.forms.formats import number
from webapp.runs.arguments import DEPTH_MAX, SIZE_MAX, check_arguments, exact_json
from webapp.text import clean, cut, tidy


@pytest.mark.parametrize(
    ("typed", "value"),
    [("1", 1), ("-3", -3), (" 2.5 ", 2.5), ("+4", 4), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-2.5E-3", -0.0025)],
)
def test_a_number_is_read_as_it_was_typed(typed: str, value: float) -> None:
    assert number(typed) == value
    assert type(number(typed)) is type(value)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "not a number"),
        ("   ", "not a number"),
        ("nan", "must be a finite number"),
        ("-inf", "must be a finite number"),
        ("Infinity", "must be a finite number"),
        ("1e999", "too large"),
        ("9" * 400, "too large"),
        ("0." + "0" * 1998, "2,000 characters long"),
        ("one", "not a number"),
        ("1 2", "not a number"),
        ("1_000", "not a number"),
        ("١", "not a number"),
        ("0x10", "not a number"),
        ("1,5", "with a point"),
        ("<script>", "not a number"),
        ("1\x00", "not a number"),
    ],
)
def test_what_is_no_number_gets_a_message_that_says_why(typed: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        number(typed)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_arguments_may_be_nested_up_to_the_limit() -> None:
    check_arguments([nested(DEPTH_MAX - 1)], {})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([nested(DEPTH_MAX)], "nested deeper"),
        ([nested(500)], "nested deeper"),
        ([float("nan")], "nan is not a number"),
        ([{"a": [float("-inf")]}], "-inf is not a number"),
        ([{"__type__": "datetime", "__value__": "x"}], "would vanish"),
        ([["ok", {"deep": {"__type__": 1, "__value__": 2, "more": 3}}]], "would vanish"),
        (["x" * SIZE_MAX], "bytes long"),
        (["x" * 1000] * 300, "bytes long"),
        (["\ud800"], "half of a character pair"),
        ([{"\udfff": 1}], "half of a character pair"),
        ([10**4000] * 200, "bytes long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_harm_a_worker_is_refused(args: list[Any], message: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=message):
        check_arguments(args, {})
    with pytest.raises(InvalidArgumentsError, match=message):
        check_arguments((), {"value": args})


@pytest.mark.parametrize(
    "value", [[{1, 2}], [object()], ["x" * SIZE_MAX], [float("nan")]], ids=["set", "object", "size", "nan"]
)
def test_only_json_of_bounded_size_is_stored(value: Any) -> None:
    with pytest.raises(InvalidArgumentsError):
        exact_json(value)


def test_a_task_refuses_harmful_arguments_however_it_is_called(app: Any) -> None:
    from webapp.tasks import divide

    with pytest.raises(InvalidArgumentsError):
        divide.delay(float("nan"), 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("a\x00b", "a\\u0000b"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\ud800", "\\ud800"),
        ("a\u202eb", "a\\u202eb"),
        ("<script>", "<script>"),
        ("é ✓ 🜚", "é ✓ 🜚"),
    ],
)
def test_unsafe_characters_become_visible_escapes(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_what_is_cut_says_how_long_it_was() -> None:
    assert cut("x" * 2000, 10) == "xxxxxxxxxx… [cut: 2,000 bytes in all]"


@pytest.mark.parametrize("value", [None, 1, "x" * 10_000_000, "\x00" * 300, b"bytes", ["list"]], ids=type)
def test_anything_becomes_a_bounded_name_or_nothing(value: Any) -> None:
    name = tidy(value)
    assert name is None or len(name) <= 255 * 6
