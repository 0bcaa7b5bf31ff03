"""Parts of Vase are killed and halted at random beside an app that works: it notices nothing, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from contextlib import suppress

import pytest

from tests.beside.harness import Foreign
from tests.support import wait_until

SECONDS = float(os.environ.get("CHAOS_SECONDS", "120"))
"""How long it goes on; twenty minutes of it were tried as well."""


def disturb(foreign: Foreign, chance: random.Random) -> None:
    """Kill a part of Vase, which is started again, or halt it for a while."""
    part = chance.choice(["recorder", "web"])
    process = foreign.vase.parts[part]
    if chance.random() < 0.5:
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(1, 12))
        os.killpg(process.pid, signal.SIGCONT)
    else:
        foreign.vase.stop(part, number=signal.SIGKILL)
        time.sleep(chance.uniform(0, 3))
        foreign.vase.start(part)


def submit(foreign: Foreign, number: int) -> str:
    """Submit a task of the app's through Vase; return the task id where it was accepted."""
    call = json.dumps({"args": [number], "kwargs": {}})
    with suppress(OSError):
        status, page = foreign.vase.post("/task", name="shop.late", mode="raw", raw=call)
        found = re.search(r'data-task-id="([^"]+)"|/runs/([0-9a-f-]{36})', page)
        if status == 200 and found:
            return found[1] or found[2]
    return ""


@pytest.mark.slow
def test_chaos_among_the_parts_of_vase_changes_nothing_for_the_app(foreign: Foreign) -> None:
    chance = random.Random(7)
    foreign.comparable = False
    foreign.watch()
    for name in ("one@here", "two@here"):
        foreign.worker("-c", "2", "-n", name)
    sent, accepted, end = 0, [], time.monotonic() + (SECONDS if foreign.watched else 5)
    while time.monotonic() < end:
        foreign.run(f"for n in range({sent}, {sent} + 10): (late if n % 3 else work).delay(n, n % 3)")
        sent += 10
        if foreign.watched:
            accepted += [number for number in range(100_000 + sent, 100_005 + sent) if submit(foreign, number)]
            disturb(foreign, chance)
    foreign.wait_for(sent + len(accepted), 120)
    foreign.pause(10)
    counts = foreign.counts()
    for number in range(sent):
        assert counts[f"{'late' if number % 3 else 'work'}({number},)"] == 1
    if foreign.watched:
        assert [number for number in accepted if not counts[f"late({number},)"]] == []
        states = "SELECT count(*) FROM vase_task_runs WHERE state = 'SUCCESS'"
        wait_until(lambda: foreign.vase.query(states)[0][0] >= sent + len(accepted), "all ends are known", 120)
