"""The form: what is wrong is said beside its field, and nothing that somebody typed is lost."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.ledger import Ledger, succeeded
from tests.browser.watch import Opener
from tests.support import Stack, wait_until

WRONG = {
    "nan": "This must be a finite number",
    "inf": "This must be a finite number",
    "1e999": "This number is too large",
    "": "This is needed. Type a number such as 3.",
    "ten": "This is not a number.",
    "2,5": "Write the decimal with a point",
    "7" * 400: "This number is too large",
    "0." + "0" * 1500: "This is 1,502 characters long",
}
wrong = pytest.mark.parametrize(("typed", "message"), WRONG.items(), ids=[text[:8] or "empty" for text in WRONG])
with_and_without_script = pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])


def send(page: Page, x: str, y: str) -> None:
    """Type two values and press the button."""
    page.get_by_label("x number").fill(x)
    page.get_by_label("y number").fill(y)
    page.get_by_role("button", name="Run", exact=True).click()


@wrong
def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    visit: Opener, ledger: Ledger, typed: str, message: str
) -> None:
    page = visit(ledger.url).page
    send(page, "1", typed)
    assert_said_beside(page, "y", typed, message)
    assert page.get_by_label("x number").input_value() == "1"


def test_without_script_too_errors_stand_beside_their_fields(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url, script=False).page
    for typed, message in WRONG.items():
        send(page, typed, "1")
        assert_said_beside(page, "x", typed, message)


def assert_said_beside(page: Page, name: str, typed: str, message: str) -> None:
    """Fail when a field does not keep what was typed, or does not say what is wrong with it."""
    field = page.get_by_label(f"{name} number")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert field.input_value() == typed
    beside = page.locator(f".field:has(#field-{name})").locator(f"#{field.get_attribute('aria-describedby')}")
    expect(beside).to_contain_text(message)


@with_and_without_script
def test_a_field_that_is_right_has_no_error(visit: Opener, ledger: Ledger, script: bool) -> None:
    page = visit(ledger.url, script=script).page
    send(page, "1", "nan")
    expect(page.locator("[aria-invalid]")).to_have_count(1)
    expect(page.get_by_label("x number")).not_to_have_attribute("aria-invalid", "true")


@with_and_without_script
def test_the_first_wrong_field_takes_the_focus(visit: Opener, ledger: Ledger, script: bool) -> None:
    page = visit(ledger.url, script=script).page
    send(page, "1", "ten")
    expect(page.get_by_label("y number")).to_be_focused()


def test_the_first_wrong_field_takes_the_focus_again(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url).page
    send(page, "1", "ten")
    expect(page.get_by_label("y number")).to_be_focused()
    send(page, "ten", "ten")
    expect(page.get_by_label("x number")).to_be_focused()


@with_and_without_script
def test_a_form_that_is_wrong_starts_nothing(visit: Opener, ledger: Ledger, script: bool) -> None:
    page = visit(ledger.url, script=script).page
    send(page, "1", "nan")
    expect(page.locator("[aria-invalid]")).to_have_count(1)
    assert ledger.query("SELECT count(*) FROM vase_task_runs") == [(0,)]


@with_and_without_script
def test_a_form_put_right_is_accepted_and_its_errors_go(visit: Opener, stack: Stack, script: bool) -> None:
    page = visit(stack.url, script=script).page
    send(page, "1", "nan")
    expect(page.locator("[aria-invalid]")).to_have_count(1)
    send(page, "51", "4")
    expect(page.locator(".call").first).to_have_text("divide(51, 4)")
    expect(page.locator(".error, [aria-invalid]")).to_have_count(0)


@with_and_without_script
def test_a_run_that_the_broker_did_not_take_is_shown_to_wait_for_it(
    visit: Opener, ledger: Ledger, script: bool
) -> None:
    page = visit(ledger.url, script=script).page
    send(page, "1", "2")
    expect(page.locator(".ledger .badge")).to_have_text("Waiting for the broker", timeout=12_000)
    expect(page.locator("main > .note")).to_contain_text("The run is kept and will be sent")


def test_the_form_is_empty_after_a_run_was_accepted(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    send(page, "52", "4")
    expect(page.locator(".call").first).to_have_text("divide(52, 4)")
    expect(page.get_by_label("x number")).to_have_value("")
    expect(page.get_by_label("y number")).to_have_value("")


def test_the_button_keeps_the_focus_when_it_was_pressed(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url).page
    send(page, "53", "4")
    expect(page.get_by_label("x number")).to_have_value("")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_focused()


def test_a_run_started_from_a_filtered_list_is_shown_under_the_address_of_that_list(
    visit: Opener, stack: Stack
) -> None:
    page = visit(f"{stack.url}/?state=failure").page
    send(page, "54", "4")
    expect(page.locator(".call").first).to_have_text("divide(54, 4)")
    expect(page.get_by_label("x number")).to_have_value("")
    shown = page.locator(".tabs [aria-current]").inner_text()
    page.reload()
    assert page.locator(".tabs [aria-current]").inner_text() == shown


def test_a_late_answer_about_the_list_of_before_is_ignored(visit: Opener, stack: Stack) -> None:
    page = visit(f"{stack.url}/?state=failure").page
    held: list[Route] = []
    page.route("**/fragments/runs**", lambda route: held.append(route))
    page.evaluate("document.querySelector('#runs').dispatchEvent(new CustomEvent('refresh'))")
    wait_until(lambda: page.wait_for_timeout(20) or held, "the list has asked")
    send(page, "55", "4")
    expect(page.locator(".call").first).to_have_text("divide(55, 4)")
    with page.expect_response("**/fragments/runs**state=failure**") as answer:
        held[0].continue_()
    assert (answer.value.status, answer.value.finished()) == (200, None)
    page.wait_for_timeout(200)
    expect(page.locator(".call").first).to_have_text("divide(55, 4)")
    page.unroute_all(behavior="ignoreErrors")


def grow(ledger: Ledger, page: Page) -> None:
    """Let a run come and wait until the page says so."""
    ledger.put(**succeeded(age=0))
    expect(page.locator(".fresh")).to_have_text("1 new")


def test_what_is_being_typed_survives_news_in_the_list(visit: Opener, ledger: Ledger) -> None:
    ledger.put(state="STARTED", started_at=time.time())
    page = visit(ledger.url).page
    field = page.get_by_label("x number")
    field.fill("12345")
    grow(ledger, page)
    expect(field).to_have_value("12345")


def test_focus_and_caret_survive_news_in_the_list(visit: Opener, ledger: Ledger) -> None:
    ledger.put(state="STARTED", started_at=time.time())
    page = visit(ledger.url).page
    page.get_by_label("x number").fill("12345")
    page.get_by_label("x number").evaluate("field => { field.focus(); field.setSelectionRange(2, 4); }")
    grow(ledger, page)
    where = "[document.activeElement.name, document.activeElement.selectionStart, document.activeElement.selectionEnd]"
    assert page.evaluate(where) == ["x", 2, 4]


def test_text_selected_in_the_list_stays_selected_when_the_list_grows(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded(result="to be copied"))
    page = visit(ledger.url).page
    page.locator(".outcome .clip").evaluate("element => getSelection().selectAllChildren(element)")
    grow(ledger, page)
    assert page.evaluate("getSelection().toString()") == '"to be copied"'


def test_text_selected_on_the_page_of_a_live_run_stays_selected(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(state="PROGRESS", started_at=time.time(), progress_current=1, progress_total=9)
    page = visit(f"{ledger.url}/runs/{task_id}").page
    page.locator(".ident").evaluate("element => getSelection().selectAllChildren(element)")
    ledger.alter(task_id, progress_current=2)
    expect(page.locator(".far")).to_contain_text("2 of 9")
    assert page.evaluate("getSelection().toString()") == task_id


def test_what_has_the_focus_in_the_list_keeps_it_when_the_list_grows(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(**succeeded())
    page = visit(ledger.url).page
    page.locator(".call a").focus()
    grow(ledger, page)
    assert page.evaluate("document.activeElement.pathname") == f"/runs/{task_id}"


def test_the_page_that_a_form_without_script_led_to_can_be_visited(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url, script=False).page
    send(page, "1", "nan")
    answer = page.goto(page.url)
    assert answer is not None
    assert answer.status == 200
