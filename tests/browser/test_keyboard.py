"""Everything works with the keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.ledger import Ledger, succeeded
from tests.browser.watch import Opener
from tests.support import Stack, wait_until

WHERE = """() => {
  const here = document.activeElement;
  if (here === document.body) return "";
  return (here.labels?.[0]?.innerText || here.innerText || here.name).trim().split("\\n")[0];
}"""


def tab(page: Page) -> str:
    """Press Tab and say what has the focus now."""
    page.keyboard.press("Tab")
    return str(page.evaluate(WHERE))


def test_the_tab_key_goes_through_the_page_in_the_order_that_is_seen(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())
    page = visit(ledger.url).page
    stations = [re.sub(r"\d+$", "", tab(page)).strip() for _ in range(22)]
    header = ["Skip to the content", "Vase", "Runs", "Tasks", "Recording", "Flower\xa0↗"]
    form = ["x number", "y number", "Run"]
    filters = ["Search runs", "Task", "Time", "Order", "Search", "More filters"]
    tabs = ["All", "Live", "Success", "Failure", "Other"]
    assert stations == [*header, *form, *filters, *tabs, "pick", "divide"]


def test_the_first_tab_skips_to_the_content(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url).page
    tab(page)
    page.keyboard.press("Enter")
    assert tab(page) == "x number"


def test_the_skip_link_is_seen_while_it_has_the_focus(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url).page
    tab(page)
    expect(page.get_by_text("Skip to the content")).to_be_in_viewport(ratio=1)


def test_enter_submits_and_the_next_numbers_can_be_typed_at_once(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    page.get_by_label("x number").focus()
    page.keyboard.type("71")
    page.keyboard.press("Tab")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    expect(page.locator(".call").first).to_have_text("divide(71, 4)")
    expect(page.get_by_label("y number")).to_be_focused()


def test_a_run_is_opened_with_enter(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(**succeeded())
    page = visit(ledger.url).page
    page.locator(".call a").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{ledger.url}/runs/{task_id}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_has_the_focus_is_outlined(visit: Opener, ledger: Ledger, scheme: str) -> None:
    ledger.put(**succeeded())
    page = visit(ledger.url, color_scheme=scheme).page
    bare = []
    for _ in range(14):
        where = tab(page)
        if page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none":
            bare.append(where)
    assert bare == []


def test_long_results_can_be_scrolled_with_the_keyboard(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(**succeeded(result=list(range(400))))
    page = visit(f"{ledger.url}/runs/{task_id}").page
    slab = page.locator(".slab[data-tone=ok]")
    slab.focus()
    page.keyboard.press("End")
    # Playwright's own way to wait evaluates a text, which the page's policy forbids.
    wait_until(lambda: slab.evaluate("element => element.scrollTop") > 0, "the result was scrolled")
