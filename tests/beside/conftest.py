"""Runs each scenario beside Vase and, with ``--control``, before that without it; both halves in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import rabbitmq
from tests.beside.harness import Foreign

_alone: dict[str, Counter[str]] = {}
"""What a scenario executed without Vase, by its name."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--control", action="store_true", help="Run each scenario without Vase as well, and compare.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "foreign" in metafunc.fixturenames:
        halves = ["alone", "beside"] if metafunc.config.getoption("--control", default=False) else ["beside"]
        metafunc.parametrize("foreign", halves, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # With --dist loadgroup the two halves of a scenario come one after the other.
        scenario = item.name.replace("alone", "").replace("beside", "")
        item.add_marker(pytest.mark.xdist_group(scenario))


@pytest.fixture
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Foreign]:
    """Somebody else's app, alone or beside Vase; afterwards, what it executed in both cases is compared."""
    watched = request.param == "beside"
    marked = request.node.get_closest_marker("rabbitmq")
    foreign = Foreign(tmp_path, watched, rabbitmq.server() if marked else None)
    scenario = request.node.name.replace(request.param, "")
    try:
        yield foreign
        foreign.check()
        if not watched:
            _alone[scenario] = foreign.counts()
        elif scenario in _alone and foreign.comparable:
            assert foreign.counts() == _alone[scenario], "tasks are executed as often as without Vase"
    finally:
        foreign.end()
