"""How pages look and whom they serve: axe, narrow screens, light and dark, little motion."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener

PAGES = [
    *("list", "empty list", "errors", "success", "failure", "live", "retried", "waiting", "unknown", "ill"),
    *("tasks", "task", "task errors", "json", "selected", "confirm", "bulk", "bulk actions", "recording"),
    *("cancelled", "workflow"),
]
PATHS = {
    "unknown": "/runs/nobody",
    "tasks": "/tasks",
    "task": "/task?name=webapp.tasks.divide_many",
    "task errors": "/task?name=webapp.tasks.unreliable_divide&p.x=abc&p.y=b",
    "json": "/task?name=a.foreign." + "t" * 200,
    "confirm": "/bulk/new?kind=cancel&all=1",
    "bulk": "/bulk/new?kind=retry&all=1",
    "bulk actions": "/bulk",
    "recording": "/recording",
}
"""Every kind of page; ``open_page`` knows how to make each."""


def fill(ledger: Ledger, others: int) -> dict[str, str]:
    """Put one run of every kind, harsh lengths among them, and some more; return the task id of each."""
    now = time.time()
    long = {"name": "shop." + "a" * 200, "args": ["x" * 3000], "worker": "celery@" + "w" * 200}
    ids = {
        "success": ledger.put(**succeeded(result=["word " * 500, "y" * 20_000])),
        "failure": ledger.put(**failed(**long, exception="E" * 5000, queue="q" * 200)),
        "live": ledger.put(
            state="PROGRESS",
            args=[[[1, 2]] * 50],
            started_at=now,
            received_at=now,
            progress_current=31,
            progress_total=50,
        ),
        "retried": ledger.put(
            state="RETRY",
            age=60,
            started_at=now - 59,
            received_at=now - 59,
            retries=4,
            exception="ConnectionError('The line dropped on attempt 5')",
            steps=json.dumps(list(attempts(now - 59))),
        ),
        "waiting": ledger.put(publish_state="new", sent_at=None, publish_error="Connection refused."),
        "odd": ledger.put(state="A" * 50),
        "cancelled": ledger.put(state="REVOKED", note="n" * 300),
        "workflow": ledger.put(**succeeded(age=90, name="begin")),
    }
    ledger.cancelled(ids["cancelled"], reason="because " * 60)
    part = {"root_id": ids["workflow"], "parent_id": ids["workflow"]}
    ledger.put(*[succeeded(age=80 - number, name="part" * 20, **part) for number in range(20)])
    ledger.put(**failed(age=50, retry_of=ids["workflow"]))
    ledger.put(*[succeeded(age=number * 3000) for number in range(others)])
    return ids


def attempts(begin: float) -> Iterator[list[object]]:
    """Tell five attempts that failed."""
    for number in range(1, 6):
        yield [begin, "started", "celery@b-north"]
        yield [begin + 0.02, "retried", f"ConnectionError('The line dropped on attempt {number}')"]
        begin += 2**number


def open_page(visit: Opener, ledger: Ledger, kind: str, **options: object) -> Page:
    """Open a page of the given kind."""
    ids = {} if kind == "empty list" else fill(ledger, others=60 if kind == "list" else 1)
    if kind == "ill":
        ledger.signs(recorder=False)
    path = f"/runs/{ids[kind]}" if kind in ids else PATHS.get(kind, "/")
    page = visit(ledger.url + path, **options).page
    if kind == "selected":
        page.get_by_role("checkbox", name="Select").first.check()
        expect(page.locator("#paused")).to_be_visible()
    if kind == "bulk":
        page.get_by_label("Reason").fill("r" * 400)
        page.get_by_role("button", name="Run again").click()
        expect(page.locator("progress")).to_be_visible()
    if kind == "task errors":
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Queue, time, priority, note").click()
        expect(page.locator("[aria-invalid]")).to_have_count(2)
    if kind == "errors":
        page.get_by_label("x number").fill("nan")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("[aria-invalid]")).to_have_count(2)
    return page


@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_nothing_and_no_page_scrolls_sideways(visit: Opener, ledger: Ledger, kind: str) -> None:
    page = open_page(visit, ledger, kind)
    assert what_axe_finds(page) == ""
    assert widths_that_scroll(page) == {}


def what_axe_finds(page: Page) -> str:
    """Return axe's report on a page, desktop and phone, light and dark; the dark one differs in its colours alone."""
    reports = []
    for size in ({"width": 1280, "height": 900}, {"width": 390, "height": 844}):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            results = Axe().run(page, options={"runOnly": ["color-contrast"]} if scheme == "dark" else None)
            if results.violations_count:
                reports.append(f"{size['width']} {scheme}: {results.generate_report()}")
    return "\n".join(reports)


def widths_that_scroll(page: Page) -> dict[int, int]:
    """Return the widths of a window in which the page would scroll sideways, and what it would need."""
    needed = {}
    for width in (320, 390, 600, 761, 900, 1021, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        needed[width] = page.evaluate("document.documentElement.scrollWidth")
    return {width: need for width, need in needed.items() if need > width}


@pytest.mark.parametrize("kind", ["list", "errors", "success", "unknown"])
def test_what_a_finger_aims_at_is_large_enough(visit: Opener, ledger: Ledger, kind: str) -> None:
    page = open_page(visit, ledger, kind, phone=True)
    targets = page.locator(
        "main a:visible, main button:visible, main input:visible, main select:visible, nav a:visible"
    )
    small = targets.evaluate_all("""elements => elements.filter(e => {
        const card = e.closest("tr");
        return (card ?? e).getBoundingClientRect().height < 40;
    }).map(e => e.outerHTML)""")
    assert small == []


def test_on_a_phone_a_whole_card_opens_its_run(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(**succeeded())
    page = visit(ledger.url, phone=True).page
    box = page.locator("td.outcome").bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] - 8, box["y"] + 8)
    expect(page).to_have_url(f"{ledger.url}/runs/{task_id}")


def test_on_a_phone_the_numbers_are_there(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded(runtime=5.0))
    page = visit(ledger.url, phone=True).page
    expect(page.get_by_text("5.00 s")).to_be_visible()
    page.goto(f"{ledger.url}/tasks")
    cell = page.locator("tr", has_text="webapp.tasks.divide_many").locator("td.number").first
    expect(cell).to_be_visible()
    assert cell.evaluate("element => getComputedStyle(element, '::before').content") == '"Ran"'
    name = page.locator("tr", has_text="webapp.tasks.divide_many").locator("td.what").bounding_box()
    number = cell.bounding_box()
    assert name is not None
    assert number is not None
    assert name["y"] < number["y"]


def lightness(page: Page, selector: str, name: str) -> float:
    """Return how light a colour is, from 0 to 255."""
    color = page.locator(selector).evaluate("(element, name) => getComputedStyle(element)[name]", name)
    return sum(float(part) for part in color.strip("rgba()").split(",")[:3]) / 3


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_colours_follow_the_system(visit: Opener, ledger: Ledger, scheme: str, dark: bool) -> None:
    page = visit(ledger.url, color_scheme=scheme).page
    assert (lightness(page, "body", "backgroundColor") < lightness(page, "body", "color")) is dark


@pytest.mark.parametrize(("motion", "animation"), [("no-preference", "breathe"), ("reduce", "none")])
def test_a_live_badge_breathes_unless_the_reader_wants_no_motion(
    visit: Opener, ledger: Ledger, motion: str, animation: str
) -> None:
    ledger.put(state="STARTED")
    page = visit(ledger.url, reduced_motion=motion).page
    name = "getComputedStyle(document.querySelector('[data-live]'), '::before').animationName"
    assert page.evaluate(name) == animation


def test_columns_stay_where_they_are_when_a_run_changes(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(state="STARTED", started_at=time.time())
    page = visit(ledger.url).page
    places = "[...document.querySelectorAll('th')].map(e => e.getBoundingClientRect().left)"
    before = page.evaluate(places)
    ledger.alter(
        task_id, state="SUCCESS", result=json.dumps("a longer result than before" * 9), worker="celery@b-north"
    )
    expect(page.locator(".ledger .badge")).to_have_text("Success")
    assert page.evaluate(places) == before


@pytest.mark.parametrize("note", ["recorder", "broker", "workers"])
def test_a_note_does_not_cover_the_filter(visit: Opener, ledger: Ledger, note: str) -> None:
    ledger.put(**succeeded())
    ill = {"recorder": {"recorder": False}, "broker": {"broker_error": "refused"}, "workers": {"online": 0}}
    ledger.signs(**ill[note])
    page = visit(ledger.url).page
    box, choose = page.locator(".note:visible").bounding_box(), page.get_by_label("Task").bounding_box()
    assert box is not None
    assert choose is not None
    assert choose["y"] + choose["height"] <= box["y"]
