"""Makes sure that a published schema has the shape it should have; it comes from another process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from webapp.forms.json_schema import Schema, ValidationError, as_node, as_text
from webapp.forms.strict_json import shown
from webapp.text import tidy

VERSION: Final = 1
"""Version of the dictionary that ``schema_of`` makes; another one is not read."""
SIZE_MAX: Final = 64 * 1024
"""Largest JSON of a schema that is read, in bytes; what a worker publishes has half of it."""
DEPTH_MAX: Final = 40
"""Deepest nesting of a schema that is read."""
PARAMETERS_MAX: Final = 100
"""Most parameters shown as fields."""
TEXT_MAX: Final = 8_000
"""Longest description kept, in bytes."""

POSITIONAL: Final = "positional-only"
EITHER: Final = "positional-or-keyword"
ARGS: Final = "*args"
KEYWORD: Final = "keyword-only"
KWARGS: Final = "**kwargs"
KINDS: Final = (POSITIONAL, EITHER, ARGS, KEYWORD, KWARGS)
"""How a parameter takes its value, in the order in which Python wants them."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a task: its name and kind, and the schema of its value, None when nobody knows it."""

    name: str
    kind: str
    required: bool = False
    default: str = ""
    help: str = ""
    schema: Schema | None = None

    def value_schema(self) -> Schema:
        """Return the schema of the value; what is not known may be anything that the kind can carry."""
        empty = {ARGS: {"type": "array"}, KWARGS: {"type": "object"}}
        return empty.get(self.kind, {}) if self.schema is None else self.schema


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of how a task is called; ``guessed`` from past calls where no worker says it."""

    parameters: tuple[Parameter, ...] = ()
    defs: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    doc: str = ""
    guessed: bool = False


def shape_of(schema: object) -> Shape:
    """Return what a schema says. Raises ``ValidationError`` with the reason when it cannot be used for a form."""
    copy = _copied(schema)
    if copy.get("version") != VERSION:
        raise ValidationError("The worker describes this task in a way that this version does not know.")
    listed = copy.get("parameters")
    if not isinstance(listed, list):
        raise ValidationError("The parameters of this task are not known.")
    if len(listed) > PARAMETERS_MAX:
        raise ValidationError(
            f"This task has {len(listed):,} parameters; at most {PARAMETERS_MAX} are shown as fields."
        )
    parameters = tuple(map(_parameter, listed))
    _check_order(parameters)
    return Shape(
        parameters,
        as_node(copy.get("$defs")),
        _words(copy.get("summary")),
        _words(copy.get("doc")),
        copy.get("guessed") is True,
    )


def _copied(schema: object) -> Schema:
    """Return the schema as plain JSON, bounded in size and depth, which nobody else can change."""
    unusable = ValidationError("The description of this task cannot be used.")
    try:
        text = json.dumps(schema, allow_nan=False)
        copy = json.loads(text) if len(text) <= SIZE_MAX else None
    except (TypeError, ValueError, RecursionError):
        raise unusable from None
    waiting = [(copy, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise unusable
        if isinstance(item, dict | list):
            waiting += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    if not isinstance(copy, dict):
        raise unusable
    return copy


def _parameter(item: object) -> Parameter:
    entry = as_node(item)
    name, kind, schema = as_text(entry.get("name")), as_text(entry.get("kind")), entry.get("schema")
    if not name.isidentifier() or len(name) > 255 or kind not in KINDS:
        raise ValidationError("The description of this task cannot be used: a parameter has no proper name or kind.")
    return Parameter(
        name,
        kind,
        required=entry.get("required") is True and kind not in (ARGS, KWARGS),
        default=default_text(entry["default"]) if "default" in entry else _words(entry.get("default_text")),
        help=_words(entry.get("help")),
        schema=schema if isinstance(schema, dict) else None,
    )


def _check_order(parameters: tuple[Parameter, ...]) -> None:
    names = {parameter.name for parameter in parameters}
    places = [KINDS.index(parameter.kind) for parameter in parameters]
    stars = [parameter.kind for parameter in parameters if parameter.kind in (ARGS, KWARGS)]
    if len(names) < len(parameters) or places != sorted(places) or len(set(stars)) < len(stars):
        raise ValidationError("The description of this task cannot be used: its parameters are in no proper order.")


def default_text(value: Any) -> str:
    """Return a default as the page shows it: a text as it is, None as Python writes it, all else as JSON."""
    if value is None:
        return "None"
    return _words(value) if isinstance(value, str) and value.strip() else _words(shown(value))


def _words(value: object) -> str:
    return tidy(as_text(value), TEXT_MAX) or ""
