"""The forms on a run's page: cancel, terminate, run again, send once more."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, abort, current_app, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from webapp.actions.cancel import cancel as ask_to_cancel
from webapp.actions.give_back import give_back_by_hand
from webapp.actions.retry import original_call, retry_options
from webapp.errors import ActionNotAllowedError, BrokerError, InvalidArgumentsError
from webapp.extensions import db
from webapp.history import queries
from webapp.outbox.submit import resend, submit
from webapp.text import clean, tidy
from webapp.views.runs.presenters import run_path
from webapp.views.runs.submission import flash_submission, idempotency_key

blueprint = Blueprint("actions", __name__)

REASON_MAX = 500


def to_run(task_id: str) -> Response:
    """Lead to a run's page."""
    return redirect(url_for("pages.index") + run_path(task_id), 303)


@blueprint.post("/send")
def send() -> Response:
    """Try once more to send a run that waits or could not be sent, then show it."""
    task_id = tidy(request.form.get("task_id")) or ""
    launched = resend(current_app, task_id)
    if launched is None:
        flash("There was nothing to send: the run is on its way or is not known.", "wait")
    elif launched.error or launched.unsendable:
        flash(f"The broker did not take it: {launched.error or launched.unsendable}", "bad")
    else:
        flash("The run was sent.", "ok")
    return to_run(task_id)


@blueprint.post("/cancel")
def cancel() -> Response:
    """Ask that a run does not happen, or that it is ended, then show how far that got."""
    task_id = tidy(request.form.get("task_id")) or ""
    reason = clean(request.form.get("reason", ""))[:REASON_MAX].strip()
    try:
        if ask_to_cancel(current_app, task_id, reason, terminate="terminate" in request.form):
            flash("The run was cancelled before it was sent.", "ok")
        else:
            flash("The workers are told. This page shows when one has answered and when the run has ended.", "wait")
    except ActionNotAllowedError as fault:
        flash(str(fault), "bad")
    return to_run(task_id)


@blueprint.post("/again")
def again() -> Response:
    """Run a run again with its exact arguments; where that is not possible, show the form and say why."""
    task_id = tidy(request.form.get("task_id")) or ""
    with db.engine.connect() as connection:
        row = queries.run_by_id(connection, task_id)
        if row is None:
            abort(404)
        options = retry_options(current_app, connection, [row])[0]
    try:
        args, kwargs = original_call(row)
        launched = submit(
            current_app, row.name, args, kwargs, idempotency_key(request.form.get("key")), options, retry_of=task_id
        )
    except (ActionNotAllowedError, InvalidArgumentsError) as fault:
        if not row.name:
            flash(str(fault), "bad")
            return to_run(task_id)
        # The form says why, field by field.
        return redirect(f"{url_for('tasks.form')}?{urlencode({'name': row.name, 'from': task_id})}", 303)
    flash_submission(launched)
    return to_run(launched.task_id)


@blueprint.post("/give-back")
def give_back() -> Response:
    """Give the message of a run back whose worker is probably gone, then show the run."""
    task_id = tidy(request.form.get("task_id")) or ""
    try:
        give_back_by_hand(current_app, task_id)
        flash("The message is in its queue again; the next worker that takes it runs it.", "ok")
    except ActionNotAllowedError as fault:
        flash(str(fault), "bad")
    except BrokerError as fault:
        flash(f"The broker did not answer: {fault}", "bad")
    return to_run(task_id)
