"""What a worker publishes of a task: names, notes and defaults, whatever the code of the task does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from celery import Celery, Task
from kombu.utils.json import dumps, loads
from pydantic import BaseModel, Field

from webapp.forms import json_values
from webapp.forms.fields import form_of
from webapp.forms.parse import read
from webapp.worker.describe import PUBLISHED_MAX, schema_of

STAMPS = [
    datetime(2026, 3, 1, 14, 30, tzinfo=UTC),
    datetime(2026, 3, 1, 14, 30, 0, 5),  # noqa: DTZ001
    date(2026, 3, 1),
    time(14, 30),
    Decimal("12.50"),
    Decimal("-1E+5"),
    UUID("123e4567-e89b-12d3-a456-426614174000"),
    b"text",
    b"\x00\xff",
    b"",
]


class Color(Enum):
    RED = "red"


class Raising:
    """Raises wherever it can."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class Leaving:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        sys.exit(3)


class Order(BaseModel):
    """An order."""

    number: int = Field(gt=0, description="The number on the invoice.", title="Number")
    text: str = "none yet"


def google(path: str, count: int = 1, *args: int, **kwargs: int) -> None:
    """Read a file
    and count.

    More about it: nothing.

    Args:
        path (str): Where the file is,
            on the server.
        count: How often.
        *args: Further counts.
        **kwargs: Further names.

    Returns:
        path: not this one.
    """


def numpy(path: str, count: int = 1, other: int = 2) -> None:
    """Read a file.

    Parameters
    ----------
    path : str
        Where the file is,
        on the server.
    count, other : int, optional
        How often.

    Returns
    -------
    path
        Not this one.
    """


def sphinx(path: str, count: int = 1) -> None:
    """Read a file.

    :param str path: Where the file is,
        on the server.
    :param count: How often.
    :type count: int
    :returns: nothing
    """


def notes(function: Callable[..., Any]) -> dict[str, str]:
    return {entry["name"]: entry["help"] for entry in schema_of(function)["parameters"]}


def test_notes_are_found_in_three_styles() -> None:
    assert notes(google) == {
        "path": "Where the file is, on the server.",
        "count": "How often.",
        "args": "Further counts.",
        "kwargs": "Further names.",
    }
    assert notes(numpy) == {"path": "Where the file is, on the server.", "count": "How often.", "other": "How often."}
    assert notes(sphinx) == {"path": "Where the file is, on the server.", "count": "How often."}
    assert schema_of(google)["summary"] == "Read a file and count."
    assert "More about it" in schema_of(google)["doc"]


def test_defaults_are_values_where_json_has_them() -> None:
    def task(
        a: int = 1,
        b: Any = (1, 2),
        c: Any = object(),  # noqa: B008
        d: Color = Color.RED,
        e: date = date(2026, 3, 1),
        f: Any = Raising(),  # noqa: B008
        g: float = float("inf"),
        h: str = "",
        i: Any = None,
        j: str = "x" * 5_000,
        k: timedelta = timedelta(minutes=5),
        m: Path = Path("/srv"),
    ) -> None: ...

    entries = schema_of(task)["parameters"]
    json.dumps(entries, allow_nan=False)
    shown = {e["name"]: e.get("default", e.get("default_text")) for e in entries}
    long = shown.pop("j")
    assert len(long) < 300
    assert shown == {
        "a": 1,
        "b": "(1, 2)",
        "c": "<object object>",
        "d": "red",
        "e": "2026-03-01",
        "f": "<Raising>",
        "g": "inf",
        "h": "",
        "i": None,
        "k": "0:05:00",
        "m": "/srv",
    }
    texts = {item.name: item.default for item in form_of(schema_of(task)).fields}
    assert (texts["a"], texts["h"], texts["i"]) == ("1", '""', "None")
    assert not any(entry["required"] for entry in entries)


@pytest.mark.parametrize("annotation", [Leaving, Raising(), "Leaving", "missing.name", "sys.exit()", [1], ..., "'"])
def test_annotations_that_raise_spoil_no_other(annotation: Any) -> None:
    def task(a: Any, b: Any) -> None: ...

    task.__annotations__ = {"a": annotation, "b": int}
    first, second = schema_of(task)["parameters"]
    assert first["schema"] is None
    assert second["schema"] == {"type": "integer"}


def test_bounds_and_defaults_that_json_lacks_spoil_nothing() -> None:
    class Endless(BaseModel):
        most: float = float("inf")
        least: float = Field(float("nan"), ge=float("-inf"))

    def task(a: Any, b: Any, c: Any) -> None: ...

    task.__annotations__ = {"a": Endless, "b": Annotated[float, Field(ge=float("nan"))], "c": int}
    form = form_of(schema_of(task))
    assert [item.kind for item in form.fields] == ["group", "number", "integer"]
    assert [child.default for child in form.fields[0].children] == ["Infinity", "NaN"]
    assert read(form, {"p.a.most": ["1"], "p.b": ["2"], "p.c": ["3"]}).args == [{"most": 1}, 2, 3]


def test_what_has_no_signature_has_no_parameters() -> None:
    class Odd:
        __signature__ = 3

        def __call__(self) -> None: ...

    for function in (Odd(), print, dict, 3, None):
        schema = schema_of(function)  # type: ignore[arg-type]
        json.dumps(schema)
        form_of(schema)
    assert schema_of(Odd())["parameters"] is None


def test_a_large_description_is_reduced_to_names() -> None:
    code = ", ".join(f"parameter_{n}: Order | int | None = None" for n in range(90))
    names: dict[str, Any] = {"Order": Order}
    exec(f"def task({code}): '''{'Words. ' * 20_000}'''", names)
    schema = schema_of(names["task"])
    assert len(json.dumps(schema)) <= PUBLISHED_MAX
    assert len(form_of(schema).fields) == 90
    exec(f"def many({', '.join(f'{chr(97 + n % 26) * 200}{n}' for n in range(500))}): ...", names)
    huge = schema_of(names["many"])
    assert huge["parameters"] is None
    assert form_of(huge).raw_only


def test_models_of_the_same_name_are_kept_apart() -> None:
    def other() -> type[BaseModel]:
        class Order(BaseModel):
            word: str

        return Order

    def task(a: Any, b: Any) -> None: ...

    task.__annotations__ = {"a": Order, "b": other()}
    first, second = form_of(schema_of(task)).fields
    assert [child.name for child in first.children] == ["number", "text"]
    assert [child.name for child in second.children] == ["word"]
    assert first.children[0].label == "Number"
    assert first.children[0].help == "The number on the invoice."
    assert first.children[0].type_text == "whole number, more than 0"
    assert first.children[1].default == "none yet"


def test_tasks_of_celery() -> None:
    app = Celery("test", set_as_current=False)

    @app.task(bind=True, autoretry_for=(ValueError,))
    def bound(self: Task, x: int, y: float = 2.0) -> None:
        """Do it.

        :param x: the first
        """

    @app.task(pydantic=True)
    def modelled(order: Order) -> None: ...

    class Based(Task):  # type: ignore[misc]
        """A task of a class."""

        name = "based"

        def run(self, x: int) -> None: ...

    class Silent(Task):  # type: ignore[misc]
        name = "silent"

        def run(self, x: int) -> None: ...

    for task in (bound, modelled, app.register_task(Based()), app.register_task(Silent())):
        assert "self" not in [entry["name"] for entry in schema_of(task.run)["parameters"]]
    assert notes(bound.run) == {"x": "the first", "y": ""}
    assert form_of(schema_of(modelled.run)).fields[0].kind == "group"
    assert schema_of(app.tasks["based"].run)["doc"] == "A task of a class."
    assert schema_of(app.tasks["silent"].run)["doc"] == ""


@pytest.mark.parametrize("stamp", STAMPS, ids=repr)
def test_tags_are_exactly_those_of_kombu(stamp: json_values.Stamp) -> None:
    written = json_values.write(stamp)
    assert written == json.loads(dumps(stamp))
    assert loads(json.dumps(written)) == stamp == json_values.read(written)


def test_conversions_are_told() -> None:
    def task(a: timedelta, b: Color, c: set[int], d: bytes, e: Order, f: list[str], g: int | str) -> None: ...

    task.__annotations__ |= {"a": timedelta, "b": Color, "c": set[int], "d": bytes, "e": Order, "f": list[str]}
    assert {item.name: item.type_text for item in form_of(schema_of(task)).fields} == {
        "a": "time span such as 90, 1:30:00 or 5 min, sent as a number of seconds",
        "b": "always red (Color, sent as its value)",
        "c": "list of whole numbers, each once, sent as a list, one per line",
        "d": "text sent as bytes, or base 64 such as base64:AP8=",
        "e": "Order, sent as a dictionary",
        "f": "list of texts, one per line",
        "g": "whole number or text",
    }


def test_long_texts_get_a_large_box() -> None:
    def task(body: str, mail_text: str, name: str, about: str, context: str) -> None:
        """Do it.

        Args:
            about: Several lines about it.
        """

    kinds = {item.name: item.kind for item in form_of(schema_of(task)).fields}
    assert kinds == {"body": "long", "mail_text": "long", "name": "text", "about": "long", "context": "text"}


def test_a_default_stays_in_force_when_nothing_is_typed() -> None:
    def task(when: date = date(2026, 3, 1), count: int = 3) -> None: ...

    form = form_of(schema_of(task))
    assert form.fields[0].default == "2026-03-01"
    assert (read(form, {}).args, read(form, {}).kwargs) == ([], {})
    assert read(form, {"p.count": ["4"]}).kwargs == {"count": 4}
