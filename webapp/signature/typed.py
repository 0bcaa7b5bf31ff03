"""Turns what was typed into a JSON value and back, for each kind of control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from webapp.signature import formats, plain, saying, tagged
from webapp.signature.checking import Checker
from webapp.signature.controls import options_of, scalar_kind
from webapp.signature.nodes import LIKE, Schema, WrongError, as_node, as_text, is_plain_text, members, resolved

_YES: Final = ("true", "yes", "on", "1")
_NO: Final = ("false", "no", "off", "0")
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
"""What people who write Python type for what JSON writes differently."""


def value_of(kind: str, text: str, node: Schema, checker: Checker) -> Any:
    """Return the value typed into a control of a kind, checked and as it has to be sent. Raises ``WrongError``."""
    if kind == "union":
        return _union(text, node, checker)
    if kind == "lines":
        return checker.settle(_lines(text, node, checker), {**node, "items": {}})
    if kind == "pairs":
        return checker.settle(_pairs(text, node, checker), {**node, "additionalProperties": {}})
    if kind == "json":
        return _json(text, node, checker, listed=True)
    return checker.settle(_scalar(kind, text, node, checker.defs), node)


def text_of(kind: str, value: Any, node: Schema, checker: Checker) -> str:
    """Return what a person types for a stored value; the value itself need not fit the schema."""
    if kind == "lines" and isinstance(value, list):
        item = resolved(node.get("items"), checker.defs)
        return "\n".join(_line(single, item) for single in value)
    if kind == "pairs" and isinstance(value, dict):
        item = resolved(node.get("additionalProperties"), checker.defs)
        return "\n".join(f"{_key(key)} = {_line(single, item)}" for key, single in value.items())
    if kind == "choice":
        options = [option for option in options_of(node) if plain.same(option.value, value)]
        return options[0].text if options else _single(value)
    if kind in ("json", "union"):
        bare = tagged.untagged(value)
        if isinstance(bare, str) and not _needs_quotes(kind, bare, value, node, checker):
            return bare
        return json.dumps(bare, ensure_ascii=False, indent=2)
    return _single(value)


def _single(value: Any) -> str:
    if tagged.is_tagged(value):
        return tagged.text_of(tagged.read(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scalar(kind: str, text: str, node: Schema, defs: Mapping[str, Any]) -> Any:
    if kind == "choice":
        return _choice(text, node, defs)
    try:
        if kind == "integer":
            return formats.whole(text)
        if kind == "number":
            return formats.number(text)
    except WrongError as fault:
        # The example has to be within the bounds of this very field.
        said, found, _ = str(fault).partition(" Type ")
        raise WrongError(f"{said} {saying.advice(node, defs)}" if found else said) from None
    return text.replace("\r\n", "\n") if kind in ("text", "long") else text


def _choice(text: str, node: Schema, defs: Mapping[str, Any]) -> Any:
    options = options_of(node)
    for option in options:
        if option.text in (text, text.strip()):
            return option.value
    word = text.strip().lower()
    for option in options:
        if isinstance(option.value, bool) and word in (_YES if option.value else _NO):
            return option.value
    raise WrongError(f"This is none of the choices. {saying.advice(node, defs)}")


def _union(text: str, node: Schema, checker: Checker) -> Any:
    """Return the value as the first type that it fits; a text in quotes is a text."""
    parts = members(node, checker.defs)
    texts = [part for part in parts if part.get("type") == "string" and "format" not in part]
    if texts and (quoted := _unquoted(text)) is not None:
        return checker.settle(quoted, {"anyOf": texts} if len(texts) > 1 else texts[0])
    for part in parts:
        if part.get("type") == "boolean" and text.strip().lower() not in ("true", "false"):
            # What else may stand for yes or no is rather the number or the text that it is.
            continue
        try:
            return value_of(scalar_kind(part) or "json", text, part, checker)
        except WrongError:
            continue
    raise WrongError(f"This must be {saying.words(node, checker.defs)}.")


def _needs_quotes(kind: str, text: str, value: Any, node: Schema, checker: Checker) -> bool:
    """Tell whether a text that is typed as it stands would not come back as the value it stands for."""
    try:
        return not text.strip() or not plain.same(value_of(kind, text, node, checker), value)
    except WrongError:
        return kind == "json"


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


def _item(text: str, node: Schema, checker: Checker) -> Any:
    kind = scalar_kind(node)
    if kind is None:
        return _json(text.strip(), node, checker)
    quoted = _unquoted(text) if kind == "text" else None
    return value_of(kind, text.strip() if quoted is None else quoted, node, checker)


def _lines(text: str, node: Schema, checker: Checker) -> list[Any]:
    item = resolved(node.get("items"), checker.defs)
    if text.strip().startswith("[") and not is_plain_text(item):
        try:
            return list(checker.settle(plain.parse(text), node))
        except plain.NotJsonError as fault:
            if not fault.more:
                raise
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                values.append(_item(line, item, checker))
            except WrongError as fault:
                raise WrongError(f"Line {number}: {fault}") from None
    return values


def _pairs(text: str, node: Schema, checker: Checker) -> dict[str, Any]:
    item = resolved(node.get("additionalProperties"), checker.defs)
    if text.strip().startswith("{"):
        return dict(checker.settle(plain.parse(text), node))
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, rest = _divided(line)
            if name in values:
                raise WrongError(f"The name {name} is given twice. Give each name once.")
            values[name] = _item(rest, item, checker)
        except WrongError as fault:
            raise WrongError(f"Line {number}: {fault}") from None
    if tagged.is_tagged(values):
        raise WrongError(plain.NO_TAG)
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
        raise WrongError("Type a name, an equals sign and a value, such as size = 3.")
    return name.strip(), rest


def _json(text: str, node: Schema, checker: Checker, listed: bool = False) -> Any:
    """Return the value of a JSON text; what is no JSON, or none that fits, is taken as a text as it stands.

    With ``listed``, a list may have one item on each line, and a dictionary one ``name = value``. A text that begins as
    a list, a dictionary or a text in quotes does was meant as JSON, and is nothing else.
    """
    bare = text.strip()
    like = as_text(node.get(LIKE))
    meant = bare[:1] in ("[", "{", '"')
    if like == "string" and not meant:
        return text.replace("\r\n", "\n")
    try:
        value = plain.parse(_PYTHON.get(bare, text))
    except plain.NotJsonError as fault:
        if meant and not (fault.more and listed and saying.is_listed(node)):
            raise
        if like:
            return _unquoted_like(text, like, checker.defs)
    else:
        try:
            return checker.settle(value, node)
        except WrongError:
            if meant:
                raise
    if listed and saying.is_listed(node):
        return value_of("lines", text, node, checker)
    if listed and node.get("type") == "object":
        return value_of("pairs", text, node, checker)
    return checker.settle(text.replace("\r\n", "\n"), node)


def _unquoted_like(text: str, like: str, defs: Mapping[str, Any]) -> Any:
    try:
        return _scalar("choice" if like == "boolean" else "number", text, {"type": like}, defs)
    except WrongError as fault:
        raise WrongError(f"{fault} A text has to stand in quotes.") from None


def _key(name: Any) -> str:
    text = str(name)
    simple = text.strip() == text and len(text.splitlines()) == 1 and not {"=", '"', "{"} & set(text)
    return text if simple else json.dumps(text, ensure_ascii=False)


def _line(value: Any, node: Schema) -> str:
    """Return an item as one line; a text that a line would change is quoted."""
    text = _single(value)
    if scalar_kind(as_node(node)) != "text":
        return text
    simple = text.strip() == text and text and len(text.splitlines()) == 1 and _unquoted(text) is None
    return text if simple else json.dumps(text)
