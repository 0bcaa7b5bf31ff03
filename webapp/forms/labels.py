"""Says in words what a JSON schema allows, as the line below a field and as the advice in a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from webapp.forms.controls import options_of
from webapp.forms.json_schema import (
    DECIMAL_PLACES,
    DIGITS,
    Schema,
    as_count,
    as_list,
    as_node,
    as_number,
    as_text,
    chosen,
    is_plain_text,
    like_of,
    members,
    resolved,
    spend,
    without_null,
)

SHOWN_MAX: Final = 8
"""Most choices named in one line."""
NESTING_MAX: Final = 3
"""Deepest list of lists that is spelled out."""
WORDS_MAX: Final = 300
"""Longest description of a type, in characters."""

BOUND_MAX: Final = 50
"""Longest text of a bound shown, in characters."""

PHRASES: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}
"""The words for each keyword of a bound; that of a date, time or time span is a text and begins with ``x-``."""

_FORMATS: Final = {
    "decimal": "decimal number",
    "date": "date such as 2026-03-01",
    "date-time": "date and time such as 2026-03-01 14:30",
    "time": "time of day such as 14:30",
    "duration": "time span such as 90, 1:30:00 or 5 min, sent as a number of seconds",
    "uuid": "UUID",
    "binary": "text sent as bytes, or base 64 such as base64:AP8=",
    "base64url": "text sent as bytes, or base 64 such as base64:AP8=",
}
_EXAMPLES: Final = {
    "decimal": "Type a decimal number such as 12.50.",
    "date": "Type a date such as 2026-03-01.",
    "date-time": "Type a date and time such as 2026-03-01 14:30.",
    "time": "Type a time of day such as 14:30.",
    "duration": "Type a time span such as 90, 1:30:00 or 5 min.",
    "uuid": "Type a UUID such as 123e4567-e89b-12d3-a456-426614174000.",
}
_PLAIN: Final = {"integer": "whole number", "number": "number", "null": "None", "boolean": "true or false"}


def words(node: object, defs: Mapping[str, Any], depth: int = 0) -> str:
    """Return what a schema allows, such as "whole number, at least 1" or "list of texts"."""
    here, nullable = without_null(node, defs)
    parts = members(here, defs)
    spend(defs, 50 + sum(len(as_list(part.get("enum"))) for part in parts))
    if depth > NESTING_MAX:
        text = "value"
    elif len(parts) > 1:
        text = " or ".join(dict.fromkeys(words(part, defs, depth + 1) for part in parts[:SHOWN_MAX]))
    else:
        text = _one(parts[0] if parts else {}, defs, depth)
    text = f"{text} or None" if nullable and text != "None" else text
    return text if len(text) <= WORDS_MAX else text[:WORDS_MAX] + "…"


def typing_words(kind: str, node: Schema, said: str, defs: Mapping[str, Any]) -> str:
    """Return the words of a type with how it is typed into a control of a kind."""
    if kind in ("lines", "pairs"):
        return f"{said}, one {'name = value ' if kind == 'pairs' else ''}per line"
    if kind != "json":
        return said
    parts = members(node, defs)
    if like := like_of(node):
        return "text, or JSON in [ ] or { }" if like == "string" else f"{_PLAIN[like]}, or other JSON"
    if is_listed(node):
        return f"{said}, as JSON or one per line"
    if node.get("type") == "object":
        return f"{said}, as JSON or one name = value per line"
    if any(is_plain_text(part) or not part.get("type") for part in parts):
        return f"{said}; JSON, or text as it stands"
    return f"{said}, as JSON"


def is_listed(node: Schema) -> bool:
    """Tell whether a node is a list of any number of items that are all of one type."""
    return node.get("type") == "array" and not {"prefixItems", "enum"} & node.keys()


def _one(node: Schema, defs: Mapping[str, Any], depth: int) -> str:
    if node.get("type") == "boolean" and "enum" not in node and "const" not in node:
        return "true or false"
    if (values := chosen(node)) is not None:
        return _choice(node, values, depth)
    name = node.get("type")
    if name == "string":
        return _text(node)
    if name in ("integer", "number"):
        return ", ".join([_PLAIN[name], *_bounds(node)])
    if name == "array":
        return _list(node, defs, depth)
    if name == "object":
        return _dictionary(node, defs, depth)
    return _PLAIN.get(as_text(name), "any value")


def _choice(node: Schema, values: list[Any], depth: int) -> str:
    # A choice by itself shows the names in its options; inside of a list or the like this is their only place.
    options = options_of(node, SHOWN_MAX)
    named = ", ".join((option.label if depth else option.text)[:WORDS_MAX] for option in options)
    more = f" and {len(values) - SHOWN_MAX} more" if len(values) > SHOWN_MAX else ""
    # Only an Enum has a title here; it does not arrive as a member but as the member's value.
    sent = f" ({as_text(node['title'])}, sent as its value)" if as_text(node.get("title")) else ""
    return f"one of {named}{more}{sent}" if len(values) > 1 else f"always {named}{sent}"


def _text(node: Schema) -> str:
    known = _FORMATS.get(as_text(node.get("format")))
    if known:
        return ", ".join([known, *_bounds(node)])
    pattern = as_text(node.get("pattern"))
    fitting = [f"that fits {pattern}"] if pattern else []
    return ", ".join(["text", *amount(node, "Length", "character"), *fitting])


def _list(node: Schema, defs: Mapping[str, Any], depth: int) -> str:
    places = as_list(node.get("prefixItems"))
    if places:
        return f"list of {len(places)}: " + "; ".join(words(part, defs, depth + 1) for part in places[:SHOWN_MAX])
    inner = words(node.get("items"), defs, depth + 1)
    unique = ["each once, sent as a list"] if node.get("uniqueItems") is True else []
    return ", ".join([f"list of {plural(inner)}", *amount(node, "Items", "item"), *unique])


def _dictionary(node: Schema, defs: Mapping[str, Any], depth: int) -> str:
    if known := as_node(node.get("properties")):
        title = as_text(node.get("title"))
        if depth:
            return f"{title or 'dictionary'} with {', '.join(list(known)[:SHOWN_MAX])}"
        return f"{title}, sent as a dictionary" if title else "dictionary"
    values, names = node.get("additionalProperties"), node.get("propertyNames")
    text = f"dictionary of {plural(words(values, defs, depth + 1))}" if as_node(values) else "dictionary"
    return f"{text}, named by {words(names, defs, depth + 1)}, sent as text" if as_node(names) else text


def plural(singular: str) -> str:
    """Return "whole numbers, at least 1" for "whole number, at least 1", and what has no plural as it is."""
    for name in ("whole number", "decimal number", "number", "date and time", "date", "text", "UUID", "time span"):
        if singular == name or singular.startswith((f"{name},", f"{name} such")):
            many = {"date and time": "dates and times"}.get(name, f"{name}s")
            return many + singular.removeprefix(name)
    return {"any value": "any values", "dictionary": "dictionaries"}.get(singular, singular)


def amount(node: Schema, keyword: str, thing: str) -> list[str]:
    """Return how many characters or items are allowed, as at most one phrase."""
    least, most = as_count(node.get(f"min{keyword}")) or 0, as_count(node.get(f"max{keyword}"))
    if most is None:
        return [f"at least {counted(least, thing)}"] if least else []
    if least == most:
        return [f"exactly {counted(most, thing)}"]
    return [f"{least} to {counted(most, thing)}"] if least else [f"at most {counted(most, thing)}"]


def counted(count: int, thing: str) -> str:
    """Return "1 digit" or "2 digits after the point"; the first word of the thing gets the s."""
    noun, space, rest = thing.partition(" ")
    return f"{count:,} {noun}{'' if count == 1 else 's'}{space}{rest}"


def _bounds(node: Schema) -> list[str]:
    found: list[tuple[str, object]] = []
    for keyword, phrase in PHRASES.items():
        found += [(phrase, as_number(node.get(keyword))), (phrase, as_text(node.get(f"x-{keyword}"))[:BOUND_MAX])]
    digits, places = as_count(node.get(DIGITS)), as_count(node.get(DECIMAL_PLACES))
    found += [("at most", None if digits is None else counted(digits, "digit"))]
    found += [("at most", None if places is None else counted(places, "digit after the point"))]
    return [f"{phrase} {bound}" for phrase, bound in found if bound not in (None, "")]


def advice(node: object, defs: Mapping[str, Any]) -> str:
    """Return a sentence with an example of what is right, such as "Type a whole number such as 3."."""
    here = resolved(without_null(node, defs)[0], defs)
    values = chosen(here)
    if values is not None:
        return f"Choose {words(here, defs).removeprefix('always ')}."
    if here.get("type") in ("integer", "number"):
        bounds = "".join(f", {bound}" for bound in _bounds(here))
        return f"Type a {_PLAIN[here['type']]} such as {_fitting(here)}{bounds}."
    if here.get("type") == "string":
        return _EXAMPLES.get(as_text(here.get("format")), f"Type a {words(here, defs)}.")
    return f"It takes this: {words(here, defs)}."


def _fitting(node: Schema) -> int | float:
    """Return a number that the bounds allow, where that is easily found."""
    step = as_number(node.get("multipleOf")) or 1
    if (least := as_number(node.get("minimum"))) is not None:
        return least
    if (above := as_number(node.get("exclusiveMinimum"))) is not None:
        most = as_number(node.get("maximum"))
        return most if most is not None and above < most < above + step else above + step
    if (most := as_number(node.get("maximum"))) is not None:
        return min(most, 3)
    if (below := as_number(node.get("exclusiveMaximum"))) is not None:
        return min(below - step, 3)
    return step if "multipleOf" in node else 3
