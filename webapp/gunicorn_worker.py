"""The worker class of gunicorn that serves the pages: a client that is slow holds no thread.

gunicorn's threads read a request as its client sends it, and the loop that hands out work waits for clients to hang
up. Here the loop collects a request until it is whole, and waits for nobody; what a thread sends to a client that does
not read is given up. A proxy that does the same may stand in front; see docs/guides/proxy.md.
"""

from __future__ import annotations

import contextlib
import errno
import re
import selectors
import socket
import time
from collections import deque
from functools import partial
from io import BytesIO
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

REQUEST_SECONDS: Final = 10.0
"""Seconds in which a request must have come whole, from its first byte or from the opening of the connection."""
SEND_SECONDS: Final = 10.0
"""Seconds in which a client must have read a part of an answer."""
LINGER_SECONDS: Final = 2.0
"""Seconds that a client has for hanging up after an answer; a socket closed before it has could cost it the answer."""
REQUEST_MAX: Final = 1536 * 1024
"""Most bytes of a request that are collected; the app takes a megabyte, and refuses more before it reads it."""
ANSWER_BYTES: Final = 256 * 1024
"""What of an answer the system keeps for a client that is slow to read it; pages are smaller."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)


def missing(received: bytes | bytearray) -> bool:
    """Say whether more of a request has to come before a thread can deal with it without waiting."""
    return len(received) < size_of(received) <= REQUEST_MAX and len(received) <= REQUEST_MAX


def size_of(received: bytes | bytearray) -> int:
    """Return how many bytes a request has as a whole, one more than have come where it does not say."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return len(received) + 1
    head = bytes(received[: end + 2])
    if _CHUNKED.search(head):
        return len(received) + (not received.endswith(b"0\r\n\r\n"))
    length = _LENGTH.search(head)
    return end + 4 + (int(length[1]) if length else 0)


class ImpatientSocket(socket.socket):
    """A socket on which sending to somebody who does not read fails as it does to somebody who has gone."""

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send everything."""
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the client does not read") from None


class Connection(TConn):  # type: ignore[misc]  # gunicorn carries no type hints
    """A connection with what has come of its next request."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.received = bytearray()
        self.is_whole = True

    def init(self) -> None:
        """Make it ready for a thread, which finds the whole request there."""
        super().init()
        self.sock.settimeout(SEND_SECONDS)
        self.is_whole = size_of(self.received) <= len(self.received)
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn carries no type hints
    """gunicorn's threads, with a loop that waits for clients in their place."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lingering: deque[Connection] = deque()

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection and wait for its request."""
        if self.cfg.is_ssl:
            super().accept(listener)
            return
        try:
            taken, address = listener.accept()
        except OSError as fault:
            if fault.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        client = ImpatientSocket(fileno=taken.detach())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ANSWER_BYTES)
        self.nr_conns += 1
        self._collect(Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Collect the next request of a connection that was kept."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._collect(conn) if isinstance(conn, Connection) else self.enqueue_req(conn)

    def _collect(self, conn: Connection) -> None:
        conn.sock.setblocking(False)
        conn.data_ready = True
        conn.timeout = time.monotonic() + REQUEST_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Take what has come of a request; give a whole one to a thread."""
        if not isinstance(conn, Connection):
            super().on_pending_socket_readable(conn, client)
            return
        data = _received(client)
        if data is None:
            return
        had_head = b"\r\n\r\n" in conn.received
        conn.received += data
        if data and missing(conn.received):
            if not had_head and b"\r\n\r\n" in conn.received and _EXPECTS.search(conn.received):
                with contextlib.suppress(OSError):
                    client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if data:
            self.enqueue_req(conn)
        else:
            self._hang_up(conn)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        # gunicorn's thread would wait for what is left of a body that nobody reads.
        return bool(super()._keepalive_after(conn, keepalive)) if conn.is_whole else False

    def finish_request(self, conn: Any, done: Any) -> None:
        """Keep the connection for its next request, of which some may be there, or wait for the client to hang up."""
        if not isinstance(conn, Connection):
            super().finish_request(conn, done)
            return
        if done.cancelled() or done.exception() or not done.result():
            self._linger(conn)
            return
        conn.received += conn.parser.unreader.buf.getvalue()
        conn.parser.unreader.buf = BytesIO()
        if not conn.received:
            super().finish_request(conn, done)
        elif missing(conn.received):
            self._collect(conn)
        else:
            self.enqueue_req(conn)

    def _linger(self, conn: Connection) -> None:
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_lingering_socket_readable, conn))
        except (OSError, ValueError):
            self._hang_up(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.lingering.append(conn)

    def _on_lingering_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        data = _received(client)
        if data == b"":
            self.lingering.remove(conn)
            self.poller.unregister(client)
            self._hang_up(conn)

    def murder_pending(self) -> None:
        """Close what has taken too long."""
        super().murder_pending()
        while self.lingering and self.lingering[0].timeout < time.monotonic():
            conn = self.lingering.popleft()
            self.poller.unregister(conn.sock)
            self._hang_up(conn)

    def _hang_up(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()


def _received(client: socket.socket) -> bytes | None:
    """Return what has come, nothing where the client has gone, None where nothing has come yet."""
    try:
        return client.recv(65536)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""
