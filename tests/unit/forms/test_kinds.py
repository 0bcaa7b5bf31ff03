"""Every kind of annotation gets a usable field: the right value arrives in the worker, a wrong one gets a message."""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import jsonschema
import pytest
from kombu.utils.json import dumps, loads
from pydantic import UUID4, AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, PositiveInt

from webapp.forms.calls import fill, raw_of, read_raw, submitted_of
from webapp.forms.fields import form_of
from webapp.forms.parse import Given, read
from webapp.worker.describe import PUBLISHED_MAX, schema_of


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Mixed(enum.Enum):
    WORD = "1"
    NUMBER = 1


class Address(BaseModel):
    street: str
    number: int = Field(gt=0)
    note: str | None = None


class Order(BaseModel):
    address: Address
    paid: Decimal
    due: date
    color: Color = Color.RED


class Plain:
    """Nothing that pydantic knows."""


class Loose(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    size: int
    plain: Plain | None = None
    call: Callable[[int], int] | None = None


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Link(BaseModel):
    value: int
    next: Link | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


@dataclass
class Point:
    x: float
    y: float
    tags: list[str] = dataclass_field(default_factory=list)


class Options(TypedDict, total=False):
    size: int
    when: datetime


class Person(TypedDict):
    name: str
    age: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str = "r"


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


class Dotted(BaseModel):
    inner: int = Field(alias="a.b")


UserId = NewType("UserId", int)
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
IDENTIFIER = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")


@dataclass(frozen=True)
class Case:
    """A type, the control it gets, what is typed and what arrives, and what is wrong and why."""

    annotation: Any
    kind: str
    typed: str | Mapping[str, str]
    arrives: Any
    wrong: str | Mapping[str, str] | None = None
    message: str = ""


CASES = [
    Case(int, "integer", "3", 3, "3.5", "not a whole number. Type a whole number such as 3."),
    Case(int, "integer", " -12 ", -12, "1_000", "whole number"),
    Case(int, "integer", "9" * 40, int("9" * 40), "9" * 5000, "characters long"),
    Case(float, "number", "2.5", 2.5, "2,5", "with a point"),
    Case(float, "number", "3", 3, "nan", "finite"),
    Case(float, "number", "1e3", 1000.0, "1e999", "too large"),
    Case(str, "text", "héllo ", "héllo ", "\ud800", "half of a character pair"),
    Case(str, "text", "12", "12", "x" * 300_000, ""),
    Case(bool, "choice", "true", True, "maybe", "none of the choices"),
    Case(bool, "choice", "No", False, "2", "true or false"),
    Case(Decimal, "decimal", "12.50", Decimal("12.50"), "twelve", "decimal number. Type one such as 12.50"),
    Case(Annotated[Decimal, Field(ge=1)], "decimal", "1", Decimal(1), "0.5", "Type a decimal number"),
    Case(date, "date", "2026-03-01", date(2026, 3, 1), "1.3.2026", "such as 2026-03-01"),
    Case(
        datetime, "datetime", "2026-03-01T14:30", datetime(2026, 3, 1, 14, 30, tzinfo=UTC), "noon", "2026-03-01 14:30"
    ),
    Case(
        datetime,
        "datetime",
        "2026-03-01 14:30Z",
        datetime(2026, 3, 1, 14, 30, tzinfo=UTC),
        "2026-13-01",
        "date and time",
    ),
    Case(AwareDatetime, "datetime", "2026-03-01T14:30", datetime(2026, 3, 1, 14, 30, tzinfo=UTC), "x", "date and time"),
    Case(NaiveDatetime, "datetime", "2026-03-01T14:30", datetime(2026, 3, 1, 14, 30), "x", "date and time"),  # noqa: DTZ001
    Case(time, "time", "14:30", time(14, 30), "25:00", "such as 14:30"),
    Case(timedelta, "duration", "1:30:00", 5400, "soon", "1:30:00, or 5 min"),
    Case(timedelta, "duration", "5 min", 300, "1:30", "time span"),
    Case(timedelta, "duration", "PT1M30.5S", 90.5, "P", "time span"),
    Case(timedelta, "duration", "90", 90, "1e30", "too long"),
    Case(uuid.UUID, "uuid", str(IDENTIFIER), IDENTIFIER, "123", "UUID"),
    Case(UUID4, "uuid", str(IDENTIFIER), IDENTIFIER, "x", "UUID"),
    Case(bytes, "text", "héllo", "héllo".encode(), "base64:*", "base 64"),
    Case(bytes, "text", "base64:AP8=", b"\x00\xff", None),
    Case(Path, "text", "/srv/data", "/srv/data"),
    Case(Color, "choice", "red", "red", "green", "one of red, blue (Color, sent as its value)"),
    Case(Level, "choice", "2", 2, "3", "one of 1, 2"),
    Case(Mixed, "choice", '"1"', "1", "one", "none of the choices"),
    Case(Mixed, "choice", "1", 1),
    Case(Literal["a", "b"], "choice", "b", "b", "c", "one of a, b"),
    Case(Literal["only"], "choice", "only", "only", "other", "none of the choices"),
    Case(Literal[1, "x", True], "choice", "true", True, "false", "none of the choices"),
    Case(Literal["a", None], "choice", "a", "a", "None", "none of the choices"),
    Case(
        Annotated[int, Field(gt=0, le=9)],
        "integer",
        "9",
        9,
        "0",
        "Type a whole number such as 1, more than 0, at most 9",
    ),
    Case(Annotated[int, Field(multiple_of=5)], "integer", "15", 15, "16", "a multiple of 5"),
    Case(PositiveInt, "integer", "1", 1, "0", "more than 0"),
    Case(Annotated[float, Field(lt=1)], "number", "0.5", 0.5, "1", "less than 1"),
    Case(Annotated[str, Field(min_length=2, max_length=3)], "text", "ab", "ab", "a", "it must have 2 to 3 characters"),
    Case(Annotated[str, Field(pattern=r"^\d+$")], "text", "12", "12", "a", "pattern"),
    Case(Annotated[str, Field(pattern=r"^(a+)+$")], "text", "aa", "aa", "a" * 5000 + "b", "pattern"),
    Case(Annotated[str, Field(max_length=2_000)], "long", "a\r\nb", "a\nb"),
    Case(int | None, "integer", "3", 3, "x", "whole number"),
    Case(Optional[str], "text", "None", "None"),  # noqa: UP045
    Case(Union[int, str], "union", "5", 5),  # noqa: UP007
    Case(int | str, "union", '"5"', "5"),
    Case(str | int, "union", "5", 5),
    Case(str | int, "union", "five", "five"),
    Case(int | float, "union", "2.5", 2.5, "x", "whole number or number"),
    Case(date | int, "union", "2026-03-01", date(2026, 3, 1), "x", "date such as 2026-03-01"),
    Case(bool | str | None, "union", "true", True),
    Case(int | list[int], "json", "[1, 2]", [1, 2], '["x"]', "whole number"),
    Case(Cat | Dog, "json", '{"kind": "dog", "tricks": []}', {"kind": "dog", "tricks": []}, "3", "This must be Cat"),
    Case(
        Pet, "json", '{"kind": "cat", "lives": 9}', {"kind": "cat", "lives": 9}, '{"kind": "cat"}', "lives is missing"
    ),
    Case(list[int], "lines", "1\n\n2\n", [1, 2], "1\nx", "Line 2: This is not a whole number"),
    Case(list[int], "lines", "[1, 2]", [1, 2], "[1, x]", "not JSON"),
    Case(list[str], "lines", 'a\n"  b\\n"\n[c', ["a", "  b\n", "[c"]),
    Case(list[date], "lines", "2026-03-01", [date(2026, 3, 1)], "1", "Line 1"),
    Case(list[Color], "lines", "red\nblue", ["red", "blue"], "pink", "Line 1"),
    Case(set[int], "lines", "1\n2", [1, 2], "1\n1", "given twice"),
    Case(frozenset[str], "lines", "a", ["a"], "a\na", "given twice"),
    Case(tuple[int, ...], "lines", "1\n2", [1, 2], "a", "whole number"),
    Case(Sequence[float], "lines", "1.5", [1.5], "a", "number"),
    Case(Annotated[list[int], Field(max_length=1)], "lines", "1", [1], "1\n2", "at most 1 item"),
    Case(tuple[int, str], "json", '[1, "a"]', [1, "a"], "[1]", "exactly 2 items"),
    Case(tuple[date, bytes], "json", '["2026-03-01", "b"]', [date(2026, 3, 1), b"b"], '["x", "b"]', "At [0]"),
    Case(Pair, "json", "[1]", [1], '["a"]', "At [0]: This is not a whole number"),
    Case(list[list[int]], "json", "[[1], [2]]", [[1], [2]], '[[1], ["a"]]', "At [1][0]"),
    Case(list, "json", '[1, "a"]', [1, "a"], "{}", "must be a list"),
    Case(dict[str, int], "pairs", 'a = 1\n"b = c" = 2', {"a": 1, "b = c": 2}, "a = x", "Line 1"),
    Case(dict[str, int], "pairs", "a=1", {"a": 1}, "a = 1\na = 2", "given twice"),
    Case(dict[str, str], "pairs", "a = 1 = 2", {"a": "1 = 2"}, "just this", "equals sign"),
    Case(dict[str, str], "pairs", 'a = "1"', {"a": "1"}, "__type__ = date\n__value__ = 1", "__type__"),
    Case(dict[int, date], "pairs", "1 = 2026-03-01", {"1": date(2026, 3, 1)}, "1 = 2", "Line 1"),
    Case(dict, "json", '{"a": null}', {"a": None}, "[]", "must be a dictionary"),
    Case(dict[str, Any], "json", '{"a": [1]}', {"a": [1]}, '{"a": 1, "a": 2}', '"a" is given twice'),
    Case(dict[str, list[int]], "json", '{"a": [1]}', {"a": [1]}, '{"a": ["b"]}', "At a[0]"),
    Case(Any, "json", '{"a": [1, "x", null]}', {"a": [1, "x", None]}, '"hello', "not JSON"),
    Case(Any, "json", "hello", "hello", "[1, 2", "not JSON"),
    Case(Any, "json", '"3"', "3", "1e400", "too large"),
    Case(Any, "json", "two\r\nlines ", "two\nlines ", '{"a": 1', "not JSON"),
    Case(Any, "json", "True", True, "", "This is needed"),
    Case(object, "json", '"True"', "True", "-Infinity", "finite number"),
    Case(list, "json", "1\n[2]\nx", [1, [2], "x"], "[1, x]", "not JSON"),
    Case(dict, "json", "a = 1\nb = x", {"a": 1, "b": "x"}, "hello", "equals sign"),
    Case(str | list[str], "json", "5", "5", "[5]", "text"),
    Case(dict[int, str], "pairs", '{"1": "a"}', {"1": "a"}, "x = a", "The key x is wrong. This is not a whole number"),
    Case(dict[Color, int], "pairs", "red = 1", {"red": 1}, "pink = 1", "one of red, blue"),
    Case(Plain | None, "json", "null", None, "[", "not JSON"),
    Case(list[Plain], "json", "1\n{}", [1, {}], "{}", "must be a list"),
    Case(Loose, "group", {"size": "3", "plain": "x"}, {"size": 3, "plain": "x"}, {"size": "x"}, "whole number"),
    Case(Collection[int], "lines", "1\n2", [1, 2], "x", "Line 1"),
    Case(bytes | str, "union", "hello", "hello"),
    Case(bool | int | str, "union", "1", 1),
    Case(bool | int | str, "union", "no", "no"),
    Case(Right, "integer", "3", 3, "4", "at most 3"),
    Case(Any, "json", "null", None, '{"__type__": "date", "__value__": "2026-03-01"}', "raw JSON"),
    Case(object, "json", "1", 1, "NaN", "finite number"),
    Case(T, "json", "1", 1, "[" * 100 + "]" * 100, "deeper than 64"),
    Case(Callable[[int], int], "json", "1", 1, "[" * 100_000, ""),
    Case("int", "integer", "3", 3, "x", "whole number"),
    Case(
        "list[Address]",
        "json",
        '[{"street": "a", "number": 1}]',
        [{"street": "a", "number": 1}],
        '[{"number": 1}]',
        "street",
    ),
    Case("DoesNotExist", "json", "1", 1, "{", "not JSON"),
    Case("list[", "json", "1", 1, "{", "not JSON"),
    Case("1 / 0", "json", "1", 1, "{", "not JSON"),
    Case(17, "json", "1", 1, "{", "not JSON"),
    Case(UserId, "integer", "7", 7, "x", "whole number"),
    Case(
        Point,
        "group",
        {"x": "1.5", "y": "2", "tags": "a\nb"},
        {"x": 1.5, "y": 2, "tags": ["a", "b"]},
        {"x": "1"},
        "needed",
    ),
    Case(
        Address, "group", {"street": "a", "number": "1"}, {"street": "a", "number": 1}, {"number": "0"}, "more than 0"
    ),
    Case(
        Order,
        "group",
        {"address.street": "a", "address.number": "1", "paid": "1.50", "due": "2026-03-01"},
        {"address": {"street": "a", "number": 1}, "paid": Decimal("1.50"), "due": date(2026, 3, 1)},
        {"address.street": "a", "paid": "1", "due": "2026-03-01"},
        "This is needed. Type a whole number such as 1",
    ),
    Case(Tree, "group", {"name": "a", "children": '[{"name": "b"}]'}, {"name": "a", "children": [{"name": "b"}]}),
    Case(
        Tree,
        "group",
        {"name": "a"},
        {"name": "a"},
        {"name": "a", "children": '[{"children": []}]'},
        "At [0]: The key name",
    ),
    Case(
        Link,
        "group",
        {"value": "1", "next": '{"value": 2}'},
        {"value": 1, "next": {"value": 2}},
        {"value": "x"},
        "whole",
    ),
    Case(Options, "group", {"size": "3"}, {"size": 3}, {"size": "x"}, "whole number"),
    Case(
        Options,
        "group",
        {"when": "2026-03-01 00:00"},
        {"when": datetime(2026, 3, 1, tzinfo=UTC)},
        {"when": "x"},
        "date",
    ),
    Case(Person, "group", {"name": "Ada"}, {"name": "Ada"}, {"age": "3"}, "needed"),
    Case(
        Person | None,
        "group",
        {"name": "Ada", "age": "36"},
        {"name": "Ada", "age": 36},
        {"name": "Ada", "age": "x"},
        "whole",
    ),
    Case(list[Person], "json", '[{"name": "a"}]', [{"name": "a"}], '[{"age": 1}]', "name is missing"),
    Case(Box[int], "group", {"content": "3"}, {"content": 3}, {"content": "x"}, "whole number"),
    Case(Box[list[Address]], "group", {"content": "[]"}, {"content": []}, {"content": "{}"}, "must be a list"),
    Case(Dotted, "group", {"a%2Eb": "3"}, {"a.b": 3}, {"a%2Eb": "x"}, "whole number"),
]


def takes(annotation: Any) -> Callable[..., None]:
    """Return a function with one parameter of a type."""

    def task(value: Any) -> None:
        """Do something."""

    task.__annotations__ = {"value": annotation}
    return task


def submitted(typed: str | Mapping[str, str]) -> dict[str, list[str]]:
    if isinstance(typed, str):
        return {"p.value": [typed]}
    return {f"p.value.{path}": [text] for path, text in typed.items()}


def identify(case: Case) -> str:
    return f"{getattr(case.annotation, '__name__', case.annotation)}-{case.kind}"[:60]


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_the_right_value_arrives(case: Case) -> None:
    schema = json.loads(json.dumps(schema_of(takes(case.annotation))))
    form = form_of(schema)
    assert form.fields[0].kind == case.kind
    assert form.fields[0].type_text
    reading = read(form, submitted(case.typed))
    assert reading.ok, [item.error for item in reading.form.fields[0].walk()]
    arrived = loads(dumps(reading.args))
    assert arrived == [case.arrives]
    assert type(arrived[0]) is type(case.arrives)


@pytest.mark.parametrize("case", [case for case in CASES if case.wrong is not None], ids=identify)
def test_a_wrong_value_gets_a_message(case: Case) -> None:
    assert case.wrong is not None
    reading = read(form_of(schema_of(takes(case.annotation))), submitted(case.wrong))
    assert not reading.ok
    errors = [item.error for top in reading.form.fields for item in top.walk() if item.error] + reading.errors
    assert case.message in " ".join(errors)


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_stored_call_comes_back_into_the_fields(case: Case) -> None:
    form = form_of(schema_of(takes(case.annotation)))
    reading = read(form, submitted(case.typed))
    filled = fill(form, reading.args, reading.kwargs)
    assert filled.problems == []
    again = read(form, submitted_of(*filled.form.fields))
    assert (again.args, again.kwargs) == (reading.args, reading.kwargs)
    assert read_raw(raw_of(reading.args, reading.kwargs), form) == (reading.args, reading.kwargs, [])


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_a_schema_is_a_small_and_proper_json_schema(case: Case) -> None:
    schema = schema_of(takes(case.annotation))
    assert len(json.dumps(schema)) < PUBLISHED_MAX
    value = {**(schema["parameters"][0]["schema"] or {}), "$defs": schema["$defs"]}
    jsonschema.Draft202012Validator.check_schema(value)


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_what_is_blank_is_not_sent(case: Case) -> None:
    schema = schema_of(takes(case.annotation))
    schema["parameters"][0]["required"] = False
    reading = read(form_of(schema), {"p.value": [""]} if case.kind != "group" else {})
    assert reading.ok
    assert (reading.args, reading.kwargs) == ([], {})
    assert Given.NOT not in reading.args


@pytest.mark.parametrize("annotation", [Callable[[int], int], "DoesNotExist", "1 / 0", "list[", 17, object.__new__])
def test_what_cannot_be_understood_has_no_schema(annotation: Any) -> None:
    assert schema_of(takes(annotation))["parameters"][0]["schema"] is None
