"""The life of one of our worker processes, as the kernel keeps it: what proves that it has ended. Linux only.

A worker holds a socket whose name nobody else can have. Its pool's processes inherit it, and the kernel gives the name
back when the last of them has ended, however that came; a process that is halted, busy or deaf holds it all the same.
See ``docs/proof-of-death.md``.
"""

from __future__ import annotations

import errno
import logging
import secrets
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

_NAME: Final = "\0vase-worker-"
TEXT_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's life: a random token, and the place where alone it can be looked for."""

    token: str
    place: str


@dataclass(slots=True)
class _Own:
    """What this process holds, if it is a worker, and the message that it took last."""

    lease: Lease | None = None
    held: socket.socket | None = None
    taken: tuple[str, dict[str, Any]] | None = None


_own: Final = _Own()


@cache
def place() -> str:
    """Return the running kernel and the network namespace, which bound where a socket's name can be looked for.

    Empty where the system has neither.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/net').readlink()}"
    except OSError:
        return ""


def hold(**_: Any) -> None:
    """Begin the life of this worker; before its pool is forked, so that the pool's processes belong to it."""
    if not place():
        return
    token = secrets.token_hex(16)
    try:
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        held.bind(_NAME + token)
    # A service to the dashboard; a worker works without it.
    except OSError as fault:
        log.warning("This worker can give no proof of its life: %s", fault)
        return
    _own.lease, _own.held = Lease(token, place()), held


def own() -> Lease | None:
    """Return the life of this process, None where it is no worker or cannot hold one."""
    return _own.lease


def took(task_id: str, message: dict[str, Any]) -> None:
    """Note what the event of the message that this worker has just taken is to tell besides."""
    _own.taken = (task_id, message)


def told_of(task_id: str) -> dict[str, Any]:
    """Return what is to be told of the message taken last, where it is that of this run.

    Its delivery tag, with the life that has it, is told of a message that had not been delivered before: of another one
    somebody else may have the next delivery.
    """
    if not _own.taken or _own.taken[0] != task_id:
        return {}
    told = _own.taken[1]
    if "tag" not in told:
        return told
    return {**told, "life": _own.lease.token} if _own.lease else {k: v for k, v in told.items() if k != "tag"}


def has_ended(lease: Lease) -> bool:
    """Say whether it is certain that no process of a worker lives: on this machine, and nobody holds the name.

    False says nothing: the worker lives, or it is somewhere else.
    """
    if not lease.place or lease.place != place():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_NAME + lease.token)
        except OSError as fault:
            return fault.errno == errno.ECONNREFUSED
    return False


def lease_of(event: dict[str, Any]) -> Lease | None:
    """Return the life that a worker's event tells of, None where it tells of none."""
    token, where = event.get("life"), event.get("place")
    if isinstance(token, str) and isinstance(where, str) and 0 < len(token) <= TEXT_MAX and len(where) <= TEXT_MAX:
        return Lease(token, where) if "\0" not in token else None
    return None
