"""Tasks with parameters of every kind and name, without annotations, and with odd defaults."""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, B006  # Signatures as people write them, also badly.

from typing import Any, TypedDict, Unpack

from celery import shared_task

from tests.integration.forms.signatures.cases import Cases, told

CASES = Cases()
case = CASES.case
MISSING = object()


class Wanted(TypedDict, total=False):
    size: int
    name: str


@case({}, {})
@shared_task
def nothing():
    return told(locals())


@case({"a": "1", "c": "5"}, {"a": 1, "b": 2, "c": 5}, {"b": "1"}, "This is needed", where="a")
@shared_task
def plain(a: int, b: int = 2, c: int = 3):
    return told(locals())


@case({"a": "1", "b": "x"}, {"a": 1, "b": "x", "c": 3}, {"a": "1", "c": "4"}, "Fill in b", where="c")
@shared_task
def by_position(a: int, b: str = "b", c: int = 3, /):
    return told(locals())


@case({"a": "1"}, {"a": 1, "b": 2}, {"b": "x", "a": "1"}, "whole number")
@shared_task
def by_name(*, a: int, b: int = 2):
    return told(locals())


@case({"args": "1\n2"}, {"args": (1, 2)}, {"args": "1\nx"}, "Line 2")
@shared_task
def several(*args: int):
    return told(locals())


@case({"args": "hello\n3"}, {"args": ("hello", 3)}, {"args": "{}"}, "must be a list")
@case({"args": '[1, "a", null]'}, {"args": (1, "a", None)}, {"args": "[1"}, "not JSON")
@shared_task
def several_of_any(*args):
    return told(locals())


@case({"kwargs": "a = 1\nb = 2"}, {"kwargs": {"a": 1, "b": 2}}, {"kwargs": "a = x"}, "Line 1")
@shared_task
def names(**kwargs: int):
    return told(locals())


@case({"kwargs": "a = 1\nb = hello"}, {"kwargs": {"a": 1, "b": "hello"}}, {"kwargs": "hello"}, "equals sign")
@case(
    {"kwargs": '{"self": 1, "task_id": [2]}'}, {"kwargs": {"self": 1, "task_id": [2]}}, {"kwargs": "[]"}, "dictionary"
)
@shared_task
def names_of_any(**kwargs):
    return told(locals())


@case({"options.size": "3"}, {"options": {"size": 3}}, {"options.size": "x"}, "whole number")
@shared_task
def named_options(**options: Unpack[Wanted]):
    return told(locals())


@case(
    {"a": "1", "b": "2", "args": "3", "c": "4", "kwargs": "d = 5"},
    {"a": 1, "b": 2, "c": 4, "args": (3,), "kwargs": {"d": 5}},
    {"a": "1", "b": "2", "kwargs": "c = 5"},
    "c has a field of its own",
    where="kwargs",
)
@case(
    {"a": "1"}, {"a": 1, "b": 0, "c": 0, "args": (), "kwargs": {}}, {"a": "1", "args": "2"}, "Fill in b", where="args"
)
@shared_task
def mixed(a: int, /, b: int = 0, *args: int, c: int = 0, **kwargs: int):
    return told(locals())


@case({"x": "hello", "y": "3"}, {"x": "hello", "y": 3}, {"x": "[1, 2"}, "not JSON")
@case({"x": "[1, 2]", "y": '{"a": null}'}, {"x": [1, 2], "y": {"a": None}}, {"x": "1", "y": ""}, "needed", where="y")
@case({"x": '"3"', "y": "true"}, {"x": "3", "y": True}, {"x": '"abc', "y": "1"}, "not JSON")
@case({"x": "None", "y": "two\nlines"}, {"x": None, "y": "two\nlines"})
@shared_task
def unannotated(x, y):
    return told(locals())


@case({"count": "5", "rate": "2", "yes": "no", "word": "007"}, {"count": 5, "rate": 2, "yes": False, "word": "007"})
@case(
    {"count": "2.5", "rate": "[1]", "yes": "null", "word": "5"}, {"count": 2.5, "rate": [1], "yes": None, "word": "5"}
)
@case({}, {"count": 3, "rate": 0.5, "yes": True, "word": "x"}, {"count": "many"}, "in quotes")
@case(
    {"count": '"many"', "word": "[1]"}, {"count": "many", "rate": 0.5, "yes": True, "word": [1]}, {"yes": "x"}, "true"
)
@shared_task
def hinted(count=3, rate=0.5, yes=True, word="x"):
    return told(locals())


@case({}, {"a": [], "b": float("inf"), "c": (1, 2), "d": None, "e": {}}, {"a": "[", "b": "1"}, "not JSON")
@case({"a": "[1]", "b": "2", "c": "x"}, {"a": [1], "b": 2, "c": "x", "d": None, "e": {}})
@shared_task
def odd_defaults(a=[], b=float("inf"), c=(1, 2), d=None, e={}):
    return told(locals())


@case({"a": "1", "b": "2", "c": "3"}, {"a": 1, "b": 2, "c": 3}, {"b": "{"}, "not JSON")
@shared_task
def sentinels(a=MISSING, b=lambda: 3, c: Any = float("nan")):
    return told(locals())


ODD = "schema json self_ cls name key mode raw zone args kwargs task_id queue from_ model_config model_fields".split()


@case({name: str(n) for n, name in enumerate(ODD)}, {name: n for n, name in enumerate(ODD)}, {"schema": "x"}, "whole")
@shared_task
def odd_names(
    schema: int,
    json: int,
    self_: int,
    cls: int,
    name: int,
    key: int,
    mode: int,
    raw: int,
    zone: int,
    args: int,
    kwargs: int,
    task_id: int,
    queue: int,
    from_: int,
    model_config: int,
    model_fields: int,
):
    return told(locals())


@case({"größe": "1", "_hidden": "x", "self": "y"}, {"größe": 1, "_hidden": "x", "self": "y"}, {"größe": "x"}, "whole")
@case({"größe": "1", "self": "2"}, {"größe": 1, "_hidden": None, "self": 2})
@shared_task
def strange(größe: int, _hidden=None, self=None):
    return told(locals())
