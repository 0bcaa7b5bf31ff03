"""Turns what was typed into a JSON value and back, for each kind of control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from webapp.forms import formats, json_values, labels, strict_json
from webapp.forms.controls import options_of, scalar_kind
from webapp.forms.json_schema import (
    Schema,
    ValidationError,
    chosen,
    is_plain_text,
    like_of,
    members,
    resolved,
)
from webapp.forms.validate import Checker, Known, is_like, mark

_YES: Final = ("true", "yes", "on", "1")
_NO: Final = ("false", "no", "off", "0")
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
"""What people who write Python type for what JSON writes differently."""


def value_of(kind: str, text: str, node: Schema, checker: Checker) -> Any:
    """Return the value typed into a control of a kind, checked and as it has to be sent. Raises ``ValidationError``."""
    if kind == "union":
        return _union(text, node, checker)
    if kind == "lines":
        values = _lines(text, node, checker)
        checker.check_items(values, node)
        return values
    if kind == "pairs":
        return checker.settle(_pairs(text, node, checker), {**node, "additionalProperties": {}})
    if kind == "json":
        return _json(text, node, checker, listed=True)
    return checker.settle(_scalar(kind, text, node, checker), node)


def text_of(kind: str, value: Any, node: Schema, checker: Checker) -> str:
    """Return what a person types for a stored value; the value itself need not fit the schema."""
    if kind == "lines" and isinstance(value, list):
        item = _Item.of(node.get("items"), checker)
        return "\n".join(map(item.line, value))
    if kind == "pairs" and isinstance(value, dict):
        item = _Item.of(node.get("additionalProperties"), checker)
        return "\n".join(f"{_key(key)} = {item.line(single)}" for key, single in value.items())
    if kind == "choice":
        return _with_options(node, checker).texts.get(mark(value), _single(value))
    if kind in ("json", "union"):
        bare = json_values.untagged(value)
        quoted = strict_json.written(bare)
        if not isinstance(bare, str):
            return quoted
        ways = (bare, quoted, json_values.encoded(value))
        safe = (text for text in ways if text.strip() and _comes_back(kind, text, value, node, checker))
        return next(safe, bare if kind == "union" else quoted)
    return _single(value)


def _single(value: Any) -> str:
    if json_values.is_tagged(value):
        return json_values.text_of(json_values.read(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scalar(kind: str, text: str, node: Schema, checker: Checker) -> Any:
    if kind == "choice":
        return _choice(text, node, checker)
    try:
        if kind == "integer":
            return formats.whole(text)
        if kind == "number":
            return formats.number(text)
    except ValidationError as fault:
        # The example has to be within the bounds of this very field.
        said, found, _ = str(fault).partition(" Type ")
        raise ValidationError(f"{said} {labels.advice(node, checker.defs)}" if found else said) from None
    return text.replace("\r\n", "\n") if kind in ("text", "long") else text


def _choice(text: str, node: Schema, checker: Checker) -> Any:
    known = _with_options(node, checker)
    lines = _joined(text)
    # One choice may be another with blanks around it.
    for wanted in (lines, lines.strip()):
        if wanted in known.options:
            return known.options[wanted]
    word = text.strip().lower()
    for value in (True, False):
        if word in (_YES if value else _NO) and any(option is value for option in known.options.values()):
            return value
    raise ValidationError(f"This is none of the choices. {labels.advice(node, checker.defs)}")


def _with_options(node: Schema, checker: Checker) -> Known:
    """Return what is known of a choice, with its values by their texts and its texts by their values."""
    known = checker.known(node)
    if not known.options:
        for option in reversed(options_of(node)):
            # A browser sends each end of a line as two characters.
            known.options[_joined(option.text)] = option.value
            known.texts[mark(option.value)] = option.text
    return known


def _joined(text: str) -> str:
    """Return a text whose lines end as Python's do, whatever sent it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _union(text: str, node: Schema, checker: Checker) -> Any:
    """Return the value as the first type that it fits; a text in quotes is a text."""
    parts = members(node, checker.defs)
    texts = [part for part in parts if part.get("type") == "string" and "format" not in part]
    if texts and (quoted := _unquoted(text)) is not None:
        return checker.settle(quoted, {"anyOf": texts} if len(texts) > 1 else texts[0])
    # One choice may be another with blanks around it.
    for part in parts if text.strip() != text else ():
        if scalar_kind(part) == "choice" and text in (known := _with_options(part, checker)).options:
            return known.options[text]
    for part in parts:
        if part.get("type") == "boolean" and text.strip().lower() not in ("true", "false"):
            # What else may stand for yes or no is rather the number or the text that it is.
            continue
        try:
            return value_of(scalar_kind(part) or "json", text, part, checker)
        except ValidationError:
            continue
    raise ValidationError(f"This must be {labels.words(node, checker.defs)}.")


def _comes_back(kind: str, text: str, value: Any, node: Schema, checker: Checker) -> bool:
    """Tell whether a text would be read as the value that it stands for."""
    try:
        return strict_json.same(value_of(kind, text, node, checker), value)
    except ValidationError:
        return False


def _unquoted(text: str) -> str | None:
    """Return the text inside JSON quotes, None when there are none."""
    bare = text.strip()
    if len(bare) < 2 or not bare.startswith('"') or not bare.endswith('"'):
        return None
    try:
        value = json.loads(bare)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class _Item:
    """One value of many that are typed below each other, each on its own line."""

    kind: str | None
    node: Schema
    checker: Checker

    @classmethod
    def of(cls, node: object, checker: Checker) -> _Item:
        """Return how the values of a node are typed."""
        here = resolved(node, checker.defs)
        return cls(scalar_kind(here), here, checker)

    def read(self, text: str) -> Any:
        """Return the value of a line; a text in quotes may be one that a line would change."""
        bare = text.strip()
        if self.kind is None:
            return _json(bare, self.node, self.checker)
        if self.kind == "choice" and bare in _with_options(self.node, self.checker).options:
            return value_of(self.kind, bare, self.node, self.checker)
        quoted = _unquoted(text) if self.kind in ("text", "choice") else None
        return value_of(self.kind, bare if quoted is None else quoted, self.node, self.checker)

    def line(self, value: Any) -> str:
        """Return a value as one line; a text that a line would change is quoted."""
        text = text_of("choice", value, self.node, self.checker) if self.kind == "choice" else _single(value)
        if self.kind not in ("text", "choice"):
            return text
        kept = _is_simple(text) and (self.kind == "choice" or _unquoted(text) is None)
        return text if kept else json.dumps(text)


def _is_simple(text: str) -> bool:
    """Tell whether a text is one line that nothing is taken from."""
    return bool(text) and text.strip() == text and len(text.splitlines()) == 1


def _lines(text: str, node: Schema, checker: Checker) -> list[Any]:
    item = _Item.of(node.get("items"), checker)
    if text.strip().startswith("[") and not is_plain_text(item.node):
        try:
            return list(checker.settle(strict_json.parse(text), node))
        except strict_json.NotJsonError as fault:
            if not fault.more:
                raise
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                values.append(item.read(line))
            except ValidationError as fault:
                raise ValidationError(f"Line {number}: {fault}") from None
    return values


def _pairs(text: str, node: Schema, checker: Checker) -> dict[str, Any]:
    item = _Item.of(node.get("additionalProperties"), checker)
    if text.strip().startswith("{"):
        return dict(checker.settle(strict_json.parse(text), node))
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, rest = _divided(line)
            if name in values:
                raise ValidationError(f"The name {name} is given twice. Give each name once.")
            values[name] = item.read(rest)
        except ValidationError as fault:
            raise ValidationError(f"Line {number}: {fault}") from None
    if json_values.is_tagged(values):
        raise ValidationError(strict_json.NO_TAG)
    return values


def _divided(line: str) -> tuple[str, str]:
    """Return the name and the text of its value; a name in quotes may hold anything."""
    bare = line.strip()
    if bare.startswith('"'):
        try:
            name, end = json.JSONDecoder().raw_decode(bare)
            rest = bare[end:].lstrip()
            if isinstance(name, str) and rest.startswith("="):
                return name, rest[1:]
        except ValueError:
            pass
    name, equals, rest = bare.partition("=")
    if not equals or not name.strip():
        raise ValidationError("Type a name, an equals sign and a value, such as size = 3.")
    return name.strip(), rest


def _json(text: str, node: Schema, checker: Checker, listed: bool = False) -> Any:
    """Return the value of a JSON text; what is no JSON, or none that fits, is taken as a text as it stands.

    With ``listed``, a list may have one item on each line, and a dictionary one ``name = value``. A text that begins as
    a list, a dictionary or a text in quotes does was meant as JSON, and is nothing else.
    """
    bare = text.strip()
    like = like_of(node)
    meant = bare[:1] in ("[", "{", '"')
    if like == "string" and not meant:
        return text.replace("\r\n", "\n")
    try:
        value = strict_json.parse(_PYTHON.get(bare, text))
    except strict_json.NotJsonError as fault:
        if meant and not (fault.more and listed and labels.is_listed(node)):
            raise
        if like:
            return _unquoted_like(text, like, checker)
    else:
        try:
            return checker.settle(value, node)
        except ValidationError as fault:
            if listed and labels.is_listed(node) and _is_item(value, node, checker.defs):
                with suppress(ValidationError):
                    return checker.settle([value], node)
            if meant:
                raise fault from None
    if listed and labels.is_listed(node):
        return value_of("lines", text, node, checker)
    if listed and node.get("type") == "object":
        return value_of("pairs", text, node, checker)
    return checker.settle(text.replace("\r\n", "\n"), node)


def _is_item(value: Any, node: Schema, defs: Mapping[str, Any]) -> bool:
    """Tell whether JSON that is not the list that a node wants may be the only item of that list.

    Where items may be anything, a dictionary is rather a mistake; and a list with a list inside is meant as the whole.
    """
    parts = members(node.get("items"), defs)
    if not isinstance(value, list | dict):
        return True
    if not value or not all(part.get("type") or chosen(part) for part in parts):
        return False
    return isinstance(value, dict) or not any(is_like(inner, part) for inner in value for part in parts)


def _unquoted_like(text: str, like: str, checker: Checker) -> Any:
    try:
        return _scalar("choice" if like == "boolean" else "number", text, {"type": like}, checker)
    except ValidationError as fault:
        raise ValidationError(f"{fault} A text has to stand in quotes.") from None


def _key(name: Any) -> str:
    text = str(name)
    return text if _is_simple(text) and not {"=", '"', "{"} & set(text) else json.dumps(text, ensure_ascii=False)
