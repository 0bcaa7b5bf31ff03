"""Tries texts against patterns that nobody vouches for, within a bounded amount of work and memory."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

PATTERN_MAX: Final = 500
"""Longest pattern that is tried; a longer one is left to the worker."""
TEXT_MAX: Final = 20_000
"""Longest text that is tried against a pattern."""
SIZE_MAX: Final = 10_000
"""Largest pattern that is tried, in states of its machine: about four milliseconds to make and a megabyte to keep."""
REMEMBERED: Final = 64

# Roughly how many ranges of bytes the letters have that a piece of a pattern stands for.
_RANGES: Final = {"wide": 700, "medium": 60, "any": 10}
_PIECE: Final = re.compile(
    r"(?P<wide>\\(?:[pP](?:\{[^}]*\}|.)|[wWbB]))|(?P<medium>\\[dDsS])|(?P<times>\{\d+(?:,\d*)?\})"
    r"|(?P<open>\((?:\?P?<\w+>|\?[a-zA-Z-]*:?)?)|(?P<close>\))|(?P<set>\[\^?)|(?P<end>\])|(?P<any>\.)|\\.|.",
    re.DOTALL,
)


def fits(pattern: str, text: str) -> bool:
    """Say whether a text has a match of a pattern; where that cannot be tried here, the worker has to."""
    matcher = _matcher(pattern) if len(pattern) <= PATTERN_MAX and len(text) <= TEXT_MAX else None
    if matcher is None:
        return True
    try:
        matcher.validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=REMEMBERED)
def _matcher(pattern: str) -> SchemaValidator | None:
    """Return what tries a pattern, None for one that cannot be tried.

    Rust's engine takes time in proportion to the text, where Python's could take for ever; it lacks looking ahead and
    back, and such a pattern is left to the worker.
    """
    if size_of(pattern) > SIZE_MAX:
        return None
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except (SchemaError, ValueError):
        return None


def size_of(pattern: str) -> int:
    """Return about how many states the machine of a pattern has: what is said to be repeated is there so many times.

    Read too large where a pattern is unusual, never much too small.
    """
    # For each group that is open: the sum of what stands in it, and the size of its last part.
    sums, last, sets = [0], [0], 0
    for piece in _PIECE.finditer(pattern):
        kind = piece.lastgroup or ""
        size = _RANGES.get(kind, 1)
        if sets or kind == "set":
            size = _RANGES["any"] if piece[0] == "[^" else size
            last[-1] = size if not sets else last[-1] + size
            sums[-1] += size
            sets += (kind == "set") - (kind == "end")
        elif kind == "open":
            sums.append(0)
            last.append(0)
        elif kind == "close" and len(sums) > 1:
            last.pop()
            last[-1] = sums.pop()
            sums[-1] += last[-1]
        elif kind == "times":
            times = max(*(int(number) for number in re.findall(r"\d{1,6}", piece[0])), 1)
            sums[-1] += last[-1] * (times - 1)
            last[-1] *= times
        else:
            last[-1] = size
            sums[-1] += size
    return sum(sums)
