"""Decides which control a single value gets, from the resolved schema of that value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from webapp.forms import strict_json
from webapp.forms.json_schema import NAMES, SCALARS, Schema, as_count, as_list, as_node, as_text, chosen
from webapp.text import tidy

CHOICES_MAX: Final = 500
"""Most options of a choice; a longer one is typed."""
LONG_FROM: Final = 300
"""Texts that may be longer than this get a large box."""

_LONG_NAMES: Final = frozenset(
    "abstract body code comment comments content contents css description document html instructions letter markdown "
    "message notes prompt query script source sql statement summary template text transcript xml yaml".split()
)
_LONG_FORMATS: Final = frozenset({"textarea", "multiline", "multi-line", "long", "html", "markdown"})
_SHORT_FORMATS: Final = frozenset({"uri", "email", "hostname"})
_LONG_WORDS: Final = ("multiline", "multi-line", "several lines", "multiple lines", "long text", "paragraph")
_FORMATS: Final = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "duration": "duration",
    "uuid": "uuid",
    "decimal": "decimal",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a choice: what is submitted for it, the value that is sent, and what is shown for it."""

    text: str
    value: Any
    label: str


def scalar_kind(node: Schema) -> str | None:
    """Return the kind of control for a resolved node that is a single value, None for every other node."""
    values = chosen(node)
    if values is not None:
        simple = all(value is None or isinstance(value, str | int | float) for value in values)
        return "choice" if 0 < len(values) <= CHOICES_MAX and simple else None
    name = as_text(node.get("type"))
    if name in ("integer", "number"):
        return name
    return _FORMATS.get(as_text(node.get("format")), "text") if name == "string" else None


def options_of(node: Schema, most: int | None = None) -> tuple[Option, ...]:
    """Return the options of a choice; a text is quoted where it could be taken for another option or for blank.

    Where only the first few are wanted, ``most`` says how many.
    """
    values = (chosen(node) or [])[:most]
    others = {strict_json.shown(value) for value in values if not isinstance(value, str)}
    texts = [v if isinstance(v, str) and v.strip() and v not in others else strict_json.shown(v) for v in values]
    return tuple(Option(text, value, _label(text, value, node)) for text, value in zip(texts, values, strict=True))


def _label(text: str, value: Any, node: Schema) -> str:
    """Return the text of an option with the name that its value has in the code, such as "1 (LOW)"."""
    name = tidy(as_text(as_node(node.get(NAMES)).get(strict_json.shown(value))))
    return f"{text} ({name})" if name else text


def may_be_empty(kind: str, node: Schema) -> bool:
    """Tell whether the value may be given without content: an empty text, list or dictionary."""
    least = {"lines": "minItems", "pairs": "minProperties", "text": "minLength", "long": "minLength"}.get(kind)
    if kind == "union":
        return any(part.get("type") == "string" and "format" not in part for part in as_list(node.get("anyOf")))
    if kind == "group":
        return not as_list(node.get("required"))
    return least is not None and not as_count(node.get(least)) and node.get("type") in (*SCALARS, "array", "object")


def is_long(name: str, node: Schema, note: str) -> bool:
    """Tell whether a text needs a large box: its format, length or name says so, or the words about it."""
    most = as_count(node.get("maxLength"))
    form = as_text(node.get("format"))
    if form in _LONG_FORMATS or ((most or 0) > LONG_FROM and form not in _SHORT_FORMATS):
        return True
    if most is not None:
        return False
    return name.lower().rpartition("_")[2] in _LONG_NAMES or any(word in note.lower() for word in _LONG_WORDS)
