"""Describes how a task is called, as a dictionary small enough for a worker to publish."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from webapp.forms.description import ARGS, EITHER, KEYWORD, KWARGS, POSITIONAL, VERSION
from webapp.forms.json_schema import LIKE, Schema, without_null
from webapp.forms.json_values import described
from webapp.forms.strict_json import same
from webapp.worker import docstrings
from webapp.worker.annotations import schemas_of

PUBLISHED_MAX: Final = 32 * 1024
"""Largest JSON of a description, in bytes; a larger one is reduced to the names of the parameters."""
DEFAULT_MAX: Final = 1_000
"""Largest JSON of a default that is kept as a value."""

_KINDS: Final = {
    inspect.Parameter.POSITIONAL_ONLY: POSITIONAL,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: EITHER,
    inspect.Parameter.VAR_POSITIONAL: ARGS,
    inspect.Parameter.KEYWORD_ONLY: KEYWORD,
    inspect.Parameter.VAR_KEYWORD: KWARGS,
}

_LIKE: Final[dict[type, str]] = {int: "integer", float: "number", bool: "boolean", str: "string"}


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return how a task is called: its parameters with the JSON schemas of their values, and its docstring.

    Pass a plain function, or ``task.run`` of a task, bound or class-based. Whatever its annotations, defaults and
    docstring do, nothing is raised; what cannot be understood is left out. Where not even the names are known,
    ``parameters`` is None.
    """
    doc = docstrings.doc_of(function)
    summary = docstrings.summary_of(doc)
    whole = {"version": VERSION, "summary": summary, "doc": doc, "parameters": None, "$defs": {}}
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # A signature may be computed by foreign code, which may even exit.
        return whole
    names = [_entry(parameter, "", None, brief=True) for parameter in parameters]
    schemas, defs = schemas_of(function, parameters)
    notes = docstrings.notes_of(doc, [parameter.name for parameter in parameters])
    entries = [
        _entry(parameter, notes.get(parameter.name, ""), _or_none(parameter, schema, defs))
        for parameter, schema in zip(parameters, schemas, strict=True)
    ]
    brief = {**whole, "doc": "", "summary": summary[:200]}
    for smaller in ({**whole, "parameters": entries, "$defs": defs}, {**brief, "parameters": names}):
        if _size(smaller) <= PUBLISHED_MAX:
            return smaller
    return brief


def _entry(parameter: inspect.Parameter, note: str, schema: Schema | None, brief: bool = False) -> dict[str, Any]:
    fixed = parameter.default is inspect.Parameter.empty
    several = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    entry: dict[str, Any] = {
        "name": parameter.name,
        "kind": _KINDS[parameter.kind],
        "required": fixed and not several,
        "help": note,
        "schema": schema,
    }
    if parameter.annotation is inspect.Parameter.empty and (like := _LIKE.get(type(parameter.default))):
        entry["schema"] = {LIKE: like}
    return entry if fixed or brief else {**entry, **_default(parameter.default)}


def _or_none(parameter: inspect.Parameter, schema: Schema | None, defs: Schema) -> Schema | None:
    """Return the schema of a parameter with None where that is the default: ``x: int = None`` says ``int | None``."""
    if not schema or parameter.default is not None or without_null(schema, defs)[1]:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def _default(value: Any) -> dict[str, Any]:
    """Return a default as a value when JSON gives back exactly this, else as text; a tuple would become a list."""
    try:
        plain = value.value if isinstance(value, Enum) else value
        text = json.dumps(plain, allow_nan=False)
        if len(text) <= DEFAULT_MAX and same(json.loads(text), plain):
            return {"default": plain}
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110  # What is no JSON may do anything where it is looked at, even exit.
        pass
    return {"default_text": described(value)}


def _size(schema: dict[str, Any]) -> int:
    """Return the bytes of the JSON of a description; one that is no JSON counts as larger than any."""
    try:
        return len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return PUBLISHED_MAX + 1
