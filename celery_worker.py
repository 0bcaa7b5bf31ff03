"""The Celery entry: ``celery -A celery_worker worker -E``, ``… flower``, ``… inspect ping``."""

from __future__ import annotations

import os

from app import app as flask_app

# Flower accepts anyone who reaches it, so without a password it may look and not touch, on this machine only.
# It reads its options from these variables after this module is imported.
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")
os.environ.setdefault("FLOWER_READ_ONLY", "false" if os.environ.get("FLOWER_BASIC_AUTH") else "true")

# No Flask object may be called "app" here: ``celery -A celery_worker`` would take it for the Celery instance.
celery = flask_app.extensions["celery"]
