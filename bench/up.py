"""How long a person waits: from typing ``make up`` to the first page, everything installed and migrated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.common import Figure, settings_of_up
from tests.support import ROOT, wait_until


def measure() -> Figure:
    """Start everything twice, as a person at a terminal does, and time the second, warm start."""
    with tempfile.TemporaryDirectory(prefix="vase-bench-") as folder:
        settings = settings_of_up(Path(folder))
        with started(settings):
            pass
        begin = time.monotonic()
        with started(settings):
            took = time.monotonic() - begin
    return Figure("make up, warm, to the first page", took, 6, "s")


@contextmanager
def started(settings: dict[str, str]) -> Iterator[None]:
    """Run ``make up`` until its first page is there, then end it with Ctrl-C."""
    command = ["make", "up"] if shutil.which("make") else [sys.executable, "bin/up"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: first_page(process, settings["PORT"]), "the first page is there", timeout=120)
            yield
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:].decode(errors="replace"))
            raise
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=30)


def first_page(process: subprocess.Popen[bytes], port: str) -> bool:
    """Say whether the page is there."""
    if process.poll() is not None:
        raise AssertionError(f"make up ended with {process.returncode}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
