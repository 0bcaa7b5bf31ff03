"""Somebody else's Celery app on a broker of its own, alone or beside a running Vase, and what its tasks have done.

A scenario runs twice: without Vase, which is the control, and beside its web server and recorder. Each task of the app
writes its executions to a side file; what is in it must be the same, whoever watches.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.rabbitmq import RabbitMQ
from tests.support import BIN, ROOT, Stack, free_port, wait_until

APPS: Final = Path(__file__).resolve().parent / "apps"
DOUBT_SECONDS: Final = "6"
"""Seconds without news after which Vase looks into a run; short, so that a hasty judgement is seen."""


class Foreign:
    """The app ``shop`` with its workers. ``watched`` says whether Vase runs beside it.

    Its results are in Redis, and its messages, too, unless ``rabbitmq`` carries them.
    """

    def __init__(self, folder: Path, watched: bool, rabbitmq: RabbitMQ | None = None, **settings: str) -> None:
        settings = {"DEMO_WORKER": "false", "DOUBT_SECONDS": DOUBT_SECONDS, **settings}
        self.vase = Stack(folder, **settings)
        self.watched = watched
        self.folder = folder
        self.side = folder / "executions"
        self.conf: dict[str, Any] = {}
        self.comparable = True
        """Whether the app does the same in both halves, however long they take."""
        self.python = Path(os.environ.get("BESIDE_BIN", BIN))
        """Where the app's own ``python`` and ``celery`` are; another version of Celery has its own."""
        self.workers: list[subprocess.Popen[bytes]] = []
        self.vase.start("redis")
        self.backend = self.vase.broker_url
        self.broker = rabbitmq.new_host() if rabbitmq else self.backend
        self.vase.environ |= {"CELERY_BROKER_URL": self.broker, "CELERY_RESULT_BACKEND": self.backend}
        self.others: list[subprocess.Popen[bytes]] = []
        """Processes of the app that are no workers."""

    def configure(self, conf: dict[str, Any]) -> None:
        """Configure the app, and Vase with what of it says how the broker is spoken to."""
        self.conf = conf
        for name in ("broker_transport_options", "result_backend_transport_options"):
            if name in conf:
                options = {key: value for key, value in conf[name].items() if key != "visibility_timeout"}
                self.vase.environ[f"CELERY_{name.upper()}"] = json.dumps(options)

    def watch(self) -> None:
        """Start Vase beside the app, in the half of a scenario that is beside it."""
        if self.watched:
            self.vase.migrate()
            self.vase.start("recorder", "web")

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment of the app's own processes: nothing of Vase is in it."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("CELERY_", "FLASK_", "VASE_"))}
        own = {
            "BROKER": self.broker,
            "BACKEND": self.backend,
            "SIDE": str(self.side),
            "CONF": json.dumps(self.conf),
            "PYTHONUNBUFFERED": "1",
        }
        return kept | own | {"PATH": f"{self.python}{os.pathsep}{os.environ['PATH']}"} | more

    def worker(self, *options: str, wait: bool = True, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker of the app, in a session of its own, and wait until it is ready."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        command = [str(self.python / "celery"), "-A", "shop", "worker", "-l", "INFO", *options]
        with log.open("ab") as opened:
            worker = subprocess.Popen(
                command, cwd=APPS, env=self.environ(**more), stdout=opened, stderr=opened, start_new_session=True
            )
        self.workers.append(worker)
        if wait:
            wait_until(lambda: b" ready." in log.read_bytes(), f"a worker is ready: {log}", 60)
        return worker

    def run(self, code: str) -> str:
        """Run Python in the app's own environment, with everything of the app imported, and return what it prints."""
        command = [str(self.python / "python"), "-c", f"from shop import *\n{code}"]
        done = subprocess.run(command, cwd=APPS, env=self.environ(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    def serve(self, *arguments: str) -> str:
        """Start the app's own site, by gunicorn with these arguments, and return its address; in ``site.log``."""
        port = free_port()
        command = [str(BIN / "gunicorn"), "--bind", f"127.0.0.1:{port}", *arguments]
        environ = self.vase.environ | self.environ(PYTHONPATH=str(ROOT))
        log = self.folder / "site.log"
        with log.open("ab") as opened:
            self.others.append(
                subprocess.Popen(command, cwd=APPS, env=environ, stdout=opened, stderr=opened, start_new_session=True)
            )
        wait_until(lambda: b"Listening at" in log.read_bytes(), f"the site listens: {log}")
        return f"http://127.0.0.1:{port}"

    def executions(self) -> list[dict[str, Any]]:
        """Return every execution of a task so far, in the order in which they began."""
        return [json.loads(line) for line in self.side.read_text().splitlines()] if self.side.exists() else []

    def counts(self, name: str = "") -> Counter[str]:
        """Return how often each call was executed, by its name and arguments."""
        calls = (f"{one['name'].rpartition('.')[2]}{tuple(one['args'])}" for one in self.executions())
        return Counter(call for call in calls if call.startswith(name))

    def wait_for(self, number: int, timeout: float = 60.0) -> None:
        """Wait until so many executions have begun."""
        wait_until(lambda: len(self.executions()) >= number, f"{number} executions have begun", timeout)

    def states(self) -> Counter[str]:
        """Return how many runs have which state, as Vase says; nothing without it."""
        return Counter(dict(self.vase.query("SELECT state, count(*) FROM vase_task_runs GROUP BY state")))

    def wait_for_states(self, timeout: float = 60.0, **wanted: int) -> None:
        """Wait until Vase says of so many runs that they have these states, and of no other; nothing without it."""
        if not self.watched:
            return
        try:
            wait_until(lambda: self.states() == Counter(wanted), f"{wanted}", timeout)
        except AssertionError:
            rows = self.vase.query("SELECT name, args, state, worker, doubt FROM vase_task_runs ORDER BY id")
            raise AssertionError(f"{wanted}, not {dict(self.states())}:\n" + "\n".join(map(str, rows))) from None

    def pause(self, seconds: float) -> None:
        """Let time pass in which nothing may happen."""
        time.sleep(seconds)

    def freeze(self, worker: subprocess.Popen[bytes]) -> None:
        """Halt a worker and its pool, as a paused container is."""
        os.killpg(worker.pid, signal.SIGSTOP)

    def thaw(self, worker: subprocess.Popen[bytes]) -> None:
        """Let a worker that was halted go on."""
        os.killpg(worker.pid, signal.SIGCONT)

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker and its pool without a word."""
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def end(self) -> None:
        """End everything."""
        for process in self.workers + self.others:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            self.kill(process)
        self.vase.stop_all()

    def check(self) -> None:
        """Raise AssertionError where Vase says what is never true beside an app whose workers all live, or stumbles."""
        if not self.watched:
            return
        lost = self.vase.query("SELECT task_id, doubt FROM vase_task_runs WHERE state = 'LOST'")
        assert lost == [], "no run of a worker that nobody has proved dead is lost"
        for part in ("recorder", "web"):
            assert "Traceback" not in self.vase.log(part), f"{part}:\n{self.vase.log(part)[-3000:]}"
