"""What the default of a parameter says about its values, and what it may do to the worker that looks at it."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Any

from pydantic import BaseModel

from webapp.forms.calls import fill, read_raw, submitted_of
from webapp.forms.fields import form_of
from webapp.forms.parse import read
from webapp.worker.describe import schema_of


class Order(BaseModel):
    number: int


class Exiting:
    """Ends the process wherever it can."""

    def __repr__(self) -> str:
        sys.exit(3)

    def __eq__(self, other: object) -> bool:
        sys.exit(3)

    __hash__ = None  # type: ignore[assignment]


class Odd(Enum):
    ONE = 1

    @property
    def value(self) -> Any:  # type: ignore[override]
        sys.exit(3)


def test_a_default_or_a_docstring_that_exits_costs_only_itself() -> None:
    class Computed:
        def __call__(self, a: Any = Exiting(), b: Any = Odd.ONE, c: int = 1) -> None: ...  # noqa: B008

        @property
        def __doc__(self) -> str:  # type: ignore[override]
            sys.exit(3)

    schema = schema_of(Computed())
    assert [entry.get("default_text") for entry in schema["parameters"]] == ["<Exiting>", "<Odd.ONE: 1>", None]
    assert schema["parameters"][2]["schema"] == {"type": "integer"}


def test_a_default_of_none_means_that_none_may_be_given() -> None:
    def task(
        a: int = None,  # type: ignore[assignment]  # noqa: RUF013
        b: list[Order] = None,  # type: ignore[assignment]  # noqa: RUF013
        c: str | None = None,
        d: Any = None,
        e: int = 0,
    ) -> None: ...

    task.__annotations__ = {"a": int, "b": list[Order], "c": str | None, "d": Any, "e": int}
    form = form_of(schema_of(task))
    assert [(item.kind, item.nullable) for item in form.fields] == [
        ("integer", True),
        ("json", True),
        ("text", True),
        ("json", False),
        ("integer", False),
    ]
    filled = fill(form, [None], {"b": None, "c": None, "d": None})
    assert filled.problems == []
    assert read(form, submitted_of(*filled.form.fields)).args == [None, None, None, None]
    assert read_raw('{"args": [null], "kwargs": {"b": null}}', form)[2] == []
    assert read_raw('{"kwargs": {"e": null}}', form)[2] != []
