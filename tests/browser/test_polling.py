"""Who asks the server, how often, and when it stops: read from the browser's own network log."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.ledger import Ledger, row_of, succeeded
from tests.browser.watch import Opener, Watch
from tests.support import wait_until

LIVE = {"state": "STARTED", "worker": "celery@a-north"}
HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  Object.defineProperty(document, "visibilityState", {configurable: true, get: () => hidden ? "hidden" : "visible"});
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


def finish(ledger: Ledger, task_id: str) -> None:
    """Let a run end well."""
    ledger.alter(task_id, state="SUCCESS", result="0.5", outcome_exact=1, runtime=5.0)


def follow(visit: Opener, ledger: Ledger, where: str) -> tuple[Watch, str]:
    """Open the list or the page of a live run and wait until it polls."""
    task_id = ledger.put(**LIVE, started_at=time.time())
    watch = visit(ledger.url + ("/" if where == "list" else f"/runs/{task_id}"), clock=True)
    watch.wait_for_polls(1, "the page polls")
    return watch, task_id


both = pytest.mark.parametrize("where", ["list", "run"])


def test_a_live_page_asks_once_a_second(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**LIVE)
    begin = time.monotonic()
    watch = visit(ledger.url)
    wait_until(lambda: watch.page.wait_for_timeout(50) or watch.polls() >= 5, "it has asked five times")
    # However busy the machine is, nothing may ask more often.
    assert time.monotonic() - begin > 4


@both
def test_a_live_page_has_one_poller(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, _ = follow(visit, ledger, where)
    # Two pollers would ask six times.
    assert 2 <= watch.polls_in_order(3) <= 4


def test_fifty_live_runs_are_one_poll_and_not_fifty(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[LIVE] * 49)
    watch, _ = follow(visit, ledger, "list")
    assert 2 <= watch.polls_in_order(3) <= 4


@both
def test_a_poll_that_has_no_news_is_answered_204(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, _ = follow(visit, ledger, where)
    watch.wait_for_polls(3, "it polls on")
    assert set(watch.statuses("/fragments/")) == {204}


@both
def test_a_page_whose_runs_have_ended_asks_no_more(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, task_id = follow(visit, ledger, where)
    finish(ledger, task_id)
    expect(watch.page.locator(f"#{'runs' if where == 'list' else 'run'} .badge").first).to_have_text("Success")
    assert watch.polls_within(60) == 0


@both
def test_a_page_that_never_had_anything_live_asks_nothing(visit: Opener, ledger: Ledger, where: str) -> None:
    task_id = ledger.put(**succeeded())
    watch = visit(ledger.url + ("/" if where == "list" else f"/runs/{task_id}"), clock=True)
    assert watch.polls_within(60) == 0


def test_an_idle_list_holds_one_open_answer(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())
    watch = visit(ledger.url, clock=True)
    watch.pass_time(40)
    assert len(watch.asked_for("/changes")) == 1


def test_the_page_of_an_ended_run_holds_no_answer_open(visit: Opener, ledger: Ledger) -> None:
    watch = visit(f"{ledger.url}/runs/{ledger.put(**succeeded())}", clock=True)
    watch.pass_time(10)
    assert watch.asked_for("/changes") == []


def test_a_run_that_is_new_wakes_an_idle_list_and_its_end_lets_it_rest(visit: Opener, ledger: Ledger) -> None:
    watch = visit(ledger.url, clock=True)
    task_id = ledger.put(**LIVE, started_at=time.time())
    expect(watch.page.locator("#runs .badge").first).to_have_text("Started")
    finish(ledger, task_id)
    expect(watch.page.locator("#runs .badge").first).to_have_text("Success")
    assert watch.polls_within(60) == 0


def test_an_idle_list_that_is_told_of_many_changes_shows_each(visit: Opener, ledger: Ledger) -> None:
    watch = visit(ledger.url, clock=True)
    ledger.put(**succeeded())
    expect(watch.page.locator(".ledger tbody tr")).to_have_count(1)
    for number in range(1, 4):
        ledger.put(**succeeded(age=0))
        expect(watch.page.locator(".fresh")).to_have_text(f"{number} new")


@both
def test_a_hidden_tab_asks_nothing(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, _ = follow(visit, ledger, where)
    watch.page.evaluate(HIDE, True)
    watch.pass_time(0.5)
    assert watch.polls_within(60) == 0


@both
def test_a_tab_that_is_shown_again_is_up_to_date_at_once(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, task_id = follow(visit, ledger, where)
    watch.page.evaluate(HIDE, True)
    finish(ledger, task_id)
    watch.page.evaluate(HIDE, False)
    expect(watch.page.locator(f"#{'runs' if where == 'list' else 'run'} .badge").first).to_have_text(
        "Success", timeout=900
    )


def test_a_tab_that_is_shown_again_polls_on(visit: Opener, ledger: Ledger) -> None:
    watch, _ = follow(visit, ledger, "list")
    watch.page.evaluate(HIDE, True)
    watch.page.evaluate(HIDE, False)
    watch.wait_for_polls(3, "it polls on")


def test_a_hidden_idle_list_lets_its_open_answer_go(visit: Opener, ledger: Ledger) -> None:
    watch = visit(ledger.url, clock=True)
    watch.page.wait_for_timeout(500)
    with watch.page.expect_event("requestfailed", lambda request: "/changes" in request.url):
        watch.page.evaluate(HIDE, True)


def break_answers(page: Page, status: int, times: int) -> None:
    """Let the next polls be answered with a fault."""

    def answer(route: Route) -> None:
        route.fulfill(status=status, body="<h1>broken</h1>", content_type="text/html")

    page.route("**/fragments/**", answer, times=times)


@pytest.mark.parametrize(("where", "status"), [("list", 500), ("run", 503)])
def test_a_poller_survives_faults(visit: Opener, ledger: Ledger, where: str, status: int) -> None:
    watch, task_id = follow(visit, ledger, where)
    break_answers(watch.page, status, times=2)
    watch.wait_for_polls(3, "it polls on after two faults")
    finish(ledger, task_id)
    expect(watch.page.locator(f"#{'runs' if where == 'list' else 'run'} .badge").first).to_have_text("Success")


def test_a_fault_is_not_shown_in_place_of_the_list(visit: Opener, ledger: Ledger) -> None:
    watch, _ = follow(visit, ledger, "list")
    break_answers(watch.page, 500, times=1)
    watch.wait_for_polls(2, "it polls on after a fault")
    expect(watch.page.get_by_text("broken")).to_have_count(0)


@both
def test_a_banner_says_that_the_server_is_away(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, _ = follow(visit, ledger, where)
    break_answers(watch.page, 503, times=10)
    watch.pass_time(1)
    expect(watch.page.get_by_role("alert")).to_have_text(
        "The server does not answer. This page shows what it last knew and keeps trying."
    )


@both
def test_the_banner_goes_with_the_first_good_answer(visit: Opener, ledger: Ledger, where: str) -> None:
    watch, _ = follow(visit, ledger, where)
    break_answers(watch.page, 503, times=1)
    watch.pass_time(1)
    expect(watch.page.locator("#lost")).to_be_visible()
    watch.pass_time(1)
    expect(watch.page.locator("#lost")).to_be_hidden()


def test_a_live_list_survives_a_restart_of_the_server(visit: Opener, ledger: Ledger) -> None:
    watch, task_id = follow(visit, ledger, "list")
    ledger.stop("web")
    expect(watch.page.locator("#lost")).to_be_visible()
    ledger.start("web")
    finish(ledger, task_id)
    expect(watch.page.locator("#runs .badge").first).to_have_text("Success")
    expect(watch.page.locator("#lost")).to_be_hidden()
    watch.forgive("Failed to fetch")


def test_an_idle_list_survives_a_restart_of_the_server(visit: Opener, ledger: Ledger) -> None:
    watch = visit(ledger.url, clock=True)
    watch.page.wait_for_timeout(500)
    ledger.stop("web")
    ledger.start("web")
    ledger.put(**succeeded())
    expect(watch.page.locator("#runs .badge").first).to_have_text("Success", timeout=20_000)


def test_the_header_follows_the_parts_without_a_reload(visit: Opener, ledger: Ledger) -> None:
    watch = visit(ledger.url, clock=True)
    ledger.signs(broker_error="Connection refused.")
    expect(watch.page.locator("#vitals")).to_contain_text("broker is away")


def test_the_runtime_of_a_live_run_counts_on_between_polls(visit: Opener, ledger: Ledger) -> None:
    watch, _ = follow(visit, ledger, "list")
    watch.page.route("**/fragments/**", lambda route: route.fulfill(status=204))
    cell = watch.page.locator("[data-since]")
    before = cell.text_content() or ""
    watch.pass_time(2)
    expect(cell).not_to_have_text(before)


def test_rows_of_an_older_page_poll_only_while_one_of_them_is_live(visit: Opener, ledger: Ledger) -> None:
    ledger.put(*[row_of(age=300 - n, **LIVE) for n in range(3)], *[succeeded(age=900 + n) for n in range(60)])
    page = visit(ledger.url).page
    page.get_by_role("link", name="Older").click()
    watch = visit(page.url, clock=True)
    assert watch.polls_within(60) == 0
