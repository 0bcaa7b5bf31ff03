"""Tasks made in every way: bound, as classes, under other names, decorated, validated, without types."""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, ANN205  # Signatures as people write them.

from dataclasses import dataclass
from functools import wraps
from typing import Any

from celery import Task, current_app, shared_task
from pydantic import validate_call

from tests.integration.forms.signatures.cases import Cases, told

CASES = Cases()
case = CASES.case


FORTY = {f"number_{n}": n for n in range(40)}
exec(  # Forty parameters, written in one line.
    f"def forty({', '.join(f'{name}: int = {n}' for name, n in FORTY.items())}):\n    return told(locals())"
)
forty = case({"number_39": "0"}, FORTY | {"number_39": 0}, {"number_7": "x"}, "whole number")(
    shared_task(globals()["forty"])
)


@case({"x": "1"}, {"x": 1, "y": 2.0}, {"x": "a"}, "whole number")
@shared_task(bind=True, autoretry_for=(ValueError,))
def bound(self: Task, x: int, y: float = 2.0):
    return told(locals())


@case({"x": "1"}, {"x": 1}, {"x": "a"}, "whole number")
@shared_task(bind=True, base=Task)
def of_another_base(task, x: int):
    return told(locals())


@case({"x": "1", "options": "k = v"}, {"x": 1, "options": {"k": "v"}}, {"x": ""}, "This is needed")
@shared_task(name="a task/of ünusual ?name=1&more", typing=False)
def renamed(x: int, **options):
    return told(locals())


class Based(Task):
    """A task that is a class."""

    name = "based"

    def run(self, x: int, self_: str = "s"):
        return told(locals())


class Untyped(Task):
    def run(self, *values, **names):
        return told(locals())


def register(task: type[Task]) -> Any:
    """Make the task of a class known and return it."""
    return current_app.register_task(task())


based = case({"x": "1"}, {"x": 1, "self_": "s"}, {"x": "a"}, "whole number")(register(Based))
untyped = case({"values": "a", "names": "b = 1"}, {"values": ("a",), "names": {"b": 1}})(register(Untyped))


def decorated(function):
    @wraps(function)
    def run(*args, **kwargs):
        return function(*args, **kwargs)

    return run


@case({"x": "1", "y": "2"}, {"x": 1, "y": 2}, {"x": "a"}, "whole number")
@shared_task
@decorated
def wrapped(x: int, y: int = 0):
    return told(locals())


@case({"x": "1"}, {}, {"x": "a"}, "whole number", state="ANY")
@shared_task
async def awaited(x: int):
    return told(locals())


@case({"x": "1"}, {"x": 1, "y": "y"}, {"x": "a"}, "whole number")
@shared_task
@validate_call
def called_validated(x: int, y: str = "y"):
    return told(locals())


class Static(Task):
    """A class whose run needs no object."""

    @staticmethod
    def run(x: int, *, y: int = 1):
        return told(locals())


class Derived(Based):
    name = "derived"


static = case({"x": "1", "y": "2"}, {"x": 1, "y": 2}, {"x": "1", "y": "a"}, "whole number", where="y")(register(Static))
derived = case({"x": "1", "self_": "t"}, {"x": 1, "self_": "t"}, {"x": ""}, "This is needed")(register(Derived))


@dataclass
class Caller:
    """An object that is called, with a signature that is computed."""

    __name__ = "caller"
    times: int = 1

    def __call__(self, x: int):
        return told({"x": x * self.times})


caller = case({"x": "2"}, {"x": 6}, {"x": "a"}, "whole number")(shared_task(name="caller", typing=False)(Caller(3)))


@case({"args": "1\nx", "kwargs": "a = 1"}, {"args": (1, "x"), "kwargs": {"a": 1}}, {"kwargs": "a"}, "equals sign")
@shared_task(bind=True)
def bound_to_all(self, *args, **kwargs):
    return told(locals())


@case({"x": "1", "y": "2"}, {"x": 1, "y": 2}, {"x": "a"}, "whole number")
@shared_task(bind=True)
def bound_by_position(self, x: int, /, *, y: int):
    return told(locals())


@case({"self": "1"}, {"self": 1}, {"self": "a"}, "whole number")
@shared_task
def by_the_name_of_self(*, self: int):
    return told(locals())
