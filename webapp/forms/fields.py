"""A form as a tree of fields, made from nothing but the schema that a worker published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from webapp.forms import labels, strict_json
from webapp.forms.controls import Option, is_long, may_be_empty, options_of, scalar_kind
from webapp.forms.description import ARGS, KWARGS, Parameter, default_text, shape_of
from webapp.forms.json_schema import (
    Definitions,
    Schema,
    ValidationError,
    as_count,
    as_list,
    as_node,
    as_text,
    chosen,
    members,
    resolved,
    without_null,
)
from webapp.text import tidy

GROUPS_MAX: Final = 6
"""Deepest group in a group that gets fields; what is inside a deeper one is typed as JSON."""
FIELDS_MAX: Final = 300
"""Most fields of a form; groups beyond are typed as JSON."""


OPTIONS_MAX: Final = 5_000
"""Most options of all choices of a form together; what is beyond is typed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a call as a form shows it: how it is typed, what was typed, and what is wrong with it.

    ``path`` is the name of its input; ``state_path`` that of a second one, which says "none" for None and "empty" for
    a text, list or dictionary without content, since a blank input means that the value is not given.
    """

    name: str
    path: str
    state_path: str
    kind: str
    schema: Schema = field(repr=False)
    label: str = ""
    type_text: str = ""
    required: bool = False
    default: str = ""
    help: str = ""
    passed: str = ""
    nullable: bool = False
    may_be_empty: bool = False
    options: tuple[Option, ...] = ()
    children: tuple[Field, ...] = ()
    value: str = ""
    state: str = ""
    error: str = ""

    def walk(self) -> Iterator[Field]:
        """Yield this field and all inside it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a task. Where ``reason`` says why there are none, only raw JSON can be typed."""

    fields: tuple[Field, ...] = ()
    defs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    summary: str = ""
    doc: str = ""
    reason: str = ""
    guessed: bool = False

    @property
    def raw_only(self) -> bool:
        """Whether there are no fields, because nobody knows the parameters."""
        return bool(self.reason)

    @property
    def wrong(self) -> bool:
        """Whether any field has an error."""
        return any(item.error for top in self.fields for item in top.walk())


def form_of(schema: object) -> Form:
    """Return the form for a schema made by ``schema_of`` or ``infer``; for anything else one of raw JSON only."""
    try:
        shape = shape_of(schema)
        builder = _Builder(Definitions(shape.defs))
        fields = tuple(builder.parameter(parameter) for parameter in shape.parameters)
    except ValidationError as fault:
        return Form(reason=str(fault))
    return Form(fields, shape.defs, shape.summary, shape.doc, guessed=shape.guessed)


class _Builder:
    """Makes the fields of one form, and counts them."""

    def __init__(self, defs: Definitions) -> None:
        self.defs = defs
        self.count = 0
        self.options = 0

    def parameter(self, parameter: Parameter) -> Field:
        """Return the field of a parameter, with all inside it."""
        return self.field(
            parameter.name,
            _escaped(parameter.name),
            parameter.value_schema(),
            required=parameter.required,
            default=parameter.default,
            note=parameter.help,
            passed=parameter.kind,
        )

    def field(
        self,
        name: str,
        path: str,
        node: object,
        *,
        required: bool = False,
        default: str = "",
        note: str = "",
        passed: str = "",
        above: tuple[str, ...] = (),
    ) -> Field:
        """Return the field of a value; ``above`` names the schemas in which it stands, outermost first."""
        self.count += 1
        here, nullable = without_null(node, self.defs)
        note = note or tidy(as_text(here.get("description")), 2_000) or ""
        kind = self._kind(name, here, note, above)
        if kind == "choice":
            self.options += len(chosen(here) or ())
            kind = kind if self.options <= OPTIONS_MAX else "json"
        # A group names its keys by its fields.
        said = labels.words(node, self.defs, depth=int(kind == "json"))
        title = as_text(as_node(node).get("title"))
        options = options_of(here) if kind == "choice" else ()
        return Field(
            name,
            f"p.{path}",
            f"s.{path}",
            kind,
            here,
            label=(tidy(title) or name) if title else tidy(name) or "",
            type_text=tidy(labels.typing_words(kind, here, said, self.defs), 2_000) or "",
            required=required or _is_needed(passed, here),
            default=next((option.label for option in options if option.text == default), default),
            help=note,
            passed=passed,
            nullable=nullable and passed not in (ARGS, KWARGS),
            may_be_empty=may_be_empty(kind, here) and passed not in (ARGS, KWARGS),
            options=options,
            children=self._children(path, here, (*above, _mark(here))) if kind == "group" else (),
        )

    def _kind(self, name: str, node: Schema, note: str, above: tuple[str, ...]) -> str:
        parts = members(node, self.defs)
        if len(parts) > 1:
            return "union" if all(scalar_kind(part) for part in parts) else "json"
        single = scalar_kind(node)
        if single == "text":
            return "long" if is_long(name, node, note) else "text"
        if single:
            return single
        if labels.is_listed(node):
            item = resolved(node.get("items"), self.defs)
            return "lines" if len(members(item, self.defs)) == 1 and scalar_kind(item) else "json"
        if node.get("type") == "object":
            return self._dictionary_kind(node, above)
        return "json"

    def _dictionary_kind(self, node: Schema, above: tuple[str, ...]) -> str:
        properties, other = as_node(node.get("properties")), node.get("additionalProperties")
        if not properties:
            item = resolved(other, self.defs)
            return "pairs" if len(members(item, self.defs)) == 1 and scalar_kind(item) else "json"
        # What is inside is written down to tell whether it stands inside itself.
        self.defs.spend(100 * len(properties))
        fits = self.count + len(properties) <= FIELDS_MAX and len(above) < GROUPS_MAX and _mark(node) not in above
        return "group" if fits and other in (None, False) else "json"

    def _children(self, path: str, node: Schema, above: tuple[str, ...]) -> tuple[Field, ...]:
        needed = as_list(node.get("required"))
        return tuple(
            self.field(
                name,
                f"{path}.{_escaped(name)}",
                inner,
                required=name in needed,
                default=default_text(inner["default"]) if "default" in as_node(inner) else "",
                above=above,
            )
            for name, inner in as_node(node.get("properties")).items()
        )


def _is_needed(passed: str, node: Schema) -> bool:
    """Tell whether ``*args`` or ``**kwargs`` may not be left out, since what is in them is said one by one."""
    return passed in (ARGS, KWARGS) and bool(as_list(node.get("required")) or as_count(node.get("minItems")))


def _mark(node: Schema) -> str:
    """Return what tells whether a group stands inside itself: the names and types of its values."""
    return strict_json.shown(node.get("properties"))


def _escaped(name: str) -> str:
    """Return a name without points, which separate the names in a path."""
    return name.replace("%", "%25").replace(".", "%2E")
