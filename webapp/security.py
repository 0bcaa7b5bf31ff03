"""What every request and every answer must hold: who may post, and what a browser may do with a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Flask, Request, abort, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
UNCACHED: Final = (*HEADERS, ("Cache-Control", "no-store"))
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def init_app(app: Flask) -> None:
    """Install the checks. The Host header is checked by Flask itself against ``TRUSTED_HOSTS``."""
    app.before_request(refuse_cross_site)
    app.session_interface = QuietSessions()
    app.wsgi_app = AddHeaders(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented place for middleware


def refuse_cross_site() -> None:
    """Refuse a change that another site's page asked for.

    Browsers say where a request comes from in ``Sec-Fetch-Site``; older ones in ``Origin``. A client that sends
    neither is not a browser and carries nobody's cookies.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            abort(403, "This request came from another site and was refused.")
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        abort(403, "This request came from another site and was refused.")


class AddHeaders:
    """Adds the security headers to every answer, and keeps answers that change out of caches.

    As WSGI middleware it costs one list and covers what Flask's handlers never see.
    """

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            cached = any(name == "Cache-Control" for name, _ in headers)
            return start_response(status, [*headers, *(HEADERS if cached else UNCACHED)], *rest)

        return self.wsgi_app(environ, start)


class QuietSessions(SecureCookieSessionInterface):
    """Flask's sessions, which take nothing apart when a request carries no session cookie."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)
