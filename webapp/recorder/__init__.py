"""The recorder: the process that turns Celery's events and results into rows."""
