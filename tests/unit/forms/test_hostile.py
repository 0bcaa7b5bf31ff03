"""Nothing that is submitted, stored or published makes the typed forms raise anything."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.utils.json import dumps, loads

from tests.unit.forms.test_kinds import CASES, takes
from webapp.forms.calls import fill, raw_of, read_raw, submitted_of
from webapp.forms.controls import scalar_kind
from webapp.forms.fields import FIELDS_MAX, Form, form_of
from webapp.forms.infer import infer
from webapp.forms.labels import advice, words
from webapp.forms.parse import read
from webapp.forms.preview import preview
from webapp.runs.arguments import DEPTH_MAX, check_arguments
from webapp.worker.describe import schema_of


def whole(value=3): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def real(value=0.5): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def flag(value=True): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def word(value="x"): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def several(*value): ...  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN201
def named(**value): ...  # type: ignore[no-untyped-def]  # noqa: ANN003, ANN201


FORMS = [form_of(schema_of(takes(case.annotation))) for case in CASES]
FORMS += [form_of(schema_of(function)) for function in (whole, real, flag, word, several, named)]
PATHS = sorted({path for form in FORMS for item in form.fields[0].walk() for path in (item.path, item.state_path)})
HINTS = [text for case in CASES for text in ([case.typed] if isinstance(case.typed, str) else case.typed.values())]
HINTS += [
    "none",
    "empty",
    "-",
    "+",
    "P",
    "PT",
    "1e400",
    '"',
    '"\\ud800"',
    "base64:",
    "=",
    '"=',
    "True",
    "None",
    "NaN",
    "[1]\n[2]",
    "{a = 1",
    "[",
    "{}",
    "[[",
    "-0",
    "٣",
]
TEXTS = st.one_of(st.sampled_from(HINTS), st.text(max_size=40), st.text("0123456789.eE+-:TZPDHMS, ", max_size=20))
JSON_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.sampled_from(HINTS)
)
JSON = st.recursive(
    JSON_LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["__type__", "__value__"]), inner, max_size=4)
    ),
    max_leaves=12,
)
WORDS = (
    "type format enum const anyOf oneOf allOf $ref items prefixItems properties required additionalProperties".split()
)
WORDS += "minimum maximum multipleOf exclusiveMinimum exclusiveMaximum minLength maxLength pattern minItems".split()
WORDS += "maxItems uniqueItems default title description discriminator propertyName mapping".split()
WORDS += "propertyNames minProperties maxProperties x-like x-naive x-names x-max-digits x-decimal-places".split()
WORDS += "x-minimum x-maximum x-exclusiveMinimum x-exclusiveMaximum".split()
VALUES = st.one_of(
    JSON_LEAVES,
    st.sampled_from(
        ["string", "integer", "number", "array", "object", "null", "boolean", "date", "date-time", "duration"]
    ),
    st.sampled_from(["decimal", "uuid", "binary", "#/$defs/A", "#/$defs/B", "^(a+)+$", "(", "(?=a)"]),
)
SCHEMAS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WORDS, "a", "b"]), inner, max_size=5),
    max_leaves=20,
)
NODES = st.dictionaries(st.sampled_from(WORDS), SCHEMAS, max_size=6)
KINDS = st.sampled_from(["positional-only", "positional-or-keyword", "*args", "keyword-only", "**kwargs"])
PUBLISHED = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "parameters": st.lists(
            st.fixed_dictionaries(
                {"name": st.just("a"), "kind": KINDS, "schema": NODES, "required": st.booleans(), "default": JSON}
            ),
            min_size=1,
            max_size=1,
        ),
        "$defs": st.dictionaries(st.sampled_from("AB"), NODES, max_size=2),
    }
)
EASY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def survives(form: Form, submitted: dict[str, list[str]]) -> None:
    """Read what was submitted; what is then sent must arrive, and come back into the form."""
    reading = read(form, submitted)
    if reading.ok:
        loads(dumps([reading.args, reading.kwargs]))
        filled = fill(form, reading.args, reading.kwargs)
        again = read(form, submitted_of(*filled.form.fields))
        if form in FORMS:
            assert filled.problems == []
            assert (again.args, again.kwargs) == (reading.args, reading.kwargs)
        read_raw(raw_of(reading.args, reading.kwargs), form)
        preview("task", reading.args, reading.kwargs, {})


@EASY
@given(
    st.sampled_from(FORMS), st.dictionaries(st.sampled_from(PATHS) | st.text(max_size=8), st.lists(TEXTS, max_size=2))
)
def test_no_submitted_text_raises(form: Form, submitted: dict[str, list[str]]) -> None:
    survives(form, submitted)


@EASY
@given(TEXTS)
def test_no_text_raises_in_any_field(text: str) -> None:
    for form in FORMS:
        survives(form, {item.path: [text] for item in form.fields[0].walk() if not item.children})


@EASY
@given(
    TEXTS | JSON.map(lambda value: json.dumps({"args": value})) | JSON.map(lambda value: json.dumps({"args": [value]}))
)
def test_no_raw_text_raises(text: str) -> None:
    for form in FORMS[::5]:
        args, kwargs, errors = read_raw(text, form)
        if not errors:
            loads(dumps([args, kwargs]))


@EASY
@given(JSON)
def test_no_stored_call_raises(value: Any) -> None:
    for form in FORMS:
        fill(form, [value], {})
        fill(form, [], {"value": value, "other": value})
    preview("task", [value], {"a": value}, {"queue": value})
    survives(form_of(infer([([value], {"a": value}), ([1], {})])), {"p.argument_1": ["1"]})


@EASY
@given(SCHEMAS | PUBLISHED, TEXTS, JSON)
def test_no_published_schema_raises(schema: Any, text: str, value: Any) -> None:
    form = form_of(schema)
    survives(form, {item.path: [text] for top in form.fields for item in top.walk()})
    fill(form, [value], {"a": value})
    read_raw(json.dumps({"args": [value]}), form)


@EASY
@given(NODES, st.dictionaries(st.sampled_from("AB"), NODES))
def test_words_never_raise(node: dict[str, Any], defs: dict[str, Any]) -> None:
    words(node, defs)
    advice(node, defs)
    scalar_kind(node)


def published(node: Any, defs: Any = None) -> dict[str, Any]:
    parameter = {"name": "a", "kind": "keyword-only", "required": False, "schema": node}
    return {"version": 1, "parameters": [parameter], "$defs": defs or {}}


def deep(levels: int) -> Any:
    node: Any = {}
    for _ in range(levels):
        node = {"type": "array", "items": node}
    return node


BOMBS: list[tuple[str, Any, str]] = [
    ("itself", published({"$ref": "#/$defs/A"}, {"A": {"$ref": "#/$defs/A"}}), "[1]"),
    ("both itself", published({"$ref": "#/$defs/A"}, {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 2}}), "[1]"),
    (
        "lists of both",
        published({"$ref": "#/$defs/A"}, {"A": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/A"}}] * 2}}),
        "[" * 60 + "1" + "]" * 60,
    ),
    ("too deep", published(deep(2_000)), "[]"),
    (
        "circle of a model",
        published(
            {"$ref": "#/$defs/A"},
            {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}}}},
        ),
        "{}",
    ),
    (
        "doubling models",
        published(
            {"$ref": "#/$defs/M0"},
            {
                f"M{n}": {
                    "type": "object",
                    "properties": {f"{n}{k}": {"$ref": f"#/$defs/M{n + 1}"} for k in "abcdefgh"},
                }
                for n in range(30)
            },
        ),
        "{}",
    ),
    ("slow pattern", published({"type": "string", "pattern": "^(a|aa)+$"}), "a" * 15_000 + "b"),
    ("large pattern", published({"type": "string", "pattern": "(\\w{1000}){1000}"}), "a"),
    ("many lines", published({"type": "array", "items": {"type": "integer"}}), "1\n" * 120_000),
    ("many wrong lines", published({"type": "array", "items": {"type": "integer"}}), "\n" * 120_000 + "x"),
    ("many pairs", published({"type": "object", "additionalProperties": {"type": "integer"}}), "a=1\n" * 60_000),
    (
        "many unions",
        published({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        "[" + "1," * 60_000 + "1]",
    ),
]


@pytest.mark.parametrize(("schema", "text"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
def test_hostile_schemas_take_bounded_time(schema: dict[str, Any], text: str) -> None:
    # Of the processor's time, which other work of the machine does not count towards.
    begun = time.process_time()
    form = form_of(schema)
    survives(form, {item.path: [text] for top in form.fields for item in top.walk()})
    assert sum(1 for top in form.fields for _ in top.walk()) <= FIELDS_MAX * 10
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {},
        {"version": 2, "parameters": []},
        {"version": 1, "parameters": None},
        {"version": 1, "parameters": [{"name": "no name", "kind": "keyword-only"}]},
        {"version": 1, "parameters": [{"name": "a", "kind": "other"}]},
        {"version": 1, "parameters": [{"name": "a", "kind": "keyword-only"}, {"name": "b", "kind": "positional-only"}]},
        {"version": 1, "parameters": [{"name": "a", "kind": "keyword-only"}] * 2},
        {"version": 1, "parameters": [{"name": "a", "kind": "*args"}, {"name": "b", "kind": "*args"}]},
        {"version": 1, "parameters": [{"name": f"a{n}", "kind": "keyword-only"} for n in range(101)]},
        {"version": 1, "parameters": [{"name": "a", "kind": "keyword-only", "default": float("nan")}]},
        {"version": 1, "parameters": [{"name": "a", "kind": "keyword-only", "default": 10**5000}]},
        {"version": 1, "parameters": [], "doc": "x" * 100_000},
        {"version": 1, "parameters": [], "doc": object()},
    ],
    ids=lambda schema: repr(schema)[:50] if len(repr(type(schema))) < 60 and not isinstance(schema, dict) else None,
)
def test_a_schema_of_no_proper_shape_gives_raw_json(schema: Any) -> None:
    form = form_of(schema)
    assert form.raw_only
    assert form.reason
    assert form.fields == ()


@pytest.mark.parametrize("like", ["date", "null", "array", 3, None, ["string"]])
def test_a_hint_that_is_none_is_not_taken(like: Any) -> None:
    assert read(form_of(published({"x-like": like})), {"p.a": ["x"]}).kwargs == {"a": "x"}


def test_a_tag_cannot_be_smuggled_in_by_a_group_or_pairs() -> None:
    properties = {"__type__": {"type": "string"}, "__value__": {"type": "string"}}
    form = form_of(published({"type": "object", "properties": properties}))
    reading = read(form, {"p.a.__type__": ["date"], "p.a.__value__": ["2026-03-01"]})
    assert not reading.ok
    kwargs = form_of({"version": 1, "parameters": [{"name": "k", "kind": "**kwargs", "schema": None}]})
    assert not read(kwargs, {"p.k": ['{"__type__": "date", "__value__": "x"}']}).ok
    one, two = ({"name": name, "kind": "keyword-only"} for name in ("__type__", "__value__"))
    named = form_of({"version": 1, "parameters": [one, two]})
    assert not read(named, {"p.__type__": ['"date"'], "p.__value__": ['"x"']}).ok


def test_what_is_sent_is_never_deeper_than_workers_bear() -> None:
    form = form_of(published({}))
    deepest = read(form, {"p.a": ["[" * (DEPTH_MAX - 1) + "1" + "]" * (DEPTH_MAX - 1)]})
    assert deepest.ok
    check_arguments(deepest.args, deepest.kwargs)
    assert read_raw(raw_of(deepest.args, deepest.kwargs), form)[2] == []
    assert not read(form, {"p.a": ["[" * DEPTH_MAX + "1" + "]" * DEPTH_MAX]}).ok
