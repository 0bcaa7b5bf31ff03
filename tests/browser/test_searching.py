"""The search box, what is new, and selecting, in a real browser."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener


def test_enter_in_the_box_searches_without_a_reload(visit: Opener, ledger: Ledger) -> None:
    ledger.put(succeeded(), failed())
    page = visit(ledger.url).page
    page.evaluate("window.stays = true")
    page.get_by_label("Search runs").fill("error:zero")
    page.get_by_label("Search runs").press("Enter")
    expect(page.locator(".ledger tbody tr")).to_have_count(1)
    expect(page.locator(".ledger .badge")).to_have_text("Failure")
    assert page.evaluate("window.stays") is True


def test_a_search_is_in_the_address_and_can_be_shared(visit: Opener, ledger: Ledger) -> None:
    ledger.put(succeeded(), failed())
    page = visit(ledger.url).page
    page.get_by_label("Search runs").fill("state:failure")
    page.get_by_label("Search runs").press("Enter")
    expect(page.locator(".ledger tbody tr")).to_have_count(1)
    other = visit(page.url).page
    expect(other.locator(".ledger .badge")).to_have_text("Failure")


def test_the_box_offers_what_completes_the_last_word(visit: Opener, ledger: Ledger) -> None:
    ledger.put(succeeded())
    page = visit(ledger.url).page
    page.get_by_label("Search runs").press_sequentially("42 task:div")
    expect(page.locator("#completions option").first).to_have_attribute("value", "42 task:divide")


def test_new_runs_are_counted_and_come_when_they_are_asked_for(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())
    page = visit(ledger.url).page
    first = page.locator(".ledger tbody tr").first
    before = first.bounding_box()
    ledger.put(*[succeeded(age=0) for _ in range(12)])
    expect(page.locator(".fresh")).to_have_text("12 new")
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 1
    page.get_by_role("link", name="12 new").click()
    expect(page.locator(".ledger tbody tr")).to_have_count(13)


def test_selecting_pauses_the_refresh_and_unselecting_ends_the_pause(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(state="STARTED", started_at=time.time())
    page = visit(ledger.url).page
    page.locator("[name=pick]").check()
    expect(page.locator("#paused")).to_have_text("1 selected; the list does not refresh meanwhile.")
    ledger.alter(task_id, state="SUCCESS", result="0.5")
    page.wait_for_timeout(2500)
    expect(page.locator(".ledger .badge")).to_have_text("Started")
    page.locator("[name=pick]").uncheck()
    expect(page.locator(".ledger .badge")).to_have_text("Success")


def test_from_and_to_are_in_the_viewers_zone(visit: Opener, ledger: Ledger) -> None:
    at = 1_700_000_000.0  # 2023-11-14 22:13:20 in UTC, 03:43:20 of the next day in India
    ledger.put(**succeeded(age=time.time() - at))
    page = visit(ledger.url, timezone_id="Asia/Kolkata").page
    page.get_by_text("More filters").click()
    page.get_by_label("From").fill("2023-11-15T03:00")
    page.get_by_label("To", exact=True).fill("2023-11-15T04:00")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".ledger tbody tr")).to_have_count(1)
    page.get_by_label("To", exact=True).fill("2023-11-15T03:30")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".empty")).to_contain_text("No run fits")


def test_a_form_names_the_zone_in_which_its_times_are_read(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())

    def named(path: str) -> set[str]:
        page = visit(ledger.url + path, timezone_id="Asia/Tokyo").page
        expect(page.locator("html")).to_have_class("scripted")
        names = set(page.locator(".typed-zone").all_text_contents())
        assert names == {page.locator("[data-zone]").input_value()}
        return names

    assert named("/") == {"Asia/Tokyo"}
    assert named("/?zone=America/Lima") == {"America/Lima"}
    assert named("/?zone=Nowhere/Land") == {"Asia/Tokyo"}
    assert named("/?start=2026-01-01T00:00") == {"UTC"}
    assert named("/task?name=webapp.tasks.divide") == {"Asia/Tokyo"}
    assert named("/task?name=webapp.tasks.divide&zone=America/Lima") == {"America/Lima"}


def test_without_script_the_filters_are_a_form(visit: Opener, ledger: Ledger) -> None:
    ledger.put(succeeded(), failed())
    page = visit(ledger.url, script=False).page
    page.get_by_label("Search runs").fill("state:failure")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".ledger .badge")).to_have_text("Failure")
