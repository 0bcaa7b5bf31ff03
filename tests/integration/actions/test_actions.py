"""Start, cancel, terminate, retry and bulk with real workers: killed, absent and offline ones too."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.parse
import urllib.request

from celery import Celery
from redis import Redis

from tests.support import Stack, wait_until

DIVIDE = "webapp.tasks.divide"


def post(stack: Stack, path: str, **fields: str) -> tuple[str, str]:
    """Send a form as a browser without JavaScript does; return the address and the text of the page that follows."""
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(stack.url + path, body, timeout=20) as answer:
        return answer.url, answer.read().decode()


def start(stack: Stack, name: str = DIVIDE, **fields: str) -> str:
    """Start a run from the form of a task; return its task id."""
    values = {"p.x": "1", "p.y": "2"} if not fields or all(key.startswith("o.") for key in fields) else {}
    url, _ = post(stack, "/task", name=name, mode="fields", **values, **fields)
    return url.rpartition("/")[2]


def page(stack: Stack, task_id: str) -> str:
    return stack.get(f"/runs/{task_id}")[1]


def test_a_typed_form_runs_a_task(stack: Stack) -> None:
    task_id = start(stack)
    assert stack.row_once(task_id, state="SUCCESS", outcome_exact=1)["result"] == "0.5"


def test_the_catalogue_names_the_workers_that_know_a_task(stack: Stack) -> None:
    wait_until(lambda: "celery@" in stack.get("/tasks")[1], "the workers were asked", 60)


def test_a_run_that_waits_for_its_time_is_cancelled_in_three_steps(stack: Stack) -> None:
    task_id = start(stack, **{"o.countdown": "1 h"})
    stack.row_once(task_id, state="RECEIVED")
    post(stack, "/cancel", task_id=task_id, reason="not needed")
    stack.row_once(task_id, state="REVOKED")
    wait_until(lambda: "Acknowledged" in page(stack, task_id), "a worker has answered")
    shown = page(stack, task_id)
    assert [step in shown for step in ("Cancel requested", "by celery@", "Ended")] == [True, True, True]


def test_a_run_cancelled_while_no_worker_is_there_never_runs(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("web")
    task_id = start(own_stack)
    own_stack.row_once(task_id, publish_state="sent")
    post(own_stack, "/cancel", task_id=task_id)
    own_stack.start("recorder")
    own_stack.row_once(task_id, state="REVOKED")
    broker = Redis(port=own_stack.redis_port)
    wait_until(lambda: not broker.exists("vase.cancelled"), "nothing is left to tell workers")
    shown = page(own_stack, task_id)
    assert [step in shown for step in ("Cancel requested", "Taken back", "Ended")] == [True, True, True]
    # Whoever waits for its result hears of it as Celery would tell it.
    client = Celery("client", broker=own_stack.broker_url, backend=own_stack.broker_url, set_as_current=False)
    assert client.AsyncResult(task_id).state == "REVOKED"
    client.close()
    own_stack.start("worker")
    after = start(own_stack)
    own_stack.row_once(after, state="SUCCESS")
    row = own_stack.row(task_id)
    assert (row["state"], row["received_at"], row["result"]) == ("REVOKED", None, None)


def test_a_cancelled_run_whose_message_is_nowhere_any_more_ends(own_stack: Stack) -> None:
    """Its result says that it was revoked, but no worker was heard to drop it; ten minutes later its queue is empty."""
    own_stack.start("redis")
    own_stack.start("web")
    task_id = start(own_stack)
    post(own_stack, "/cancel", task_id=task_id)
    with own_stack.database() as database:
        database.execute("UPDATE vase_cancels SET requested_at = requested_at - 700")
        database.execute("UPDATE vase_task_runs SET state = 'REVOKED', phase = 3")
    Redis(port=own_stack.redis_port).flushall()
    own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT ended_at FROM vase_cancels")[0][0], "the cancel has ended")
    assert "The run did not happen." in page(own_stack, task_id)


def test_a_run_that_a_worker_took_with_it_is_dropped_by_the_next_one(own_stack: Stack) -> None:
    """The worker that had it is killed, so its message comes back to a worker that was not told."""
    own_stack.environ["DIVIDE_SECONDS"] = "0"
    own_stack.start("redis")
    own_stack.start("recorder", "web", "worker")
    task_id = start(own_stack, **{"o.countdown": "25 s"})
    own_stack.row_once(task_id, state="RECEIVED")
    own_stack.stop("worker", number=signal.SIGKILL)
    post(own_stack, "/cancel", task_id=task_id)
    own_stack.start("worker")
    own_stack.row_once(task_id, state="REVOKED", timeout=60)
    row = own_stack.row(task_id)
    assert (row["started_at"], row["result"]) == (None, None)


def test_a_run_that_goes_on_is_terminated(own_stack: Stack) -> None:
    own_stack.environ["DIVIDE_SECONDS"] = "60"
    own_stack.start("redis")
    own_stack.start("recorder", "web", "worker")
    task_id = start(own_stack)
    own_stack.row_once(task_id, state="STARTED")
    wait_until(lambda: "Terminate this run" in page(own_stack, task_id), "the worker's pool is known", 60)
    post(own_stack, "/cancel", task_id=task_id, terminate="1")
    own_stack.row_once(task_id, state="REVOKED")


def test_a_bulk_retry_goes_on_where_a_killed_recorder_left_it(own_stack: Stack) -> None:
    own_stack.environ["DIVIDE_SECONDS"] = "0"
    own_stack.start("redis")
    own_stack.start("web", "recorder", "worker")
    firsts = [start(own_stack) for _ in range(60)]
    for task_id in firsts:
        own_stack.row_once(task_id, state="SUCCESS")
    post(own_stack, "/bulk", kind="retry", all="1", state="success", rate="40")
    for count in (8, 24, 40):
        wait_until(lambda count=count: retried(own_stack) >= count, f"{count} were run again")
        own_stack.stop("recorder", number=signal.SIGKILL)
        own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT state FROM vase_bulk_actions")[0][0] == "done", "the action is done", 60)
    sources = [row[0] for row in own_stack.query("SELECT retry_of FROM vase_task_runs WHERE retry_of IS NOT NULL")]
    assert sorted(sources) == sorted(firsts)
    wait_until(
        lambda: own_stack.query("SELECT count(*) FROM vase_task_runs WHERE state = 'SUCCESS'")[0][0] == 120,
        "all ran",
        60,
    )


def retried(stack: Stack) -> int:
    return int(stack.query("SELECT count(*) FROM vase_task_runs WHERE retry_of IS NOT NULL")[0][0])


def test_a_workflow_shows_as_a_tree_with_a_timeline(stack: Stack) -> None:
    task_id = _chain(stack)
    stack.row_once(task_id, state="SUCCESS")
    shown = page(stack, task_id)
    assert "Workflow of 2 runs" in shown
    assert len(re.findall(r'<rect class="ran"', shown)) == 2


def _chain(stack: Stack) -> str:
    """Start a chain by an ordinary Celery client; return the task id of its last part."""
    from celery import Celery, chain, signature

    client = Celery("client", broker=stack.broker_url, backend=stack.broker_url)
    first = signature(DIVIDE, (8, 2), app=client)
    second = signature(DIVIDE, (2,), app=client)
    return str(chain(first, second, app=client).apply_async(queue="vase").id)


def test_commands_list_cancel_and_retry(stack: Stack) -> None:
    task_id = start(stack)
    stack.row_once(task_id, state="SUCCESS")
    lines = stack.run("flask", "--app", "app", "runs", "--state", "success", "--since", "2h", "--json").stdout
    assert task_id in [json.loads(line)["task_id"] for line in lines.splitlines()]
    again = stack.run("flask", "--app", "app", "retry", task_id).stdout.strip()
    assert stack.row_once(again, state="SUCCESS")["retry_of"] == task_id
    late = start(stack, **{"o.countdown": "1 h"})
    assert "Requested" in stack.run("flask", "--app", "app", "cancel", late, "--reason", "later").stdout
    stack.row_once(late, state="REVOKED")
    assert DIVIDE in stack.run("flask", "--app", "app", "tasks").stdout
    command = ("run-task", "divide", "--arg", "x=1", "--arg", "y=4", "--wait")
    assert "0.25" in stack.run("flask", "--app", "app", *command).stdout


def test_a_bulk_cancel_reaches_runs_that_wait(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("web", "recorder", "worker")
    waiting = [start(own_stack, **{"o.countdown": "1 h"}) for _ in range(20)]
    for task_id in waiting:
        own_stack.row_once(task_id, state="RECEIVED")
    post(own_stack, "/bulk", kind="cancel", all="1", state="live", reason="all of them")
    began = time.monotonic()
    for task_id in waiting:
        own_stack.row_once(task_id, state="REVOKED")
    assert time.monotonic() - began < 60
