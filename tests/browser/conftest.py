"""A real Chromium, pages under watch, and the three kinds of Vase that they look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.ledger import Ledger
from tests.browser.watch import Opener
from tests.support import Stack

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SWITCHES = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A process for each page costs more than most tests.
    "--renderer-process-limit=1",
]


def chromium() -> str | None:
    """Return the Chromium that ``CHROMIUM`` names or the PATH has; None means Playwright's own."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for found in map(shutil.which, NAMES) if found), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    switches = [*SWITCHES, "--no-sandbox"] if os.geteuid() == 0 else SWITCHES
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=switches)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def _opener(browser: Browser) -> Opener:
    return Opener(browser)


@pytest.fixture
def visit(_opener: Opener) -> Iterator[Opener]:
    """Open pages; no script error, console error or policy violation on any of them is let through."""
    yield _opener
    assert _opener.close() == []


@pytest.fixture(scope="session")
def slow_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole running Vase whose divide takes long enough to be seen at work."""
    stack = Stack(tmp_path_factory.mktemp("slow"), DIVIDE_SECONDS="1.5")
    try:
        stack.migrate()
        stack.start("redis")
        stack.start("worker", "recorder", "web")
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture(scope="session")
def _ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), DIVIDE_SECONDS="5")
    try:
        ledger.migrate()
        ledger.start("web")
        yield ledger
    finally:
        ledger.stop_all()
        ledger.engine.dispose()


@pytest.fixture
def ledger(_ledger: Ledger) -> Ledger:
    """A Vase without runs, in which nothing happens but what the test writes."""
    _ledger.clear()
    return _ledger
