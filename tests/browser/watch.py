"""A page under watch: what it asked the server for, and what it complained about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Response

from tests.support import wait_until

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

# The browser hides violations from scripts that come later, so they are gathered from the first moment on.
_GATHER = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


def look_again(page: Page) -> Page:
    """Reload a page as a patient person does, also one that goes somewhere by itself at that moment."""
    try:
        page.reload()
    except Error as fault:
        # The browser cannot reload what it is just replacing by the next page.
        if "Not attached to an active page" not in fault.message and "interrupted" not in fault.message:
            raise
        page.wait_for_load_state()
    return page


@dataclass
class Watch:
    """What one page did."""

    page: Page
    asked: list[str] = field(default_factory=list)
    """``GET /path?query`` of every request, in order."""
    answers: list[tuple[str, int]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        self.asked.append(f"{request.method} {address.path}{'?' + address.query if address.query else ''}")

    def on_response(self, response: Response) -> None:
        self.answers.append((urlsplit(response.url).path, response.status))

    def on_console(self, message: ConsoleMessage) -> None:
        # The browser reports every 4xx and 5xx; tests look at those themselves.
        expected = ("Failed to load resource", "net::ERR_")
        if message.type in ("error", "warning") and not any(words in message.text for words in expected):
            self.complaints.append(message.text)

    def asked_for(self, path: str) -> list[str]:
        """Return the requests to a path or, with a slash at its end, to anything below it."""
        return [line for line in self.asked if _is(line.split(" ")[1].partition("?")[0], path)]

    def statuses(self, path: str) -> list[int]:
        """Return the status of every answer from a path."""
        return [status for where, status in self.answers if _is(where, path)]

    def polls(self) -> int:
        """Return how many times a region has asked for itself."""
        return len(self.asked_for("/fragments/"))

    def pass_time(self, seconds: float) -> None:
        """Let the page's timers run as if the time had passed, and its requests be answered."""
        self.page.clock.run_for(round(seconds * 1000))
        self.page.wait_for_timeout(100)

    def wait_for_polls(self, number: int, what: str) -> None:
        """Let time pass until a region has asked for itself so many times more."""
        wanted = self.polls() + number

        def enough() -> bool:
            self.pass_time(1)
            return self.polls() >= wanted

        wait_until(enough, what, timeout=15)

    def polls_within(self, seconds: float) -> int:
        """Return how many times a region asks for itself while time passes at once; it does not ask while it waits."""
        before = self.polls()
        self.pass_time(seconds)
        return self.polls() - before

    def polls_in_order(self, seconds: int) -> int:
        """Return the same for seconds that pass one by one, with each question answered before the next second."""
        before = self.polls()
        for _ in range(seconds):
            self.pass_time(1)
            wait_until(self._is_answered, "every question is answered")
        return self.polls() - before

    def _is_answered(self) -> bool:
        self.page.wait_for_timeout(20)
        return len(self.statuses("/fragments/")) >= self.polls()

    def forgive(self, words: str) -> None:
        """Take back complaints that a test has provoked."""
        self.complaints = [complaint for complaint in self.complaints if words not in complaint]


def _is(path: str, wanted: str) -> bool:
    return path.startswith(wanted) if wanted.endswith("/") and wanted != "/" else path == wanted


class Opener:
    """Opens pages, and says in the end what was wrong on any of them."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: dict[str, BrowserContext] = {}
        self.watches: list[Watch] = []

    def __call__(
        self, url: str = "", *, script: bool = True, phone: bool = False, clock: bool = False, **options: Any
    ) -> Watch:
        """Open a page and return the watch on it; with a ``clock`` the test can let time pass."""
        options = {"viewport": PHONE if phone else DESKTOP, "has_touch": phone, "java_script_enabled": script} | options
        page = self._context({"timezone_id": "Europe/Berlin", "locale": "en-GB"} | options).new_page()
        if clock:
            page.clock.install()
        watch = Watch(page)
        page.on("request", watch.on_request)
        page.on("response", watch.on_response)
        page.on("console", watch.on_console)
        page.on("pageerror", lambda error: watch.complaints.append(str(error)))
        self.watches.append(watch)
        if url:
            page.goto(url)
        return watch

    def _context(self, options: dict[str, Any]) -> BrowserContext:
        """Return a browser profile with such options; making one takes longer than most tests."""
        key = repr(sorted(options.items()))
        if key not in self.contexts:
            self.contexts[key] = self.browser.new_context(**options)
            self.contexts[key].set_default_timeout(15_000)
            self.contexts[key].add_init_script(_GATHER)
        self.contexts[key].clear_cookies()
        return self.contexts[key]

    def close(self) -> list[str]:
        """Close every page and return what was wrong."""
        wrong: list[str] = []
        for watch in self.watches:
            wrong += watch.complaints
            wrong += watch.page.evaluate("window.violations ?? []")
            watch.page.close()
        self.watches.clear()
        return wrong
