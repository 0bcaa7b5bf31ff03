"""RabbitMQ for tests: a private server on free ports, which lives as long as the process that started it."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

SERVER = "/usr/lib/rabbitmq/bin"
"""Where Debian keeps the scripts that run as any user; those on the PATH change to their own."""


@functools.cache
def server() -> RabbitMQ:
    """Return the one server of this process; it is started on first use."""
    return RabbitMQ()


class RabbitMQ:
    """A server of one's own that knows the user ``guest``, as a fresh one does."""

    def __init__(self) -> None:
        from tests.support import free_port

        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.folder = Path(tempfile.mkdtemp(prefix="vase-rabbitmq-"))
        self.name = f"vase-{uuid.uuid4().hex[:8]}@localhost"
        self.log = self.folder / "server.log"
        (self.folder / "rabbitmq.conf").write_text("log.console = true\nlog.file = false\ncollect_statistics = none\n")
        (self.folder / "plugins").write_text("[].\n")
        self.environ = os.environ | {
            "HOME": str(self.folder),
            "PATH": f"{SERVER}:{os.environ['PATH']}",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
        }
        self.start()
        atexit.register(self.remove)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            command = [self._program("rabbitmq-server")]
            self.server = subprocess.Popen(
                command, cwd=self.folder, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + 120
        while b"startup complete" not in self.log.read_bytes():
            if self.server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"RabbitMQ does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def control(self, *arguments: str) -> str:
        """Have ``rabbitmqctl`` do something and return what it says."""
        command = [self._program("rabbitmqctl"), "--quiet", "--node", self.name, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def new_host(self) -> str:
        """Return the address of a virtual host that is new."""
        name = uuid.uuid4().hex[:8]
        self.control("add_vhost", name)
        self.control("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
        return f"{self.url.rstrip('/')}/{name}"

    def stop(self) -> None:
        """End the server and its port mapper, as a crash would."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait(timeout=30)

    def remove(self) -> None:
        """Stop the server and remove its files."""
        if self.server.poll() is None:
            self.stop()
        # Erlang's port mapper has left the group, and stays while it believes that a node lives.
        for _ in range(50):
            if subprocess.run(["epmd", "-kill"], env=self.environ, capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self.environ["PATH"])
        assert found, f"{name} is not installed"
        return found
