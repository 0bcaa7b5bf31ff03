"""Checks single values, numbers and texts, against a JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from functools import partial
from typing import Any, Final

from webapp.forms import bounds, formats, json_values, labels, patterns
from webapp.forms.json_schema import BINARY, Schema, ValidationError, as_number, as_text

Defs = Mapping[str, Any]


def settle(value: Any, node: Schema, defs: Defs, zone: tzinfo) -> Any:
    """Return a single value as it has to be sent. Raises ``ValidationError``; an unknown type is not checked."""
    check = _CHECKS.get(as_text(node.get("type")))
    return check(value, node, defs, zone) if check else value


def check_amount(count: int, node: Schema, keyword: str, thing: str) -> None:
    """Raise ``ValidationError`` when a schema wants more or fewer characters, items or keys."""
    least, most = as_number(node.get(f"min{keyword}")), as_number(node.get(f"max{keyword}"))
    if (least is not None and count < least) or (most is not None and count > most):
        allowed = "".join(labels.amount(node, keyword, thing)) or "another number of them"
        raise ValidationError(f"This has {count:,} {thing}{'' if count == 1 else 's'}; it must have {allowed}.")


def _integer(value: Any, node: Schema, defs: Defs, zone: tzinfo) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError("This is not a whole number. ", partial(labels.advice, node, defs))
    bounds.check_number(value, node, defs)
    return value


def _number(value: Any, node: Schema, defs: Defs, zone: tzinfo) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValidationError("This is not a number. ", partial(labels.advice, node, defs))
    bounds.check_number(value, node, defs)
    return value


def _text(value: Any, node: Schema, defs: Defs, zone: tzinfo) -> Any:
    form = as_text(node.get("format"))
    if form in ("decimal", "duration") and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValidationError("This is not a text. ", partial(labels.advice, node, defs))
    if form == "duration":
        seconds = formats.span(value)
        bounds.check_time(seconds, form, node)
        return seconds
    if form == "decimal":
        exact = formats.decimal(value)
        bounds.check_number(exact, node, defs)
        bounds.check_digits(exact, node)
        return json_values.write(exact)
    if form in _READERS:
        read = _READERS[form](value, None if node.get("x-naive") is True else zone)
        bounds.check_time(read, form, node)
        return json_values.write(read)
    if form in BINARY:
        octets = formats.octets(value)
        check_amount(len(octets), node, "Length", "byte")
        return json_values.write(octets)
    check_amount(len(value), node, "Length", "character")
    pattern = as_text(node.get("pattern"))
    if pattern and not patterns.fits(pattern, value):
        raise ValidationError(f"This does not fit the pattern {pattern}.")
    return value


_READERS: Final[dict[str, Callable[[str, tzinfo | None], json_values.Stamp]]] = {
    "date": lambda text, _: formats.day(text),
    "date-time": formats.moment,
    "time": lambda text, _: formats.clock(text),
    "uuid": lambda text, _: formats.identifier(text),
}
_CHECKS: Final[dict[str, Callable[[Any, Schema, Defs, tzinfo], Any]]] = {
    "integer": _integer,
    "number": _number,
    "string": _text,
}
