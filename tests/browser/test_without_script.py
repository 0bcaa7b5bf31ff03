"""Everything works with JavaScript switched off."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener, look_again
from tests.support import Stack, wait_until


def send(page: Page, x: str, y: str) -> None:
    """Fill in the form and press the button."""
    page.get_by_label("x number").fill(x)
    page.get_by_label("y number").fill(y)
    page.get_by_role("button", name="Run", exact=True).click()


def reload_until(page: Page, selector: str, text: str) -> None:
    """Reload as a patient person does until a part of the page says something."""

    def says() -> bool:
        return look_again(page).locator(selector).first.inner_text() == text

    wait_until(says, f"{selector} says {text}")


def test_submitting_leads_by_303_to_the_list(visit: Opener, stack: Stack) -> None:
    watch = visit(stack.url, script=False)
    send(watch.page, "61", "4")
    assert watch.statuses("/runs") == [303]


def test_the_list_shows_what_was_submitted(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url, script=False).page
    send(page, "62", "4")
    expect(page.locator(".call").first).to_have_text("divide(62, 4)")


def test_a_reload_shows_the_end(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url, script=False).page
    send(page, "63", "4")
    expect(page.locator(".call").first).to_have_text("divide(63, 4)")
    reload_until(page, ".outcome.value", "15.75")


def test_the_page_of_a_run_shows_its_result(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url, script=False).page
    send(page, "64", "4")
    page.locator(".call").first.get_by_role("link").click()
    reload_until(page, "#run .badge", "Success")
    expect(page.locator(".slab[data-tone=ok]")).to_have_text("16.0")


def test_the_page_of_a_live_run_reloads_by_itself(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(state="STARTED")
    page = visit(f"{ledger.url}/runs/{task_id}", script=False).page
    ledger.alter(task_id, state="SUCCESS", result="0.5")
    expect(page.locator("#run .badge")).to_have_text("Success", timeout=10_000)


def test_runs_are_filtered_by_state(visit: Opener, ledger: Ledger) -> None:
    ledger.put(succeeded(), failed(), failed())
    page = visit(ledger.url, script=False).page
    page.get_by_role("link", name="Failure").click()
    expect(page.locator(".ledger .badge")).to_have_text(["Failure", "Failure"])


def test_runs_are_filtered_by_task(visit: Opener, ledger: Ledger) -> None:
    ledger.put(succeeded(), failed(name="mail.send"))
    page = visit(ledger.url, script=False).page
    page.get_by_label("Task").select_option("mail.send")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".ledger .badge")).to_have_text("Failure")


def test_every_run_stands_on_one_of_the_pages_and_on_no_other(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[succeeded(age=60 + number, args=[number, 1]) for number in range(120)])
    page = visit(ledger.url, script=False).page
    calls = page.locator(".call").all_inner_texts()
    while page.get_by_role("link", name="Older").count():
        with page.expect_navigation():
            page.get_by_role("link", name="Older").click()
        calls += page.locator(".call").all_inner_texts()
    assert calls == [f"divide({number}, 1)" for number in range(120)]


def test_an_older_page_leads_back_to_the_newest(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[succeeded(age=60 + number, args=[number, 1]) for number in range(60)])
    page = visit(ledger.url, script=False).page
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newest").click()
    expect(page.locator(".call").first).to_have_text("divide(0, 1)")


def test_paging_keeps_the_filter(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[make(age=60 + number) for number in range(60) for make in (succeeded, failed)])
    page = visit(f"{ledger.url}/?state=failure", script=False).page
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".ledger .badge")).to_have_text(["Failure"] * 10)


def test_times_say_that_they_are_utc(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())
    page = visit(ledger.url, script=False).page
    expect(page.locator(".pager")).to_contain_text("times in UTC")
