"""Turns a function's signature into form fields, and what was typed into arguments or a message per field."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

TEXT_MAX: Final = 100
"""Most characters accepted for a number; the longest sensible one has about 25."""
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter as a form shows it: what was typed, and what is wrong with it."""

    name: str
    value: str = ""
    error: str = ""


def fields_of(function: Callable[..., Any]) -> list[Field]:
    """Return a field for each parameter of a function, without values."""
    return [Field(name) for name in inspect.signature(function).parameters]


def fill(fields: list[Field], values: Mapping[str, str]) -> list[Field]:
    """Return the fields with what was typed, each bounded in length."""
    return [replace(field, value=values.get(field.name, "")[: TEXT_MAX * 10]) for field in fields]


def read_numbers(fields: list[Field]) -> tuple[list[int | float], list[Field]]:
    """Return the numbers typed and the fields; where a field has an error, the numbers are not to be used."""
    numbers: list[int | float] = []
    checked: list[Field] = []
    for field in fields:
        try:
            numbers.append(number(field.value))
            checked.append(field)
        except ValueError as fault:
            checked.append(replace(field, error=str(fault)))
    return numbers, checked


def number(typed: str) -> int | float:
    """Return the finite number that was typed, whole where it was typed whole.

    Raises ValueError with a message for the person who typed it.
    """
    text = typed.strip()
    if not text:
        raise ValueError("Type a number, such as 1 or 2.5.")
    if len(text) > TEXT_MAX:
        raise ValueError(f"This is {len(text):,} characters long; a number may have at most {TEXT_MAX}.")
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise ValueError("This must be a finite number; not-a-number and infinity cannot be divided.")
    if not _NUMBER.fullmatch(text):
        if _NUMBER.fullmatch(text.replace(",", ".", 1)):
            raise ValueError("Write the decimal with a point, such as 2.5.")
        raise ValueError("This is not a number. Type one such as 1, -3 or 2.5e6.")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("This number is too large; the largest is about 1.8e308.")
    return int(text) if re.fullmatch(r"[+-]?\d+", text, re.ASCII) else value
