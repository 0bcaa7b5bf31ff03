"""What every form that starts a run shares: its key, and the notice of how sending went."""

from __future__ import annotations

import uuid

from flask import flash

from webapp.outbox.submit import Submission


def idempotency_key(text: str | None) -> str | None:
    """Return a form's key as the run's task id, so that a double click is one run."""
    try:
        return str(uuid.UUID(text or ""))
    except ValueError:
        return None


def flash_submission(launched: Submission) -> None:
    """Say so where the broker did not take the message."""
    if launched.unsendable:
        flash(f"The run is kept, but it cannot be sent: {launched.unsendable}", "bad")
    elif launched.error:
        flash("The broker cannot be reached. The run is kept and will be sent as soon as it is back.", "wait")
