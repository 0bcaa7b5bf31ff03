"""bin/up, the launcher behind `make up`: starts every part, keeps it running and stops it without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from tests.support import BIN, ROOT, answers, free_port, redis_executable, wait_until
from webapp.config import load_settings

pytestmark = pytest.mark.sqlite_only

PARTS = ["web", "worker", "recorder", "flower", "redis"]
# How to tell the keeper of a part.
WORDS = {
    "web": ["gunicorn", "app:app"],
    "worker": ["celery", "worker"],
    "recorder": ["flask", "record"],
    "flower": ["celery", "flower"],
    "redis": ["bin/redis"],
}


class Launch:
    """A Vase started by bin/up, on free ports and with a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.instance = folder / "instance"
        self.log = folder / "log"
        self.ports = {"PORT": free_port(), "FLOWER_PORT": free_port(), "REDIS_PORT": free_port()}
        self.environ = (
            {name: text for name, text in os.environ.items() if not name.startswith("CELERY_")}
            | {"INSTANCE_PATH": str(self.instance), "PYTHONUNBUFFERED": "1"}
            | {name: str(port) for name, port in self.ports.items()}
            | settings
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own, as a terminal would."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command("bin/up"), cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )

    def command(self, script: str) -> list[str]:
        """Return the command line of a script of the project."""
        return [sys.executable, str(ROOT / script)]

    def says(self, text: str) -> None:
        """Wait until it has said something."""
        assert self.process

        def heard() -> bool:
            if text in self.output():
                return True
            assert self.process
            assert self.process.poll() is None, f"bin/up ended:\n{self.output()}"
            return False

        wait_until(heard, f"bin/up says {text!r}", timeout=60)

    def output(self) -> str:
        """Return everything it has said."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Signal its whole group, as a terminal does at Ctrl-C."""
        assert self.process
        os.killpg(self.process.pid, number)

    def processes(self) -> list[psutil.Process]:
        """Return all processes that belong to it."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("INSTANCE_PATH") == str(self.instance):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def main_process(self, part: str) -> psutil.Process | None:
        """Return the process that does a part's work, if it runs."""
        for process in self.processes():
            try:
                line = process.cmdline()
                if "bin/keep" in line and all(word in line for word in WORDS[part]):
                    # Redis stands below the script that chooses the server.
                    below = process.children(recursive=True) if part == "redis" else process.children()
                    return next((found for found in below if "bin/redis" not in found.cmdline()), None)
            except psutil.NoSuchProcess:
                continue
        return None

    def page(self) -> int:
        """Return the status of the first page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['PORT']}/", timeout=10) as answer:
            return int(answer.status)

    def redis_url(self) -> str:
        """Return the address of its own Redis, as commands in other terminals find it."""
        return str(load_settings(ROOT, {"INSTANCE_PATH": str(self.instance)})["CELERY_BROKER_URL"])

    def redis(self) -> redis.Redis:
        """Return a client of its own Redis."""
        return redis.Redis.from_url(self.redis_url())

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for process in self.processes():
            process.kill()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """A Vase that is not started yet."""
    launch = Launch(tmp_path)
    yield launch
    launch.end()


@pytest.fixture(scope="module")
def vase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """A Vase whose parts all do their work; tests leave it so."""
    launch = Launch(tmp_path_factory.mktemp("up"))
    launch.start()
    try:
        launch.says("Vase is ready")
        yield launch
    finally:
        launch.end()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """A Vase that ran and was stopped with Ctrl-C."""
    launch = Launch(tmp_path_factory.mktemp("stopped"))
    launch.start()
    try:
        launch.says("Vase is ready")
        launch.signal(signal.SIGINT)
        assert launch.process
        launch.process.wait(timeout=30)
        yield launch
    finally:
        launch.end()


def refusal(launch: Launch) -> str:
    """Return what a launcher that cannot start says, after it has ended."""
    result = subprocess.run(
        launch.command("bin/up"), cwd=ROOT, env=launch.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    return result.stderr


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT"])
def test_busy_port_gets_a_remedy(launch: Launch, name: str) -> None:
    """A port in use stops the start with a sentence that says what to type instead."""
    port = launch.ports[name]
    with socket.create_server(("127.0.0.1", port)):
        assert f"Choose another one: {name}={port + 1} make up" in refusal(launch)


def test_busy_port_names_its_holder(launch: Launch) -> None:
    """The message says which process has the port."""
    with socket.create_server(("127.0.0.1", launch.ports["PORT"])):
        assert f"(process {os.getpid()})" in refusal(launch)


def test_wrong_setting_stops_the_start(launch: Launch) -> None:
    """A setting that cannot be used is named before anything starts."""
    launch.environ["WEB_THREADS"] = "many"
    assert refusal(launch).startswith("vase: WEB_THREADS='many'")


def test_database_that_does_not_answer_is_named(launch: Launch) -> None:
    """A PostgreSQL that is not there stops the start with one line."""
    launch.environ["DATABASE_URL"] = f"postgresql+psycopg://vase:secret@127.0.0.1:{free_port()}/vase"
    said = refusal(launch).strip()
    assert "PostgreSQL, which DATABASE_URL names, does not answer: connection failed" in said
    assert "\n" not in said
    assert "secret" not in said


def test_second_launcher_is_refused(vase: Launch) -> None:
    """Two launchers never share an instance folder."""
    assert vase.process
    assert f"in use by process {vase.process.pid}" in refusal(vase)


def test_busy_redis_port_is_avoided(launch: Launch) -> None:
    """Redis takes a free port when its own is in use, which commands in other terminals know."""
    with socket.create_server(("127.0.0.1", launch.ports["REDIS_PORT"])):
        launch.start()
        launch.says("so Vase's own Redis listens on port")
        launch.says("Redis answers")
        with launch.redis() as broker:
            assert broker.ping()
        port = redis.Redis.from_url(launch.redis_url()).connection_pool.connection_kwargs["port"]
        assert port != launch.ports["REDIS_PORT"]


def test_redis_elsewhere_is_used(launch: Launch) -> None:
    """No Redis is started when a broker is set."""
    launch.environ["CELERY_BROKER_URL"] = "redis://127.0.0.1:1/0"
    launch.start()
    launch.says("The web server answers")
    assert launch.main_process("redis") is None


SHOP = """
import os
from celery import Celery
app = Celery("shop", broker=os.environ["SHOP_URL"], backend=os.environ["SHOP_URL"])

@app.task
def pack(number):
    with open(os.environ["PACKED"], "a") as packed:
        packed.write(f"{number}\\n")
"""
SEND = "import shop; [shop.pack.delay(number) for number in range(40)]"


def test_beside_a_foreign_app_nothing_of_its_is_taken(launch: Launch, tmp_path: Path) -> None:
    """On a broker that Vase did not start no worker of Vase runs or is advised, and all foreign tasks are executed."""
    (tmp_path / "shop.py").write_text(SHOP)
    port, packed = free_port(), tmp_path / "packed"
    url = f"redis://127.0.0.1:{port}/0"
    environ = launch.environ | {"SHOP_URL": url, "PACKED": str(packed), "PYTHONPATH": str(tmp_path)}
    launch.environ["CELERY_BROKER_URL"] = url
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": environ}
    server = subprocess.Popen([redis_executable(), "--port", str(port), "--save", ""], **quiet)
    worker = subprocess.Popen([BIN / "celery", "-A", "shop", "worker", "-E", "--concurrency", "2"], **quiet)
    try:
        wait_until(lambda: answers(port), "the shop's Redis answers")
        launch.start()
        launch.says("Vase is ready")
        subprocess.run([sys.executable, "-c", SEND], **quiet, check=True)
        wait_until(lambda: packed.exists() and len(packed.read_text().split()) >= 40, "all 40 tasks are executed")
        with redis.Redis(port=port) as broker:
            results = [json.loads(broker.get(key)) for key in broker.scan_iter("celery-task-meta-*")]
        assert sorted(map(int, packed.read_text().split())) == list(range(40))
        assert {result["status"] for result in results} <= {"SUCCESS"}
        assert launch.main_process("worker") is None
        with urllib.request.urlopen(f"http://127.0.0.1:{launch.ports['PORT']}/", timeout=10) as answer:
            page = answer.read().decode()
        assert "celery_worker" not in page
        assert 'name="x"' not in page
    finally:
        for process in (worker, server):
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_announced(vase: Launch, part: str) -> None:
    """A line says when a part does its work."""
    lines = {"recorder": "The recorder records.", "worker": "A worker is ready", "web": "The web server answers"}
    assert lines.get(part, f"{part.capitalize()} answers") in vase.output()


def test_other_users_of_the_machine_are_kept_out_of_redis(vase: Launch) -> None:
    """Whoever reaches the port and has no password is refused."""
    with redis.Redis(port=vase.ports["REDIS_PORT"]) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.parametrize("command", ["CONFIG SET dir /tmp", "CONFIG GET dir", "MODULE LIST", "REPLICAOF localhost 1"])
def test_redis_writes_no_file_of_anybodys_choice(vase: Launch, command: str) -> None:
    """Even who has the password cannot tell Redis where to write."""
    with vase.redis() as broker, pytest.raises(redis.ResponseError, match="unknown command"):
        broker.execute_command(*command.split())


def test_no_password_stands_in_the_list_of_processes(vase: Launch) -> None:
    """Arguments of a process can be read by everybody on the machine."""
    password = redis.Redis.from_url(vase.redis_url()).connection_pool.connection_kwargs["password"]
    lines = [word for process in vase.processes() for word in process.cmdline()]
    assert password
    assert [word for word in lines if password in word] == []
    assert password not in vase.output()


def test_what_is_kept_is_for_its_owner_alone(vase: Launch) -> None:
    """Folders are 0700 and files 0600, those that SQLite and Redis make too."""
    kept = {path: path.stat().st_mode & 0o777 for path in [vase.instance, *vase.instance.rglob("*")]}
    assert {"vase.sqlite3", "vase.sqlite3-wal", "secret_key", "up.lock", "address"} <= {path.name for path in kept}
    assert {str(path): oct(mode) for path, mode in kept.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}


def test_flower_and_the_worker_are_on_the_same_broker(vase: Launch) -> None:
    """Flower lists the worker, so both have the password."""
    address = f"http://127.0.0.1:{vase.ports['FLOWER_PORT']}/workers?json=1"

    def listed() -> bool:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return b"celery@" in answer.read()

    wait_until(listed, "Flower lists the worker")


@pytest.mark.parametrize("part", PARTS)
def test_killed_part_comes_back(vase: Launch, part: str) -> None:
    """`kill -9` of a part brings a new one."""
    first = wait_until(lambda: vase.main_process(part), f"{part} runs")
    first.kill()

    def other() -> Any:
        now = vase.main_process(part)
        return now and now.pid != first.pid and now

    assert wait_until(other, f"a new {part} runs")


@pytest.mark.parametrize("part", sorted(set(PARTS) - {"web"}))
def test_page_stays_readable(vase: Launch, part: str) -> None:
    """The first page answers although another part was just killed."""
    wait_until(lambda: answers(vase.ports["PORT"]), "the web server answers")
    wait_until(lambda: vase.main_process(part), f"{part} runs").kill()
    assert vase.page() == 200


def test_stop_is_a_success(stopped: Launch) -> None:
    """Ctrl-C is the ordinary end."""
    assert stopped.process
    assert stopped.process.returncode == 0


def test_stop_leaves_no_process(stopped: Launch) -> None:
    """Nothing of it runs on after Ctrl-C."""
    assert stopped.processes() == []


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT", "REDIS_PORT"])
def test_stop_frees_the_ports(stopped: Launch, name: str) -> None:
    """Nobody listens any more after Ctrl-C."""
    assert not answers(stopped.ports[name])


def test_stop_is_quiet(stopped: Launch) -> None:
    """No part complains at Ctrl-C."""
    assert "Traceback" not in stopped.output()


def test_stop_in_the_middle_of_the_start(launch: Launch) -> None:
    """SIGTERM while the parts are starting leaves nothing behind either."""
    launch.start()
    launch.says("started")
    launch.signal(signal.SIGTERM)
    assert launch.process
    launch.process.wait(timeout=30)
    assert launch.processes() == []


def test_stop_gives_late_acknowledged_tasks_back(launch: Launch) -> None:
    """A task that is cut off by the stop waits in the queue for the next start."""
    launch.environ |= {"CELERY_TASK_ACKS_LATE": "true", "DIVIDE_SECONDS": "600"}
    launch.start()
    launch.says("Vase is ready")
    broker = launch.redis()
    run = [sys.executable, "-m", "flask", "--app", "app", "run-task", "divide", "1", "2"]
    subprocess.run(run, cwd=ROOT, env=launch.environ, capture_output=True, check=True)
    wait_until(lambda: broker.hlen("unacked") == 1, "the worker has the task")
    broker.close()
    launch.signal(signal.SIGINT)
    assert launch.process
    launch.process.wait(timeout=30)

    own = subprocess.Popen(launch.command("bin/redis"), cwd=ROOT, env=launch.environ, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(launch.ports["REDIS_PORT"]), "Redis is back")
        with launch.redis() as broker:
            assert broker.llen("vase") == 1
    finally:
        own.terminate()
        own.wait(timeout=20)
