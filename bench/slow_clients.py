"""How long a page takes beside 200 clients that are slow in each way, as a multiple of the time at rest."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from statistics import median

from sqlalchemy import create_engine

from bench.common import Figure, site
from tests.support import Stack
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of

CLIENTS = 200
TIMES = 60
BAR = 2.0
LARGE = 600
"""Runs with a result of 50 KB, so that a download of all is larger than what the system keeps for a slow reader."""

HEAD = "GET / HTTP/1.1\r\nHost: localhost\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n"
KINDS: dict[str, str] = {
    "connections that say nothing": "",
    "half-sent heads": HEAD,
    "half-sent bodies": f"POST /runs HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nx=1",
    "stalled downloads": "GET /runs.csv HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "stalled pages": f"{HEAD}\r\n",
    "idle viewers": "GET /changes?since=SEEN HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "answered clients that do not hang up": f"{HEAD}Connection: close\r\n\r\n",
}


def measure() -> Iterator[Figure]:
    """Yield, for each kind of slow client, the median time of a page beside 200 of them over that at rest."""
    with site(Stack, "redis") as stack:
        fill(stack)
        rest = page_seconds(stack)
        for kind, sent in KINDS.items():
            with slow_clients(stack, sent):
                beside = page_seconds(stack)
            yield Figure(f"a page beside {CLIENTS} {kind}", beside * 1000, rest * 1000, "ms", BAR)


def fill(stack: Stack) -> None:
    """Write runs that make a large download."""
    engine = create_engine(stack.database_url)
    now = time.time()
    event = {"type": "task-succeeded", "timestamp": now, "hostname": "celery@a", "name": "t", "result": "x" * 50_000}
    facts = facts_of(event, now, 65536)
    if facts is None:
        raise AssertionError("the event says nothing")
    write(engine, {f"large-{number}": facts for number in range(LARGE)})
    engine.dispose()


@contextlib.contextmanager
def slow_clients(stack: Stack, sent: str) -> Iterator[None]:
    """Hold connections open that have sent so much and read nothing."""
    page = stack.get("/")[1]
    seen = page.partition("since=")[2].partition('"')[0]
    clients = [opened(stack, sent.replace("SEEN", seen)) for _ in range(CLIENTS)]
    time.sleep(1.0)
    try:
        yield
    finally:
        for client in clients:
            client.close()


def opened(stack: Stack, sent: str) -> socket.socket:
    """Open a connection whose own buffer is small, and send so much."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", stack.port))
    client.sendall(sent.encode())
    return client


def page_seconds(stack: Stack) -> float:
    """Return the median time of a page, each over a connection of its own."""
    times = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        get_page(stack)
        times.append(time.perf_counter() - begin)
    return median(times)


def get_page(stack: Stack) -> None:
    """Ask for the list of runs."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": "localhost"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise AssertionError(f"the page answered {answer.status}")
