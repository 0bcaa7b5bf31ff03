"""The list with JavaScript: filters, paging, addresses that can be shared."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener


def fill(ledger: Ledger) -> None:
    """Put a few runs of two tasks and two ends."""
    ledger.put(succeeded(), succeeded(name="mail.send"), failed(), failed(), failed(name="mail.send"))


def choose(page: Page, task: str) -> None:
    """Choose a task in the filter."""
    page.get_by_label("Task").select_option(task)


def test_choosing_a_task_shows_its_runs_without_a_reload(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    page.evaluate("window.stays = true")
    choose(page, "mail.send")
    expect(page.locator(".ledger tbody tr")).to_have_count(2)
    assert page.evaluate("window.stays") is True


def test_choosing_a_task_changes_the_address(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    choose(page, "mail.send")
    expect(page).to_have_url(re.compile(r"[?&]task=mail\.send"))


def test_going_back_takes_back_the_choice(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    choose(page, "mail.send")
    expect(page).to_have_url(re.compile("task="))
    page.go_back()
    expect(page.locator(".ledger tbody tr")).to_have_count(5)


def test_choosing_a_task_keeps_the_state_that_was_chosen(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    page.get_by_role("link", name="Failure").click()
    choose(page, "mail.send")
    expect(page.locator(".ledger tbody tr")).to_have_count(1)


def test_choosing_a_state_keeps_the_task_that_was_chosen(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    choose(page, "mail.send")
    expect(page.locator(".ledger tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Success").click()
    expect(page.locator(".ledger tbody tr")).to_have_count(1)


def test_choosing_a_task_keeps_the_focus_on_the_filter(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    page.get_by_label("Task").focus()
    choose(page, "mail.send")
    expect(page.locator(".ledger tbody tr")).to_have_count(2)
    expect(page.get_by_label("Task")).to_be_focused()


def test_what_was_typed_in_the_form_survives_a_change_of_the_filter(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(ledger.url).page
    page.get_by_label("x number").fill("12")
    choose(page, "mail.send")
    expect(page.locator(".ledger tbody tr")).to_have_count(2)
    expect(page.get_by_label("x number")).to_have_value("12")


def test_a_filtered_list_shows_new_runs_that_fit_and_no_others(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(f"{ledger.url}/?state=failure&task=mail.send").page
    ledger.put(succeeded(age=0, name="mail.send"), failed(age=0), failed(age=0, name="mail.send"))
    page.get_by_role("link", name="1 new").click()
    expect(page.locator(".ledger tbody tr")).to_have_count(2)


def test_a_filter_that_nothing_fits_says_so_and_leads_back(visit: Opener, ledger: Ledger) -> None:
    fill(ledger)
    page = visit(f"{ledger.url}/?state=revoked").page
    page.get_by_role("link", name="Show all runs").click()
    expect(page.locator(".ledger tbody tr")).to_have_count(5)


def test_an_empty_list_says_how_to_start_a_run(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url).page
    expect(page.locator(".empty")).to_contain_text("flask --app app run-task divide 1 2 --wait")


def test_times_are_in_the_zone_of_the_viewer(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded(created_at=1_700_000_000.25))
    page = visit(ledger.url, timezone_id="Asia/Kolkata").page
    expect(page.locator("td.when")).to_have_text("15 Nov 03:43:20")


def test_the_hour_after_midnight_is_zero_for_americans_too(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded(created_at=1_700_006_400.0))  # 00:00:00 in UTC
    page = visit(ledger.url, timezone_id="UTC", locale="en-US").page
    expect(page.locator("td.when")).to_have_text("Nov 15 00:00:00")


def test_a_time_tells_exact_utc_when_it_is_pointed_at(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded(created_at=1_700_000_000.25))
    page = visit(ledger.url).page
    expect(page.locator("td.when time")).to_have_attribute("title", "2023-11-14 22:13:20.250 UTC")


def test_the_list_names_the_zone_of_its_times(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())
    page = visit(ledger.url, timezone_id="Asia/Kolkata").page
    expect(page.locator(".pager")).to_contain_text("times in Asia/")


def test_an_unknown_run_leads_to_a_page_that_explains(visit: Opener, ledger: Ledger) -> None:
    page = visit(f"{ledger.url}/runs/nobody").page
    expect(page.get_by_role("heading", level=1)).to_have_text("This run is not known")


def test_the_same_run_is_linked_in_flower(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(**succeeded())
    page = visit(f"{ledger.url}/runs/{task_id}").page
    expect(page.get_by_role("link", name="In Flower")).to_have_attribute(
        "href", f"http://127.0.0.1:5555/task/{task_id}"
    )
