"""Draws the pictures that the documentation shows; ``SCREENSHOTS=1`` draws them anew."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
SIZE_MAX = 120 * 1024


def fill(ledger: Ledger) -> str:
    """Put the runs of an ordinary quarter of an hour, and return the task id of one that failed."""
    now = time.time()
    pairs = [[number, number + 1] for number in range(1, 51, 2)]
    quotients = {"quotient": 2.6666666666666665, "attempts": 2}
    progress = {"progress_at": now, "progress_current": 16, "progress_total": 25}
    elsewhere = {"publish_state": None, "worker": "celery@c-south"}
    welcome = {"args": [], "kwargs": {"to": "…", "template": "welcome"}}
    report = {"name": "reports.monthly", "kwargs": {"tenant": 4211}}
    flaky = {"name": "webapp.tasks.unreliable_divide", "args": [8, 3, 0.7]}
    ledger.put(
        succeeded(1020, {"sent": True}, 0.212, name="mail.send", **welcome, **elsewhere),
        {"age": 960, "state": "REVOKED", "args": ["2026-09"], "publish_state": None, **report},
        succeeded(700, quotients, 0.014, **flaky),
        succeeded(610, "reports/4211.pdf", 41.2, args=["2026-10"], **report, **elsewhere),
        succeeded(240, 22 / 7, 5.011, args=[22, 7], worker="celery@b-north"),
    )
    task_id = ledger.put(**failed(120, 5.008))
    ledger.put(
        succeeded(65, 0.5, 5.009),
        begun(48, state="RETRY", retries=1, exception="ConnectionError('The line dropped')", **flaky),
        begun(20, state="PROGRESS", name="webapp.tasks.divide_many", args=[pairs], **progress),
        begun(4, state="STARTED", args=[1, 3]),
        {"age": 1, "args": [9, 4]},
    )
    return task_id


def begun(age: float, **values: Any) -> dict[str, Any]:
    """Return a run that a worker took at once and that has not ended."""
    started_at = time.time() - age + 0.012
    return {"age": age, "started_at": started_at, "worker": "celery@b-north", "queue": "celery"} | values


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("what", ["runs", "run"])
def test_pictures_for_the_documentation_can_be_drawn(
    visit: Opener, ledger: Ledger, tmp_path: Path, what: str, phone: bool
) -> None:
    task_id = fill(ledger)
    page = visit(ledger.url + ("/" if what == "runs" else f"/runs/{task_id}"), phone=phone).page
    page.set_viewport_size({"width": 390 if phone else 1280, "height": 844 if phone else 720})
    expect(page.locator(".badge[data-tone=bad]").first).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        path = place(f"{what}{'-phone' if phone else ''}{'-dark' if scheme == 'dark' else ''}.png", tmp_path)
        page.screenshot(path=path, full_page=phone)
        assert 5_000 < path.stat().st_size < SIZE_MAX


def place(name: str, otherwise: Path) -> Path:
    """Return where a picture goes: into the documentation where it is missing or wanted anew."""
    wanted = FOLDER / name
    if wanted.exists() and os.environ.get("SCREENSHOTS") != "1":
        return otherwise / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    return wanted
