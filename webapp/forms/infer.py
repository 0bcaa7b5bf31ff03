"""Guesses how a task is called from its past calls, for tasks whose worker does not say."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from webapp.forms import json_values
from webapp.forms.description import KEYWORD, POSITIONAL, VERSION
from webapp.forms.json_schema import Schema

EXAMPLES_MAX: Final = 50
"""Most past calls looked at."""
PARAMETERS_MAX: Final = 50
"""Most parameters guessed, by position and by name each."""
NESTING_MAX: Final = 4
"""Deepest value whose parts are looked at."""
PARTS_MAX: Final = 20
"""Most items of a list, and most keys of a dictionary, looked at."""

_FORMATS: Final = {"datetime": "date-time", "bytes": "binary", "base64": "binary"}
_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}


def infer(examples: Iterable[tuple[list[Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return a schema as ``schema_of`` makes it, guessed from a few past calls, with ``guessed`` set.

    Arguments by position have no names there; they are called ``argument_1`` and so on. A value is typed where all
    examples share its type, and required where it has a position that all examples fill.
    """
    calls = [(list(args), dict(kwargs)) for args, kwargs in islice(examples, EXAMPLES_MAX)]
    names = {name for _, kwargs in calls for name in kwargs if isinstance(name, str) and name.isidentifier()}
    most = min(max((len(args) for args, _ in calls), default=0), PARAMETERS_MAX)
    parameters = []
    for place in range(most):
        given = [args[place] for args, _ in calls if place < len(args)]
        parameters.append(_entry(_unused(place, names), POSITIONAL, given, required=len(given) == len(calls)))
    for name in sorted(names)[:PARAMETERS_MAX]:
        given = [kwargs[name] for _, kwargs in calls if name in kwargs]
        parameters.append(_entry(name, KEYWORD, given, required=False))
    return {
        "version": VERSION,
        "guessed": True,
        "summary": "",
        "doc": "",
        "parameters": parameters if calls else None,
        "$defs": {},
    }


def _unused(place: int, names: set[str]) -> str:
    name = f"argument_{place + 1}"
    while name in names:
        name += "_"
    return name


def _entry(name: str, kind: str, values: list[Any], required: bool) -> dict[str, Any]:
    schema = _shared(values, 0)
    return {"name": name, "kind": kind, "required": required, "help": "", "schema": schema or None}


def _shared(values: list[Any], depth: int) -> Schema:
    """Return the schema that all values fit, the one that allows anything when they share no type."""
    nullable = any(value is None for value in values)
    given = [value for value in values if value is not None]
    if not given or depth > NESTING_MAX:
        return {}
    schema = _shared_type(given, depth)
    return {"anyOf": [schema, {"type": "null"}]} if nullable and schema else schema


def _shared_type(values: list[Any], depth: int) -> Schema:
    if all(json_values.is_tagged(value) for value in values):
        names = {_FORMATS.get(str(value["__type__"]), str(value["__type__"])) for value in values}
        return {"type": "string", "format": names.pop()} if len(names) == 1 else {}
    kinds = {type(value) for value in values}
    if kinds == {list}:
        return {"type": "array", "items": _shared([item for value in values for item in value[:PARTS_MAX]], depth + 1)}
    if kinds == {dict}:
        return _shared_dictionary(values, depth)
    if kinds == {int, float}:
        return {"type": "number"}
    if kinds <= _TYPES.keys():
        # In the order of the table, so that the same calls give the same guess in every process.
        types: list[Schema] = [{"type": name} for kind, name in _TYPES.items() if kind in kinds]
        return types[0] if len(types) == 1 else {"anyOf": types}
    return {}


def _shared_dictionary(values: list[dict[str, Any]], depth: int) -> Schema:
    """Return named values where all dictionaries have the same few keys; keys that vary are data, not names."""
    keys = list(values[0])
    same = len(values) > 1 and 0 < len(keys) <= PARTS_MAX and all(value.keys() == values[0].keys() for value in values)
    if same and not any(json_values.is_tagged(value) for value in values):
        properties = {key: _shared([value[key] for value in values], depth + 1) for key in keys}
        return {"type": "object", "properties": properties, "required": keys, "additionalProperties": False}
    return {"type": "object"}
