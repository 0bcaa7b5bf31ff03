"""The form of a task: checked while one types, two views of one call, by keyboard, on a phone and without script."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.ledger import Ledger
from tests.browser.watch import Opener, look_again
from tests.support import Stack, wait_until

DIVIDE = "/task?name=webapp.tasks.divide"


def type_into(page: Page, label: str, text: str) -> None:
    """Type as a person does, a key at a time."""
    page.get_by_label(label).press("Control+A")
    page.get_by_label(label).press_sequentially(text)


def test_the_call_is_shown_as_soon_as_there_is_one(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE).page
    type_into(page, "x number", "12")
    type_into(page, "y number", "4")
    expect(page.locator("#preview")).to_have_text("divide.apply_async(args=[12, 4])")


def test_what_is_still_needed_is_named_without_blame(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE).page
    type_into(page, "x number", "12")
    expect(page.locator("#preview")).to_have_text("Still needed: y.")
    expect(page.locator(".error")).to_have_count(0)


def test_what_is_wrong_is_told_beside_the_field_while_one_types_on(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE).page
    type_into(page, "x number", "a dozen")
    expect(page.locator(".field .error")).to_have_text("This is not a number. Type a number such as 3.")
    expect(page.get_by_label("x number")).to_be_focused()
    type_into(page, "x number", "12")
    expect(page.locator(".error")).to_have_count(0)
    expect(page.get_by_label("x number")).to_have_value("12")


def test_options_are_part_of_the_call(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE + "&p.x=1&p.y=2").page
    page.get_by_text("Queue, time, priority, note").click()
    type_into(page, "Queue", "slow")
    expect(page.locator("#preview")).to_have_text("divide.apply_async(args=[1, 2], queue='slow')")
    type_into(page, "Start in", "soon")
    expect(page.locator("#error-o-countdown")).to_be_visible()


def test_fields_and_json_are_kept_in_step(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE + "&p.x=1&p.y=2.5").page
    page.get_by_role("button", name="JSON").click()
    expect(page.get_by_label("Arguments as JSON")).to_be_visible()
    assert json.loads(page.get_by_label("Arguments as JSON").input_value()) == {"args": [1, 2.5], "kwargs": {}}
    page.get_by_label("Arguments as JSON").fill('{"args": [3], "kwargs": {"y": 4}}')
    expect(page.locator("#preview")).to_have_text("divide.apply_async(args=[3], kwargs={'y': 4})")
    page.get_by_role("button", name="Fields").click()
    expect(page.get_by_label("x number")).to_have_value("3")
    expect(page.get_by_label("y number")).to_have_value("4")


def test_a_late_check_does_not_bring_back_the_other_view(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE).page
    held: list[Route] = []

    def hold_checks(route: Route) -> None:
        if "show=check" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/task", hold_checks)
    type_into(page, "x number", "12")
    page.keyboard.press("Tab")
    # A check follows what was typed, and one that takes its place follows when the field is left.
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="JSON").click()
    expect(page.get_by_label("Arguments as JSON")).to_be_visible()
    with page.expect_response(lambda answer: answer.request == held[-1].request) as answer:
        held[-1].continue_()
    answer.value.finished()
    page.wait_for_timeout(200)
    expect(page.get_by_label("Arguments as JSON")).to_be_visible()


def test_json_that_is_none_is_kept_with_the_reason(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE).page
    page.get_by_role("button", name="JSON").click()
    type_into(page, "Arguments as JSON", '{"args": [1')
    expect(page.locator("#error-raw")).to_contain_text("This is not JSON")
    page.get_by_role("button", name="Fields").click()
    expect(page.get_by_label("Arguments as JSON")).to_have_value('{"args": [1')


def test_enter_runs_the_task_and_leads_to_its_run(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url + DIVIDE).page
    page.get_by_label("x number").focus()
    page.keyboard.type("91")
    page.keyboard.press("Tab")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("divide(91, 4)")
    expect(page.locator("#run .badge").first).to_have_text("Success")
    expect(page.locator(".slab[data-tone=ok]")).to_have_text("22.75")


def test_the_first_wrong_field_has_the_focus_after_sending(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE + "&p.x=1").page
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_label("y number")).to_be_focused()
    expect(page.locator(".field .error")).to_have_count(1)
    expect(page.get_by_label("x number")).to_have_value("1")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_a_task_is_found_filled_in_previewed_and_run_without_script(visit: Opener, stack: Stack, phone: bool) -> None:
    page = visit(stack.url, script=False, phone=phone).page
    page.get_by_role("link", name="Tasks").click()
    page.get_by_role("link", name="divide", exact=True).click()
    page.get_by_label("x number").fill("92")
    page.get_by_role("button", name="Preview the call").click()
    expect(page.locator(".field .error")).to_contain_text("This is needed.")
    page.get_by_label("y number").fill("4")
    page.get_by_role("button", name="JSON").click()
    page.get_by_role("button", name="Preview the call").click()
    expect(page.locator("#preview")).to_have_text("divide.apply_async(args=[92, 4])")
    page.get_by_role("button", name="Run", exact=True).click()

    page.wait_for_url("**/runs/*")

    def ended() -> bool:
        return look_again(page).locator("#run .badge").first.inner_text() == "Success"

    wait_until(ended, "the run has ended")
    expect(page.locator(".slab[data-tone=ok]")).to_have_text("23.0")


def test_a_preset_is_kept_and_fills_the_form(visit: Opener, stack: Stack) -> None:
    page = visit(stack.url + DIVIDE + "&p.x=7&p.y=8").page
    page.get_by_text("Save as a preset").click()
    page.get_by_label("Name").fill("seven by eight")
    page.get_by_role("button", name="Save").click()
    page.goto(stack.url + DIVIDE)
    page.get_by_role("link", name="seven by eight").click()
    expect(page.get_by_label("x number")).to_have_value("7")
    page.get_by_role("button", name="Remove the preset seven by eight").click()
    expect(page.get_by_role("link", name="seven by eight")).to_have_count(0)


def test_enter_in_the_name_of_a_preset_saves_it_and_starts_nothing(visit: Opener, ledger: Ledger) -> None:
    page = visit(ledger.url + DIVIDE + "&p.x=8&p.y=2").page
    page.get_by_text("Save as a preset").click()
    page.get_by_label("Name").fill("eight halves")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("link", name="eight halves")).to_be_visible()
    page.goto(ledger.url)
    expect(page.locator(".empty")).to_contain_text("No runs yet")
