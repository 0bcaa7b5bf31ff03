"""Where Vase is mounted into somebody's site, or may do little on their broker, that goes on as before."""

from __future__ import annotations

import threading
import urllib.request
from contextlib import suppress

import redis

from tests.beside.harness import Foreign
from tests.support import wait_until

SITES_OWN = {"DATABASE_URL": "mysql://site@db/site", "PORT": "tcp://10.0.0.1:80", "REDIS_PORT": "tcp://10.0.0.2:6379"}


def get(address: str, timeout: float = 20) -> str:
    with urllib.request.urlopen(address, timeout=timeout) as answer:
        return str(answer.read().decode())


def test_a_site_with_one_worker_serves_on_while_somebody_watches(foreign: Foreign) -> None:
    """A tab that only waits for news would hold gunicorn's only worker."""
    foreign.watch()
    own = {f"VASE_{name}": text for name, text in foreign.vase.settings.items()}
    foreign.vase.environ |= SITES_OWN | (own | {"MOUNTED": "yes"} if foreign.watched else {})
    foreign.worker("-c", "2")
    url = foreign.serve("storefront:application")
    if foreign.watched:
        assert "<h1" in get(f"{url}/celery/")

    def idle() -> None:
        with suppress(OSError):
            get(f"{url}/celery/changes?since=0", timeout=5)

    for number in range(20):
        if foreign.watched:
            threading.Thread(target=idle, daemon=True).start()
        assert get(f"{url}/{number}", timeout=10) == "This is the shop."
    foreign.wait_for(20)
    foreign.wait_for_states(SUCCESS=20)
    assert foreign.counts() == {f"work({number},)": 1 for number in range(20)}


def test_a_user_of_the_broker_without_rights_on_our_keys_only_watches(foreign: Foreign) -> None:
    client = redis.Redis.from_url(foreign.broker)
    keys = ["~celery*", "~unacked*", "~_kombu*", "~*.pidbox*"]
    client.execute_command("ACL", "SETUSER", "small", "on", "nopass", "&*", "+@all", "resetkeys", *keys)
    narrow = foreign.broker.replace("redis://", "redis://small:any@")
    foreign.vase.environ |= {"CELERY_BROKER_URL": narrow, "CELERY_RESULT_BACKEND": narrow}
    foreign.watch()
    foreign.worker("-c", "2")
    foreign.run("for number in range(5): work.delay(number)")
    foreign.wait_for(5)
    foreign.wait_for_states(SUCCESS=5)
    if foreign.watched:
        wait_until(lambda: "may not use the keys" in foreign.vase.get("/recording")[1], "it is said")
