"""A call as raw JSON, and a stored call back in the fields of a form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

from webapp.forms import json_values, strict_json, values
from webapp.forms.description import ARGS, KEYWORD, KWARGS, POSITIONAL
from webapp.forms.fields import Field, Form
from webapp.forms.json_schema import ValidationError
from webapp.forms.parse import EMPTY, NONE, Given, read_field
from webapp.forms.validate import Checker


@dataclass(frozen=True, slots=True)
class Filled:
    """A form with the values of a stored call, and what of that call it cannot take."""

    form: Form
    problems: list[str]


def raw_of(args: list[Any], kwargs: dict[str, Any]) -> str:
    """Return a call as the JSON that ``read_raw`` reads."""
    call = {"args": list(args), "kwargs": kwargs}
    return strict_json.written(call, default=_written)


def _written(value: Any) -> Any:
    return json_values.write(value) if isinstance(value, json_values.Stamp) else json_values.described(value)


def read_raw(text: str, form: Form, zone: tzinfo = UTC) -> tuple[list[Any], dict[str, Any], list[str]]:
    """Return the call that a JSON text says, exactly as it says it, and what is wrong with it.

    Where there are errors the arguments are not to be used. What fits the form only after a conversion, such as a date
    written as a mere text, is an error too: here everything is sent as it is written.
    """
    try:
        # The outer dictionary, and the list and the dictionary inside it, are no part of any argument.
        args, kwargs = _parts(strict_json.parse(text, tags=True, around=2))
    except ValidationError as fault:
        return [], {}, [str(fault)]
    if form.raw_only or form.guessed:
        return args, kwargs, []
    bound, errors = bind(form, args, kwargs)
    checker = Checker(form.defs, zone, exact=True, otherwise="Give less in one call.")
    for item in form.fields:
        if item.name in bound:
            errors += _raw_errors(item, bound[item.name], checker)
        elif item.required:
            errors.append(f"{item.name} is missing.")
    return args, kwargs, errors


def _parts(call: Any) -> tuple[list[Any], dict[str, Any]]:
    shape = 'Write {"args": [1, 2], "kwargs": {"name": "value"}}.'
    if not isinstance(call, dict) or json_values.is_tagged(call) or call.keys() - {"args", "kwargs"}:
        raise ValidationError(f"This must be a dictionary with the keys args and kwargs. {shape}")
    args, kwargs = call.get("args", []), call.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict) or json_values.is_tagged(kwargs):
        raise ValidationError(f"args must be a list and kwargs a dictionary. {shape}")
    return args, kwargs


def _raw_errors(item: Field, value: Any, checker: Checker) -> list[str]:
    if value is None and item.nullable:
        return []
    try:
        checker.settle(value, item.schema)
    except ValidationError as fault:
        return [f"{item.name}: {fault}"]
    return []


def bind(form: Form, args: list[Any], kwargs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return which value each parameter of a call gets, and why others find no parameter."""
    bound: dict[str, Any] = {}
    problems: list[str] = []
    places = [item for item in form.fields if item.passed not in (KEYWORD, KWARGS, ARGS)]
    by_name = {item.name for item in form.fields if item.passed not in (POSITIONAL, KWARGS, ARGS)}
    rest = {item.passed: item.name for item in form.fields if item.passed in (ARGS, KWARGS)}
    bound.update((item.name, value) for item, value in zip(places, args, strict=False))
    if over := args[len(places) :]:
        if ARGS in rest:
            bound[rest[ARGS]] = over
        else:
            problems.append(f"The task takes {len(places)} arguments by position; this call has {len(args)}.")
    others: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in by_name and name in bound:
            problems.append(f"{name} is given twice, by position and by name.")
        elif name in by_name:
            bound[name] = value
        elif KWARGS in rest:
            others[name] = value
        else:
            problems.append(f"The task has no parameter {strict_json.shown(name[:100])} that is given by name.")
    if others:
        bound[rest[KWARGS]] = others
    return bound, problems


def fill(form: Form, args: list[Any], kwargs: dict[str, Any], zone: tzinfo = UTC) -> Filled:
    """Return the form with the values of a stored call, and why it can no longer take some of them.

    Each value is read back from its field; one that would not come back the same is a problem too.
    """
    if form.raw_only:
        return Filled(form, [])
    bound, problems = bind(form, args, kwargs)
    checker = Checker(form.defs, zone)
    fields = []
    for item in form.fields:
        shown = item
        if item.name in bound:
            shown, faults = _filled(item, bound[item.name], checker)
            problems += faults
        fields.append(shown)
    return Filled(replace(form, fields=tuple(fields)), problems)


def _filled(item: Field, value: Any, checker: Checker) -> tuple[Field, list[str]]:
    try:
        shown = show(item, value, checker)
        back, again = read_field(shown, submitted_of(shown), checker)
    except (ValidationError, ValueError, TypeError, RecursionError) as fault:
        reason = str(fault) if isinstance(fault, ValidationError) else "It cannot be shown in a field."
        return replace(item, error=reason), [f"{item.name}: {reason}"]
    faults = [f"{inner.path[2:]}: {inner.error}" for inner in back.walk() if inner.error]
    if not faults and again is not Given.NOT and not strict_json.same(again, value):
        sent, now = strict_json.shown(value)[:200], strict_json.shown(again)[:200]
        faults = [f"{item.name}: it was sent as {sent}, and is now {now}."]
    return back, faults


def show(item: Field, value: Any, checker: Checker) -> Field:
    """Return a field that shows a stored value. Raises ``ValidationError`` when it cannot."""
    if value is None and item.nullable:
        return replace(item, state=NONE)
    if item.kind == "group":
        return _shown_group(item, value, checker)
    if item.may_be_empty and value in ("", [], {}):
        return replace(item, state=EMPTY)
    text = values.text_of(item.kind, value, item.schema, checker)
    # An input of one line would lose the end of each line.
    kind = "long" if item.kind == "text" and "\n" in text else item.kind
    return replace(item, kind=kind, value=text)


def _shown_group(item: Field, value: Any, checker: Checker) -> Field:
    if not isinstance(value, dict):
        raise ValidationError(f"This must be a dictionary; it was {strict_json.shown(value)[:200]}.")
    if strange := [name for name in value if name not in {child.name for child in item.children}]:
        raise ValidationError(f"It has no field {strict_json.shown(strange[0])} any more.")
    if not value and item.may_be_empty:
        return replace(item, state=EMPTY)
    children = (show(child, value[child.name], checker) if child.name in value else child for child in item.children)
    return replace(item, children=tuple(children))


def submitted_of(*fields: Field) -> dict[str, list[str]]:
    """Return what a browser submits for filled fields."""
    submitted: dict[str, list[str]] = {}
    for item in (inner for top in fields for inner in top.walk()):
        if item.value:
            submitted[item.path] = [item.value]
        if item.state:
            submitted[item.state_path] = [item.state]
    return submitted
