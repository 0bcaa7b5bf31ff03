"""Tasks that take models, dataclasses and typed dictionaries, alone, nested, in lists and in unions."""
# ruff: noqa: ANN201  # What a task returns is no part of its form.

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from celery import shared_task
from pydantic import UUID4, BaseModel, ConfigDict, Field, RootModel, field_validator

from tests.integration.forms.signatures.cases import Cases, told
from tests.integration.forms.signatures.scalars import IDENTIFIER, Color

CASES = Cases()
case = CASES.case
T = TypeVar("T")


class Address(BaseModel):
    street: str = Field(min_length=1, description="Without the number.")
    number: int = Field(gt=0)
    note: str | None = None


class Order(BaseModel):
    address: Address
    paid: Decimal
    due: date
    color: Color = Color.RED
    lines: list[Address] = []


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Aliased(BaseModel):
    schema_: int = Field(alias="schema")
    json_: str = Field("x", alias="json", max_length=3)


class Checked(BaseModel):
    low: int
    high: int

    @field_validator("high")
    @classmethod
    def above(cls, value: int, info: Any) -> int:
        if value <= info.data.get("low", value - 1):
            raise ValueError("high must be above low")
        return value


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    size: int


class Endless(BaseModel):
    most: float = float("inf")
    first: UUID4 | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Box(BaseModel, Generic[T]):
    content: T


class Ids(RootModel[list[int]]):
    pass


ADDRESS = {"street": "High Street", "number": 1}
TYPED = {"value.street": "High Street", "value.number": "1"}


@case(TYPED, {"value": ADDRESS}, TYPED | {"value.number": "0"}, "more than 0", where="value.number")
@shared_task
def address(value: Address):
    return told(locals())


@case(
    {"value.address.street": "a", "value.address.number": "1", "value.paid": "1.50", "value.due": "2026-03-01"},
    {"value": {"address": {"street": "a", "number": 1}, "paid": Decimal("1.50"), "due": date(2026, 3, 1)}},
    {"value.address.street": "a", "value.address.number": "x", "value.paid": "1", "value.due": "2026-03-01"},
    "whole number",
    where="value.address.number",
)
@shared_task
def order(value: Order):
    return told(locals())


@case(
    {"value.name": "a", "value.children": '[{"name": "b"}]'},
    {"value": {"name": "a", "children": [{"name": "b"}]}},
    {"value.children": '[{"children": []}]', "value.name": "a"},
    "name is missing",
)
@shared_task
def tree(value: Tree):
    return told(locals())


@case(
    {"value.schema": "1", "value.json": "ab"}, {"value": {"schema": 1, "json": "ab"}}, {"value.json": "abcd"}, "most 3"
)
@shared_task
def aliased(value: Aliased):
    return told(locals())


@case(
    {"value.low": "1", "value.high": "2"}, {"value": {"low": 1, "high": 2}}, {"value.low": "1"}, "", where="value.high"
)
@shared_task
def checked(value: Checked):
    return told(locals())


@case('{"size": 1, "more": "x"}', {"size": 1, "more": "x"}, '{"more": 1}', "size is missing")
@case("size = 1", {"size": 1}, "size = x", "whole number")
@shared_task
def open_ended(value: Open):
    return told(locals())


@case({"value.most": "5"}, {"value": {"most": 5}}, {"value.first": "x"}, "UUID")
@case({"value.first": IDENTIFIER}, {"value": {"first": UUID(IDENTIFIER)}})
@shared_task
def endless(value: Endless):
    return told(locals())


@case({"s.value": "none"}, {"value": None})
@case(TYPED, {"value": ADDRESS}, {"value.number": "1"}, "This is needed", where="value.street")
@shared_task
def maybe(value: Address | None = None):
    return told(locals())


@case('{"kind": "dog", "tricks": ["sit"]}', {"kind": "dog", "tricks": ["sit"]}, '{"kind": "dog"}', "tricks is missing")
@case('{"kind": "cat"}', {"kind": "cat"}, '{"kind": "cow"}', "Cat")
@shared_task
def pet(value: Annotated[Cat | Dog, Field(discriminator="kind")]):
    return told(locals())


@case('[{"street": "a", "number": 1}]', [{"street": "a", "number": 1}], '[{"number": 1}]', "street is missing")
@shared_task
def addresses(value: list[Address]):
    return told(locals())


@case({"a.content": "3", "b": "1\n2"}, {"a": {"content": 3}, "b": [1, 2]}, {"a.content": "x", "b": "1"}, "whole number")
@shared_task
def generic(a: Box[int], b: Ids):
    return told(locals())


@case(
    {"value.address.street": "a", "value.address.number": "1", "value.paid": "1.50", "value.due": "2026-03-01"},
    {"value": Order(address=Address(street="a", number=1), paid=Decimal("1.50"), due=date(2026, 3, 1))},
    {"value.address.street": "a"},
    "This is needed",
    where="value.paid",
)
@shared_task(pydantic=True)
def validated(value: Order):
    return told(locals())


@case({"value.low": "2", "value.high": "1"}, {}, {"value.low": "x", "value.high": "1"}, "whole number", state="FAILURE")
@case({"value.low": "1", "value.high": "2"}, {"value": Checked(low=1, high=2), "other": None})
@shared_task(pydantic=True, bind=True)
def validated_and_bound(self, value: Checked, other: Address | None = None):  # noqa: ANN001
    return told(locals())
