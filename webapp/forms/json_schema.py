"""Reads JSON schemas that nobody vouches for: each keyword is taken only when it has the type it should have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = dict[str, Any]

HOPS_MAX: Final = 16
"""Most references followed to find out what a node is; a schema may refer to itself."""
MEMBERS_MAX: Final = 50
"""Most alternatives of a union that are looked at."""
TYPES_MAX: Final = 7
"""There are no more types in JSON schema."""
SCALARS: Final = ("integer", "number", "string", "boolean")
BINARY: Final = ("binary", "base64url")
LIKE: Final = "x-like"
"""The keyword for the type of the default of a parameter without annotation: a hint, anything else is taken too."""

DIGITS: Final = "x-max-digits"
DECIMAL_PLACES: Final = "x-decimal-places"
"""The keywords for the most digits of a decimal, in all and after the point, which JSON schema does not have."""
WORK_MAX: Final = 3_000_000
"""Most work that a schema may make for a form, or for a call, in keys copied: about a tenth of a microsecond each."""
NUMBER_BITS: Final = 3_000
"""Longest whole number that is a bound; Python refuses to write very long ones."""
NAMES: Final = "x-names"
"""The keyword for the names of the members of an Enum, by the JSON of their values."""


class ValidationError(ValueError):
    """What is wrong with a value or a schema, in words for the person who gave it.

    A part of the words may be a function that finds them: most errors inside of a union are never shown.
    """

    def __init__(self, *parts: str | Callable[[], str]) -> None:
        super().__init__(*parts)

    def __str__(self) -> str:
        """Return the words."""
        return "".join(part if isinstance(part, str) else _found(part) for part in self.args)


def _found(words: Callable[[], str]) -> str:
    try:
        return words()
    except IntricateError:
        # To say it would take too much work.
        return "what the task describes"


class IntricateError(ValidationError):
    """A schema makes more work than a form is worth."""


class Definitions(dict[str, Any]):
    """What the references of a schema refer to, and how much work may still be done with all of it.

    A schema of a few kilobytes can refer to itself in such a way that everything in it is looked at millions of times.
    """

    def __init__(self, defs: Mapping[str, Any]) -> None:
        super().__init__(defs)
        self.left = WORK_MAX

    def spend(self, work: int) -> None:
        """Count work. Raises ``IntricateError`` where there was too much."""
        self.left -= work
        if self.left < 0:
            raise IntricateError("The description of this task is too intricate to be shown as fields.")


def spend(defs: Mapping[str, Any], work: int) -> None:
    """Count work with a schema that nobody vouches for."""
    if isinstance(defs, Definitions):
        defs.spend(work)


def as_node(value: object) -> Schema:
    """Return a schema, and the one that allows anything for everything that is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list, an empty one for everything else."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a text, an empty one for everything else."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int | None:
    """Return a whole number that is not negative, None for everything else."""
    plain = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= NUMBER_BITS
    return value if plain and isinstance(value, int) and value >= 0 else None


def as_number(value: object) -> int | float | None:
    """Return a finite number, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    known = value.bit_length() <= NUMBER_BITS if isinstance(value, int) else math.isfinite(value)
    return value if known else None


def like_of(node: Schema) -> str:
    """Return the type that a value probably has although it may have any, nothing where that is not said."""
    like = as_text(node.get(LIKE))
    return like if like in SCALARS else ""


def resolved(node: object, defs: Mapping[str, Any]) -> Schema:
    """Return what a node refers to, with the node's own keywords on top; a circle allows anything."""
    here = as_node(node)
    spend(defs, 10)
    for _ in range(HOPS_MAX):
        parts = as_list(here.get("allOf"))
        if len(parts) == 1:
            inner, taken = as_node(parts[0]), "allOf"
        elif isinstance(here.get("$ref"), str):
            inner, taken = as_node(defs.get(here["$ref"].removeprefix("#/$defs/"))), "$ref"
        else:
            return here
        spend(defs, len(inner) + len(here))
        here = {**inner, **{key: value for key, value in here.items() if key != taken}}
    return {}


def members(node: object, defs: Mapping[str, Any]) -> list[Schema]:
    """Return the alternatives of a node, resolved and without nesting; a node that is no union is its only one.

    A plain text comes late, since any text would fit it and the others would never have their turn; bytes, which any
    text can be as well, come last. A date comes before a date and time, which a date alone would be too. What a union
    says twice, or says of itself, is taken once.
    """
    found: list[Schema] = []
    seen: set[str] = set()
    waiting: list[tuple[object, int]] = [(node, 0)]
    while waiting and len(found) < MEMBERS_MAX:
        item, depth = waiting.pop(0)
        ref = as_text(as_node(item).get("$ref"))
        if ref in seen:
            continue
        seen |= {ref} - {""}
        here = resolved(item, defs)
        inner = _alternatives(here)
        spend(defs, 30 + len(inner) + len(here))
        if not inner:
            found.append(here)
        elif depth < HOPS_MAX:
            waiting = [*((part, depth + 1) for part in inner[:MEMBERS_MAX]), *waiting][:MEMBERS_MAX]
    ordered = sorted(found, key=lambda part: (part.get("format") in BINARY, is_plain_text(part)))
    place = next((at for at, part in enumerate(ordered) if part.get("format") == "date-time"), len(ordered))
    dates = [part for part in ordered[place:] if part.get("format") == "date"]
    return [*ordered[:place], *dates, *(part for part in ordered[place:] if part.get("format") != "date")]


def _alternatives(node: Schema) -> list[Any]:
    types = node.get("type")
    if isinstance(types, list) and types:
        return [{**node, "type": name} for name in types[:TYPES_MAX] if isinstance(name, str)]
    return as_list(node.get("anyOf")) or as_list(node.get("oneOf"))


def is_plain_text(node: Schema) -> bool:
    """Tell whether any text fits a node."""
    return node.get("type") == "string" and not {"format", "enum", "const", "pattern"} & node.keys()


def without_null(node: object, defs: Mapping[str, Any]) -> tuple[Schema, bool]:
    """Return the node without None, and whether None was allowed.

    What is left of ``int | None`` is the node of ``int``, with the default and the description of the whole.
    """
    outer = resolved(node, defs)
    parts = members(outer, defs)
    rest = [part for part in parts if part.get("type") != "null"]
    values = as_list(outer.get("enum"))
    spend(defs, 20 + len(outer) + len(values))
    if len(parts) == 1:
        if any(value is None for value in values):
            return {**outer, "enum": [value for value in values if value is not None]}, True
        return parts[0], parts[0].get("type") == "null"
    kept = {key: value for key, value in outer.items() if key not in ("anyOf", "oneOf", "type")}
    if len(rest) == 1:
        spend(defs, len(rest[0]))
        return {**rest[0], **kept}, len(rest) < len(parts)
    return {**kept, "anyOf": rest}, len(rest) < len(parts)


def chosen(node: Schema) -> list[Any] | None:
    """Return the values of which one has to be chosen, None when the node is not a choice."""
    if "const" in node:
        return [node["const"]]
    if isinstance(node.get("enum"), list):
        return as_list(node["enum"])
    return [True, False] if node.get("type") == "boolean" else None
