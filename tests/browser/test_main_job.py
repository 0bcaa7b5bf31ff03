"""Submit, watch the badge, read the end: the main job, on real parts in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.watch import Opener, Watch
from tests.support import Stack


def submit(page: Page, x: str, y: str) -> None:
    """Type two numbers and press the button, as a person does."""
    page.get_by_label("x number").fill(x)
    page.get_by_label("y number").fill(y)
    page.get_by_role("button", name="Run", exact=True).click()


def newest(page: Page) -> Locator:
    """Return the first line of the list."""
    return page.locator(".ledger tbody tr").first


# Every word that a badge ever showed, in order, written down by the page itself so that none is missed.
_WRITE_DOWN = """
window.words = [];
window.stays = true;
new MutationObserver(() => {
  const word = document.querySelector("%s")?.textContent;
  if (word && word !== window.words.at(-1)) window.words.push(word);
}).observe(document.body, {subtree: true, childList: true, characterData: true});
"""


def words_of(watch: Watch) -> list[str]:
    """Return what the badge showed, in order; fails when the page was loaded anew in between."""
    assert watch.page.evaluate("window.stays") is True, "the page was loaded anew"
    return watch.page.evaluate("window.words")


def submit_and_follow(visit: Opener, stack: Stack, y: str, end: str) -> Watch:
    """Submit 1 and ``y`` on the list and wait until the badge of that very run shows its end."""
    watch = visit(stack.url)
    key = watch.page.locator("#launch [name=key]").input_value()
    watch.page.evaluate(_WRITE_DOWN % f"tr:has(a[href$='{key}']) .badge")
    submit(watch.page, "1", y)
    expect(watch.page.locator(f"tr:has(a[href$='{key}']) .badge")).to_have_text(end)
    return watch


def assert_in_order(words: list[str], end: str) -> None:
    """Hold that a badge went forwards only; one that starts at once may be started when the page first shows it."""
    assert words == [word for word in ("Pending", "Received", "Started", end) if word in words]
    assert words[-2:] == ["Started", end]


def test_a_division_is_seen_to_start_and_to_succeed_without_a_reload(visit: Opener, slow_stack: Stack) -> None:
    watch = submit_and_follow(visit, slow_stack, "2", "Success")
    assert_in_order(words_of(watch), "Success")


def test_a_division_by_zero_is_seen_to_start_and_to_fail_without_a_reload(visit: Opener, slow_stack: Stack) -> None:
    watch = submit_and_follow(visit, slow_stack, "0", "Failure")
    assert_in_order(words_of(watch), "Failure")


def test_the_list_tells_the_result(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    submit(page, "1", "2")
    expect(newest(page).locator(".outcome")).to_have_text("0.5")


def test_the_list_tells_the_exception(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    submit(page, "1", "0")
    expect(newest(page).locator(".outcome")).to_have_text("ZeroDivisionError('division by zero')")


def open_newest(page: Page) -> None:
    """Follow the link of the first line."""
    newest(page).get_by_role("link").click()
    expect(page.locator("#run")).to_be_visible()


def test_the_page_of_a_run_follows_it_to_its_result_without_a_reload(visit: Opener, slow_stack: Stack) -> None:
    watch = visit(slow_stack.url)
    submit(watch.page, "7", "2")
    expect(newest(watch.page).locator(".call")).to_have_text("divide(7, 2)")
    open_newest(watch.page)
    watch.page.evaluate(_WRITE_DOWN % "#run .badge")
    expect(watch.page.locator("#run .slab[data-tone=ok]")).to_have_text("3.5")
    assert words_of(watch)[-1] == "Success"


def test_the_page_of_a_failed_run_shows_exception_and_traceback(visit: Opener, slow_stack: Stack) -> None:
    page = visit(slow_stack.url).page
    submit(page, "9", "0")
    expect(newest(page).locator(".call")).to_have_text("divide(9, 0)")
    open_newest(page)
    expect(page.locator("#run .slab[data-tone=bad]")).to_have_text("ZeroDivisionError('division by zero')")
    expect(page.locator("#run .slab").nth(1)).to_contain_text(re.compile(r"return x / y\n.*\n?ZeroDivisionError", re.S))


def test_the_page_of_a_run_tells_the_stations_of_its_way(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    submit(page, "6", "2")
    expect(newest(page).locator(".outcome")).to_have_text("3.0")
    open_newest(page)
    expect(page.locator(".line li b")).to_have_text(["Sent", "Received", "Started", "Success"])


def test_progress_is_seen_to_grow_without_a_reload(visit: Opener, stack: Stack) -> None:
    watch = visit(stack.url)
    watch.page.evaluate(_WRITE_DOWN % ".ledger tr:has(progress) .outcome")
    stack.run("flask", "--app", "app", "run-task", "divide_many", "[[1, 2], [3, 4], [5, 6], [7, 8]]", "2")
    watch.page.get_by_role("link", name="1 new").click()
    expect(newest(watch.page).locator(".outcome")).to_contain_text("[0.5, 0.75", timeout=30_000)
    assert len({"1 of 4", "2 of 4", "3 of 4"}.intersection(words_of(watch))) >= 2


def test_a_run_sent_by_another_client_appears_on_an_idle_page(visit: Opener, stack: Stack) -> None:
    watch = visit(stack.url)
    expect(watch.page.locator("[data-news]")).to_be_attached(timeout=20_000)
    watch.page.evaluate("window.stays = true")
    stack.run("celery", "-b", stack.broker_url, "call", "webapp.tasks.divide", "--queue", "vase", "--args=[11, 8]")
    watch.page.get_by_role("link", name="1 new").click()
    expect(newest(watch.page).locator(".call")).to_have_text("divide(11, 8)")
    assert watch.page.evaluate("window.stays") is True


def test_the_same_numbers_twice_are_two_runs(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    submit(page, "21", "4")
    expect(page.locator(".call", has_text="divide(21, 4)")).to_have_count(1)
    submit(page, "21", "4")
    expect(page.locator(".call", has_text="divide(21, 4)")).to_have_count(2)


def test_a_double_click_makes_one_run(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    page.get_by_label("x number").fill("31")
    page.get_by_label("y number").fill("4")
    page.get_by_role("button", name="Run", exact=True).dblclick()
    expect(newest(page).locator(".outcome")).to_have_text("7.75")
    page.reload()
    expect(page.locator(".call", has_text="divide(31, 4)")).to_have_count(1)


def test_sending_a_page_again_that_was_gone_back_to_makes_a_run_of_its_own(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url, script=False).page
    submit(page, "41", "4")
    expect(page.locator(".call", has_text="divide(41, 4)")).to_have_count(1)
    page.go_back()
    submit(page, "41", "4")
    expect(page.locator(".call", has_text="divide(41, 4)")).to_have_count(2)
