"""Whatever a worker publishes, little work is done with it: beyond that the form is plain JSON, which can be sent."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.forms.calls import read_raw
from webapp.forms.fields import OPTIONS_MAX, form_of
from webapp.forms.parse import read
from webapp.forms.patterns import SIZE_MAX, size_of
from webapp.forms.validate import PATTERNS_MAX


def described(*nodes: Any, **defs: Any) -> dict[str, Any]:
    """Return the description of a task whose parameters have these schemas."""
    parameters = [{"name": f"a{n}", "kind": "keyword-only", "schema": node} for n, node in enumerate(nodes)]
    return {"version": 1, "parameters": parameters, "$defs": defs}


def far_and_wide() -> dict[str, Any]:
    """Return definitions of 30 KB, all of which is looked through 50 times at each level of each value."""
    last = {f"k{n}": 0 for n in range(2_500)} | {"type": "array", "items": {"$ref": "#/$defs/Union"}}
    defs = {f"Step{n}": {"$ref": f"#/$defs/Step{n + 1}"} for n in range(13)} | {"Step13": last}
    defs["Union"] = {"anyOf": [{"allOf": [{"$ref": "#/$defs/Step0"}], "title": f"t{n}"} for n in range(50)]}
    return defs


def test_a_description_that_makes_too_much_work_gets_no_fields() -> None:
    form = form_of(described({"$ref": "#/$defs/Union"}, **far_and_wide()))
    assert form.reason == "The description of this task is too intricate to be shown as fields."
    assert read_raw('{"kwargs": {"a0": [1]}}', form) == ([], {"a0": [1]}, [])


def test_what_would_take_too_much_work_to_be_said_is_not_said() -> None:
    deep: Any = {"anyOf": far_and_wide()["Union"]["anyOf"]}
    for _ in range(5):
        deep = {"type": "array", "items": deep}
    form = form_of(described(deep, **far_and_wide()))
    assert not form.raw_only
    (field,) = read(form, {"p.a0": ["[[[[[[1]]]]]]"]}).form.fields
    assert field.error == "At [0][0][0][0][0]: This must be what the task describes."


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
        r"^\d{3}-\d{4}$",
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        r"^[A-Za-z_][A-Za-z0-9_]{0,62}$",
        r"^[^/\s]{1,100}$",
        r"^(?:[01]\d|2[0-3]):[0-5]\d$",
        r"^\p{Lu}\p{L}*$",
    ],
)
def test_patterns_that_people_write_are_tried(pattern: str) -> None:
    assert size_of(pattern) < SIZE_MAX
    assert read(form_of(described({"type": "string", "pattern": pattern})), {"p.a0": ["/ ?"]}).form.wrong


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?i)[\p{L}\p{N}]{0,100}x",
        r"(\w{1000}){1000}",
        r"((a{1,100}){1,100}){100}",
        r"\p{L}{0,100}",
        r"[^\W\d]{99}x{9}",
    ],
)
def test_a_pattern_that_would_fill_the_memory_is_left_to_the_worker(pattern: str) -> None:
    assert size_of(pattern) > SIZE_MAX
    assert read(form_of(described({"type": "string", "pattern": pattern})), {"p.a0": ["/ ?"]}).ok


def test_of_very_many_patterns_the_first_are_tried() -> None:
    count = PATTERNS_MAX + 10
    form = form_of(described(*({"type": "string", "pattern": f"^{n}$"} for n in range(count))))
    wrong = [field.name for field in read(form, {f"p.a{n}": ["x"] for n in range(count)}).form.fields if field.error]
    assert wrong == [f"a{n}" for n in range(PATTERNS_MAX)]


def test_choices_have_so_many_options_together() -> None:
    form = form_of(described(*[{"$ref": "#/$defs/E"}] * 100, E={"enum": [f"o{n}" for n in range(400)]}))
    assert sum(len(field.options) for field in form.fields) <= OPTIONS_MAX
    assert read(form, {"p.a99": ["o7"]}).kwargs == {"a99": "o7"}


@pytest.mark.parametrize("keyword", ["minimum", "exclusiveMinimum", "multipleOf", "minLength", "x-max-digits"])
def test_a_bound_of_thousands_of_digits_is_none(keyword: str) -> None:
    for kind in ({"type": "integer"}, {"type": "string"}, {"type": "string", "format": "decimal"}):
        form = form_of(described({**kind, keyword: int("9" * 4_300)}))
        assert read(form, {"p.a0": ["3"]}).ok
