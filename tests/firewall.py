"""A way to a server that forgets connections as firewalls do: no reset, no bytes, and connections that are new work."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

PIECE = 65536


class Firewall:
    """Passes on everything between connections to ``port`` of this machine and a server; call ``close`` at last."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forgotten: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def forget(self) -> int:
        """Pass on nothing more on the connections that there are, and return how many; none of them is closed."""
        with self._lock:
            number = len(self._pairs)
            self._forgotten += self._pairs
            self._pairs = []
        return number

    def close(self) -> None:
        """End all connections."""
        self._open = False
        self._thread.join(timeout=10)
        for one in [self._listener, *(end for pair in self._pairs + self._forgotten for end in pair)]:
            one.close()

    def _run(self) -> None:
        while self._open:
            with self._lock:
                others = {one: other for pair in self._pairs for one, other in (pair, pair[::-1])}
            for ready in select.select([self._listener, *others], [], [], 0.05)[0]:
                if ready is self._listener:
                    self._accept()
                else:
                    self._pass_on(ready, others[ready])

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.server_port), timeout=5)
        except OSError:
            client.close()
            return
        with self._lock:
            self._pairs.append((client, server))

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        piece = b""
        with contextlib.suppress(OSError):
            piece = one.recv(PIECE)
            other.sendall(piece)
        if piece:
            return
        with self._lock:
            self._pairs = [pair for pair in self._pairs if one not in pair]
        one.close()
        other.close()
