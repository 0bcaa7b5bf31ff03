"""Checks a JSON value against a JSON schema, and turns it into what the worker has to be sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, Final

from webapp.forms import formats, json_values, labels, scalars, strict_json
from webapp.forms.json_schema import (
    Definitions,
    IntricateError,
    Schema,
    ValidationError,
    as_list,
    as_node,
    as_text,
    chosen,
    members,
    resolved,
)

STEPS_MAX: Final = 300_000
"""Most single checks of one call; 256 KB hold about 130,000 numbers."""
DEPTH_MAX: Final = 140
"""Deepest nesting of schema and value together; a schema may contain itself."""
PATTERNS_MAX: Final = 50
"""Most patterns that are tried for one call."""
FAILED_COST: Final = 100
"""What a union that nothing fits counts for; a proper call has at most a few of them."""
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "array": (list,),
    "object": (dict,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
    # Decimals and time spans are texts that may be given as numbers.
    "string": (str, int, float),
}
"""The types of the values that may fit a schema of a type."""
_LIKE: Final[dict[str, tuple[type, ...]]] = {
    "array": (list,),
    "object": (dict,),
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
}
_WORDS: Final = {"true": True, "false": False, "null": None}
"""What stands in the name of a value for the values that JSON has words for."""


@dataclass(slots=True)
class Known:
    """What was found out about a node: what it refers to, and its alternatives by the type of the value."""

    node: object
    here: Schema
    choices: list[Schema]
    fitting: dict[type, list[Schema]] = field(default_factory=dict)
    allowed: Set[object] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    texts: dict[object, str] = field(default_factory=dict)


@dataclass(slots=True)
class Checker:
    """Checks the values of one call, within a bounded amount of work; make a new one for each call.

    With ``exact``, values are taken as they are sent: dates and the like have their tag already, and what would have to
    be converted is wrong. ``otherwise`` is what to do about a call that would take more work.
    """

    defs: Mapping[str, Any]
    zone: tzinfo = UTC
    steps: int = field(default=STEPS_MAX)
    exact: bool = False
    otherwise: str = "Use raw JSON."
    patterns: set[str] = field(default_factory=set)
    _known: dict[int, Known] = field(default_factory=dict, repr=False)
    _named: dict[str, Schema] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.defs = Definitions(self.defs)

    def settle(self, value: Any, node: object, where: str = "", depth: int = 0) -> Any:
        """Return the value as it has to be sent: dates and the like with kombu's tag, time spans as seconds.

        Raises ``ValidationError`` with a message that says where in the value something is wrong, and what is right.
        """
        self._spend(1)
        if depth > DEPTH_MAX:
            raise self._too_intricate()
        known = self.known(node)
        if (picked := self._discriminated(value, known.here)) is not None:
            return self.settle(value, picked, where, depth + 1)
        if len(known.choices) > 1:
            return self._first_that_fits(value, known, where, depth)
        return self._one(value, known, where, depth)

    def _spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise self._too_intricate()

    def _too_intricate(self) -> ValidationError:
        return ValidationError(f"This is too intricate to be checked here. {self.otherwise}")

    def known(self, node: object) -> Known:
        """Return what is known of a node; each is looked at once, although each item of a list may ask for it."""
        known = self._known.get(id(node))
        if known is None:
            try:
                here = resolved(node, self.defs)
                # It keeps the node, so that no other can get its id.
                known = self._known[id(node)] = Known(node, here, members(here, self.defs))
            except IntricateError:
                raise self._too_intricate() from None
        return known

    def _first_that_fits(self, value: Any, known: Known, where: str, depth: int) -> Any:
        likely: list[ValidationError] = []
        # What has a tag was a text.
        seen = "" if self.exact and json_values.is_tagged(value) else value
        kind = type(seen)
        if kind not in known.fitting:
            known.fitting[kind] = [choice for choice in known.choices if _may_fit(seen, choice)]
        for choice in known.fitting[kind]:
            try:
                return self.settle(value, choice, where, depth + 1)
            except ValidationError as fault:
                if is_like(seen, choice):
                    likely.append(fault)
        # Where unions stand in unions, each that fits nothing may be asked about again and again.
        self._spend(FAILED_COST if isinstance(seen, list | dict) else 0)
        if len(likely) == 1:
            raise likely[0]
        raise _wrong(where, "This must be ", partial(labels.words, {"anyOf": known.choices}, self.defs), ".")

    def _discriminated(self, value: Any, node: Schema) -> object:
        """Return the alternative that a dictionary names itself, where the schema says by which key."""
        rule = as_node(node.get("discriminator"))
        named = value.get(as_text(rule.get("propertyName"))) if isinstance(value, dict) else None
        ref = as_node(rule.get("mapping")).get(named) if isinstance(named, str) else None
        if not isinstance(ref, str):
            return None
        picked = self._named.setdefault(ref, {"$ref": ref})
        return None if "discriminator" in self.known(picked).here else picked

    def _one(self, value: Any, known: Known, where: str, depth: int) -> Any:
        node = known.choices[0] if known.choices else {}
        name = as_text(node.get("type"))
        choices = chosen(node)
        if choices is not None:
            if known.allowed is None:
                known.allowed = frozenset(map(mark, choices))
            if mark(value) in known.allowed:
                return value
            raise _wrong(where, "This is none of the choices. ", partial(labels.advice, node, self.defs))
        if self.exact and json_values.is_tagged(value) and name not in ("array", "object"):
            return self._tagged(value, node, where)
        if name == "array" or (not name and isinstance(value, list)):
            return self._list(value, node, where, depth)
        if name == "object" or (not name and isinstance(value, dict)):
            return self._dictionary(value, node, where, depth)
        if name == "null" and value is not None:
            raise _wrong(where, "This must be None.")
        return self._scalar(value, value, node, where)

    def _tagged(self, value: dict[str, Any], node: Schema, where: str) -> Any:
        text = json_values.text_of(json_values.read(value))
        return self._scalar(text, value, node, where) if as_text(node.get("type")) else value

    def _scalar(self, value: Any, given: Any, node: Schema, where: str) -> Any:
        pattern = as_text(node.get("pattern"))
        if pattern and pattern not in self.patterns and len(self.patterns) == PATTERNS_MAX:
            # Each costs time to be understood; the worker tries it, too.
            node = {**node, "pattern": ""}
        self.patterns |= {pattern} - {""} if len(self.patterns) < PATTERNS_MAX else set()
        try:
            settled = scalars.settle(value, node, self.defs, self.zone)
        except ValidationError as fault:
            raise _wrong(where, *fault.args) from None
        if self.exact and not strict_json.same(settled, given):
            said = partial(labels.words, node, self.defs)
            written = partial(strict_json.shown, settled)
            raise _wrong(where, "this would not arrive as ", said, ". Write ", lambda: written()[:300], ".")
        return settled

    def _amount(self, count: int, node: Schema, keyword: str, thing: str, where: str) -> None:
        try:
            scalars.check_amount(count, node, keyword, thing)
        except ValidationError as fault:
            raise _wrong(where, *fault.args) from None

    def check_items(self, items: list[Any], node: Schema, where: str = "") -> None:
        """Raise ``ValidationError`` when a list of items that are all right has too many of them, or one twice."""
        self._amount(len(items), node, "Items", "item", where)
        if node.get("uniqueItems") is True and len({strict_json.shown(item) for item in items}) < len(items):
            raise _wrong(where, "An item is given twice. Give each item once.")

    def _list(self, value: Any, node: Schema, where: str, depth: int) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(where, "This must be a list, such as [1, 2].")
        self._amount(len(value), node, "Items", "item", where)
        places = as_list(node.get("prefixItems"))
        settled = []
        for index, item in enumerate(value):
            inner = places[index] if index < len(places) else node.get("items")
            settled.append(self.settle(item, inner, f"{where}[{index}]", depth + 1))
        self.check_items(settled, node, where)
        return settled

    def _dictionary(self, value: Any, node: Schema, where: str, depth: int) -> dict[str, Any]:
        if not isinstance(value, dict) or (self.exact and json_values.is_tagged(value)):
            raise _wrong(where, 'This must be a dictionary, such as {"name": "Ada"}.')
        self._amount(len(value), node, "Properties", "key", where)
        known, other = as_node(node.get("properties")), node.get("additionalProperties")
        for name in as_list(node.get("required")):
            if isinstance(name, str) and name not in value:
                raise _wrong(where, f"The key {name} is missing.")
        settled = {}
        names = as_node(node.get("propertyNames"))
        for name, item in value.items():
            if names:
                self._name(name, names, where, depth)
            if name not in known and other is False:
                raise _wrong(where, f"The key {name} is not known. The keys are {', '.join(list(known)[:20])}.")
            inner = known.get(name, other)
            settled[name] = self.settle(item, inner, f"{where}.{name}" if where else name, depth + 1)
        return settled

    def _name(self, name: str, node: Schema, where: str, depth: int) -> None:
        """Check the name of a value; JSON has written it as a text if it was a number, true, false or null."""
        # A name has no tag, whatever it stands for.
        exact, self.exact = self.exact, False
        try:
            self.settle(name, node, "", depth + 1)
        except ValidationError as fault:
            try:
                self.settle(_WORDS[name] if name in _WORDS else formats.number(name), node, "", depth + 1)
            except ValidationError:
                raise _wrong(where, f"The key {name} is wrong. ", *fault.args) from None
        finally:
            self.exact = exact


def mark(value: Any) -> object:
    """Return what two JSON values share only when they are the same, where 1, 1.0 and true are three values."""
    return (type(value), json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value)


def _wrong(where: str, *parts: str | Callable[[], str]) -> ValidationError:
    """Return the error with its place in front, once; the place inside is always the longer one."""
    return ValidationError(f"At {where}: ", *parts) if where else ValidationError(*parts)


def _may_fit(value: Any, node: Schema) -> bool:
    """Tell whether a value with the type of this one may fit a schema; a choice is compared whatever its type."""
    kinds = _KINDS.get(as_text(node.get("type")))
    return kinds is None or chosen(node) is not None or isinstance(value, kinds)


def is_like(value: Any, node: Schema) -> bool:
    """Tell whether a value has the JSON type that a schema asks for."""
    kinds = _LIKE.get(as_text(node.get("type")))
    return kinds is not None and isinstance(value, kinds) and not isinstance(value, bool)
