"""JSON as people type it, read strictly: nothing that a worker would read differently, or that would harm it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

from webapp.forms import json_values
from webapp.forms.json_schema import ValidationError
from webapp.runs.arguments import DEPTH_MAX, SIZE_MAX

NO_TAG: Final = (
    "A dictionary with the keys __type__ and __value__ has a meaning of its own on the way to the worker. "
    "Type the value itself, or use raw JSON."
)


class NotJsonError(ValidationError):
    """What is wrong with a text that is no JSON at all, and not just JSON that cannot be sent.

    ``more`` says that it begins with a whole value, after which comes something else.
    """

    def __init__(self, message: str, more: bool) -> None:
        super().__init__(message)
        self.more = more


def parse(text: str, tags: bool = False, around: int = 0) -> Any:
    """Return the value of a JSON text; with ``tags`` it may hold dates and the like in kombu's own form.

    So many levels as ``around`` says are not sent, and do not count as nesting.

    Raises ``ValidationError`` for what is not JSON, a key given twice, a number that is not finite, half of a character
    pair, and what is too large or nested too deep.
    """
    check_size(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _dictionary(pairs, tags),
            parse_constant=_not_finite,
            parse_float=_float,
        )
    except ValidationError:
        raise
    except json.JSONDecodeError as fault:
        raise NotJsonError(
            f"This is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}. "
            'JSON looks like {"name": "Ada", "ages": [3, 4.5], "known": true, "rest": null}.',
            more=fault.msg == "Extra data",
        ) from None
    except ValueError:
        raise ValidationError("A number in this JSON has too many digits. Type at most 4,000.") from None
    except RecursionError:
        raise ValidationError(f"This is nested deeper than {DEPTH_MAX} levels.") from None
    check(value, around)
    return value


def check(value: Any, around: int = 0) -> None:
    """Raise ``ValidationError`` when JSON cannot carry a value, or it is nested deeper than workers bear."""
    waiting = [(value, 1 - around)]
    while waiting:
        item, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise ValidationError(f"This is nested deeper than {DEPTH_MAX} levels.")
        if isinstance(item, str):
            if not item.isascii() and any("\ud800" <= letter <= "\udfff" for letter in item):
                raise ValidationError("A text holds half of a character pair, which cannot be sent.")
        elif isinstance(item, dict):
            for key, inner in item.items():
                waiting += [(key, depth + 1), (inner, depth + 1)]
        elif isinstance(item, list):
            waiting += [(inner, depth + 1) for inner in item]


def size_of(text: str) -> int:
    """Return the bytes of a text."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def check_size(text: str) -> None:
    """Raise ``ValidationError`` when a text is longer than a worker is sent."""
    size = size_of(text)
    if size > SIZE_MAX:
        raise ValidationError(f"This is {size:,} bytes long; at most {SIZE_MAX:,} can be sent.")


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same, where 1, 1.0 and true are three values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def written(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Return a value as JSON that ``parse`` reads: over several lines, where it is not too long because of these."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=default)
    if size_of(text) <= SIZE_MAX:
        return text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=default)


def shown(value: Any) -> str:
    """Return a value as JSON on one line, letters as they are; for what is no JSON, as Python shows it."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return json_values.described(value)


def _dictionary(pairs: list[tuple[str, Any]], tags: bool) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValidationError(f"The key {json.dumps(twice)} is given twice. Give each key once.")
    if json_values.is_tagged(made):
        if not tags:
            raise ValidationError(NO_TAG)
        return json_values.write(json_values.read(made))
    return made


def _not_finite(name: str) -> Any:
    raise ValidationError(f"{name} is not a number that JSON can carry. Type a finite number such as 2.5.")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValidationError("A number is too large; the largest is about 1.8e308.")
    return value
