"""The dashboard by itself, for its commands: ``flask --app dashboard record`` and others."""

from __future__ import annotations

from app import celery
from webapp import create_app

app = create_app(celery=celery)
