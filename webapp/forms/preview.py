"""A call as the line of Python that sends it."""

from __future__ import annotations

from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from webapp.forms import json_values
from webapp.forms.json_schema import ValidationError


def preview(name: str, args: list[Any], kwargs: dict[str, Any], options: Mapping[str, Any]) -> str:
    """Return the Python call, such as ``divide.apply_async(args=[1, 2], queue='slow', countdown=5)``.

    A task whose name ends in no Python name is called with ``send_task``.
    """
    task = name.rpartition(".")[2]
    callee = f"{task}.apply_async" if _is_name(task) else "app.send_task"
    parts = [] if _is_name(task) else [repr(name)]
    parts += [f"args={python(args)}"] if args else []
    parts += [f"kwargs={python(kwargs)}"] if kwargs else []
    parts += [f"{key}={python(value)}" for key, value in options.items() if _is_name(key)]
    strange = {key: value for key, value in options.items() if not _is_name(key)}
    parts += [f"**{python(strange)}"] if strange else []
    return f"{callee}({', '.join(parts)})"


def python(value: Any) -> str:
    """Return a value as Python writes it; what travels with a tag as the object that the worker gets."""
    try:
        return _python(value)
    except RecursionError:
        return "..."


def _python(value: Any) -> str:
    if json_values.is_tagged(value):
        try:
            return _qualified(json_values.read(value))
        except ValidationError:
            return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_python(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    return _qualified(value) if isinstance(value, json_values.Stamp) else repr(value)


def _qualified(value: json_values.Stamp) -> str:
    """Return a value with the module of its class; ``datetime`` writes it by itself."""
    module = {"Decimal": "decimal.", "UUID": "uuid."}.get(type(value).__name__, "")
    return f"{module}{value!r}"


def _is_name(text: str) -> bool:
    return text.isidentifier() and not iskeyword(text)
