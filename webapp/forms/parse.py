"""Reads what was submitted into the arguments of a call, with a message beside each field that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from enum import Enum
from typing import Any, Final

from webapp.forms import json_values, labels, strict_json, values
from webapp.forms.description import ARGS, EITHER, KEYWORD, KWARGS, POSITIONAL
from webapp.forms.fields import Field, Form
from webapp.forms.json_schema import ValidationError
from webapp.forms.validate import Checker
from webapp.runs.arguments import SIZE_MAX

Submitted = Mapping[str, Sequence[str]]

NONE: Final = "none"
EMPTY: Final = "empty"
_KEPT_BLANKS: Final = ("text", "long", "union")
"""Kinds for which a blank is a character like any other, so that only nothing at all counts as not given."""


class Given(Enum):
    """What stands for the value of a field that was left blank."""

    NOT = "not given"


@dataclass(frozen=True, slots=True)
class BoundForm:
    """What was read: the call, the form with what was typed, and what is wrong with the whole."""

    args: list[Any]
    kwargs: dict[str, Any]
    form: Form
    errors: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the call may be sent."""
        return not self.errors and not self.form.wrong


def read(form: Form, submitted: Submitted, zone: tzinfo = UTC) -> BoundForm:
    """Return the call that was typed; where it is not ``ok``, its arguments are not to be used.

    A date and time without a zone is taken in ``zone``. Names that begin with neither ``p.`` nor ``s.`` are left to
    others.
    """
    if form.raw_only:
        return BoundForm([], {}, form, ["This task has no fields. Use raw JSON."])
    errors = _whole_errors(form, submitted)
    if errors:
        return BoundForm([], {}, form, errors)
    checker = Checker(form.defs, zone)
    pairs = [read_field(top, submitted, checker) for top in form.fields]
    fields = [_bounded(top, value) for top, value in pairs]
    call = Call()
    placed = tuple(call.place(top, value) for top, (_, value) in zip(fields, pairs, strict=True))
    filled = replace(form, fields=placed)
    if json_values.is_tagged(call.kwargs):
        errors.append(strict_json.NO_TAG)
    if not filled.wrong and len(strict_json.shown([call.args, call.kwargs])) > SIZE_MAX:
        errors.append(f"All arguments together are too long; at most {SIZE_MAX:,} bytes can be sent.")
    return BoundForm(call.args, call.kwargs, filled, errors)


def _whole_errors(form: Form, submitted: Submitted) -> list[str]:
    known = {path for top in form.fields for item in top.walk() for path in (item.path, item.state_path)}
    strange = [name for name in submitted if name[:2] in ("p.", "s.") and name not in known]
    errors = [f"This task has no field {strict_json.shown(name[2:][:100])}." for name in strange[:5]]
    if sum(len(text) for texts in submitted.values() for text in texts) > SIZE_MAX:
        errors.append(f"What was typed is too long; at most {SIZE_MAX:,} characters can be sent.")
    return errors


def read_field(item: Field, submitted: Submitted, checker: Checker) -> tuple[Field, Any]:
    """Return the field with what was typed and perhaps an error, and its value or ``Given.NOT``."""
    texts = [text for text in submitted.get(item.path, ()) if isinstance(text, str)]
    states = [text for text in submitted.get(item.state_path, ()) if text]
    joined = "\n".join(texts) if item.kind == "lines" else next(iter(texts), "")
    if item.kind == "choice":
        # A browser sends each end of a line as two characters, and then would find no such choice again.
        joined = joined.replace("\r\n", "\n")
    filled = replace(item, value=joined, state=states[-1] if states else "", error="")
    try:
        if item.kind == "group":
            return _group(filled, submitted, checker)
        if len(set(texts)) > 1 and item.kind != "lines":
            raise ValidationError("This was given more than once. Give it once.")
        return filled, _value(filled, checker)
    except ValidationError as fault:
        return replace(filled, error=str(fault)), Given.NOT


def _value(item: Field, checker: Checker) -> Any:
    blank = _is_blank(item.kind, item.value)
    if item.state:
        if not blank:
            raise ValidationError("Something is typed although None or empty is chosen. Clear one of the two.")
        return _from_state(item, checker)
    if not blank:
        strict_json.check_size(item.value)
        return values.value_of(item.kind, item.value, item.schema, checker)
    if item.required:
        raise ValidationError(f"This is needed. {labels.advice(item.schema, checker.defs)}")
    return Given.NOT


def _from_state(item: Field, checker: Checker) -> Any:
    if item.state == NONE and item.nullable:
        return None
    if item.state == EMPTY and item.may_be_empty:
        empty: dict[str, Any] = {"lines": [], "pairs": {}, "group": {}}
        return checker.settle(empty.get(item.kind, ""), item.schema)
    raise ValidationError("This cannot be None." if item.state == NONE else "This cannot be empty.")


def _group(item: Field, submitted: Submitted, checker: Checker) -> tuple[Field, Any]:
    touched = any(_is_touched(child, submitted) for child in item.children)
    if item.state:
        if touched:
            raise ValidationError("Something is typed although None or empty is chosen. Clear one of the two.")
        return item, _from_state(item, checker)
    if not touched and not item.required:
        return item, Given.NOT
    pairs = [read_field(child, submitted, checker) for child in item.children]
    filled = replace(item, children=tuple(child for child, _ in pairs))
    values = {child.name: value for child, value in pairs if value is not Given.NOT}
    return (replace(filled, error=strict_json.NO_TAG), Given.NOT) if json_values.is_tagged(values) else (filled, values)


def _is_touched(item: Field, submitted: Submitted) -> bool:
    if any(not _is_blank(item.kind, text) for text in submitted.get(item.path, ())):
        return True
    return any(submitted.get(item.state_path, ())) or any(_is_touched(child, submitted) for child in item.children)


def _is_blank(kind: str, text: str) -> bool:
    return not (text if kind in _KEPT_BLANKS else text.strip())


def _bounded(item: Field, value: Any) -> Field:
    """Return the field, with an error when its value cannot be carried to a worker."""
    try:
        strict_json.check(value)
    except ValidationError as fault:
        return replace(item, error=str(fault))
    return item


class Call:
    """Puts values where Python expects them: in their place while no earlier one is blank, by name after that."""

    def __init__(self) -> None:
        self.args: list[Any] = []
        self.kwargs: dict[str, Any] = {}
        self._blank = ""
        self._names: set[str] = set()

    def place(self, item: Field, value: Any) -> Field:
        """Take the value of the next parameter; return its field, with an error when it cannot be passed."""
        if item.passed in (EITHER, KEYWORD):
            self._names.add(item.name)
        if value is Given.NOT:
            self._blank = self._blank or (item.name if item.passed in (POSITIONAL, EITHER) else "")
            return item
        try:
            self._put(item, value)
        except ValidationError as fault:
            return replace(item, error=item.error or str(fault))
        return item

    def _put(self, item: Field, value: Any) -> None:
        if item.passed == KWARGS:
            self._put_all(value)
        elif item.passed == KEYWORD or (item.passed == EITHER and self._blank):
            self.kwargs[item.name] = value
        elif self._blank and (item.passed == POSITIONAL or value):
            raise ValidationError(f"This can only be given when {self._blank} is given too. Fill in {self._blank}.")
        elif item.passed == ARGS:
            self.args.extend(_listed(value))
        else:
            self.args.append(value)

    def _put_all(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValidationError('This must be a dictionary, such as {"name": "Ada"}.')
        if twice := _first(name for name in value if name in self._names):
            raise ValidationError(f"{twice} has a field of its own. Give it there.")
        self.kwargs.update(value)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValidationError("This must be a list, such as [1, 2].")
    return value


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")
