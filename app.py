"""The WSGI entry: ``gunicorn app:app`` and ``flask --app app …``."""

from __future__ import annotations

import sys

from webapp import create_app
from webapp.errors import SettingError

try:
    app = create_app()
except SettingError as error:
    sys.exit(f"vase: {error}")
