"""The answers when something is wrong: calm pages that say what happened and what to do."""

from __future__ import annotations

import logging
from typing import Final

from flask import Flask, Response, render_template, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from webapp.errors import SearchTimeoutError
from webapp.views.runs.detail import Unknown

log = logging.getLogger(__name__)

TEXTS: Final[dict[int, tuple[str, str]]] = {
    400: ("This request cannot be answered", "The address or the form is not one that this site made."),
    403: ("Refused", "This request came from another site and was refused. Open the page here and try again."),
    404: ("There is nothing here", "The address may be mistyped. The list of runs is a good place to start."),
    405: ("Not this way", "This address takes a form that is sent from its page, not a visit."),
    413: ("Too large", "What was sent is larger than this site accepts. Arguments may have at most 256 KB."),
    422: ("Not accepted", "Something in the form needs another look."),
    500: ("Something broke", "It was written to the web server's log. What was accepted before is safe."),
    503: (
        "The database does not answer",
        "Runs cannot be shown just now; nothing that was accepted is lost. See whether the database is running and "
        "its tables are up to date (flask --app app db upgrade), then reload.",
    ),
}


def init_app(app: Flask) -> None:
    """Install the handlers."""
    app.register_error_handler(HTTPException, http_fault)
    app.register_error_handler(SQLAlchemyError, database_fault)
    app.register_error_handler(SearchTimeoutError, too_slow)
    app.register_error_handler(Exception, any_fault)


def http_fault(fault: HTTPException) -> tuple[str | Response, int] | HTTPException:
    """Answer a page for 4xx and 5xx; leave redirects alone."""
    code = fault.code or 500
    if code < 400:
        return fault
    if request.routing_exception is not None and code == 400:
        # The Host header is not trusted, so no address can be made from it.
        text = "This host name is not trusted here. Add it to TRUSTED_HOSTS.\n"
        return Response(text, mimetype="text/plain"), 400
    return page(code, fault.description if isinstance(fault.description, Unknown) else None), code


def database_fault(fault: SQLAlchemyError) -> tuple[str, int]:
    """Answer a calm page while the database is away."""
    log.error("The database failed: %s", told(fault))
    return page(503), 503


def told(fault: SQLAlchemyError) -> str:
    """Return what a fault of the database says, without the values that PostgreSQL adds in its details."""
    return str(fault).partition("\nDETAIL:")[0]


def too_slow(fault: SearchTimeoutError) -> tuple[str, int]:
    """Answer a calm page where the database was asked too much."""
    text = f"{fault} Nothing was changed. Ask for less, such as a state, a task or a shorter time, or try again."
    return page(503, title="That took too long", text=text), 503


def any_fault(fault: Exception) -> tuple[str, int]:
    """Answer a calm page for what nobody foresaw, and log it whole."""
    log.exception("Unforeseen", exc_info=fault)
    return page(500), 500


def page(code: int, unknown: str | None = None, title: str = "", text: str = "") -> str:
    """Render the page of an error; ``unknown`` is the task id that was asked for in vain."""
    usual = TEXTS.get(code, TEXTS[500 if code >= 500 else 400])
    return render_template(
        "errors/error.html", code=code, title=title or usual[0], text=text or usual[1], unknown=unknown
    )
