"""Checks a value against the bounds that its JSON schema sets, also those for which JSON schema has no keyword."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, Final

from webapp.forms import formats, labels
from webapp.forms.json_schema import DECIMAL_PLACES, DIGITS, Schema, ValidationError, as_count, as_number, as_text

_TESTS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "minimum": lambda given, bound: given >= bound,
    "maximum": lambda given, bound: given <= bound,
    "exclusiveMinimum": lambda given, bound: given > bound,
    "exclusiveMaximum": lambda given, bound: given < bound,
}


def _is_multiple(value: int | float | Decimal, step: int | float | Decimal) -> bool:
    """Tell whether a number is a multiple of another; where that cannot be computed, the worker has to."""
    try:
        return Decimal(str(value)) % Decimal(str(step)) == 0
    except (ArithmeticError, ValueError):
        return True


_NUMBER_TESTS: Final[dict[str, Callable[[Any, Any], bool]]] = {**_TESTS, "multipleOf": _is_multiple}
_READERS: Final[dict[str, Callable[[str, tzinfo | None], Any]]] = {
    "date": lambda text, _: formats.day(text),
    "date-time": formats.moment,
    "time": lambda text, _: formats.clock(text),
    "duration": lambda text, _: formats.span(text),
}


def check_number(value: int | float | Decimal, node: Schema, defs: Mapping[str, Any]) -> None:
    """Raise ``ValidationError`` when a number is outside of its bounds."""
    for keyword, test in _NUMBER_TESTS.items():
        bound = as_number(node.get(keyword))
        if bound is None:
            continue
        # As a fraction of two, 0.1 is a little more than the decimal 0.1, which then were below itself.
        exact = Decimal(str(bound)) if isinstance(value, Decimal) else bound
        if not test(value, exact):
            raise ValidationError("This number is not allowed. ", partial(labels.advice, node, defs))


def check_digits(value: Decimal, node: Schema) -> None:
    """Raise ``ValidationError`` when a decimal has too many digits; zeros at its end count only where they have to."""
    digits, places = as_count(node.get(DIGITS)), as_count(node.get(DECIMAL_PLACES))
    if digits is None and places is None:
        return
    fewest = [min(counts) for counts in zip(_counts(value), _counts(_without_zeros(value)), strict=True)]
    most = (digits, places, None if digits is None or places is None else digits - places)
    kinds = ("digit", "digit after the point", "digit before the point")
    for count, allowed, kind in zip(fewest, most, kinds, strict=True):
        if allowed is not None and count > allowed:
            raise ValidationError(f"This has too many digits; it may have at most {labels.counted(allowed, kind)}.")


def check_time(value: Any, form: str, node: Schema) -> None:
    """Raise ``ValidationError`` when a date, a time or a time span is outside of its bounds."""
    for keyword, test in _TESTS.items():
        text = as_text(node.get(f"x-{keyword}"))
        try:
            bound = _READERS[form](text, None) if text else None
        except ValidationError:
            continue
        if bound is not None and not test(*_alike(value, bound)):
            raise ValidationError(f"This is not allowed; it must be {labels.PHRASES[keyword]} {text}.")


def _alike(value: Any, bound: Any) -> tuple[Any, Any]:
    """Return two times that Python compares; where only one has a zone, both are taken as they are written."""
    if isinstance(value, datetime | time) and (value.tzinfo is None) != (bound.tzinfo is None):
        return value.replace(tzinfo=None), bound.replace(tzinfo=None)
    return value, bound


def _without_zeros(value: Decimal) -> Decimal:
    """Return a decimal without the zeros at its end, exactly, however long it is."""
    sign, digits, exponent = value.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    if not kept or not isinstance(exponent, int):
        return Decimal(0)
    return Decimal((sign, tuple(map(int, kept)), exponent + len(digits) - len(kept)))


def _counts(value: Decimal) -> tuple[int, int, int]:
    """Return how many digits a finite decimal has: in all, after the point and before it."""
    _, digits, exponent = value.as_tuple()
    scale = exponent if isinstance(exponent, int) else 0
    places = max(-scale, 0)
    whole = max(len(digits) + max(scale, 0), places)
    return whole, places, whole - places
