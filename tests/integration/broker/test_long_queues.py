"""Messages are found in queues of any length and name, and taken out of them in order, beside workers and clients."""

from __future__ import annotations

import json
import threading
import uuid
from base64 import b64encode
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from tests.support import Stack
from webapp.broker import redis as queues
from webapp.broker import withdrawal
from webapp.broker.redis import UNACKED, Memory, waiting
from webapp.broker.withdrawal import EXPIRED, withdraw

# About brokers and workers; which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A Redis of one's own."""
    stack = Stack(tmp_path_factory.mktemp("queues"))
    stack.start("redis")
    with redis.Redis(port=stack.redis_port) as client:
        yield client
    stack.stop_all()


@pytest.fixture(autouse=True)
def _empty(broker: redis.Redis) -> None:
    broker.flushall()


def app_at(broker: redis.Redis, **options: object) -> Celery:
    port = broker.get_connection_kwargs()["port"]
    celery = Celery("client", broker=f"redis://127.0.0.1:{port}/0", set_as_current=False)
    celery.conf.broker_transport_options = options
    return celery


def message(task_id: str, chord: object = None) -> bytes:
    """Return a message as kombu writes it."""
    body = b64encode(json.dumps([[1, 2], {}, {"chord": chord}]).encode()).decode()
    headers = {"lang": "py", "task": "shop.pay", "id": task_id, "expires": None}
    properties = {"correlation_id": task_id, "delivery_tag": str(uuid.uuid4())}
    return json.dumps({"body": body, "headers": headers, "properties": properties}).encode()


def fill(broker: redis.Redis, key: str, count: int) -> list[str]:
    """Send messages to a list and return their task ids in the order in which workers take them."""
    names = [f"{key}-{number}" for number in range(count)]
    for start in range(0, count, 5000):
        broker.lpush(key, *(message(name) for name in names[start : start + 5000]))
    return names


def names_in(broker: redis.Redis, key: str) -> list[str]:
    return [json.loads(text)["headers"]["id"] for text in reversed(broker.lrange(key, 0, -1))]


def test_every_other_of_many_messages_is_taken_out_and_the_order_of_the_others_is_kept(broker: redis.Redis) -> None:
    names = fill(broker, "celery", 60_000)
    done = withdraw(app_at(broker), ["celery"], names[::2])
    assert (done.taken, done.unread) == (set(names[::2]), {})
    assert names_in(broker, "celery") == names[1::2]


def test_nothing_is_lost_beside_workers_that_take_and_clients_that_send(broker: redis.Redis) -> None:
    names = fill(broker, "celery", 20_000)
    more = [f"more-{number}" for number in range(3000)]
    took: list[str] = []
    stop = threading.Event()

    def send() -> None:
        with redis.Redis(port=broker.get_connection_kwargs()["port"]) as client:
            for name in more:
                client.lpush("celery", message(name))

    def work() -> None:
        with redis.Redis(port=broker.get_connection_kwargs()["port"]) as client:
            while not stop.is_set():
                if got := client.rpop("celery"):
                    took.append(json.loads(got)["headers"]["id"])

    threads = [threading.Thread(target=send), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    done = withdraw(app_at(broker), ["celery"], names[::2])
    threads[0].join()
    stop.set()
    threads[1].join()
    left = names_in(broker, "celery")
    assert took + left == [name for name in names + more if name not in done.taken]
    assert set(names[::2]) - done.taken <= set(took)


def test_messages_of_every_priority_are_taken_from_where_the_app_keeps_them(broker: redis.Redis) -> None:
    options = {"global_keyprefix": "acme:", "sep": ":", "priority_steps": [0, 4]}
    broker.lpush("acme:shop", message("low"), message("stays"))
    broker.lpush("acme:shop:4", message("high"))
    # Sent by a client that knows of more priorities than we do.
    broker.lpush("acme:shop:7", message("other"))
    done = withdraw(app_at(broker, **options), ["shop"], ["low", "high", "other"])
    assert done.taken == {"low", "high", "other"}
    assert names_in(broker, "acme:shop") == ["stays"]


def test_far_from_both_ends_a_message_expires_in_its_place(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal, "FAR", 100)
    names = fill(broker, "celery", 1000)
    assert withdraw(app_at(broker), ["celery"], names).taken == set(names)
    left = [json.loads(text)["headers"] for text in broker.lrange("celery", 0, -1)]
    assert {headers["expires"] for headers in left} == {EXPIRED}
    assert withdraw(app_at(broker), ["celery"], names).taken == set()


def test_a_part_of_a_chord_expires_and_is_left_to_a_worker_which_tells_the_others(broker: redis.Redis) -> None:
    broker.lpush("celery", message("part", chord={"task": "callback"}))
    done = withdraw(app_at(broker), ["celery"], ["part"])
    assert (done.taken, done.expired) == (set(), {"part"})
    assert json.loads(broker.lindex("celery", 0) or "")["headers"]["expires"] == EXPIRED


def test_where_scripts_are_forbidden_messages_are_taken_one_by_one(broker: redis.Redis) -> None:
    names = fill(broker, "celery", 300)
    broker.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@scripting"])
    port = broker.get_connection_kwargs()["port"]
    celery = Celery("client", broker=f"redis://plain:any@127.0.0.1:{port}/0", set_as_current=False)
    assert withdraw(celery, ["celery"], names[:100]).taken == set(names[:100])
    assert names_in(broker, "celery") == names[100:]


def test_a_queue_that_may_not_be_read_is_named_and_hinders_no_other(broker: redis.Redis) -> None:
    fill(broker, "celery", 3)
    keys = ["celery*", "unacked*"]
    broker.acl_setuser("small", enabled=True, nopass=True, keys=keys, categories=["+@all"])
    port = broker.get_connection_kwargs()["port"]
    celery = Celery("client", broker=f"redis://small:any@127.0.0.1:{port}/0", set_as_current=False)
    found = waiting(celery, ["secret", "celery"])
    assert (found.task_ids, list(found.unread)) == ({"celery-0", "celery-1", "celery-2"}, ["secret"])
    assert (found.knows("celery"), found.knows("secret"), found.complete) == (True, False, False)
    assert withdraw(celery, ["secret", "celery"], ["celery-1"]).taken == {"celery-1"}


@pytest.mark.parametrize("name", ["vase.events", "unacked_index", "a-set"])
def test_a_queue_named_like_a_key_of_another_kind_holds_no_messages(broker: redis.Redis, name: str) -> None:
    fill(broker, "celery", 2)
    broker.xadd("vase.events", {"e": "1"})
    broker.zadd("unacked_index", {"tag": 1})
    broker.sadd("a-set", "x")
    found = waiting(app_at(broker), [name, "celery"])
    assert (found.task_ids, found.complete) == ({"celery-0", "celery-1"}, True)
    assert withdraw(app_at(broker), [name, "celery"], ["celery-1"]).taken == {"celery-1"}


def test_where_unacknowledged_messages_cannot_be_read_nothing_is_known(broker: redis.Redis) -> None:
    broker.acl_setuser("smallest", enabled=True, nopass=True, keys=["celery*"], categories=["+@all"])
    port = broker.get_connection_kwargs()["port"]
    celery = Celery("client", broker=f"redis://smallest:any@127.0.0.1:{port}/0", set_as_current=False)
    found = waiting(celery, ["celery"])
    assert (list(found.unread), found.knows("celery")) == ([UNACKED], False)


def test_a_queue_is_read_whole_however_long_it_is(broker: redis.Redis) -> None:
    names = fill(broker, "celery", 60_000)
    found = waiting(app_at(broker), ["celery"])
    assert (found.complete, found.task_ids) == (True, set(names))


def test_a_message_of_celerys_first_protocol_is_known_by_its_correlation_id(broker: redis.Redis) -> None:
    broker.lpush("celery", json.dumps({"body": "e30=", "headers": {}, "properties": {"correlation_id": "old"}}))
    assert waiting(app_at(broker), ["celery"]).task_ids == {"old"}


def test_a_message_that_is_none_of_celerys_may_be_any_run(broker: redis.Redis) -> None:
    broker.lpush("celery", b"\xff{")
    assert not waiting(app_at(broker), ["celery"]).complete


def calls(broker: redis.Redis, command: str) -> int:
    stats = broker.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


def test_a_second_look_reads_only_what_has_changed(broker: redis.Redis) -> None:
    names = fill(broker, "celery", 30_000)
    celery, memory = app_at(broker), Memory()
    assert waiting(celery, ["celery"], wanted=names, memory=memory).task_ids == set(names)
    broker.lpush("celery", message("new"))
    broker.rpop("celery", 10)
    before = calls(broker, "lrange")
    found = waiting(celery, ["celery"], wanted=[*names, "new"], memory=memory)
    assert found.task_ids == {*names[10:], "new"}
    assert calls(broker, "lrange") == before + 1


@pytest.mark.parametrize("change", ["taken from the middle", "given back", "emptied", "made anew"])
def test_a_second_look_sees_what_else_became_of_a_queue(broker: redis.Redis, change: str) -> None:
    names = fill(broker, "celery", 500)
    celery, memory = app_at(broker), Memory()
    waiting(celery, ["celery"], wanted=names, memory=memory)
    if change == "taken from the middle":
        withdraw(celery, ["celery"], [names[250]])
        broker.lpush("celery", message("new"))
    elif change == "given back":
        broker.rpush("celery", message("back"))
    else:
        broker.delete("celery")
    if change == "made anew":
        fill(broker, "celery", 400)
    found = waiting(celery, ["celery"], wanted=[*names, "new", "back"], memory=memory)
    assert found.task_ids == set(names_in(broker, "celery"))


def test_where_all_are_found_waiting_what_workers_hold_is_not_walked(broker: redis.Redis) -> None:
    names = fill(broker, "celery", 10)
    broker.hset("unacked", "tag", json.dumps([json.loads(message("held")), "", "celery"]))
    before = calls(broker, "hscan")
    waiting(app_at(broker), ["celery"], wanted=names)
    assert calls(broker, "hscan") == before
    assert waiting(app_at(broker), ["celery"], wanted=[*names, "held"]).unacked == {"held": "tag"}


def test_of_more_queues_than_anybody_has_the_first_are_read(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "QUEUES_MAX", 2)
    fill(broker, "celery", 1)
    found = waiting(app_at(broker), ["celery", "a", "b", "c"])
    assert (found.task_ids, set(found.unread)) == ({"celery-0"}, {"b", "c"})
