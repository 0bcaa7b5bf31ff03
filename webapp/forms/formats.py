"""Reads single values from text: numbers, times, time spans and the like, each with a message when it cannot."""

from __future__ import annotations

import base64
import math
import re
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from typing import Final
from uuid import UUID

from webapp.forms.json_schema import ValidationError
from webapp.forms.json_values import finite

NUMBER_MAX: Final = 1000
"""Most characters accepted for a number; Python refuses whole numbers of more than 4,300 digits."""
SPAN_MAX: Final = 999_999_999 * 86_400
"""Longest time span that Python knows, in seconds."""
BASE64: Final = "base64:"

_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CLOCK: Final = re.compile(r"(?:(\d+) days?,? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)", re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Zµ]+)", re.ASCII)
_ISO: Final = re.compile(
    r"P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_ISO_UNITS: Final = (604_800, 86_400, 3_600, 60, 1)
_UNITS: Final = {
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    "ms": 0.001,
}


def whole(typed: str) -> int:
    """Return a whole number. Raises ``ValidationError``."""
    text = _short(typed)
    if not _WHOLE.fullmatch(text):
        raise ValidationError("This is not a whole number. Type one such as 3.")
    return int(text)


def number(typed: str) -> int | float:
    """Return a finite number, whole where it was typed whole. Raises ``ValidationError``."""
    text = _short(typed)
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise ValidationError("This must be a finite number. Type one such as 2.5.")
    if not _NUMBER.fullmatch(text):
        if _NUMBER.fullmatch(text.replace(",", ".", 1)):
            raise ValidationError("Write the decimal with a point, such as 2.5.")
        raise ValidationError("This is not a number. Type one such as 3 or 2.5.")
    value = float(text)
    if not math.isfinite(value):
        raise ValidationError("This number is too large; the largest is about 1.8e308.")
    return int(text) if _WHOLE.fullmatch(text) else value


def decimal(typed: str) -> Decimal:
    """Return a finite decimal number, exactly as typed. Raises ``ValidationError``."""
    text = _short(typed)
    if not _NUMBER.fullmatch(text):
        raise ValidationError("This is not a decimal number. Type one such as 12.50.")
    try:
        return finite(Decimal(text))
    except ArithmeticError:
        raise ValidationError("This decimal number is too large. Type one such as 12.50.") from None


def day(typed: str) -> date:
    """Return a date. Raises ``ValidationError``."""
    try:
        return date.fromisoformat(_short(typed))
    except ValueError:
        raise ValidationError("This is not a date. Type year, month and day such as 2026-03-01.") from None


def moment(typed: str, zone: tzinfo | None) -> datetime:
    """Return a date and time; one without a zone is taken in ``zone``. Raises ``ValidationError``."""
    text = _short(typed)
    try:
        value = datetime.fromisoformat(text)
        value = value if value.tzinfo or zone is None else value.replace(tzinfo=zone)
        # A zone may fail to know its offset at the ends of time; then there is no text to send either.
        value.isoformat()
    except (ValueError, OverflowError):
        raise ValidationError("This is not a date and time. Type one such as 2026-03-01 14:30.") from None
    return value


def clock(typed: str) -> time:
    """Return a time of day. Raises ``ValidationError``."""
    try:
        return time.fromisoformat(_short(typed))
    except ValueError:
        raise ValidationError("This is not a time of day. Type hours and minutes such as 14:30.") from None


def identifier(typed: str) -> UUID:
    """Return a UUID. Raises ``ValidationError``."""
    try:
        return UUID(_short(typed))
    except ValueError:
        raise ValidationError("This is not a UUID. Type one such as 123e4567-e89b-12d3-a456-426614174000.") from None


def octets(typed: str) -> bytes:
    """Return the bytes of a text, or those written in base 64 after ``base64:``. Raises ``ValidationError``."""
    try:
        if typed.startswith(BASE64):
            return base64.b64decode(typed.removeprefix(BASE64).strip(), validate=True)
        return typed.encode()
    except ValueError:
        raise ValidationError("These are not bytes. Type a text, or base 64 such as base64:AP8=.") from None


def span(typed: str) -> int | float:
    """Return the seconds of a time span. Raises ``ValidationError``."""
    text = _short(typed)
    sign = -1 if text.startswith("-") else 1
    seconds = _seconds(text.lstrip("+-") if text[1:2] not in ("+", "-") else text, sign)
    if seconds is None:
        raise ValidationError("This is not a time span. Type seconds such as 90, or 1:30:00, or 5 min.")
    # What is too long to be computed is no number, and so not at most anything.
    if not abs(seconds) <= SPAN_MAX:
        raise ValidationError("This time span is too long; the longest is 999,999,999 days.")
    return int(seconds) if seconds == int(seconds) else seconds


def _seconds(text: str, sign: int) -> float | None:
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        if minutes >= 60 or seconds >= 60:
            return None
        rest = hours * 3_600 + minutes * 60 + seconds
        # Python writes an hour ago as "-1 day, 23:00:00": where there are days, the sign is theirs alone.
        return round(sign * days * 86_400 + rest, 6) if match[1] else sign * rest
    length = _length(text)
    return None if length is None else sign * length


def _length(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if (match := _ISO.fullmatch(text)) and any(match.groups()):
        return sum(float(part or 0) * unit for part, unit in zip(match.groups(), _ISO_UNITS, strict=True))
    parts = _PART.findall(text)
    # What is left between the parts may be nothing but blanks, commas and "and".
    if not parts or _PART.sub("", text).replace("and", "").strip(" ,"):
        return None
    if any(unit.lower() not in _UNITS for _, unit in parts):
        return None
    return sum(float(amount) * _UNITS[unit.lower()] for amount, unit in parts)


def _short(typed: str) -> str:
    text = typed.strip()
    if len(text) > NUMBER_MAX:
        raise ValidationError(f"This is {len(text):,} characters long; at most {NUMBER_MAX:,} make sense here.")
    return text
