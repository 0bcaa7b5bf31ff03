"""Tasks of many signatures, from the form in a page to the values in a worker, by HTTP alone.

Each is tried on a site that imports the code of the tasks, and on one that knows only what the worker told.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.integration.forms.signatures import MODULES
from tests.integration.forms.signatures.cases import Case
from tests.integration.forms.signatures.site import Page, Site
from tests.support import ROOT, Stack, free_port, wait_until

# What a signature becomes has nothing to do with where runs are kept.
pytestmark = pytest.mark.sqlite_only

SITES = ("imports", "told")
CASES: list[Case] = [case for name in MODULES for case in importlib.import_module(name).CASES.found]
TASKS = {case.name: case for case in CASES}
HOSTILE = (
    "[" * 20 + "1" + "]" * 20,
    '{"a":' * 20 + "1" + "}" * 20,
    "1e400",
    "-1e400",
    "NaN",
    "\x00",
    "a\x00b",
    "\ud800",
    '"\\ud800"',
    '{"__type__": "date", "__value__": "2026-03-01"}',
    '[{"__type__": "no such", "__value__": null}]',
    "__type__ = date\n__value__ = 2026-03-01",
    "9" * 5_000,
    "٣",
    "{{ 7 * 7 }}<script>",
)
TURNS = 5
Sent = dict[tuple[str, int], tuple[int, str, str]]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose worker and web server know the tasks, and whose recorder does not."""
    stack = Stack(tmp_path_factory.mktemp("signatures"))
    try:
        stack.migrate()
        stack.start("redis")
        stack.start("recorder")
        stack.environ["CELERY_IMPORTS"] = ",".join(MODULES)
        stack.start("worker", "web")
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture(scope="module")
def sites(known: Stack) -> Iterator[dict[str, Site]]:
    """The web server that imports the tasks, and one that does not and was told of them."""
    port = free_port()
    environ = known.environ | {"CELERY_IMPORTS": "", "PORT": str(port)}
    with (known.folder / "told.log").open("wb") as log:
        web = subprocess.Popen(known.command("web"), cwd=ROOT, env=environ, stdout=log, stderr=log)
        found = {"imports": Site(known.port), "told": Site(port)}
        try:
            wait_until(lambda: answers(found["told"]), "the other web server answers")
            wait_until(lambda: "celery@" in known.get("/tasks")[1], "the worker was asked for its tasks", 60)
            yield found
        finally:
            for site in found.values():
                site.close()
            web.terminate()
            web.wait(timeout=30)


def answers(site: Site) -> bool:
    try:
        return site.get("/health")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def forms(sites: dict[str, Site]) -> dict[tuple[str, str], Page]:
    """The pages with the forms of all tasks by site and task."""
    return {(name, task): site.form(task) for name, site in sites.items() for task in TASKS}


@pytest.fixture(scope="module")
def runs(sites: dict[str, Site]) -> Sent:
    """What came back for each case; all are sent before any run is waited for."""
    return {(name, n): site.send(case.name, case.typed) for name, site in sites.items() for n, case in enumerate(CASES)}


def errors_in(text: str) -> dict[str, str]:
    """Return the messages beside the fields of a page by the paths of these."""
    return {name.removeprefix("error-"): said for name, said in Page(text).texts.items() if name.startswith("error-")}


def identify(case: Case) -> str:
    return f"{case.name.rpartition('.')[2]}-{'-'.join(case.typed.values())}"[:40]


def path_of(name: str) -> str:
    return name if name.startswith("s.") else f"p.{name}"


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_usable_form(forms: dict[tuple[str, str], Page], name: str, task: str) -> None:
    page = forms[name, task]
    fields = [control for control in page.controls if control.startswith("p.")]
    typed = {path_of(path) for case in CASES if case.name == task for path in (*case.typed, *(case.wrong or ()))}
    assert typed - page.controls.keys() == set()
    assert page.controls["mode"]["value"] == "fields"
    assert all(len(page.labels[f"field-{path}"].split()) > 1 for path in fields)


def test_both_sites_show_the_same_form(forms: dict[tuple[str, str], Page]) -> None:
    for task in TASKS:
        one, other = (forms[name, task] for name in SITES)
        assert list(one.labels.items()) == list(other.labels.items())


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: identify(CASES[number]))
def test_what_was_typed_arrives(known: Stack, runs: Sent, name: str, number: int) -> None:
    case = CASES[number]
    status, task_id, text = runs[name, number]
    assert status == 303, errors_in(text)
    wanted = {} if case.state == "ANY" else {"state": case.state}
    row = known.row_once(task_id, outcome_exact=1, timeout=10, **wanted)
    if case.state == "SUCCESS":
        assert json.loads(row["result"]) == {path: repr(value) for path, value in case.arrives.items()}


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("case", [case for case in CASES if case.wrong is not None], ids=identify)
def test_a_wrong_value_gets_a_message_beside_its_field(sites: dict[str, Site], name: str, case: Case) -> None:
    assert case.wrong is not None
    status, _, text = sites[name].send(case.name, case.wrong)
    assert status == 422
    where = path_of(case.where or next(iter(case.wrong)))
    assert case.message in errors_in(text)[where]
    assert Page(text).controls[where].get("aria-invalid") == "true"


def test_every_call_is_shown_in_all_ways_and_comes_back(sites: dict[str, Site], runs: Sent) -> None:
    for number, case in enumerate(CASES):
        name = SITES[number % 2]
        _, task_id, _ = runs[name, number]
        pages = [sites[name].get(f"/runs/{task_id}"), sites[name].get(f"/task?name={quote(case.name)}&from={task_id}")]
        pages += [sites[name].send(case.name, case.typed, show=("raw", "call")[number // 2 % 2])[::2]]
        for status, text in pages:
            assert (status, re.findall(r'data-tone="bad" role="alert".*', text)) == (200, []), case.name


@pytest.mark.parametrize("number", range(len(TASKS)), ids=lambda number: list(TASKS)[number].rpartition(".")[2])
def test_nothing_hostile_makes_an_error_of_the_site(
    sites: dict[str, Site], forms: dict[tuple[str, str], Page], number: int
) -> None:
    task, site = list(TASKS)[number], sites[SITES[number % 2]]
    paths = [path for path in forms["told", task].controls if path.startswith("p.")]
    for turn in range(TURNS):
        # Each field gets another text, and the fields of the next task get the next texts.
        typed = {path: HOSTILE[(number * TURNS + turn + n) % len(HOSTILE)] for n, path in enumerate(paths)}
        assert site.send(task, typed)[0] in (303, 422)
    many = [("p.unknown", "1"), ("s.unknown", "none"), *((path, text) for path in paths for text in ("1", "2"))]
    assert site.send(task, many)[0] == 422
    for path in paths[:1]:
        assert site.send(task, {path: "[" * 100_000})[0] in (303, 422)
        status, _, text = site.send(task, {path: "x" * 1_000_000})
        assert (status, "What was typed is too long" in text) == (422, True)


def test_every_run_has_ended_and_no_worker_was_lost(known: Stack, runs: Sent) -> None:
    live = "SELECT name, state FROM vase_task_runs WHERE state NOT IN ('SUCCESS', 'FAILURE') OR outcome_exact <> 1"
    wait_until(lambda: not known.query(live), "every run has ended")
    assert "WorkerLostError" not in known.log("worker")
    assert known.parts["worker"].poll() is None
    assert "Traceback" not in known.log("web") + known.log("told") + known.log("recorder")
