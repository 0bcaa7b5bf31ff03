"""A module imports only what stands below it; see docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

ORDER = (
    "errors text instance postgresql → runs → forms broker → formatting → config extensions → history → services →"
    " worker → celery_app → tasks → search → outbox → actions → catalog →"
    " recorder views → cli → security gunicorn_worker"
)
"""Packages and modules of ``webapp/``, each above those that it may import; what shares a step is independent."""
STEPS = [step.split() for step in ORDER.split("→")]
PURE = {"celery", "flask", "sqlalchemy", "redis", "kombu"}
MODULES = sorted((ROOT / "webapp").rglob("*.py"))


def place_of(dotted: str) -> str:
    """Return the package, or module at the root, that ``webapp.history.queries`` and the like belong to."""
    return dotted.split(".")[1]


def step_of(place: str) -> int:
    """Return how far up a package or module at the root stands."""
    return next(number for number, places in enumerate(STEPS) if place in places)


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
def test_a_module_imports_nothing_from_above_or_beside(path: Path) -> None:
    here = dotted_name(path)
    if here == "webapp":
        assert not [name for name in imports_of(path, at_top_only=True) if name.startswith("webapp")]
        return
    place = place_of(here)
    others = {place_of(name) for name in imports_of(path) if name.startswith("webapp.")} - {place}
    assert {other for other in others if step_of(other) >= step_of(place)} == set()


@pytest.mark.parametrize("place", ["runs", "forms", "errors", "text", "formatting"])
def test_what_a_run_is_and_forms_are_pure(place: str) -> None:
    paths = [path for path in MODULES if dotted_name(path) != "webapp" and place_of(dotted_name(path)) == place]
    imported = {name.partition(".")[0] for path in paths for name in imports_of(path)}
    assert (len(paths) > 0, imported & PURE) == (True, set())


def test_only_history_and_above_know_tables() -> None:
    below = [place for step in STEPS[: step_of("config")] for place in step]
    paths = [path for path in MODULES if dotted_name(path) != "webapp" and place_of(dotted_name(path)) in below]
    # The driver of PostgreSQL is no table.
    assert [path.name for path in paths if "sqlalchemy" in {n.partition(".")[0] for n in imports_of(path)}] == []


def test_other_peoples_workers_import_no_tables() -> None:
    """What they import is ``webapp.worker``, and what that imports."""
    graph = {dotted_name(path): set(imports_of(path, at_top_only=True)) for path in MODULES}
    reached, waiting = set(), [name for name in graph if name.startswith("webapp.worker")]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += graph.get(name, ())
    assert [name for name in reached if name.startswith(("webapp.history", "sqlalchemy", "flask"))] == []


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
