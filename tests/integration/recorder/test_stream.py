"""Events wait in the stream for a recorder that is away, and are heard once though they also go by pub/sub."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime

import redis

from tests.support import Stack, wait_until
from webapp.broker.redis_keys import DROPPED, STREAM
from webapp.recorder.consumer_group import TAKEOVER_IDLE
from webapp.worker.events import FIELD, MARK


def client(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.broker_url)


def reading_group(stack: Stack) -> str:
    """Return the name of the recorder's group, once the recorder has made it and reads."""
    wait_until(lambda: stack.query("SELECT streamed FROM vase_changes") in ([(1,)], [(True,)]), "the stream is read")
    return f"site-{stack.query('SELECT site FROM vase_changes')[0][0]}"


def divide(stack: Stack, x: int, y: int) -> str:
    return stack.run("flask", "--app", "app", "run-task", "divide", str(x), str(y)).stdout.strip()


def test_what_happened_while_no_recorder_ran_is_recorded_from_the_stream(own_stack: Stack) -> None:
    """The results are gone, so that only the stream can tell."""
    own_stack.start("redis", "worker")
    task_id = divide(own_stack, 1, 4)
    wait_until(lambda: "succeeded in" in own_stack.log("worker"), "it has run unseen")
    client(own_stack).delete(f"celery-task-meta-{task_id}")
    own_stack.start("recorder")
    row = own_stack.row_once(task_id, state="SUCCESS")
    assert (row["result"], row["outcome_exact"]) == ("0.25", 0)
    assert row["started_at"] is not None


def test_what_a_killed_recorder_had_read_is_taken_over(own_stack: Stack) -> None:
    own_stack.start("redis", "recorder")
    group = reading_group(own_stack)
    own_stack.stop("recorder", number=signal.SIGKILL)
    broker = client(own_stack)
    event = {"type": "task-succeeded", "uuid": "half-read", "timestamp": time.time(), "hostname": "w@h", "result": "7"}
    broker.xadd(STREAM, {FIELD: json.dumps([event])})
    assert broker.xreadgroup(group, "the one that died", {STREAM: ">"})
    own_stack.start("recorder")
    own_stack.row_once("half-read", state="SUCCESS", timeout=TAKEOVER_IDLE * 4)


def test_an_event_in_the_stream_reaches_flower_and_not_the_recorder_by_pub_sub(own_stack: Stack) -> None:
    own_stack.start("redis", "worker")
    subscriber = client(own_stack).pubsub()
    subscriber.psubscribe("*")
    divide(own_stack, 1, 2)
    heard: list[bytes] = []

    def ended() -> bool:
        message = subscriber.get_message(timeout=0.1)
        if message and b".celeryev/task." in message["channel"]:
            heard.append(message["channel"])
        return len(heard) >= 2

    wait_until(ended, "the run's events were published")
    assert all(channel.endswith(MARK.encode()) for channel in heard)


def test_what_has_been_recorded_leaves_the_stream(own_stack: Stack) -> None:
    own_stack.start("redis", "worker", "recorder")
    for number in range(3):
        own_stack.row_once(divide(own_stack, number, 1), state="SUCCESS")
    wait_until(lambda: client(own_stack).xlen(STREAM) <= 100, "the stream is short again")


def test_a_worker_of_ours_is_shown_as_recorded_durably(stack: Stack) -> None:
    wait_until(lambda: "durably, by the stream" in stack.get("/recording")[1], "the page says so")


def test_beyond_the_cap_the_gap_is_shown(own_stack: Stack) -> None:
    own_stack.environ["STREAM_MAX_MESSAGES"] = "200"
    own_stack.start("redis", "worker", "recorder", "web")
    own_stack.stop("recorder", number=signal.SIGKILL)
    script = "from webapp.tasks import divide\nwith celery.events.default_dispatcher() as sender:\n"
    script += " for n in range(900): sender.send('task-sent', uuid=str(n), name='t', args='', kwargs='')\n\n"
    own_stack.run("flask", "--app", "app", "shell", input=script)
    assert int(client(own_stack).get(DROPPED) or 0) > 500
    own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT messages FROM vase_gaps WHERE messages > 500"), "the gap is noted")
    assert "Events of some times are missing" in own_stack.get("/")[1]
    assert "because no recorder read it" in own_stack.get("/recording")[1]


def test_an_emptied_redis_is_recorded_from_again(own_stack: Stack) -> None:
    own_stack.start("redis", "worker", "recorder")
    own_stack.row_once(divide(own_stack, 1, 2), state="SUCCESS")
    client(own_stack).flushall()
    own_stack.row_once(divide(own_stack, 3, 2), state="SUCCESS")
    wait_until(lambda: own_stack.query("SELECT why FROM vase_gaps"), "it is noted that events may be missing")


def test_messages_in_the_stream_that_make_no_sense_are_passed_over(own_stack: Stack) -> None:
    own_stack.start("redis", "recorder")
    broker = client(own_stack)
    for value in ("{", "[1, null, []]", '"text"', "[" * 5000, '{"type": "task-succeeded"}'):
        broker.xadd(STREAM, {FIELD: value})
    broker.xadd(STREAM, {"other": "field"})
    good = {"type": "task-succeeded", "uuid": "good", "timestamp": time.time(), "hostname": "w@h", "result": "7"}
    broker.xadd(STREAM, {FIELD: json.dumps(good)})
    own_stack.row_once("good", state="SUCCESS")


def test_a_run_that_was_sent_and_is_nowhere_becomes_uncertain(own_stack: Stack) -> None:
    own_stack.environ["DOUBT_SECONDS"] = "6"
    own_stack.start("redis", "recorder", "web")
    task_id = divide(own_stack, 1, 2)
    assert own_stack.row(task_id)["publish_state"] == "sent"
    client(own_stack).delete("vase")
    row = own_stack.row_once(task_id, state="UNCERTAIN", timeout=90)
    assert "it is not in vase" in row["doubt"]
    assert "Uncertain" in own_stack.get(f"/runs/{task_id}")[1]


def test_a_run_that_waits_in_its_queue_stays_pending(own_stack: Stack) -> None:
    own_stack.environ["DOUBT_SECONDS"] = "3"
    own_stack.start("redis", "recorder")
    task_id = divide(own_stack, 1, 2)
    time.sleep(15)
    assert own_stack.row(task_id)["state"] == "PENDING"


def test_a_stream_that_is_full_of_what_was_read_long_ago_is_no_gap(own_stack: Stack) -> None:
    """The group of another site, whose recorder is away, keeps everything until the stream is full."""
    own_stack.environ["STREAM_MAX_MESSAGES"] = "200"
    own_stack.start("redis")
    broker = client(own_stack)
    broker.xgroup_create(STREAM, "site-of-others", id="0", mkstream=True)
    broker.set("vase.events:life:site-of-others", 1)
    own_stack.start("recorder")
    script = "from webapp.tasks import divide\nwith celery.events.default_dispatcher() as sender:\n"
    script += " for n in range(900):\n"
    script += "  sender.send('task-sent', uuid=str(n), name='t', args='', kwargs='')\n  time.sleep(0.002)\n\n"
    own_stack.run("flask", "--app", "app", "shell", input=f"import time\n{script}")
    assert int(broker.get(DROPPED) or 0) > 500
    wait_until(lambda: own_stack.query("SELECT count(*) FROM vase_task_runs") == [(900,)], "all is recorded")
    # The stream is tidied every two seconds; what was dropped has been looked at then.
    group = reading_group(own_stack)
    wait_until(lambda: broker.get(f"{DROPPED}:{group}") == broker.get(DROPPED), "it has been tidied")
    assert own_stack.query("SELECT * FROM vase_gaps") == []


def test_the_group_of_a_site_that_is_no_more_is_ended(own_stack: Stack) -> None:
    own_stack.start("redis")
    broker = client(own_stack)
    broker.xgroup_create(STREAM, "site-of-yesterday", id="0", mkstream=True)
    own_stack.start("recorder")
    wait_until(lambda: [group["name"] for group in broker.xinfo_groups(STREAM)] != [b"site-of-yesterday"], "ours came")
    wait_until(lambda: len(broker.xinfo_groups(STREAM)) == 1, "the other has gone")


def test_what_was_dropped_after_a_dead_recorder_read_it_is_a_gap_and_does_not_stop_the_next(own_stack: Stack) -> None:
    own_stack.start("redis", "recorder")
    group = reading_group(own_stack)
    own_stack.stop("recorder", number=signal.SIGKILL)
    broker = client(own_stack)
    first = {"type": "task-succeeded", "uuid": "gone", "timestamp": time.time(), "hostname": "w@h", "result": "7"}
    number = broker.xadd(STREAM, {FIELD: json.dumps(first)})
    assert broker.xreadgroup(group, "the one that died", {STREAM: ">"})
    broker.xdel(STREAM, number)
    broker.xadd(STREAM, {FIELD: json.dumps(first | {"uuid": "next"})})
    own_stack.start("recorder")
    own_stack.row_once("next", state="SUCCESS")
    wait_until(
        lambda: own_stack.query("SELECT messages FROM vase_gaps") == [(1,)], "the gap is noted", TAKEOVER_IDLE * 4
    )
    wait_until(lambda: broker.xpending(STREAM, group)["pending"] == 0, "nothing is left unacknowledged")


def test_a_redis_that_was_emptied_while_no_recorder_ran_is_a_gap(own_stack: Stack) -> None:
    own_stack.start("redis", "recorder")
    reading_group(own_stack)
    own_stack.stop("recorder")
    client(own_stack).flushall()
    own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT why FROM vase_gaps"), "it is noted that events may be missing")


def test_a_stored_live_state_does_not_take_a_doubt_back(own_stack: Stack) -> None:
    own_stack.environ["DOUBT_SECONDS"] = "6"
    own_stack.start("redis", "recorder")
    broker = client(own_stack)
    started = {"type": "task-started", "uuid": "lost", "timestamp": time.time() - 60, "hostname": "gone@host"}
    broker.xadd(STREAM, {FIELD: json.dumps(started)})
    stored = {"status": "STARTED", "result": None, "task_id": "lost", "date_done": None}
    broker.set("celery-task-meta-lost", json.dumps(stored))
    own_stack.row_once("lost", state="UNCERTAIN", timeout=90)
    changed = own_stack.row("lost")["changed"]
    own_stack.stop("recorder")
    # A recorder that starts walks through all stored results.
    broker.set("celery-task-meta-last", json.dumps({"status": "SUCCESS", "result": 1, "task_id": "last"}))
    own_stack.start("recorder")
    own_stack.row_once("last", state="SUCCESS")
    assert (own_stack.row("lost")["state"], own_stack.row("lost")["changed"]) == ("UNCERTAIN", changed)


def test_what_was_pruned_does_not_come_back_from_the_results(own_stack: Stack) -> None:
    own_stack.environ["RETENTION_DAYS"] = "success=0.5"
    own_stack.start("redis")
    broker = client(own_stack)
    for task_id, hours in (("old", 20), ("young", 1)):
        done = datetime.fromtimestamp(time.time() - hours * 3600, UTC).isoformat()
        stored = {"status": "SUCCESS", "result": 1, "task_id": task_id, "date_done": done}
        broker.set(f"celery-task-meta-{task_id}", json.dumps(stored))
    own_stack.start("recorder")
    own_stack.row_once("young", state="SUCCESS")
    assert own_stack.row("old") == {}


def test_a_run_that_ended_before_its_sender_could_note_that_it_was_sent_is_not_sent_again(own_stack: Stack) -> None:
    own_stack.start("redis")
    task_id = divide(own_stack, 1, 2)
    broker = client(own_stack)
    broker.delete("vase")
    done = {"status": "SUCCESS", "result": 0.5, "task_id": task_id}
    broker.set(f"celery-task-meta-{task_id}", json.dumps(done))
    with own_stack.database() as database:
        database.execute(
            "UPDATE vase_task_runs SET publish_state = 'sending', publish_due_at = 1, publish_owner = 'gone'"
        )
    own_stack.start("recorder")
    own_stack.row_once(task_id, state="SUCCESS", publish_state="sent")
    assert broker.llen("vase") == 0


def test_a_message_that_no_broker_would_take_holds_up_no_other(own_stack: Stack) -> None:
    own_stack.environ["CELERY_TASK_CREATE_MISSING_QUEUES"] = "false"
    own_stack.start("redis")
    good = divide(own_stack, 1, 2)
    said = own_stack.run("flask", "--app", "app", "run-task", "divide", "3", "4", "--queue", "nosuch", "--wait")
    assert said.returncode == 1
    assert "cannot be sent" in said.stderr
    bad = said.stdout.split()[0]
    assert own_stack.row(bad)["publish_state"] == "dead"
    client(own_stack).delete("vase")
    with own_stack.database() as database:
        database.execute("UPDATE vase_task_runs SET publish_state = 'held', publish_due_at = 1, publish_attempts = 1")
    own_stack.start("recorder")
    own_stack.row_once(bad, publish_state="dead")
    own_stack.row_once(good, publish_state="sent")
