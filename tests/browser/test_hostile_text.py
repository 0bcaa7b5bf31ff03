"""What a task says is text, whatever it looks like."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.ledger import Ledger, failed, succeeded
from tests.browser.watch import Opener, Watch
from tests.support import Stack
from webapp.text import clean, tidy

HOSTILE = {
    "script": "<script>window.ran = true</script>",
    "image": "<img src=x onerror='window.ran = true'>",
    "htmx": '"><b hx-get="/fragments/runs" hx-trigger="load" data-hx-get="/ready">bold</b>',
    "partial": '</pre><hx-partial hx-target="#main"><h1>gone</h1></hx-partial>',
    "template": "{{ 7 * 7 }}{% raw %}",
    "bidi": "\u202egnp.exe\u2066",
    "control": "a\x00b\x1b[31m\x7f",
    "long": "w" * 20_000,
}
hostile = pytest.mark.parametrize("kind", ["script", "htmx", "partial", "long"])


def put(ledger: Ledger, text: str) -> str:
    """Put two runs that say a hostile text wherever one can, as the recorder would; return the failed one's id."""
    ledger.put(**succeeded(args=[text], kwargs={text: text}, result=clean(text)))
    said = {"name": tidy(text), "worker": tidy(f"celery@{text}"), "queue": tidy(text), "origin": tidy(text)}
    task_id = tidy(f"id-{text}")
    step = [1.0, "started", clean(text)[:300]]
    return ledger.put(
        **failed(args=[text], exception=clean(text), traceback=clean(text), steps=json.dumps([step]), **said),
        task_id=task_id,
        publish_state=None,
    )


def put_all(ledger: Ledger) -> None:
    """Put runs with every hostile text."""
    for text in HOSTILE.values():
        put(ledger, text)


def assert_harmless(watch: Watch) -> None:
    """Fail when the text ran, became an element or asked the server for something."""
    watch.page.wait_for_timeout(300)
    found = watch.page.evaluate(
        "[window.ran === true, document.querySelectorAll('main script, main img, main b[hx-get], main h1').length]"
    )
    assert found == [False, 1]
    assert watch.asked_for("/ready") + watch.asked_for("/x") + watch.asked_for("/runs/x") == []


def test_the_list_shows_hostile_text_as_text(visit: Opener, ledger: Ledger) -> None:
    put_all(ledger)
    watch = visit(ledger.url)
    expect(watch.page.locator(".ledger tbody tr")).to_have_count(2 * len(HOSTILE))
    assert_harmless(watch)


def test_the_list_shows_hostile_text_that_arrives_later_as_text(visit: Opener, ledger: Ledger) -> None:
    ledger.put(**succeeded())
    watch = visit(ledger.url)
    put_all(ledger)
    watch.page.get_by_role("link", name=f"{2 * len(HOSTILE)} new").click()
    expect(watch.page.locator(".ledger tbody tr")).to_have_count(2 * len(HOSTILE) + 1)
    assert_harmless(watch)


def test_a_list_filtered_by_a_hostile_name_shows_it_as_text(visit: Opener, ledger: Ledger) -> None:
    put(ledger, HOSTILE["htmx"])
    watch = visit(ledger.url)
    watch.page.get_by_label("Task").select_option(HOSTILE["htmx"])
    expect(watch.page.locator(".ledger tbody tr")).to_have_count(1)
    assert_harmless(watch)


@hostile
def test_the_page_of_a_run_with_hostile_text_is_reached_and_shows_it_as_text(
    visit: Opener, ledger: Ledger, kind: str
) -> None:
    put(ledger, HOSTILE[kind])
    watch = visit(ledger.url)
    watch.page.locator("tr", has=watch.page.get_by_text("Failure", exact=True)).get_by_role("link").click()
    expect(watch.page.locator("#run .badge")).to_have_text("Failure")
    assert_harmless(watch)


def test_a_live_page_that_is_given_hostile_text_shows_it_as_text(visit: Opener, ledger: Ledger) -> None:
    task_id = ledger.put(state="STARTED")
    watch = visit(f"{ledger.url}/runs/{task_id}")
    text = clean("\n".join(HOSTILE.values()))
    ledger.alter(task_id, state="FAILURE", exception=text, traceback=text)
    expect(watch.page.locator("#run .badge")).to_have_text("Failure")
    assert_harmless(watch)


@pytest.mark.parametrize("task_id", ["../../health", "a/b", "?state=failure", "#main", "..", "%2e%2e%2f", "a b\\c"])
def test_a_run_is_reached_whatever_its_task_id_is(visit: Opener, ledger: Ledger, task_id: str) -> None:
    ledger.put(**succeeded(), task_id=task_id)
    page = visit(ledger.url).page
    page.locator(".call a").click()
    expect(page.locator(".ident")).to_have_text(task_id)


def test_a_404_shows_a_hostile_task_id_as_text(visit: Opener, ledger: Ledger) -> None:
    watch = visit(f"{ledger.url}/run?task_id=%3Cscript%3Ewindow.ran=true%3C/script%3E%3Cimg src=x onerror='ran=1'%3E")
    expect(watch.page.locator("code")).to_contain_text("<script>window.ran=true</script><img")
    assert_harmless(watch)


def test_a_field_shows_hostile_text_as_text(visit: Opener, ledger: Ledger) -> None:
    watch = visit(ledger.url)
    text = '"><script>window.ran = true</script><img src=x onerror="ran = true">'
    _send(watch.page, text)
    expect(watch.page.get_by_label("x number")).to_have_attribute("value", text)
    assert_harmless(watch)


def _send(page: Page, text: str) -> None:
    page.get_by_label("x number").fill(text)
    page.get_by_label("y number").fill("1")
    page.get_by_role("button", name="Run", exact=True).click()


def test_hostile_arguments_go_through_broker_worker_and_recorder_and_are_text(visit: Opener, stack: Stack) -> None:
    stack.submit("1", "2")
    watch = visit(stack.url)
    text = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>"
    stack.run(
        "celery",
        "-b",
        stack.broker_url,
        "call",
        "webapp.tasks.divide",
        "--queue",
        "vase",
        "--args",
        json.dumps([text, 1]),
    )
    watch.page.get_by_role("link", name=re.compile("new")).click()
    expect(watch.page.locator(".ledger tbody tr").first).to_contain_text("<script>window.ran")
    expect(watch.page.locator(".ledger .badge").first).to_have_text("Failure")
    assert_harmless(watch)
