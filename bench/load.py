"""Counts HTTP answers: ``load.py PORT PATH STATUS SECONDS CONNECTIONS`` prints how many came in a second.

A process of its own that imports next to nothing: one request in flight on each keep-alive connection, sent as ready
bytes, and of each answer no more than its status and length is read.
"""

from __future__ import annotations

import select
import socket
import sys
import time

END = b"\r\n\r\n"
LENGTH = b"\r\nContent-Length: "


def missing_after(piece: bytes, status: bytes) -> int:
    """Return how many bytes of an answer are still to come after its first piece, which holds the whole head."""
    end = piece.find(END)
    if end < 0 or not piece.startswith(status):
        sys.exit(f"expected {status!r}, got {piece[:200]!r}")
    at = piece.find(LENGTH, 0, end + 2)
    if at < 0 and b" 204" not in status:
        sys.exit(f"the answer has no length: {piece[:end]!r}")
    at += len(LENGTH)
    length = int(piece[at : piece.index(b"\r", at)]) if at >= len(LENGTH) else 0
    return end + len(END) + length - len(piece)


def main(port: int, path: str, status: bytes, seconds: float, count: int) -> float:
    """Return answers a second."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    sockets: dict[int, socket.socket] = {}
    poll = select.epoll() if hasattr(select, "epoll") else select.poll()
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[connection.fileno()] = connection
        poll.register(connection.fileno(), select.POLLIN)
    missing = dict.fromkeys(sockets, 0)
    answers = 0
    start = time.monotonic()
    for connection in sockets.values():
        connection.sendall(request)
    while (now := time.monotonic()) - start < seconds:
        for number, _event in poll.poll():
            piece = sockets[number].recv(131072)
            if not piece:
                sys.exit("the server closed a connection")
            missing[number] = missing[number] - len(piece) if missing[number] else missing_after(piece, status)
            if missing[number] == 0:
                answers += 1
                sockets[number].sendall(request)
            elif missing[number] < 0:
                sys.exit("an answer is longer than it says")
    return answers / (now - start)


if __name__ == "__main__":
    port, path, status, seconds, count = sys.argv[1:]
    print(main(int(port), path, f"HTTP/1.1 {status}".encode(), float(seconds), int(count)))
