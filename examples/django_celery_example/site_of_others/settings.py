"""The smallest settings with which Django runs Celery tasks."""

import os

SECRET_KEY = "only for this example"  # noqa: S105
INSTALLED_APPS = ["division"]
USE_TZ = True
DATABASES: dict[str, dict[str, str]] = {}

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = os.environ.get("CELERY_RESULT_BACKEND", CELERY_BROKER_URL)
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_DEFAULT_QUEUE = "django"
