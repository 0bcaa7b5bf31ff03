"""A module imports only what stands below it; see docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

LEVELS = {
    0: {"errors", "states", "merge", "formatting", "text", "checks", "words", "ids", "spans", "filters", "allowed"}
    | {"runs", "forms", "executions", "signature", "instance"},
    1: {"broker", "history", "worker", "search", "outbox"}
    | {"config", "extensions", "models", "known", "index", "asking", "limits", "queries"}
    | {"finding", "counting", "listing", "copying"}
    | {
        "celery_app",
        "content",
        "stream",
        "queues",
        "breaker",
        "outbox",
        "broker_errors",
        "redis_keys",
        "submissions",
        "tasks",
        "again",
        "destinations",
        "options",
        "workflow",
    }
    | {"cancelled", "lease", "presets", "withdrawing", "impatient", "request"},
    2: {"launching", "actions", "catalog", "recorder", "cancelling", "bulk", "catalogue", "giving_back"},
    3: {"views", "cli", "security", "gunicorn_worker"},
    4: {""},
}
PURE = {"celery", "flask", "sqlalchemy", "redis", "kombu"}
MODULES = sorted((ROOT / "webapp").rglob("*.py"))


def level_of(dotted: str) -> int:
    """Return the level of ``webapp.history.queries`` and the like."""
    part = dotted.removeprefix("webapp").removeprefix(".").partition(".")[0]
    return next(level for level, parts in LEVELS.items() if part in parts)


def dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, at_top_only: bool = False) -> Iterator[str]:
    """Yield the dotted names that a module imports."""
    tree = ast.parse(path.read_text())
    for node in tree.body if at_top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), f"{alias.name}.py")
                yield f"{node.module}.{alias.name}" if inner.exists() or node.module == "webapp" else node.module


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_a_module_imports_nothing_from_above(path: Path) -> None:
    here = dotted_name(path)
    if here == "webapp":
        assert not [name for name in imports_of(path, at_top_only=True) if name.startswith("webapp")]
        return
    above = [n for n in imports_of(path) if n.startswith("webapp.") and level_of(n) > level_of(here)]
    assert above == []


@pytest.mark.parametrize("path", [p for p in MODULES if level_of(dotted_name(p)) == 0], ids=dotted_name)
def test_the_lowest_level_is_pure(path: Path) -> None:
    assert {name.partition(".")[0] for name in imports_of(path)} & PURE == set()


def test_views_and_recorder_do_not_know_each_other() -> None:
    pairs = [("views", "webapp.recorder"), ("recorder", "webapp.views")]
    found = [
        (path.name, name)
        for folder, other in pairs
        for path in (ROOT / "webapp" / folder).glob("*.py")
        for name in imports_of(path)
        if name.startswith(other)
    ]
    assert found == []


def test_there_are_no_cycles() -> None:
    graph = {dotted_name(path): {n for n in imports_of(path, at_top_only=True) if n != "webapp"} for path in MODULES}
    seen: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join([*way, name])
        if name in graph and name not in seen:
            for other in graph[name]:
                visit(other, (*way, name))
            seen.add(name)

    for name in graph:
        visit(name, ())


def test_nothing_imports_the_entry_points() -> None:
    found = [(p.name, n) for p in MODULES for n in imports_of(p) if n in ("app", "celery_worker")]
    assert found == []
