"""Tasks that take lists, sets, tuples and dictionaries, alone and inside each other."""
# ruff: noqa: ANN201  # What a task returns is no part of its form.

import collections
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

from celery import shared_task
from pydantic import Field

from tests.integration.forms.signatures.cases import Cases, told

CASES = Cases()
case = CASES.case


class Pair(NamedTuple):
    left: int
    right: str = "r"


@case("1\n2", [1, 2], "1\nx", "Line 2")
@case("[3, 4]", [3, 4], '["x"]', "whole number")
@shared_task
def numbers(value: list[int]):
    return told(locals())


@case("a\n  b", ["a", "b"], "", "This is needed")
@case({"s.value": "empty"}, {"value": []})
@shared_task
def words(value: list[str]):
    return told(locals())


@case("2026-03-01\n2026-03-02", [date(2026, 3, 1), date(2026, 3, 2)], "2026-03-01\n3", "Line 2")
@shared_task
def days(value: tuple[date, ...]):
    return told(locals())


@case('[1, "a", "1.50"]', [1, "a", Decimal("1.50")], '["x", "a", 1]', "At [0]")
@shared_task
def triple(value: tuple[int, str, Decimal]):
    return told(locals())


@case({"unique": "1\n2", "frozen": "a"}, {"unique": [1, 2], "frozen": ["a"]}, {"unique": "1\n1"}, "given twice")
@shared_task
def sets(unique: set[int], frozen: frozenset[str] = frozenset()):
    return told(locals())


@case("a = 1\nb c = 2", {"a": 1, "b c": 2}, "a = x", "Line 1")
@case('{"a": 1}', {"a": 1}, "a: 1", "equals sign")
@shared_task
def counts(value: dict[str, int]):
    return told(locals())


@case("1 = one", {"1": "one"}, "one = 1", "whole number")
@shared_task
def numbered(value: dict[int, str]):
    return told(locals())


@case("a = 1", {"a": 1}, "c = 1", "none of the choices")
@shared_task
def chosen(value: dict[Literal["a", "b"], int]):
    return told(locals())


@case(
    {"a": "1.5", "b": "x = 1", "c": "7", "d": "e"},
    {"a": [1.5], "b": {"x": 1}, "c": [7], "d": ["e"]},
    {"a": "x", "b": "x = 1", "c": "7", "d": "e"},
    "number",
)
@shared_task
def abstract(a: Sequence[float], b: Mapping[str, float], c: Iterable[int], d: Collection[str]):
    return told(locals())


@case(
    {"a": "1", "b": "x = 1", "c": "x = 1"},
    {"a": [1], "b": {"x": 1}, "c": {"x": 1}},
    {"c": "x", "a": "1", "b": "x = 1"},
    "equals sign",
)
@shared_task
def of_collections(
    a: collections.deque[int], b: collections.OrderedDict[str, int], c: collections.defaultdict[str, int]
):
    return told(locals())


@case("[[1], [2, 3]]", [[1], [2, 3]], '[[1], ["a"]]', "At [1][0]")
@case("[1]\n[2, 3]", [[1], [2, 3]], "1", "must be a list")
@shared_task
def rows(value: list[list[int]]):
    return told(locals())


@case('{"a": [1, 2]}', {"a": [1, 2]}, '{"a": 1}', "At a")
@case("a = [1, 2]", {"a": [1, 2]}, "a = [x]", "Line 1")
@shared_task
def groups(value: dict[str, list[int]]):
    return told(locals())


@case(
    {"a": '[1, "x"]', "b": '{"k": null}', "c": "[1, 2]", "d": "[1]"},
    {"a": [1, "x"], "b": {"k": None}, "c": [1, 2], "d": [1]},
    {"a": "{}", "b": "{}", "c": "[]", "d": "[]"},
    "must be a list",
)
@case(
    {"a": "1\nx", "b": "k = 1\nl = hello", "c": "1", "d": "a"},
    {"a": [1, "x"], "b": {"k": 1, "l": "hello"}, "c": [1], "d": ["a"]},
    {"b": "[]", "a": "[]", "c": "[]", "d": "[]"},
    "must be a dictionary",
)
@shared_task
def bare(a: list, b: dict, c: tuple, d: set):
    return told(locals())


@case("[1]", [1], '["a"]', "At [0]")
@case('[1, "b"]', [1, "b"], '[1, "b", 3]', "1 to 2 items")
@shared_task
def pair(value: Pair):
    return told(locals())


@case("one", "one")
@case('["one", "two"]', ["one", "two"], "[1]", "text")
@case("5", "5")
@shared_task
def one_or_many(value: str | list[str]):
    return told(locals())


@case("3", 3, "x", "whole number or list of whole number or None")
@case("[1, null]", [1, None], "[x]", "not JSON")
@shared_task
def count_or_counts(value: int | list[int | None]):
    return told(locals())


@case({"s.value": "none"}, {"value": None})
@case("1", [1], "1\n2\n3", "at most 2 items")
@shared_task
def few(value: Annotated[list[int], Field(max_length=2)] | None = None):
    return told(locals())


@case('{"a": [{"b": 1.5}]}', {"a": [{"b": 1.5}]}, '{"a": [{"b": "x"}]}', "At a[0].b")
@shared_task
def deep(value: dict[str, list[dict[str, float]]]):
    return told(locals())


@case('{"a": {"b": [1]}}', {"a": {"b": [1]}}, '{"a": 1, "a": 2}', "given twice")
@shared_task
def loose(value: dict[str, Any]):
    return told(locals())
