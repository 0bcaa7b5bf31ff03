"""Where the Redis of `make up` listens, with its password: known to whoever may read the instance folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_FILE: Final = "address"


def address(instance: Path) -> str | None:
    """Return the URL of the Redis that `make up` has started in an instance folder, None where it never did."""
    try:
        return (instance / "redis" / _FILE).read_text().strip()
    except OSError:
        return None


def keep_address(instance: Path, port: int) -> str:
    """Note that it listens on this port and return its URL; the password is made at the first start and stays.

    Other users of the machine reach the port. Without the password, which only the folder's owner can read, they could
    run tasks, read all that is in Redis, and let it write files with its owner's rights.
    """
    known = address(instance)
    password = (urlsplit(known).password if known else None) or secrets.token_urlsafe(32)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    if url != known:
        path = instance / "redis" / _FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{_FILE}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(f"{url}\n")
        draft.replace(path)
    return url
