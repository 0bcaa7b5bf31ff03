"""Whatever anybody publishes on the broker, the recorder goes on and records what came before and after it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.events.event import get_exchange
from kombu import Connection, Producer

from tests.support import Stack, wait_until

DEEP = b"[" * 5000 + b"]" * 5000
HUGE = int("9" * 400)
JSON = {"content_type": "application/json", "content_encoding": "utf-8"}


@pytest.fixture(scope="module")
def _listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("listening"))
    try:
        stack.migrate()
        stack.start("redis")
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture
def listening(_listening: Stack) -> Iterator[Stack]:
    """A Redis and a recorder; one that an earlier test has killed is started again."""
    if "recorder" not in _listening.parts:
        _listening.start("recorder")
    _listening.revive("recorder")
    yield _listening
    with redis.Redis.from_url(_listening.broker_url) as client:
        client.delete("nothing", *client.keys("celery-task-meta-*"))


def publish(stack: Stack, body: Any, **options: Any) -> None:
    """Publish anything at all as an event."""
    with Connection(stack.broker_url) as connection, connection.channel() as channel:
        exchange = get_exchange(connection)
        Producer(channel, exchange).publish(body, routing_key="task.anything", declare=[exchange], **options)


def new_id() -> str:
    return str(uuid.uuid4())


def event(kind: str, task_id: Any, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "uuid": task_id, "timestamp": 1000.0, "clock": 1, "hostname": "w@h", **fields}


def assert_recorded(stack: Stack, *uuids: str) -> None:
    """Expect rows for these task ids, and a recorder that goes on."""

    def are_known() -> bool:
        assert_goes_on(stack)
        if all(map(stack.row, uuids)):
            return True
        # What came in one packet with something senseless is read with what comes next, and workers say something
        # every two seconds.
        publish(stack, {"type": "nothing"})
        return False

    wait_until(are_known, f"{uuids} are recorded", 30)


def assert_goes_on(stack: Stack) -> None:
    ended = stack.parts["recorder"].poll() is not None
    assert not ended, f"the recorder has ended:\n{stack.log('recorder')[-1500:]}"


def assert_harmless(stack: Stack, body: Any, **options: Any) -> None:
    """Publish a good event, the given thing and another good event, and expect both good ones to be recorded."""
    before, after = new_id(), new_id()
    publish(stack, event("task-received", before))
    publish(stack, body, **options)
    publish(stack, event("task-received", after))
    assert_recorded(stack, before, after)


def shown(value: Any) -> str:
    """Name a test by the beginning of its value."""
    return repr(value)[:40]


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": HUGE},
        {"timestamp": -HUGE},
        {"timestamp": float("nan")},
        {"timestamp": float("inf")},
        {"timestamp": True},
        {"timestamp": "now"},
        {"clock": HUGE},
        {"clock": 2**70},
        {"clock": -1},
        {"retries": HUGE},
        {"retries": 2**40},
        {"hostname": None},
        {"hostname": {"a": ["b"]}},
        {"hostname": "\x00" * 300},
        {"name": "\ud800" * 300},
        {"name": 17},
        {"args": ["not", {"a": "text"}]},
        {"args": "x" * 1_000_000},
        {"eta": HUGE},
        {"expires": "\x00" * 100},
        {"queue": "q" * 1000},
        {"root_id": []},
    ],
    ids=shown,
)
def test_an_event_with_a_senseless_field_loses_nothing_around_it(listening: Stack, fields: dict[str, Any]) -> None:
    assert_harmless(listening, event("task-received", new_id()) | fields)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("task-succeeded", {"runtime": HUGE}),
        ("task-succeeded", {"runtime": "long"}),
        ("task-succeeded", {"result": "\x00\ud800" * 1000}),
        ("task-succeeded", {"result": {"a": 1}}),
        ("task-failed", {"exception": 7, "traceback": ["x"]}),
        ("task-retried", {"exception": "\ud800" * 1000}),
        ("task-revoked", {"terminated": {}, "signum": HUGE}),
    ],
    ids=shown,
)
def test_an_end_with_a_senseless_field_loses_nothing_around_it(
    listening: Stack, kind: str, fields: dict[str, Any]
) -> None:
    assert_harmless(listening, event(kind, new_id()) | fields)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("worker-online", {"hostname": None}),
        ("worker-online", {"hostname": "\x00\ud800" * 200}),
        ("worker-online", {"pid": HUGE, "timestamp": HUGE}),
        ("worker-online", {"timestamp": float("nan")}),
        ("worker-heartbeat", {"pid": "x", "freq": HUGE}),
        ("worker-heartbeat", {"freq": float("nan")}),
        ("worker-offline", {"hostname": ["w"], "pid": None}),
    ],
    ids=shown,
)
def test_a_senseless_sign_of_a_worker_loses_nothing_around_it(
    listening: Stack, kind: str, fields: dict[str, Any]
) -> None:
    assert_harmless(listening, event(kind, None, pid=1, freq=2.0, hostname="strange@h") | fields)


@pytest.mark.parametrize(
    "body", [{}, [], [[]], "text", 7, None, {"type": ["task-received"]}, [{"type": "task-received"}, 3]], ids=shown
)
def test_json_that_is_no_event_loses_nothing_around_it(listening: Stack, body: Any) -> None:
    assert_harmless(listening, body)


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (b"{", JSON),
        (b"\xff\xfe\x00", JSON),
        (b'"' + b"9" * 5000 + b'"', {"content_type": "application/json", "content_encoding": "klingon"}),
        (b"9" * 5000, JSON),
        (DEEP, JSON),
        (b'{"__type__": "datetime", "__value__": 1}', JSON),
        (
            b"cos\nsystem\n(S'true'\ntR.",
            {"content_type": "application/x-python-serialize", "content_encoding": "binary"},
        ),
        (b"- yaml", {"content_type": "application/x-yaml", "content_encoding": "utf-8"}),
        (b"plain", {"content_type": "text/plain", "content_encoding": "utf-8"}),
        (b"what", {"content_type": "application/x-unheard-of", "content_encoding": "binary"}),
    ],
    ids=[
        "cut",
        "no-utf-8",
        "no-such-encoding",
        "5000-digits",
        "deep",
        "kombu-type",
        "pickle",
        "yaml",
        "text",
        "unknown",
    ],
)
def test_what_cannot_be_read_loses_nothing_around_it(listening: Stack, body: bytes, options: dict[str, str]) -> None:
    assert_harmless(listening, body, **options)


@pytest.mark.parametrize(
    "raw", [b"", b"garbage", b"[]", b"{}", b"7", b'{"body": 1}', b'{"properties": {}}', b"\xff"], ids=shown
)
def test_bytes_that_are_no_message_lose_nothing_around_them(listening: Stack, raw: bytes) -> None:
    with redis.Redis.from_url(listening.broker_url) as client:
        assert client.publish("/0.celeryev/task.received", raw) == 1
    after = new_id()
    publish(listening, event("task-received", after))
    assert_recorded(listening, after)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{",
        b"[]",
        b'"SUCCESS"',
        b"\xff\xfe",
        DEEP,
        b'{"status": null}',
        b'{"status": "SUCCESS"}',
        b'{"status": "SUCCESS", "result": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"status": "SUCCESS", "result": ' + b"9" * 4000 + b"}",
        b'{"status": "SUCCESS", "result": NaN}',
        b'{"status": "SUCCESS", "date_done": "9999-12-31T23:59:59-23:59"}',
        b'{"status": "SUCCESS", "date_done": 7, "worker": {"a": 1}, "name": "\\u0000", "queue": "\\ud800"}',
        b'{"status": "FAILURE", "result": {"exc_type": ["x"], "exc_message": {"a": "\\ud800"}}, "traceback": 9}',
        b'{"status": "PROGRESS", "result": {"current": ' + b"9" * 400 + b', "total": 1}}',
        b'{"status": "PROGRESS", "result": {"current": NaN, "total": 1}}',
        b'{"status": "\\u0000\\ud800<script>", "result": 1}',
    ],
    ids=shown,
)
def test_a_senseless_stored_result_loses_nothing_beside_it(listening: Stack, stored: bytes) -> None:
    """The ends of two runs are read from the result backend in one batch, and only one of them makes sense."""
    good, bad = new_id(), new_id()
    with redis.Redis.from_url(listening.broker_url) as client:
        client.set(f"celery-task-meta-{good}", '{"status": "SUCCESS", "result": "whole"}')
        client.set(f"celery-task-meta-{bad}", stored)
    for task_id in (bad, good):
        publish(listening, event("task-succeeded", task_id, result="'abridged'"))

    def is_whole() -> bool:
        assert_goes_on(listening)
        return listening.row(good).get("result") == '"whole"'

    wait_until(is_whole, "the neighbour's whole result is recorded", 30)


def test_senseless_progress_of_one_run_does_not_hide_the_progress_of_others(listening: Stack) -> None:
    progress = '{"status": "PROGRESS", "result": {"current": %s, "total": 4}}'
    with redis.Redis.from_url(listening.broker_url) as client:
        client.set("celery-task-meta-senseless", progress % ("9" * 400))
        client.set("celery-task-meta-sensible", progress % 3)
        for task_id in ("senseless", "sensible"):
            publish(listening, event("task-started", task_id))
        listening.row_once("sensible", progress_current=3.0, timeout=30)


def test_a_stored_result_is_never_rebuilt_as_an_object(listening: Stack) -> None:
    stored = {"status": "FAILURE", "result": {"exc_type": "Popen", "exc_module": "subprocess", "exc_message": ["true"]}}
    with redis.Redis.from_url(listening.broker_url) as client:
        client.set("celery-task-meta-named", json.dumps(stored))
    publish(listening, event("task-failed", "named"))
    assert listening.row_once("named", outcome_exact=1)["exception"] == "Popen('true')"


def test_a_key_that_is_no_string_in_the_place_of_a_result_loses_nothing(listening: Stack) -> None:
    with redis.Redis.from_url(listening.broker_url) as client:
        client.rpush("celery-task-meta-listed", "not", "a", "string")
        client.set("celery-task-meta-beside", '{"status": "SUCCESS", "result": 1}')
    for task_id in ("listed", "beside"):
        publish(listening, event("task-succeeded", task_id))
    listening.row_once("beside", outcome_exact=1, timeout=30)


def test_a_celery_client_without_any_setting_is_heard(listening: Stack) -> None:
    """What other tests here publish by hand is what Celery's own dispatcher publishes."""
    celery = Celery("client", broker=listening.broker_url, set_as_current=False)
    with celery.connection_for_write() as connection, celery.events.Dispatcher(connection) as dispatcher:
        dispatcher.send("task-received", uuid="by-celery", name="n")
    celery.close()
    listening.row_once("by-celery", name="n")
