"""What no worker must be sent: arguments that crash it, vanish on the way or cannot be told apart again."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from webapp.errors import InvalidArgumentsError

DEPTH_MAX: Final = 64
"""Deepest nesting accepted; lists nested 500 deep crash a worker, and every worker after it."""
SIZE_MAX: Final = 256 * 1024
"""Largest JSON of all arguments accepted, in bytes."""


def check_arguments(args: Any, kwargs: Any) -> None:
    """Raise ``InvalidArgumentsError`` when the arguments of a task would harm the worker that gets them."""
    size = sum(_check(value, 1) for value in args or ())
    size += sum(_check(name, 1) + _check(value, 1) for name, value in (kwargs or {}).items())
    _check_size(size)


def exact_json(value: Any) -> str:
    """Return the JSON of a list or dictionary of arguments, ASCII only.

    Raises ``InvalidArgumentsError`` when it is not JSON or larger than 256 KB.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as fault:
        raise InvalidArgumentsError(f"The arguments cannot be written as JSON: {fault}.") from None
    _check_size(len(text))
    return text


def _check_size(size: int) -> None:
    if size > SIZE_MAX:
        raise InvalidArgumentsError(f"The arguments are {size:,} bytes long; at most {SIZE_MAX:,} are accepted.")


def _check(value: Any, depth: int) -> int:
    """Refuse a harmful value; return about how many bytes its JSON has."""
    if depth > DEPTH_MAX:
        raise InvalidArgumentsError(f"The arguments are nested deeper than {DEPTH_MAX} levels.")
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidArgumentsError("A text holds half of a character pair, which JSON cannot carry.")
        return len(value) + 2
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgumentsError(f"{value} is not a number that JSON can carry.")
    if isinstance(value, dict):
        if "__type__" in value and "__value__" in value:
            raise InvalidArgumentsError("A dictionary with the keys __type__ and __value__ would vanish on the way.")
        return 2 + sum(_check(key, depth + 1) + _check(item, depth + 1) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return 2 + sum(_check(item, depth + 1) for item in value)
    return value.bit_length() // 3 + 1 if isinstance(value, int) else 8
