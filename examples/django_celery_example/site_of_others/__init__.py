"""A Django project that knows nothing of Vase."""

from .celery import app as celery_app

__all__ = ("celery_app",)
