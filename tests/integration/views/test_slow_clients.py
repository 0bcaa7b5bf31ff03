"""Clients that are slow to send, to read or to hang up keep nobody else from being served."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from tests.support import Stack, wait_until
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of

pytestmark = pytest.mark.sqlite_only

MANY = 80
"""Far more than there are threads."""
GET = "GET {} HTTP/1.1\r\nHost: localhost\r\n"
FORM = "POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
SLOW = {
    "nothing": "",
    "half a head": GET.format("/"),
    "half a body": f"{FORM}Content-Length: 9000\r\n\r\nx=1",
    "half a chunk": f"{FORM}Transfer-Encoding: chunked\r\n\r\n5\r\nx=",
    "a page and half of the next": GET.format("/") + "\r\n" + GET.format("/"),
    "a download that is not read": GET.format("/runs.csv") + "\r\n",
    "a page after which nobody hangs up": GET.format("/") + "Connection: close\r\n\r\n",
    "too much": f"{FORM}Content-Length: 90000000\r\n\r\nx=1",
    "a wait for news": GET.format("/changes?since={since}") + "\r\n",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web server of two processes with four threads each, over runs with large results."""
    stack = Stack(tmp_path_factory.mktemp("slow"), WEB_THREADS="4")
    stack.migrate()
    event = {"type": "task-succeeded", "timestamp": time.time(), "hostname": "w@h", "name": "t", "result": "x" * 50_000}
    facts = facts_of(event, time.time(), 65536)
    assert facts is not None
    engine = create_engine(stack.database_url)
    write(engine, {f"large-{number}": facts for number in range(100)})
    engine.dispose()
    try:
        stack.start("web")
        yield stack
    finally:
        stack.stop_all()


@contextlib.contextmanager
def clients(web: Stack, sent: str) -> Iterator[list[socket.socket]]:
    """Hold many connections that have sent so much and do not read."""
    with contextlib.ExitStack() as opened:
        found = []
        for _ in range(MANY):
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", web.port))
            client.sendall(sent.encode())
            found.append(client)
        yield found


@pytest.mark.parametrize("kind", SLOW)
def test_others_are_served_beside_many_clients_that_sent(web: Stack, kind: str) -> None:
    since = web.get("/")[1].partition("since=")[2].partition('"')[0]
    with clients(web, SLOW[kind].replace("{since}", since)):
        # Within the time that each of them is waited for, so that none of them has made room by being sent away.
        for _ in range(20):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=5)) as connection:
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200


def test_who_sends_no_whole_request_is_sent_away(web: Stack) -> None:
    with clients(web, SLOW["half a head"]) as waiting:
        waiting[0].settimeout(30)
        assert waiting[0].recv(1) == b""


def test_more_downloads_than_there_are_places_are_told_so(web: Stack) -> None:
    with clients(web, SLOW["a download that is not read"]):

        def told() -> bool:
            status, page = web.get("/runs.csv")[:2]
            return status == 503 and "Too many downloads at once" in page

        wait_until(told, "a download is refused")


def test_a_request_that_comes_in_pieces_is_answered_whole(web: Stack) -> None:
    body = "x=7&y=2&pad=" + "p" * 200_000
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as client:
        text = f"{FORM}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(text[:40].encode())
        client.sendall(text[40:].encode())
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for begin in range(0, len(body), 30_000):
            client.sendall(body[begin : begin + 30_000].encode())
        with client.makefile("rb") as answer:
            assert any(b" 303 " in line for line in answer)


def test_two_requests_in_one_piece_are_both_answered(web: Stack) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as client:
        health = GET.format("/health") + "{}\r\n"
        client.sendall((health.format("") + health.format("Connection: close\r\n")).encode())
        assert client.makefile("rb").read().count(b"HTTP/1.1 200") == 2


def test_a_form_that_is_too_large_is_answered(web: Stack) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)) as connection:
        connection.request("POST", "/runs", body=b"x" * 3_000_000, headers={"Host": "localhost"})
        assert connection.getresponse().status == 413
