"""Tasks that take dataclasses, typed dictionaries and objects of classes that nobody can describe."""
# ruff: noqa: ANN201, B008  # What a task returns is no part of its form.

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from celery import shared_task
from pydantic import BaseModel, ConfigDict

from tests.integration.forms.signatures.cases import Cases, told
from tests.integration.forms.signatures.scalars import Color

CASES = Cases()
case = CASES.case


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Shape:
    corners: list[Point]
    middle: Point = field(default_factory=lambda: Point(1, 1))
    tags: set[str] = field(default_factory=set)
    lasts: timedelta = timedelta(seconds=1)


class Options(TypedDict, total=False):
    size: int
    when: datetime


class Person(TypedDict):
    name: str
    age: NotRequired[int]


class Session:
    """Nothing that pydantic knows."""


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    size: int
    session: Session | None = None
    call: Callable[[int], int] | None = None


@case('{"x": 1}', {"x": 1}, "five", "whole number or Point")
@case("5", 5)
@shared_task
def count_or_point(value: int | Point):
    return told(locals())


@case('{"home": {"x": 1, "y": 2.5}}', {"home": {"x": 1, "y": 2.5}}, '{"home": {"x": "a"}}', "At home.x")
@shared_task
def places(value: dict[str, Point]):
    return told(locals())


@case({"value.corners": '[{"x": 1}]', "value.lasts": "5 min"}, {"value": {"corners": [{"x": 1}], "lasts": 300}})
@case(
    {"value.corners": "[]", "value.middle.x": "1", "value.tags": "a\nb"},
    {"value": {"corners": [], "middle": {"x": 1}, "tags": ["a", "b"]}},
    {"value.corners": "[]", "value.middle.y": "1"},
    "This is needed",
    where="value.middle.x",
)
@shared_task
def shape(value: Shape):
    return told(locals())


@case({"value.size": "3"}, {"value": {"size": 3}}, {"value.size": "x"}, "whole number")
@case({"value.when": "2026-03-01 00:00"}, {"value": {"when": datetime(2026, 3, 1, tzinfo=UTC)}})
@case({}, {"value": {}})
@shared_task
def options(value: Options):
    return told(locals())


@case(
    {"value.name": "Ada", "value.age": "36"},
    {"value": {"name": "Ada", "age": 36}},
    {"value.age": "1"},
    "needed",
    where="value.name",
)
@shared_task
def person(value: Person):
    return told(locals())


@case({"value": "x", "many": "1\nx"}, {"value": "x", "many": [1, "x"], "none": None}, {"value": "["}, "not JSON")
@case({"value": "1", "many": "[]", "s.none": "none"}, {"value": 1, "many": [], "none": None}, {"value": ""}, "needed")
@shared_task
def undescribed(value: Session, many: list[Session], none: Session | None = None):
    return told(locals())


@case({"value.size": "1"}, {"value": {"size": 1}}, {"value.size": "x"}, "whole number")
@case({"value.size": "1", "value.session": "s"}, {"value": {"size": 1, "session": "s"}})
@shared_task
def partly_undescribed(value: Holder):
    return told(locals())


@case(
    {},
    {"a": Point(1, 2), "b": Color.RED, "c": date(2026, 3, 1), "d": Decimal("1.5"), "e": Path("/a"), "f": {1}, "g": ...},
    {"c": "x"},
    "such as 2026-03-01",
)
@shared_task
def defaults(
    a: Point = Point(1, 2),
    b: Color = Color.RED,
    c: date = date(2026, 3, 1),
    d: Decimal = Decimal("1.5"),
    e: Path = Path("/a"),
    f: set[int] = {1},  # noqa: B006
    g: Any = ...,
):
    return told(locals())
