"""What Vase keeps in its instance folder is for the eyes of the folder's owner."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Final

OURS: Final = ("secret_key", "vase.sqlite3", "up.lock", "redis")
"""How the names of what Vase keeps begin."""


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
