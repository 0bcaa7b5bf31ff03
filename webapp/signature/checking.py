"""Checks a JSON value against a JSON schema, and turns it into what the worker has to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final

from webapp.signature import formats, plain, saying, scalars
from webapp.signature.nodes import Schema, WrongError, as_list, as_node, as_text, chosen, members, resolved

STEPS_MAX: Final = 300_000
"""Most single checks of one call; 256 KB hold about 130,000 numbers."""
DEPTH_MAX: Final = 140
"""Deepest nesting of schema and value together; a schema may contain itself."""
FAILED_COST: Final = 100
"""What a union that nothing fits counts for; a proper call has at most a few of them."""


@dataclass(slots=True)
class Checker:
    """Checks the values of one call, within a bounded amount of work; make a new one for each call."""

    defs: Mapping[str, Any]
    zone: tzinfo = UTC
    steps: int = field(default=STEPS_MAX)

    def settle(self, value: Any, node: object, where: str = "", depth: int = 0) -> Any:
        """Return the value as it has to be sent: dates and the like with kombu's tag, time spans as seconds.

        Raises ``WrongError`` with a message that says where in the value something is wrong, and what is right.
        """
        self.steps -= 1
        if self.steps < 0 or depth > DEPTH_MAX:
            raise WrongError("This is too intricate to be checked here. Use raw JSON.")
        here = resolved(node, self.defs)
        if (picked := self._discriminated(value, here)) is not None:
            return self.settle(value, picked, where, depth + 1)
        choices = members(here, self.defs)
        if len(choices) > 1:
            return self._first_that_fits(value, choices, where, depth)
        return self._one(value, choices[0] if choices else {}, where, depth)

    def _first_that_fits(self, value: Any, choices: list[Schema], where: str, depth: int) -> Any:
        likely: list[WrongError] = []
        for choice in choices:
            try:
                return self.settle(value, choice, where, depth + 1)
            except WrongError as fault:
                if _is_like(value, choice):
                    likely.append(fault)
        # Where unions stand in unions, each that fits nothing may be asked about again and again.
        self.steps -= FAILED_COST
        if len(likely) == 1:
            raise likely[0]
        raise _wrong(where, f"This must be {saying.words({'anyOf': choices}, self.defs)}.")

    def _discriminated(self, value: Any, node: Schema) -> object:
        """Return the alternative that a dictionary names itself, where the schema says by which key."""
        rule = as_node(node.get("discriminator"))
        named = value.get(as_text(rule.get("propertyName"))) if isinstance(value, dict) else None
        ref = as_node(rule.get("mapping")).get(named) if isinstance(named, str) else None
        return (
            {"$ref": ref}
            if isinstance(ref, str) and "discriminator" not in resolved({"$ref": ref}, self.defs)
            else None
        )

    def _one(self, value: Any, node: Schema, where: str, depth: int) -> Any:
        name = as_text(node.get("type"))
        choices = chosen(node)
        if choices is not None:
            if any(plain.same(value, choice) for choice in choices):
                return value
            raise _wrong(where, f"This is none of the choices. {saying.advice(node, self.defs)}")
        if name == "array" or (not name and isinstance(value, list)):
            return self._list(value, node, where, depth)
        if name == "object" or (not name and isinstance(value, dict)):
            return self._dictionary(value, node, where, depth)
        if name == "null" and value is not None:
            raise _wrong(where, "This must be None.")
        try:
            return scalars.settle(value, node, self.defs, self.zone)
        except WrongError as fault:
            raise _wrong(where, str(fault)) from None

    def _amount(self, count: int, node: Schema, keyword: str, thing: str, where: str) -> None:
        try:
            scalars.check_amount(count, node, keyword, thing)
        except WrongError as fault:
            raise _wrong(where, str(fault)) from None

    def _list(self, value: Any, node: Schema, where: str, depth: int) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(where, "This must be a list, such as [1, 2].")
        self._amount(len(value), node, "Items", "item", where)
        places = as_list(node.get("prefixItems"))
        settled = []
        for index, item in enumerate(value):
            inner = places[index] if index < len(places) else node.get("items")
            settled.append(self.settle(item, inner, f"{where}[{index}]", depth + 1))
        if node.get("uniqueItems") is True:
            texts = [plain.shown(item) for item in settled]
            if len(set(texts)) < len(texts):
                raise _wrong(where, "An item is given twice. Give each item once.")
        return settled

    def _dictionary(self, value: Any, node: Schema, where: str, depth: int) -> dict[str, Any]:
        if not isinstance(value, dict):
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
        """Check the name of a value; JSON has written it as a text if it was a number."""
        try:
            self.settle(name, node, "", depth + 1)
        except WrongError as fault:
            try:
                self.settle(formats.number(name), node, "", depth + 1)
            except WrongError:
                raise _wrong(where, f"The key {name} is wrong. {fault}") from None


def _wrong(where: str, message: str) -> WrongError:
    """Return the error with its place in front, once; the place inside is always the longer one."""
    return WrongError(f"At {where}: {message}" if where else message)


def _is_like(value: Any, node: Schema) -> bool:
    """Tell whether a value has the JSON type that a schema asks for."""
    kinds: dict[str, type | tuple[type, ...]] = {"array": list, "object": dict, "string": str}
    kinds |= {"number": (int, float), "integer": (int, float)}
    kind = kinds.get(as_text(node.get("type")))
    return kind is not None and isinstance(value, kind) and not isinstance(value, bool)
