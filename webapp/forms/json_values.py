"""Values that JSON lacks, in the form in which kombu's encoder writes them and its decoder reads them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from webapp.forms.json_schema import ValidationError

Stamp = datetime | date | time | Decimal | UUID | bytes
"""What travels with a tag; a datetime is also a date, so it is always asked about first."""

EXPONENT_MAX: Final = 6000
"""Largest power of ten of a decimal; to make a whole number of ``Decimal("1e999999999")`` fills any memory."""
TEXT_MAX: Final = 200
"""Longest text shown of a value that is no JSON."""
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def write(value: Stamp) -> dict[str, Any]:
    """Return what kombu 5.7 writes for a value: ``{"__type__": "date", "__value__": "2026-03-01"}`` and the like."""
    if isinstance(value, datetime):
        return _tag("datetime", value.isoformat())
    if isinstance(value, date):
        return _tag("date", value.isoformat())
    if isinstance(value, time):
        return _tag("time", value.isoformat())
    if isinstance(value, Decimal):
        return _tag("decimal", str(value))
    if isinstance(value, UUID):
        return _tag("uuid", {"hex": value.hex})
    try:
        return _tag("bytes", value.decode())
    except UnicodeDecodeError:
        return _tag("base64", base64.b64encode(value).decode())


def is_tagged(value: object) -> bool:
    """Tell whether a value has both keys; kombu would not deliver it as the dictionary that it seems to be."""
    return isinstance(value, dict) and "__type__" in value and "__value__" in value


def read(value: dict[str, Any]) -> Stamp:
    """Return what a worker gets for a tagged dictionary. Raises ``ValidationError`` when that is not certain."""
    name, inner = value["__type__"], value["__value__"]
    reader = _READERS.get(name) if isinstance(name, str) else None
    if reader is None or len(value) > 2:
        raise ValidationError(
            "A dictionary with the keys __type__ and __value__ must have no other key, and a __type__ that workers "
            f"know: {', '.join(_READERS)}."
        )
    try:
        return reader(inner)
    except (ValueError, TypeError, ArithmeticError, AttributeError, KeyError):
        raise ValidationError(f"The __value__ beside the __type__ {name} is not a {name}.") from None


def text_of(value: Stamp) -> str:
    """Return a value as a person types it."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if not isinstance(value, bytes):
        return str(value)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    # A blank field would say that no bytes are given at all.
    return encoded(write(value)) if not text or text.startswith("base64:") else text


def encoded(value: object) -> str:
    """Return tagged bytes as they are typed where their text would be taken for something else, else nothing."""
    octets = read(value) if isinstance(value, dict) and is_tagged(value) else None
    return "base64:" + base64.b64encode(octets).decode() if isinstance(octets, bytes) else ""


def untagged(value: Any) -> Any:
    """Return a JSON value with each tagged dictionary as the text that a person types for it."""
    if is_tagged(value):
        return text_of(read(value))
    if isinstance(value, dict):
        return {key: untagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [untagged(item) for item in value]
    return value


def described(value: object) -> str:
    """Return any object as a bounded text, the same in every process."""
    try:
        typed = str(value) if isinstance(value, PurePath | timedelta) else repr(value)
        text = text_of(value) if isinstance(value, Stamp) else typed
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # A repr is foreign code and may do anything, even exit.
        text = f"<{type(value).__name__}>"
    text = _ADDRESS.sub("", text)
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…"


def finite(value: Decimal) -> Decimal:
    """Return a decimal that a worker can work with. Raises ``ValidationError`` for any other."""
    if not value.is_finite() or abs(value.adjusted()) > EXPONENT_MAX:
        raise ValidationError("This decimal number is too large or not finite. Type one such as 12.50.")
    return value


def _tag(name: str, value: Any) -> dict[str, Any]:
    return {"__type__": name, "__value__": value}


def _decimal(value: Any) -> Decimal:
    return finite(Decimal(_text(value)))


def _uuid(value: Any) -> UUID:
    if value.keys() != {"hex"}:
        raise ValueError
    return UUID(_text(value["hex"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_READERS: Final[dict[str, Callable[[Any], Stamp]]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda value: datetime.fromisoformat(value).date(),
    "time": time.fromisoformat,
    "decimal": _decimal,
    "uuid": _uuid,
    "bytes": lambda value: _text(value).encode(),
    "base64": lambda value: base64.b64decode(_text(value), validate=True),
}
