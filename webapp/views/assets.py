"""Addresses of static files that change when the file does, so that browsers may keep them for a year."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, url_for

YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    """Give templates ``asset("app.css")``."""
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = YEAR
    folder = Path(app.static_folder or "")
    digests: dict[str, str] = {}

    def asset(filename: str) -> str:
        if filename not in digests or app.debug:
            digests[filename] = hashlib.sha256((folder / filename).read_bytes()).hexdigest()[:12]
        return url_for("static", filename=filename, v=digests[filename])

    app.jinja_env.globals["asset"] = asset
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
