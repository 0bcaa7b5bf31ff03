"""The site, with a few places in it where its process kills itself when the test says so.

Started instead of ``app``: ``gunicorn tests.faults.dying:app`` and ``flask --app tests.faults.dying record``. A process
that comes to a place for which a file lies in the folder DEATHS removes the file, and with it itself.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.witness import DEATHS
from webapp.history import writer
from webapp.outbox import relay, submit
from webapp.recorder import batch

Function = Callable[..., Any]


def _die_if_told(place: str) -> None:
    try:
        (Path(os.environ[DEATHS]) / place).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _before(place: str, function: Function) -> Function:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _die_if_told(place)
        return function(*args, **kwargs)

    return wrapped


def _after(place: str, function: Function) -> Function:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        _die_if_told(place)
        return value

    return wrapped


submit.bump = _before("web-before-commit", submit.bump)
submit._send = _before("web-after-commit", submit._send)
relay.publish = _after("relay-after-publish", _after("web-after-publish", relay.publish))
writer._Plan.carry_out = _after("recorder-before-commit", writer._Plan.carry_out)  # type: ignore[method-assign]
batch.record_each = _after("recorder-before-acknowledging", batch.record_each)

from app import app  # noqa: E402, F401  # everything above is to be in place first
