"""The fixture that begins an experiment, and the table that is printed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import Checker, FragileStack, table

Experiment = Callable[..., Checker]


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """Return a function that starts parts of a Vase of one's own and a checker that watches it."""
    begun: list[Checker] = []

    def begin(tried: str, *parts: str, mortal: tuple[str, ...] = (), **settings: str) -> Checker:
        stack = FragileStack(tmp_path, **settings)
        stack.mortal.update(mortal)
        checker = Checker(stack, tried)
        begun.append(checker)
        stack.migrate()
        if "redis" in parts:
            stack.start("redis")
        stack.start(*(part for part in parts if part != "redis"))
        return checker

    yield begin
    for checker in begun:
        checker.close()
        checker.stack.stop_all()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was tried and what was lost."""
    lines = table()
    if len(lines) > 1:
        terminalreporter.section("what was tried and what was lost")
        for line in lines:
            terminalreporter.write_line(line)
