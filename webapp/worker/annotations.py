"""Turns the annotations of a function into JSON schemas, each on its own, so that one that fails spoils no other."""

from __future__ import annotations

import inspect
import json
import typing
import warnings
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Reversible
from datetime import date, time, timedelta
from enum import Flag
from functools import reduce
from operator import or_
from types import SimpleNamespace
from typing import Any, Final

import typing_extensions
from pydantic import PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import CoreSchema, core_schema

from webapp.forms.json_schema import DECIMAL_PLACES, DIGITS, NAMES, Schema
from webapp.forms.strict_json import shown

UNKNOWN: Final = {"x-unknown": True}
"""The schema of a type that nobody can describe, inside of one that can be described."""

_UUIDS: Final = tuple(f"uuid{version}" for version in range(1, 9))
_BOUNDS: Final = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_LISTED: Final = (Collection, Container, Iterator, Reversible)
"""What pydantic does not know, and a list is."""


class Writer(GenerateJsonSchema):
    """Writes schemas for forms: no made-up titles, decimals that can be told from texts, and no warnings."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing: a default that is no JSON is simply not shown."""

    def handle_invalid_for_json_schema(self, schema: CoreSchema | Any, error_info: str) -> JsonSchemaValue:
        """Return that what no JSON can be, such as a function, may be anything; it spoils nothing around it."""
        return dict(UNKNOWN)

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:
        """Return that the name of a field is title enough."""
        return False

    def field_is_present(self, field: Any) -> bool:
        """Return whether a value may be given for a field; a dataclass makes some of them by itself."""
        return field.get("init") is not False and super().field_is_present(field)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Return a text in the format "decimal", with its bounds as numbers."""
        keywords = {**_BOUNDS, "multiple_of": "multipleOf"}
        bounds: dict[str, Any] = {word: schema.get(key) for key, word in keywords.items()}
        numbers = {word: float(bound) for word, bound in bounds.items() if bound is not None}
        counts = {DIGITS: schema.get("max_digits"), DECIMAL_PLACES: schema.get("decimal_places")}
        numbers |= {word: count for word, count in counts.items() if count is not None}
        return {"type": "string", "format": "decimal", **numbers}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Return a dictionary with the type of its keys, which JSON makes texts, where that is not any text."""
        made = super().dict_schema(schema)
        names = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        # JSON has no way to write a tuple as a name, so that nothing at all would fit.
        told = names.keys() - {"title"} and names != {"type": "string"} and names.get("type") not in ("array", "object")
        return {**made, "propertyNames": names} if told else made

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Return the values of an Enum with the names that say more than these; those of a Flag can be added up."""
        made, members = super().enum_schema(schema), schema["members"]
        if not issubclass(schema["cls"], Flag):
            # A member with two names is there twice.
            values = {shown(value): (member.name, value) for member, value in zip(members, made["enum"], strict=True)}
            names = {key: name for key, (name, value) in values.items() if _letters(str(value)) != _letters(name)}
            return {**made, "enum": [value for _, value in values.values()], **({NAMES: names} if names else {})}
        named = ", ".join(f"{member.name} = {member.value}" for member in members)
        every = reduce(or_, (member.value for member in members), 0)
        return {"type": "integer", "minimum": 0, "maximum": every, "description": f"The sum of any of {named}."}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        """Return a date, however the code's own model writes it, with its bounds."""
        return {"type": "string", "format": "date", **_time_bounds(schema)}

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        """Return a time of day with its bounds."""
        return {"type": "string", "format": "time", **_time_bounds(schema)}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """Return a date and time with its bounds, marked when it must not have a zone."""
        naive = {"x-naive": True} if schema.get("tz_constraint") == "naive" else {}
        return {"type": "string", "format": "date-time", **naive, **_time_bounds(schema)}

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        """Return a duration with its bounds."""
        return {"type": "string", "format": "duration", **_time_bounds(schema)}


def _letters(text: str) -> str:
    """Return what is left of a text without case, blanks and signs."""
    return "".join(filter(str.isalnum, text.lower()))


def _time_bounds(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """Return the bounds of a date, time or time span as they are typed; JSON schema has them for numbers only."""
    found = {f"x-{word}": schema.get(key) for key, word in _BOUNDS.items()}
    return {word: str(bound) for word, bound in found.items() if isinstance(bound, date | time | timedelta | str)}


def schemas_of(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> tuple[list[Schema | None], Schema]:
    """Return the schema of each parameter, None for what cannot be understood, and the definitions they share."""
    adapters = [(number, _adapter(function, parameter)) for number, parameter in enumerate(parameters)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usable = [(number, "validation", adapter) for number, adapter in adapters if adapter is not None]
        try:
            made, shared = TypeAdapter.json_schemas(usable, schema_generator=Writer)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # Foreign code is at work here; see _adapter.
            return [None] * len(parameters), {}
    found = {number: _as_json(schema) for (number, _), schema in made.items() if schema != UNKNOWN}
    return [found.get(number) for number in range(len(parameters))], _as_json(shared.get("$defs", {}))


def _as_json(schema: Schema) -> Schema:
    """Return a schema as the JSON that it is, with texts for bounds and defaults that are no finite numbers."""
    made: Schema = json.loads(json.dumps(schema), parse_constant=str, object_hook=_of_any_version)
    return made


def _of_any_version(node: Schema) -> Schema:
    return {**node, "format": "uuid"} if node.get("format") in _UUIDS else node


def _adapter(function: Callable[..., Any], parameter: inspect.Parameter) -> TypeAdapter[Any] | None:
    """Return what knows the type of a parameter, None when nothing does.

    Annotations are code of others, run by libraries in two languages: they raise whatever they like, even what is no
    ``Exception``, and none of it may keep a worker from starting.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = _whole_type(function, parameter)
            try:
                adapter: TypeAdapter[Any] = TypeAdapter(whole)
            except PydanticUserError:
                if not typing.get_args(whole):
                    return None
                # Only a part of it may be a class that pydantic knows nothing of.
                adapter = TypeAdapter(whole, config={"arbitrary_types_allowed": True})
            _as_json(adapter.json_schema(schema_generator=Writer))
            return adapter
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return None


def _whole_type(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return the type of all that a parameter takes: a list for ``*args``, a dictionary for ``**kwargs``."""
    several = parameter.kind is inspect.Parameter.VAR_KEYWORD
    bare = parameter.annotation is inspect.Parameter.empty
    single: Any = Any if bare else _evaluated(function, parameter.annotation)
    if typing.get_origin(single) in (typing.Unpack, typing_extensions.Unpack):
        # All are described together, as in **options: Unpack[Options] or *pair: Unpack[tuple[int, str]].
        return _modern(typing.get_args(single)[0], {})
    if getattr(single, "__unpacked__", False) is True:
        # The same, written as *pair: *tuple[int, str].
        return _modern(tuple.__class_getitem__(typing.get_args(single)), {})
    single = _modern(single, {})
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return list[single]
    return dict[str, single] if several else single


def _evaluated(function: Callable[..., Any], annotation: Any) -> Any:
    """Return an annotation with the names inside its texts looked up where the function was written."""
    inner: Any = inspect.unwrap(function)
    inner = inspect.unwrap(getattr(inner, "__func__", inner))
    names = getattr(inner, "__globals__", {})
    types = {item.__name__: item for item in getattr(inner, "__type_params__", ())}
    holder: Any = SimpleNamespace(__annotations__={"value": annotation})
    return typing.get_type_hints(holder, names, types, include_extras=True)["value"]


def _modern(annotation: Any, made: dict[Any, Any]) -> Any:
    """Return an annotation whose TypedDicts pydantic accepts; before Python 3.12 those are not Python's own.

    ``made`` holds those that stand around it or were met before, since a TypedDict may hold itself.
    """
    if typing_extensions.is_typeddict(annotation):
        return made[annotation] if annotation in made else _modern_dictionary(annotation, made)
    if annotation is typing.LiteralString:
        # It is a text to all but those who check types.
        return str
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal or not inner:
        return annotation
    newer = tuple(_modern(part, made) for part in inner)
    if origin in _LISTED:
        return list.__class_getitem__(newer[0])
    if all(one is other for one, other in zip(inner, newer, strict=True)):
        return annotation
    if origin is typing.Annotated:
        return typing.Annotated[newer]
    if type(annotation).__name__ in ("UnionType", "_UnionGenericAlias", "Union"):
        return typing.Union[newer]  # noqa: UP007  # Made from a tuple, it has no other spelling.
    return origin[newer[0] if len(newer) == 1 else newer]


def _modern_dictionary(annotation: Any, made: dict[Any, Any]) -> Any:
    """Return a TypedDict that pydantic accepts; one that it accepts already, with all inside, as it is."""
    newer: Any = typing_extensions.TypedDict(annotation.__name__, {})  # type: ignore[misc]
    made[annotation] = newer
    hints = typing_extensions.get_type_hints(annotation, include_extras=True)
    fields = {name: _modern(hint, made) for name, hint in hints.items()}
    if type(annotation).__module__ != "typing" and all(fields[name] is hint for name, hint in hints.items()):
        made[annotation] = annotation
        return annotation
    # It is filled only now, when it may already stand inside of itself.
    newer.__annotations__ = fields
    for name in ("__module__", "__doc__", "__total__", "__required_keys__", "__optional_keys__"):
        setattr(newer, name, getattr(annotation, name))
    return newer
