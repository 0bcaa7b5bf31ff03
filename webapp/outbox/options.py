"""How a run is to be sent, as it is typed: queue, when, until when, with which priority."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from webapp.forms.formats import moment, span, whole
from webapp.forms.json_schema import ValidationError
from webapp.text import NAME_MAX, clean

FIELDS: Final = ("queue", "countdown", "eta", "expires", "priority", "note")
PRIORITY_MAX: Final = 255
NOTE_MAX: Final = 500
FARTHEST: Final = 10 * 365 * 86_400.0
"""Seconds from now until the latest time that is accepted."""


@dataclass(slots=True)
class Options:
    """What was typed, by field, what it means to ``apply_async``, and what is wrong with which field."""

    typed: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    note: str = ""


def read_options(submitted: Mapping[str, str], now: datetime, zone: tzinfo = UTC) -> Options:
    """Read the fields ``o.queue``, ``o.countdown`` and so on; times become ISO 8601 with their zone."""
    found = Options({name: submitted.get(f"o.{name}", "").strip()[: NAME_MAX * 2] for name in FIELDS})
    readers = {"queue": _queue, "countdown": _countdown, "eta": _moment, "expires": _expires, "priority": _priority}
    for name, read in readers.items():
        if found.typed[name]:
            try:
                found.values["eta" if name == "countdown" else name] = read(found.typed[name], now, zone)
            except ValidationError as fault:
                found.errors[name] = str(fault)
    if found.typed["countdown"] and found.typed["eta"]:
        found.errors["eta"] = "Give either a countdown or a time, not both."
    found.note = clean(found.typed["note"])[:NOTE_MAX]
    return found


def _queue(text: str, now: datetime, zone: tzinfo) -> str:
    if len(text) > NAME_MAX or not text.isprintable():
        raise ValidationError(f"A queue's name has at most {NAME_MAX} printable characters.")
    return text


def _countdown(text: str, now: datetime, zone: tzinfo) -> str:
    seconds = span(text)
    if not 0 <= seconds <= FARTHEST:
        raise ValidationError("This must be between now and ten years from now, such as 90 or 5 min.")
    return (now + timedelta(seconds=seconds)).isoformat()


def _moment(text: str, now: datetime, zone: tzinfo) -> str:
    at = moment(text, zone)
    if not -FARTHEST <= (at - now).total_seconds() <= FARTHEST:
        raise ValidationError("This must be within ten years from now.")
    return at.astimezone(UTC).isoformat()


def _expires(text: str, now: datetime, zone: tzinfo) -> str:
    """A time span from now, or a date and time."""
    try:
        at = _countdown(text, now, zone)
    except ValidationError:
        at = _moment(text, now, zone)
    if datetime.fromisoformat(at) <= now:
        raise ValidationError("This is over already. Type a later time, or a time span such as 10 min.")
    return at


def _priority(text: str, now: datetime, zone: tzinfo) -> int:
    number = whole(text)
    if not 0 <= number <= PRIORITY_MAX:
        raise ValidationError(f"A priority is a whole number between 0 and {PRIORITY_MAX}; with Redis 0 goes first.")
    return number
