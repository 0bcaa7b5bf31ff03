"""The words by which a finished run is found again: pure, and the same whatever the database.

A word is a short text that says one thing of a run. *Tags* say what a filter asks for, such as the task's name; they
are hashed, so that any text makes a word that no other database treats in a way of its own. *Text words* are the
numbers and the beginnings of words in arguments, result and exception. Each begins with a letter that says where it
stands, so that one list of words serves every field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

TEXT_MAX: Final = 2000
"""Characters of each text that are searched."""
REMEMBERED: Final = 250
"""Longest text whose words are remembered; those of a long one, which seldom comes again, would fill the memory."""
SHORTEST, LONGEST = 3, 8
"""A word is found by its beginnings of these lengths; what is typed beyond the longest is checked in the text."""
DIGITS_MAX: Final = 60
"""Most digits of a whole number that are kept."""

ARGS, RESULT, ERROR = "a", "r", "e"
TAGS: Final = {
    "phase": "p",
    "state": "s",
    "task": "t",
    "worker": "w",
    "queue": "q",
    "origin": "o",
    "retried": "y",
    "root": "f",
}

_PIECES: Final = re.compile(r"[^\W_]+(?:\.\d+)?(?:(?<=\d)[eE][+-]?\d+)?")
_NUMBER: Final = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
# Where a part of a name in camel case begins: after a small letter, or before the last of several capitals.
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=4096)
def keyword_token(kind: str, value: str) -> str:
    """Return the word that says, for example, that a run's task has this name."""
    return TAGS[kind] + (value if kind == "phase" else blake2b(value.encode(), digest_size=5).hexdigest())


def with_phase(word: str, phase: int) -> str:
    """Return the word that says what a tag says, and the phase besides: one list to read instead of two to compare."""
    return f"{word[0]}{phase}{word[1:]}"


def tokenize(text: str) -> Iterator[str]:
    """Yield the numbers and words of a text: ``1.50`` as ``1.5``, words as they are written."""
    for piece in _PIECES.findall(text[:TEXT_MAX]):
        if _NUMBER.fullmatch(piece):
            yield _number(piece)
        elif "." in piece:
            yield from piece.split(".")
        else:
            yield piece


def _number(piece: str) -> str:
    """Return one spelling for all spellings of a number; whole numbers, which may be somebody's, to the last digit."""
    if piece.isdecimal():
        return piece.lstrip("0")[:DIGITS_MAX] or "0"
    value = float(piece)
    return str(int(value))[:DIGITS_MAX] if value.is_integer() else f"{value:.12g}"


def text_tokens(where: str, text: str | None) -> frozenset[str]:
    """Return the words by which a text is found: numbers whole, words by their beginnings, each part of camel case."""
    if not text:
        return frozenset()
    return _remembered_words(where, text) if len(text) <= REMEMBERED else _words(where, text)


def _words(where: str, text: str) -> frozenset[str]:
    words: set[str] = set()
    for piece in tokenize(text):
        lower = piece.lower()
        if len(piece) < SHORTEST or _NUMBER.fullmatch(piece):
            words.add(where + lower)
            continue
        starts = [0] if piece in (lower, piece.upper()) else [0, *(found.start() for found in _CAMEL.finditer(piece))]
        for start in starts:
            rest = lower[start : start + LONGEST]
            words.update(where + rest[:length] for length in range(min(SHORTEST, len(rest)), len(rest) + 1))
    return frozenset(words)


_remembered_words = lru_cache(maxsize=512)(_words)


def query_tokens(where: str, typed: str) -> list[str]:
    """Return the words that a run must have for what was typed to be in it; nothing where it has no letter."""
    words = []
    for piece in tokenize(typed):
        lower = piece.lower()
        words.append(where + (lower if _NUMBER.fullmatch(piece) else lower[:LONGEST]))
    return words


def needs_recheck(typed: str) -> bool:
    """Say whether having the words is not enough: several must stand together, or one is longer than is kept."""
    found = list(tokenize(typed))
    return len(found) > 1 or any(len(piece) > LONGEST and not _NUMBER.fullmatch(piece) for piece in found)


def begins_a_word(typed: str, text: str) -> bool:
    """Say whether a text certainly has all words of what was typed, since that stands there from a word's beginning.

    Both in small letters. Next to a digit it is not certain, as that may be a part of a longer number.
    """
    at = text.find(typed, 0, TEXT_MAX) if typed and typed[0].isalpha() and typed[-1].isalpha() else -1
    return at == 0 or (at > 0 and not text[at - 1].isalnum())


def run_tokens(
    phase: int, tags: Sequence[tuple[str, str | None]], args: str | None, result: str | None, error: str | None
) -> list[str]:
    """Return all words of a finished run, in order."""
    words = {keyword_token(kind, value) for kind, value in tags if value}
    words |= {
        with_phase(keyword_token(kind, value), phase)
        for kind, value in tags
        if value and kind not in ("phase", "state")
    }
    words |= text_tokens(ARGS, args) | text_tokens(RESULT, result) | text_tokens(ERROR, error)
    return sorted(words)
