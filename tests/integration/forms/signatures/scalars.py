"""Tasks that take single values: numbers, texts, choices, times and the like."""
# ruff: noqa: ANN201, DTZ001, UP007, UP045  # Signatures of every age are what these tasks are for.

import enum
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar, Union
from uuid import UUID

from celery import shared_task
from pydantic import AwareDatetime, Field, HttpUrl, NaiveDatetime, SecretStr

from tests.integration.forms.signatures.cases import Cases, told

CASES = Cases()
case = CASES.case
T = TypeVar("T")
UserId = NewType("UserId", int)
IDENTIFIER = "123e4567-e89b-12d3-a456-426614174000"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Unit(enum.StrEnum):
    METRE = "m"
    MILE = "mi"


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Corner(enum.Enum):
    TOP = (0, 1)
    BOTTOM = (0, 0)


@case("3", 3, "11", "at most 10")
@case(" 0 ", 0, "-1", "at least 0")
@shared_task
def whole(value: Annotated[int, Field(ge=0, le=10)]):
    return told(locals())


@case({"x": "3", "y": "0.5"}, {"x": 3, "y": 0.5}, {"x": "2,5"}, "with a point")
@case({"x": "1e3"}, {"x": 1000.0, "y": 1.5}, {"y": "0", "x": "1"}, "more than 0")
@shared_task
def real(x: float, y: Annotated[float, Field(gt=0)] = 1.5):
    return told(locals())


@case("12.50", Decimal("12.50"), "twelve", "not a decimal number")
@case("100", Decimal(100), "-1", "number is not allowed")
@shared_task
def exact(value: Annotated[Decimal, Field(ge=0)]):
    return told(locals())


@case("ab ", "ab ", "a", "at least 2 characters")
@case("12", "12", "", "This is needed")
@shared_task
def word(value: Annotated[str, Field(min_length=2)]):
    return told(locals())


@case("AB12", "AB12", "12AB", "does not fit the pattern")
@shared_task
def plate(value: Annotated[str, Field(pattern=r"^[A-Z]{2}\d+$")]):
    return told(locals())


@case({"yes": "true"}, {"yes": True, "no": False}, {"yes": "perhaps"}, "none of the choices")
@case({"yes": "off", "no": "1"}, {"yes": False, "no": True}, {"yes": ""}, "This is needed")
@shared_task
def decide(yes: bool, no: bool = False):
    return told(locals())


@case("m", "m", "xl", "one of s, m, 3")
@case("3", 3, "4", "none of the choices")
@shared_task
def choose(value: Literal["s", "m", 3]):
    return told(locals())


@case({"level": "2", "unit": "mi"}, {"level": 2, "unit": "mi", "color": Color.RED}, {"color": "pink"}, "red, blue")
@case({"level": "1", "unit": "m", "color": "blue"}, {"level": 1, "unit": "m", "color": "blue"}, {"level": "HIGH"}, "1")
@shared_task
def members(level: Level, unit: Unit, color: Color = Color.RED):
    return told(locals())


@case("3", 3, "8", "at most 7")
@case("4", 4, "READ", "whole number")
@shared_task
def rights(value: Right):
    return told(locals())


@case("[0, 1]", [0, 1], "[1, 1]", "none of the choices")
@shared_task
def corner(value: Corner):
    return told(locals())


@case("2026-03-01", date(2026, 3, 1), "1.3.2026", "such as 2026-03-01")
@shared_task
def day(value: date):
    return told(locals())


@case("2026-03-01 14:30", datetime(2026, 3, 1, 14, 30, tzinfo=UTC), "noon", "2026-03-01 14:30")
@case("2026-03-01T14:30+00:00", datetime(2026, 3, 1, 14, 30, tzinfo=UTC), "2026-02-30 10:00", "date and time")
@shared_task
def moment(value: datetime):
    return told(locals())


@case({"bare": "2026-03-01T14:30"}, {"bare": datetime(2026, 3, 1, 14, 30), "zoned": None}, {"bare": "x"}, "date and")
@case(
    {"bare": "2026-03-01", "zoned": "2026-03-01 01:00Z"},
    {"bare": datetime(2026, 3, 1), "zoned": datetime(2026, 3, 1, 1, tzinfo=UTC)},
    {"zoned": "x", "bare": "2026-03-01"},
    "date and time",
)
@shared_task
def zones(bare: NaiveDatetime, zoned: AwareDatetime | None = None):
    return told(locals())


@case("14:30", time(14, 30), "25:00", "such as 14:30")
@shared_task
def clock(value: time = time(1)):
    return told(locals())


@case("1:30:00", 5400, "soon", "5 min")
@case("5 min", 300, "1 fortnight", "time span")
@shared_task
def span(value: timedelta):
    return told(locals())


@case(IDENTIFIER, UUID(IDENTIFIER), "123", "UUID")
@shared_task
def identifier(value: UUID):
    return told(locals())


@case("héllo", "héllo".encode(), "base64:*", "base 64")
@case("base64:AP8=", b"\x00\xff", "", "This is needed")
@shared_task
def octets(value: bytes):
    return told(locals())


@case("/srv/data", "/srv/data", "", "This is needed")
@shared_task
def path(value: Path):
    return told(locals())


@case({"s.a": "none", "b": "None", "c": "4"}, {"a": None, "b": "None", "c": 4}, {"a": "x", "c": "1"}, "whole number")
@case({"a": "1", "s.b": "empty", "s.c": "none"}, {"a": 1, "b": "", "c": None}, {"a": "1"}, "needed", where="c")
@shared_task
def optional(a: Optional[int], b: str | None, c: Union[int, None]):
    return told(locals())


@case("5", 5)
@case('"5"', "5")
@case("five", "five", "", "This is needed")
@shared_task
def either(value: int | str):
    return told(locals())


@case("2026-03-01", date(2026, 3, 1), "tomorrow", "date such as")
@case("7", 7)
@shared_task
def day_or_count(value: Union[date, int]):
    return told(locals())


@case({"user": "7", "any": "[1]"}, {"user": 7, "any": [1], "call": None}, {"user": "x"}, "whole number")
@case({"user": "7", "any": "x", "call": "f"}, {"user": 7, "any": "x", "call": "f"}, {"any": "[", "user": "1"}, "JSON")
@shared_task
def named(user: UserId, any: T, call: Callable[[int], int] | None = None):
    return told(locals())


@case(
    {"host": "10.0.0.1", "url": "https://a.example/", "secret": "s", "pattern": "^a$", "number": "1+2j"},
    {"host": "10.0.0.1", "url": "https://a.example/", "secret": "s", "pattern": "^a$", "number": "1+2j"},
    {"host": "10.0.0.1"},
    "This is needed",
    where="url",
)
@shared_task
def texts(host: ipaddress.IPv4Address, url: HttpUrl, secret: SecretStr, pattern: re.Pattern[str], number: complex):
    return told(locals())


@case({"a": "hello", "b": '{"x": [1, null]}'}, {"a": "hello", "b": {"x": [1, None]}}, {"a": "[1,"}, "not JSON")
@case({"a": "3", "b": "[1, 2]"}, {"a": 3, "b": [1, 2]}, {"b": '{"a": NaN}', "a": "1"}, "finite")
@shared_task
def anything(a: Any, b: object):
    return told(locals())
