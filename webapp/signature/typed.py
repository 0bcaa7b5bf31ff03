"""Turns what was typed into a JSON value and back, for each kind of control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from webapp.signature import formats, plain, saying, tagged
from webapp.signature.checking import Checker
from webapp.signature.controls import options_of, scalar_kind
from webapp.signature.nodes import Schema, WrongError, as_node, is_plain_text, members, resolved

_YES: Final = ("true", "yes", "on", "1")
_NO: Final = ("false", "no", "off", "0")


def value_of(kind: str, text: str, node: Schema, checker: Checker) -> Any:
    """Return the value typed into a control of a kind, checked and as it has to be sent. Raises ``WrongError``."""
    if kind == "union":
        return _union(text, node, checker)
    if kind == "lines":
        return checker.settle(_lines(text, node, checker), {**node, "items": {}})
    if kind == "pairs":
        return checker.settle(_pairs(text, node, checker), {**node, "additionalProperties": {}})
    if kind == "json":
        return checker.settle(_json(text), node)
    return checker.settle(_scalar(kind, text, node, checker.defs), node)


def text_of(kind: str, value: Any, node: Schema, checker: Checker) -> str:
    """Return what a person types for a stored value; the value itself need not fit the schema."""
    if kind == "lines" and isinstance(value, list):
        item = resolved(node.get("items"), checker.defs)
        return "\n".join(_line(single, item) for single in value)
    if kind == "pairs" and isinstance(value, dict):
        item = resolved(node.get("additionalProperties"), checker.defs)
        return "\n".join(f"{_key(key)} = {_line(single, item)}" for key, single in value.items())
    if kind == "union" and isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _needs_quotes(value, node, checker) else value
    if kind == "choice":
        options = [option for option in options_of(node) if plain.same(option.value, value)]
        return options[0].text if options else _single(value)
    if kind == "json":
        return json.dumps(tagged.untagged(value), ensure_ascii=False, indent=2)
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
        try:
            return value_of(scalar_kind(part) or "json", text, part, checker)
        except WrongError:
            continue
    raise WrongError(f"This must be {saying.words(node, checker.defs)}.")


def _needs_quotes(value: str, node: Schema, checker: Checker) -> bool:
    try:
        return not plain.same(_union(value, node, checker), value)
    except WrongError:
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


def _item(text: str, node: Schema, checker: Checker) -> Any:
    kind = scalar_kind(node) or "json"
    quoted = _unquoted(text) if kind == "text" else None
    return value_of(kind, text.strip() if quoted is None else quoted, node, checker)


def _lines(text: str, node: Schema, checker: Checker) -> list[Any]:
    item = resolved(node.get("items"), checker.defs)
    if text.strip().startswith("[") and not is_plain_text(item):
        return list(checker.settle(_json(text), node))
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


def _json(text: str) -> Any:
    try:
        return plain.parse(text)
    except WrongError as fault:
        bare = text.strip()
        hint = f" A text has to stand in quotes: {json.dumps(bare[:40])}." if bare.replace(" ", "").isalnum() else ""
        raise WrongError(f"{fault}{hint}") from None


def _key(name: Any) -> str:
    text = str(name)
    simple = text.strip() == text and text and "=" not in text and '"' not in text and len(text.splitlines()) == 1
    return text if simple else json.dumps(text, ensure_ascii=False)


def _line(value: Any, node: Schema) -> str:
    """Return an item as one line; a text that a line would change is quoted."""
    text = _single(value)
    if scalar_kind(as_node(node)) != "text":
        return text
    simple = text.strip() == text and text and len(text.splitlines()) == 1 and _unquoted(text) is None
    return text if simple else json.dumps(text)
