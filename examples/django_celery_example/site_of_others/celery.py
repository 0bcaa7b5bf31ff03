"""The project's Celery app, as Celery's documentation for Django shows it."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_of_others.settings")

app = Celery("site_of_others")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
