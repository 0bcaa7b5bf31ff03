"""What the scripts share: a figure and its line, servers that are the same but for their app, alternating rounds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.support import ROOT, Stack, free_port

ROUNDS = 15
ROUND_SECONDS = 0.6
CONNECTIONS = 8
HEADING = f"{'figure':<38} {'ours':>12} {'peer or floor':>14} {'ratio':>7}   {'bar':<9} result"


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise: ``ours`` against ``peer`` must keep to ``bar``, from above when ``at_least``.

    ``ratio`` is given where it is the median of ratios and not the ratio of medians.
    """

    name: str
    ours: float
    peer: float
    unit: str
    bar: float = 1.0
    at_least: bool = False
    ratio: float | None = None

    @property
    def value(self) -> float:
        """Return what is compared with the bar."""
        return self.ours / self.peer if self.ratio is None else self.ratio

    @property
    def passed(self) -> bool:
        """Say whether the bar is kept."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def __str__(self) -> str:
        ours, peer = (f"{number:,.{0 if number >= 100 else 2}f} {self.unit}" for number in (self.ours, self.peer))
        bar = f"{'>=' if self.at_least else '<='} {self.bar:g}"
        return (
            f"{self.name:<38} {ours:>12} {peer:>14} {self.value:>7.3f}   {bar:<9} {'pass' if self.passed else 'MISS'}"
        )


class Peer(Stack):
    """A bare Flask app served in the same way, by the same ``gunicorn.conf.py``."""

    def command(self, part: str) -> list[str]:
        """Return the command line of a part, the web server's with the bare app."""
        return [word.replace("app:app", "bench.peer:app") for word in super().command(part)]


@contextmanager
def site(kind: type[Stack] = Stack, *parts: str, **settings: str) -> Iterator[Stack]:
    """Run a site of its own with an empty database, and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="vase-bench-") as folder:
        stack = kind(Path(folder), **settings)
        try:
            if kind is Stack:
                stack.migrate()
            stack.start(*parts, "web")
            yield stack
        finally:
            stack.stop_all()


def rate(port: int, path: str, status: int, seconds: float = ROUND_SECONDS) -> float:
    """Return answers a second on a few new connections, counted by a process that does nothing else."""
    client = [sys.executable, str(ROOT / "bench" / "load.py"), str(port), path, str(status)]
    command = [*client, str(seconds), str(CONNECTIONS)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextmanager
def repeated(call: Callable[[], None], pause: float) -> Iterator[None]:
    """Call something again and again beside what is measured."""
    stopping = threading.Event()

    def go_on() -> None:
        while not stopping.wait(pause):
            call()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def against_peer(
    name: str, bar: float, status: int, seed: Callable[[Stack], str], stir: Callable[[Stack], None] | None = None
) -> Figure:
    """Compare the rate of one address of ours with that of a constant view.

    ``seed`` fills the database of a running site and returns the address; ``stir`` changes it 20 times a second while
    both are measured. Rounds alternate, so that what else the
    machine does falls on both, and each uses new connections: gunicorn spreads them over its processes as they come,
    now evenly and now not.
    """
    with site() as ours, site(Peer) as peer:
        path = seed(ours)
        with repeated(lambda: stir(ours), 0.05) if stir else nullcontext():
            rate(peer.port, "/", 200)
            rate(ours.port, path, status)
            rounds = [(rate(ours.port, path, status), rate(peer.port, "/", 200)) for _ in range(ROUNDS)]
    mine, theirs = (median(column) for column in zip(*rounds, strict=True))
    # Neighbours in time shared the same machine, so their ratio says more than that of the medians.
    ratio = median(one / other for one, other in rounds)
    return Figure(name, mine, theirs, "/s", bar, at_least=True, ratio=ratio)


def settings_of_up(folder: Path) -> dict[str, str]:
    """Return an environment for a ``make up`` that meets no other one."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CELERY_", "FLASK_", "MAKE"))}
    ports = {name: str(free_port()) for name in ("PORT", "FLOWER_PORT", "REDIS_PORT")}
    return kept | ports | {"INSTANCE_PATH": str(folder)}
