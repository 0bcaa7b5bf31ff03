"""The instance folder: what Vase keeps there is for the eyes of its owner, as is the address of its own Redis."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

OURS: Final = ("secret_key", "vase.sqlite3", "up.lock", "redis")
"""How the names of what Vase keeps begin."""
_ADDRESS: Final = "address"


def make_private(folder: Path, ours: bool) -> None:
    """Make a folder and take from all others the right to look at what is in it, also where that was left to them.

    A folder that holds other things, such as that of a site, keeps its rights unless it is known to be ``ours``; what
    Vase keeps there is private all the same. Raises OSError where the folder cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = list(folder.iterdir())
    mine = [entry for entry in entries if entry.name.lstrip(".").startswith(OURS)]
    if ours or (len(mine) == len(entries) and not folder.stat().st_mode & stat.S_ISVTX):
        _restrict(folder)
    for entry in mine:
        _restrict(entry)
        if entry.is_dir() and not entry.is_symlink():
            for inner in entry.rglob("*"):
                _restrict(inner)


def _restrict(path: Path) -> None:
    # Somebody else's file may stay as it is, and one may be gone by now.
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_IMODE(mode) & 0o077 and not stat.S_ISLNK(mode):
            path.chmod(0o700 if stat.S_ISDIR(mode) else 0o600)


def redis_address(instance: Path) -> str | None:
    """Return the URL of the Redis that `make up` has started in an instance folder, None where it never did."""
    try:
        return (instance / "redis" / _ADDRESS).read_text().strip()
    except OSError:
        return None


def keep_redis_address(instance: Path, port: int) -> str:
    """Note that it listens on this port and return its URL; the password is made at the first start and stays.

    Other users of the machine reach the port. Without the password, which only the folder's owner can read, they could
    run tasks, read all that is in Redis, and let it write files with its owner's rights.
    """
    known = redis_address(instance)
    password = (urlsplit(known).password if known else None) or secrets.token_urlsafe(32)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    if url != known:
        path = instance / "redis" / _ADDRESS
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{_ADDRESS}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(f"{url}\n")
        draft.replace(path)
    return url
