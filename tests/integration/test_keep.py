"""bin/keep: runs a command, starts it again when it dies, and ends with it when told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import ROOT, wait_until

pytestmark = pytest.mark.sqlite_only

# Notes its process id in the file named first, then does what the second argument says.
CHILD = """
import os, pathlib, signal, subprocess, sys, time
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[2] == "parent":
    subprocess.Popen([sys.executable, __file__, sys.argv[1], "sleep"])
with open(sys.argv[1], "a") as notes:
    notes.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


class Kept:
    """A keeper and what its command has noted."""

    def __init__(self, folder: Path, behaviour: str) -> None:
        self.notes = folder / "notes"
        self.notes.touch()
        script = folder / "child.py"
        script.write_text(CHILD)
        command = [sys.executable, str(ROOT / "bin" / "keep"), sys.executable, str(script), str(self.notes), behaviour]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def pids(self, count: int) -> list[int]:
        """Return the process ids noted so far, once there are that many."""
        return wait_until(lambda: (pids := self._noted()) and len(pids) >= count and pids, f"{count} starts were noted")

    def _noted(self) -> list[int]:
        return [int(line) for line in self.notes.read_text().splitlines()]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[[str], Kept]]:
    """Start keepers, and end them and their commands afterwards."""
    started: list[Kept] = []

    def start(behaviour: str) -> Kept:
        started.append(Kept(tmp_path, behaviour))
        return started[-1]

    yield start
    for kept in started:
        kept.process.kill()
        kept.process.wait()
        for pid in kept._noted():
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()


def is_running(pid: int) -> bool:
    """Say whether a process is there and not merely waiting to be collected."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_starts_again_what_was_killed(keep: Callable[[str], Kept]) -> None:
    """A killed command comes back as a new process."""
    kept = keep("sleep")
    first = kept.pids(1)[0]
    psutil.Process(first).kill()
    assert kept.pids(2)[1] != first


def test_ends_with_its_command(keep: Callable[[str], Kept]) -> None:
    """One SIGTERM ends the command and then the keeper, in peace."""
    kept = keep("sleep")
    kept.pids(1)
    kept.process.terminate()
    assert kept.process.wait(timeout=20) == 0


def test_second_signal_does_not_wait(keep: Callable[[str], Kept]) -> None:
    """A command that does not heed SIGTERM gets SIGQUIT at the second signal."""
    kept = keep("stubborn")
    pid = kept.pids(1)[0]
    kept.process.terminate()
    kept.process.send_signal(signal.SIGINT)
    kept.process.wait(timeout=20)
    assert not is_running(pid)


def test_leaves_no_grandchild(keep: Callable[[str], Kept]) -> None:
    """What a killed command had started ends before the command starts again."""
    kept = keep("parent")
    orphans = kept.pids(2)
    parent = psutil.Process(orphans[0]) if psutil.Process(orphans[0]).children() else psutil.Process(orphans[1])
    parent.kill()
    kept.pids(4)
    assert not any(is_running(pid) for pid in orphans)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_command_does_not_outlive_a_killed_keeper(keep: Callable[[str], Kept]) -> None:
    """Killing the keeper itself leaves nothing running alone."""
    kept = keep("sleep")
    pid = kept.pids(1)[0]
    kept.process.kill()
    assert wait_until(lambda: not is_running(pid), "the command ended too")
