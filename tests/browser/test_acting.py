"""Acting on runs: cancel, run again, select and act on many; by keyboard, by finger and without script."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener, look_again
from tests.support import Stack, wait_until


def later(stack: Stack, page: Page) -> None:
    """Start a run that no worker begins within the hour, and show it."""
    page.goto(stack.url + "/task?name=webapp.tasks.divide&p.x=5&p.y=4")
    page.get_by_text("Queue, time, priority, note").click()
    page.get_by_label("Start in").fill("1 h")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("h1")).to_have_text("divide(5, 4)")


def test_the_three_steps_of_a_cancel_appear_by_themselves(visit: Opener, stack: Stack) -> None:
    page = visit().page
    later(stack, page)
    page.get_by_text("Cancel this run").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").fill("not needed any more")
    page.keyboard.press("Enter")
    steps = page.locator(".cancel li b")
    expect(steps).to_have_text(["Cancel requested", "Acknowledged", "Ended"])
    expect(page.locator(".cancel")).to_contain_text("not needed any more")
    expect(page.locator("#run .badge").first).to_have_text("Revoked")


def test_a_run_is_cancelled_without_script(visit: Opener, stack: Stack) -> None:
    page = visit(script=False).page
    later(stack, page)
    page.get_by_text("Cancel this run").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".note").first).to_contain_text("The workers are told.")

    def ended() -> bool:
        return look_again(page).locator(".cancel li b").all_inner_texts()[-1:] == ["Ended"]

    wait_until(ended, "the page tells of the end")


def test_run_again_leads_to_the_new_run_which_links_back(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url + "/task?name=webapp.tasks.divide&p.x=93&p.y=4").page
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run .badge").first).to_have_text("Success")
    first = page.url
    page.get_by_role("button", name="Run again").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".related")).to_contain_text("Run again from")
    expect(page.locator("#run .badge").first).to_have_text("Success")
    page.goto(first)
    expect(page.locator(".related")).to_contain_text("Run again as")
    expect(page.locator(".related .badge")).to_have_text("Success")


def picks(page: Page) -> list[bool]:
    """Return of each row whether it is selected."""
    return [box.is_checked() for box in page.get_by_role("checkbox", name="Select").all()]


def test_shift_and_space_select_all_rows_between(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[succeeded(age=60 + number) for number in range(6)])
    page = visit(ledger.url).page
    boxes = page.get_by_role("checkbox", name="Select")
    boxes.nth(1).focus()
    page.keyboard.press("Space")
    boxes.nth(4).focus()
    page.keyboard.press("Shift+Space")
    assert picks(page) == [False, True, True, True, True, False]
    expect(page.locator("#paused")).to_have_text("4 selected; the list does not refresh meanwhile.")


def test_shift_and_a_click_do_the_same(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[succeeded(age=60 + number) for number in range(6)])
    page = visit(ledger.url).page
    page.get_by_role("checkbox", name="Select").nth(4).click()
    page.get_by_role("checkbox", name="Select").nth(2).click(modifiers=["Shift"])
    assert picks(page) == [False, False, True, True, True, False]


def test_no_row_moves_when_the_first_is_selected(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[succeeded(age=60 + number) for number in range(30)])
    page = visit(ledger.url).page
    row = page.locator("tbody tr").nth(2)
    before = row.bounding_box()
    page.get_by_role("checkbox", name="Select").nth(2).click()
    assert row.bounding_box() == before
    expect(page.get_by_role("button", name="Run again…")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("way", ["keyboard", "phone", "no script"])
def test_selected_runs_are_run_again(visit: Opener, stack: Stack, way: str) -> None:
    options = {"keyboard": {}, "phone": {"phone": True}, "no script": {"script": False}}[way]
    numbers = {"keyboard": "71", "phone": "72", "no script": "73"}[way]
    for y in ("3", "4"):
        stack.submit(numbers, y)
    page = visit(f"{stack.url}/?q=args:{numbers}+state:success", **options).page
    wait_until(lambda: look_again(page).locator("tbody tr").count() == 2, "both have ended")
    boxes = page.get_by_role("checkbox", name="Select")
    if way == "phone":
        boxes.nth(0).tap()
        boxes.nth(1).tap()
        page.get_by_role("button", name="Run again…").tap()
    else:
        boxes.nth(0).press("Space")
        boxes.nth(1).press("Space")
        page.get_by_role("button", name="Run again…").press("Enter")
    expect(page.locator("h1")).to_have_text("Run 2 runs again?")
    page.get_by_label("Reason").fill("once more")
    page.get_by_role("button", name="Run again").press("Enter")
    # Without script the page looks again by itself too.
    expect(page.locator("#run .badge")).to_have_text("Done", timeout=20_000)
    page.goto(f"{stack.url}/?q=args:{numbers}")
    wait_until(lambda: look_again(page).locator("tbody tr").count() == 4, "both have been run again")


def test_all_that_match_are_sent_as_a_query(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[succeeded(age=60 + number) for number in range(60)], failed(age=200), failed(age=201))
    watch = visit(f"{ledger.url}/?state=success")
    watch.page.get_by_label("all 60 that match").check()
    watch.page.get_by_role("button", name="Cancel…").click()
    expect(watch.page.locator("h1")).to_have_text("Cancel 60 runs?")
    assert "pick" not in watch.page.url
    expect(watch.page.locator(".sample tbody tr")).to_have_count(5)


def test_a_bulk_action_can_be_aborted(visit: Opener, ledger: Ledger) -> None:
    """No recorder runs here, so it stands where it began."""
    ledger.put(*[succeeded(age=60 + number) for number in range(3)])
    page = visit(f"{ledger.url}/bulk/new?kind=retry&all=1").page
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#run .badge")).to_have_text("Running")
    page.get_by_role("button", name="Abort").click()
    expect(page.locator("#run .badge")).to_have_text("Aborted")


def test_a_chord_of_a_thousand_parts_folds_and_stays_live(visit: Opener, ledger: Ledger) -> None:
    root = ledger.put(**succeeded(age=120, name="shop.begin"))
    parts = [{"name": "shop.part", "root_id": root, "parent_id": root} for _ in range(999)]
    ledger.put(*[succeeded(age=110 - number / 100, **part) for number, part in enumerate(parts)])
    last = ledger.put(age=20, state="STARTED", name="shop.part", root_id=root, parent_id=root)
    page = visit(f"{ledger.url}/runs/{root}").page
    summary = page.locator(".tree summary")
    expect(summary).to_have_text("1,000 parts: Success 999, Started 1")
    summary.click()
    expect(page.locator(".tree details li .badge").first).to_have_text("Started")
    expect(page.locator(".tree details li")).to_have_count(100)
    ledger.alter(last, state="SUCCESS", result="1")
    expect(summary).to_have_text("1,000 parts: Success 1,000")
    expect(page.locator(".tree details")).to_have_attribute("open", "")
    page.get_by_role("link", name="All runs of this workflow in the list").click()
    expect(page.locator(".tabs [aria-current]")).to_contain_text("1,000")
